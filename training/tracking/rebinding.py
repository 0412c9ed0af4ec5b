"""What other domains say of something that was taken out of a dialogue, said of what was put in its place.

Two kinds are known. A name: the venue that was taken out stands in a turn, or as a value (a taxi's destination);
there the new venue's name is put. A value that the user does not say but points to ("on the same day", "in time for
the reservation"): the state has what a slot of the same kind had, and gets what the new one has. Where the new one has
none, the slot goes.
"""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace

from synthesis.dialogue import Turn
from synthesis.task_oriented.acts import parse, written
from synthesis.task_oriented.state import State, domain_of, first_values, slot_name, split
from synthesis.task_oriented.state_form import Change
from synthesis.task_oriented.times import DAY, clock, minutes, spoken

_SHORTEST = 4
"""Letters of a name that is looked for in texts; shorter ones are words of their own."""

_WORDS = "one two three four five six seven eight nine ten".split()
_NUMBERS = {str(number): word for number, word in enumerate(_WORDS, 1)}
_TIMES = ("time", "arriveby", "leaveat")
_POINTING = r"same|both|booking|booked|reservation"


@dataclass(frozen=True, slots=True)
class Rebinding:
    """`names`: how the old venue is called, plainly written. `old`, `new`: the domain's slots to first values.

    `new` is empty where nothing was put in. `counted` is told what was done.
    """

    domain: str
    names: frozenset[str]
    old: State
    new: State
    counted: Counter[str]

    @classmethod
    def of(cls, domain: str, states: Iterable[State], new: State, counted: Counter[str]) -> Rebinding:
        """From the states of the dialogue, and the last of what was put in."""
        old: dict[str, str] = {}
        names: set[str] = set()
        for state in states:
            own = {name: value for name, value in state.items() if domain_of(name) == domain}
            old |= first_values(own)
            names |= {plain(each) for each in split(own.get(slot_name(domain, "name"), ""))}
        long = frozenset(name for name in names if len(name) >= _SHORTEST)
        return cls(domain, long, old, first_values(new), counted)

    @property
    def name(self) -> str:
        """What the new venue is called; "" where nobody says."""
        return self.new.get(slot_name(self.domain, "name"), "")

    def names_it(self, text: str) -> bool:
        """Whether a text has the old venue's name."""
        return any(_pattern(name).search(text) for name in self.names)

    def means(self, change: Change) -> bool:
        """Whether a slot of another domain gets the old venue's name."""
        others = [value for slot, value in change.items() if value and domain_of(slot) != self.domain]
        return any(plain(each) in self.names for value in others for each in split(value))

    def turn(self, turn: Turn, state: State | None) -> Turn:
        """A turn that stays, with its new state: names in its text changed, acts and lookup of the domain gone."""
        text = turn.text
        if self.names_it(text):
            self.counted["turns that name the old venue" + (", renamed" if self.name else ", left as they are")] += 1
            for name in sorted(self.names, key=len, reverse=True) if self.name else ():
                text = _pattern(name).sub(self._put, text)
        acts = [act for act in map(parse, turn.acts) if act.domain != self.domain]
        acts = [replace(act, value=self._renamed(act.value) or act.value) for act in acts]
        lookup = turn.lookup if turn.lookup is None or turn.lookup.domain != self.domain else None
        return replace(turn, text=text, acts=written(acts), lookup=lookup, state=state)

    def change(self, change: Change, text: str) -> dict[str, str | None]:
        """What a turn that stays changes: slots of the domain left out, values that mean what is gone bound anew."""
        made: dict[str, str | None] = {}
        for slot, value in change.items():
            if domain_of(slot) == self.domain:
                self.counted["slots of the domain that other turns told, left out"] += value is not None
            elif value is None:
                made[slot] = None
            else:
                made[slot] = self._value(slot, value, text)
        return made

    def _value(self, slot: str, value: str, text: str) -> str | None:
        """The value as it is, bound anew, or None."""
        if any(plain(each) in self.names for each in split(value)):
            self.counted["values that name the old venue" + (", bound anew" if self.name else ", dropped")] += 1
            return self.name or None
        source = self._source(slot, split(value)[0], text)
        if source is None:
            return value
        found = self.new.get(source)
        self.counted["values that point to the old one" + (", bound anew" if found else ", dropped")] += 1
        return found

    def _source(self, slot: str, value: str, text: str) -> str | None:
        """The slot of the domain that a value which is not said was taken from."""
        if said(value, text) or not re.search(rf"\b({_POINTING}|{re.escape(self.domain)})\b", text.casefold()):
            return None
        alike = [name for name, old in self.old.items() if old == value and _kind(name) == _kind(slot)]
        return alike[0] if alike else None

    def _put(self, found: re.Match[str]) -> str:
        """The new name where the old one stood, with one "the" at most."""
        return self.name if self.name.startswith("the ") else (found["the"] or "") + self.name

    def _renamed(self, value: str) -> str:
        return self.name if value and plain(value) in self.names else ""


def plain(name: str) -> str:
    """A name in small letters, without "the" before it and without marks."""
    return " ".join(re.sub(r"[^\w\s]", " ", name.casefold()).split()).removeprefix("the ")


def said(value: str, text: str) -> bool:
    """Whether a text says a value: in its letters, a number also as a word, a time also by twelve hours."""
    words, told = f" {plain(text)} ", plain(value)
    if f" {told} " in words or (told in _NUMBERS and f" {_NUMBERS[told]} " in words):
        return True
    time = minutes(value) if ":" in value else None
    return time is not None and bool({clock(time), clock(time + DAY // 2)} & set(spoken(text)))


def _kind(slot: str) -> str:
    """What a slot holds, whatever the domain and whether it is of a booking: an area, a day, a time."""
    name = slot.partition("-")[2].removeprefix("book")
    return "time" if name in _TIMES else name


@functools.cache
def _pattern(name: str) -> re.Pattern[str]:
    """Finds a plainly written name in a text, whatever stands between its words; `the` is an article before it."""
    words = r"\W+".join(map(re.escape, name.split()))
    return re.compile(rf"\b(?P<the>the\s+)?{words}\b", re.IGNORECASE)
