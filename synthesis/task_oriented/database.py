"""Databases: what the system looks things up in, one table a domain.

They are read from `db/<domain>_db.json` beside the schema, in the forms that MultiWOZ has: keys in any case and with
blanks ("arriveBy", "entrance fee"), "?" for what nobody knows, prices that are objects, arrivals at "24:08". A
domain without a file can be read about in corpora and not be looked up. A taxi is no row: its file says of which
colours, makes and phone numbers rides are made up. Where there is no `db`, SGD's `dialogues_*.json` beside the
schema give the tables: the rows that their services returned.
"""

from __future__ import annotations

import functools
import operator
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from rapidfuzz import fuzz
from rapidfuzz.distance import OSA

from synthesis.dialogue import Dialogue
from synthesis.errors import UserError
from synthesis.storage import dump, parse, read_text
from synthesis.task_oriented import times
from synthesis.task_oriented.ontology import Domain, Ontology, home
from synthesis.task_oriented.state import DONTCARE, split

Row = Mapping[str, str]

TIMES = ("leaveat", "arriveby")
"""Slots in which a time that no row has is one near it."""

EARLIER, LATER = 60, 180
"""Minutes before and after the time asked for that count as near it [the released code of arXiv 2405.13037]."""

TOLD_APART = 2
"""A word that more names than these share does not tell which is meant (choice)."""

UNKNOWN = ("", "?")


@dataclass(frozen=True, slots=True)
class Table:
    """The rows of a domain, and of each column the numbers of the rows that have a value, in lower case."""

    rows: tuple[Row, ...]
    index: Mapping[str, Mapping[str, frozenset[int]]]


@dataclass(frozen=True, slots=True)
class Rides:
    """What rides are made up of. `phone`: digits that all numbers begin with, and how many follow."""

    colours: tuple[str, ...]
    makes: tuple[str, ...]
    phone: tuple[str, int]

    def ride(self, constraints: Mapping[str, tuple[str, ...]]) -> Row:
        """The ride that belongs to these constraints, always the same."""
        rng = Random(dump(sorted(constraints.items())))
        start, more = self.phone
        number = start + "".join(str(rng.randrange(10)) for _ in range(more))
        return {"id": "ride", "type": f"{rng.choice(self.colours)} {rng.choice(self.makes)}", "phone": number}


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
        found = {domain: folder / "db" / f"{domain.name}_db.json" for domain in ontology.domains}
        files = {domain: path for domain, path in found.items() if path.is_file()}
        if not files:
            return _seeded(ontology, _service_results(folder))
        read = {domain: _rows(path) for domain, path in files.items()}
        rides = {domain.name: _rides(rows, files[domain]) for domain, rows in read.items() if not domain.inventory}
        return cls(
            ontology,
            {domain.name: _table(domain, rows, files[domain]) for domain, rows in read.items() if domain.inventory},
            rides,
        )

    @classmethod
    def from_results(cls, ontology: Ontology, dialogues: Iterable[Dialogue]) -> Database:
        """A database of all rows that lookups in `dialogues` showed, each once, without what was booked.

        Raises UserError where there are none.
        """
        looked = (turn.lookup for dialogue in dialogues for turn in dialogue.turns if turn.lookup is not None)
        return _seeded(ontology, ((lookup.domain, row) for lookup in looked for row in lookup.rows))

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
        Case does not matter, slots of bookings and "dontcare" are passed over. A time that no row has stands for
        those near it, round the clock; a name that no row has for the one most like it. Raises UserError for a slot
        that the domain does not have.
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
            if DONTCARE not in values and not (name in slots and slots[name].booking):
                free = name in slots and "free" in slots[name].values
                asked[name] = tuple("yes" if free and each == "free" else each for each in values)
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

    The longest that goes on as `name` does, or with which `name` goes on; else the one that shares the rarest words,
    of which no more than `TOLD_APART` names may have each.
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


# ---- reading --------------------------------------------------------------------------------------------------------


def _rows(path: Path) -> list[Any]:
    rows = parse(read_text(path, "database"), str(path))
    listed = [rows] if isinstance(rows, dict) else rows
    if not isinstance(listed, list) or not all(isinstance(row, dict) for row in listed):
        raise UserError(f"{path}: expected a list of objects, one a row")
    if not listed:
        raise UserError(f"{path}: the table is empty; fill it, or take the file away if nobody looks there")
    return listed


def _table(domain: Domain, rows: list[Any], path: Path) -> Table:
    columns = {_squeezed(name): name for name in (*(slot.name for slot in domain.slots), *domain.properties)}
    ids = [str(row.get("id", "")) for row in rows]
    own = all(ids) and len(set(ids)) == len(ids)
    read = []
    for number, row in enumerate(rows):
        cells = {columns.get(_squeezed(key), key.lower()): value for key, value in row.items()}
        kept = {key: _cell(domain, key, value, f"{path}[{number}]") for key, value in cells.items()}
        read.append(
            {key: value for key, value in kept.items() if value not in UNKNOWN}
            | {"id": ids[number] if own else str(number)}
        )
    return _indexed(read)


