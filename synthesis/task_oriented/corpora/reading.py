"""Corpora with belief states, read into one form: MultiWOZ 2.0 to 2.4, SGD, ConvLab's unified form, TRADE's, our own.

The forms are told apart by what is in the files. Whatever the form, turns are those of User and System, every turn of
the user has its state, and every turn the domain that it is about as long as one is known. The order is the corpus's:
a dialogue may begin with System, have two turns of one side in a row, and end with User. Names of slots are those of
MultiWOZ 2.2; values stand as they do in the release, for making them alike is a scorer's affair. A dialogue whose
split is known has it in its notes.
"""

from __future__ import annotations

import dataclasses
import logging
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from synthesis.dialogue import Dialogue
from synthesis.errors import UserError
from synthesis.rows import dataset_name, dataset_rows, parquet_rows
from synthesis.storage import read_jsonl
from synthesis.task_oriented.acts import parse
from synthesis.task_oriented.corpora import convlab, frames, multiwoz21, ours, trade
from synthesis.task_oriented.corpora.files import WHAT, Files, content, files, listed_splits, split_of
from synthesis.task_oriented.state import tracked

log = logging.getLogger(__name__)

_SPLIT = "split: "
_FORMS = (
    "MultiWOZ 2.2 or SGD (a list of dialogues with frames), MultiWOZ 2.1 or 2.4 (data.json, by id, with a log), "
    "ConvLab's dialogues.json, TRADE's train_dials.json, a zip archive or folder of these, or our own "
    "dialogues.jsonl, run folder or dataset"
)
Placed = tuple[str, Dialogue, str | None]
"""A place, the dialogue that stands there, and its split where the corpus says it."""


def read(source: str | Path) -> tuple[Dialogue, ...]:
    """All dialogues of a file, an archive, a folder, a run or a dataset (`dist/name::train`), in its order.

    What is left out or mended is counted and logged. Raises UserError for a source of another kind, a broken one, an
    id that comes twice, and a user's turn without a state.
    """
    told: Counter[str] = Counter()
    places: dict[str, str] = {}
    dialogues = []
    for where, dialogue, split in _dialogues(source, told):
        if places.setdefault(dialogue.id, where) != where:
            raise UserError(f"{where}: the id {dialogue.id!r} was at {places[dialogue.id]} already; ids must differ")
        _check(dialogue, where)
        dialogues.append(_with_split(dialogue, split))
    if not dialogues:
        raise UserError(f"{WHAT} {source}: no dialogue in it; expected {_FORMS}")
    log.info("%s: %d dialogues read from %s; %s", WHAT, len(dialogues), source, dict(+told) or "nothing left out")
    return tuple(dialogues)


def split(dialogue: Dialogue) -> str | None:
    """Its split in the corpus it comes from, "train", "validation" or "test"; None where nobody said."""
    return next((note.removeprefix(_SPLIT) for note in dialogue.notes if note.startswith(_SPLIT)), None)


def _check(dialogue: Dialogue, where: str) -> None:
    """Raises UserError for a user's turn without a state, a value that is no text, and a text that is no act."""
    try:
        for _, state in tracked(dialogue):
            odd = [name for name, value in state.items() if not isinstance(value, str)]
            if odd:
                raise UserError(f"dialogue {dialogue.id}: {odd[0]} is {state[odd[0]]!r}, expected a text")
        for turn in dialogue.turns:
            for act in turn.acts:
                parse(act)
    except UserError as error:
        raise UserError(f"{where}: {error}") from error


def _with_split(dialogue: Dialogue, name: str | None) -> Dialogue:
    if name is None or split(dialogue) is not None:
        return dialogue
    return dataclasses.replace(dialogue, notes=(*dialogue.notes, f"{_SPLIT}{name}"))


# ---- which form -----------------------------------------------------------------------------------------------------


def _dialogues(source: str | Path, told: Counter[str]) -> Iterator[Placed]:
    path = Path(source)
    if (path / "dialogues.jsonl").is_file():
        path /= "dialogues.jsonl"
    if path.suffix.lower() == ".jsonl":
        return ours.dialogues(read_jsonl(path, WHAT), table=False)
    if path.suffix.lower() == ".parquet":
        return ours.dialogues(parquet_rows(path, WHAT), table=True)
    if path.suffix.lower() in (".json", ".zip") or (path.is_dir() and not _is_dataset(path)):
        return _of_corpus(files(path), told)
    if dataset_name(str(source)) is not None:
        return ours.dialogues(dataset_rows(str(source), WHAT), table=True)
    raise UserError(f"{WHAT} {source}: expected {_FORMS}")


def _is_dataset(folder: Path) -> bool:
    return any(folder.glob("*.parquet")) or any(folder.glob("*/*.parquet"))


def _of_corpus(corpus: Files, told: Counter[str]) -> Iterator[Placed]:
    for place, text in corpus.dialogues.items():
        of_file = split_of(place)
        for where, dialogue, name in _of_file(content(place, text), place, corpus, told):
            named = f"{dialogue.source}: {Path(place).name}" if dialogue.source else Path(place).name
            yield where, dataclasses.replace(dialogue, source=named), name or of_file


def _of_file(found: Any, place: str, corpus: Files, told: Counter[str]) -> Iterable[Placed]:
    """The dialogues of one file, in the form that its first one has."""
    keys, turn = _shape(found)
    if isinstance(found, dict) and "log" in keys:
        lists = listed_splits(corpus)
        return ((*each, lists(each[1].id)) for each in multiwoz21.dialogues(found, place, told))
    if isinstance(found, list) and {"dialogue_id", "turns"} <= keys and "frames" in turn:
        acts = _acts(corpus)
        return ((*each, None) for each in frames.dialogues(found, place, acts, told))
    if isinstance(found, list) and {"dialogue_id", "turns"} <= keys and "dialogue_acts" in turn:
        return convlab.dialogues(found, place, told)
    if isinstance(found, list) and {"dialogue_idx", "dialogue"} <= keys:
        return ((*each, None) for each in trade.dialogues(found, place, told))
    if isinstance(found, list) and {"id", "turns"} <= keys:
        return ours.dialogues(((f"{place}[{at}]", row) for at, row in enumerate(found)), table=False)
    got = f"{type(found).__name__} of {sorted(keys)[:8] or 'nothing'}"
    raise UserError(f"{WHAT} {place}: got a {got}; expected {_FORMS}")


def _shape(found: Any) -> tuple[set[str], set[str]]:
    """The keys of a file's first dialogue and of that one's first turn."""
    values = list(found.values()) if isinstance(found, dict) else found
    first = values[0] if isinstance(values, list) and values and isinstance(values[0], dict) else {}
    turns = first.get("turns")
    turn = turns[0] if isinstance(turns, list) and turns and isinstance(turns[0], dict) else {}
    return set(first), set(turn)


def _acts(corpus: Files) -> dict[str, Any]:
    """What MultiWOZ 2.2's dialog_acts.json holds; nothing where it is not there."""
    text = corpus.named("dialog_acts.json")
    found = content("dialog_acts.json", lambda: text) if text is not None else {}
    if not isinstance(found, dict):
        raise UserError(f"{WHAT}: dialog_acts.json: got a {type(found).__name__}, expected acts by dialogue and turn")
    return found
