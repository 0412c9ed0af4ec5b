"""States in files: gold and predictions, one user turn a line, and gold out of any corpus that has states.

A line is {"dialogue_id": ..., "turn": ..., "state": {"domain-slot": value or [values]}}. `turn` is the turn's place
among all turns of the dialogue, from 0 and with the system's counted, so that the user's are commonly 0, 2, 4. Several
values are alternatives, the first one first. A prediction that was made up for an unreadable generation says
"invalid": true beside its state; it is counted.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from synthesis.errors import UserError
from synthesis.storage import read_jsonl
from synthesis.task_oriented.state import State, joined, tracked
from training.tracking.counting import States, Turn


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a file; `where`: the file and the line's number."""

    where: str
    turn: Turn
    state: State
    invalid: bool


@dataclass(frozen=True, slots=True)
class Predicted:
    """Predictions for gold turns; `missing`: gold turns without any, `invalid`: those made up for no readable one."""

    states: States
    missing: tuple[Turn, ...]
    invalid: tuple[Turn, ...]


def to_row(turn: Turn, state: State, invalid: bool = False) -> dict[str, Any]:
    """One line of a file of states."""
    dialogue, number = turn
    return {"dialogue_id": dialogue, "turn": number, "state": dict(state)} | ({"invalid": True} if invalid else {})


def read_gold(source: str) -> dict[Turn, State]:
    """Gold states of a JSONL file as above, or of a corpus that `corpora.reading` reads.

    Raises UserError for what cannot be read, a turn that is there twice, and where the user has none.
    """
    if _of_states(source):
        return {row.turn: row.state for row in _rows(Path(source), "gold states")}
    from synthesis.task_oriented.corpora.reading import read

    found = {(dialogue.id, number): state for dialogue in read(source) for number, state in tracked(dialogue)}
    if not found:
        raise UserError(f"{source}: nobody of the user's side says anything in it, so there is nothing to score")
    return found


def read_predictions(path: Path, gold: States) -> Predicted:
    """Predictions of a JSONL file as above.

    Raises UserError naming the line: of no such row, of a turn that is predicted twice, of one that gold lacks.
    """
    found: dict[Turn, Row] = {}
    known = {dialogue for dialogue, _ in gold}
    for row in _rows(path, "predictions"):
        if row.turn not in gold:
            dialogue, number = row.turn
            what = f"turn {number} of dialogue {dialogue!r}" if dialogue in known else f"dialogue {dialogue!r}"
            raise UserError(
                f"{row.where}: gold has no state for {what} (turns count from 0, the system's too, so that the "
                "user's are 0, 2, 4 and so on)"
            )
        found[row.turn] = row
    return Predicted(
        {turn: row.state for turn, row in found.items()},
        tuple(turn for turn in gold if turn not in found),
        tuple(turn for turn, row in found.items() if row.invalid),
    )


def _of_states(source: str) -> bool:
    """Whether a file has states line by line, not dialogues."""
    path = Path(source)
    if path.suffix != ".jsonl" or not path.is_file():
        return False
    _, row = next(read_jsonl(path, "gold states"))
    return isinstance(row, dict) and "turns" not in row


def _rows(path: Path, what: str) -> Iterator[Row]:
    """Every line. Raises UserError for one that is no row, and for a turn that is there twice."""
    lines: dict[Turn, str] = {}
    for where, row in read_jsonl(path, what):
        row = row if isinstance(row, dict) else {}
        turn, invalid = (row.get("dialogue_id"), row.get("turn")), row.get("invalid", False)
        if not isinstance(turn[0], str) or type(turn[1]) is not int or turn[1] < 0 or type(invalid) is not bool:
            raise UserError(
                f"{where}: expected an object with dialogue_id (a text), turn (a number from 0), state, and perhaps "
                f"invalid (true or false), got {row!r:.80}"
            )
        key = (turn[0], turn[1])
        if key in lines:
            raise UserError(
                f"{where}: turn {key[1]} of dialogue {key[0]!r} stands in {lines[key]} already; leave one of them"
            )
        lines[key] = where
        yield Row(where, key, _state(row.get("state"), where), invalid)


def _state(state: Any, where: str) -> State:
    if not isinstance(state, dict):
        raise UserError(f"{where}: state is {type(state).__name__}, expected an object of domain-slot and value")
    made = {name: _value(name, value, where) for name, value in state.items()}
    return {name: value for name, value in made.items() if value}


def _value(name: str, value: Any, where: str) -> str:
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, list) or not all(isinstance(each, str) for each in values):
        raise UserError(f"{where}: {name} is {value!r:.60}, expected a text or a list of texts")
    return joined(values)
