"""Outcomes on disk: what became of every seed in a round, one file a shard, sorted by id, complete or absent.

`rounds/2/0-of-4.jsonl` is shard 0 of 4 in round 2, `rounds/2/0-of-4.retry-1.jsonl` the same after failed seeds were
tried again. A file appears by rename when its shard has finished the round, so its existence is the shard's completion
marker, and everything that compares dialogues reads all shards' files in the order of ids.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import tempfile
from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
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
    """Takes a round's outcomes in any order, each with its place among all, and leaves one file in that order.

    Rows lie in an unnamed file until then; in memory there are eight bytes for each.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offsets = array("q")
        self._scratch: IO[bytes] | None = None

    def __enter__(self) -> Writer:
        with disk(self._path):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._scratch = tempfile.TemporaryFile(dir=self._path.parent)
        return self

    def add(self, place: int, row: Row) -> None:
        """Writes the outcome of the seed at `place` (from 0)."""
        if self._scratch is None:
            raise ValueError("the writer is not open")
        self._offsets.extend([_ABSENT] * (place + 1 - len(self._offsets)))
        if self._offsets[place] != _ABSENT:
            raise ValueError(f"{self._path}: a second outcome of {row['id']!r}")
        with disk(self._path):
            self._offsets[place] = self._scratch.tell()
            self._scratch.write(dump(row).encode() + b"\n")

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if self._scratch is None:
            return
        try:
            if kind is None:
                if _ABSENT in self._offsets:
                    raise ValueError(f"{self._path}: no outcome at place {self._offsets.index(_ABSENT)}")
                with replacing(self._path) as stream:
                    for offset in self._offsets:
                        self._scratch.seek(offset)
                        stream.write(self._scratch.readline().decode())
        finally:
            with contextlib.suppress(OSError):  # closing writes what is buffered; of a full disk we know by now
                self._scratch.close()


_ABSENT = -1


@dataclass(frozen=True, slots=True)
class Round:
    """The outcomes of one round in a run folder, and what comparing its dialogues dropped: id to (filter, reason).

    `retries`: how often the run's failed seeds were tried again.
    """

    folder: Path
    number: int
    shards: int
    across: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    retries: int = 0

    def parts(self) -> list[Path]:
        """The file of each shard."""
        shards = (Shard(index, self.shards) for index in range(self.shards))
        return [part(self.folder, self.number, shard, self.retries) for shard in shards]

    def rows(self) -> Iterator[Row]:
        """All outcomes in the order of their ids; those dropped in comparison read as dropped."""
        return (row for row, _, _ in self.places())

    def places(self) -> Iterator[tuple[Row, int, int]]:
        """Each outcome with its shard and the byte of that shard's file at which its line starts."""
        lines = (_placed(path, index) for index, path in enumerate(self.parts()))
        for row, shard, start in heapq.merge(*lines, key=lambda placed: str(placed[0]["id"])):
            if row["id"] in self.across:
                stage, reason = self.across[row["id"]]
                raw = "\n".join(f"{turn['speaker']}: {turn['text']}" for turn in row["dialogue"]["turns"])
                lost = {"outcome": "dropped", "stage": stage, "reason": reason, "raw": raw}
                attempts = sum(each["requests"] for each in row["stages"])
                yield {**_plain(row), **lost, "attempts": attempts}, shard, start
            else:
                yield row, shard, start

    def kept(self) -> Iterator[Dialogue]:
        """Kept dialogues in the order of their ids."""
        for row in self.rows():
            if row["outcome"] == "kept":
                yield from_json(row["dialogue"], f"{self.folder}, round {self.number}")

    def same_pool(self, other: Round) -> bool:
        """Whether both have kept the same dialogues, word for word, before any are compared."""
        if not all(path.exists() for path in [*self.parts(), *other.parts()]):
            return False
        return all(mine == theirs for mine, theirs in itertools.zip_longest(_kept(self), _kept(other)))


def _kept(each: Round) -> Iterator[Row]:
    return (row for path in each.parts() for row in read(path) if row["outcome"] == "kept")


def _plain(row: Row) -> Row:
    return {key: value for key, value in row.items() if key != "dialogue"}


def part(folder: Path, number: int, shard: Shard, retries: int = 0) -> Path:
    """The file of a shard in a round, after so many times of trying failed seeds again."""
    return folder / "rounds" / str(number) / (f"{shard}.retry-{retries}.jsonl" if retries else f"{shard}.jsonl")


def read(path: Path) -> Iterator[Row]:
    """The rows of a file that the run has written, one in memory at a time. Raises UserError when it is damaged."""
    return (row for row, _, _ in _placed(path, 0))


def _placed(path: Path, shard: int) -> Iterator[tuple[Row, int, int]]:
    start = 0
    with path.open("rb") as stream:
        for number, line in enumerate(stream, 1):
            yield parse(line.decode(errors="replace"), f"{path}:{number}"), shard, start
            start += len(line)
