"""Makes a trained folder small and plain: `python -m training.export --run DIR... --out DIR`.

Weights become bfloat16 safetensors; the tokenizer's chat template goes into tokenizer_config.json; the run's
facts.json comes along. Only JSON and safetensors are written, so that loading the folder runs no code.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from synthesis.errors import UserError
from synthesis.seeds import lines
from training.command import told
from training.facts import joined

KEPT = ("config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")


def export(runs: Sequence[Path], out: Path, name: str, limits: Sequence[str] = ()) -> None:
    """Writes the model of the last of `runs`, which followed each other, to `out`.

    `name` and `limits`, what the model is known not to do, go into the facts for its card.
    Raises UserError when a run is unfinished.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    for run in runs:
        if not (run / "facts.json").is_file():
            raise UserError(f"--run {run} holds no facts.json: the training has not finished; run training.sft again")
    run = runs[-1]
    model = AutoModelForCausalLM.from_pretrained(run, dtype=torch.bfloat16)
    tokenizer = AutoTokenizer.from_pretrained(run)
    out.mkdir(parents=True, exist_ok=True)
    model.config.use_cache = True
    model.save_pretrained(out)
    tokenizer.save_pretrained(out, save_jinja_files=False)
    facts = joined([json.loads((run / "facts.json").read_text(encoding="utf-8")) for run in runs])
    (out / "facts.json").write_text(
        json.dumps({"name": name, **facts, "limits": list(limits)}, indent=1) + "\n", encoding="utf-8"
    )
    for file in out.iterdir():
        if file.name == "chat_template.jinja":
            raise UserError(f"{file} stands beside tokenizer_config.json: remove it and export again")
    missing = [file for file in KEPT if not (out / file).is_file()]
    if missing:
        raise UserError(f"{out} lacks {', '.join(missing)} after the export; does {run} hold a causal language model?")
    (out / "model.safetensors").chmod(0o644)


def main() -> None:
    parser = argparse.ArgumentParser(description="Export a trained model as bfloat16 safetensors and JSON.")
    parser.add_argument(
        "--run",
        type=Path,
        nargs="+",
        required=True,
        help="output_dir of training.sft; several that followed each other",
    )
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument("--name", default="parley-embedded", help="name in the facts")
    parser.add_argument("--limits", type=Path, help="text file with known limits for the card, one a line")
    given = parser.parse_args()
    limits = lines(given.limits) if given.limits else []
    export(given.run, given.out, given.name, limits)
    size = sum(file.stat().st_size for file in given.out.iterdir() if file.is_file())
    print(f"{given.out}: {size / 1e6:.1f} MB")


if __name__ == "__main__":
    sys.exit(told(main))
