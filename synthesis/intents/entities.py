"""Entities that a user brings: their names and types, and what is known of them, from a file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from synthesis.errors import UserError
from synthesis.storage import parse, read_jsonl, read_text

KEYS = {"name", "type", "document", "attributes"}


@dataclass(frozen=True, slots=True)
class Entity:
    """What dialogues are about. `document`: its background, None where it is to be written.

    `attributes`: what to ask about, each with the question that opens a dialogue, None where it is to be written; none
    where attributes are those of the type.
    """

    name: str
    type: str
    document: str | None = None
    attributes: tuple[tuple[str, str | None], ...] = ()


def load(path: Path) -> list[Entity]:
    """The entities of a file, each name and type once whatever their case, in order, and so each one's attributes.

    `.jsonl`: objects with name and type, and if they are known document (a text) and attributes (a list of texts, or
    an object from each to its opening question). `.json`: a list of such objects or of strings "name<TAB>type", the
    form of SOLID's published seeds. Any other: one "name<TAB>type" a line. Raises UserError naming the place.
    """
    found: dict[tuple[str, str], Entity] = {}
    for where, row in _rows(path):
        entity = _paired(row, where) if isinstance(row, str) else _described(row, where)
        found.setdefault((entity.name.casefold(), entity.type.casefold()), entity)
    if not found:
        raise UserError(f"entities {path}: there is none in it; expected at least one name with its type")
    return list(found.values())


def _rows(path: Path) -> Iterator[tuple[str, Any]]:
    if path.suffix.lower() == ".jsonl":
        yield from read_jsonl(path, "entities")
    elif path.suffix.lower() == ".json":
        rows = parse(read_text(path, "entities"), str(path))
        if not isinstance(rows, list):
            raise UserError(f"entities {path}: got {type(rows).__name__}, expected a list; JSON lines are .jsonl")
        yield from ((f"{path}[{number}]", row) for number, row in enumerate(rows))
    else:
        for number, line in enumerate(read_text(path, "entities").splitlines(), 1):
            if line.strip():
                yield f"{path}:{number}", line


def _paired(text: str, where: str) -> Entity:
    name, tab, kind = text.partition("\t")
    if not (name.strip() and kind.strip()):
        missing = "a tab between name and type" if not tab else "a name and a type"
        raise UserError(f"{where}: expected {missing}, got {text[:80]!r}")
    return Entity(" ".join(name.split()), " ".join(kind.split()))


def _described(row: Any, where: str) -> Entity:
    if not isinstance(row, dict) or not {"name", "type"} <= set(row) <= KEYS:
        raise UserError(
            f"{where}: expected an object with name and type, got {str(row)[:80]!r}; its keys are {sorted(KEYS)}"
        )
    asked = _attributes(row.get("attributes", []))
    texts = [row["name"], row["type"], row.get("document", "-"), *(text for text, _ in asked or ())]
    if asked is None or not all(isinstance(text, str) and text.strip() for text in texts):
        raise UserError(
            f"{where}: expected texts that say something for name, type and document, and for attributes a list of "
            f"texts or an object from each to its opening question, got {str(row)[:80]!r}"
        )
    each: dict[str, tuple[str, str | None]] = {}
    for text, question in asked:
        each.setdefault(text.casefold(), (text, question))
    return Entity(row["name"].strip(), row["type"].strip(), row.get("document"), tuple(each.values()))


def _attributes(given: Any) -> list[tuple[str, str | None]] | None:
    """Attributes with their questions; None for what is neither a list nor an object of questions."""
    if isinstance(given, list):
        return [(text, None) for text in given]
    if isinstance(given, dict) and all(isinstance(question, str) and question.strip() for question in given.values()):
        return list(given.items())
    return None
