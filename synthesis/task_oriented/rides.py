"""Wishes for rides: from one place to another, at some time, to or from what was chosen before.

A domain whose results are made up (a taxi) has no rows to begin with: places are names of venues, or where trains go.
The rules are those of LUAS's released code ("code"; arXiv 2405.13037), which has a list of 250 places.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from random import Random

from synthesis.errors import UserError
from synthesis.task_oriented import times
from synthesis.task_oriented.database import Database
from synthesis.task_oriented.goals import Wish
from synthesis.task_oriented.ontology import Domain, Ontology
from synthesis.task_oriented.state import DONTCARE
from synthesis.task_oriented.tables import Row

PLACES = ("departure", "destination")
LEAVE, ARRIVE = "leaveat", "arriveby"

_EARLIEST, _LATEST, _STEP = 6 * 60, 22 * 60, 15
"""Rides are asked for between these minutes of the day, on the quarter (choice)."""


def places(ontology: Ontology, database: Database) -> tuple[str, ...]:
    """Where a ride can lead: venues by name; where there are none, the places that rows of other domains name."""
    venues = [
        name for domain in ontology.domains if _venue(domain) for name in _rows_of(domain, database, domain.named)
    ]
    towns = [name for domain in ontology.domains for place in PLACES for name in _rows_of(domain, database, place)]
    return tuple(dict.fromkeys(venues or towns))


def _rows_of(domain: Domain, database: Database, column: str) -> list[str]:
    rows = database.rows(domain.name) if domain.name in database.domains else ()
    return [row[column] for row in rows if column in row]


def ride(domain: Domain, anywhere: Sequence[str], rng: Random, both_times: float) -> Wish:
    """A ride between two of the places `anywhere`, leaving or arriving at a time, by `both_times` both.

    Slots other than places and times are drawn from their closed list, and left out without one. Raises UserError
    where there are fewer than two places.
    """
    slots = {slot.name: slot for slot in domain.slots}
    ends = [name for name in PLACES if name in slots]
    closed = [slots[name].values for name in ends if slots[name].values]
    inform: dict[str, str] = {}
    if ends:
        known = closed[0] if closed else anywhere
        if len(known) < len(ends):
            raise UserError(
                f"goals: {domain.name} needs two places, and the database names {len(known)}; give more rows"
            )
        inform |= dict(zip(ends, rng.sample(list(known), len(ends)), strict=True))
    start = rng.randrange(_EARLIEST, _LATEST, _STEP)
    clocks = {LEAVE: times.clock(start), ARRIVE: times.clock(start + rng.randrange(_STEP, 61, _STEP))}
    one = rng.choice((LEAVE, ARRIVE))
    wanted = clocks if rng.random() < both_times else {one: clocks[one]}
    inform |= {name: value for name, value in wanted.items() if name in slots}
    rest = [slot for slot in domain.slots if slot.values and slot.name not in (*PLACES, LEAVE, ARRIVE)]
    drawn = {slot.name: rng.choice([value for value in slot.values if value != DONTCARE]) for slot in rest}
    book = {slot.name: drawn.pop(slot.name) for slot in rest if slot.booking}
    return Wish(domain.name, inform | drawn, book)


def wired(wish: Wish, before: Sequence[Wish], rows: Mapping[str, Row], ontology: Ontology, rng: Random) -> Wish:
    """The ride, led to or from what one of the wishes `before` is about, and its other end to another venue's.

    From a train, or to it in time; to or from a venue, by its name in `rows`, to a restaurant in time for the table
    [code]. That both ends are wired where there are two venues is choice.
    """
    if not before or not set(wish.inform) >= set(PLACES):
        return wish
    first, *others = rng.sample(list(before), len(before))
    made = _to_or_from(wish, first, rows, ontology.domain(first.domain), rng.choice(PLACES))
    free = [place for place in PLACES if made.inform[place] == wish.inform[place]]
    venue = next((other for other in others if _venue(ontology.domain(other.domain))), None)
    if venue is not None and len(free) == 1:
        made = _to_or_from(made, venue, rows, ontology.domain(venue.domain), free[0])
    return made if made.inform[PLACES[0]] != made.inform[PLACES[1]] else wish


def _to_or_from(wish: Wish, other: Wish, rows: Mapping[str, Row], domain: Domain, end: str) -> Wish:
    """The ride with its `end` where the other wish is, and at the time that this sets."""
    departure, destination = PLACES
    arriving = end == destination
    if set(PLACES) <= {slot.name for slot in domain.slots}:  # to where a train leaves, from where it arrives
        place = other.inform.get(departure if arriving else destination, DONTCARE)
        time = other.inform.get(LEAVE if arriving else ARRIVE, DONTCARE)
    elif _venue(domain):
        place = rows[other.domain].get(domain.named, DONTCARE)
        time = other.book.get("booktime", DONTCARE) if arriving else DONTCARE
    else:
        return wish
    inform = dict(wish.inform)
    if place != DONTCARE:
        inform[end] = place
    if DONTCARE not in (place, time):
        inform = {slot: value for slot, value in inform.items() if slot not in (LEAVE, ARRIVE)}
        inform[ARRIVE if arriving else LEAVE] = time
    return replace(wish, inform=inform)


def _venue(domain: Domain) -> bool:
    """Whether its results are places that have a name, and states hold it."""
    return domain.inventory and any(slot.name == domain.named for slot in domain.slots)
