"""Our own dialogues with states: dialogues.jsonl of a run, other rows of that form, and rows of a dataset's `default`.

In a dataset's rows, what is a map in a record is a list of pairs, such as `{"slot": ..., "value": ...}`; both are
read. Of a row's other columns only `notes` and `source` are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from synthesis.dialogue import Dialogue, from_json
from synthesis.errors import UserError
from synthesis.grounded.shape import listed, object_at
from synthesis.task_oriented.corpora.files import SPLITS
from synthesis.task_oriented.state import SYSTEM, USER

Row = Mapping[str, Any]
_RECORD = ("id", "notes", "source")
_TURN = ("speaker", "text", "acts", "state", "domain", "lookup")


def dialogues(rows: Iterable[tuple[str, Any]], table: bool) -> Iterator[tuple[str, Dialogue, str | None]]:
    """Place, dialogue and split of each row with its place. Of a `table`, a dataset's, the place tells the split."""
    for where, value in rows:
        row = object_at(value, where)
        dialogue = from_json(_record(row, where) if table else dict(row), where)
        stray = next((turn.speaker for turn in dialogue.turns if turn.speaker not in (USER, SYSTEM)), None)
        if stray is not None:
            raise UserError(f"{where}: speaker {stray!r}; expected {USER} or {SYSTEM}")
        yield where, dialogue, SPLITS.get(where.rpartition(":")[2].partition("[")[0]) if table else None


def _record(row: Row, where: str) -> dict[str, Any]:
    turns = [
        _turn(object_at(turn, where), f"{where}.turns[{at}]") for at, turn in enumerate(listed(row, "turns", where))
    ]
    return {key: row[key] for key in _RECORD if row.get(key) is not None} | {"turns": turns}


def _turn(turn: Row, where: str) -> dict[str, Any]:
    kept = {key: turn[key] for key in _TURN if turn.get(key) is not None}
    if "state" in kept:
        kept["state"] = _map(kept["state"], f"{where}.state")
    if "lookup" in kept:
        lookup = object_at(kept["lookup"], f"{where}.lookup")
        rows = [_map(row, f"{where}.lookup.rows") for row in lookup.get("rows") or ()]
        kept["lookup"] = {**lookup, "constraints": _map(lookup.get("constraints"), f"{where}.lookup"), "rows": rows}
    return kept


def _map(value: Any, where: str) -> dict[str, Any]:
    """A map, or a list of pairs as one; a list of objects each with two columns, a name and its value."""
    if isinstance(value, Mapping):
        return {key: each for key, each in value.items() if each is not None}
    if isinstance(value, list) and all(isinstance(pair, Mapping) and len(pair) == 2 for pair in value):
        return {str(name): each for name, each in (pair.values() for pair in value)}
    raise UserError(f"{where}: got {str(value)[:60]!r}, expected a map, or a list of pairs of a name and its value")
