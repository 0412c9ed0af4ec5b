"""Muon for hidden matrices and AdamW for the rest, as one optimizer with one state.

Muon (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/) orthogonalises the momentum of a weight matrix;
torch has it as `torch.optim.Muon`, for matrices only. Embeddings, the output head, norms and biases stay with AdamW.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.optim import AdamW, Muon, Optimizer


def split(model: nn.Module) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """The trainable parameters, each once: (matrices of hidden layers, everything else)."""
    outer = {id(p) for module in model.modules() if isinstance(module, nn.Embedding) for p in module.parameters()}
    head = getattr(model, "get_output_embeddings", lambda: None)()
    outer |= {id(p) for p in head.parameters()} if head is not None else set()
    trained = [p for p in model.parameters() if p.requires_grad]
    hidden = [p for p in trained if p.ndim == 2 and id(p) not in outer]
    chosen = {id(p) for p in hidden}
    return hidden, [p for p in trained if id(p) not in chosen]


class MuonAdamW(Optimizer):
    """Both optimizers behind one `step`; parameter groups are shared, so a scheduler moves both rates alike."""

    def __init__(self, model: nn.Module, matrix_rate: float, rate: float, betas: tuple[float, float], decay: float):
        hidden, others = split(model)
        self.parts: tuple[Optimizer, Optimizer] = (
            Muon(hidden, lr=matrix_rate, momentum=0.95, ns_steps=5, weight_decay=decay, adjust_lr_fn="original"),
            AdamW(others, lr=rate, betas=betas, weight_decay=0.0),
        )
        super().__init__([{"params": hidden}, {"params": others}], {})
        self._share()

    def _share(self) -> None:
        self.param_groups = [group for part in self.parts for group in part.param_groups]

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """One step of both; a closure, if given, is evaluated once."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for part in self.parts:
            part.step()
        return loss

    def state_dict(self) -> dict[str, Any]:
        """Both states under "parts"."""
        return {"parts": [part.state_dict() for part in self.parts]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes back what `state_dict` gave."""
        for part, state in zip(self.parts, state_dict["parts"], strict=True):
            part.load_state_dict(state)
        self._share()
