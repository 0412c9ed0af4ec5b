"""Our own dialogues with states: dialogues.jsonl of a run, other rows of that form, and rows of a dataset's `default`.

Of a dataset's row what the record has is read (id, turns, goal, notes), without its provenance.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from synthesis.dialogue import Dialogue, from_json
from synthesis.errors import UserError
from synthesis.grounded.shape import listed, object_at
from synthesis.task_oriented.corpora.files import SPLITS
from synthesis.task_oriented.flat import goal_json, turn_json
from synthesis.task_oriented.state import SYSTEM, USER

Row = Mapping[str, Any]
_KEPT = ("id", "notes")
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
        turn_json({name: turn[name] for name in _TURN if object_at(turn, where).get(name) is not None})
        for turn in listed(row, "turns", where)
    ]
    told = {name: row[name] for name in _KEPT if row.get(name) is not None}
    return told | {"turns": turns, "goal": goal_json(row.get("goal"), row.get("persona"))}
