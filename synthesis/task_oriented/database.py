"""Databases: what the system looks things up in, one table a domain.

They are read from `db/<domain>_db.json` beside the schema. A domain without a file can be read about in corpora and
not be looked up. Where there is no such file at all, SGD's `dialogues_*.json` beside the schema give the tables: the
rows that their services returned.
"""

from __future__ import annotations

import functools
import operator
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from rapidfuzz import fuzz

from synthesis.dialogue import Dialogue
from synthesis.errors import UserError
from synthesis.task_oriented import tables, times
from synthesis.task_oriented.ontology import Ontology, home
from synthesis.task_oriented.state import DONTCARE, split
from synthesis.task_oriented.tables import TIMES, Rides, Row, Table

EARLIER, LATER = 60, 180
"""Minutes before and after the time asked for that count as near it [the released code of arXiv 2405.13037]."""

TOLD_APART = 2
"""A word that more names than these share does not tell which is meant (choice)."""


@dataclass(frozen=True, slots=True)
class Database:
    """Tables, and what rides are made up of, by domain."""

    ontology: Ontology
    tables: Mapping[str, Table]
    rides: Mapping[str, Rides]

    @classmethod
    def read(cls, folder: Path, ontology: Ontology) -> Database:
        """The database in `folder`. Raises UserError for a folder without one, an empty table, and broken rows."""
        folder = home(folder)
        files = {domain: folder / "db" / f"{domain.name}_db.json" for domain in ontology.domains}
        found = {domain.name: tables.read(domain, path) for domain, path in files.items() if path.is_file()}
        if not found:
            return cls._seeded(ontology, tables.service_results(folder), str(folder))
        rides = {name: each for name, each in found.items() if isinstance(each, Rides)}
        return cls(ontology, {name: each for name, each in found.items() if isinstance(each, Table)}, rides)

    @classmethod
    def from_results(cls, ontology: Ontology, dialogues: Iterable[Dialogue]) -> Database:
        """A database of all rows that lookups in `dialogues` showed, each once, without what was booked.

        Raises UserError where there are none.
        """
        looked = (turn.lookup for dialogue in dialogues for turn in dialogue.turns if turn.lookup is not None)
        results = ((lookup.domain, row) for lookup in looked for row in lookup.rows)
        return cls._seeded(ontology, results, "the dialogues")

    @classmethod
    def _seeded(cls, ontology: Ontology, results: Iterable[tuple[str, Row]], where: str) -> Database:
        found = tables.seeded(ontology, results)
        if not found:
            raise UserError(f"{where}: no database: neither db/<domain>_db.json nor dialogues whose lookups have rows")
        return cls(ontology, found, {})

    @property
    def domains(self) -> tuple[str, ...]:
        """The domains that can be looked up, in the schema's order."""
        return tuple(
            each.name for each in self.ontology.domains if each.name in self.tables or each.name in self.rides
        )

    def rows(self, domain: str) -> tuple[Row, ...]:
        """All rows of a domain: keys are names of slots and properties, and "id". None where rides are made up."""
        return () if domain in self.rides else self._table(domain).rows

    def names(self, domain: str) -> tuple[str, ...]:
        """What results of `domain` can be called, each once; nothing where they have no names."""
        column = self.ontology.domain(domain).named
        return tuple(dict.fromkeys(row[column] for row in self.rows(domain) if column in row))

    def lookup(self, domain: str, constraints: Mapping[str, str]) -> list[Row]:
        """The rows that hold, in the table's order.

        `constraints`: slot or property without its domain, to a value or several between bars, any of which will do.
        Case does not matter; slots of bookings, "dontcare" and "" are passed over. A name that no row has stands for
        the one most like it. A time that no row has which holds otherwise stands for those from an hour before it to
        three after, round the clock. Raises UserError for a slot that the domain does not have.
        """
        known = self._asked(domain, constraints)
        if domain in self.rides:
            return [self.rides[domain].ride(known)]
        table = self._table(domain)
        named = self.ontology.domain(domain).named
        sets = [_holding(table, slot, values, slot == named) for slot, values in known.items() if slot not in TIMES]
        kept = functools.reduce(operator.and_, sorted(sets, key=len)) if sets else range(len(table.rows))
        found = [table.rows[number] for number in sorted(kept)]
        for slot in TIMES:
            found = _near(found, slot, known[slot]) if slot in known else found
        return found

    def _asked(self, domain: str, constraints: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
        """What of `constraints` narrows a search: values that will do, in lower case."""
        schema = self.ontology.domain(domain)
        slots = {slot.name: slot for slot in schema.slots}
        asked = {}
        for name, value in constraints.items():
            if name not in slots and name not in schema.properties:
                has = ", ".join((*slots, *schema.properties))
                raise UserError(f"lookup in {domain}: no slot or property {name!r}; it has {has}")
            values = tuple(each.lower() for each in split(value))
            if values and DONTCARE not in values and not (name in slots and slots[name].booking):
                there = name in slots and "yes" in slots[name].values
                asked[name] = tuple("yes" if there and each == "free" else each for each in values)
        return asked

    def _table(self, domain: str) -> Table:
        if domain not in self.tables:
            self.ontology.domain(domain)
            raise UserError(f"nothing can be looked up in {domain}: the database has no db/{domain}_db.json with rows")
        return self.tables[domain]


# ---- searching ------------------------------------------------------------------------------------------------------


def _holding(table: Table, slot: str, values: tuple[str, ...], named: bool) -> frozenset[int]:
    """Numbers of the rows that have one of the values, or a name most like one of them."""
    column = table.index.get(slot, {})
    meant = (alike(value, column) if named and value not in column else value for value in values)
    return frozenset().union(*(column.get(value, frozenset()) for value in meant))


def alike(name: str, names: Iterable[str]) -> str:
    """The name in `names` that `name` most likely means; "" where none is like it.

    Of names that go on as `name` does, or with which it goes on, the one most like it; else the one that shares the
    rarest words, leaving out those that more than `TOLD_APART` names have.
    """
    said, plain = _plain(name), {each: _plain(each) for each in sorted(names)}
    begun = [each for each, other in plain.items() if said and other and _begins(said, other)]
    if begun:
        return max(begun, key=lambda each: fuzz.ratio(" ".join(said), " ".join(plain[each])))
    sharing = {word: [each for each, other in plain.items() if word in other] for word in said}
    shares: dict[str, float] = defaultdict(float)
    for word, having in sharing.items():
        for each in having if len(word) > 2 and len(having) <= TOLD_APART else ():
            shares[each] += 1 / len(having)
    return max(shares, key=lambda each: (shares[each], fuzz.ratio(name, each)), default="")


def _plain(name: str) -> tuple[str, ...]:
    """The words of a name, without apostrophes and a "the" before it."""
    found = re.findall(r"\w+", re.sub(r"['’]", "", name.lower()))
    return tuple(found[1:] if found[:1] == ["the"] else found)


def _begins(one: tuple[str, ...], other: tuple[str, ...]) -> bool:
    return all(left == right for left, right in zip(one, other, strict=False))


def _near(rows: list[Row], slot: str, values: tuple[str, ...]) -> list[Row]:
    """Of `rows`, those at a time that was asked for; where there is none, those from an hour before to three after."""
    asked = [time for time in map(times.minutes, values) if time is not None]
    clocks = {times.clock(time) for time in asked}
    exact = [row for row in rows if row.get(slot) in clocks]
    return exact or [
        row
        for row in rows
        if slot in row and any((_minutes(row[slot]) - time + EARLIER) % times.DAY <= EARLIER + LATER for time in asked)
    ]


def _minutes(clock: str) -> int:
    return int(clock[:2]) * 60 + int(clock[3:])
