"""Keys and values of the running sequences: one slot each, side by side, all of one capacity.

The buffer is contiguous over (slot, head, position), which makes a batched matrix product over all slots cheap: a
strided view costs five times as much on the CPU. So its capacity follows the longest running sequence in steps,
instead of being the model's whole context.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor, dtype

    from synthesis.server.checkpoint import Shape

TILE = 64
SPARE = 16  # slots there are at least, so that small batches can be padded


def capacity_for(tokens: int) -> int:
    """The buffer length for a longest sequence of `tokens`: few distinct sizes, since each costs compilation."""
    step = TILE if tokens <= 4 * TILE else 2 * TILE if tokens <= 16 * TILE else 8 * TILE
    return -(-tokens // step) * step


class KeyValues:
    """`data` is [layers, 2, slots, kv_heads, capacity, head_dim]; `mask` [slots, capacity] is 0 or -inf."""

    def __init__(self, shape: Shape, slots: int, kind: dtype, *, fixed: bool = False) -> None:
        """`fixed` keeps the capacity at the model's whole context."""
        self._shape, self._kind = shape, kind
        self.slots = max(slots, SPARE)
        self.capacity = 0
        self._least = capacity_for(shape.context) if fixed else TILE
        self.data, self.mask = self._buffers(self._least)

    def _buffers(self, capacity: int) -> tuple[Tensor, Tensor]:
        import torch

        size = self._shape
        # not cleared, which would touch memory for all slots at every change of capacity: `open` clears its own
        data = torch.empty(size.layers, 2, self.slots, size.kv_heads, capacity, size.head_dim, dtype=self._kind)
        mask = torch.full((self.slots, capacity), float("-inf"), dtype=self._kind)
        mask[:, 0] = 0.0  # an empty slot, whose results nobody reads, attends to one place: no softmax over nothing
        self.capacity = capacity
        return data, mask

    def fit(self, longest: int, used: int) -> None:
        """Make room for `longest` tokens a slot, keeping the first `used` slots; give room back when half is idle."""
        wanted = max(capacity_for(longest), self._least)
        if wanted <= self.capacity and wanted * 2 > self.capacity:
            return
        data, mask = self.data, self.mask
        keep = min(wanted, self.capacity)
        self.data, self.mask = self._buffers(wanted)
        self.data[:, :, :used, :, :keep] = data[:, :, :used, :, :keep]
        self.data[:, :, :used, :, keep:] = 0.0
        self.mask[:used, :keep] = mask[:used, :keep]

    def open(self, slot: int, length: int) -> None:
        """Clear a slot for a sequence of which `length` tokens will be visible."""
        self.data[:, :, slot].zero_()
        self.mask[slot].fill_(float("-inf"))
        self.mask[slot, :length] = 0.0

    def keep(self, slot: int, start: int, stop: int) -> Tensor:
        """A copy of what a slot holds at positions `start` to `stop`: [layers, 2, kv_heads, positions, head_dim]."""
        return self.data[:, :, slot, :, start:stop].clone()

    def put(self, slot: int, blocks: Sequence[Tensor]) -> None:
        """Begin a slot with what `keep` gave, one after the other."""
        import torch

        joined = torch.cat(list(blocks), -2)
        self.data[:, :, slot, :, : joined.shape[-2]] = joined

    def move(self, source: int, target: int) -> None:
        """Put the sequence of one slot into another."""
        self.data[:, :, target] = self.data[:, :, source]
        self.mask[target] = self.mask[source]

    def close(self, slot: int) -> None:
        """Leave a slot empty."""
        self.mask[slot].fill_(float("-inf"))
        self.mask[slot, 0] = 0.0

    def rows(self, layer: int) -> Tensor:
        """One layer's keys, then its values, as rows of head_dim units: the target of writes."""
        return self.data[layer].view(-1, self._shape.head_dim)

    def addresses(self, slots: Tensor, positions: Tensor) -> Tensor:
        """Where in `rows` the keys and then the values of (slot, position) pairs go: [pairs * 2 * kv_heads]."""
        import torch

        heads = self._shape.kv_heads
        base = slots[:, None] * heads + torch.arange(heads)
        keys = base * self.capacity + positions[:, None]
        return torch.cat((keys, keys + self.slots * heads * self.capacity), 1).view(-1)
