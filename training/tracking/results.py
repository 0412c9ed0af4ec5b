"""Results of experiments with trackers: what each seed's predictions score, spread over seeds, compared turn by turn.

A difference is between means over seeds, with a paired bootstrap interval over the test dialogues: it tells of other
dialogues, not of other seeds; for these there is the deviation. Part of a state is scored by itself where a question
is about one domain, or about all others.
"""

from __future__ import annotations

import itertools
import statistics
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from synthesis.errors import UserError
from synthesis.storage import parse, read_jsonl, read_text
from synthesis.task_oriented.ontology import Ontology
from training.bootstrap import Difference, Groups, Interval, difference, interval
from training.coverage import Spread
from training.tracking.counting import States
from training.tracking.scorers import score
from training.tracking.states import read_gold, read_predictions

Part = Callable[[str], bool]
"""Whether a slot belongs to what is scored."""


@dataclass(frozen=True, slots=True)
class Place:
    """One tracker's predictions: `n` real dialogues that it learned, and the folder with its files."""

    condition: str
    n: int
    seed: int
    folder: Path


@dataclass(frozen=True, slots=True)
class Outcome:
    """A condition at n by one scorer, over the seeds.

    `joint`, `f1`: joint goal accuracy and F1 of slots; `interval`: of the first's mean, over other test dialogues;
    `invalid`: share of turns without a readable state; `turns`: joint goal accuracy turn by turn, mean over seeds.
    """

    condition: str
    n: int
    scorer: str
    joint: Spread
    f1: Spread
    invalid: Spread
    interval: Interval
    turns: Groups
    by_seed: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Gap:
    """First less second condition in joint goal accuracy; `won`: in how many of `seeds` the first was better."""

    first: Outcome
    second: Outcome
    by_turns: Difference
    won: int
    seeds: int


@dataclass(frozen=True, slots=True)
class Gold:
    """The true states that all are scored against, and the ontology that says which slots count."""

    states: States
    ontology: Ontology

    @classmethod
    def read(cls, source: Path, ontology: Ontology) -> Gold:
        """Of dialogues."""
        return cls(read_gold(str(source)), ontology)


def outcomes(places: Iterable[Place], scorers: Sequence[str], gold: Gold, part: Part | None = None) -> list[Outcome]:
    """Of every condition and n, over its seeds, by every scorer; of `part` of the slots, or of all.

    Raises UserError where predictions are missing or belong to other turns.
    """
    found: dict[tuple[str, int], list[Place]] = defaultdict(list)
    for place in places:
        found[place.condition, place.n].append(place)
    return [
        _outcome(sorted(group, key=lambda each: each.seed), scorer, gold, part)
        for group in found.values()
        for scorer in scorers
    ]


def _outcome(group: Sequence[Place], scorer: str, gold: Gold, part: Part | None) -> Outcome:
    true = kept(gold.states, part)
    predicted = [read_predictions(place.folder / f"{place.condition}.jsonl", gold.states) for place in group]
    missing = sum(len(each.missing) for each in predicted)
    if missing:
        raise UserError(f"{group[0].folder}: {missing} turns have no prediction; remove it and start again")
    scores = [score(scorer, true, kept(each.states, part), gold.ontology) for each in predicted]
    turns = mean_turns([each.joint for each in scores])
    return Outcome(
        condition=group[0].condition,
        n=group[0].n,
        scorer=scorer,
        joint=Spread.of([each.joint_goal_accuracy for each in scores]),
        f1=Spread.of([each.f1 for each in scores]),
        invalid=Spread.of([len(each.invalid) / len(true) for each in predicted]),
        interval=interval(turns),
        turns=turns,
        by_seed=tuple(each.joint_goal_accuracy for each in scores),
    )


def kept(states: States, part: Part | None) -> States:
    """The same turns with the slots of that part alone."""
    if part is None:
        return states
    return {turn: {name: value for name, value in state.items() if part(name)} for turn, state in states.items()}


def mean_turns(several: Sequence[Groups]) -> Groups:
    """Of each turn of each dialogue the mean over seeds."""
    return [
        [statistics.fmean(turn) for turn in zip(*dialogues, strict=True)] for dialogues in zip(*several, strict=True)
    ]


def gap(first: Outcome, second: Outcome) -> Gap:
    """The difference of two conditions over the same seeds."""
    pairs = list(zip(first.by_seed, second.by_seed, strict=True))
    won = sum(one > other for one, other in pairs)
    return Gap(first, second, difference(first.turns, second.turns), won, len(pairs))


def one(found: Iterable[Outcome], condition: str, scorer: str, n: int | None = None) -> Outcome:
    """The outcome of that condition and scorer, at that n. Raises UserError where there is none."""
    for each in found:
        if (each.condition, each.scorer) == (condition, scorer) and n in (None, each.n):
            return each
    raise UserError(f"no result of {condition} by {scorer}")


@dataclass(frozen=True, slots=True)
class InDomain:
    """Joint goal accuracy of one domain's slots: over all turns, and over those of dialogues that have it."""

    all_turns: Spread
    its_dialogues: Spread | None


def domains(places: Sequence[Place], scorer: str) -> dict[str, InDomain]:
    """Of each domain that every seed's scores tell of, for one condition."""
    told = [read_json(place.folder / f"{place.condition}-scores" / "result.json") for place in places]
    tables = [{row["domain"]: row for row in each["scores"][scorer]["domains"]} for each in told]
    return {
        name: _in_domain([table[name] for table in tables]) for name in sorted(set.intersection(*map(set, tables)))
    }


def _in_domain(rows: Sequence[Mapping[str, Any]]) -> InDomain:
    its = [row["its_dialogues"] for row in rows if row["its_dialogues"] is not None]
    return InDomain(Spread.of([row["all_turns"] for row in rows]), Spread.of(its) if its else None)


def spent(folders: Iterable[Path]) -> dict[str, float]:
    """Seconds of all steps by kind, the first word of their names."""
    seconds: dict[str, float] = defaultdict(float)
    for path in itertools.chain.from_iterable(sorted(folder.glob("steps/*.json")) for folder in folders):
        seconds[path.stem.partition("-")[0]] += read_json(path)["seconds"]
    return dict(seconds)


def size(path: Path) -> tuple[int, int]:
    """Dialogues and user turns of a file of dialogues."""
    states = read_gold(str(path))
    return len({dialogue for dialogue, _ in states}), len(states)


def rows(path: Path) -> int:
    """Examples of a file."""
    return sum(1 for _ in read_jsonl(path, "examples"))


def read_json(path: Path) -> dict[str, Any]:
    """An object that a step wrote."""
    found: Mapping[str, Any] = parse(read_text(path, "result"), str(path))
    return dict(found)
