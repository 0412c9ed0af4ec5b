"""Dialogues read from files: our own JSONL and the published Synthetic-Persona-Chat CSV, with all its anomalies."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from synthesis import reading
from synthesis.dialogue import Dialogue, Persona, from_json
from synthesis.errors import ReadingError, UserError
from synthesis.storage import read_csv, read_jsonl

SPC_COLUMNS = ("user 1 personas", "user 2 personas", "Best Generated Conversation")


@dataclass(frozen=True, slots=True)
class Loaded:
    """Dialogues of a file, `issues` that were mended (kind to rows), and `quarantined` rows (place to reason)."""

    dialogues: tuple[Dialogue, ...]
    issues: Mapping[str, int]
    quarantined: Mapping[str, str]


def load(path: Path) -> Loaded:
    """The dialogues of a .jsonl file of ours or a .csv in the published form.

    Raises UserError for another kind of file, a broken one, or one without a single dialogue.
    """
    suffix = path.suffix.lower()
    if suffix not in (".jsonl", ".csv"):
        raise UserError(f"dialogues {path}: expected a .jsonl or .csv file")
    loaded = (
        _spc_csv(path)
        if suffix == ".csv"
        else Loaded(tuple(from_json(row, where) for where, row in read_jsonl(path, "dialogues")), {}, {})
    )
    if not loaded.dialogues:
        raise UserError(f"dialogues {path}: no usable dialogue in it; quarantined: {dict(loaded.quarantined)}")
    return loaded


def _spc_csv(path: Path) -> Loaded:
    """Rows with personas as lines and a conversation as labelled lines; `reading.transcript` says what is mended."""
    issues: Counter[str] = Counter()
    dialogues, quarantined = [], {}
    for number, (where, row) in enumerate(read_csv(path, "dialogues"), 1):
        missing = [column for column in SPC_COLUMNS if column not in row]
        if missing:
            raise UserError(f"dialogues {path}: missing columns {missing}; expected {list(SPC_COLUMNS)}")
        try:
            read = reading.transcript(row[SPC_COLUMNS[2]])
        except ReadingError as error:
            quarantined[where] = str(error)
            continue
        issues.update(read.issues)
        personas = tuple(
            Persona(f"{path.stem}-{number}-{side}", tuple(filter(None, map(str.strip, row[column].splitlines()))))
            for side, column in enumerate(SPC_COLUMNS[:2], 1)
        )
        dialogues.append(Dialogue(f"{path.stem}-{number}", read.turns, personas))
    return Loaded(tuple(dialogues), dict(issues), quarantined)
