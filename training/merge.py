"""Merges a LoRA adapter into its base, so that a plain checkpoint comes out, which any server loads."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from pathlib import Path
from typing import Any

from synthesis.errors import UserError
from synthesis.storage import disk, parse, read_text
from training.export import save

ADAPTER = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"


def is_adapter(folder: Path) -> bool:
    """Whether the folder holds an adapter and no model."""
    return (folder / ADAPTER).is_file()


def merge(adapter: Path, out: Path, base: str = "", dtype: str = "auto") -> None:
    """Writes base and adapter as one model to `out`, which appears whole or not at all.

    Both are added up in 32 bits; `dtype` "auto" writes the base's own kind of numbers. `base`: where the base is now,
    if elsewhere than in training. Raises UserError for what is no adapter of a causal model, for a base that cannot be
    loaded, and for an `out` that is already there.
    """
    import torch
    from peft import PeftModel
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    recorded = base_of(adapter)
    name = base or recorded
    if out.exists() and any(out.iterdir()):
        raise UserError(f"--out {out} is there already: remove it or choose another folder")
    try:
        config = AutoConfig.from_pretrained(name)
        model = AutoModelForCausalLM.from_pretrained(name, dtype=torch.float32)
    except (OSError, ValueError) as error:
        raise UserError(f"base {name!r} of {adapter}: cannot be loaded: {error}; say where it is by --base") from error
    try:
        merged = PeftModel.from_pretrained(model, adapter).merge_and_unload()
    except (RuntimeError, ValueError) as error:  # shapes or modules of another model
        raise UserError(f"{adapter} does not fit base {name!r}: {error}; name its own by --base") from error
    merged.to(getattr(torch, dtype) if dtype != "auto" else config.dtype or torch.float32)
    own = (adapter / "tokenizer_config.json").is_file()
    _appear(merged, AutoTokenizer.from_pretrained(adapter if own else name), out, _facts(adapter, name))


def base_of(adapter: Path) -> str:
    """The base's name in the adapter's configuration; raises UserError for what is no adapter of a causal model."""
    if not is_adapter(adapter):
        raise UserError(f"{adapter} is no adapter: it has no {ADAPTER}; give a folder that training.sft made")
    if not (adapter / WEIGHTS).is_file():
        raise UserError(f"{adapter} has no {WEIGHTS}; pickled weights are not opened, as they could run code")
    config = parse(read_text(adapter / ADAPTER, "adapter"), str(adapter / ADAPTER))
    if config.get("task_type") != "CAUSAL_LM":
        raise UserError(f"{adapter} is an adapter for {config.get('task_type')}; causal models' are merged, CAUSAL_LM")
    return str(config["base_model_name_or_path"])


def _facts(adapter: Path, base: str) -> dict[str, Any]:
    """The adapter's facts, if it has any; what is merged goes on being told as fine-tuned from its base."""
    path = adapter / "facts.json"
    facts = parse(read_text(path, "facts"), str(path)) if path.is_file() else {}
    return {**facts, "base": base, "relation": "finetune", "merged": digest(adapter)}


def digest(adapter: Path) -> str:
    """SHA-256 of the adapter's configuration and weights."""
    made = hashlib.sha256()
    for name in (ADAPTER, WEIGHTS):
        made.update((adapter / name).read_bytes())
    return made.hexdigest()


def _appear(model: Any, tokenizer: Any, out: Path, facts: dict[str, Any]) -> None:
    with disk(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    try:
        save(model, tokenizer, part, facts)
        with disk(out):
            part.chmod(0o755)
            part.replace(out)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def servable(checkpoint: Path) -> Path:
    """The folder to serve: the checkpoint or, of an adapter, the model merged into the folder `NAME-merged` beside it.

    A merged folder of the same adapter is taken as it is; one of another adapter is made anew.
    """
    if not is_adapter(checkpoint):
        return checkpoint
    base_of(checkpoint)
    merged = checkpoint.resolve().with_name(f"{checkpoint.resolve().name}-merged")
    facts = merged / "facts.json"
    if merged.is_dir():
        if not facts.is_file():
            raise UserError(f"{merged} stands where {checkpoint} would be merged, and is none of ours: move it away")
        if parse(read_text(facts, "facts"), str(facts)).get("merged") == digest(checkpoint):
            return merged
        with disk(merged):
            shutil.rmtree(merged)
    merge(checkpoint, merged)
    return merged
