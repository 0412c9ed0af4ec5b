"""Reconciliation as published: what an extractor read, mended by rules that know what the goal has revealed.

The six rules are those of the released code of LUAS (arXiv 2405.13037), in our words; the fifth, to ask again when
nothing came, is the caller's. Left out are the defects: a recommended name does not get into the turn before it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rapidfuzz import fuzz

from synthesis.errors import UserError
from synthesis.task_oriented.ontology import Ontology, Slot
from synthesis.task_oriented.state import DONTCARE, State, domain_of, slot_name

ALIKE = 80
"""partial_ratio from which a value is the opposite slot's [code]."""

OFFERED = 75
"""partial_ratio above which a name in the agent's words is that of a candidate [code]."""

FORCED = frozenset(
    "type area stars internet parking pricerange departure destination leaveat bookday bookstay bookpeople "
    "booktime".split()
)
"""Slots that take the goal's value, or go where it has not been revealed; not food, day and arriveby [code]."""

_OPPOSITES = {"leaveat": "arriveby", "departure": "destination"}


def reconciled(read: Mapping[str, str], revealed: State, ontology: Ontology) -> tuple[dict[str, str], tuple[str, ...]]:
    """The state that `read` (`domain-slot` to value) becomes, and what was mended, one message each.

    `revealed`: what of the goal the user has been given to say.
    """
    slots = ontology.slots
    told: list[str] = []
    state = _legal(read, slots, told)
    _swapped(state, revealed, told)
    _named(state, revealed, told)
    forced = [each for each in state if each.partition("-")[2] in FORCED]
    _hidden(state, forced, revealed, told)
    for name in forced:
        if name in state and state[name] != revealed[name]:
            told.append(f"{name}: {state[name]!r} is {revealed[name]!r} in the goal")
            state[name] = revealed[name]
    return state, tuple(told)


def _legal(read: Mapping[str, str], slots: Mapping[str, Slot], told: list[str]) -> dict[str, str]:
    """Rule 1: no keys outside the schema, no value outside its list."""
    state: dict[str, str] = {}
    for name, value in read.items():
        if name not in slots:
            told.append(f"{name}: not in the schema")
            continue
        try:
            state[name] = slots[name].legal(value.strip())
        except UserError as error:
            told.append(str(error))
    return {name: value for name, value in state.items() if value}


def _swapped(state: dict[str, str], revealed: State, told: list[str]) -> None:
    """Rule 2: leaving and arriving, from and to, are exchanged where the value is the opposite one's."""
    pairs = (*_OPPOSITES.items(), *((other, slot) for slot, other in _OPPOSITES.items()))
    for domain in dict.fromkeys(map(domain_of, state)):
        for slot, other in pairs:
            here, there = slot_name(domain, slot), slot_name(domain, other)
            value = state.get(here)
            if value is None or here in revealed or there not in revealed:
                continue
            if fuzz.partial_ratio(value.lower(), revealed[there].lower()) >= ALIKE:
                told.append(f"{here}: {value!r} is {there}")
                state[there] = revealed[there]
                del state[here]
    transport = {slot for pair in _OPPOSITES.items() for slot in pair}
    _hidden(state, [each for each in state if each.partition("-")[2] in transport], revealed, told)


def _named(state: dict[str, str], revealed: State, told: list[str]) -> None:
    """Rule 3: a name only where one was revealed, and then the goal's; the hotel's type, and no stars at all."""
    _hidden(state, [each for each in state if each.endswith("-name")], revealed, told)
    for name, value in revealed.items():
        missed = name == "hotel-type" or (name == "hotel-stars" and value == "0")
        if (name.endswith("-name") and state.get(name) != value) or (missed and name not in state):
            told.append(f"{name}: {value!r} of the goal")
            state[name] = value


def _hidden(state: dict[str, str], names: Sequence[str], revealed: State, told: list[str]) -> None:
    """Takes out of `state` those of `names` that have not been revealed."""
    strange = [name for name in names if name not in revealed]
    told.extend(f"{name}: {state.pop(name)!r} has not been revealed" for name in strange)


def offered(found: str, candidates: Sequence[str]) -> str | None:
    """Rule 6: the candidate that a name found in the agent's words means; None where none is like it."""
    scores = {name: fuzz.partial_ratio(found.lower(), name.lower()) for name in candidates}
    best = max(scores, key=lambda name: (scores[name], -len(name)), default=None)
    return best if best is not None and scores[best] > OFFERED and found != DONTCARE else None
