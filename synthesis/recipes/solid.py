"""SOLID: information-seeking dialogues whose every utterance was written for intents that are known beforehand.

Paper: "SOLID: Self-seeding and Multi-intent Self-instructing LLMs for Generating Intent-aware Information-Seeking
Dialogs", Askari, Petcu, Meng, Aliannejadi, Abolghasemi, Kanoulas and Verberne, 2024, arXiv 2402.11633. Its
repositories carry no licence: nothing of them is here, and instructions, prompts and types are ours.

A model makes its own seeds: entity types, names by their initials, a background document for each, attributes of each
type, and the question that opens a dialogue on an attribute. A sequence of intents is given to each; the model then
writes utterance after utterance, told in one instruction what the next one is to do, which for several intents at once
is merged by the model itself. The dialogues train classifiers of intents.

Deviations. Chat messages instead of raw completions; no ban on repeated 2-grams and no least length, which the
protocol does not have. The defects of the released code are mended: the whole completion is taken, the prompt holds
the instruction of the next turn alone, type and attribute stand in it, roles are those of the sequence, an opt-out is
known by how it begins, the oldest turns are left out where the context is too small and the dialogue says so. `--bugs
true` brings them back: lost, empty and repeated utterances, heaped instructions, a prompt without type and attribute,
strict alternation, opt-outs taken for documents, names filtered by the released rules. Not brought back: the least
length of a reply, slices cut off the list of names, prompts cut off without a word where the context is too small
(servers refuse them, and so the dialogue fails), and code there that has no effect. Without a file, sequences come
from a prior over combinations of labels.

Preset `improved` samples, asks whether a name is real, asks few questions about many entities, keeps roles to intents
that are theirs, draws from a Markov chain where there is a file, and filters, at last by a critic who has to find an
intent of each turn; with `--by classifier --classifier DIR` it is a classifier of `training` that has to. Preset
`laptop` is for the embedded model, which knows few entities and seldom keeps to an intent: entities, documents
and questions ship with the recipe.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from string import Template
from typing import Any, ClassVar, Literal

from synthesis import reading
from synthesis.asking import ask
from synthesis.dialogue import Dialogue, Turn, transcript
from synthesis.engine import Engine, Grammar, Reply, Request
from synthesis.errors import ContextOverflow, ReadingError
from synthesis.filter import Across, Filter, first_reason
from synthesis.filters.intents import FOUND, By, Wanted, consistent, settled, usable
from synthesis.filters.near_duplicates import NearDuplicates
from synthesis.filters.placeholders import Placeholders
from synthesis.filters.utterances import Leaked, OptOut, Repeated, Said
from synthesis.intents import plans, released, seeded, seeding
from synthesis.intents.labels import INTENTS, ROLES
from synthesis.intents.plans import Plan, Step
from synthesis.recipe import Dropped, Pool, Seed, fork

STARTER = Template("""Background on $name ($type):
$document

Somebody who looks for information turns to an agent with this on their mind: the $attribute of $name. Write the one \
question, to the point, with which the conversation begins, and nothing else. $instruction""")

MERGE = Template("""Several instructions for one utterance become one instruction, in which nothing is lost.

Instructions:
- Say what you had for lunch.
- Complain about the weather.
One instruction: Say what you had for lunch, and complain about the weather while you do.

Instructions:
$instructions
One instruction:""")

SYSTEM = Template("""You write conversations between a User who looks for information and an Agent who helps, one \
utterance at a time. They talk about $name ($type), and about its $attribute above all. This is known:

$document""")

TURN = Template("""Conversation so far:
$history

