"""The loss made in chunks against torch's own, in value and gradient."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from training import cross_entropy
from training.cross_entropy import summed_cross_entropy
from training.data import IGNORED
from training.trainer import Trainer


def at_once(logits: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    """As torch has it, with everything at once."""
    losses = torch.nn.functional.cross_entropy(logits.float(), labels, reduction="none", ignore_index=-100)
    return (losses * weights).sum()


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("chunk", [1, 30, 2**20])
def test_is_torchs_own_in_chunks_of_any_size(kind: torch.dtype, chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(cross_entropy.CHUNKS, "cpu", chunk)
    maker = torch.Generator().manual_seed(chunk)
    logits = (4 * torch.randn(23, 11, generator=maker)).to(kind)
    labels = torch.randint(11, (23,), generator=maker)
    weights = torch.rand(23, generator=maker)
    labels[::3], weights[::3] = -100, 0.0
    wanted, found = (logits.clone().requires_grad_() for _ in range(2))
    one, other = at_once(wanted, labels, weights), summed_cross_entropy(found, labels, weights)
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
    loss = summed_cross_entropy(logits, torch.tensor([2]), torch.tensor([2.0]))
    loss.backward()
    assert loss.item() == pytest.approx(2 * math.log(4))
    assert logits.grad is not None
    assert logits.grad.tolist() == [[0.5, 0.5, -1.5, 0.5]]


def test_nothing_that_counts_is_no_loss() -> None:
    logits = torch.ones(2, 3, requires_grad=True)
    loss = summed_cross_entropy(logits, torch.full((2,), -100), torch.zeros(2))
    loss.backward()
    assert loss.item() == 0
    assert logits.grad is not None
    assert not logits.grad.any()


def test_logits_that_need_no_gradient() -> None:
    loss = summed_cross_entropy(torch.zeros(1, 2), torch.tensor([1]), torch.ones(1))
    assert loss.item() == pytest.approx(math.log(2))


def test_a_small_gradient_in_float16_waits_for_the_scale_of_the_loss() -> None:
    logits = torch.tensor([[0.0, 18.0]], dtype=torch.float16, requires_grad=True)
    (65536 * summed_cross_entropy(logits, torch.tensor([1]), torch.ones(1))).backward()
    assert logits.grad is not None
    assert logits.grad[0, 0].item() == pytest.approx(65536 * math.exp(-18), rel=1e-3), "1.5e-8 is 0 in float16"


def test_lengths_that_differ_are_refused() -> None:
    with pytest.raises(ValueError, match="3 rows of logits for 2 labels"):
        summed_cross_entropy(torch.zeros(3, 2), torch.zeros(2, dtype=torch.long), torch.ones(2))


class Table(torch.nn.Module):
    """A model that goes by the last token alone."""

    def __init__(self) -> None:
        super().__init__()
        self.rows = torch.nn.Embedding(7, 7)

    def forward(self, input_ids: Tensor, position_ids: Tensor, use_cache: bool) -> SimpleNamespace:
        return SimpleNamespace(logits=self.rows(input_ids))


@pytest.mark.parametrize("count", [None, 40])
@pytest.mark.parametrize(("step", "training"), [(2, True), (3, True), (3, False)])
def test_loss_of_a_packed_batch(step: int, training: bool, count: int | None) -> None:
    """Two rows, some tokens not covered; weights from step 3 on, and in training only."""
    maker = torch.Generator().manual_seed(0)
    model = Table().train(training)
    ids = torch.randint(7, (2, 6), generator=maker)
    labels = torch.where(torch.rand(2, 6, generator=maker) < 0.6, ids, IGNORED)
    weights = torch.rand(2, 6, generator=maker)
    inputs = {"input_ids": ids, "position_ids": ids, "labels": labels, "weights": weights}
    args = SimpleNamespace(pack=True, weights_from=3, average_tokens_across_devices=False)
    trainer = SimpleNamespace(args=args, state=SimpleNamespace(global_step=step))
    found = Trainer.compute_loss(trainer, model, inputs, num_items_in_batch=count)

    said = labels[:, 1:].flatten()
    losses = torch.nn.functional.cross_entropy(model.rows(ids[:, :-1]).flatten(0, 1), said, reduction="none")
    by_token = weights[:, 1:].flatten() if training and step >= 3 else torch.ones(10)
    wanted = (losses * by_token).sum() / (count or int((said != IGNORED).sum()))
    assert found.item() == pytest.approx(wanted.item(), rel=1e-5)
    one, other = (torch.autograd.grad(loss, model.rows.weight)[0] for loss in (found, wanted))
    assert torch.allclose(one, other, atol=1e-6)
