"""Seed file: a shard's seeds in the order of their ids, read from disk when it is their turn."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from pathlib import Path

from synthesis.outcomes import Shard
from synthesis.recipe import Seed
from synthesis.storage import parse


class SeedFile:
    """The seeds of `shard` in the file at `path`; in memory there are eight bytes for each.

    With one shard, a seed is parsed when it is its turn and not before.
    """

    def __init__(self, path: Path, shard: Shard) -> None:
        self._path = path
        self._starts = array("q")
        start = 0
        with path.open("rb") as stream:
            for line in stream:
                if shard.count == 1 or shard.has(parse(line.decode(), f"{path}, byte {start}")["id"]):
                    self._starts.append(start)
                start += len(line)

    def __len__(self) -> int:
        return len(self._starts)

    def at(self, places: Iterable[int]) -> Iterator[tuple[int, Seed]]:
        """Each of the places, which count from 0, with its seed."""
        with self._path.open("rb") as stream:
            for place in places:
                stream.seek(self._starts[place])
                row = parse(stream.readline().decode(), f"{self._path}, byte {self._starts[place]}")
                yield place, Seed(row["id"], row["content"])