def _squeezed(name: str) -> str:
    return re.sub(r"[\W_]", "", name.lower())


def _cell(domain: Domain, key: str, value: Any, where: str) -> str:
    """A cell as a text; "" for a position on the map and what else no state can hold."""
    if isinstance(value, dict):
        return ", ".join(f"{kind} {price} pounds" for kind, price in sorted(value.items()))
    if isinstance(value, list) or value is None:
        return ""
    text = str(value).strip()
    if text in UNKNOWN:
        return ""
    if key in TIMES:
        return _time(text, f"{where}.{key}")
    slot = next((slot for slot in domain.slots if slot.name == key), None)
    return text if slot is None or not slot.values else _listed(slot.values, text, f"{where}.{key}")


def _time(text: str, where: str) -> str:
    time = times.minutes(text)
    if time is None:
        raise UserError(f"{where}: got {text!r}, expected a time such as 09:30")
    return times.clock(time)


def _listed(values: tuple[str, ...], text: str, where: str) -> str:
    """`text` as the closed list spells it, though one slip of the pen lie between ("mutliple sports")."""
    for value in values:
        if value.casefold() == text.casefold():
            return value
    near = [value for value in values if len(value) > 4 and OSA.distance(value, text.lower()) == 1]
    if len(near) != 1:
        raise UserError(f"{where}: got {text!r}, which is none of the slot's values: {', '.join(values)}")
    return near[0]


def _indexed(rows: list[dict[str, str]]) -> Table:
    index: dict[str, dict[str, set[int]]] = defaultdict(lambda: defaultdict(set))
    for number, row in enumerate(rows):
        for column, value in row.items():
            index[column][value.lower()].add(number)
    frozen = {name: {value: frozenset(found) for value, found in column.items()} for name, column in index.items()}
    return Table(tuple(rows), frozen)


def _rides(rows: list[Any], path: Path) -> Rides:
    """What a file such as MultiWOZ's `taxi_db.json` says: lists of colours and makes, and a pattern of numbers."""
    row = rows[0]
    listed = [row.get(key) for key in ("taxi_colors", "taxi_types", "taxi_phone")]
    if not all(isinstance(each, list) and each and all(isinstance(text, str) for text in each) for each in listed):
        raise UserError(f"{path}: expected the lists taxi_colors, taxi_types and taxi_phone")
    colours, makes, (pattern, *_) = listed
    found = re.fullmatch(r"\^?(\d*)\[0-9\]\{(\d+)\}\$?", pattern)
    if found is None:
        raise UserError(f"{path}: phone pattern {pattern!r}: expected digits, then such as [0-9]{{6}}")
    return Rides(tuple(colours), tuple(makes), (found[1], int(found[2])))


# ---- rows out of dialogues ------------------------------------------------------------------------------------------


def _seeded(ontology: Ontology, results: Iterable[tuple[str, Mapping[str, str]]]) -> Database:
    found: dict[str, list[dict[str, str]]] = defaultdict(list)
    booked = {domain.name: {"id", *(slot.name for slot in domain.booking)} for domain in ontology.domains}
    for domain, row in results:
        ontology.domain(domain)
        known = {key: value for key, value in row.items() if value not in UNKNOWN and key not in booked[domain]}
        found[domain].append(
            {key: _time(value, f"{domain}.{key}") if key in TIMES else value for key, value in known.items()}
        )
    if not found:
        raise UserError(
            "no database: neither db/<domain>_db.json beside the schema nor dialogues whose lookups have rows"
        )
    tables = {
        domain: _indexed([{**row, "id": str(number)} for number, row in enumerate(_whole(rows))])
        for domain, rows in found.items()
    }
    return Database(ontology, tables, {})


def _whole(rows: list[dict[str, str]]) -> list[dict[str, str]]:
    """`rows` without repetitions and without those that only say a part of another, in their order."""
    having: dict[tuple[str, str], set[int]] = defaultdict(set)
    kept = []
    for number in sorted(range(len(rows)), key=lambda number: -len(rows[number])):
        cells = rows[number].items()
        if cells and not set.intersection(*(having[cell] for cell in cells)):
            kept.append(number)
            for cell in cells:
                having[cell].add(number)
    return [rows[number] for number in sorted(kept)]


def _service_results(folder: Path) -> Iterator[tuple[str, Mapping[str, str]]]:
    """Every row that a service returned in the SGD dialogues of `folder`."""
    for path in sorted(folder.glob("dialogues_*.json")):
        dialogues = parse(read_text(path, "dialogues"), str(path))
        try:
            for frame in (frame for dialogue in dialogues for turn in dialogue["turns"] for frame in turn["frames"]):
                for row in frame.get("service_results", ()):
                    yield frame["service"], {str(key): str(value) for key, value in row.items()}
        except (AttributeError, KeyError, TypeError) as error:
            raise UserError(f"{path}: not dialogues in the form of SGD: {error!r}") from error
