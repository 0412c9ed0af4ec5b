"""The loss made in pieces against torch's own, in value and gradient."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from training import likelihood
from training.likelihood import summed


def at_once(logits: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    """As torch has it, with everything at once."""
    losses = torch.nn.functional.cross_entropy(logits.float(), labels, reduction="none", ignore_index=-100)
    return (losses * weights).sum()


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("piece", [1, 30, 2**20])
def test_is_torchs_own_in_pieces_of_any_size(kind: torch.dtype, piece: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(likelihood.PIECE, "cpu", piece)
    maker = torch.Generator().manual_seed(piece)
    logits = (4 * torch.randn(23, 11, generator=maker)).to(kind)
    labels = torch.randint(11, (23,), generator=maker)
    weights = torch.rand(23, generator=maker)
    labels[::3], weights[::3] = -100, 0.0
    wanted, found = (logits.clone().requires_grad_() for _ in range(2))
    one, other = at_once(wanted, labels, weights), summed(found, labels, weights)
    assert torch.allclose(one, other)
    (one / 7).backward()
    (other / 7).backward()
    assert wanted.grad is not None
    assert found.grad is not None
    assert found.grad.dtype == kind
    assert torch.allclose(wanted.grad, found.grad, atol=1e-6 if kind == torch.float32 else 1e-3)
    assert not found.grad[::3].any()


def test_by_hand() -> None:
    """Four words, equally likely, cost ln 4 times the weight; the gradient is what is believed less what is said."""
    logits = torch.zeros(1, 4, requires_grad=True)
    loss = summed(logits, torch.tensor([2]), torch.tensor([2.0]))
    loss.backward()
    assert loss.item() == pytest.approx(2 * math.log(4))
    assert logits.grad is not None
    assert logits.grad.tolist() == [[0.5, 0.5, -1.5, 0.5]]


def test_nothing_that_counts_is_no_loss() -> None:
    logits = torch.ones(2, 3, requires_grad=True)
    loss = summed(logits, torch.full((2,), -100), torch.zeros(2))
    loss.backward()
    assert loss.item() == 0
    assert logits.grad is not None
    assert not logits.grad.any()


def test_without_a_gradient_there_is_none() -> None:
    with torch.no_grad():
        loss = summed(torch.zeros(1, 2), torch.tensor([1]), torch.ones(1))
    assert loss.item() == pytest.approx(math.log(2))
    assert not loss.requires_grad
