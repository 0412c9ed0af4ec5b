"""Very small random causal models of many architectures, as save_pretrained writes them, with the tiny tokenizer.

folder = make_tiny_causal(tmp_path / "model", "gpt2")
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.tiny_model import CHAT_TEMPLATE, _write_tokenizer

SMALL = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "max_position_embeddings": 512}
GATED = {**SMALL, "intermediate_size": 96, "num_key_value_heads": 2}
KINDS: dict[str, dict[str, Any]] = {
    "gpt2": {"n_embd": 64, "n_layer": 2, "n_head": 4, "n_positions": 512},
    "opt": {**SMALL, "ffn_dim": 128, "word_embed_proj_dim": 48},
    "qwen2": {**GATED, "tie_word_embeddings": True},
    "qwen3": {**GATED, "head_dim": 32},
    "gemma": {**GATED, "head_dim": 32},
    "gemma2": {**GATED, "head_dim": 32, "sliding_window": 40},
    "gemma3_text": {
        **GATED,
        "head_dim": 32,
        "sliding_window": 40,
        "layer_types": ["sliding_attention", "full_attention"],
    },
    "mistral": {**GATED, "sliding_window": None},
    "mistral-windowed": {**GATED, "sliding_window": 50},
    "llama-yarn": {
        **GATED,
        "rope_parameters": {
            "rope_type": "yarn",
            "rope_theta": 10000.0,
            "factor": 4.0,
            "original_max_position_embeddings": 128,
        },
    },
    "llama-gelu": {**GATED, "hidden_act": "gelu", "mlp_bias": True},
    "phi": {**SMALL, "intermediate_size": 128, "partial_rotary_factor": 0.5},
    "gpt_neox": {**SMALL, "intermediate_size": 128, "rotary_pct": 0.25},
    "gptj": {"n_embd": 64, "n_layer": 2, "n_head": 4, "n_positions": 512, "rotary_dim": 8},
    "gpt_neo": {
        "hidden_size": 64,
        "num_layers": 2,
        "num_heads": 4,
        "attention_types": [[["global", "local"], 1]],
        "window_size": 20,
        "max_position_embeddings": 512,
    },
    "falcon": {
        "hidden_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "alibi": False,
        "max_position_embeddings": 512,
    },
    "bloom": {"hidden_size": 64, "n_layer": 2, "n_head": 4},
    "mixtral": {**GATED, "num_local_experts": 4, "num_experts_per_tok": 2},
    "mamba": {"hidden_size": 64, "num_hidden_layers": 2, "state_size": 8},
    "phi3-longrope": {
        **GATED,
        "original_max_position_embeddings": 64,
        "rope_parameters": {
            "rope_type": "longrope",
            "rope_theta": 10000.0,
            "short_factor": [1.0] * 8,
            "long_factor": [4.0] * 8,
            "original_max_position_embeddings": 64,
        },
    },
    "bert": {**SMALL, "intermediate_size": 96},
}


def make_tiny_causal(folder: Path, kind: str, seed: int = 0, **config: Any) -> Path:
    """Write a model of this kind, with weights large enough for its replies to differ, and return its folder."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    folder.mkdir(parents=True, exist_ok=True)
    size = _write_tokenizer(folder, 384, CHAT_TEMPLATE)
    torch.manual_seed(seed)
    ends = {"bos_token_id": 1, "eos_token_id": 3, "pad_token_id": 0}
    made = AutoConfig.for_model(kind.partition("-")[0], vocab_size=size, **ends, **{**KINDS[kind], **config})
    model = AutoModelForCausalLM.from_config(made, dtype=torch.float32)
    for weights in model.parameters():
        if weights.dim() > 1:
            weights.data.normal_(std=weights.shape[-1] ** -0.5)
    model.save_pretrained(folder)
    return folder
