"""Goals drawn from an ontology and the rows of its database: no dialogue of anybody is needed.

The rules follow the goal builder in the released code of LUAS (arXiv 2405.13037; the paper takes the final states of
real dialogues instead). "code": its numbers. "choice": ours, where it goes by statistics that are not published, or
where there is no such thing as a value that nobody cares about.

A domain's wish begins with a row, so something always satisfies it: slots of that row are kept or dropped, a few
become "dontcare", booking slots are drawn beside it. Rides come last and lead to or from what was chosen before.
Booking slots without a closed list are drawn by what their name says (a time, a day, a number); where it says
nothing, the slot is left out of the goal.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from random import Random

from synthesis.errors import UserError
from synthesis.task_oriented import times
from synthesis.task_oriented.database import Database
from synthesis.task_oriented.goals import Goal, Wish
from synthesis.task_oriented.ontology import Domain, Ontology, Slot
from synthesis.task_oriented.rides import PLACES, places, ride, wired
from synthesis.task_oriented.state import DONTCARE
from synthesis.task_oriented.tables import TIMES, Row

_PUBLISHED = {
    **{"hotel": 817, "restaurant": 746, "train": 400, "attraction": 94, "taxi": 84},
    **{"attraction train": 739, "hotel train": 711, "restaurant train": 675},
    **{"hotel restaurant": 658, "attraction restaurant": 657, "attraction hotel": 646},
}
"""Dialogues by combination of domains, of 25 that occur [code]. Of the other 14 it is known that they have a taxi and
one to three other domains, and at most 44 dialogues each."""

_WITH_TAXI = 22
"""The weight of each of those 14 (choice: half of the most there can be)."""

KEPT = {
    **{"departure": 0.95, "destination": 0.95, "leaveat": 0.9, "arriveby": 0.9, "day": 0.9},
    **{"food": 0.8, "area": 0.7, "pricerange": 0.7, "type": 0.6, "stars": 0.4, "internet": 0.4, "parking": 0.4},
}
"""The chance that a slot of the row stays in the goal (choice); `Drawing.kept` for all others."""

CHANGEABLE = {
    "hotel": ("pricerange", "type", "parking", "internet", "stars", "area"),
    "restaurant": ("pricerange", "food", "area"),
    "attraction": ("area", "type"),
    "train": ("departure", "destination"),
}
"""Slots that may be asked for in vain first [code]; of other domains those with a closed list."""

_WEEK = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_PEOPLE = re.compile(r"people|person|guest|rider|party|seat|travel|passenger")
_DAY = re.compile(r"date|day(?!s)")
_NUMBER = re.compile(r"number|days|stay|length|night|room|count")


@dataclass(frozen=True, slots=True)
class Drawing:
    """How goals are drawn. Chances lie in [0, 1].

    `only`: domains that goals may have, all that can be looked up where it is empty.
    """

    only: tuple[str, ...] = ()
    most: int = 3  # choice: domains of a goal, where the published combinations do not fit the ontology
    kept: float = 0.6  # choice: chance that a slot stays for which KEPT has none
    named: float = 0.2  # code: the name is known from the start, and nothing else is asked
    dontcare: float = 0.05  # choice: a slot that may be anything
    vain: float = 0.1  # code: a domain in which a slot has a value first that leads to nothing
    share_day: float = 0.4  # code: all bookings are for one day
    share_people: float = 0.6  # code: all bookings are for the same people
    alone: float = 0.1  # code: for one person; else one to eight alike
    unbooked: float = 0.15  # code (hotel, restaurant): nothing is booked
    unbooked_train: float = 0.05  # code
    requests: int = 2  # choice: at most so many properties of the result are asked for
    both_times: float = 0.1  # code: a ride with both times

    def check(self, ontology: Ontology, database: Database) -> None:
        """Raises UserError for chances outside [0, 1], and where no domain is left to draw from."""
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, float) and not 0 <= value <= 1:
                raise UserError(f"goals: {field.name} is {value}, a chance; give a number from 0 to 1")
        if self.most < 1 or self.requests < 0:
            raise UserError(f"goals: most is {self.most} and requests {self.requests}; give 1 or more, and 0 or more")
        for name in self.only:
            ontology.domain(name)
            if name not in drawable(ontology, database):
                raise UserError(f"goals: nothing can be looked up in {name}; leave it out, or give its rows")
        if not drawable(ontology, database):
            raise UserError("goals: no domain has both slots and rows; give a database with rows")


def drawable(ontology: Ontology, database: Database) -> tuple[str, ...]:
    """Domains that a goal can be about: they have slots that narrow a search, and something to search."""
    return tuple(name for name in database.domains if ontology.domain(name).search)


def from_database(ontology: Ontology, database: Database, rng: Random, settings: Drawing) -> Goal:
    """A goal, drawn with `rng` alone. Raises UserError where no row satisfies what was drawn."""
    names = _combination(ontology, database, rng, settings)
    rows: dict[str, Row] = {}
    wishes: list[Wish] = []
    for domain in map(ontology.domain, names):
        if not database.rows(domain.name):
            continue
        rows[domain.name] = rng.choice(database.rows(domain.name))
        wishes.append(_wish(domain, rows[domain.name], rng, settings))
    wishes = _shared(wishes, ontology, rng, settings)
    for domain in map(ontology.domain, names):
        if not database.rows(domain.name):
            drawn = ride(domain, places(ontology, database), rng, settings.both_times)
            wishes.append(wired(drawn, wishes, rows, ontology, rng))
    goal = perturbed(Goal(tuple(wishes)), ontology, database, rng, settings.vain)
    satisfied(goal, database)
    return goal


def satisfied(goal: Goal, database: Database) -> None:
    """Raises UserError with domain and constraints where no row satisfies a wish."""
    for wish in goal.wishes:
        if not database.lookup(wish.domain, wish.inform):
            asked = ", ".join(f"{slot}={value}" for slot, value in wish.inform.items())
            raise UserError(f"goal: no row of {wish.domain} has {asked}; change the goal, or the database")


# ---- which domains --------------------------------------------------------------------------------------------------


def _combination(ontology: Ontology, database: Database, rng: Random, settings: Drawing) -> list[str]:
    """The goal's domains in a drawn order, those without rows last."""
    allowed = [name for name in drawable(ontology, database) if not settings.only or name in settings.only]
    if not allowed:
        raise UserError(f"goals: none of {', '.join(settings.only) or 'the domains'} can be looked up")
    published = {name for names in _PUBLISHED for name in names.split()}
    if published <= set(database.domains) and set(settings.only) <= published:
        counts = {names: count for names, count in _combinations().items() if set(names) <= set(allowed)}
        drawn = list(rng.choices(list(counts), list(counts.values()))[0])
    else:
        drawn = rng.sample(allowed, rng.randint(1, min(settings.most, len(allowed))))
    rng.shuffle(drawn)
    return sorted(drawn, key=lambda name: not database.rows(name))


