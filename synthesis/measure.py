"""Measure: which metrics there are, and what they say of a source of dialogues.

The folder synthesis/metrics is the registry: a metric is a dataclass there that has `about`, and either is called with
dialogues (Metric) or scores one (Scorer). What it needs it names as fields: `engine`, an NLI model `nli`, a `level`.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib
import inspect
import pkgutil
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from synthesis.dialogue_files import Dialogues
from synthesis.engine import Reply, Request
from synthesis.errors import Failure, UserError
from synthesis.metric import averaged, tried
from synthesis.sample import drawn
from synthesis.spoken import counted

WEIGHTS = "encoder"
"""A metric with this field loads torch and a model, so that it is measured only when it is named."""


@functools.cache
def kinds() -> Mapping[str, type[Any]]:
    """The class of every metric by its name, in the order of files and of classes in them."""
    from synthesis import metrics as folder

    names = sorted(module.name for module in pkgutil.iter_modules(folder.__path__) if module.name != "__main__")
    modules = [importlib.import_module(f"synthesis.metrics.{name}") for name in names]
    return {
        _name(value): value
        for module in modules
        for value in vars(module).values()
        if isinstance(value, type) and value.__module__ == module.__name__ and _measures(value)
    }


def _measures(kind: type[Any]) -> bool:
    return dataclasses.is_dataclass(kind) and hasattr(kind, "about") and (_scores(kind) or "__call__" in vars(kind))


def _scores(kind: type[Any]) -> bool:
    """Whether it says something of one dialogue only."""
    return "score" in vars(kind) and "__call__" not in vars(kind)


def _name(kind: type[Any]) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "-", kind.__name__).lower()


def fields(kind: type[Any]) -> Mapping[str, bool]:
    """The names of a metric's fields, and whether each must be given."""
    return {
        field.name: field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        for field in dataclasses.fields(kind)
    }


def about(kind: type[Any]) -> Mapping[str, str]:
    """What a metric says of its numbers at either level; where that depends on its other fields, as it comes."""
    said = inspect.getattr_static(kind, "about")
    if isinstance(said, Mapping):
        return said
    given: dict[str, Any] = {name: _nobody for name, needed in fields(kind).items() if needed}
    levels = ({"level": level} for level in ("dialogue", "turn")) if "level" in fields(kind) else ({},)
    told: dict[str, str] = {}
    for level in levels:
        for number, meaning in kind(**given | level).about.items():
            told.setdefault(number, meaning)
    return told


async def _nobody(request: Request) -> Reply:
    raise AssertionError(f"nobody is there to be asked: {request.stage}")


@dataclass(frozen=True, slots=True)
class Chosen:
    """Metrics as they are to be used, and the numbers to show; None shows all."""

    metrics: Mapping[str, Any]
    numbers: frozenset[str] | None = None

    def shows(self, number: str) -> bool:
        return self.numbers is None or number in self.numbers


def chosen(only: Sequence[str], given: Mapping[str, Any]) -> Chosen:
    """The metrics named by `only`, or one of whose numbers is; for nothing named all that need no more than `given`.

    `given`: values of fields that a metric may need. Raises UserError for an unknown name, and for a metric that needs
    what was not given.
    """
    known = kinds()
    named = {name: kind for name, kind in known.items() if name in only or not about(kind).keys().isdisjoint(only)}
    numbers = {number for kind in named.values() for number in about(kind)}
    strange = [name for name in only if name not in known and name not in numbers]
    if strange:
        raise UserError(f"no metric or number {strange[0]!r}; there are the metrics {', '.join(known)}")
    for name, kind in named.items():
        if lacking := _lacking(kind, given):
            raise UserError(f"{name} needs {', '.join(_ASKED.get(each, each) for each in lacking)}")
    usual = {name: kind for name, kind in known.items() if not _lacking(kind, given) and WEIGHTS not in fields(kind)}
    made = {name: _made(kind, given) for name, kind in (named if only else usual).items()}
    had = {number for metric in made.values() for number in metric.about}
    if elsewhere := [name for name in only if name not in known and name not in had]:
        raise UserError(f"{elsewhere[0]} is a number of another --level, turn or dialogue")
    whole = {number for name in named if name in only for number in made[name].about}
    return Chosen(made, frozenset(whole | (set(only) - known.keys())) if only else None)


_ASKED = {
    "engine": "an engine to ask: --endpoint URL",
    "nli": "a model for natural language inference: --nli MODEL",
    "level": "a --level, turn or dialogue",
    "others": "dialogues of the same ids to play against: --others SOURCE",
}


def _lacking(kind: type[Any], given: Collection[str]) -> list[str]:
    return [name for name, needed in fields(kind).items() if needed and name not in given]


def _made(kind: type[Any], given: Mapping[str, Any]) -> Any:
    return kind(**{name: value for name, value in given.items() if name in fields(kind)})


async def measured(
    source: Dialogues, chosen: Chosen, sample: int, seed: int = 0
) -> tuple[dict[str, float], dict[str, Failure]]:
    """The numbers of all chosen metrics about a source, and by metric why there are none.

    What is counted in words is read and tokenised once for all such metrics, other metrics read the source once each;
    scorers look at `sample` dialogues drawn by `seed`. A metric of which only some verdicts could not be read has its
    numbers from the others, and the reason as well.
    """
    counting = {name: metric for name, metric in chosen.metrics.items() if hasattr(metric, "count")}
    found: dict[str, float] = {}
    failed: dict[str, Failure] = {}
    if counting:
        found |= counted(list(counting.values()), source.texts())
    scorers = {name for name, metric in chosen.metrics.items() if _scores(type(metric))}
    asked = drawn(source, sample, seed) if scorers else []
    for name, metric in chosen.metrics.items():
        if name in scorers:
            scores, reason = await tried(metric, asked)
            found |= averaged(scores) | (metric.over(scores) if hasattr(metric, "over") else {})
            if reason is not None:
                failed[name] = reason
        elif name not in counting:
            found |= metric(source)
    return {number: value for number, value in found.items() if chosen.shows(number)}, failed


HEAD = """# Metrics

Written by `python -m synthesis.metrics --about` from what each metric's class says of itself.

Numbers compare only between data of one kind and size: put a file of human dialogue beside (`--reference`). A number
that cannot be had (no such dialogues, nothing to divide by) is absent, never a zero. A direction says what is usually
wanted, not that more is always better. Which of the numbers follow what people judge, only human scores can tell.
"""


def page(wanted: str = "") -> str:
    """What there is to know of a metric, of the metrics that give a number, or of all, in Markdown.

    Raises UserError, naming those there are, when there is none.
    """
    if not wanted:
        return "\n".join([HEAD, *map(_section, kinds())])
    named = [name for name, kind in kinds().items() if wanted == name or wanted in about(kind)]
    if not named:
        raise UserError(f"no metric or number {wanted!r}; there are the metrics {', '.join(kinds())}")
    return "\n".join(map(_section, named))


def _section(name: str) -> str:
    kind = kinds()[name]
    needs = [_ASKED.get(each, each) for each, needed in fields(kind).items() if needed]
    text = (inspect.getdoc(kind) or "").replace("*", r"\*").replace("<", "&lt;")
    lines = [
        f"## {name}",
        "",
        *([f"Needs {'; '.join(needs)}.", ""] if needs else []),
        text,
        "",
        "| number | meaning, range, direction |",
        "|---|---|",
        *(f"| `{number}` | {meaning.replace('|', '&#124;')} |" for number, meaning in about(kind).items()),
    ]
    return "\n".join(lines) + "\n"
