"""diasynth-summarise: what do summarisers learn from synthetic dialogues, beside as many real ones? One command.

Every model is evaluated as it is (before), then for each seed trained and evaluated on real pairs (in-domain) and on
synthetic ones, as many of each. Then the table of coverage is printed. What is done is not done again: the same
command goes on after a kill, also with more models or seeds.
"""

from __future__ import annotations

import argparse
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from synthesis.errors import Failure, UserError
from synthesis.storage import write_json
from training import evaluate
from training.command import told
from training.coverage import BEFORE, IN_DOMAIN, SYNTHETIC, table
from training.pairs import Origin, fingerprint
from training.steps import claim

MODELS = ("sshleifer/distilbart-cnn-12-6", "facebook/bart-base", "google-t5/t5-base", "allenai/led-base-16384")
FREE = ("models", "seeds", "out", "launch", "batch", "endpoint", "journal", "max_failures")
"""Flags that a run may be gone on with differently: they leave what was measured as it is."""


def parser() -> argparse.ArgumentParser:
    """The flags: two datasets, models, seeds, and all that evaluation has."""
    made = argparse.ArgumentParser(
        "make experiment NAME=diasynth-summarise FLAGS=...", description=__doc__, allow_abbrev=False
    )
    add = made.add_argument
    add("--synthetic", required=True, metavar="DATA", help="pairs: a .jsonl file, a dataset folder or a Hub id")
    add("--synthetic-config", default="", metavar="NAME", help="config of that dataset, such as summarization")
    add("--real", default="knkarthick/dialogsum", metavar="DATA", help="likewise (default: knkarthick/dialogsum)")
    add("--real-config", default="", metavar="NAME", help="config of that dataset")
    add("--test", metavar="DATA", help="test pairs (default: --split of --real; a .jsonl file needs its own)")
    add("--models", nargs="+", default=list(MODELS), metavar="ID", help=f"default: {' '.join(MODELS)}")
    add("--seeds", nargs="+", type=int, default=[0, 1, 2], metavar="N", help="default: 0 1 2")
    add("--training", default="training/summarise.yaml", metavar="YAML", help="default: training/summarise.yaml")
    add("--launch", default="", metavar="COMMAND", help="starts training in processes: 'accelerate launch'")
    add("--out", type=Path, default=Path("runs/diasynth-summarise"), metavar="DIR", help="default: runs/diasynth-...")
    evaluate.summary_flags(made)
    return made


def origins(flags: argparse.Namespace) -> dict[str, Origin]:
    """Where each condition's training pairs come from."""
    columns = ("train", flags.source_column, flags.target_column)
    return {
        IN_DOMAIN: Origin(flags.real, flags.real_config, *columns),
        SYNTHETIC: Origin(flags.synthetic, flags.synthetic_config, *columns),
    }


def material(flags: argparse.Namespace) -> dict[str, Any]:
    """How many pairs each condition has to train on, and their fingerprint."""
    read = {name: origin.read() for name, origin in origins(flags).items()}
    return {name: {"pairs": len(pairs), "sha256": fingerprint(pairs)} for name, pairs in read.items()}


def train(flags: argparse.Namespace, model: str, condition: str, seed: int, pairs: int, folder: Path) -> None:
    """Trains `model` on `pairs` of a condition's; in this process, or by --launch. Raises Failure when that fails."""
    origin = origins(flags)[condition]
    arguments = [
        "--config", flags.training, "--model_name_or_path", model, "--output_dir", str(folder), "--seed", str(seed),
        "--train_data", origin.data, "--train_config", origin.config, "--train_split", origin.split,
        "--source_column", origin.source, "--target_column", origin.target, "--source_prefix", flags.prefix,
        "--max_source_length", str(flags.max_source_length), "--max_train_samples", str(pairs),
    ]  # fmt: skip
    print("python -m training.seq2seq", shlex.join(arguments))
    if not flags.launch:
        from training.seq2seq import main as seq2seq

        seq2seq(arguments)
        return
    command = [*shlex.split(flags.launch), "-m", "training.seq2seq", *arguments]
    if status := subprocess.run(command, check=False).returncode:
        raise Failure(f"{flags.launch} ended with status {status}; its output says why, the same command goes on")


def measure(flags: argparse.Namespace, model: str, condition: str, folder: Path) -> None:
    """Evaluates `model` on the test pairs."""
    own: dict[str, Any] = {
        "model": model,
        "condition": condition,
        "out": folder,
        "data": flags.test or flags.real,
        "data_config": "" if flags.test else flags.real_config,
        "journal": flags.journal or flags.out / "journal.sqlite",
    }
    evaluate.summarise(argparse.Namespace(**{**vars(flags), **own}))


def cells(flags: argparse.Namespace) -> Iterator[tuple[str, str, int, Path]]:
    """Model, condition, seed and folder of everything that is measured."""
    for model in flags.models:
        folder = flags.out / model.strip("/").replace("/", "--")
        yield model, BEFORE, 0, folder / BEFORE
        for seed in flags.seeds:
            for condition in (IN_DOMAIN, SYNTHETIC):
                yield model, condition, seed, folder / f"{condition}-{seed}"


def main(argv: Sequence[str] | None = None) -> None:
    """The whole protocol. Raises what training and evaluation raise."""
    flags = parser().parse_args(argv)
    if flags.real.endswith(".jsonl") and not flags.test:
        raise UserError(f"--real {flags.real} is a file without splits; name the test pairs with --test")
    given = material(flags)
    claim(flags.out, {name: value for name, value in vars(flags).items() if name not in FREE} | given)
    pairs = min(each["pairs"] for each in given.values())
    print(f"{pairs} pairs of each: " + ", ".join(f"{name} has {each['pairs']}" for name, each in given.items()))
    for model, condition, seed, folder in cells(flags):
        if (folder / "result.json").is_file():
            continue
        if condition != BEFORE:
            train(flags, model, condition, seed, pairs, folder / "model")
        measure(flags, model if condition == BEFORE else str(folder / "model"), condition, folder)
        for checkpoint in sorted((folder / "model").glob("checkpoint-*")):
            shutil.rmtree(checkpoint)  # twice the model's size, and only good for going on
    made = table([folder / "result.json" for _, _, _, folder in cells(flags)])
    write_json(flags.out / "coverage.json", made.to_json())
    print(made)


if __name__ == "__main__":
    sys.exit(told(main))