def _combinations() -> dict[tuple[str, ...], int]:
    counts = {tuple(names.split()): count for names, count in _PUBLISHED.items()}
    others = ("attraction", "hotel", "restaurant", "train")
    subsets = [tuple(name for at, name in enumerate(others) if number >> at & 1) for number in range(1, 15)]
    return counts | {(*subset, "taxi"): _WITH_TAXI for subset in subsets}


# ---- one domain -----------------------------------------------------------------------------------------------------


def _wish(domain: Domain, row: Row, rng: Random, settings: Drawing) -> Wish:
    inform = _inform(domain, row, rng, settings)
    unbooked = settings.unbooked_train if domain.name == "train" else settings.unbooked
    book = _book(domain, rng, settings) if domain.books and rng.random() >= unbooked else {}
    told = [name for name in domain.properties if name in row and name != domain.named]
    request = rng.sample(told, min(len(told), rng.randint(0, settings.requests)))
    return Wish(domain.name, inform, book, tuple(request))


def _inform(domain: Domain, row: Row, rng: Random, settings: Drawing) -> dict[str, str]:
    slots = [slot for slot in domain.search if slot.name in row and slot.name != domain.named]
    required = {slot.name for slot in slots if slot.required}
    named = {domain.named: row[domain.named]} if any(slot.name == domain.named for slot in domain.search) else {}
    if named.get(domain.named) and rng.random() < settings.named:
        return {slot.name: _value(slot, row, rng) for slot in slots if slot.name in required} | named
    either = [slot.name for slot in slots if slot.name in TIMES]
    dropped = {rng.choice(either)} if len(either) > 1 else set()
    slots = [slot for slot in slots if slot.name not in dropped]
    kept = [slot for slot in slots if slot.required or rng.random() < KEPT.get(slot.name, settings.kept)]
    kept = kept or ([rng.choice(slots)] if slots else [])
    values = {slot.name: _value(slot, row, rng) for slot in kept}
    askable = [slot.name for slot in slots if not slot.required and slot.name not in PLACES]
    values |= {name: DONTCARE for name in askable if rng.random() < settings.dontcare}
    if kept and set(values.values()) == {DONTCARE}:
        values[kept[0].name] = _value(kept[0], row, rng)
    return {slot.name: values[slot.name] for slot in slots if slot.name in values} or named


