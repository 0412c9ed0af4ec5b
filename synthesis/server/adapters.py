"""LoRA adapters as peft saves them, read to be served beside their base, unmerged.

Hu et al. 2021: a linear layer's output W x becomes W x + s B A x, with A [r, in], B [out, r] and s = alpha / r, or
alpha / sqrt(r) where `use_rslora` says so. Whatever else peft can put into an adapter is refused by name: left out, it
would be another model without a word. Pickled weights are never opened.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synthesis.errors import UserError
from synthesis.server.checkpoint import read_json, weight_files
from synthesis.storage import sha256

if TYPE_CHECKING:
    from torch import Tensor

MERGING = "python -m training merge ADAPTER --out DIR makes a plain model of it"
CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
TENSOR = re.compile(r"base_model\.model\.(?P<module>.+)\.lora_(?P<side>[AB])\.weight")
STARTS = (None, True, False, "gaussian", "eva", "orthogonal")  # starts that leave the base's own weights as they were
READ = {
    *("base_model_name_or_path", "bias", "init_lora_weights", "lora_alpha", "peft_type", "r", "rank_pattern"),
    *("task_type", "use_rslora"),
}
MOOT = {
    *("auto_mapping", "corda_config", "ensure_weight_tying", "eva_config", "exclude_modules", "fan_in_fan_out"),
    *("inference_mode", "layers_pattern", "layers_to_transform", "loftq_config", "lora_dropout", "lora_ga_config"),
    *("megatron_config", "megatron_core", "peft_version", "qalora_group_size", "revision", "runtime_config"),
    "target_modules",
}
"""Keys that say how the adapter was trained, or what its tensors' names say again."""


@dataclass(frozen=True, slots=True)
class LowRank:
    """What an adapter adds to one linear layer: `down` [r, in], `up` [out, r] with the scale inside."""

    down: Tensor
    up: Tensor


@dataclass(frozen=True, slots=True)
class Adapter:
    """`parts` by the path of the module they change, in float32."""

    name: str
    parts: Mapping[str, LowRank]


def read_adapters(given: Mapping[str, Path], folder: Path, base: str) -> list[Adapter]:
    """The adapters by name; raises UserError, naming it, for one that this base cannot carry.

    `folder` and `base`: where the base lies, and how it is called.
    """
    return [_read(name, path, folder, base) for name, path in given.items()]


def _read(name: str, path: Path, folder: Path, base: str) -> Adapter:
    if not (path / CONFIG).is_file():
        raise UserError(f"adapter {name}: {path} has no {CONFIG}: give a folder that training or peft saved")
    if not (path / WEIGHTS).is_file():
        raise UserError(
            f"adapter {name}: {path} has no {WEIGHTS}; pickled weights are not opened, they could run code"
        )
    config = read_json(path / CONFIG)
    _refuse_others(name, config)
    _check_base(name, str(config.get("base_model_name_or_path") or ""), folder, base)
    sides = _sides(name, path)
    parts: dict[str, LowRank] = {}
    for module, pair in sides.items():
        if set(pair) != {"A", "B"}:
            raise UserError(f"adapter {name}: {path / WEIGHTS} holds half of what it adds to {module}")
        parts[module] = _low_rank(name, module, config, pair["A"], pair["B"])
    if not parts:
        raise UserError(f"adapter {name}: {path / WEIGHTS} holds no tensors")
    return Adapter(name, parts)


def _refuse_others(name: str, config: dict[str, Any]) -> None:
    if config.get("peft_type") != "LORA":
        raise UserError(f"adapter {name} is of the kind {config.get('peft_type')}; this server runs LORA only")
    if config.get("task_type") not in (None, "CAUSAL_LM"):
        raise UserError(f"adapter {name} is for {config['task_type']}; this server runs CAUSAL_LM only")
    start = config.get("init_lora_weights")
    if start not in STARTS:
        raise UserError(f"adapter {name} began as {start!r}, which changes the base too; merge it: {MERGING}")
    for key in sorted(set(config) - READ - MOOT):
        if config[key]:
            raise UserError(f"adapter {name} has {key} = {config[key]!r}, which is not served unmerged: {MERGING}")
    if config.get("bias", "none") != "none":
        raise UserError(f"adapter {name} has biases ({config['bias']!r}), not served unmerged: {MERGING}")


