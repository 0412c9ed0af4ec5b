"""The Llama forward pass in plain torch operations, written so that a token's numbers never depend on its company.

Why that needs care: a matrix product may sum in another order when its shape changes, and the same request would then
write another text alone than in a batch. Four rules keep every row's bits:
1. prompts attend in tiles of 64 queries at fixed positions, over exactly the keys up to the tile's end, whatever part
   of the prompt was reused and whoever else is being read; half a tile stands alone where `agreement` allows it;
2. generated tokens attend one by one, over the capacity that their own length has, beside at most some guesses at
   what follows them, and only prompts' keys and values are ever reused;
3. rows of an adapter take its low-rank products on their own, by rule 4;
4. linear layers run over padded row counts, and decoding over padded slots, for which `agreement` found equal bits on
   this machine when the model was loaded; where it did not, `strict` fixes the shapes: rows in blocks of one size, all
   slots, the whole context.
Masked positions weigh exactly zero. RMSNorm, softmax and rotation work on one row at a time.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from synthesis.server.agreement import attention_agrees, least_rows, linear_agrees, queries_agree
from synthesis.server.cache import TILE, KeyValues, Shelf, capacity_for
from synthesis.server.lookup import MOST
from synthesis.server.products import product

if TYPE_CHECKING:
    from torch import Tensor

    from synthesis.server.adapters import LowRank
    from synthesis.server.checkpoint import Shape

STRICT_ROWS = 32


@dataclass(frozen=True, slots=True)
class Linear:
    """weight [out, in], bias [out] or None; what adapter n adds at place n - 1, None where it adds nothing."""

    weight: Tensor
    bias: Tensor | None = None
    adapters: tuple[LowRank | None, ...] = ()


@dataclass(frozen=True, slots=True)
class Layer:
    """One block: queries, keys and values fused in `mix`; gate and up fused in `widen`; both with the norm before."""

    mix: Linear
    out: Linear
    widen: Linear
    narrow: Linear


@dataclass(frozen=True, slots=True)
class Part:
    """The tokens of one prompt that still have to be read: positions `start` to `start + len(tokens)` of `slot`."""

    slot: int
    start: int
    tokens: Sequence[int]
    everywhere: bool = False  # logits at every position, not only at the last
    adapter: int = 0  # 0 is the base


@dataclass(frozen=True, slots=True)
class Group:
    """Slots of one shelf that step, with as many queries each as the one with the most guesses has.

    `asking`: which of the step's tokens is each query; then which `rows` of these count, which `tokens` they are, and
    the `addresses` of what they write. `mask` [slots, queries, capacity]. `whole`: these are all tokens, in order.
    """

    shelf: Shelf
    asking: Tensor
    rows: Tensor
    tokens: Tensor
    addresses: Tensor
    mask: Tensor
    whole: bool


Company = list[tuple[int, "Tensor", int]]
"""Which rows an adapter computes: its number, their places padded to a row count of `padded_rows`, how many count."""


def padded_rows(rows: int, least: int) -> int:
    """The row count that `rows` is computed with: few distinct ones, since each shape is compiled once (3 ms)."""
    if rows <= 16:
        return max(least, 1 << (rows - 1).bit_length())
    step = 16 if rows <= 256 else 64
    return -(-rows // step) * step


def padded_slots(slots: int, least: int) -> int:
    """The number of slots that attention is computed for: finer, since each has keys and values to be read."""
    return padded_rows(slots, least) if slots <= 8 else max(least, -(-slots // 4) * 4)


class Llama:
    """A loaded model; see `weights.build` for how it comes about. Not thread-safe."""

    path = "llama"
    reuses = True

    def __init__(self, shape: Shape, layers: list[Layer], embedding: Tensor, head: Linear, rotation: Tensor) -> None:
        """`rotation` is [2, context, 1, head_dim]: cosines, and sines with the sign of the half rotation inside."""
        import torch

        self.shape, self.layers, self.embedding, self.head = shape, layers, embedding, head
        self.rotation = rotation
        self.kind = embedding.dtype
        self._exact_silu = self.kind == torch.float32
        agreed = next((least for least in least_rows(self.kind) if self._agrees(least)), None)
        self.least, self.strict = agreed or least_rows(self.kind)[-1], agreed is None
        group, width = shape.heads // shape.kv_heads, shape.head_dim
        agree = partial(queries_agree, self.kind, width=width)
        guessing = not self.strict and agree(8 * shape.kv_heads, group * (1 + MOST), parts=1 + MOST)
        self._guesses = MOST if guessing else 0
        halves = not self.strict and agree(shape.kv_heads, group * TILE, parts=2)
        self._tile = TILE // 2 if halves else TILE
        self._floor = torch.tensor(shape.epsilon * shape.hidden)
        self._triangle = torch.full((TILE, TILE), float("-inf"), dtype=self.kind).triu(1)

    def _agrees(self, least: int) -> bool:
        size, layer = self.shape, self.layers[0]
        linears = (layer.mix, layer.out, layer.widen, layer.narrow, self.head)
        weights = [linear.weight for linear in linears]
        lows = [
            low
            for one in self.layers
            for linear in (one.mix, one.out, one.widen, one.narrow)
            for low in linear.adapters
        ]
        weights += [weight for low in lows if low for weight in (low.down, low.up)]
        shapes = [(weight.shape[0], weight.shape[1]) for weight in weights]
        group = size.heads // size.kv_heads
        attention = (size.kv_heads, group, size.head_dim)
        return linear_agrees(self.kind, shapes, least) and attention_agrees(self.kind, *attention, least)

    def ahead(self, place: int) -> int:
        """How many guesses a step may read behind the token at `place`: those over the same capacity (rule 2)."""
        return min(self._guesses, capacity_for(place + 1) - place - 1)

    def room(self, slots: int) -> KeyValues:
        """The cache for so many running sequences."""
        return KeyValues(self.shape, slots, self.kind, fixed=self.strict)

    def _linear(self, rows: Tensor, linear: Linear, company: Company) -> Tensor:
        whole = self._product(rows, linear.weight, linear.bias)
        for number, places, count in company:
            low = linear.adapters[number - 1]
            if low is not None:
                added = self._product(self._product(rows[places], low.down), low.up)
                whole.index_add_(0, places[:count], added[:count])
        return whole

    def _product(self, rows: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        import torch
        from torch.nn.functional import pad

        if not self.strict:
            return product(rows, weight, bias)
        blocks = torch.split(pad(rows, (0, 0, 0, -len(rows) % STRICT_ROWS)), STRICT_ROWS)
        return torch.cat([product(block, weight, bias) for block in blocks])[: len(rows)]

    def _company(self, adapters: Sequence[int]) -> Company:
        """Who computes with whom, from the adapter of each row."""
        import torch

        found: Company = []
        for number in sorted(set(adapters) - {0}):
            places = [place for place, one in enumerate(adapters) if one == number]
            idle = padded_rows(len(places), self.least) - len(places)
            found.append((number, torch.tensor([*places, *places[:1] * idle]), len(places)))
        return found

    def _rotate(self, mixed: Tensor, cosine: Tensor, sine: Tensor) -> tuple[Tensor, Tensor]:
        """Queries [rows, heads, head_dim] rotated, and rotated keys with values [rows * 2 * kv_heads, head_dim]."""
        import torch

        size = self.shape
        turned = size.heads + size.kv_heads
        mixed = mixed.view(len(mixed), turned + size.kv_heads, size.head_dim)
        straight = mixed[:, :turned]
        rotated = straight * cosine + straight.roll(size.head_dim // 2, -1) * sine
        written = torch.cat((rotated[:, size.heads :], mixed[:, turned:]), 1)
        return rotated[:, : size.heads], written.view(-1, size.head_dim)

    def _normal(self, hidden: Tensor) -> Tensor:
        """RMSNorm but for the gain and the root of the width, which are in the weights of the next layer."""
        import torch

        length = torch.linalg.vector_norm(hidden, dim=-1, keepdim=True, dtype=torch.float32)
        return (hidden * torch.addcmul(self._floor, length, length).rsqrt_()).to(self.kind)

    def _feed_forward(self, hidden: Tensor, layer: Layer, company: Company) -> Tensor:
        import torch
        from torch.nn.functional import silu

        normal = self._normal(hidden)
        wide = self._linear(normal, layer.widen, company)
        gate, up = wide.chunk(2, -1)
        # float32 silu differs in the last bit between vector and remainder lanes; its parts do not
        active = gate / (1 + torch.exp(-gate)) if self._exact_silu else silu(gate)
        return hidden + self._linear(active * up, layer.narrow, company)

    def _logits(self, hidden: Tensor) -> Tensor:
        from torch.nn.functional import pad

        count = len(hidden)
        hidden = pad(hidden, (0, 0, 0, padded_rows(count, self.least) - count))
        normal = self._normal(hidden)
        return self._linear(normal, self.head, [])[:count].float()

    def decode(
        self, tokens: Sequence[Sequence[int]], positions: Sequence[int], cache: KeyValues, adapters: Sequence[int] = ()
    ) -> Tensor:
        """One step for the sequences in slots 0, 1, ...: float32 logits [rows, vocabulary], a row for each token.

        `tokens`: the newest of each sequence, at its position, and guesses at what follows it. `adapters`: the number
        of each sequence's adapter; all have the base when it is empty. Slots grow as they must.
        """
        import torch

        flat = [token for one in tokens for token in one]
        places = [place + ahead for place, one in zip(positions, tokens, strict=True) for ahead in range(len(one))]
        idle = padded_rows(len(flat), self.least) - len(flat)
        company = self._company([number for number, one in zip(adapters, tokens, strict=False) for _ in one])
        cosine, sine = self.rotation[:, torch.tensor([*places, *[0] * idle])].unbind()
        groups = self._groups([len(one) for one in tokens], positions, cache)
        hidden = self.embedding[torch.tensor([*flat, *[0] * idle])]
        for number, layer in enumerate(self.layers):
            normal = self._normal(hidden)
            queries, written = self._rotate(self._linear(normal, layer.mix, company), cosine, sine)
            written = written.view(len(hidden), -1)
            if groups[0].whole and len(groups[0].asking) <= len(hidden):
                seen = self._attend(number, groups[0], queries[: len(groups[0].asking)], written[: len(flat)])
            else:
                seen = torch.zeros_like(queries).view(len(hidden), -1)
                for group in groups:
                    asked, new = queries.index_select(0, group.asking), written.index_select(0, group.tokens)
                    mixed = self._attend(number, group, asked, new)
                    seen.index_copy_(0, group.tokens, mixed.index_select(0, group.rows))
            hidden = self._attended(hidden, seen, layer, company)
        return self._logits(hidden[: len(flat)])

    def _groups(self, counts: Sequence[int], positions: Sequence[int], cache: KeyValues) -> list[Group]:
        """The shelves that hold slots with so many tokens from these positions on; what was accepted gets visible."""
        for slot, place in enumerate(positions):
            cache.reach(slot, place + 1)
        firsts = list(itertools.accumulate(counts, initial=0))
        return [
            self._group(shelf, firsts, positions)
            for shelf in cache.shelves
            if any(slot < len(positions) for slot in shelf.owners)
        ]

    def _group(self, shelf: Shelf, firsts: Sequence[int], positions: Sequence[int]) -> Group:
        """One shelf's. `firsts`: of the step's tokens each slot's first, and the number of all."""
        import torch

        stepping = [(row, slot) for row, slot in enumerate(shelf.owners) if slot < len(positions)]
        guessing = any(firsts[slot + 1] - firsts[slot] > 1 for _, slot in stepping)
        width = 1 + self._guesses if guessing else 1  # no width between: each shape is compiled once, and kept
        count = len(shelf.owners)
        padded = shelf.rows if self.strict else min(padded_slots(count, self.least), shelf.rows)
        newest = torch.tensor([positions[slot] for _, slot in stepping])
        shelf.show(torch.tensor([row for row, _ in stepping]), newest, 1 + self._guesses)
        # of each token: the shelf's row, its slot's newest place, how far it is ahead of that, its number in the step
        read = [
            (row, positions[slot], ahead, number)
            for row, slot in stepping
            for ahead, number in enumerate(range(firsts[slot], firsts[slot + 1]))
        ]
        rows, places, aheads, tokens = torch.tensor(read).T.unbind()
        asking = torch.zeros(padded * width, dtype=torch.int64)
        asking[rows * width + aheads] = tokens
        whole = width == 1 and [slot for _, slot in stepping] == list(range(len(positions))) and count == len(stepping)
        addresses = shelf.addresses(rows, places + aheads)
        mask = shelf.seen(padded, width, rows, places, aheads)
        return Group(shelf, asking, rows * width + aheads, tokens, addresses, mask, whole)

    def _attend(self, number: int, group: Group, queries: Tensor, written: Tensor) -> Tensor:
        """Write a group's newest keys and values; what its queries see, [slots * queries, heads * head_dim]."""
        import torch

        size, shelf = self.shape, group.shelf
        slots, width, capacity = group.mask.shape
        shelf.flat(number).index_copy_(0, group.addresses, written.view(-1, size.head_dim))
        keys, values = shelf.data[number, :, :slots].flatten(1, 2).unbind()
        asked = queries.view(slots, width, size.kv_heads, -1, size.head_dim).transpose(1, 2)
        scores = torch.bmm(asked.reshape(len(keys), -1, size.head_dim), keys.transpose(1, 2))
        scores = scores.view(slots, size.kv_heads, width, -1, capacity) + group.mask[:, None, :, None]
        mixed = torch.bmm(torch.softmax(scores, -1).view(len(keys), -1, capacity), values)
        return mixed.view(slots, size.kv_heads, width, -1).transpose(1, 2).reshape(slots * width, -1)

    def _attended(self, hidden: Tensor, seen: Tensor, layer: Layer, company: Company) -> Tensor:
        """The rest of a block once attention has `seen` [at most rows, heads * head_dim]."""
        from torch.nn.functional import pad

        seen = pad(seen, (0, 0, 0, len(hidden) - len(seen)))
        return self._feed_forward(hidden + self._linear(seen, layer.out, company), layer, company)

    def prefill(self, parts: Sequence[Part], cache: KeyValues) -> list[Tensor]:
        """Read prompts into their slots; float32 logits of each part's last position, or of all its positions."""
        import torch

        count = sum(len(part.tokens) for part in parts)
        idle = padded_rows(count, self.least) - count
        ids = torch.tensor([*(token for part in parts for token in part.tokens), *[0] * idle])
        spans = [torch.arange(part.start, part.start + len(part.tokens)) for part in parts]
        places = torch.cat([*spans, torch.zeros(idle, dtype=torch.int64)])
        homes = [cache.at(part.slot) for part in parts]
        company = self._company([part.adapter for part in parts for _ in part.tokens])
        cosine, sine = self.rotation[:, places].unbind()
        hidden = self.embedding[ids]
        for number, layer in enumerate(self.layers):
            normal = self._normal(hidden)
            queries, written = self._rotate(self._linear(normal, layer.mix, company), cosine, sine)
            written = written.view(len(hidden), 2, -1, self.shape.head_dim).permute(1, 2, 0, 3)
            seen: list[Tensor] = []
            first = 0
            for part, (shelf, row) in zip(parts, homes, strict=True):
                stored, after = shelf.data[number, :, row], first + len(part.tokens)
                stored[:, :, part.start : part.start + len(part.tokens)] = written[:, :, first:after]
                seen.extend(self._tiles(queries[first:after], part, stored))
                first = after
            hidden = self._attended(hidden, torch.cat(seen), layer, company)
        return self._chosen_logits(hidden, parts)

    def _tiles(self, queries: Tensor, part: Part, stored: Tensor) -> list[Tensor]:
        """Attention of one prompt's queries [tokens, heads, head_dim] over its slot, tile by tile (rule 1)."""
        import torch
        from torch.nn.functional import pad

        size = self.shape
        group = size.heads // size.kv_heads
        seen: list[Tensor] = []
        end = part.start + len(part.tokens)
        for base in range(part.start // TILE * TILE, end, TILE):
            low, high = max(part.start, base), min(end, base + TILE)
            first = low - (low - base) % self._tile
            rows = -(-(high - first) // self._tile) * self._tile
            tile = pad(queries[low - part.start : high - part.start], (0, 0, 0, 0, low - first, first + rows - high))
            tile = tile.view(rows, size.kv_heads, group, size.head_dim).permute(1, 2, 0, 3)
            keys, values = stored[:, :, : base + TILE].contiguous().unbind()
            scores = torch.bmm(tile.reshape(size.kv_heads, -1, size.head_dim), keys.transpose(1, 2))
            scores.view(size.heads, rows, -1)[..., base:] += self._triangle[first - base : first - base + rows]
            mixed = torch.bmm(torch.softmax(scores, -1), values).view(size.kv_heads, group, rows, size.head_dim)
            seen.append(mixed.permute(2, 0, 1, 3).reshape(rows, -1)[low - first : high - first])
        return seen

    def _chosen_logits(self, hidden: Tensor, parts: Sequence[Part]) -> list[Tensor]:
        import torch

        chosen: list[int] = []
        sizes: list[int] = []
        first = 0
        for part in parts:
            after = first + len(part.tokens)
            wanted = range(first if part.everywhere else after - 1, after)
            chosen.extend(wanted)
            sizes.append(len(wanted))
            first = after
        return list(torch.split(self._logits(hidden[torch.tensor(chosen)]), sizes))
