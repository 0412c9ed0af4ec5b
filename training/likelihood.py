"""The loss of a language model, with its gradient made on the way forward, in pieces that stay in a processor's cache.

Of 3,072 tokens and 8,192 words the logits alone are 100 MB in float32, and torch's own steps (the covered ones
chosen, their logarithms, the gradient, and that put back) each go through as much memory; a CPU waits for it.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

PIECE = {"cpu": 2**20}
"""Logits of a piece by kind of device: 4 MB of a CPU's cache."""

LARGE = 2**26
"""On other kinds: they wait for their orders rather than for memory."""


def summed(logits: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    """Sum over rows of weight times negative log-likelihood of the label, in float32.

    Logits are (rows, words); labels, (rows,), are word numbers where a weight, (rows,), is not 0, and anything
    elsewhere. A gradient is had for the logits alone.
    """
    total: Tensor = _Summed.apply(logits, labels, weights)  # type: ignore[no-untyped-call]
    return total


class _Summed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
        counted = weights != 0
        gradient = torch.empty_like(logits) if ctx.needs_input_grad[0] else None
        if gradient is not None:
            gradient[~counted] = 0
        total = torch.zeros((), device=logits.device)
        rows = max(1, PIECE.get(logits.device.type, LARGE) // logits.shape[1])
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
    def backward(ctx: Any, *outer: Tensor) -> tuple[Tensor, None, None]:
        (gradient,) = ctx.saved_tensors
        return gradient * outer[0], None, None