def _value(slot: Slot, row: Row, rng: Random) -> str:
    """The row's value; a time some minutes away from it [code: ten before to nine after]."""
    minutes = times.minutes(row[slot.name]) if slot.name in TIMES else None
    return row[slot.name] if minutes is None else times.clock(minutes + rng.randint(-10, 9))


def _book(domain: Domain, rng: Random, settings: Drawing) -> dict[str, str]:
    drawn = {slot.name: _booked(slot, rng, settings) for slot in domain.booking}
    return {name: value for name, value in drawn.items() if value}


def _booked(slot: Slot, rng: Random, settings: Drawing) -> str:
    """A value of a booking slot; "" where neither a closed list nor its name says what it may be."""
    few = [str(number) for number in range(1, 9) if not slot.values or str(number) in slot.values]
    if _PEOPLE.search(slot.name) and few:
        return few[0] if rng.random() < settings.alone else rng.choice(few)
    if slot.values:
        return rng.choice([value for value in few or slot.values if value != DONTCARE])
    if "time" in slot.name:
        return times.clock(9 * 60 + rng.randint(0, 720))  # code: 09:00 to 21:00
    if _DAY.search(slot.name):
        return rng.choice(_WEEK)
    return rng.choice(few) if _NUMBER.search(slot.name) else ""


def _shared(wishes: list[Wish], ontology: Ontology, rng: Random, settings: Drawing) -> list[Wish]:
    """Bookings for one day and for the same people, where several domains have such a slot."""
    together: dict[str, str] = {}
    for pattern, chance in ((_DAY, settings.share_day), (_PEOPLE, settings.share_people)):
        shared = rng.random() < chance
        for slot, value in ((slot, value) for wish in wishes for slot, value in wish.book.items()):
            if shared and pattern.search(slot):
                together.setdefault(slot, value)
    return [_with_shared(wish, together, ontology.domain(wish.domain)) for wish in wishes]


def _with_shared(wish: Wish, together: Mapping[str, str], domain: Domain) -> Wish:
    lists = {slot.name: slot.values for slot in domain.booking}
    fits = {slot: value for slot, value in together.items() if not lists.get(slot) or value in lists[slot]}
    return replace(wish, book={slot: fits.get(slot, value) for slot, value in wish.book.items()})


# ---- asked for in vain ----------------------------------------------------------------------------------------------


def perturbed(goal: Goal, ontology: Ontology, database: Database, rng: Random, chance: float) -> Goal:
    """The goal with, by `chance` in each domain, a value of one changeable slot that leads to nothing and goes first.

    The code asks for another legal value, whatever that leads to, and nothing else ever; here the value of the goal is
    what the user comes back to. A domain in which every other value leads to something stays as it is, and so does one
    in which nothing is chosen.
    """
    wishes = [
        _in_vain(wish, ontology.domain(wish.domain), database, rng) if rng.random() < chance else wish
        for wish in goal.wishes
    ]
    return replace(goal, wishes=tuple(wishes))


def _in_vain(wish: Wish, domain: Domain, database: Database, rng: Random) -> Wish:
    if not domain.inventory:
        return wish
    changeable = CHANGEABLE.get(domain.name, tuple(slot.name for slot in domain.search if slot.values))
    slots = [slot for slot in domain.search if slot.name in changeable and _held(wish, slot.name)]
    others = [(slot.name, value) for slot in slots for value in _others(slot, wish, database)]
    rng.shuffle(others)
    for name, value in others:
        if not database.lookup(wish.domain, {**wish.inform, name: value}):
            return replace(wish, fail={name: value})
    return wish


def _held(wish: Wish, slot: str) -> bool:
    return wish.inform.get(slot, DONTCARE) != DONTCARE


def _others(slot: Slot, wish: Wish, database: Database) -> list[str]:
    """Other legal values; never the place at the other end."""
    listed = slot.values or sorted({row[slot.name] for row in database.rows(slot.domain) if slot.name in row})
    legal = dict.fromkeys(slot.legal(value) for value in listed if value != DONTCARE)
    taken = {wish.inform[slot.name].casefold()}
    taken |= {wish.inform[name].casefold() for name in PLACES if slot.name in PLACES and name in wish.inform}
    return [value for value in legal if value.casefold() not in taken]
