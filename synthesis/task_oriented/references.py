"""References from one domain to an earlier one: "the same area as the hotel", "from the restaurant to the museum".

A slot can refer to another that holds the same value and means the same kind of thing. Where the goal was wired to
what would be chosen before (a ride from the hotel), it follows what was chosen in fact.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from synthesis.task_oriented.ontology import Ontology
from synthesis.task_oriented.reveal import is_place, is_time
from synthesis.task_oriented.state import DONTCARE, State, domain_of, slot_name


def akin(slot: str, other: str, named: str) -> bool:
    """Whether a slot and another domain's, both without their domains, can mean the same thing.

    `named`: the slot that names the other domain's rows. Slots are akin that are called the same but for "book", two
    places, a place and a name, and two times.
    """
    if other == named:
        return is_place(slot)
    same = slot.removeprefix("book") == other.removeprefix("book")
    return same or (is_place(slot) and is_place(other)) or (is_time(slot) and is_time(other))


def referents(
    domain: str, slot: str, value: str, state: State, before: Iterable[str], ontology: Ontology
) -> list[str]:
    """The `domain-slot` of domains talked about `before` that a slot of `domain` can refer to for this value."""
    earlier = {name: ontology.domain(name) for name in before if name != domain}
    return [
        full
        for full, held in state.items()
        if held == value != DONTCARE
        and domain_of(full) in earlier
        and akin(slot, full.partition("-")[2], earlier[domain_of(full)].named)
    ]


def rebound(
    wanted: Mapping[str, str],
    planned: State,
    state: State,
    names: Mapping[str, Collection[str]],
    ontology: Ontology,
) -> dict[str, str]:
    """`wanted` (slot to value of a domain that comes later) with what was planned exchanged for what has come about.

    `planned`: `domain-slot` to the value that the goal had, of the domains before; `state`: what the user holds now;
    `names`: what each domain before can offer. A value that belongs to none of them stays, and so does one whose
    exchange would leave from where it goes to.
    """
    made = dict(wanted)
    for slot, value in wanted.items():
        follows = [
            state[full]
            for full, plan in planned.items()
            if plan == value
            and full in state
            and akin(slot, full.partition("-")[2], ontology.domain(domain_of(full)).named)
        ]
        follows += [
            state[name]
            for domain, offered in names.items()
            if value in offered and is_place(slot)
            for name in (slot_name(domain, ontology.domain(domain).named),)
            if name in state
        ]
        places = [held for other, held in made.items() if is_place(other) and other != slot]
        if follows and follows[0] not in places and follows[0] != DONTCARE:
            made[slot] = follows[0]
    return made
