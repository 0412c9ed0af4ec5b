"""Values as TRADE (Wu et al. 2019, arXiv 1905.08743) compares them, with and without alternatives.

`trade_exact` is the measure of MultiWOZ 2.1 and 2.4: values are equal or not, after the field's preprocessing and
TRADE's table of known mistakes in labels. `exact_alt` is IC-DST's for 2.4 (Hu et al. 2022, arXiv 2203.08568): a gold
value may list alternatives. There the table is for labels; here both sides go through it (choice), since our trackers
write what they read and not what the preprocessing made of it.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping

from synthesis.task_oriented.state import BETWEEN, DONTCARE, State, split
from training.tracking.slots import Slots
from training.tracking.verdicts import Verdicts, verdicts

ABSENT = "none"

_MEANT = {
    "architecture": "architectural, ol",
    "centre": "ce, cen, center, center of town, centre of cambridge, centre of town, city center, in town, "
    "near city center, scentre, town center, town centre",
    "church": "churches",
    "college": "coll, colleges",
    "concert hall": "concert, concerthall",
    DONTCARE: "any, do n't care, do not care, does not care, don't care, dont care",
    "east": "east area, east side",
    "free": "free parking",
    "friday": "next friday",
    "guest house": "guest, guesthouse, guesthouses",
    "moderate": "mo, mode, moderate ly, moderately",
    "monday": "monda",
    "multiple sports": "mutiple sports, mutliple sports, sports",
    "museum": "mus, musuem",
    "nightclub": "night club",
    "no": "does not, n",
    "north": "in the north, north part of town",
    "south": "the south",
    "swimming pool": "pool, swimmingpool",
    "west": "west part of town",
    "yes": "free internet, y",
    "3": "3 .",
    "4": "4 star, 4 stars",
    ABSENT: "0 star rarting, art, cb30aq, fun, not, not men, not mendtioned, not mentioned",
}
_MEANINGS = {wrong: right for right, all_wrong in _MEANT.items() for wrong in all_wrong.split(", ")}

_OF_SLOT: Mapping[str, Mapping[str, str]] = {
    "hotel-type": {
        ABSENT: "a cheap er hotel, bed and breakfast, centre, intern, moderate ly priced, nigh, venetian",
        "hotel": "3 star hotel, 4, hotel with free parking and free wifi",
    },
    "hotel-internet": {ABSENT: "4", "yes": "free"},
    "hotel-pricerange": {ABSENT: "2", "cheap": "ch"},
    "restaurant-pricerange": {"cheap": "ch"},
    "attraction-type": {ABSENT: "galleria, gallery, gastropub, la raza, m, science"},
    "attraction-area": {ABSENT: "ely, museum, norwich, same area as hotel"},
    "restaurant-area": {ABSENT: "cambridge, silver street, stansted airport"},
}
_OF_KIND: Mapping[str, Mapping[str, str]] = {
    "area": {ABSENT: "moderate", "north": "no", "west": "we", "centre": "cent"},
    "day": {ABSENT: "t, no", "wednesday": "we"},
}
"""By the end of a slot's name."""

_NUMBERS = {word: str(at) for at, word in enumerate("one two three four five six seven eight nine ten".split(), 1)}
_NUMBERS |= {"eleven": "11", "twelve": "12"}


def trade_exact(gold: State, predicted: State, slots: Slots) -> Verdicts:
    """Equal or not. Alternatives are one text here, as in the source: who says one of them is wrong."""

    def values(state: State) -> dict[str, str]:
        return _kept({name: fixed(name, state[name]) for name in slots.tracked if name in state})

    return verdicts(values(gold), values(predicted), lambda _, right, said: float(right == said))


def exact_alt(gold: State, predicted: State, slots: Slots) -> Verdicts:
    """Equal to any alternative of gold (`|`, `<` or `>` between them) or not; of a prediction the first counts."""

    def values(state: State) -> dict[str, str]:
        return _kept({name: _alternatives(name, state[name]) for name in slots.tracked if name in state})

    def match(_: str, right: str, said: str) -> float:
        return float(split(said)[0] in split(right))

    return verdicts(values(gold), values(predicted), match)


def _alternatives(slot: str, value: str) -> str:
    parts = (fixed(slot, part) for part in split(re.sub("[<>]", BETWEEN, value)))
    return BETWEEN.join(part for part in parts if part not in (ABSENT, ""))


def _kept(state: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in state.items() if value not in (ABSENT, "")}


@functools.lru_cache(maxsize=65536)
def fixed(slot: str, value: str) -> str:
    """`value` of `slot` as TRADE means it; `ABSENT` for what stands for nothing.

    Slots are named as in MultiWOZ 2.2. Where two rows of TRADE's tables apply, they do so in its order: mistakes of
    any slot, then those of one.
    """
    value = plain(value)
    value = _MEANINGS.get(value, value)
    tables = [_OF_SLOT.get(slot, {}), *(table for kind, table in _OF_KIND.items() if slot.endswith(kind))]
    for table in tables:
        for right, wrong in table.items():
            if value in wrong.split(", "):
                return right
    return value


def plain(text: str) -> str:
    """A value as the preprocessing of MultiWOZ leaves it: lower case, punctuation and `'s` apart, numbers as digits.

    Example: "Rosa's B&B" becomes "rosa s bed and breakfast", "Restaurant one seven" "restaurant 17".
    """
    text = text.lower().strip().replace("\u2018", "'").replace("\u2019", "'")
    text = re.sub("b&b|b and b", "bed and breakfast", text).replace("guesthouse", "guest house")
    text = text.replace(";", ",").replace("/", " and ").replace("-", " ")
    text = re.sub(r'["<>@()]', "", text)
    text = re.sub(r"(?<!\d)[?.,!]|[?.,!](?!\d)", r" \g<0> ", text)  # between digits they stay, as in 10.30
    text = re.sub(r"'s(?=\s|$)", " s", text)
    text = re.sub(r"^'|'$|'(?=\s)|(?<=\s)'", "", text)
    words = [_NUMBERS.get(word, word) for word in text.split()]
    return re.sub(r"(?<=\d) (?=\d+\b)", "", " ".join(words))
