"""Which slots the user tells now: the reveal schedule, exchange by exchange.

At each exchange about a domain every slot not yet told has a chance that grows; it goes by the kind of slot, for the
tables that the published chances were counted in are not there. At least one slot is told, from a certain exchange on
all are, and what the agent has asked for is told and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random

from synthesis.task_oriented.ontology import Domain, Slot
from synthesis.task_oriented.policy import Policy
from synthesis.task_oriented.state import DONTCARE

CHANCES: Mapping[str, tuple[float, ...]] = {  # choice; by exchange, the last one holds on
    "name": (0.90, 0.90, 0.95, 0.95, 1.00),
    "place": (0.80, 0.85, 0.90, 0.95, 1.00),
    "time": (0.30, 0.40, 0.45, 0.50, 0.55),  # before its factor
    "closed": (0.55, 0.65, 0.75, 0.85, 0.95),
    "open": (0.70, 0.75, 0.80, 0.90, 0.95),
    DONTCARE: (0.00, 0.10, 0.20, 0.40, 0.60),
}


def is_time(slot: str) -> bool:
    """Whether a slot of that name holds a time of day."""
    return slot in ("leaveat", "arriveby") or slot.endswith("time")


def is_place(slot: str) -> bool:
    """Whether a slot of that name holds where one leaves from or goes to."""
    return any(part in slot for part in ("departure", "destination", "origin")) and not is_time(slot)


def chance(slot: Slot, value: str, named: bool, exchange: int, policy: Policy) -> float:
    """How likely a slot is to be told at an exchange, from 0, where nobody has asked for it.

    `named`: it says which row is meant.
    """
    if value == DONTCARE:
        kind = DONTCARE
    elif named:
        kind = "name"
    elif is_time(slot.name):
        kind = "time"
    elif is_place(slot.name):
        kind = "place"
    else:
        kind = "closed" if slot.values else "open"
    likely = CHANCES[kind][min(exchange, len(CHANCES[kind]) - 1)]
    return min(1.0, policy.times * likely) if kind == "time" else likely


def told(
    untold: Mapping[str, str], asked: Sequence[str], domain: Domain, exchange: int, policy: Policy, rng: Random
) -> list[str]:
    """Slots to tell of those untold (slot to value), in their order; none only at an opener or where none is left."""
    answers = [slot for slot in untold if slot in asked]
    if answers or not untold:
        return answers
    if exchange == 0 and rng.random() < policy.opener:
        return []
    if exchange >= policy.everything:
        return list(untold)
    slots = {slot.name: slot for slot in domain.slots}
    drawn = [
        name
        for name, value in untold.items()
        if rng.random() < chance(slots[name], value, name == domain.named, exchange, policy)
    ]
    wished = [name for name in untold if untold[name] != DONTCARE] or list(untold)
    return drawn or [rng.choice(wished)]


def bookings(untold: Sequence[str], asked: Sequence[str], exchange: int, policy: Policy, rng: Random) -> list[str]:
    """Booking slots to tell now: those asked for; some of them while it is early; all of them later."""
    answers = [slot for slot in untold if slot in asked]
    if answers or not untold or exchange >= policy.everything:
        return answers or list(untold)
    weights = policy.early_bookings
    count = rng.choices(range(1, len(weights) + 1), weights)[0]
    drawn = rng.sample(list(untold), min(count, len(untold)))
    return [slot for slot in untold if slot in drawn]
