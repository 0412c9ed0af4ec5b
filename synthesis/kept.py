"""Kept: the dialogues of a finished round as a sequence and by id, read from disk when they are looked at.

A pool of a hundred thousand dialogues takes some megabytes of memory: where each one starts, and a hash of its id.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from array import array
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from typing import overload

from synthesis.dialogue import Dialogue, from_json
from synthesis.outcomes import Round
from synthesis.storage import parse


class Places(Sequence[Dialogue], ABC):
    """A sequence that knows how to fetch the dialogue `at` a place from 0; places from the end and slices follow."""

    @abstractmethod
    def at(self, place: int) -> Dialogue:
        """The dialogue at a place from 0."""

    @overload
    def __getitem__(self, place: int) -> Dialogue: ...

    @overload
    def __getitem__(self, place: slice) -> tuple[Dialogue, ...]: ...

    def __getitem__(self, place: int | slice) -> Dialogue | tuple[Dialogue, ...]:
        if isinstance(place, slice):
            return tuple(self[each] for each in range(len(self))[place])
        return self.at(range(len(self))[place])


class Kept(Places):
    """What `each` has kept, in the order of ids."""

    def __init__(self, each: Round) -> None:
        self._paths = each.parts()
        self._shards, self._starts, self._hashes = array("L"), array("q"), array("q")
        for row, shard, start in each.places():
            if row["outcome"] == "kept":
                self._shards.append(shard)
                self._starts.append(start)
                self._hashes.append(hash(row["id"]))
        self._order = array("q", sorted(range(len(self._starts)), key=self._hashes.__getitem__))

    def __len__(self) -> int:
        return len(self._starts)

    def at(self, place: int) -> Dialogue:
        path, start = self._paths[self._shards[place]], self._starts[place]
        with path.open("rb") as stream:
            stream.seek(start)
            where = f"{path}, byte {start}"
            return from_json(parse(stream.readline().decode(), where)["dialogue"], where)

    def find(self, id_: str) -> Dialogue | None:
        """The dialogue with this id, if it was kept."""
        wanted = hash(id_)
        at = bisect_left(self._order, wanted, key=self._hashes.__getitem__)
        while at < len(self._order) and self._hashes[self._order[at]] == wanted:
            dialogue = self.at(self._order[at])
            if dialogue.id == id_:
                return dialogue
            at += 1
        return None


class ById(Mapping[str, Dialogue]):
    """`Kept` as a mapping from id to dialogue."""

    def __init__(self, kept: Kept) -> None:
        self._kept = kept

    def __getitem__(self, id_: str) -> Dialogue:
        found = self._kept.find(id_)
        if found is None:
            raise KeyError(id_)
        return found

    def __iter__(self) -> Iterator[str]:
        return (dialogue.id for dialogue in self._kept)

    def __len__(self) -> int:
        return len(self._kept)


class Chained(Places):
    """One sequence after another, without a copy of either."""

    def __init__(self, first: Sequence[Dialogue], second: Sequence[Dialogue]) -> None:
        self._first, self._second = first, second

    def __len__(self) -> int:
        return len(self._first) + len(self._second)

    def at(self, place: int) -> Dialogue:
        early = place < len(self._first)
        return self._first[place] if early else self._second[place - len(self._first)]


def by_id(kept: Sequence[Dialogue]) -> Mapping[str, Dialogue]:
    """`kept` as a mapping; from disk, if that is where it is."""
    return ById(kept) if isinstance(kept, Kept) else {dialogue.id: dialogue for dialogue in kept}
