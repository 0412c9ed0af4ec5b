"""Verdicts added up: turns that are right, slots that are right, false or missed, and both by slot and domain."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from statistics import fmean

from synthesis.task_oriented.state import State, domain_of
from training.tracking.verdicts import Verdict, Verdicts

Turn = tuple[str, int]
"""A user turn: the dialogue's id, and the turn's place among all turns of the dialogue, from 0."""

States = Mapping[Turn, State]
Joint = tuple[tuple[float, ...], ...]
"""Joint goal accuracy of each turn, 0 to 1, dialogue by dialogue in the order of their ids."""


@dataclass(frozen=True, slots=True)
class Counts:
    """Right, false and missed slots; with fuzzy matching parts of one."""

    right: float = 0.0
    false: float = 0.0
    missed: float = 0.0

    @property
    def precision(self) -> float:
        """Of what was predicted the right share; 0 where nothing was."""
        return self.right / (self.right + self.false) if self.right + self.false else 0.0

    @property
    def recall(self) -> float:
        """Of what there was the right share; 0 where there was nothing."""
        return self.right / (self.right + self.missed) if self.right + self.missed else 0.0

    @property
    def f1(self) -> float:
        """Harmonic mean of the two; 0 where both are."""
        both = self.precision + self.recall
        return 2 * self.precision * self.recall / both if both else 0.0


@dataclass(frozen=True, slots=True)
class DomainScore:
    """Joint goal accuracy of one domain's slots: over all turns, and over turns of dialogues whose gold has any.

    The second is the convention of zero-shot work, None where no dialogue has the domain; `dialogues` and `turns` say
    over how many.
    """

    domain: str
    all_turns: float
    its_dialogues: float | None
    dialogues: int
    turns: int


def _right(judged: Verdicts) -> float:
    """Joint goal accuracy of a turn."""
    return prod((verdict.match for verdict in judged), start=1.0)


def joint(judged: Mapping[Turn, Verdicts]) -> Joint:
    """Of each turn, by dialogue; in the order of `judged`."""
    found: dict[str, list[float]] = {}
    for (dialogue, _), verdicts in judged.items():
        found.setdefault(dialogue, []).append(_right(verdicts))
    return tuple(tuple(turns) for turns in found.values())


def _counted(judged: Verdicts | list[Verdict], wrong_is_missed: bool) -> Counts:
    """A slot that both have is right as far as it matches; the rest of it is false, and missed where that counts."""
    right = sum(verdict.match for verdict in judged)
    false = sum(verdict.predicted - verdict.match for verdict in judged)
    missed = sum(verdict.gold - verdict.match for verdict in judged if wrong_is_missed or not verdict.predicted)
    return Counts(float(right), float(false), float(missed))


def averages(made: list[Verdicts], by_turn: bool, wrong_is_missed: bool) -> tuple[float, float, float]:
    """Precision, recall, F1: means over turns, or over all slots of all turns."""
    if not by_turn:
        every = _counted(list(itertools.chain.from_iterable(made)), wrong_is_missed)
        return every.precision, every.recall, every.f1
    turns = [_of_turn(judged, wrong_is_missed) for judged in made]
    precision, recall, f1 = (fmean(column) for column in zip(*turns, strict=True))
    return precision, recall, f1


def _of_turn(judged: Verdicts, wrong_is_missed: bool) -> tuple[float, float, float]:
    """Of one turn, as TRADE counts: all 1 where neither side holds a slot."""
    if not judged:
        return 1.0, 1.0, 1.0
    counts = _counted(judged, wrong_is_missed)
    return counts.precision, counts.recall, counts.f1


def slot_accuracy(made: list[Verdicts], tracked: int) -> float:
    """Share of tracked slots that are right, absent on both sides included; a slot is wrong once."""
    return fmean(1 - sum(verdict.match < 1 for verdict in judged) / tracked for judged in made)


def by_slot(made: list[Verdicts], wrong_is_missed: bool) -> dict[str, Counts]:
    """Of every slot that was judged, by name."""
    found: dict[str, list[Verdict]] = {}
    for verdict in itertools.chain.from_iterable(made):
        found.setdefault(verdict.slot, []).append(verdict)
    return {slot: _counted(found[slot], wrong_is_missed) for slot in sorted(found)}


def by_domain(judged: Mapping[Turn, Verdicts], gold: States) -> tuple[DomainScore, ...]:
    """Of every domain of which a slot was judged; a dialogue has the domains of all slots that `gold` holds."""
    having: dict[str, set[str]] = {}
    for (dialogue, _), state in gold.items():
        for slot in state:
            having.setdefault(domain_of(slot), set()).add(dialogue)
    domains = sorted({domain_of(verdict.slot) for verdicts in judged.values() for verdict in verdicts})
    return tuple(_domain(domain, judged, having.get(domain, set())) for domain in domains)


def _domain(domain: str, judged: Mapping[Turn, Verdicts], dialogues: set[str]) -> DomainScore:
    turns = {
        turn: _right(tuple(each for each in verdicts if domain_of(each.slot) == domain))
        for turn, verdicts in judged.items()
    }
    its = [right for (dialogue, _), right in turns.items() if dialogue in dialogues]
    return DomainScore(domain, fmean(turns.values()), fmean(its) if its else None, len(dialogues), len(its))
