"""Any causal model through transformers, one sequence at a time, each with the cache that the model itself makes.

Slow, and right for whatever generates at all: state-space models, experts chosen row by row, positions counted from a
mask. Sequences never meet, so a sequence's bits cannot depend on others. Nothing is reused.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch

from synthesis.server.model import Part

if TYPE_CHECKING:
    from torch import Tensor

    from synthesis.server.lowrank import Company

NAMES = ("past_key_values", "cache_params", "state")  # what models call their past, in the order of preference


class Pasts:
    """The room: what the model made of each slot's sequence."""

    def __init__(self, slots: int) -> None:
        self.past: list[Any] = [None] * slots

    def fit(self, longest: int, used: int) -> None:
        """A model's own cache grows by itself."""

    def open(self, slot: int, length: int) -> None:
        """Begin without a past."""
        self.past[slot] = None

    def move(self, source: int, target: int) -> None:
        """Put the sequence of one slot into another."""
        self.past[target], self.past[source] = self.past[source], None

    def close(self, slot: int) -> None:
        """Forget a sequence."""
        self.past[slot] = None

    def keep(self, slot: int, start: int, stop: int) -> Tensor:
        """Never asked, since this model does not reuse."""
        raise RuntimeError("a past that the model made cannot be cut")

    def put(self, slot: int, blocks: Sequence[Tensor]) -> None:
        """Never asked, since this model does not reuse."""
        raise RuntimeError("a past that the model made cannot be joined")


class Alone:
    """A causal model of transformers, one sequence at a time; `inner` is on its device, in evaluation mode."""

    path = "transformers, one sequence at a time"
    reuses = False

    def __init__(self, inner: Any, company: Company) -> None:
        self._inner, self._company = inner, company
        known = inspect.signature(inner.forward).parameters
        self._name = next((name for name in NAMES if name in known), NAMES[0])

    def room(self, slots: int) -> Pasts:
        """No sequence has a past."""
        return Pasts(slots)

    def prefill(self, parts: Sequence[Part], cache: Pasts) -> list[Tensor]:
        """Read prompts, one after the other; logits of the last position, or of all."""
        return [
            self._pass(part.tokens, part.slot, part.adapter, cache)[0 if part.everywhere else -1 :] for part in parts
        ]

    def ahead(self, place: int) -> int:
        """No guesses: what a model has passed it cannot take back."""
        return 0

    def decode(
        self, tokens: Sequence[Sequence[int]], positions: Sequence[int], cache: Pasts, adapters: Sequence[int] = ()
    ) -> Tensor:
        """One step for the sequences in slots 0, 1, ...: newest tokens in, float32 logits [rows, vocabulary] out."""
        carried = adapters or [0] * len(tokens)
        return torch.cat([self._pass(newest, slot, carried[slot], cache)[-1:] for slot, newest in enumerate(tokens)])

    def _pass(self, tokens: Sequence[int], slot: int, adapter: int, cache: Pasts) -> Tensor:
        device = self._inner.device
        self._company.seat([adapter], len(tokens), device)
        past = {} if cache.past[slot] is None else {self._name: cache.past[slot]}
        found = self._inner(input_ids=torch.tensor([list(tokens)], device=device), use_cache=True, **past)
        cache.past[slot] = getattr(found, self._name)
        logits: Tensor = found.logits[0].float().cpu()
        return logits
