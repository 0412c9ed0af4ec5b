"""A model folder read: its configuration, its weights (safetensors only), its digest.

The Llama architecture (RMSNorm, rotary positions, grouped queries, SwiGLU, tied or untied head) has a forward pass of
its own, `model`; every other causal model runs through transformers, `general`; `unlike_llama` says which it is.
Pickled weights are never opened and code named by `auto_map` is never run.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synthesis.errors import UserError
from synthesis.storage import sha256

if TYPE_CHECKING:
    from torch import Tensor

SUPPORTED = "LlamaForCausalLM"
LLAMAS = ("llama", "mistral", "qwen2")  # model types with Llama's arithmetic and tensor names
ROPES = ("default", "linear", "llama3")
PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt")
DIGESTED = ("config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja")
OLDER = ("vocab.json", "merges.txt", "tokenizer.model", "spiece.model", "vocab.txt")  # instead of tokenizer.json


@dataclass(frozen=True, slots=True)
class Rope:
    """Rotary positions: base `theta` and the published rescaling of its frequencies, if any."""

    theta: float
    kind: str = "default"
    factor: float = 1.0
    low: float = 1.0
    high: float = 4.0
    original: int = 8192


@dataclass(frozen=True, slots=True)
class Shape:
    """A Llama's sizes: widths in units, `context` in tokens."""

    vocabulary: int
    hidden: int
    intermediate: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    context: int
    epsilon: float
    tied: bool
    rope: Rope


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in `path`; raises UserError when it is missing or is something else."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path} is missing: --model takes a folder saved by save_pretrained") from None
    except (ValueError, OSError) as error:
        raise UserError(f"{path} cannot be read as JSON: {error}") from None
    if not isinstance(value, dict):
        raise UserError(f"{path} holds a JSON {type(value).__name__}, expected an object")
    return value


def read_config(folder: Path) -> dict[str, Any]:
    """config.json; raises UserError for a folder that holds no model to be served."""
    if not folder.is_dir():
        raise UserError(f"--model {folder} is not a folder: give a folder with config.json and model.safetensors")
    config = read_json(folder / "config.json")
    if config.get("quantization_config"):
        raise UserError(f"{folder} holds quantised weights; this server reads float safetensors only")
    return config


def unlike_llama(config: dict[str, Any]) -> str:
    """What keeps a model from Llama's own forward pass, in words; empty when nothing does."""
    names = [str(name) for name in config.get("architectures") or []]
    kind = config.get("model_type") or ("llama" if SUPPORTED in names else None)
    if kind not in LLAMAS or not all(name.endswith("ForCausalLM") for name in names):
        return f"it is a {', '.join(names) or kind}"
    windowed = {"llama": False, "qwen2": config.get("use_sliding_window", False)}
    windowed["mistral"] = config.get("sliding_window", 4096)  # what transformers takes it for when it is not said
    if windowed[kind] or set(config.get("layer_types") or ()) - {"full_attention"}:
        return "it has sliding windows"
    if config.get("hidden_act", "silu") != "silu":
        return f"it uses hidden_act {config['hidden_act']!r}"
    given = _rope_settings(config)
    if _rope_kind(given) not in ROPES:
        return f"it uses rope type {_rope_kind(given)!r}"
    if float(given.get("partial_rotary_factor") or config.get("partial_rotary_factor") or 1.0) != 1.0:
        return "it rotates a part of each head"
    return ""


def read_shape(folder: Path) -> Shape:
    """The sizes in `config.json`; raises UserError for anything that is not a plain Llama."""
    config = read_config(folder)
    unlike = unlike_llama(config)
    if unlike:
        raise UserError(f"{folder} is no plain Llama: {unlike}")
    try:
        heads = int(config["num_attention_heads"])
        shape = Shape(
            vocabulary=int(config["vocab_size"]),
            hidden=int(config["hidden_size"]),
            intermediate=int(config["intermediate_size"]),
            layers=int(config["num_hidden_layers"]),
            heads=heads,
            kv_heads=int(config.get("num_key_value_heads") or heads),
            head_dim=int(config.get("head_dim") or int(config["hidden_size"]) // heads),
            context=int(config["max_position_embeddings"]),
            epsilon=float(config.get("rms_norm_eps", 1e-6)),
            tied=bool(config.get("tie_word_embeddings", False)),
            rope=_read_rope(config),
        )
    except KeyError as error:
        raise UserError(f"{folder / 'config.json'} has no {error}: a Llama configuration names it") from None
    except (TypeError, ValueError) as error:
        raise UserError(f"{folder / 'config.json'} holds a size that is no number: {error}") from None
    if shape.heads % shape.kv_heads or shape.head_dim % 2:
        raise UserError(
            f"{folder / 'config.json'}: {shape.heads} heads over {shape.kv_heads} key-value heads of {shape.head_dim} "
            "units cannot be served: heads must be a multiple of key-value heads, and their width even"
        )
    return shape


def _rope_settings(config: dict[str, Any]) -> dict[str, Any]:
    """transformers 5 writes `rope_parameters`, older versions `rope_theta` and `rope_scaling`."""
    return {**(config.get("rope_scaling") or {}), **(config.get("rope_parameters") or {})}


def _rope_kind(given: dict[str, Any]) -> str:
    return str(given.get("rope_type") or given.get("type") or "default")


def _read_rope(config: dict[str, Any]) -> Rope:
    given = _rope_settings(config)
    return Rope(
        theta=float(given.get("rope_theta") or config.get("rope_theta") or 10000.0),
        kind=_rope_kind(given),
        factor=float(given.get("factor") or 1.0),
        low=float(given.get("low_freq_factor") or 1.0),
        high=float(given.get("high_freq_factor") or 4.0),
        original=int(given.get("original_max_position_embeddings") or 8192),
    )


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files of a model folder, in name order; raises UserError when there are none."""
    files = sorted(folder.glob("model*.safetensors"))
    if files:
        return files
    pickled = sorted(path.name for pattern in PICKLES for path in folder.glob(pattern))
    if pickled:
        raise UserError(
            f"{folder} has pickled weights only ({pickled[0]}), which can run code when opened: "
            "save the model again with save_pretrained, which writes model.safetensors"
        )
    raise UserError(f"{folder} has no model.safetensors: --model takes a folder saved by save_pretrained")


def read_weights(folder: Path) -> dict[str, Tensor]:
    """All tensors of a model folder by name, on the CPU, as stored."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    tensors: dict[str, Tensor] = {}
    for path in weight_files(folder):
        try:
            tensors.update(load_file(path))
        except (SafetensorError, OSError) as error:
            raise UserError(f"{path} is no readable safetensors file: {error}") from None
    return tensors


def digest(folder: Path) -> str:
    """sha256 over everything that decides what the model writes: configuration, tokenizer, weights."""
    total = hashlib.sha256()
    names = (*DIGESTED, *(() if (folder / "tokenizer.json").exists() else OLDER))
    for path in [*(folder / name for name in names), *weight_files(folder)]:
        if path.is_file():
            total.update(f"{path.name}\0{sha256(path, 'model')}\n".encode())
    return total.hexdigest()
