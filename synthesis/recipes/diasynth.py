"""DiaSynth: from topics to subtopics to personas to dialogues, reasoned about before they are written, and summarised.

Paper: "DiaSynth: Synthetic Dialogue Generation Framework for Low Resource Dialogue Applications", arXiv 2409.19020 v3,
2025. Its code carries no licence: nothing of it is here, and prompts, examples and topics' material are ours.

Each topic is broken down into subtopics, each subtopic gets people who would talk about it, and every two of them one
dialogue. Ten characteristics of a conversation are reasoned about in a chain of thought, then the dialogue is written,
then the same model sums it up; pairs of dialogue and summary train small summarisers.

Deviations. Preset `paper` keeps the published counts, temperatures, tags and the ROUGE-L filter on lists. Where its
code stores replies that it cannot read and loses a whole topic to one error, ours asks again, up to three times, and
loses one dialogue. Few-shots are drawn once a run as there, but seeded and from dialogues of two speakers; where they
carry names, the speakers are given two names instead of inventing them; a third speaker is an error. Fewer dialogues
than all are shared out evenly over topics and subtopics. Preset `improved` gives each speaker a persona, deals the
values of the characteristics from distributions and keeps them (the reasoning only reconciles them), asks for JSON
held by a grammar, fills lists up after a semantic dedup across topics, draws few-shots for each dialogue, and filters
form, repetition, personas and reasoning spoken aloud, dialogues off topic, summaries that name others, and
near-duplicates. Preset `laptop` is for the embedded model, whose lists and reasoning are poor: topics,
subtopics and personas come from an outline that ships with the recipe, there is no chain of thought, and nothing
checks the subject.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from string import Template
from typing import Any, ClassVar, Literal, TypeVar

from synthesis import characteristics, few_shots, seeds, topics
from synthesis.asking import ask, hinting
from synthesis.dialogue import UNASSIGNED, Dialogue, Persona
from synthesis.encoder import OFFLINE
from synthesis.engine import Engine, Message, Request
from synthesis.errors import ContextOverflow, UserError
from synthesis.filter import Across, Filter, first_reason
from synthesis.filters.copying import Copying
from synthesis.filters.grounding import ABOUT, Judged, OnTopic
from synthesis.filters.length import Length
from synthesis.filters.near_duplicates import NearDuplicates
from synthesis.filters.placeholders import Placeholders
from synthesis.filters.reasoning import Reasoning
from synthesis.filters.repetition import Repetition
from synthesis.filters.structure import Structure
from synthesis.filters.summary import Summary
from synthesis.forms import TEXT, Form
from synthesis.recipe import Dropped, Pool, Seed, at_least, fork
from synthesis.topics import Lists, Outline
from synthesis.tree import Tree

DIALOGUE = Template("""You write conversations between two people that read as if they had happened. The user names \
the subject.

${exemplars}$people$shape$task

Rules:
- Only $first and $second speak, nobody else, and both of them do.
- Nobody says outright who they are or reads out a description of themselves; it shows, where the subject calls for it.
$rules
Answer in this form and with nothing else:
$form""")

EXEMPLAR = Template("""Example, on $topic:
$conversation

""")

PEOPLE_PAPER = Template("""The two are:
1. $persona_1
2. $persona_2
Either of the speakers may be either of them.

""")

PEOPLE = Template("""$first is this person: $persona_1
$second is this person: $persona_2

""")

CHOOSE = Template("""Ten things shape a conversation:
$characteristics

""")

GIVEN = Template("""What shapes this conversation:
$characteristics

""")

REASON_PAPER = Template("""Reason first: choose a value for each of the ten, say why it fits, what it does to the way \
the two talk, and how the ten act on each other. Then write the conversation so that all of it shows.""")

REASON = Template("""Reason first, briefly: where two of these pull against each other or against the two people, say \
how both can be true, and what happens from beginning to end. Then write the conversation so that all of it shows.""")

PLAIN = Template("""Write the conversation so that all of it shows.""")

RULES = Template("""- There are $low to $high lines in all, none of them empty, and the last one ends the conversation.
- Use the language of the subject.
""")

SUMMARY = Template("""You sum up conversations: everything that matters, nothing that was not said, in few words.

${exemplars}The user gives you a conversation. Answer with $form.""")

SUMMED_UP = Template("""Conversation:
$conversation
Summary: $summary

