"""LoRA adapters of tiny models, as peft saves them, with weights that change what the base says."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def make_adapter(folder: Path, base: Path, seed: int = 0, **settings: Any) -> Path:
    """An adapter, on all linear layers unless `settings` of peft's say otherwise, whose weights are drawn."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch.manual_seed(seed)
    chosen = {"r": 4, "target_modules": "all-linear", "init_lora_weights": False, **settings}
    config = LoraConfig(task_type="CAUSAL_LM", **chosen)
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(base), config)
    for name, weights in model.named_parameters():
        if "lora_" in name:
            weights.data.normal_(std=0.2)
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(base).save_pretrained(folder)
    return folder
