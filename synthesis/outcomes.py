"""Outcomes on disk: what became of every seed in a round, one file a shard, sorted by id, complete or absent.

`rounds/2/0-of-4.jsonl` is shard 0 of 4 in round 2. A file appears by rename when its shard has finished the round, so
its existence is the shard's completion marker, and everything that compares dialogues reads all shards' files in the
order of ids.
"""

from __future__ import annotations

import contextlib
import heapq
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from synthesis.dialogue import Dialogue, from_json
from synthesis.errors import UserError
from synthesis.storage import disk, dump, parse, replacing

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Shard:
    """One of `count` equal parts of the seeds, by hash of their ids."""

    index: int = 0
    count: int = 1

    @classmethod
    def parse(cls, text: str) -> Shard:
        """From "I/N", I from 0. Raises UserError."""
        left, _, right = text.partition("/")
        if not (left.isdigit() and right.isdigit() and int(left) < int(right)):
            raise UserError(f"--shard {text!r}: expected I/N with 0 <= I < N, such as 0/4")
        return cls(int(left), int(right))

    def __str__(self) -> str:
        return f"{self.index}-of-{self.count}"


class Writer:
    """Takes a round's outcomes in any order, keeps only their place in memory, and leaves one sorted file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._places: dict[str, int] = {}
        self._scratch: IO[bytes] | None = None

    def __enter__(self) -> Writer:
        with disk(self._path):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._scratch = tempfile.TemporaryFile(dir=self._path.parent)
        return self

    def add(self, row: Row) -> None:
        """Writes one outcome."""
        if self._scratch is None:
            raise ValueError("the writer is not open")
        if row["id"] in self._places:
            raise ValueError(f"{self._path}: a second outcome of {row['id']!r}")
        with disk(self._path):
            self._places[row["id"]] = self._scratch.tell()
            self._scratch.write(dump(row).encode() + b"\n")

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if self._scratch is None:
            return
        try:
            if kind is None:
                with replacing(self._path) as stream:
                    for id_ in sorted(self._places):
                        self._scratch.seek(self._places[id_])
                        stream.write(self._scratch.readline().decode())
        finally:
            with contextlib.suppress(OSError):  # closing writes what is buffered; of a full disk we know by now
                self._scratch.close()


@dataclass(frozen=True, slots=True)
class Round:
    """The outcomes of one round in a run folder, and what comparing its dialogues dropped: id to (filter, reason)."""

    folder: Path
    number: int
    shards: int
    across: Mapping[str, tuple[str, str]]

    def rows(self) -> Iterator[Row]:
        """All outcomes in the order of their ids; those dropped in comparison read as dropped."""
        files = [part(self.folder, self.number, Shard(index, self.shards)) for index in range(self.shards)]
        for row in heapq.merge(*map(_read, files), key=lambda row: str(row["id"])):
            if row["id"] in self.across:
                stage, reason = self.across[row["id"]]
                raw = "\n".join(f"{turn['speaker']}: {turn['text']}" for turn in row["dialogue"]["turns"])
                lost = {"outcome": "dropped", "stage": stage, "reason": reason, "raw": raw}
                yield {**_plain(row), **lost, "attempts": sum(each["requests"] for each in row["stages"])}
            else:
                yield row

    def kept(self) -> Iterator[Dialogue]:
        """Kept dialogues in the order of their ids."""
        for row in self.rows():
            if row["outcome"] == "kept":
                yield from_json(row["dialogue"], f"{self.folder}, round {self.number}")


def _plain(row: Row) -> Row:
    return {key: value for key, value in row.items() if key != "dialogue"}


def part(folder: Path, number: int, shard: Shard) -> Path:
    """The file of a shard in a round."""
    return folder / "rounds" / str(number) / f"{shard}.jsonl"


def _read(path: Path) -> Iterator[Row]:
    with path.open(encoding="utf-8") as stream:
        for number, line in enumerate(stream, 1):
            yield parse(line, f"{path}:{number}")


def stages(rows: Iterator[Row]) -> dict[str, dict[str, Any]]:
    """Requests and tokens by stage, added up over outcomes."""
    total: dict[str, dict[str, Any]] = {}
    for row in rows:
        for stage in row["stages"]:
            at = total.setdefault(stage["name"], {**stage, "requests": 0, "tokens_in": 0, "tokens_out": 0})
            for key in ("requests", "tokens_in", "tokens_out"):
                at[key] += stage[key]
    return total


def contest(dialogues: Iterator[Dialogue]) -> dict[str, int]:
    """How the round's chosen dialogues came to be: new or kept from the round before, with or without a contest."""
    count = {"challenger": 0, "incumbent": 0, "outvoted others": 0, "unopposed": 0}
    for dialogue in dialogues:
        reasons = {rejected.reason for rejected in dialogue.rejected}
        if any(note.startswith("incumbent") for note in dialogue.notes):
            count["incumbent"] += 1
        elif "incumbent" in reasons:
            count["challenger"] += 1
        else:
            count["outvoted others" if "outvoted" in reasons else "unopposed"] += 1
    return count
