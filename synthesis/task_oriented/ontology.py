"""Ontologies: domains, their slots, what each may hold, and what may be asked of a result.

The tracked slots are those that a belief state can hold: constraints on what is looked for, then what a booking needs.
Properties (an address, a phone number) are only asked for and told.
"""

from __future__ import annotations

from dataclasses import dataclass

from synthesis.errors import UserError
from synthesis.task_oriented.state import slot_name


@dataclass(frozen=True, slots=True)
class Slot:
    """One tracked slot of a domain.

    `name` is without the domain. `values`: the closed list of a categorical slot, empty where anything may stand.
    `booking`: it belongs to a booking (a day, people, nights, a time), not to the search.
    """

    domain: str
    name: str
    description: str
    values: tuple[str, ...] = ()
    booking: bool = False

    @property
    def full(self) -> str:
        """`domain-slot`, as states name it."""
        return slot_name(self.domain, self.name)


@dataclass(frozen=True, slots=True)
class Domain:
    """One domain: `slots` in the schema's order, `properties` that may be asked of a result.

    `books`: there is something to book. `inventory`: it has rows to choose from (a taxi has none: any ride can be
    had).
    """

    name: str
    description: str
    slots: tuple[Slot, ...]
    properties: tuple[str, ...] = ()
    books: bool = False
    inventory: bool = True

    @property
    def search(self) -> tuple[Slot, ...]:
        """Slots that narrow the search."""
        return tuple(slot for slot in self.slots if not slot.booking)

    @property
    def booking(self) -> tuple[Slot, ...]:
        """Slots that a booking needs."""
        return tuple(slot for slot in self.slots if slot.booking)


@dataclass(frozen=True, slots=True)
class Ontology:
    """All domains, in the schema's order."""

    domains: tuple[Domain, ...]

    @property
    def slots(self) -> dict[str, Slot]:
        """Every tracked slot by its `domain-slot`, in the schema's order."""
        return {slot.full: slot for domain in self.domains for slot in domain.slots}

    def domain(self, name: str) -> Domain:
        """The domain of that name. Raises UserError naming those that there are."""
        for domain in self.domains:
            if domain.name == name:
                return domain
        raise UserError(f"no domain {name!r} in the ontology; it has {', '.join(each.name for each in self.domains)}")
