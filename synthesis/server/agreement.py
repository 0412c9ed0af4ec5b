"""Does this machine give a row the same bits whatever company it is computed in? Asked once, when a model is loaded.

Libraries pick another kernel, and with it another order of summation, when a shape changes: float32 products of fewer
than 4 rows, bfloat16 products below 4096 multiplications. Rounding to bfloat16 hides most of such differences, so a
plain comparison finds one in a hundred thousand; here the terms cancel, and the rounding of the sums is all there is.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from synthesis.server.products import packed, product

if TYPE_CHECKING:
    from torch import Generator, Tensor, dtype

COUNTS = (1, 2, 4, 8, 16, 32, 48, 64, 96, 128)
SLOTS = (8, 12, 28)
LENGTHS = (64, 128, 256)


def least_rows(kind: dtype) -> tuple[int, ...]:
    """The fewest rows that products in this precision may be computed with, to be tried in turn."""
    import torch

    return (1, 4) if kind == torch.bfloat16 else (16,)


def linear_agrees(kind: dtype, shapes: Iterable[tuple[int, int]], least: int, *, plain: bool = False) -> bool:
    """Whether products with weights of these shapes (out, in) keep a row's bits at padded row counts from `least`.

    The weights are packed, or `plain` as other libraries have them.
    """
    import torch

    draw = torch.Generator().manual_seed(0)
    for out, width in set(shapes):
        stored, rows = _cancelling(draw, (out, width), (192, width), kind)
        weight = stored if plain else packed(stored)
        whole = product(rows, weight)
        for count in COUNTS:
            some = rows[: 16 * count]
            parts = [] if count < least else [product(part, weight) for part in torch.split(some, count)]
            if parts and not torch.equal(torch.cat(parts), whole[: len(some)]):
                return False
    return True


def attention_agrees(kind: dtype, heads: int, group: int, width: int, least: int) -> bool:
    """Whether one query's scores and mixture keep their bits for any capacity and number of slots from `least`."""
    import torch

    draw = torch.Generator().manual_seed(0)
    most, longest = SLOTS[-1] * heads, LENGTHS[-1]
    keys, queries = _cancelling(draw, (most, longest, width), (most, group, width), kind)
    values, weights = _cancelling(draw, (most, width, LENGTHS[0]), (most, group, LENGTHS[0]), kind)
    values = torch.nn.functional.pad(values.transpose(1, 2), (0, 0, 0, longest - LENGTHS[0]))
    weights = torch.nn.functional.pad(weights, (0, longest - LENGTHS[0]))
    scores = torch.bmm(queries, keys.transpose(1, 2))
    mixed = torch.bmm(weights, values)
    for slots in sorted({least, 2 * least, *SLOTS}):
        for length in LENGTHS:
            end = slots * heads
            part = torch.bmm(queries[:end], keys[:end, :length].contiguous().transpose(1, 2))
            whole = torch.bmm(weights[:end, :, :length].contiguous(), values[:end, :length].contiguous())
            if not torch.equal(part, scores[:end, :, :length]) or not torch.equal(whole, mixed[:end]):
                return False
    return True


def queries_agree(kind: dtype, heads: int, queries: int, width: int, parts: int) -> bool:
    """Whether so many queries of each head have the same bits together and in so many equal parts."""
    import torch

    draw = torch.Generator().manual_seed(0)
    for length in LENGTHS:
        keys, asked = _cancelling(draw, (heads, length, width), (heads, queries, width), kind)
        values, weights = _cancelling(draw, (heads, width, length), (heads, queries, length), kind)
        keys, values = keys.transpose(1, 2), values.transpose(1, 2).contiguous()
        for given, stored in ((asked, keys), (weights, values)):
            pieces = [torch.bmm(piece.contiguous(), stored) for piece in torch.split(given, queries // parts, 1)]
            if not torch.equal(torch.cat(pieces, 1), torch.bmm(given, stored)):
                return False
    return True


def _cancelling(
    draw: Generator, first: tuple[int, ...], second: tuple[int, ...], kind: dtype
) -> tuple[Tensor, Tensor]:
    """Two tensors whose products along the last axis are sums of terms that cancel, each far from its counterpart."""
    import torch

    half = first[-1] // 2
    one, other = torch.randn(first, generator=draw), torch.randn(second, generator=draw)
    one[..., half : 2 * half] = -one[..., :half].flip(-1)
    other[..., half : 2 * half] = other[..., :half].flip(-1)
    return one.to(kind), other.to(kind)
