"""Values that need only be near: those of MultiWOZ_Evaluation, and those of LUAS.

Both take a value as right where `partial_ratio` is above 95, so any part of the other passes ("1" for "10", "asian"
for "asian oriental"), and both leave out gold slots with dontcare, while a predicted one is a slot too many. Their
numbers cannot be compared with those of `trade_exact`.
"""

from __future__ import annotations

from synthesis.task_oriented.state import DONTCARE, State, split
from training.tracking.mwzeval_values import canonical, slot_of
from training.tracking.slots import Slots
from training.tracking.verdicts import Verdicts, partial_ratio, verdicts

NEAR = 95

_NAMES = {
    "the cambridge belfry": "cambridge belfry",
    "the cambridge chop house": "cambridge chop house",
    "the copper kettle": "copper kettle",
    "the fitzwilliam museum": "fitzwilliam museum",
    "the lensfield hotel": "lensfield hotel",
    "the nirala": "nirala",
    "kettle's yard": "kettles yard",
    "king's college": "kings college",
    "rosa's bed and breakfast": "rosas bed and breakfast",
    "saint john's chop house": "saint johns chop house",
    "sheep's green and lammas land park fen causeway": "sheeps green and lammas land park fen causeway",
    "christ's college": "christ college",
    "churchill college": "churchills college",
    "museum of archaelogy and anthropology": "museum of archaeology and anthropology",
    "pizza hut cherry hinton": "pizza hut cherry hilton",
}
"""What LUAS has predicted values stand for: the names of its gold labels, mistakes included."""


def mwzeval_dst(gold: State, predicted: State, slots: Slots) -> Verdicts:
    """By MultiWOZ_Evaluation (Nekvinda and Dušek 2021, arXiv 2106.05555): every slot of every domain.

    Both sides are normalised, first values count. `slots` is not looked at: what gold has not is too many.
    """

    def values(state: State) -> dict[str, str]:
        return {slot_of(name): canonical(slot_of(name), split(value)[0]) for name, value in state.items()}

    return verdicts(values(_cared(gold)), values(predicted), _near)


def luas_lenient(gold: State, predicted: State, slots: Slots) -> Verdicts:
    """By the script of LUAS (arXiv 2405.13037): the tracked slots alone, predicted names through its table."""

    def values(state: State) -> dict[str, str]:
        return {name: split(state[name])[0] for name in slots.tracked if name in state}

    said = {name: _NAMES.get(value, value) for name, value in values(predicted).items()}
    return verdicts(values(_cared(gold)), said, _near)


def _cared(gold: State) -> dict[str, str]:
    return {name: value for name, value in gold.items() if DONTCARE not in split(value)}


def _near(_: str, right: str, said: str) -> float:
    return float(partial_ratio(said, right) > NEAR)
