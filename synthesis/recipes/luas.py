"""LUAS: a user and an agent, both simulated, talk about a goal over a database, and every user turn has its state.

Paper: "Enhancing Dialogue State Tracking Models through LLM-backed User-Agents Simulation", ACL 2024,
arXiv 2405.13037. Its repository has no licence: nothing of it is here, and prompts, templates, town and rows are ours.

A goal (what is wanted, domain by domain) is revealed to a simulated user step by step. A simulated agent asks for
what is missing, searches the database and reports, recommends, answers and books. A third reader extracts the slots
of every user turn. On the dialogues a state tracker is trained before it is trained on real ones: that is
`training`'s part.

Deviations. Preset `paper` speaks freely with the published marks, and reconciles the extracted slots with what was
revealed by the published rules; but goals come from the database by default (the released ones are real training
dialogues: --goals corpus), an agent sees five rows and not all, and a name is no label before the user takes the
offer. What is unpublished is choice: the chances of the reveal schedule, of property questions, and our templates.
Preset `improved` has the policy decide acts, slots and values first, and the engine only find the words; a reader who
has not seen the acts must read the same state back, and an agent may only name what was looked up; else the turn is
said again, twice at most, and then the dialogue is dropped with the reason. Preset `laptop` is for the embedded model,
whose own words seldom say what they should: it chooses among sentences put together of phrases that ship with the
recipe, and the slots are read by rules. Such words are correct and plain, and far less varied than a large model's.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from string import Template
from typing import Any, ClassVar, Literal

from synthesis.contents import digested, named
from synthesis.dialogue import Dialogue
from synthesis.engine import Engine
from synthesis.errors import UserError
from synthesis.filter import Across, Filter
from synthesis.filters.courtesy import Courtesy
from synthesis.filters.length import Length
from synthesis.filters.near_duplicates import NearDuplicates
from synthesis.filters.placeholders import Placeholders
from synthesis.filters.repetition import Repetition
from synthesis.filters.states import States
from synthesis.filters.structure import Structure
from synthesis.recipe import Dropped, Pool, Seed, fork
from synthesis.seeds import attributes
from synthesis.task_oriented.corpora import reading
from synthesis.task_oriented.goals import goal as goal_records
from synthesis.task_oriented.goals.corpus import from_dialogues
from synthesis.task_oriented.goals.drawing import Drawing, from_database, perturbed
from synthesis.task_oriented.goals.goal import Goal
from synthesis.task_oriented.simulation.machine import Conversation
from synthesis.task_oriented.simulation.policy import Policy
from synthesis.task_oriented.speech import verbalised
from synthesis.task_oriented.speech import wording as prompts_of
from synthesis.task_oriented.speech.free_talk import FreeTalk
from synthesis.task_oriented.speech.setting import Caller, Manner, Setting
from synthesis.task_oriented.speech.verbalised import Verbalised
from synthesis.task_oriented.state import USER

log = logging.getLogger(__name__)

HERE = Path(__file__).parent

IMPROVED: dict[str, Any] = {"mode": "improved", "attempts": 1, "duplicate": 0.6}

LAPTOP: dict[str, Any] = {
    "wording": "phrases",
    "extractor": "rules",
    "rewrites": 0,
    "temperature": 1.0,  # so that it does not always choose alike
    "candidates": 4,
}

_LEAST = {
    **dict.fromkeys(
        ("length", "slots_length", "attempts", "candidates", "fewest_turns", "most_domains", "longest"), 1
    ),
    "repeats": 2,
    **dict.fromkeys(("temperature", "regenerations", "rewrites", "duplicate", "traits"), 0),
}


@dataclass(frozen=True, slots=True)
class Luas:
    """Hyper-parameters. Marks: paper, code (the released code), choice (ours).

    | arXiv 2405.13037                    | value                  | mark   | field                              |
    |-------------------------------------|------------------------|--------|------------------------------------|
    | simulator                           | gpt-4-1106-preview     | paper  | any chat model                     |
    | temperature                         | 0.5                    | code   | temperature                        |
    | goals                               | real training ones     | code   | goals, corpus (db: choice)         |
    | rewrites of a user's turn           | 3, or the original     | code   | rewrites                           |
    | recommendations from templates      | .9                     | code   | templates (the texts: choice)      |
    | exchanges a domain                  | 12 hotel, 8 else       | code   | cap_hotel, cap                     |
    | tries a goal                        | 3                      | code   | attempts                           |
    | fewest records of a dialogue        | 5                      | code   | fewest_turns                       |
    | extractor must agree, else again    | how often is not told  | paper  | regenerations (2: choice)          |
    | opener without a slot               | .1                     | code   | opener                             |
    | value as "the same as"              | .2                     | code   | coreference                        |
    | booking refused                     | .05                    | code   | refuse                             |
    | one change of mind, or two          | .8, .2                 | code   | second_update                      |
    | first value leads to nothing        | .1                     | code   | vain                               |
    | "I don't mind"                      | removed                | code   | dontcare (.05: choice)             |

    In synthesis/task_oriented, `speech` says how turns come about; `simulation.policy` and `goals.drawing` list
    the chances that have no field here.
    """

    name: ClassVar[str] = "luas"
    prompts: ClassVar[tuple[Template, ...]] = (*prompts_of.PROMPTS, verbalised.CHOOSE)
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {},
        "improved": IMPROVED,
        "laptop": IMPROVED | LAPTOP,
    }

    mode: Literal["paper", "improved"] = "paper"
    # what is talked about
    ontology: Path = HERE / "luas_ontology"  # folder of schema.json and db; MultiWOZ 2.2's or SGD's form
    domains: tuple[str, ...] = ()  # those that goals may have; none: all
    goals: Literal["db", "corpus"] = "db"  # choice
    corpus: Path | str | None = None  # training dialogues, for goals corpus
    most_domains: int = 3  # choice: where the published combinations do not fit the ontology
    vain: float = 0.1
    dontcare: float = 0.05
    personas: Path | None = None  # choice: attributes, one JSON object a line, drawn for each user
    traits: int = 3  # choice: attributes of a user
    # who does what
    cap: int = 8
    cap_hotel: int = 12
    opener: float = 0.1
    question: float = 0.5  # choice
    second_update: float = 0.2
    refuse: float = 0.05
    coreference: float = 0.2
    # words
    wording: Literal["free", "phrases"] = "free"
    phrases: Path = HERE / "luas_phrases.json"
    candidates: int = 8  # choice: sentences to choose among
    temperature: float = 0.5
    top_p: float | None = None
    length: int = 160  # choice: tokens of an utterance
    slots_length: int = 400  # choice: tokens of a reader's answer
    rewrites: int = 3
    templates: float = 0.9
    # verification
    extractor: Literal["engine", "rules", "none"] = "engine"
    regenerations: int = 2
    attempts: int = 3
    # filters
    fewest_turns: int = 5
    repeats: int = 3  # choice: how often one utterance may come
    longest: int = 80  # choice: words of an utterance
    duplicate: float = 0.0  # similarity of dialogues from which one goes; 0: no filter

    def __post_init__(self) -> None:
        for field, least in _LEAST.items():
            if getattr(self, field) < least:
                raise UserError(f"recipe luas: {field} is {getattr(self, field)}, expected at least {least}")
        if not 0 <= self.templates <= 1:
            raise UserError(f"recipe luas: templates is {self.templates}, a share; give a number from 0 to 1")
        if self.top_p is not None and not 0 < self.top_p < 1:
            raise UserError(f"recipe luas: top_p is {self.top_p}, expected more than 0 and less than 1, or none")
        if self.mode == "paper" and (self.wording, self.extractor) != ("free", "engine"):
            raise UserError(
                f"recipe luas: mode paper has wording free and extractor engine, got {self.wording} and "
                f"{self.extractor}; give --mode improved, or leave them"
            )
        if (self.goals == "corpus") != (self.corpus is not None):
            raise UserError(
                "recipe luas: --goals corpus and --corpus go together: dialogues of a training split, as MultiWOZ or "
                "SGD has them, or a run's dialogues.jsonl"
            )
        self._policy().check()

    @property
    def rounds(self) -> int:
        """One pass over the seeds; nothing is learned from it."""
        return 1

    def check(self) -> None:
        """Schema, tables, phrases, corpus and personas, read once for their mistakes."""
        setting = self._setting()
        self._drawing().check(setting.ontology, setting.database)
        if self.corpus is not None:
            self._goals_of_corpus(setting)
        self._attributes()

    # ---- seeds: goals -----------------------------------------------------------------------------------------------

    async def seeds(self, engine: Engine, rng: Random, n: int) -> AsyncIterator[Seed]:
        """A goal each: drawn from the database, or of a training dialogue, each once before any comes again."""
        setting = self._setting()
        ready = self._goals_of_corpus(setting) if self.corpus is not None else []
        traits = self._attributes()
        rng.shuffle(ready)
        for number in range(n):
            goal = self._in_vain(ready[number % len(ready)], setting, rng) if ready else self._drawn(setting, rng)
            if traits:
                goal = dataclasses.replace(goal, persona=" ".join(rng.sample(traits, min(self.traits, len(traits)))))
            content = {"goal": goal.to_json()}
            yield Seed(f"luas-{self._digest(content, number)}", content)

    def _drawn(self, setting: Setting, rng: Random) -> Goal:
        """A goal that some row satisfies: others are drawn again, a bounded number of times."""
        for _ in range(_DRAWS):
            try:
                return from_database(setting.ontology, setting.database, rng, self._drawing())
            except UserError as error:
                last = error
        raise UserError(f"no goal in {_DRAWS} draws that a row satisfies; the last: {last}")

    def _in_vain(self, goal: Goal, setting: Setting, rng: Random) -> Goal:
        """A goal of a real dialogue, some values of which lead to nothing first; drawn ones come so."""
        return perturbed(goal, setting.ontology, setting.database, rng, self.vain)

    def _goals_of_corpus(self, setting: Setting) -> list[Goal]:
        found = from_dialogues(reading.read(str(self.corpus)), setting.ontology, setting.database)
        return [goal for _, goal in found]

    def _digest(self, content: Mapping[str, Any], number: int) -> str:
        """Of the goal, of its number, and of everything that shapes the dialogue."""
        settings = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        whole = json.dumps([content, number, settings], sort_keys=True, default=named)
        return hashlib.sha256(whole.encode()).hexdigest()[:12]

    def _attributes(self) -> list[str]:
        """The attributes that users are given; none where no file is."""
        return [] if self.personas is None else attributes(self.personas)

    # ---- a dialogue -------------------------------------------------------------------------------------------------

    def pool(self, kept: Sequence[Dialogue]) -> Pool:
        """Nothing: a dialogue is written from its goal alone."""
        return Pool()

    async def dialogue(self, seed: Seed, pool: Pool, engine: Engine, rng: Random) -> Dialogue:
        """The first of a few tries that comes to its end. Raises Dropped with the last one's reason."""
        goal = goal_records.from_json(seed.content["goal"], f"seed {seed.id}")
        left = self.attempts
        while True:
            left -= 1
            try:
                return await self._simulated(seed.id, goal, engine, fork(rng))
            except Dropped as dropped:
                log.debug("%s: %s", seed.id, dropped)
                if not left:
                    raise

    async def _simulated(self, id: str, goal: Goal, engine: Engine, rng: Random) -> Dialogue:
        setting = self._setting()
        talk = Conversation(goal, setting.ontology, setting.database, self._policy(), fork(rng))
        caller = Caller(engine, self._manner(), id, fork(rng))
        kind = FreeTalk if self.mode == "paper" else Verbalised
        scene = kind(setting, caller, goal.domains, goal.persona, fork(rng))
        await scene.run(talk)
        return Dialogue(id, tuple(scene.turns), goal=goal.to_json(), notes=tuple(scene.notes))

    def _setting(self) -> Setting:
        return _setting(self.ontology, self.phrases, digested(self.ontology), digested(self.phrases))

    def _drawing(self) -> Drawing:
        return Drawing(only=self.domains, most=self.most_domains, vain=self.vain, dontcare=self.dontcare)

    def _policy(self) -> Policy:
        return Policy(
            cap=self.cap,
            cap_hotel=self.cap_hotel,
            opener=self.opener,
            question=self.question,
            second_update=self.second_update,
            refuse=self.refuse,
            coreference=self.coreference,
        )

    def _manner(self) -> Manner:
        return Manner(**{field.name: getattr(self, field.name) for field in dataclasses.fields(Manner)})

    # ---- filters ----------------------------------------------------------------------------------------------------

    def filters(self, engine: Engine) -> Sequence[Filter]:
        """What a finished dialogue is held to."""
        return (
            Structure(low=self.fewest_turns, first=USER),
            Length(self.longest, 2.0),
            Placeholders(),
            Repetition(times=self.repeats, phrase=9, turns=self.repeats),
            Courtesy(),
            States(),
        )

    def across(self) -> Sequence[Across]:
        return (NearDuplicates(self.duplicate),) if self.duplicate else ()


_DRAWS = 20


@functools.cache
def _setting(ontology: Path, phrases: Path, *digests: str) -> Setting:
    """Read once; `digests` of the files are there so that files which change are read again."""
    return Setting.read(ontology, phrases)
