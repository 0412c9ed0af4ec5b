"""Ontologies: domains, their slots, what each may hold, and what may be asked of a result.

The tracked slots are those that a belief state can hold: constraints on what is looked for, then what a booking needs.
Properties (an address, a phone number) are only asked for and told.

They are read from the `schema.json` of MultiWOZ 2.2 (slot names carry the service, everything is optional, what a
booking needs begins with "book") or of SGD, the schema-guided dialogue dataset (slot names stand alone, intents say
which slots they need and which their results have).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from synthesis.errors import UserError
from synthesis.storage import parse, read_text
from synthesis.task_oriented.state import DONTCARE, State, joined, slot_name, split


@dataclass(frozen=True, slots=True)
class Slot:
    """One tracked slot of a domain.

    `name` is without the domain. `values`: the closed list of a categorical slot, empty where anything may stand.
    `booking`: it belongs to a booking (a day, people, nights, a time), not to the search. `required`: no search, or
    no booking, can do without it.
    """

    domain: str
    name: str
    description: str
    values: tuple[str, ...] = ()
    booking: bool = False
    required: bool = False

    @property
    def full(self) -> str:
        """`domain-slot`, as states name it."""
        return slot_name(self.domain, self.name)

    def legal(self, value: str) -> str:
        """`value` as the ontology spells it; each of several between bars.

        "dontcare" is always legal, and something free (parking, internet) is there: "free" becomes "yes". Raises
        UserError for what is not in the closed list.
        """
        return joined(self._one(each) for each in split(value) or (value,)) if self.values else value

    def _one(self, value: str) -> str:
        known = {each.casefold(): each for each in (*self.values, DONTCARE)}
        key = value.casefold()
        if key == "free" and "yes" in known:
            return known["yes"]
        if key not in known:
            raise UserError(f"{self.full}: got {value!r}, which is none of its values: {', '.join(self.values)}")
        return known[key]


@dataclass(frozen=True, slots=True)
class Domain:
    """One domain: `slots` in the schema's order, `properties` that may be asked of a result.

    `books`: there is something to book. `inventory`: it has rows to choose from (a taxi has none: any ride can be
    had). `named`: the slot or property by which results are told apart ("name", "trainid"); "" where none does.
    """

    name: str
    description: str
    slots: tuple[Slot, ...]
    properties: tuple[str, ...] = ()
    books: bool = False
    inventory: bool = True
    named: str = ""

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

    def legal(self, state: State) -> dict[str, str]:
        """`state` with every value as the ontology spells it. Raises UserError for unknown slots and values."""
        slots = self.slots
        unknown = [name for name in state if name not in slots]
        if unknown:
            raise UserError(f"no slot {unknown[0]!r} in the ontology; it has {', '.join(slots)}")
        return {name: slots[name].legal(value) for name, value in state.items()}


# ---- reading --------------------------------------------------------------------------------------------------------


def home(folder: Path) -> Path:
    """The folder of `schema.json`: `folder` itself, or the only one in it that has one. Raises UserError."""
    if (folder / "schema.json").is_file():
        return folder
    inner = sorted(path.parent for path in folder.glob("*/schema.json"))
    if len(inner) != 1:
        raise UserError(
            f"ontology {folder}: {'several folders in it have a' if inner else 'no'} schema.json; give the folder of "
            "one in the form of MultiWOZ 2.2 or SGD"
        )
    return inner[0]


def read(folder: Path) -> Ontology:
    """The ontology of `folder/schema.json`. Raises UserError naming the file, the service and the slot."""
    path = home(folder) / "schema.json"
    services = parse(read_text(path, "ontology"), str(path))
    if not isinstance(services, list) or not services:
        raise UserError(f"{path}: expected a list of services, got {str(services)[:60]}")
    domains = tuple(_domain(service, f"{path}[{number}]") for number, service in enumerate(services))
    _once([domain.name for domain in domains], f"{path}: service")
    return Ontology(domains)


def _domain(service: Any, where: str) -> Domain:
    name = _field(service, "service_name", str, where)
    where = f"{where}, service {name!r}"
    rows = _slot_rows(service, name, where)
    intents = [_intent(intent, name, rows, where) for intent in _field(service, "intents", list, where)]
    slots = _tracked(name, rows, intents, where)
    tracked = {slot.name for slot in slots}
    return Domain(
        name,
        str(service.get("description", "")),
        slots,
        tuple(slot for slot in rows if slot not in tracked and slot != "ref"),
        books=any(intent.books for intent in intents),
        inventory=any(not intent.books for intent in intents),
        named=_named(rows, intents, {slot.name for slot in slots if slot.booking}),
    )


def _slot_rows(service: Any, name: str, where: str) -> dict[str, Any]:
    """What the schema says of each slot, by the slot's name without the service."""
    listed = _field(service, "slots", list, where)
    if not listed:
        raise UserError(f"{where}: a schema without slots; list them under slots")
    names = [_bare(_field(row, "name", str, where), name) for row in listed]
    _once(names, f"{where}: slot")
    return dict(zip(names, listed, strict=True))


