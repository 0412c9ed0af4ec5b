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
from transformers.masking_utils import eager_mask

NAME = "products"

TYPE = torch.bfloat16
"""Of the masks: that of the scores where the model computes in it."""


def attend(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor,
    scaling: float,
    dropout: float = 0.0,
    **_: Any,
) -> tuple[Tensor, None]:
    """Of (rows, heads, length, size) each; the mask, (rows, 1, length, length), is added to the scores.

    Returns (rows, length, heads, size), and no weights.
    """
    rows, heads, length, size = query.shape
    # the queries that share a key lie below each other; adding, unlike filling, costs nothing on the way back
    shared = (query * scaling).reshape(rows, key.shape[1], -1, size)
    scores = torch.matmul(shared, key.transpose(-1, -2)).view(rows, heads, length, length)
    weights = torch.softmax(scores.add_(attention_mask), dim=-1)
    weights = torch.nn.functional.dropout(weights, dropout, module.training)
    told = torch.matmul(weights.view(*shared.shape[:3], length), value).view(query.shape)
    return told.transpose(1, 2).contiguous(), None


def mask(*given: Any, **more: Any) -> Tensor:
    """What is added to the scores: 0 where a token is seen, else about as little as there is."""
    added: Tensor = eager_mask(*given, **{**more, "dtype": TYPE})
    return added


def fits(model: PreTrainedModel) -> bool:
    """Whether the model may attend so: Llama's attention, which is known to ask for nothing more than this."""
    return bool(model.config.model_type == "llama" and model.device.type == "cpu")


def use(model: PreTrainedModel) -> None:
    """The model attends so from now on; a saved one knows nothing of it."""
    AttentionInterface.register(NAME, attend)
    AttentionMaskInterface.register(NAME, mask)
    model.set_attn_implementation(NAME)
