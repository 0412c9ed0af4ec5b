"""Generation: what an encoder-decoder writes about each text, by beam search, the same every time."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from training.pairs import collator


@dataclass(frozen=True, slots=True)
class Decoding:
    """How texts are written: arXiv 2409.19020, section 5.2, and ours where it is silent.

    `min_length` and `max_length` are in tokens, the decoder's start token included.
    """

    beams: int = 4
    min_length: int = 30
    max_length: int = 128  # choice
    length_penalty: float = 2.0
    early_stopping: bool = True


def device() -> Any:
    """The accelerator if there is one that works, otherwise the CPU: torch may be built for one that is not there."""
    import torch

    return torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")


def generate(
    model: Any, tokenizer: Any, sources: Sequence[str], how: Decoding, *, batch: int, longest: int, prefix: str = ""
) -> list[str]:
    """What `model` writes about each of `sources`, in their order; `batch` at a time, sources cut at `longest` tokens.

    The model's own generation settings hold where `how` says nothing, as they do for whoever loads it.
    """
    import torch

    settings = copy.deepcopy(model.generation_config)
    settings.update(
        max_new_tokens=None,
        min_new_tokens=None,
        do_sample=False,
        num_beams=how.beams,
        min_length=how.min_length,
        max_length=how.max_length,
        length_penalty=how.length_penalty,
        early_stopping=how.early_stopping,
    )
    encoded = tokenizer([prefix + source for source in sources], max_length=longest, truncation=True)["input_ids"]
    order = sorted(range(len(encoded)), key=lambda at: len(encoded[at]))  # little padding in a batch
    collate = collator(tokenizer, model)
    model.to(device()).eval()
    written = [""] * len(encoded)
    for start in range(0, len(order), batch):
        part = order[start : start + batch]
        inputs = collate([{"input_ids": encoded[at], "attention_mask": [1] * len(encoded[at])} for at in part])
        inputs = {name: values.to(model.device) for name, values in inputs.items() if values is not None}
        with torch.no_grad():
            outputs = model.generate(**inputs, generation_config=settings)
        texts = tokenizer.batch_decode(outputs, skip_special_tokens=True)
        for at, text in zip(part, texts, strict=True):
            written[at] = text.strip()
    return written
