"""The JSON files of a corpus: one file, a folder's or a zip archive's; and which split a file or an id belongs to."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import orjson

from synthesis.errors import UserError
from synthesis.storage import read_text

WHAT = "corpus"

SPLITS = {
    **{"train": "train", "training": "train"},
    **dict.fromkeys(("validation", "valid", "val", "dev", "development"), "validation"),
    **{"test": "test", "testing": "test"},
}
"""What files and corpora call their splits, and what we call them."""

DIALOGUES = re.compile(
    r"dialogues(_\d+)?\.json|(data|dummy_data)\.json|(train|val|valid|dev|test)(_(dials|dialogues|data))?\.json"
)
"""The names of files with dialogues in a folder or an archive of a corpus."""

_BESIDE = re.compile(r"dialog_acts\.json|(val|test)ListFile\.(json|txt)")
"""The names of files that say more of the dialogues: their acts, their splits."""

Read = Callable[[], str]


@dataclass(frozen=True, slots=True)
class Files:
    """Files by their place, told as the user knows them: those with dialogues, and those that say more of them."""

    dialogues: Mapping[str, Read]
    beside: Mapping[str, Read]

    def named(self, name: str) -> str | None:
        """The text of a file beside, by its name alone; the first where there are several."""
        return next((read() for place, read in self.beside.items() if PurePosixPath(place).name == name), None)


def files(path: Path) -> Files:
    """The files of a corpus. Raises UserError for a folder or archive without one that is named as theirs are."""
    if path.is_dir():
        found = _of_folder(path)
    elif path.suffix.lower() == ".zip":
        found = _of_archive(path)
    else:
        beside = (other for folder in (path.parent, path.parent.parent) for other in sorted(folder.glob("*")))
        return Files({str(path): partial(read_text, path, WHAT)}, _matching(_BESIDE, _reads(beside)))
    dialogues = _matching(DIALOGUES, found)
    if not dialogues:
        raise UserError(
            f"{WHAT} {path}: no file of dialogues in it; expected dialogues_001.json and so on (MultiWOZ 2.2, SGD), "
            "data.json (MultiWOZ 2.1, 2.4), dialogues.json (ConvLab) or train_dials.json and so on; or give the file"
        )
    return Files(dialogues, _matching(_BESIDE, found))


def content(place: str, read: Read) -> Any:
    """What a JSON file holds. Raises UserError that names it."""
    text = read()
    try:
        return orjson.loads(text)
    except ValueError as error:
        raise UserError(f"{WHAT} {place}: not JSON: {error}") from error


def split_of(place: str) -> str | None:
    """The split that a file's name tells (val.json, test_dials.json), or its folder's (dev/dialogues_001.json)."""
    path = PurePosixPath(place.replace("\\", "/"))
    words = re.split(r"[^a-z]+", path.name.lower())
    told = [SPLITS[word] for word in words if word in SPLITS]
    return told[0] if told else SPLITS.get(path.parent.name.lower())


def listed_splits(corpus: Files) -> Callable[[str], str | None]:
    """Which split an id belongs to by valListFile and testListFile, one id a line: train where neither has it.

    None where one of the two is missing. Ids may end with ".json" in one place and not in the other.
    """
    lists = {
        split: corpus.named(f"{stem}ListFile.json") or corpus.named(f"{stem}ListFile.txt")
        for stem, split in (("val", "validation"), ("test", "test"))
    }
    known = {
        line.strip().removesuffix(".json"): split
        for split, text in lists.items()
        for line in (text or "").splitlines()
        if line.strip()
    }
    rest = "train" if all(lists.values()) else None
    return lambda name: known.get(name.removesuffix(".json"), rest)


def _of_folder(path: Path) -> dict[str, Read]:
    return _reads(sorted(path.rglob("*")))


def _reads(paths: Any) -> dict[str, Read]:
    return {str(each): partial(read_text, each, WHAT) for each in paths if each.is_file()}


def _of_archive(path: Path) -> dict[str, Read]:
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if not name.startswith("__MACOSX/")]
    except FileNotFoundError as error:
        raise UserError(f"{WHAT} {path}: no such file") from error
    except (zipfile.BadZipFile, OSError) as error:
        raise UserError(f"{WHAT} {path}: not a zip archive that can be read: {error}") from error
    return {f"{path}/{name}": partial(_member, path, name) for name in names}


def _member(path: Path, name: str) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.read(name).decode("utf-8-sig")
    except (zipfile.BadZipFile, OSError, RuntimeError, NotImplementedError) as error:  # broken, encrypted, unknown
        raise UserError(f"{WHAT} {path}: {name} cannot be unpacked: {error}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{WHAT} {path}: {name} is not UTF-8 (byte {error.start})") from error


def _matching(pattern: re.Pattern[str], found: Mapping[str, Read]) -> dict[str, Read]:
    return {place: read for place, read in found.items() if pattern.fullmatch(PurePosixPath(place).name)}
