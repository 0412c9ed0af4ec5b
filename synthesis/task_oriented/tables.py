"""Tables: the rows of a domain, out of a database's file or out of what services returned in dialogues.

The files' forms are MultiWOZ's: keys in any case and with blanks ("arriveBy", "entrance fee"), "?" for what nobody
knows, prices that are objects, arrivals at "24:08". A taxi is no row: its file says of which colours, kinds of car
and phone numbers rides are made up.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from rapidfuzz.distance import OSA

from synthesis.errors import UserError
from synthesis.storage import dump, parse, read_text
from synthesis.task_oriented import times
from synthesis.task_oriented.ontology import Domain, Ontology, Slot

Row = Mapping[str, str]

TIMES = ("leaveat", "arriveby")
"""Slots that hold a time of the timetable."""

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
    cars: tuple[str, ...]
    phone: tuple[str, int]

    def ride(self, constraints: Mapping[str, tuple[str, ...]]) -> Row:
        """The ride that belongs to these constraints, always the same."""
        rng = Random(dump(sorted(constraints.items())))
        start, more = self.phone
        number = start + "".join(str(rng.randrange(10)) for _ in range(more))
        return {"id": "ride", "type": f"{rng.choice(self.colours)} {rng.choice(self.cars)}", "phone": number}


def read(domain: Domain, path: Path) -> Table | Rides:
    """The table in a file, keys as the schema names them, or what rides are made up of. Raises UserError.

    Each row has its "id": the file's, or its number where the file has none or the same twice.
    """
    rows = parse(read_text(path, "database"), str(path))
    listed = [rows] if isinstance(rows, dict) else rows
    if not isinstance(listed, list) or not all(isinstance(row, dict) for row in listed):
        raise UserError(f"{path}: expected a list of objects, one a row")
    if not listed:
        raise UserError(f"{path}: the table is empty; fill it, or take the file away if nobody looks there")
    return _rides(listed[0], path) if "taxi_colors" in listed[0] else _table(domain, listed, path)


def _table(domain: Domain, rows: list[Any], path: Path) -> Table:
    columns = {_squeezed(name): name for name in (*domain.properties, *(slot.name for slot in domain.slots))}
    slots = {slot.name: slot for slot in domain.slots}
    ids = [str(row.get("id", "")) for row in rows]
    own = all(ids) and len(set(ids)) == len(ids)
    read = []
    for number, row in enumerate(rows):
        named = {columns.get(_squeezed(key), key.lower()): value for key, value in row.items()}
        cells = {key: _cell(slots.get(key), key, value, f"{path}[{number}]") for key, value in named.items()}
        known = {key: value for key, value in cells.items() if value not in UNKNOWN}
        read.append({**known, "id": ids[number] if own else str(number)})
    return _indexed(read)


def _squeezed(name: str) -> str:
    return re.sub(r"[\W_]", "", name.lower())


def _cell(slot: Slot | None, key: str, value: Any, where: str) -> str:
    """A cell as a text; "" for what nobody knows and for a position on the map, which no state can hold."""
    if isinstance(value, dict):  # a hotel's price, by the kind of room
        return ", ".join(f"{kind} {price} pounds" for kind, price in sorted(value.items()))
    text = "" if isinstance(value, list) or value is None else str(value).strip()
    if text in UNKNOWN:
        return ""
    if key in TIMES:
        return _time(text, f"{where}.{key}")
    return _listed(slot.values, text, f"{where}.{key}") if slot is not None and slot.values else text


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


def _rides(row: Mapping[str, Any], path: Path) -> Rides:
    """What a file such as MultiWOZ's `taxi_db.json` says: lists of colours and cars, and a pattern of numbers."""
    colours, cars, patterns = (_texts(row, key, path) for key in ("taxi_colors", "taxi_types", "taxi_phone"))
    found = re.fullmatch(r"\^?(\d*)\[0-9\]\{(\d+)\}\$?", patterns[0])
    if found is None:
        raise UserError(f"{path}: phone pattern {patterns[0]!r}: expected digits, then such as [0-9]{{6}}")
    return Rides(colours, cars, (found[1], int(found[2])))


def _texts(row: Mapping[str, Any], key: str, path: Path) -> tuple[str, ...]:
    texts = row.get(key)
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) for text in texts):
        raise UserError(f"{path}: expected {key!r} with a list of texts, got {texts!r}")
    return tuple(texts)


def seeded(ontology: Ontology, results: Iterable[tuple[str, Mapping[str, str]]]) -> dict[str, Table]:
    """Tables of rows that services returned, by domain: each once, without what was booked.

    Raises UserError for a domain that the ontology does not have.
    """
    found: dict[str, list[dict[str, str]]] = defaultdict(list)
    booked = {domain.name: {"id", *(slot.name for slot in domain.booking)} for domain in ontology.domains}
    for name, row in results:
        left_out = booked[ontology.domain(name).name]
        known = {key: value for key, value in row.items() if value not in UNKNOWN and key not in left_out}
        clocks = {key: _time(known[key], f"{name}.{key}") for key in TIMES if key in known}
        found[name].append({**known, **clocks})
    return {
        name: _indexed([{**row, "id": str(number)} for number, row in enumerate(_whole(rows))])
        for name, rows in found.items()
    }


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


def service_results(folder: Path) -> Iterator[tuple[str, Mapping[str, str]]]:
    """Every row that a service returned in the SGD dialogues of `folder`."""
    for path in sorted(folder.glob("dialogues_*.json")):
        dialogues = parse(read_text(path, "dialogues"), str(path))
        try:
            for frame in (frame for dialogue in dialogues for turn in dialogue["turns"] for frame in turn["frames"]):
                for row in frame.get("service_results", ()):
                    yield frame["service"], {str(key): str(value) for key, value in row.items()}
        except (AttributeError, KeyError, TypeError) as error:
            raise UserError(f"{path}: not dialogues in the form of SGD: {error!r}") from error