""")

log = logging.getLogger(__name__)

HERE = Path(__file__).parent
TOPICS = HERE / "diasynth_topics.txt"

IMPROVED: dict[str, Any] = {
    "form": "json",
    "grammar": True,
    "assign": True,
    "deal": True,
    "dedup": "vectors",
    "same": 0.85,
    "topups": 3,
    "top_p": 0.95,
    "temperature": 0.8,
    "list_temperature": 0.7,
    "resample_few_shots": True,
    "hygiene": True,
    "grounding": "vectors",
    "resamples": 2,
}

LAPTOP: dict[str, Any] = {
    "outline": HERE / "diasynth_outline.jsonl",
    "form": "tags",
    "cot": False,
    "few_shots": 0,
    "summary_few_shots": 0,
    "length": 600,
    "longest_text": 200,
    "deal": False,
    "low": 8,
    "high": 12,
    "grounding": "none",  # the embedded model does not keep to a subject; its cards say so
    "temperature": 0.5,
    "summary_temperature": 0.5,
    "top_p": 0.9,
    "resamples": 4,
}

_LEAST = {
    **dict.fromkeys(("subtopics_per_topic", "repeats", "length", "list_length", "summary_length", "longest_text"), 1),
    **dict.fromkeys(("few_shots", "summary_few_shots", "topups", "resamples", "temperature", "same"), 0),
    **dict.fromkeys(("list_temperature", "summary_temperature", "duplicate"), 0),
    **dict.fromkeys(("personas_per_subtopic", "low"), 2),
}


@dataclass(frozen=True, slots=True)
class Diasynth:
    """Hyper-parameters. Defaults are the published ones unless marked choice; the presets say what they change.

    | arXiv 2409.19020                | value  | field                                  |
    |---------------------------------|--------|----------------------------------------|
    | topics                          | 16     | topics                                 |
    | subtopics a topic (m)           | 6      | subtopics_per_topic                    |
    | personas a subtopic (p)         | 6      | personas_per_subtopic                  |
    | dialogues a subtopic            | 15     | all pairs, p(p-1)/2; at most 1,440     |
    | same from ROUGE-L F             | 0.5    | same (dedup rouge)                     |
    | few-shots in code, in print     | 4, 2   | few_shots; of them 2 with summaries    |
    | temperature of lists            | 0.1    | list_temperature                       |
    | temperature of dialogues        | 0.2    | temperature                            |
    | temperature of summaries        | 0.3    | summary_temperature                    |
    | tokens: list, dialogue, summary | 2,048, 4,096, 256 | list_length, length, summary_length |
    | no personas: dialogues each     | 5      | repeats (measured on the published files) |

    The published files without subtopics have 25 dialogues a topic, which no number of pairs gives; here a topic then
    stands in for its only subtopic, and --personas-per-subtopic 8 gives 28 pairs.
    """

    name: ClassVar[str] = "diasynth"
    prompts: ClassVar[tuple[Template, ...]] = (
        *(DIALOGUE, EXEMPLAR, PEOPLE_PAPER, PEOPLE, CHOOSE, GIVEN, REASON_PAPER, REASON, PLAIN, RULES),
        *(SUMMARY, SUMMED_UP, ABOUT),
        *topics.PROMPTS,
    )
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {},
        "improved": IMPROVED,
        "laptop": IMPROVED | LAPTOP,
    }

    # what to talk about
    topics: Path = TOPICS
    topic: tuple[str, ...] = ()  # instead of the file's; again for each further one
    outline: Path | None = None  # choice: subtopics and personas from a file, nobody is asked
    subtopics: bool = True
    subtopics_per_topic: int = 6
    personas: bool = True
    personas_per_subtopic: int = 6
    repeats: int = 5
    dedup: Literal["rouge", "vectors"] = "rouge"
    same: float = 0.5
    encoder: str = OFFLINE  # choice: of dedup and grounding by vectors
    topups: int = 0
    list_temperature: float = 0.1
    list_length: int = 2048
    # dialogues
    form: Literal["tags", "json"] = "tags"
    grammar: bool = False
    longest_text: int = TEXT  # choice: characters of a turn, entry or summary that a grammar allows
    cot: bool = True
    assign: bool = False  # choice: each persona has its speaker
    deal: bool = False  # choice: values of the characteristics are dealt, not chosen by the model
    characteristics: Path = HERE / "diasynth_characteristics.json"
    exemplars: Path = HERE / "diasynth_exemplars.jsonl"
    few_shots: int = 4
    resample_few_shots: bool = False
    temperature: float = 0.2
    top_p: float | None = None  # choice: none is published
    length: int = 4096
    low: int = 4  # choice
    high: int = 40  # choice
    resamples: int = 0  # choice: further tries when a filter drops
    # summaries
    summary_few_shots: int = 2
    summary_temperature: float = 0.3
    summary_length: int = 256
    # filters
    hygiene: bool = False
    grounding: Literal["none", "words", "vectors", "engine"] = "none"
    duplicate: float = 0.6  # choice

    def __post_init__(self) -> None:
        at_least(self, _LEAST)
        if self.low > self.high:
            raise UserError(f"recipe diasynth: low {self.low} and high {self.high}: expected low <= high lines")

    @property
    def rounds(self) -> int:
        """One pass over the seeds; nothing is learned from it."""
        return 1

    def check(self) -> None:
        """Topics or outline, few-shots and characteristics, read once for their mistakes."""
        self._given()
        few_shots.load(self.exemplars)
        characteristics.distributions(self.characteristics)

    # ---- seeds: topics, subtopics, personas, pairs ------------------------------------------------------------------

    async def seeds(self, engine: Engine, rng: Random, n: int) -> AsyncIterator[Seed]:
        """Who talks about what, how, and after which few-shots.

        Fewer than `n` where lists stay short, or where topics times subtopics times pairs are less.
        """
        pairs = await self._tree().pairs(hinting(engine), self._given(), n, rng)
        log.info("seeds: %d of %d wanted", len(pairs), n)
        shots = few_shots.load(self.exemplars)
        dealt = characteristics.dealt(characteristics.distributions(self.characteristics), len(pairs), rng)
        once = few_shots.chosen(shots.dialogues, self._shown(), rng)
        for (branch, people, number), values in zip(pairs, dealt, strict=True):
            shown = few_shots.chosen(shots.dialogues, self._shown(), rng) if self.resample_few_shots else once
            digest = hashlib.sha256("\n".join([*branch, *people, str(number)]).encode()).hexdigest()[:12]
            content = {
                "topic": branch[0],
                "subtopic": branch[1] if len(branch) > 1 else None,
                "personas": list(people),
                "characteristics": values | {"topic": branch[-1]} if self.deal else {},
                "speakers": list(few_shots.NUMBERED) if shots.numbered else sorted(rng.sample(sorted(_names()), 2)),
                "few_shots": [shot.id for shot in shown],
            }
            yield Seed(f"diasynth-{digest}", content)

    def _form(self) -> Form:
        return Form(self.form, self.grammar, self.longest_text)

    def _tree(self) -> Tree:
        how = Lists(self._form(), self.list_temperature, self.top_p, self.list_length, self.topups)
        return Tree(
            how,
            self.subtopics_per_topic if self.subtopics else 0,
            self.personas_per_subtopic if self.personas else 0,
            self.repeats,
            self.dedup,
            self.same,
            self.encoder,
        )

    def _given(self) -> list[str] | Outline:
        """Topics, or an outline, whole unless the user names topics. Raises UserError."""
        if self.outline is None:
            return topics.topics(self.topics, self.topic)
        named = self.topic or self.topics != TOPICS
        return topics.outline(self.outline, topics.topics(self.topics, self.topic) if named else ())

    def _shown(self) -> int:
        return max(self.few_shots, self.summary_few_shots)

    # ---- a dialogue -------------------------------------------------------------------------------------------------

    def pool(self, kept: Sequence[Dialogue]) -> Pool:
        """The few-shots of the file."""
        return Pool(few_shots.load(self.exemplars).dialogues)

    async def dialogue(self, seed: Seed, pool: Pool, engine: Engine, rng: Random) -> Dialogue:
        """The first dialogue of a few tries that its filters keep, and the first such summary of it."""
        asked = hinting(engine)
        wanted = set(seed.content["few_shots"])
        by_id = {shot.id: shot for shot in pool.exemplars if shot.id in wanted}
        shown = [by_id[id_] for id_ in seed.content["few_shots"]]
        made = await self._tried(lambda: self._written(seed, shown, asked, fork(rng)), self._judges(engine))
        return await self._tried(lambda: self._summed_up(made, shown, asked, fork(rng)), self._of_summary())

    async def _tried(self, write: Callable[[], Awaitable[Dialogue]], judges: Sequence[Filter]) -> Dialogue:
        """What is written the first time that `judges` keep it. Raises Dropped with the last reason."""
        left = self.resamples
        while True:
            made = await write()
            dropped = await first_reason(judges, made)
            if dropped is None:
                return made
            if not left:
                raise Dropped(*dropped, made.summary or made.text())
            left -= 1

    async def _written(self, seed: Seed, shown: Sequence[Dialogue], engine: Engine, rng: Random) -> Dialogue:
        """One dialogue, with as many few-shots as the context takes."""
        content, form = seed.content, self._form()
        speakers = content["speakers"]
        most = self.few_shots if self.cot else min(2, self.few_shots)  # 2, as published
        request = Request(
            "dialogue",
            self.length,
            messages=(("user", content["subtopic"] or content["topic"]),),
            temperature=self.temperature or None,
            top_p=self.top_p,
            grammar=form.conversation_grammar(speakers, self.cot, self.low, self.high),
            conversation=seed.id,
        )

        def system(exemplars: Sequence[Dialogue]) -> str:
            return self._system(content, form, exemplars)

        written, fitting = await _fitted(
            engine, request, system, shown[:most], lambda text: form.read_conversation(text, speakers, self.cot), rng
        )
        numbered = set(speakers) == set(few_shots.NUMBERED)
        people = tuple(
            Persona(f"{seed.id}-{number}", (text,), None if numbered else name)
            for number, (text, name) in enumerate(zip(content["personas"], speakers, strict=False), 1)
        )
        return Dialogue(
            seed.id,
            written.turns,
            people,
            topic=content["topic"],
            subtopic=content["subtopic"],
            characteristics=content["characteristics"] or None,
            reasoning=written.reasoning,
            exemplars=tuple(shot.id for shot in fitting),
            notes=() if self.assign or not people else (UNASSIGNED,),
        )

    def _system(self, content: Mapping[str, Any], form: Form, exemplars: Sequence[Dialogue]) -> str:
        first, second = content["speakers"]
        named = {"first": first, "second": second}
        people = ""
        if content["personas"]:
            told = {f"persona_{number}": text for number, text in enumerate(content["personas"], 1)}
            people = (PEOPLE if self.assign else PEOPLE_PAPER).safe_substitute(told | named)
        shape = (GIVEN if self.deal else CHOOSE).substitute(
            characteristics=characteristics.listed(content["characteristics"] if self.deal else characteristics.NAMES)
        )
        return DIALOGUE.substitute(
            named,
            exemplars="".join(
                EXEMPLAR.substitute(topic=shot.topic or "everyday life", conversation=shot.text())
                for shot in exemplars
            ),
            people=people,
            shape=shape,
            task=((REASON if self.deal else REASON_PAPER) if self.cot else PLAIN).substitute(),
            rules=RULES.substitute(low=self.low, high=self.high) if self.hygiene else "",
            form=form.conversation_words(content["speakers"], self.cot),
        )

    async def _summed_up(self, made: Dialogue, shown: Sequence[Dialogue], engine: Engine, rng: Random) -> Dialogue:
        form = self._form()
        request = Request(
            "summary",
            self.summary_length,
            messages=(("user", made.text()),),
            temperature=self.summary_temperature or None,
            grammar=form.text_grammar("summary"),
            conversation=made.id,
        )

        def system(exemplars: Sequence[Dialogue]) -> str:
            pairs = [SUMMED_UP.substitute(conversation=shot.text(), summary=shot.summary) for shot in exemplars]
            return SUMMARY.substitute(exemplars="".join(pairs), form=form.text_words("summary"))

        shots = shown[: self.summary_few_shots]
        summary, _ = await _fitted(engine, request, system, shots, lambda text: form.read_text("summary", text), rng)
        return dataclasses.replace(made, summary=summary)

    # ---- filters ----------------------------------------------------------------------------------------------------

    def _judges(self, engine: Engine) -> Sequence[Filter]:
        """Filters of a dialogue that has no summary yet; cheap ones first."""
        return (*self._cheap(), *((Judged(engine),) if self.grounding == "engine" else ()))

    def _cheap(self) -> Sequence[Filter]:
        """Filters that ask nobody. The published procedure has none; two speakers are what all else here rests on."""
        if not self.hygiene:
            form: tuple[Filter, ...] = (Structure(),)
        else:
            form = (
                *(Structure(self.low, self.high), Length(longest=120), Placeholders()),
                *(Repetition(), Reasoning(), Copying(share=0.0)),
            )
        encoder = self.encoder if self.grounding == "vectors" else None
        return (*form, OnTopic(encoder=encoder)) if self.grounding in ("words", "vectors") else form

    def _of_summary(self) -> Sequence[Filter]:
        return (Summary(_names()),) if self.hygiene else ()

    def filters(self, engine: Engine) -> Sequence[Filter]:
        """What a finished dialogue is held to. A critic's verdict on the subject came before, and is asked once."""
        return (*self._cheap(), *self._of_summary())

    def across(self) -> Sequence[Across]:
        return (NearDuplicates(self.duplicate),) if self.hygiene else ()


@functools.cache
def _names() -> frozenset[str]:
    """Given names."""
    return frozenset(seeds.lines(HERE / "spc_names.txt"))


T = TypeVar("T")


async def _fitted(
    engine: Engine,
    request: Request,
    system: Callable[[Sequence[Dialogue]], str],
    exemplars: Sequence[Dialogue],
    read: Callable[[str], T],
    rng: Random,
) -> tuple[T, Sequence[Dialogue]]:
    """What is read of the reply under a system message with `exemplars`, fewer where the context is too small."""
    while True:
        head: tuple[Message, ...] = (("system", system(exemplars)),)
        try:
            whole = dataclasses.replace(request, messages=head + request.messages)
            return await ask(engine, whole, read, rng), exemplars
        except ContextOverflow:
            if not exemplars:
                raise
            exemplars = exemplars[:-1]
