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
from statistics import fmean

from synthesis.errors import UserError
from synthesis.task_oriented.ontology import Ontology
from synthesis.task_oriented.state import State, split
from training.tracking.counting import (
    Counts,
    DomainScore,
    Joint,
    States,
    averages,
    by_domain,
    by_slot,
    joint,
    slot_accuracy,
)
from training.tracking.lenient import luas_lenient, mwzeval_dst
from training.tracking.official import mwz22_official
from training.tracking.slots import MULTIWOZ, Slots, of
from training.tracking.trade import exact_alt, trade_exact
from training.tracking.verdicts import Verdicts


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
    held = {turn: _held(state) for turn, state in sorted(gold.items())}
    judged = {turn: how.judge(state, _held(predicted.get(turn, {})), slots) for turn, state in held.items()}
    made = list(judged.values())
    right = joint(judged)
    precision, recall, f1 = averages(made, how.by_turn, how.wrong_is_missed)
    return Score(
        scorer=name,
        fuzzy=fuzzy,
        joint_goal_accuracy=fmean(itertools.chain.from_iterable(right)),
        precision=precision,
        recall=recall,
        f1=f1,
        slot_accuracy=slot_accuracy(made, len(slots.tracked)) if how.by_turn else None,
        turns=len(made),
        dialogues=len(right),
        tracked=len(slots.tracked),
        joint=right,
        slots=by_slot(made, how.wrong_is_missed),
        domains=by_domain(judged, held),
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
    """A state without slots that have no value."""
    return {slot: value for slot, value in state.items() if split(value)}


def _seen(slot: str, how: Scorer, slots: Slots) -> bool:
    return how.every or slot in slots.tracked or (how.others and slot in slots.other)


def _ignored(states: States, how: Scorer, slots: Slots) -> dict[str, int]:
    found = Counter(slot for state in states.values() for slot in state if not _seen(slot, how, slots))
    return dict(sorted(found.items()))
