"""What a user seeds a recipe with: attributes from CSV, JSONL or plain lines, and plain lists."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from synthesis.errors import UserError
from synthesis.storage import read_csv, read_jsonl, read_text
from synthesis.words import words

COLUMNS = ("text", "persona", "attribute", "trait")
PROFILES = ("user 1 personas", "user 2 personas")


def lines(path: Path) -> list[str]:
    """The lines of a text file that are not empty."""
    return [line.strip() for line in read_text(path, "list").splitlines() if line.strip()]


def attributes(path: Path) -> list[str]:
    """Persona attributes of a file, each once, in order.

    `.csv`: a column text, persona, attribute or trait, or the columns of the published Synthetic-Persona-Chat (lines
    in a cell). `.jsonl`: strings, objects with one of these keys, or with a list "traits". Otherwise one a line.
    Raises UserError naming the place of what is not a sentence of 2 to 40 words.
    """
    readers = {".csv": _from_csv, ".jsonl": _from_jsonl}
    found: dict[str, None] = {}
    for where, text in readers.get(path.suffix.lower(), _from_lines)(path):
        if not isinstance(text, str) or not 2 <= len(words(text)) <= 40:
            raise UserError(
                f"{where}: not a persona sentence: {str(text)[:80]!r}; expected 2 to 40 words such as "
                "'I keep bees on the roof.'"
            )
        found[text.strip()] = None
    if len(found) < 10:
        raise UserError(f"personas {path}: {len(found)} attributes, expected at least 10 to make two profiles of five")
    return list(found)


def _from_lines(path: Path) -> Iterator[tuple[str, Any]]:
    for number, line in enumerate(read_text(path, "personas").splitlines(), 1):
        if line.strip():
            yield f"{path}:{number}", line.strip()


def _from_csv(path: Path) -> Iterator[tuple[str, Any]]:
    rows = list(read_csv(path, "personas"))
    header = list(rows[0][1])
    columns = [name for name in header if name.lower() in PROFILES] or [
        name for name in header if name.lower() in COLUMNS
    ][:1]
    if not columns:
        raise UserError(f"personas {path}: has columns {header}; expected one of {list(COLUMNS)} or {list(PROFILES)}")
    for where, row in rows:
        for column in columns:
            for line in filter(str.strip, row[column].splitlines()) if row[column].strip() else [""]:
                yield f"{where}, column {column!r}", line


def _from_jsonl(path: Path) -> Iterator[tuple[str, Any]]:
    for where, row in read_jsonl(path, "personas"):
        if isinstance(row, dict):
            key = next((name for name in (*COLUMNS, "traits") if name in row), None)
            if key is None:
                raise UserError(f"{where}: has keys {sorted(row)}; expected one of {[*COLUMNS, 'traits']}")
            row = row[key]
        for text in row if isinstance(row, list) else [row]:
            yield where, text
