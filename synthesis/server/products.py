"""Linear layers over weights laid out once for the processor, where oneDNN can: in bfloat16, with the same bits.

A plain bfloat16 product brings its weight into the processor's own order at every call, which for few rows costs more
than the product itself. Packed weights are opaque: only `product` and `shape` are asked of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def packed(weight: Tensor) -> Tensor:
    """`weight` [out, in] as `product` wants it; itself where this machine or its precision has no better order."""
    import torch

    if weight.dtype != torch.bfloat16 or not torch._C._has_mkldnn or not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return weight
    better: Tensor = torch.ops.mkldnn._reorder_linear_weight(weight)
    return better


def product(rows: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """rows [n, in] times a weight that `packed` gave: [n, out]."""
    import torch
    from torch.nn.functional import linear

    if not weight.is_mkldnn:
        return linear(rows, weight, bias)
    found: Tensor = torch.ops.mkldnn._linear_pointwise(rows, weight, bias, "none", [], "")
    return found
