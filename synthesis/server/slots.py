"""Keys and values of sequences that run through transformers: a slot each, in layers that its models write to.

A pass names its slots and places first; each attention layer then hands over what it computed, and gets back all that
its rows may attend to. Layers take their shapes from what they are given, so heads and widths may differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from transformers.cache_utils import Cache, CacheLayerMixin

if TYPE_CHECKING:
    from torch import Tensor

LEAST = 128


def capacity_for(tokens: int) -> int:
    """How many positions a sequence of `tokens` is computed over: doubling, so that rows of many lengths meet."""
    capacity = LEAST
    while capacity < tokens:
        capacity *= 2
    return capacity


class Layer(CacheLayerMixin):  # type: ignore[misc]
    """One attention layer's keys and values [slots, heads, capacity, width], as transformers' caches have them."""

    is_sliding = False

    def __init__(self, slots: Slots) -> None:
        super().__init__()
        self._slots = slots
        self.both: tuple[Tensor, Tensor] | None = None

    def update(self, keys: Tensor, values: Tensor, *rest: Any, **settings: Any) -> tuple[Tensor, Tensor]:
        """Write the pass's own [rows, heads, tokens, width]; back comes [rows, heads, capacity, width], whole."""
        if self.both is None:
            self.lazy_initialization(keys, values)
        assert self.both is not None
        return self._slots.exchange(self.both[0], keys), self._slots.exchange(self.both[1], values)

    def lazy_initialization(self, keys: Tensor, values: Tensor) -> None:
        """Take a shape from the first keys and values."""
        self.both = self._slots.buffer(keys), self._slots.buffer(values)
        self.is_initialized = True

    def get_max_length(self) -> int:
        """No end: the slots grow."""
        return -1

    def get_seq_length(self) -> int:
        """Positions and masks come with each pass, so nothing is told of the past."""
        return 0

    def get_mask_sizes(self, tokens: int) -> tuple[int, int]:
        """Length and offset of the keys of the pass under way."""
        return self._slots.reach, 0


class Slots:
    """The room of `general`: `cache` is what the model is given; `reach` how many positions the pass runs over."""

    def __init__(self, slots: int) -> None:
        self.slots, self.capacity, self.reach = slots, LEAST, LEAST
        self.cache = Cache(layer_class_to_replicate=partial(Layer, self))
        self._rows = self._real = self._where = self._places = torch.empty(0)

    def aim(self, rows: Sequence[int], places: Tensor, real: Tensor, reach: int) -> None:
        """The next pass: the slot of each row, the place [rows, tokens] of each token, and which tokens are real."""
        device = places.device
        self._rows = torch.tensor(rows, device=device)
        self._real, self.reach = real, reach
        self._where = self._rows[:, None].expand_as(places)[real]
        self._places = places[real]

    def buffer(self, like: Tensor) -> Tensor:
        """Zeros for all slots, for heads and widths such as `like` has."""
        return like.new_zeros(self.slots, like.shape[1], self.capacity, like.shape[3])

    def exchange(self, stored: Tensor, new: Tensor) -> Tensor:
        stored[self._where, :, self._places] = new.transpose(1, 2)[self._real]
        return stored[:, :, : self.reach].index_select(0, self._rows)

    def _stored(self) -> list[Tensor]:
        return [stored for layer in self.cache.layers if layer.both is not None for stored in layer.both]

    def fit(self, longest: int, used: int) -> None:
        """Make room for `longest` tokens a slot, keeping the first `used` slots; give room back when half is idle."""
        wanted = capacity_for(longest)
        if wanted == self.capacity:
            return
        keep = min(wanted, self.capacity)
        self.capacity = wanted
        for layer in self.cache.layers:
            if layer.both is not None:
                old = layer.both
                layer.both = self.buffer(old[0]), self.buffer(old[1])
                for stored, before in zip(layer.both, old, strict=True):
                    stored[:used, :, :keep] = before[:used, :, :keep]

    def open(self, slot: int, length: int) -> None:
        """Clear a slot: what is masked weighs nothing, but nothing times infinity is no number."""
        for stored in self._stored():
            stored[slot].zero_()

    def move(self, source: int, target: int) -> None:
        """Put the sequence of one slot into another."""
        for stored in self._stored():
            stored[target] = stored[source]

    def close(self, slot: int) -> None:
        """Leave a slot empty; it is cleared when it is opened."""

    def keep(self, slot: int, start: int, stop: int) -> Tensor:
        """A copy of what a slot holds at positions `start` to `stop`: [positions, units of all layers]."""
        return torch.cat([stored[slot, :, start:stop].transpose(0, 1).flatten(1) for stored in self._stored()], 1)

    def put(self, slot: int, blocks: Sequence[Tensor]) -> None:
        """Begin a slot with what `keep` gave, one after the other."""
        joined = torch.cat(list(blocks))
        stored = self._stored()
        pieces = torch.split(joined, [one.shape[1] * one.shape[3] for one in stored], 1)
        for one, piece in zip(stored, pieces, strict=True):
            one[slot, :, : len(joined)] = piece.view(len(joined), one.shape[1], one.shape[3]).transpose(0, 1)
