"""SOLID-RL: the whole dialogue in one call, by a model that learned it from SOLID's dialogues.

Paper: "SOLID: Self-seeding and Multi-intent Self-instructing LLMs for Generating Intent-aware Information-Seeking
Dialogs", Askari, Petcu, Meng, Aliannejadi, Abolghasemi, Kanoulas and Verberne, 2024, arXiv 2402.11633. Its
repositories carry no licence: nothing of them is here.

A seed as SOLID's (type, name, background document, attribute) and a numbered plan of roles and intents go in; the
model writes every turn under its number, role and intents, the opening question included. The reply is read strictly:
one that strays from the plan is asked for again, twice, and then the seed is dropped with the reason. The model comes
from `training`: fine-tuned on solid's dialogues, weighted and tagged by their length, then by preference.

Deviations. The paper does not tell its prompt, format, decoding or what became of replies that could not be read: all
of that is ours. Chat messages instead of raw completions. The tag of good quality is asked for, as a model learned it
that was trained on mixed quality; `--quality ""` is for one that was not.

Preset `improved` seeds as solid's does, and filters, at last by a critic who has to find an intent of each turn; with
`--by classifier --classifier DIR` it is a classifier of `training` that has to.
Preset `laptop` is for the embedded model, which strays from a plan: a grammar holds it there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from string import Template
from typing import Any, ClassVar, Literal

from synthesis.asking import ask
from synthesis.dialogue import Dialogue, Turn, from_json
from synthesis.engine import Engine, Grammar, Request
from synthesis.errors import ContextOverflow, ReadingError, UserError
from synthesis.filter import Across, Filter, first_reason
from synthesis.filters.intents import FOUND, By, Wanted, consistent, settled, usable
from synthesis.filters.near_duplicates import NearDuplicates
from synthesis.filters.placeholders import Placeholders
from synthesis.filters.utterances import Leaked, OptOut, Repeated, Said
from synthesis.intents import one_step, plans, seeded, seeding
from synthesis.intents.plans import Plan
from synthesis.intents.subjects import identity
from synthesis.recipe import Dropped, Pool, Seed
from synthesis.storage import read_jsonl

HERE = Path(__file__).parent
SENTENCE = r"[A-Z][^<>:\[\]{}_\d\n]{10,160}[.?!]"
"""What a grammar has of an utterance; without digits, which the embedded model takes for those of speakers."""

IMPROVED: dict[str, Any] = {
    **seeded.IMPROVED,
    "hygiene": True,
    "consistency": "any",
}

LAPTOP: dict[str, Any] = {
    "entities": HERE / "solid_entities.jsonl",
    "repeats": 100,
    "low": 3,
    "high": 5,
    "length": 110,
    "grammar": True,
    "quality": "",
    "consistency": "none",  # the embedded model tells no intent from another; its cards say so
    "temperature": 0.5,
    "top_p": 0.9,
}

_LEAST = {"length": 1, "tries": 1, "duplicate": 0}

_MOOT: dict[str, Any] = {"sequences": None, "types_file": HERE / "solid_types.txt"}
"""Fields that say nothing where seeds and plans are taken over, by their defaults."""


@dataclass(frozen=True, slots=True)
class SolidRl(seeded.Seeded):
    """Hyper-parameters. Of this form nothing is published but the number of calls; all else is choice.

    | abstract of arXiv 2402.11633 | value | field                                 |
    |------------------------------|-------|---------------------------------------|
    | calls for a whole dialogue   | 1     | tries (choice: two more if need be)   |

    What seeds are made of is as the recipe solid has it.
    """

    name: ClassVar[str] = "solid_rl"
    prompts: ClassVar[tuple[Template, ...]] = (one_step.PROMPT, FOUND, *seeding.PROMPTS)
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {},
        "improved": IMPROVED,
        "laptop": IMPROVED | LAPTOP,
    }

    # what dialogues are about
    like: Path | None = None  # choice: dialogues.jsonl of solid, whose seeds and plans are used again
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
    repeats: int = 1  # choice: dialogues of an entity's attribute, each with a plan of its own
    # who says what
    sequences: Path | None = None  # ours, or MSDialog-Intent.json: only its training part, if the rest is for tests
    draw: Literal["copy", "chain"] = "copy"  # choice: chain fits a Markov chain to the file
    roles: Literal["rules", "free"] = "free"  # choice: rules keep roles to their intents
    low: int = 3  # choice: turns without a file
    high: int = 10  # choice
    # the one call, all choice
    quality: str = one_step.GOOD
    length: int = 128  # tokens a turn, number and labels included: the reply may have so many for each of the plan
    temperature: float = 0.7
    top_p: float | None = 0.95
    grammar: bool = False  # holds the reply to the plan, and each utterance to one sentence
    tries: int = 3
    # filters
    hygiene: bool = False
    consistency: Wanted = "none"
    by: By = "judge"  # choice: who finds the intents, the critic or a trained classifier
    classifier: Path | None = None  # choice: folder that training.classifier made
    duplicate: float = 0.6  # choice

    def __post_init__(self) -> None:
        self._sound(_LEAST)
        if self.like is not None and self.entities is not None:
            raise UserError(
                "recipe solid_rl: --like has its own entities; leave --entities out, and where the preset has some, "
                "as laptop does, give --entities none"
            )
        moot = [name for name, usual in _MOOT.items() if getattr(self, name) != usual]
        if self.like is not None and moot:
            raise UserError(
                f"recipe solid_rl: --like has its own entities and plans, so --{moot[0].replace('_', '-')} means "
                "nothing; leave one of the two out"
            )
        settled("solid_rl", self.consistency, self.by, self.classifier)

    @property
    def rounds(self) -> int:
        """One pass over the seeds; nothing is learned from it."""
        return 1

    def check(self) -> None:
        """Entities, types, sequences or dialogues, read once for their mistakes; and the classifier, loaded."""
        usable(self.classifier)
        if self.like is not None:
            self._again(self.like)
        else:
            self._subjects().check()

    # ---- seeds ------------------------------------------------------------------------------------------------------

    async def seeds(self, engine: Engine, rng: Random, n: int) -> AsyncIterator[Seed]:
        """As solid's, but without opening questions; or those of its dialogues, drawn if there are more than `n`."""
        if self.like is not None:
            again = self._again(self.like)
            for seed in rng.sample(again, min(n, len(again))):
                yield seed
            return
        async for seed in self._subjects().seeds(engine, rng, n):
            yield seed

    def _again(self, path: Path) -> list[Seed]:
        """Seeds and plans of the dialogues of a file. Raises UserError for what solid did not write."""
        found, before = [], Counter[tuple[str, ...]]()
        for where, row in read_jsonl(path, "dialogues"):
            dialogue = from_json(row, where)
            told = one_step.seed_of(dialogue)
            plan = plans.made(Plan.of(dialogue.turns).rows(), where, "free")
            about = (told["name"], told["type"], told["attribute"])
            found.append(
                Seed(identity(self.name, told, before[about]), told | {"plan": plan.rows(), "declined": None})
            )
            before[about] += 1
        return found

    # ---- a dialogue -------------------------------------------------------------------------------------------------

    def pool(self, kept: Sequence[Dialogue]) -> Pool:
        """Nothing: a dialogue is written from its seed alone."""
        return Pool()

    async def dialogue(self, seed: Seed, pool: Pool, engine: Engine, rng: Random) -> Dialogue:
        """The dialogue that one call writes.

        Raises Dropped when the model declined the seed, no reply of `tries` can be read, the plan does not fit the
        model's context, or a filter has a reason.
        """
        content = seed.content
        if content["declined"]:
            raise Dropped("seed", content["declined"])
        plan = plans.made(content["plan"], seed.id, "free")
        made = Dialogue(
            seed.id,
            await self._written(seed, plan, engine, rng),
            topic=content["name"],
            subtopic=content["attribute"],
            document=content["document"],
            goal={"type": content["type"]} | ({"quality": self.quality} if self.quality else {}),
        )
        dropped = await first_reason(self._judges(engine), made)
        if dropped is not None:
            raise Dropped(*dropped, made.text())
        return made

    async def _written(self, seed: Seed, plan: Plan, engine: Engine, rng: Random) -> tuple[Turn, ...]:
        """The turns of the first reply that follows the plan to its end."""
        request = self._request(one_step.prompt(seed.content, plan, self.quality), plan, seed.id)
        try:
            return await ask(engine, request, lambda text: one_step.parse(text, plan), rng, self.tries, whole=True)
        except ReadingError as error:
            raise Dropped("one step", f"unreadable: {error}", error.raw) from error
        except ContextOverflow as error:
            raise Dropped(
                "one step",
                f"context: the prompt and {request.max_new_tokens} tokens for {len(plan.steps)} turns do not fit: "
                f"{error}; lower --high or --length, or serve with a longer context",
            ) from error

    def _request(self, text: str, plan: Plan, conversation: str) -> Request:
        return Request(
            "one step",
            self.length * len(plan.steps),
            messages=(("user", text),),
            temperature=self.temperature or None,
            top_p=self.top_p if self.temperature else None,
            grammar=Grammar("regex", one_step.pattern(plan, SENTENCE)) if self.grammar else None,
            conversation=conversation,
        )

    # ---- filters ----------------------------------------------------------------------------------------------------

    def _judges(self, engine: Engine) -> Sequence[Filter]:
        """Filters of a fresh dialogue, cheap ones first."""
        return (*self.filters(engine), *consistent(engine, self.consistency, self.by, self.classifier))

    def filters(self, engine: Engine) -> Sequence[Filter]:
        """What a finished dialogue is held to. The critic's findings came before, and are asked for once."""
        return (Said(), OptOut(), Leaked(), Repeated(), Placeholders()) if self.hygiene else ()

    def across(self) -> Sequence[Across]:
        return (NearDuplicates(self.duplicate),) if self.hygiene else ()