def _check_base(name: str, recorded: str, folder: Path, base: str) -> None:
    """Same base: the same folder, the same weights or, when the recorded one is not here, the same last name."""
    there = Path(recorded).expanduser()
    if not recorded:
        raise UserError(f"adapter {name} does not say what it was trained on: base_model_name_or_path in its {CONFIG}")
    if recorded == base:
        return
    if there.is_dir():
        if there.resolve() == folder.resolve() or _digests(there, name) == _digests(folder, name):
            return
    elif there.name in (folder.resolve().name, base.rpartition("/")[2]):
        return
    raise UserError(
        f"adapter {name} was trained on {recorded!r}, not on {base!r} ({folder}): serve it with --model {recorded}, "
        f"or correct base_model_name_or_path in its {CONFIG} if that is the same model"
    )


def _digests(base: Path, name: str) -> list[str]:
    return [sha256(path, f"base of adapter {name}") for path in weight_files(base)]


def _sides(name: str, path: Path) -> dict[str, dict[str, Tensor]]:
    """A and B of every module."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        tensors = load_file(path / WEIGHTS)
    except (SafetensorError, OSError) as error:
        raise UserError(f"adapter {name}: {path / WEIGHTS} is no readable safetensors file: {error}") from None
    found: dict[str, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        match = TENSOR.fullmatch(key)
        if match is None or tensor.dim() != 2:
            raise UserError(f"adapter {name} holds {key}, which is no LoRA of a linear layer: {MERGING}")
        found.setdefault(match["module"], {})[match["side"]] = tensor.float()
    return found


def _low_rank(name: str, module: str, config: dict[str, Any], down: Tensor, up: Tensor) -> LowRank:
    rank, told = len(down), config.get("r")
    if up.shape[1] != rank or (rank != told and not config.get("rank_pattern")):
        raise UserError(
            f"adapter {name}: rank {told} in its {CONFIG}, but {module} has A {tuple(down.shape)} and "
            f"B {tuple(up.shape)}: configuration and weights are no pair"
        )
    try:
        alpha = float(config["lora_alpha"])
    except (KeyError, TypeError, ValueError):
        raise UserError(f"adapter {name}: no number lora_alpha in its {CONFIG}") from None
    return LowRank(down, up * (alpha / (math.sqrt(rank) if config.get("use_rslora") else rank)))


def misfit(name: str, module: str, part: LowRank, inside: int, out: int) -> UserError:
    """The error for a part whose shape is not that of the layer it changes."""
    return UserError(
        f"adapter {name} does not fit: {module} takes {inside} units and gives {out}, but its A is "
        f"{tuple(part.down.shape)} and its B {tuple(part.up.shape)}: it was trained on another model"
    )


def unknown(name: str, module: str, why: str) -> UserError:
    """The error for a part whose module cannot take one."""
    return UserError(
        f"adapter {name} changes {module}, {why}: it was trained on another model, or merge it: {MERGING}"
    )


def parse(text: str) -> dict[str, str]:
    """`--lora-adapters` as TGI spells it: NAME=FOLDER or ID[@REVISION], comma between; sources by name."""
    found: dict[str, str] = {}
    for one in filter(None, (part.strip() for part in text.split(","))):
        name, equals, source = one.partition("=")
        source = source if equals else one
        if not name or not source:
            raise UserError(f"--lora-adapters has {one!r}: write NAME=FOLDER, or an id of the Hub, comma between")
        if name == "tgi":
            raise UserError(
                "--lora-adapters names 'tgi', by which clients ask for the model itself: choose another name"
            )
        if name in found:
            raise UserError(f"--lora-adapters names {name!r} twice: every adapter needs a name of its own")
        found[name] = source
    return found
