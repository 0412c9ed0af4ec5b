"""Adapters inside a model of transformers: what each adds to its rows of a forward pass, and to no others.

The low-rank products of every adapter that takes part are computed for all rows of the pass, so that their shapes,
and with them a row's bits, do not hang on how many rows it shares its adapter with.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch.nn.functional import linear

from synthesis.server.adapters import Adapter, LowRank, misfit, unknown

if TYPE_CHECKING:
    from torch import Tensor


class Company:
    """Whose rows the pass under way has: the rows of adapter n as truth values [rows, tokens]."""

    def __init__(self) -> None:
        self._present: list[tuple[int, Tensor]] = []

    def seat(self, adapters: Sequence[int], tokens: int, device: Any) -> None:
        """The adapters of a pass's rows, of so many tokens each."""
        given = torch.tensor(adapters, device=device)[:, None].expand(-1, tokens)
        self._present = [(number, given == number) for number in sorted(set(adapters) - {0})]

    def join(self, inner: Any, adapters: Sequence[Adapter]) -> None:
        """Put adapters 1, 2, ... into the model; raises UserError, by name, for one that does not fit."""
        layers: dict[str, dict[int, LowRank]] = {}
        known = dict(inner.named_modules())
        for number, adapter in enumerate(adapters, 1):
            for path, part in adapter.parts.items():
                if path not in known:
                    raise unknown(adapter.name, path, "which this model does not have")
                weight = weight_of(known[path])
                if weight is None:
                    raise unknown(adapter.name, path, "which is no linear layer")
                if (len(part.up), part.down.shape[1]) != tuple(weight.shape):
                    raise misfit(adapter.name, path, part, weight.shape[1], weight.shape[0])
                low = LowRank(part.down.to(weight), part.up.to(weight))
                layers.setdefault(path, {})[number] = low
        for path, lows in layers.items():
            known[path].register_forward_hook(self._hook(lows))

    def _hook(self, lows: dict[int, LowRank]) -> Any:
        def add(module: Any, given: tuple[Tensor, ...], out: Tensor) -> Tensor:
            rows = given[0]
            for number, seats in self._present:
                if number in lows:
                    if rows.shape[:-1].numel() != seats.numel():
                        raise RuntimeError("a layer with an adapter sees other rows than the pass has")
                    added = linear(linear(rows, lows[number].down), lows[number].up)
                    out = torch.where(seats.reshape(*rows.shape[:-1], 1), out + added, out)
            return out

        return add


def weight_of(module: Any) -> Tensor | None:
    """A linear layer's weight as [out, in]; GPT-2's stands the other way round."""
    from transformers.pytorch_utils import Conv1D

    if isinstance(module, torch.nn.Linear):
        return module.weight
    return module.weight.T if isinstance(module, Conv1D) else None
