"""Seeded: what recipes that seed themselves make of the fields for it; each has them with its own defaults."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

from synthesis.errors import UserError
from synthesis.intents.names import NameFilter
from synthesis.intents.plans import Rules
from synthesis.intents.seeding import Sowing
from synthesis.intents.subjects import Subjects, drawing
from synthesis.recipe import at_least

IMPROVED: dict[str, Any] = {
    "draw": "chain",
    "roles": "rules",
    "reality": True,
    "starters": 2,
    "names_per_call": 30,
    "names_length": 400,
    "document_length": 320,
}
"""Seeds by preset `improved`: few questions about many entities, which are asked about one by one (choice)."""

_LEAST = {
    **dict.fromkeys(("type_count", "attributes", "starters", "repeats", "names_per_call", "names_length"), 1),
    "document_length": 1,
    "temperature": 0,
    "low": 2,
}


class Seeded:
    """A recipe whose seeds are subjects and plans; it declares these fields itself, where all of its own stand.

    Lengths are in tokens, `name_shortest` and `name_longest` in letters, `low` and `high` in turns.
    """

    __slots__ = ()

    name: ClassVar[str]

    # what dialogues are about
    entities: Path | None
    types: Literal["list", "ask"]
    types_file: Path
    type_count: int
    names_per_call: int
    names_length: int
    name_shortest: int
    name_longest: int
    name_words: int
    reality: bool
    document_length: int
    attributes: int
    starters: int
    repeats: int
    temperature: float
    top_p: float | None
    # who says what
    sequences: Path | None
    draw: Literal["copy", "chain"]
    roles: Rules
    low: int
    high: int

    def _sound(self, least: Mapping[str, int]) -> None:
        """Raises UserError for a field below what it needs, or below its `least`, and for bounds that cross."""
        at_least(self, {**_LEAST, **least})
        if self.low > self.high:
            raise UserError(f"recipe {self.name}: low {self.low} and high {self.high}: expected low <= high turns")
        self._names(released=False)

    def _names(self, released: bool) -> NameFilter:
        return NameFilter(self.name_shortest, self.name_longest, self.name_words, released)

    def _subjects(self, released: bool = False) -> Subjects:
        """Where seeds come from; `released`: as SOLID's released code, its defects included.

        Raises UserError for a file of sequences that cannot be used.
        """
        sowing = Sowing(
            self._names(released),
            self.temperature,
            self.top_p,
            self.names_per_call,
            self.names_length,
            self.document_length,
            self.attributes,
            self.reality,
            exact=released,
        )
        return Subjects(
            self.name,
            sowing,
            drawing(self.sequences, self.draw, "free" if released else self.roles, self.low, self.high),
            self.entities,
            None if self.types == "ask" else self.types_file,
            self.type_count,
            self.starters,
            self.repeats,
            alternating=released,
        )
