"""Goals: what a user wants, domain by domain in order, and what of it leads to nothing at first.

In JSON, as `Dialogue.goal` holds it, domains stand in the order in which they are talked about:

    {"domains": {"hotel": {"inform": {slot: value}, "book": {slot: value}, "request": [property, ...],
                           "fail": {slot: value}}},
     "persona": "..."}

Slots are without their domain.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from synthesis.errors import UserError
from synthesis.task_oriented.state import slot_name

_PARTS = ("inform", "book", "request", "fail")


@dataclass(frozen=True, slots=True)
class Wish:
    """What is wanted in one domain, slot without its domain to value.

    `inform`: what narrows the search. `book`: what a booking needs; empty where nothing is to be booked. `request`:
    properties to ask for. `fail`: of slots in `inform`, the value that is asked for first and leads to nothing.
    """

    domain: str
    inform: Mapping[str, str] = field(default_factory=dict)
    book: Mapping[str, str] = field(default_factory=dict)
    request: tuple[str, ...] = ()
    fail: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Goal:
    """Wishes in the order in which they come up, each domain once; `persona`: who the user is, in words."""

    wishes: tuple[Wish, ...]
    persona: str | None = None

    @property
    def domains(self) -> tuple[str, ...]:
        """The domains in order."""
        return tuple(wish.domain for wish in self.wishes)

    @property
    def state(self) -> dict[str, str]:
        """The belief state when everything is told: `domain-slot` to value."""
        return {
            slot_name(wish.domain, slot): value
            for wish in self.wishes
            for slot, value in (*wish.inform.items(), *wish.book.items())
        }

    def of(self, domain: str) -> Wish:
        """The wish of that domain. Raises KeyError where there is none."""
        return {wish.domain: wish for wish in self.wishes}[domain]

    def to_json(self) -> dict[str, Any]:
        """The goal as `Dialogue.goal` holds it; parts that are empty are left out."""
        domains = {wish.domain: dict(_parts(wish)) for wish in self.wishes}
        return {"domains": domains} | ({"persona": self.persona} if self.persona else {})


def _parts(wish: Wish) -> Iterator[tuple[str, Any]]:
    for part in _PARTS:
        value = getattr(wish, part)
        if value:
            yield part, list(value) if part == "request" else dict(value)


def from_json(row: Any, where: str = "goal") -> Goal:
    """The goal that `to_json` wrote. Raises UserError that names the place and what is wrong there."""
    domains = row.get("domains") if isinstance(row, Mapping) else None
    if not isinstance(domains, Mapping) or not domains or set(row) - {"domains", "persona"}:
        raise UserError(f"{where}: got {str(row)[:60]!r}, expected an object with domains and perhaps a persona")
    persona = row.get("persona")
    if persona is not None and not isinstance(persona, str):
        raise UserError(f"{where}.persona: got {str(persona)[:60]!r}, expected a text")
    return Goal(tuple(_wish(name, parts, f"{where}.domains.{name}") for name, parts in domains.items()), persona)


def _wish(domain: str, parts: Any, where: str) -> Wish:
    if not isinstance(parts, Mapping) or set(parts) - set(_PARTS):
        raise UserError(f"{where}: got {str(parts)[:60]!r}, expected an object with {', '.join(_PARTS)}")
    request = parts.get("request", ())
    if not isinstance(request, (list, tuple)) or not all(isinstance(each, str) for each in request):
        raise UserError(f"{where}.request: got {str(request)[:60]!r}, expected a list of properties")
    inform, book, fail = (_values(parts.get(part, {}), f"{where}.{part}") for part in ("inform", "book", "fail"))
    if set(fail) - set(inform):
        raise UserError(f"{where}.fail: {sorted(set(fail) - set(inform))[0]!r} is not in inform; expected its slots")
    return Wish(domain, inform, book, tuple(request), fail)


def _values(value: Any, where: str) -> dict[str, str]:
    if not isinstance(value, Mapping) or not all(isinstance(each, str) for each in (*value, *value.values())):
        raise UserError(f"{where}: got {str(value)[:60]!r}, expected an object of slots and values")
    return dict(value)
