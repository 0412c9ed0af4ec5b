"""Formats: how many replies to the recipes' calls their own readers can read at first try, held by a grammar and not.

Every recipe is run as it stands against the model, in its preset `laptop` and in forms that ask what the preset does
not; then again without any grammar. What cannot be read is known from `synthesis.asking`, which logs it, and for the
one call that is not asked there, spc's generator, from the recipe's reader. Requests are counted once they are
answered: what an endpoint refuses has no format.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from synthesis import outcomes, reading
from synthesis.command import recipe_class
from synthesis.dialogue import Dialogue, from_json
from synthesis.engine import Engine, Info, Reply, Request
from synthesis.errors import NoSeeds, Outage, ReadingError, RequestRefused
from synthesis.recipe import make
from synthesis.run import Plan, run

SAMPLES = 5

Key = tuple[str, bool]
"""A stage, and whether the recipe holds it by a grammar."""


@dataclass(frozen=True, slots=True)
class Form:
    """A recipe as the embedded model is asked for it: fields on top of its preset `laptop`."""

    recipe: str
    fields: Mapping[str, str | Sequence[str]] = field(default_factory=dict)

    def __str__(self) -> str:
        """Example: "autoconv mode=prompt"."""
        return " ".join([self.recipe, *(f"{name}={value}" for name, value in self.fields.items())])


_SELF_SEEDED = {
    **{"entities": "none", "type_count": "1", "names_per_call": "4", "names_length": "60", "repeats": "1"},
    **{"attributes": "3", "consistency": "any", "reality": "true"},
}
"""Seeds of solid from the model itself, so few as show how it answers."""

_REASONED = {"form": "json", "cot": "true", "longest_text": "60", "length": "640"}
"""Reasoning and twelve lines, in JSON: lines so short that mostly all that the grammar allows fits into the length."""

FORMS = (
    Form("spc", {"query_steps": "5", "iterations": "2", "profiles": "40"}),
    Form("spc", {"verdicts": "words", "query_steps": "5", "iterations": "2", "profiles": "40"}),
    Form("diasynth"),
    Form("diasynth", {"outline": "none", "topic": "Music", "list_length": "480", **_REASONED}),
    Form("solid"),
    Form("solid", {**_SELF_SEEDED, "starters": "3", "merge": "engine"}),
    Form("solid_rl"),
    Form("solid_rl", {**_SELF_SEEDED, "types": "ask"}),
    Form("autoconv", {"mode": "prompt", "grounded": "engine"}),
    Form("autoconv", {"mode": "teacher"}),
    Form("luas"),
    Form("luas", {"wording": "free", "extractor": "engine", "slots_length": "200"}),
)
"""The first of each recipe is the one that samples are taken from first."""


class Counting:
    """An engine that counts answered requests by key, and takes their grammars away where it is told to.

    A request for the log-probabilities of its prompt has a reply that nobody reads; it is not counted.
    """

    def __init__(self, engine: Engine, recipe: str, free: bool) -> None:
        self._engine, self._recipe, self._free = engine, recipe, free
        self.answered: Counter[Key] = Counter()
        self.unreadable: Counter[Key] = Counter()

    async def __call__(self, request: Request) -> Reply:
        asked = dataclasses.replace(request, grammar=None) if self._free else request
        reply = await self._engine(asked)
        if request.decoder_input_details:
            return reply
        self.answered[_key(request)] += 1
        if (self._recipe, request.stage) == ("spc", "generation") and not _turns(reply):
            self.unreadable[_key(request)] += 1
        return reply

    def first_tries(self, again: Counter[Key]) -> Iterator[tuple[Key, int, int]]:
        """Each key with its first tries and those that could not be read. `again`: tries that followed another."""
        for key, answered in sorted(self.answered.items()):
            yield key, answered - again[key], self.unreadable[key]


def _key(request: Request) -> Key:
    return request.stage, request.grammar is not None


def _turns(reply: Reply) -> bool:
    """Whether it is a whole conversation of two."""
    try:
        reading.transcript(reply.text)
    except ReadingError:
        return False
    return reply.finish_reason != "length"


class _Unread(logging.Handler):
    """Hears of each reply that cannot be read. `again`: those after which the recipe asked once more."""

    def __init__(self, unreadable: Counter[Key]) -> None:
        super().__init__(logging.DEBUG)
        self._unreadable, self.again = unreadable, Counter[Key]()

    def emit(self, record: logging.LogRecord) -> None:
        request, attempt, last = (record.__dict__[name] for name in ("request", "attempt", "last"))
        self._unreadable[_key(request)] += attempt == 1
        self.again[_key(request)] += not last


@contextlib.contextmanager
def hearing(counting: Counting) -> Iterator[Counter[Key]]:
    """While the block runs, `counting` learns what cannot be read; the value counts requests that were asked again."""
    logger = logging.getLogger("synthesis.asking")
    handler, level, passed_on = _Unread(counting.unreadable), logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    try:
        yield handler.again
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        logger.propagate = passed_on


@dataclass(frozen=True, slots=True)
class Ran:
    """A form, run. `calls`: by key first tries and unreadable ones; `counts`: seeds, those kept, dropped, failed.

    `stopped`: why the run did not come to its end, or None; without end there are no counts and nothing is kept.
    """

    form: Form
    free: bool
    calls: Mapping[Key, tuple[int, int]]
    counts: Mapping[str, int]
    kept: tuple[Dialogue, ...]
    stopped: str | None = None


async def ran(form: Form, engine: Engine, info: Info, n: int, seed: int, *, free: bool) -> Ran:
    """A run of `n` seeds in a folder that is forgotten; `free` of grammars.

    A run that stops because the model's replies are of no use has its calls counted like any other. Raises UserError,
    and EngineError where the endpoint itself is gone.
    """
    recipe = make(recipe_class(form.recipe), "laptop", form.fields)
    counting = Counting(engine, form.recipe, free)
    counts: Mapping[str, int] = {}
    kept: tuple[Dialogue, ...] = ()
    stopped = None
    with TemporaryDirectory(prefix="parley-scores-") as folder, hearing(counting) as again:
        plan = Plan(recipe, "laptop", Path(folder), n, seed, info, in_flight=16)
        try:
            counts = (await run(plan, counting, lambda phase, seeds, counts: None))["counts"]
        except (NoSeeds, ReadingError, RequestRefused, Outage) as error:
            await engine(Request("still there", 1, prompt="Yes"))
            stopped = f"{type(error).__name__}: {error}"
        else:
            kept = _kept(Path(folder) / "dialogues.jsonl")
    calls = {key: (tries, unread) for key, tries, unread in counting.first_tries(again)}
    return Ran(form, free, calls, counts, kept, stopped)


def _kept(path: Path) -> tuple[Dialogue, ...]:
    return tuple(from_json(row, str(path)) for row in islice(outcomes.read(path), SAMPLES))


def samples(runs: Sequence[Ran]) -> dict[str, list[Dialogue]]:
    """By recipe the first dialogues that it kept as it stands, form by form, at most SAMPLES."""
    found: dict[str, list[Dialogue]] = {}
    for each in runs:
        of = found.setdefault(each.form.recipe, [])
        of += [] if each.free else each.kept[: SAMPLES - len(of)]
    return found


def facts(runs: Sequence[Ran]) -> dict[str, Any]:
    """By recipe: replies and those that could be read, with grammar and without, in all and by stage; outcomes."""
    made: dict[str, Any] = {}
    for recipe in dict.fromkeys(each.form.recipe for each in runs):
        of = [each for each in runs if each.form.recipe == recipe]
        stages: dict[str, dict[str, dict[str, int]]] = {}
        for each in of:
            for (stage, held), (tries, unread) in each.calls.items():
                if each.free and not held:
                    continue  # asked alike in both runs, so they count once
                where = "grammar" if held and not each.free else "free"
                at = stages.setdefault(stage, {}).setdefault(where, {"replies": 0, "read": 0})
                at["replies"] += tries
                at["read"] += tries - unread
        came = [
            {"form": str(each.form), "grammar": not each.free, "stopped": each.stopped, **each.counts} for each in of
        ]
        made[recipe] = {**_total(stages), "stages": dict(sorted(stages.items())), "outcomes": came}
    return made


def _total(stages: Mapping[str, Mapping[str, Mapping[str, int]]]) -> dict[str, dict[str, int]]:
    return {
        where: {
            name: sum(stage[where][name] for stage in stages.values() if where in stage)
            for name in ("replies", "read")
        }
        for where in ("grammar", "free")
    }
