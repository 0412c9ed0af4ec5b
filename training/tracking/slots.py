"""Slots that scorers go by: those that a state may hold, and which of them are categorical.

The default is MultiWOZ: the 30 slots of five domains that the field scores, and what else the 2.2 schema has. Another
ontology brings its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from synthesis.task_oriented.ontology import Ontology
from synthesis.task_oriented.state import slot_name


@dataclass(frozen=True, slots=True)
class Slots:
    """`tracked`: what a state may hold, in order. `categorical`: those with a closed list of values, of all.

    `other`: what else the schema names (a phone number, slots of domains that nobody scores); only `mwz22_official`
    looks at these.
    """

    tracked: tuple[str, ...]
    categorical: frozenset[str] = frozenset()
    other: frozenset[str] = frozenset()


def _full(named: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(slot_name(domain, slot) for domain, slots in named.items() for slot in slots.split())


_CATEGORICAL = {
    "attraction": "area type",
    "hotel": "area bookday bookpeople bookstay internet parking pricerange stars type",
    "restaurant": "area bookday bookpeople pricerange",
    "train": "bookpeople day departure destination",
}
_OPEN = {
    "attraction": "name",
    "hotel": "name",
    "restaurant": "booktime food name",
    "taxi": "arriveby departure destination leaveat",
    "train": "arriveby leaveat",
}
_OTHER_CATEGORICAL = {"bus": "day", "police": "name"}
_OTHER_OPEN = {
    "attraction": "address entrancefee openhours phone postcode",
    "bus": "departure destination leaveat",
    "hospital": "address department phone postcode",
    "hotel": "address phone postcode ref",
    "police": "address phone postcode",
    "restaurant": "address phone postcode ref",
    "taxi": "phone type",
    "train": "duration price ref trainid",
}

MULTIWOZ = Slots(
    tuple(sorted((*_full(_CATEGORICAL), *_full(_OPEN)))),
    frozenset((*_full(_CATEGORICAL), *_full(_OTHER_CATEGORICAL))),
    frozenset((*_full(_OTHER_CATEGORICAL), *_full(_OTHER_OPEN))),
)
"""30 slots and 31 others, as the schema of MultiWOZ 2.2 names them and says which are categorical."""


def of(ontology: Ontology) -> Slots:
    """The slots of an ontology: its tracked ones, and its properties as the others.

    An ontology that has all of MultiWOZ's 30 slots is scored by these, whatever other domains it has, as in the field.
    """
    names = {slot_name(domain.name, each) for domain in ontology.domains for each in domain.properties}
    names |= ontology.slots.keys()
    tracked = MULTIWOZ.tracked if set(MULTIWOZ.tracked) <= ontology.slots.keys() else tuple(ontology.slots)
    closed = frozenset(name for name, slot in ontology.slots.items() if slot.values)
    return Slots(tracked, closed, frozenset(names.difference(tracked)))
