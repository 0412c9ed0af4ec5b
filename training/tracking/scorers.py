"""Scores of predicted belief states by one of five named scorers; numbers of two scorers cannot be compared.

Gold and prediction are the cumulative states of user turns. A turn is right (joint goal accuracy) where every slot
that either side holds agrees; the scorers differ in when that is so, and in what they count slot by slot.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from math import prod
from statistics import fmean

from synthesis.errors import UserError
from synthesis.task_oriented.ontology import Ontology
from synthesis.task_oriented.state import State, domain_of, split
from training.tracking.lenient import luas_lenient, mwzeval_dst
from training.tracking.official import mwz22_official
from training.tracking.slots import MULTIWOZ, Slots, of
from training.tracking.trade import exact_alt, trade_exact
from training.tracking.verdicts import Verdict, Verdicts

Turn = tuple[str, int]
"""A user turn: the dialogue's id, and the turn's place among all turns of the dialogue, from 0."""

States = Mapping[Turn, State]
Joint = tuple[tuple[float, ...], ...]
"""Joint goal accuracy of each turn, 0 to 1, dialogue by dialogue in the order of their ids."""


@dataclass(frozen=True, slots=True)
class Scorer:
    """One way to score.

    `by_turn`: precision, recall and F1 are means over turns, and slot accuracy is counted; otherwise they are over all
    slots of all turns (micro). `wrong_is_missed`: a wrong value counts against recall too, not only against precision.
    `every`: it looks at all slots, those outside the ontology as well. `others`: at untracked slots of the schema.
    """

    judge: Callable[[State, State, Slots], Verdicts]
    about: str
    by_turn: bool = False
    wrong_is_missed: bool = True
    every: bool = False
    others: bool = False


SCORERS: Mapping[str, Scorer] = {
    "trade_exact": Scorer(trade_exact, "equal after TRADE's normalisation; dontcare is a value", by_turn=True),
    "exact_alt": Scorer(exact_alt, "as trade_exact, and any alternative of gold is right", by_turn=True),
    "mwz22_official": Scorer(mwz22_official, "equal as it stands, by the schema-guided script", others=True),
    "mwzeval_dst": Scorer(
        mwzeval_dst, "near (partial_ratio > 95) after normalisation; gold less dontcare", every=True
    ),
    "luas_lenient": Scorer(
        luas_lenient, "near (partial_ratio > 95); gold less dontcare; wrong is not missed", wrong_is_missed=False
    ),
}


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


@dataclass(frozen=True, slots=True)
class Score:
    """All that a scorer says; shares from 0 to 1.

    `slots`: counts by slot, over all turns, whatever the scorer averages. `ignored`: how often gold ("gold") and
    prediction ("predicted") hold a slot that the scorer does not look at, by slot.
    """

    scorer: str
    fuzzy: bool
    joint_goal_accuracy: float
    precision: float
    recall: float
    f1: float
    slot_accuracy: float | None
    turns: int
    dialogues: int
    tracked: int
    joint: Joint = field(repr=False)
    slots: Mapping[str, Counts] = field(repr=False)
    domains: tuple[DomainScore, ...] = field(repr=False)
    ignored: Mapping[str, Mapping[str, int]] = field(repr=False)


def score(name: str, gold: States, predicted: States, ontology: Ontology | None = None, fuzzy: bool = False) -> Score:
    """Scores predictions for the turns of `gold` by the scorer called `name`; a turn without prediction has {}.

    `ontology` says which slots there are and which are categorical; without it they are MultiWOZ's. `fuzzy` is for
    mwz22_official: values of open slots agree by degrees. Raises UserError for an unknown scorer, no turns, a
    prediction for a turn that gold lacks, and gold of which the scorer looks at no slot at all.
    """
    how = scorer(name, fuzzy)
    slots = of(ontology) if ontology else MULTIWOZ
    _refuse(name, how, gold, predicted, slots)
    judged = {
        turn: how.judge(_held(state), _held(predicted.get(turn, {})), slots) for turn, state in sorted(gold.items())
    }
    made = list(judged.values())
    joint = _joint(judged)
    precision, recall, f1 = _averages(made, how)
    return Score(
        scorer=name,
        fuzzy=fuzzy,
        joint_goal_accuracy=fmean(itertools.chain.from_iterable(joint)),
        precision=precision,
        recall=recall,
        f1=f1,
        slot_accuracy=_slot_accuracy(made, len(slots.tracked)) if how.by_turn else None,
        turns=len(made),
        dialogues=len(joint),
        tracked=len(slots.tracked),
        joint=joint,
        slots=_by_slot(made, how),
        domains=_by_domain(judged, gold),
        ignored={"gold": _ignored(gold, how, slots), "predicted": _ignored(predicted, how, slots)},
    )


def scorer(name: str, fuzzy: bool = False) -> Scorer:
    """The scorer of that name. Raises UserError listing all, and where it knows no fuzzy matching."""
    if name not in SCORERS:
        raise UserError(f"no scorer {name!r}; there are {', '.join(SCORERS)}")
    if not fuzzy:
        return SCORERS[name]
    if name != "mwz22_official":
        raise UserError(f"scorer {name} has no fuzzy variant, only mwz22_official has; leave --fuzzy out")
    return Scorer(partial(mwz22_official, fuzzy=True), "as mwz22_official, open slots by degrees", others=True)


def _refuse(name: str, how: Scorer, gold: States, predicted: States, slots: Slots) -> None:
    if not gold:
        raise UserError("gold has no user turn with a state, so there is nothing to score")
    for dialogue, turn in sorted(predicted.keys() - gold.keys()):
        raise UserError(f"prediction for turn {turn} of dialogue {dialogue!r}, which gold has no state for")
    held = {slot for state in gold.values() for slot in state}
    if held and not any(_seen(slot, how, slots) for slot in held):
        raise UserError(
            f"scorer {name} looks at none of the slots that gold has ({', '.join(sorted(held)[:3])}, ...), "
            f"but at {', '.join(slots.tracked[:3])}, ...; give the ontology of the data with --ontology"
        )


def _held(state: State) -> dict[str, str]:
    return {slot: value for slot, value in state.items() if split(value)}


def _seen(slot: str, how: Scorer, slots: Slots) -> bool:
    return how.every or slot in slots.tracked or (how.others and slot in slots.other)


def _ignored(states: States, how: Scorer, slots: Slots) -> dict[str, int]:
    found = Counter(slot for state in states.values() for slot in state if not _seen(slot, how, slots))
    return dict(sorted(found.items()))


def _right(judged: Verdicts) -> float:
    """Joint goal accuracy of a turn."""
    return prod((verdict.match for verdict in judged), start=1.0)


def _joint(judged: Mapping[Turn, Verdicts]) -> Joint:
    found: dict[str, list[float]] = {}
    for (dialogue, _), verdicts in judged.items():
        found.setdefault(dialogue, []).append(_right(verdicts))
    return tuple(tuple(turns) for turns in found.values())


def _counted(judged: Verdicts | list[Verdict], how: Scorer) -> Counts:
    """A slot that both have is right as far as it matches; the rest of it is false, and missed where that counts."""
    right = sum(verdict.match for verdict in judged)
    false = sum(verdict.predicted - verdict.match for verdict in judged)
    missed = sum(verdict.gold - verdict.match for verdict in judged if how.wrong_is_missed or not verdict.predicted)
    return Counts(float(right), float(false), float(missed))


def _averages(made: list[Verdicts], how: Scorer) -> tuple[float, float, float]:
    """Precision, recall, F1."""
    if not how.by_turn:
        every = _counted(list(itertools.chain.from_iterable(made)), how)
        return every.precision, every.recall, every.f1
    turns = [_of_turn(judged, how) for judged in made]
    precision, recall, f1 = (fmean(column) for column in zip(*turns, strict=True))
    return precision, recall, f1


def _of_turn(judged: Verdicts, how: Scorer) -> tuple[float, float, float]:
    """Of one turn, as TRADE counts: all 1 where neither side holds a slot."""
    if not judged:
        return 1.0, 1.0, 1.0
    counts = _counted(judged, how)
    return counts.precision, counts.recall, counts.f1


def _slot_accuracy(made: list[Verdicts], tracked: int) -> float:
    """Share of tracked slots that are right, absent on both sides included; a slot is wrong once."""
    return fmean(1 - sum(verdict.match < 1 for verdict in judged) / tracked for judged in made)


def _by_slot(made: list[Verdicts], how: Scorer) -> dict[str, Counts]:
    found: dict[str, list[Verdict]] = {}
    for verdict in itertools.chain.from_iterable(made):
        found.setdefault(verdict.slot, []).append(verdict)
    return {slot: _counted(found[slot], how) for slot in sorted(found)}


def _by_domain(judged: Mapping[Turn, Verdicts], gold: States) -> tuple[DomainScore, ...]:
    """Of every domain of which a slot was judged."""
    having: dict[str, set[str]] = {}
    for (dialogue, _), state in gold.items():
        for slot in _held(state):
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