The $role speaks next. $instruction
Write what the $role says, and nothing else.""")

HERE = Path(__file__).parent
SENTENCE = r"[A-TV-Z][^<>:U\[\]{}_\d\n]{10,160}[.?!]"
"""For the embedded model, which has learned "User 1" and "User 2" before all else: without digits, and without the U
that they begin with, for after a bare "User" it writes what is no word."""

IMPROVED: dict[str, Any] = {
    **seeded.IMPROVED,
    "temperature": 0.7,
    "top_p": 0.95,
    "length": 128,
    "merge_length": 96,
    "whole": True,
    "hygiene": True,
    "consistency": "any",
    "resamples": 2,
}

LAPTOP: dict[str, Any] = {
    "entities": HERE / "solid_entities.jsonl",
    "repeats": 100,
    "low": 3,
    "high": 5,
    "length": 96,  # more than a sentence of the grammar takes
    "merge": "concat",
    "grammar": True,
    "whole": False,
    "consistency": "none",  # the embedded model tells no intent from another; its cards say so
    "temperature": 0.5,
    "top_p": 0.9,
    "resamples": 4,
}

_LEAST = {
    **dict.fromkeys(("starter_length", "merge_length", "length"), 1),
    **dict.fromkeys(("resamples", "duplicate"), 0),
}


@dataclass(frozen=True, slots=True)
class Solid(seeded.Seeded):
    """Hyper-parameters. Defaults are the published ones unless marked choice; the presets say what they change.

    | released code of arXiv 2402.11633          | value        | field                            |
    |--------------------------------------------|--------------|----------------------------------|
    | entity types asked for                     | 100          | type_count                       |
    | names a type and letter: asked for, tokens | 100, 1,000   | names_per_call, names_length     |
    | tokens of a document                       | 200          | document_length                  |
    | attributes a type                          | 10           | attributes                       |
    | starters an entity, one an attribute       | 10           | starters                         |
    | sequences                                  | copied       | draw                             |
    | tokens of a merged instruction             | 50           | merge_length                     |
    | tokens of an utterance                     | 100          | length                           |
    | decoding                                   | greedy       | temperature (0)                  |
    """

    name: ClassVar[str] = "solid"
    prompts: ClassVar[tuple[Template, ...]] = (STARTER, MERGE, SYSTEM, TURN, FOUND, released.PROMPT, *seeding.PROMPTS)
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {},
        "improved": IMPROVED,
        "laptop": IMPROVED | LAPTOP,
    }

    # what dialogues are about
    entities: Path | None = None  # instead of self-seeding
    types: Literal["list", "ask"] = "list"
    types_file: Path = HERE / "solid_types.txt"
    type_count: int = 100
    names_per_call: int = 100
    names_length: int = 1000
    name_shortest: int = 2  # choice: letters and digits of a name's longest word, at least and at most
    name_longest: int = 25
    name_words: int = 6  # choice
    reality: bool = False  # choice: each name is asked about by itself
    document_length: int = 200
    attributes: int = 10
    starters: int = 10
    repeats: int = 1  # choice: dialogues of a starter, each with a plan of its own
    starter_length: int = 100  # choice
    # who says what
    sequences: Path | None = None  # ours, or MSDialog-Intent.json: only its training part, if the rest is for tests
    draw: Literal["copy", "chain"] = "copy"  # choice: chain fits a Markov chain to the file
    roles: Literal["rules", "free"] = "free"  # choice: rules keep roles to their intents
    low: int = 3  # choice: turns without a file
    high: int = 10  # choice
    # utterances
    merge: Literal["engine", "concat"] = "engine"
    merge_length: int = 50
    length: int = 100
    temperature: float = 0.0
    top_p: float | None = None
    grammar: bool = False  # choice: holds an utterance to one sentence
    whole: bool = False  # choice: a reply that is cut off is asked for again; not with bugs
    resamples: int = 0  # choice: further tries when a filter drops
    bugs: bool = False  # the defects of the released code
    # filters
    hygiene: bool = False
    consistency: Wanted = "none"
    by: By = "judge"  # choice: who finds the intents, the critic or a trained classifier
    classifier: Path | None = None  # choice: folder that training.classifier made
    duplicate: float = 0.6  # choice

    def __post_init__(self) -> None:
        self._sound(_LEAST)
        settled("solid", self.consistency, self.by, self.classifier)

    @property
    def rounds(self) -> int:
        """One pass over the seeds; nothing is learned from it."""
        return 1

    def check(self) -> None:
        """Entities, types and sequences, read once for their mistakes; and the classifier, loaded."""
        usable(self.classifier)
        self._subjects(self.bugs).check()

    # ---- seeds: entities, attributes, plans, opening questions ------------------------------------------------------

    async def seeds(self, engine: Engine, rng: Random, n: int) -> AsyncIterator[Seed]:
        """An entity, what to ask about it, the opening question, and a plan; see `Subjects.seeds`."""
        async for seed in self._subjects(self.bugs).seeds(engine, rng, n, self._starter):
            yield seed

    async def _starter(self, engine: Engine, told: Mapping[str, str], step: Step, rng: Random) -> str:
        """The question that opens the dialogue, told what else it has to do beside asking."""
        more = await self._instruction(engine, step) if len(step.intents) > 1 else ""
        text = STARTER.substitute(told, instruction=more).strip()
        request = self._request("starter", self.starter_length, messages=(("user", text),))
        return (await self._heard(engine, request, lambda reply: said(reply, step.role), rng))[0]

    # ---- a dialogue -------------------------------------------------------------------------------------------------

    def pool(self, kept: Sequence[Dialogue]) -> Pool:
        """Nothing: a dialogue is written from its seed alone."""
        return Pool()

    async def dialogue(self, seed: Seed, pool: Pool, engine: Engine, rng: Random) -> Dialogue:
        """The first dialogue of a few tries that its filters keep. Raises Dropped with the last reason."""
        if seed.content["declined"]:
            raise Dropped("seed", seed.content["declined"])
        left = self.resamples
        while True:
            made = await self._written(seed, engine, fork(rng))
            dropped = await first_reason(self._judges(engine), made)
            if dropped is None:
                return made
            if not left:
                raise Dropped(*dropped, made.text())
            left -= 1

    async def _written(self, seed: Seed, engine: Engine, rng: Random) -> Dialogue:
        """The dialogue, turn by turn. Its goal says of each turn what was told and how the reply ended."""
        content = seed.content
        plan = plans.made(content["plan"], seed.id, "free")
        first, *rest = plan.steps
        turns = [Turn(first.role, content["starter"], first.intents)]
        told = [await self._instruction(engine, first)]
        ends, notes = ["given"], []
        for step in rest:
            told.append(await self._instruction(engine, step))
            if self.bugs:
                text, end = await self._as_released(seed, plan, turns, told, engine, rng)
            else:
                text, end, forgotten = await self._utterance(seed, step, turns, told[-1], engine, rng)
                notes += [f"context: the oldest {forgotten} turns unseen at turn {len(turns) + 1}"] * bool(forgotten)
            turns.append(Turn(step.role, text, step.intents))
            ends.append(end)
        return Dialogue(
            seed.id,
            tuple(turns),
            topic=content["name"],
            subtopic=content["attribute"],
            document=content["document"],
            goal={"type": content["type"], "instructions": told, "ends": ends},
            notes=tuple(notes),
        )

    async def _instruction(self, engine: Engine, step: Step) -> str:
        """What a turn is told: one intent's instruction, or several merged.

        The request depends on roles and intents alone, so that the journal answers it for every later turn.
        """
        each = [INTENTS[code].instruction(step.role) for code in step.intents]
        if len(each) == 1 or self.merge == "concat":
            return " ".join(each)
        listed = "\n".join(f"- {text}" for text in each)
        request = Request("merge", self.merge_length, messages=(("user", MERGE.substitute(instructions=listed)),))
        rng = Random(f"{'_'.join(step.intents)}:{step.role}")
        return (await self._heard(engine, request, reading.sentence, rng))[0]

    async def _utterance(
        self, seed: Seed, step: Step, before: Sequence[Turn], instruction: str, engine: Engine, rng: Random
    ) -> tuple[str, str, int]:
        """What is said next, how the reply ended, and how many of the oldest turns the context had no room for."""
        system = SYSTEM.substitute({key: value for key, value in seed.content.items() if isinstance(value, str)})
        stop = tuple(f"\n{role}:" for role in ROLES)
        grammar = Grammar("regex", SENTENCE) if self.grammar else None
        forgotten = 0
        while True:
            history = transcript(before[forgotten:])
            asked = TURN.substitute(history=history, role=step.role, instruction=instruction)
            messages = (("system", system), ("user", asked))
            request = self._request(
                "turn", self.length, messages=messages, stop=stop, grammar=grammar, conversation=seed.id
            )
            try:
                text, end = await self._heard(engine, request, lambda reply: said(reply, step.role), rng)
                return text, end, forgotten
            except ContextOverflow:
                forgotten += 1
                if forgotten == len(before):
                    raise

    async def _as_released(
        self, seed: Seed, plan: Plan, before: Sequence[Turn], told: Sequence[str], engine: Engine, rng: Random
    ) -> tuple[str, str]:
        """What the released code would record for the next turn, and how the reply ended."""
        name, document = seed.content["name"], seed.content["document"]
        prompt = released.prompt(plan, [turn.text for turn in before], told[1:], name, document)
        request = self._request("turn", self.length, prompt=prompt, conversation=seed.id)
        return await self._heard(engine, request, lambda reply: released.trimmed(prompt, reply), rng)

    def _request(self, stage: str, length: int, **content: Any) -> Request:
        top_p = self.top_p if self.temperature else None
        return Request(stage, length, temperature=self.temperature or None, top_p=top_p, **content)

    async def _heard(
        self, engine: Engine, request: Request, read: Callable[[str], str], rng: Random
    ) -> tuple[str, str]:
        """What is read of a reply, and how it ended; one that was cut off is asked for again where that is wanted."""
        ends = [""]

        async def listening(request: Request) -> Reply:
            reply = await engine(request)
            ends.append(reply.finish_reason)
            return reply

        return await ask(listening, request, read, rng, whole=self.whole and not self.bugs), ends[-1]

    # ---- filters ----------------------------------------------------------------------------------------------------

    def _judges(self, engine: Engine) -> Sequence[Filter]:
        """Filters of a try, cheap ones first."""
        return (*self.filters(engine), *consistent(engine, self.consistency, self.by, self.classifier))

    def filters(self, engine: Engine) -> Sequence[Filter]:
        """What a finished dialogue is held to. The critic's findings came before, and are asked for once."""
        return (Said(), OptOut(), Leaked(), Repeated(), Placeholders()) if self.hygiene else ()

    def across(self) -> Sequence[Across]:
        return (NearDuplicates(self.duplicate),) if self.hygiene else ()


def said(text: str, role: str) -> str:
    """The whole of a reply on one line, without the speaker's label. Raises ReadingError when there is nothing."""
    line = " ".join(text.split())
    starred = rf"[*_]+\s*{role}[\s*_]*[:：][*_]*"
    line = re.sub(rf"^(?:{starred}|{role}\s*[:：])\s*", "", line, flags=re.IGNORECASE)
    if not line:
        raise ReadingError(f"expected what the {role} says, got an empty reply", text)
    return line
