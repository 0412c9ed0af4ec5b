"""Outcomes on disk: what became of every seed in a round, one file a shard, sorted by id, complete or absent.

`rounds/2/0-of-4.jsonl` is shard 0 of 4 in round 2, `rounds/2/0-of-4.retry-1.jsonl` the same after failed seeds were
tried again. A file appears by rename when its shard has finished the round, so its existence is the shard's completion
marker, and everything that compares dialogues reads all shards' files in the order of ids. What that dropped stands in
`rounds/2/across.json`. Until a shard has finished, its outcomes are `under_way`.
"""

from __future__ import annotations

import contextlib
import hashlib
import heapq
import itertools
from array import array
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from synthesis import under_way
from synthesis.dialogue import Dialogue, from_json
from synthesis.errors import ParleyError, UserError
from synthesis.storage import dump, parse, replacing

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

    def has(self, id_: str) -> bool:
        """Whether the seed with this id is one of its own."""
        return int(hashlib.sha256(id_.encode()).hexdigest()[:8], 16) % self.count == self.index

    def __str__(self) -> str:
        return f"{self.index}-of-{self.count}"


class Writer:
    """Takes a round's outcomes in any order, each with its place among all, and leaves one file in that order.

    When the block ends in an error, or with the process, the next Writer of the same `path` and `source`, which is
    what the round is made of, goes on with what was added; but not with what failed: that is to be tried again.
    `settle`: called before outcomes are on the disk, for what must be there when they are. In memory there are eight
    bytes for each outcome. `counts`: how many there are of each kind.
    """

    def __init__(self, path: Path, source: bytes = b"", settle: Callable[[], None] = lambda: None) -> None:
        self._path = path
        self._lines = under_way.Lines(path, source, settle)
        self._starts = array("q")
        self.counts = Counter(kept=0, dropped=0, failed=0)

    def __enter__(self) -> Writer:
        """Raises UserError when another process writes the same file."""
        counts = [0] * len(_KINDS)
        for place, kind, start in self._lines.open():
            if kind != _FAILED:
                counts[kind] += 1
                self._note(place, start)
        self.counts.update(dict(zip(_KINDS, counts, strict=True)))
        return self

    def missing(self, total: int) -> Iterator[int]:
        """The places below `total` that have no outcome; each is looked at when it is its turn."""
        return (place for place in range(total) if not self._has(place))

    def add(self, place: int, row: Row) -> None:
        """Writes the outcome of the seed at `place` (from 0)."""
        if self._has(place):
            raise ValueError(f"{self._path}: a second outcome of {row['id']!r}")
        self._add(place, row["outcome"], dump(row).encode() + b"\n")

    def take(self, path: Path) -> None:
        """Adds what is missing from `path`, an earlier file of the same seeds, unless it failed there."""
        with path.open("rb") as stream:
            for place, line in enumerate(stream):
                if self._has(place):
                    continue
                outcome = parse(line.decode(errors="replace"), f"{path}:{place + 1}")["outcome"]
                if outcome != "failed":
                    self._add(place, outcome, line)

    def _has(self, place: int) -> bool:
        return place < len(self._starts) and self._starts[place] != _ABSENT

    def _add(self, place: int, outcome: str, line: bytes) -> None:
        self._note(place, self._lines.add(place, _KINDS.index(outcome), line))
        self.counts[outcome] += 1

    def _note(self, place: int, start: int) -> None:
        starts = self._starts
        if place >= len(starts):
            starts.extend([_ABSENT] * (place + 1 - len(starts)))
        starts[place] = start

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        try:
            if kind is None:
                self._finish()
            else:
                with contextlib.suppress(ParleyError):  # the error that ended the block is the one to tell of
                    self._lines.flush()
        finally:
            self._lines.close()

    def _finish(self) -> None:
        if _ABSENT in self._starts:
            raise ValueError(f"{self._path}: no outcome at place {self._starts.index(_ABSENT)}")
        self._lines.flush()
        with replacing(self._path) as stream:
            for start in self._starts:
                stream.write(self._lines.read(start).decode())
        under_way.remove(self._path)


_ABSENT = -1
_KINDS = ("failed", "kept", "dropped")
_FAILED = _KINDS.index("failed")


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


def across(folder: Path, number: int, retries: int = 0) -> Path:
    """The file of what comparing the dialogues of a round dropped, after so many retries."""
    return folder / "rounds" / str(number) / (f"across.retry-{retries}.json" if retries else "across.json")


def read(path: Path) -> Iterator[Row]:
    """The rows of a file that the run has written, one in memory at a time. Raises UserError when it is damaged."""
    return (row for row, _, _ in _placed(path, 0))


def _placed(path: Path, shard: int) -> Iterator[tuple[Row, int, int]]:
    start = 0
    with path.open("rb") as stream:
        for number, line in enumerate(stream, 1):
            yield parse(line.decode(errors="replace"), f"{path}:{number}"), shard, start
            start += len(line)
