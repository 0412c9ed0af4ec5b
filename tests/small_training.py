"""Training scripts run whole on a tiny model: their flags, and the facts that they leave."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

# peft still asks transformers by the old name
PEFT = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing. is deprecated:FutureWarning")
LORA = {"use_peft": "true", "lora_r": 4}


def flags(folder: Path, out: str, **more: Any) -> list[str]:
    """Those of four steps from `folder`/start to `folder`/`out`; a value with blanks becomes several arguments."""
    settings = {
        "model_name_or_path": folder / "start",
        "train_data": folder / "train.jsonl",
        "output_dir": folder / out,
        "max_steps": 4,
        "save_steps": 2,
        "logging_steps": 1,
        "threads": 1,
        "disable_tqdm": "true",
        **more,
    }
    return [part for name, value in settings.items() for part in (f"--{name}", *str(value).split(" "))]


def facts(main: Callable[[list[str]], None], arguments: list[str]) -> dict[str, Any]:
    """Trains; what facts.json tells of it."""
    main(arguments)
    out = Path(arguments[arguments.index("--output_dir") + 1])
    told: dict[str, Any] = json.loads((out / "facts.json").read_text())
    return told
