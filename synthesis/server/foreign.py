"""A model folder opened by transformers, no code run and no pickle opened from it, and tried before it serves."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synthesis.errors import UserError
from synthesis.server.adapters import MERGING
from synthesis.server.checkpoint import weight_files

if TYPE_CHECKING:
    from synthesis.server.adapters import Adapter
    from synthesis.server.alone import Alone
    from synthesis.server.general import General

CONTEXT = 2048  # tokens, where a configuration knows no longest sequence: choice
EXPERTS = ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts")  # chosen row by row
WINDOWED = ("window_size", "attention_types", "attention_window_size")  # windows of models that make their own masks
LENGTHS = ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length", "max_sequence_length")


def read_sizes(folder: Path) -> tuple[int, int]:
    """Vocabulary and context in tokens, as transformers reads config.json; raises UserError when it cannot."""
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True).get_text_config()
    except (ValueError, OSError, KeyError, TypeError) as error:
        raise UserError(f"{folder / 'config.json'} is no model that transformers knows: {error}") from None
    lengths = (getattr(config, name, None) for name in LENGTHS)
    return int(config.vocab_size), next((int(length) for length in lengths if length), CONTEXT)


def check_device(device: str) -> None:
    """Raise UserError for a device that is not "cpu", "cuda" or "cuda:N", or is not here."""
    import torch

    kind, _, number = device.partition(":")
    if kind not in ("cpu", "cuda") or (number and not (kind == "cuda" and number.isdecimal())):
        raise UserError(f"--device {device!r}: give cpu, cuda or cuda:N")
    if kind == "cuda" and (not torch.cuda.is_available() or int(number or 0) >= torch.cuda.device_count()):
        raise UserError(f"--device {device}: torch {torch.__version__} finds {torch.cuda.device_count()} CUDA devices")


def build(folder: Path, precision: str, device: str, adapters: Sequence[Adapter], context: int) -> General | Alone:
    """The model with adapters 1, 2, ... beside it, batched where that is exact, else one sequence at a time.

    Raises UserError for a folder that holds no causal model, for one whose numbers do not come out right either way,
    and for an adapter that is none of its own.
    """
    import torch

    from synthesis.server.alone import Alone
    from synthesis.server.general import General
    from synthesis.server.lowrank import Company
    from synthesis.server.trial import Trial, short_windows

    with torch.inference_mode():
        inner = _opened(folder, {"bfloat16": torch.bfloat16, "float32": torch.float32}[precision]).to(device).eval()
        company = Company()
        company.join(inner, adapters)
        model: General | Alone = Alone(inner, company)
        with short_windows(inner):
            trial = Trial(inner, context)
            if trial.wanted.shape[-1] != trial.vocabulary:
                raise UserError(
                    f"{folder}: config.json has {trial.vocabulary} tokens, {trial.wanted.shape[-1]} come out"
                )
            for sizes in _sizes(inner) if _may_meet(inner.config.get_text_config()) else ():
                many = General(inner, company, sizes)
                if not trial.numbers(many) and trial.bits(many, sizes):
                    model = many
                    break
            wrong = trial.numbers(model)
            for number, adapter in enumerate(adapters, 1):
                if not wrong and (odd := trial.carries(model, number)):
                    raise UserError(f"adapter {adapter.name} cannot be served unmerged ({odd}): {MERGING}")
    if wrong:
        raise UserError(
            f"{folder} holds a {type(inner).__name__}, whose replies would be wrong here ({wrong}): serve it with "
            "another TGI or OpenAI-compatible server and pass --endpoint URL"
        )
    return model


def _sizes(inner: Any) -> list[tuple[int, ...]]:
    """Rows of a step, the best choice first: several sizes only where products keep their bits in all of them."""
    from synthesis.server.agreement import least_rows, linear_agrees
    from synthesis.server.lowrank import weight_of

    if inner.device.type != "cpu":
        return [(32,)]
    weights = [weight for module in inner.modules() if (weight := weight_of(module)) is not None]
    few = max(8, *least_rows(inner.dtype))
    shapes = {(weight.shape[0], weight.shape[1]) for weight in weights}
    alike = linear_agrees(inner.dtype, shapes, few, plain=True)
    return [(few, 32), (few,)] if alike else [(few,)]


def _may_meet(config: Any) -> bool:
    """Whether nothing is known of a model that would let its sequences disturb each other, or escape the trial."""
    rope = getattr(config, "rope_parameters", None) or {}
    kinds = [rope.get("rope_type"), *(one.get("rope_type") for one in rope.values() if isinstance(one, dict))]
    # longrope chooses its frequencies by the furthest position in the pass
    return "longrope" not in kinds and not any(getattr(config, name, None) for name in (*EXPERTS, *WINDOWED))


def _opened(folder: Path, kind: Any) -> Any:
    from transformers import AutoModelForCausalLM
    from transformers.utils.logging import disable_progress_bar

    weight_files(folder)  # pickles are told by name
    disable_progress_bar()
    try:
        inner, told = AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=kind,
            trust_remote_code=False,
            local_files_only=True,
            use_safetensors=True,
            output_loading_info=True,
        )
    except (ValueError, OSError, RuntimeError, KeyError, ImportError) as error:
        raise UserError(f"{folder} cannot be opened as a causal model: {error}") from None
    if told["missing_keys"]:
        missing = ", ".join(sorted(told["missing_keys"])[:3])
        raise UserError(f"{folder}: its weights lack {missing}, which a {type(inner).__name__} has: no whole model")
    return inner
