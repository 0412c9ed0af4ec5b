"""Keys and values of the running sequences: one slot each, those of like length side by side.

A batched matrix product is cheap over a contiguous buffer alone: a strided view costs five times as much on the CPU.
With one buffer for all, every sequence would pay for the longest. So slots of one capacity share a shelf, contiguous
over (row, head, position), and a sequence that outgrows its shelf is moved to the next.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor, dtype

    from synthesis.server.checkpoint import Shape

TILE = 64
SPARE = 16  # rows there are at least, so that small batches can be padded


def capacity_for(tokens: int) -> int:
    """The buffer length for a sequence of `tokens`: few distinct sizes, since each costs compilation and a product."""
    step = TILE if tokens <= 4 * TILE else 2 * TILE if tokens <= 16 * TILE else 8 * TILE
    return -(-tokens // step) * step


class Shelf:
    """`data` is [layers, 2, rows, kv_heads, capacity, head_dim]; `mask` [rows, capacity] is 0 or -inf.

    `owners`: whose slot each row is, from the first; rows beyond are free.
    """

    def __init__(self, shape: Shape, rows: int, capacity: int, kind: dtype) -> None:
        import torch

        self.rows, self.capacity = rows, capacity
        # not cleared, which would touch memory for all rows: `add` clears its own
        self.data = torch.empty(shape.layers, 2, rows, shape.kv_heads, capacity, shape.head_dim, dtype=kind)
        self.mask = torch.full((rows, capacity), float("-inf"), dtype=kind)
        self.mask[:, 0] = 0.0  # a free row, whose results nobody reads, attends to one place: no softmax over nothing
        self.owners: list[int] = []

    def add(self, slot: int, length: int, filled: int = 0) -> None:
        """A cleared row for a slot, of which `length` tokens will be visible; the first `filled` will be written."""
        row = len(self.owners)
        self.owners.append(slot)
        self.data[:, :, row, :, filled:].zero_()
        self.mask[row].fill_(float("-inf"))
        self.mask[row, :length] = 0.0

    def remove(self, slot: int) -> None:
        """Free a slot's row; the last one takes its place."""
        row, last = self.owners.index(slot), len(self.owners) - 1
        if row != last:
            self.data[:, :, row] = self.data[:, :, last]
            self.mask[row] = self.mask[last]
            self.owners[row] = self.owners[last]
        self.owners.pop()

    def show(self, rows: Tensor, newest: Tensor, count: int) -> None:
        """Let rows see the last `count` places up to their `newest` one, which may have been guesses before."""
        import torch

        self.mask[rows[:, None], (newest[:, None] - torch.arange(count)).clamp(min=0)] = 0.0

    def seen(self, padded: int, width: int, rows: Tensor, places: Tensor, aheads: Tensor) -> Tensor:
        """What the queries of the first `padded` rows see, [padded, width, capacity]: no guess but those before it.

        Query `aheads` of each of `rows` is so far ahead of the row's newest place.
        """
        mask = self.mask[:padded, None]
        if width == 1:
            return mask
        mask = mask.repeat(1, width, 1)
        for ahead in range(1, width):
            guessed = aheads >= ahead
            mask[rows[guessed], aheads[guessed], places[guessed] + ahead] = 0.0
        return mask

    def flat(self, layer: int) -> Tensor:
        """One layer's keys, then its values, as rows of head_dim units: the target of writes."""
        return self.data[layer].view(-1, self.data.shape[-1])

    def addresses(self, rows: Tensor, positions: Tensor) -> Tensor:
        """Where in `flat` the keys and then the values of (row, position) pairs go: [pairs * 2 * kv_heads]."""
        import torch

        heads = self.data.shape[3]
        base = rows[:, None] * heads + torch.arange(heads)
        keys = base * self.capacity + positions[:, None]
        return torch.cat((keys, keys + self.rows * heads * self.capacity), 1).view(-1)


class KeyValues:
    """The shelves of so many slots."""

    def __init__(self, shape: Shape, slots: int, kind: dtype, *, fixed: bool = False) -> None:
        """`fixed` gives every slot the model's whole context."""
        self._shape, self._kind = shape, kind
        self._rows = max(slots, SPARE)
        self._least = capacity_for(shape.context) if fixed else TILE
        self._shelves: dict[int, Shelf] = {}
        self._homes: dict[int, Shelf] = {}

    @property
    def shelves(self) -> list[Shelf]:
        """Those that hold something."""
        return list(self._shelves.values())

    def at(self, slot: int) -> tuple[Shelf, int]:
        """The shelf and the row of a slot."""
        shelf = self._homes[slot]
        return shelf, shelf.owners.index(slot)

    def fit(self, longest: int, used: int) -> None:
        """Nothing: each slot has its own room, which `reach` enlarges."""

    def open(self, slot: int, length: int) -> None:
        """Clear a slot for a sequence of which `length` tokens will be visible."""
        self.close(slot)
        self._add(slot, length, length)

    def _add(self, slot: int, tokens: int, visible: int, filled: int = 0) -> Shelf:
        capacity = max(capacity_for(tokens), self._least)
        shelf = self._shelves.get(capacity)
        if shelf is None:
            shelf = self._shelves[capacity] = Shelf(self._shape, self._rows, capacity, self._kind)
        shelf.add(slot, visible, filled)
        self._homes[slot] = shelf
        return shelf

    def reach(self, slot: int, tokens: int) -> None:
        """Make room for `tokens` in a slot, keeping what it holds."""
        old = self._homes[slot]
        if tokens <= old.capacity:
            return
        row = old.owners.index(slot)
        new = self._add(slot, tokens, old.capacity, old.capacity)
        new.data[:, :, len(new.owners) - 1, :, : old.capacity] = old.data[:, :, row]
        self._drop(slot, old)

    def _drop(self, slot: int, shelf: Shelf) -> None:
        shelf.remove(slot)
        if not shelf.owners:
            del self._shelves[shelf.capacity]  # its memory goes back

    def keep(self, slot: int, start: int, stop: int) -> Tensor:
        """A copy of what a slot holds at positions `start` to `stop`: [layers, 2, kv_heads, positions, head_dim]."""
        shelf, row = self.at(slot)
        return shelf.data[:, :, row, :, start:stop].clone()

    def put(self, slot: int, blocks: Sequence[Tensor]) -> None:
        """Begin a slot with what `keep` gave, one after the other."""
        import torch

        joined = torch.cat(list(blocks), -2)
        shelf, row = self.at(slot)
        shelf.data[:, :, row, :, : joined.shape[-2]] = joined

    def move(self, source: int, target: int) -> None:
        """Give the sequence of one slot to another; the first is left empty."""
        self.close(target)
        if source in self._homes:  # a prompt that failed may not have come so far
            shelf, row = self.at(source)
            shelf.owners[row] = target
            self._homes[target] = self._homes.pop(source)

    def close(self, slot: int) -> None:
        """Leave a slot empty."""
        shelf = self._homes.pop(slot, None)
        if shelf is not None:
            self._drop(slot, shelf)
