"""Attention of a CPU in bfloat16: two matrix products and a softmax, quicker there than torch's fused kernel.

That kernel computes in float32, although CPUs with bfloat16 multiply it several times as fast. Rows of 256 to 512
tokens take half the time forward and backward, rows of 1,024 about as long as before. On other devices and in other
types the fused kernel is better.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.masking_utils import sdpa_mask

NAME = "products"


def attend(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float,
    dropout: float = 0.0,
    **_: Any,
) -> tuple[Tensor, None]:
    """Of (rows, heads, length, size) each; the mask, (rows, 1, length, length), is true where a token is seen.

    Without a mask every token sees those before it. Returns (rows, length, heads, size), and no weights.
    """
    groups = query.shape[1] // key.shape[1]
    if groups > 1:
        key, value = (one.repeat_interleave(groups, dim=1) for one in (key, value))
    length = query.shape[2]
    seen = torch.ones(length, length, dtype=torch.bool).tril() if attention_mask is None else attention_mask
    scores = torch.matmul(query * scaling, key.transpose(-1, -2))
    weights = torch.softmax(scores.masked_fill(~seen, torch.finfo(scores.dtype).min), dim=-1)
    weights = torch.nn.functional.dropout(weights, dropout, module.training)
    return torch.matmul(weights, value).transpose(1, 2).contiguous(), None


def fits(model: PreTrainedModel) -> bool:
    """Whether the model may attend so: Llama's attention, which is known to ask for nothing more than this."""
    return bool(model.config.model_type == "llama" and model.device.type == "cpu")


def use(model: PreTrainedModel) -> None:
    """The model attends so from now on; a saved one knows nothing of it."""
    AttentionInterface.register(NAME, attend)
    AttentionMaskInterface.register(NAME, sdpa_mask)
    model.set_attn_implementation(NAME)