def _tracked(name: str, rows: Mapping[str, Any], intents: list[_Intent], where: str) -> tuple[Slot, ...]:
    """Slots that an intent takes; none where there is nothing to choose, as with the one police station."""
    searches = [intent for intent in intents if not intent.books]
    bookings = [intent for intent in intents if intent.books]
    takes = {slot for intent in intents for slot in (*intent.required, *intent.optional)}
    slots = []
    for slot, row in rows.items():
        values = _values(row, f"{where}, slot {slot!r}")
        booking = slot in takes and _books(slot, searches)
        needed = bookings if booking or not searches else searches
        required = bool(needed) and all(slot in intent.required for intent in needed)
        if slot in takes:
            slots.append(Slot(name, slot, str(row.get("description", "")), values, booking, required))
    return () if all(len(slot.values) == 1 for slot in slots) else tuple(slots)


@dataclass(frozen=True, slots=True)
class _Intent:
    """An intent of a schema; slots without their service."""

    books: bool
    required: tuple[str, ...]
    optional: tuple[str, ...]
    results: tuple[str, ...]


def _intent(intent: Any, service: str, rows: Mapping[str, Any], where: str) -> _Intent:
    where = f"{where}, intent {_field(intent, 'name', str, where)!r}"
    required = [_bare(slot, service) for slot in _field(intent, "required_slots", list, where)]
    optional = [_bare(slot, service) for slot in _field(intent, "optional_slots", dict, where)]
    results = [_bare(slot, service) for slot in intent.get("result_slots", ())]
    unknown = [slot for slot in (*required, *optional, *results) if slot not in rows]
    if unknown:
        raise UserError(f"{where}: takes or gives {unknown[0]!r}, which is no slot of the service")
    return _Intent(_field(intent, "is_transactional", bool, where), tuple(required), tuple(optional), tuple(results))


def _books(slot: str, searches: list[_Intent]) -> bool:
    """Whether `slot` belongs to a booking: no search takes it or gives it. MultiWOZ has it in the name."""
    searched = any(slot in (*each.required, *each.optional, *each.results) for each in searches)
    return slot.startswith("book") or (bool(searches) and not searched)


def _named(slots: Iterable[str], intents: list[_Intent], booking: set[str]) -> str:
    """What tells results apart: "name"; what a booking needs that no search asks for; the only such name there is."""
    if "name" in slots:
        return "name"
    asked = {slot for each in intents if not each.books for slot in (*each.required, *each.optional)}
    for intent in intents:
        chosen = [slot for slot in intent.required if intent.books and slot not in asked | booking]
        if chosen and asked:
            return chosen[0]
    likely = [slot for slot in slots if slot not in booking and slot.endswith(("_name", "title", "trainid"))]
    return likely[0] if len(likely) == 1 else ""


def _values(row: Mapping[str, Any], where: str) -> tuple[str, ...]:
    """The closed list of a categorical slot; nothing for another, whatever it lists as examples."""
    if not _field(row, "is_categorical", bool, where):
        return ()
    values = row.get("possible_values")
    if not isinstance(values, list) or not values or not all(isinstance(value, str) for value in values):
        raise UserError(f"{where}: categorical, with possible_values {values!r}; list its values as texts")
    return tuple(values)


def _bare(slot: str, service: str) -> str:
    return slot.removeprefix(f"{service}-")


def _once(names: Iterable[str], what: str) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise UserError(f"{what} {name!r} is there twice; keep one")
        seen.add(name)


def _field(row: Any, key: str, kind: type, where: str) -> Any:
    if not isinstance(row, Mapping) or not isinstance(row.get(key), kind):
        got = type(row).__name__ if not isinstance(row, Mapping) else repr(row.get(key))[:60]
        raise UserError(f"{where}: expected {key!r} with a {kind.__name__}, got {got}")
    return row[key]
