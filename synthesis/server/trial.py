"""A model of transformers tried before it serves: are its numbers its own, and its bits the same in company?

Read and stepped as the server does it, a sequence must get the logits of one plain forward pass; and the same bits
alone, in a full batch, and read in pieces. Windows are made shorter while it lasts, so that it sees them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import torch

from synthesis.server.model import Part

if TYPE_CHECKING:
    from torch import Tensor

    from synthesis.server.forward import Model

READ, STEPS = 70, 4
WINDOW = 40
WINDOWS = ("sliding_window", "attention_chunk_size")
LIMITS = {torch.float32: 0.01, torch.bfloat16: 0.15}  # error of the logits in standard deviations: choice


@contextlib.contextmanager
def short_windows(inner: Any) -> Iterator[None]:
    """The model with its windows of attention, where its configuration has some, at most WINDOW tokens wide."""
    config = inner.config.get_text_config()
    before = {name: getattr(config, name, None) for name in WINDOWS}
    for name, width in before.items():
        if width:
            setattr(config, name, min(width, WINDOW))
    try:
        yield
    finally:
        for name, width in before.items():
            if width:
                setattr(config, name, width)


class Trial:
    """A sequence drawn for a model, and what the model says to it in one plain pass."""

    def __init__(self, inner: Any, context: int) -> None:
        config = inner.config.get_text_config()
        self.vocabulary = int(config.vocab_size)
        length = min(READ + STEPS, context)
        draw = torch.Generator().manual_seed(0)
        self.ids = torch.randint(0, self.vocabulary, (length,), generator=draw).tolist()
        logits: Tensor = inner(input_ids=torch.tensor([self.ids], device=inner.device), use_cache=False).logits[0]
        self.wanted, self.kind = logits.float().cpu(), inner.dtype

    def numbers(self, model: Model[Any]) -> str:
        """What is wrong with a model's numbers; empty when nothing is."""
        try:
            found = self._alone(model)
        except (RuntimeError, ValueError, TypeError, IndexError, KeyError, AttributeError, AssertionError) as error:
            return f"{type(error).__name__}: {error}"
        off = (found - self.wanted).square().mean().sqrt() / self.wanted.std()
        limit = LIMITS.get(self.kind, LIMITS[torch.bfloat16])
        return "" if off <= limit else f"logits are off by {float(off):.3g} standard deviations, more than {limit}"

    def bits(self, model: Model[Any], sizes: Sequence[int]) -> bool:
        """Whether no bit changes in batches of these sizes, and when the prompt is read in pieces."""
        alone = self._alone(model)[-STEPS - 1 :]
        return all(torch.equal(alone, self._crowded(model, size)) for size in sizes)

    def carries(self, model: Model[Any], adapter: int) -> str:
        """What goes wrong when a sequence has this adapter; empty when nothing does."""
        room = model.room(1)
        room.open(0, 2)
        try:
            model.prefill([Part(0, 0, self.ids[:2], adapter=adapter)], room)
        except RuntimeError as error:
            return str(error)
        return ""

    def _alone(self, model: Model[Any]) -> Tensor:
        read = len(self.ids) - STEPS
        room = model.room(1)
        room.fit(len(self.ids), 0)
        room.open(0, read)
        rows = [*model.prefill([Part(0, 0, self.ids[:read], everywhere=True)], room)]
        rows += [model.decode([[self.ids[place]]], [place], room) for place in range(read, len(self.ids))]
        return torch.cat(rows)

    def _crowded(self, model: Model[Any], size: int) -> Tensor:
        """The last slot of a full batch, read in two pieces, among copies of itself that say something else."""
        read, last = len(self.ids) - STEPS, size - 1
        half = read * 2 // 5
        room = model.room(size)
        room.fit(len(self.ids), 0)
        room.open(last, read)
        model.prefill([Part(last, 0, self.ids[:half])], room)
        rows = [model.prefill([Part(last, half, self.ids[half:read], everywhere=True)], room)[0][-1:]]
        for slot in range(last):
            room.move(last, slot)
        for place in range(read, len(self.ids)):
            others = [[self.ids[(place - 1 - slot) % len(self.ids)]] for slot in range(last)]
            places = [max(0, place - slot) for slot in range(last)]
            rows.append(model.decode([*others, [self.ids[place]]], [*places, place], room)[last:])
        return torch.cat(rows)
