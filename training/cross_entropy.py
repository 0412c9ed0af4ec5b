"""Cross-entropy in chunks, with the gradient of the logits made on the way forward while a chunk is in the cache.

As Liger Kernel does it on a GPU (Hsu et al. 2024, arXiv 2410.10989). Of 3,072 tokens and 8,192 words the logits alone
are 100 MB in float32, and torch's own steps (the covered ones chosen, their logarithms, the gradient, and that put
back) each go through as much memory; a CPU waits for it.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

CHUNKS = {"cpu": 2**20}
"""Logits of a chunk by kind of device: 4 MB."""

CHUNK = 2**26
"""On other kinds: they wait for their orders rather than for memory."""


def summed_cross_entropy(logits: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    """Sum over rows of weight times cross-entropy with the label, in float32.

    Logits are (rows, words), rows in as many dimensions as those of labels and weights; labels are word numbers where
    a weight is not 0, and anything elsewhere. A gradient is had for the logits alone. Raises ValueError for numbers of
    rows that differ.
    """
    logits, labels, weights = logits.flatten(0, -2), labels.flatten(), weights.flatten()
    if not len(logits) == len(labels) == len(weights):
        raise ValueError(f"{len(logits)} rows of logits for {len(labels)} labels and {len(weights)} weights")
    total: Tensor = _Summed.apply(logits, labels, weights)  # type: ignore[no-untyped-call]
    return total


class _Summed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
        counted, gradient = weights != 0, None
        if ctx.needs_input_grad[0]:
            # float16 waits for the scale of the loss
            gradient = torch.empty_like(logits, dtype=torch.float32 if logits.dtype == torch.float16 else None)
            gradient[~counted] = 0
        total = torch.zeros((), device=logits.device)
        rows = max(1, CHUNKS.get(logits.device.type, CHUNK) // logits.shape[1])
        for at in torch.split(counted.nonzero().flatten(), rows):
            likely = torch.log_softmax(logits[at].float(), dim=1)
            said, weight = labels[at, None], weights[at, None].float()
            total -= (likely.gather(1, said) * weight).sum()
            if gradient is not None:
                towards = likely.exp_().mul_(weight).scatter_add_(1, said, -weight)
                gradient.index_copy_(0, at, towards.to(gradient.dtype))
        ctx.save_for_backward(gradient)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, outer: Tensor) -> tuple[Tensor, None, None]:
        (gradient,) = ctx.saved_tensors
        return gradient.mul_(outer), None, None
