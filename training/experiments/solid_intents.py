"""What are synthetic dialogues worth for intent prediction, by setting, sampling and size? One command.

Classifiers are trained on human utterances, on synthetic ones, on one after the other and on both, all for as many
steps a stage, and tested on held-out human ones; then the report is written with its plot. Without --synthetic,
recipe solid makes the dialogues with the embedded engine, or at --endpoint. What is done is not done again: the same
command goes on after a kill.
"""

from __future__ import annotations

import argparse
import multiprocessing
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from synthesis.errors import Failure, UserError
from synthesis.flag_types import positive
from training.command import told
from training.intent_files import Utterance, label_set, read
from training.intent_report import Cell, write_report
from training.intent_sampling import MAPPINGS, RULES, Splits, fingerprint, split
from training.steps import claim

SETTINGS = ("human", "synthetic", "synthetic-then-human", "both")
QUICK: dict[str, Any] = {"samplings": ["random"], "sizes": [100], "seeds": [0], "dialogues": 60, "steps": 40}
FREE = ("seeds", "settings", "samplings", "sizes", "out", "report", "endpoint", "jobs", "quick", "dialogues")
"""Flags that a run may be gone on with differently: they leave each cell as it is."""
TOLD = (
    "human", "test", "mapping", "human_size", "synthetic", "dialogues", "settings", "samplings", "sizes", "seeds",
    "steps", "max_length", "model", "quick",
)  # fmt: skip
"""Flags that the report names."""


def parser() -> argparse.ArgumentParser:
    """The flags: the data, and what is varied."""
    made = argparse.ArgumentParser(
        "make experiment NAME=solid-intents FLAGS=...", description=__doc__, allow_abbrev=False
    )
    add = made.add_argument
    add("--human", required=True, metavar="DATA", help="MSDialog-Intent.json, MANtIS, clinc150, a dataset or .jsonl")
    add("--test", default="", metavar="DATA", help="test utterances of their own (default: a tenth of the human ones)")
    add("--mapping", choices=MAPPINGS, default="none", help="labels of the human ones renamed (default: none)")
    add(
        "--human-size",
        type=int,
        default=1000,
        metavar="N",
        help="human ones to train on, if there are so many (default: 1000; 0: all)",
    )
    add("--synthetic", metavar="DATA", help="a run folder of solid, a dataset or .jsonl (default: made here)")
    add("--dialogues", type=positive, metavar="N", help="made where --synthetic is not given (default: 500)")
    add("--endpoint", metavar="URL", help="who makes them (default: the embedded engine)")
    add("--settings", nargs="+", choices=SETTINGS, default=list(SETTINGS), help="default: all four")
    add("--samplings", nargs="+", choices=RULES, help="default: random balanced matched")
    add("--sizes", nargs="+", type=positive, metavar="N", help="synthetic ones to train on (default: 250 500 1000)")
    add("--seeds", nargs="+", type=int, metavar="N", help="default: 0 1 2")
    add("--steps", type=positive, metavar="N", help="of each stage of training (default: 150)")
    add("--max-length", type=positive, default=96, metavar="N", help="tokens read (default: 96)")
    add("--model", default="scratch", metavar="ID", help="encoder (default: scratch, a small one)")
    add("--training", default="training/intents.yaml", metavar="YAML", help="default: training/intents.yaml")
    add("--jobs", type=positive, default=2, metavar="N", help="trainings at a time, a CPU thread each (default: 2)")
    add("--out", type=Path, default=Path("runs/solid-intents"), metavar="DIR", help="default: runs/solid-intents")
    add("--report", type=Path, default=Path("docs/experiments/solid-intents.md"), metavar="FILE", help="default: docs")
    add("--quick", action="store_true", help="one seed, one small random sample, few steps: does it run at all?")
    return made


def settled(flags: argparse.Namespace) -> argparse.Namespace:
    """With what was not given as --quick or the defaults have it."""
    whole = {"samplings": list(RULES), "sizes": [250, 500, 1000], "seeds": [0, 1, 2], "dialogues": 500, "steps": 150}
    for name, value in (QUICK if flags.quick else whole).items():
        if getattr(flags, name) is None:
            setattr(flags, name, value)
    return flags


def made(flags: argparse.Namespace) -> str:
    """The synthetic data: as given, or a run of recipe solid in --out. Raises Failure when that fails."""
    if flags.synthetic:
        return str(flags.synthetic)
    run = flags.out / "solid"
    command = [
        sys.executable, "-m", "synthesis", "solid", "--preset", "improved" if flags.endpoint else "laptop",
        "--n", str(flags.dialogues), "--out", str(run), *(["--endpoint", flags.endpoint] if flags.endpoint else []),
    ]  # fmt: skip
    print(shlex.join(command), flush=True)
    if status := subprocess.run(command, check=False).returncode:
        raise Failure(f"python -m synthesis solid ended with status {status}; its output says why")
    return str(run)


def checked(flags: argparse.Namespace, synthetic: str) -> dict[str, Any]:
    """What both sources hold. Raises UserError for a pool below the largest size, and for labels that never meet."""
    human, pool = MAPPINGS[flags.mapping](read(flags.human)), read(synthetic)
    test = MAPPINGS[flags.mapping](read(flags.test)) if flags.test else []
    parts = split(human, test=0.0 if test else 0.1), split(pool, test=0.0)
    have = len(parts[1].train)
    if max(flags.sizes) > have:
        raise UserError(
            f"{synthetic} has {have} utterances to train on, --sizes asks for {max(flags.sizes)}; make more with "
            "--dialogues or ask for fewer"
        )
    if not set(label_set(test or human)) & set(label_set(pool)):
        raise UserError(f"{flags.test or flags.human} and {synthetic} have no label in common; see --mapping")
    found = {"human": held(flags.human, human, parts[0]), "synthetic": held(synthetic, pool, parts[1])}
    return found | ({"test": held(flags.test, test, Splits([], [], test))} if test else {})


def held(source: str, utterances: Sequence[Utterance], parts: Splits) -> dict[str, Any]:
    """What a source holds, in numbers."""
    return {
        "source": source,
        "utterances": len(utterances),
        "dialogues": len({each.dialogue for each in utterances}),
        "labels": list(label_set(utterances)),
        "train": len(parts.train),
        "validation": len(parts.validation),
        "test": len(parts.test),
        "sha256": fingerprint(utterances),
    }


def cells(flags: argparse.Namespace) -> Iterator[Cell]:
    """All that is measured; the human set alone has neither sampling nor size."""
    for setting in flags.settings:
        varied = [(rule, size) for rule in flags.samplings for size in flags.sizes]
        for sampling, size in varied if setting != "human" else [("–", 0)]:
            for seed in flags.seeds:
                name = f"{setting}-{seed}" if setting == "human" else f"{setting}-{sampling}-{size}-{seed}"
                yield Cell(setting, sampling, size, seed, flags.out / "cells" / name)


def train(flags: argparse.Namespace, synthetic: str, human_size: int, cell: Cell) -> None:
    """Trains and tests one cell, then clears what only a resumption needs."""
    from training.classifier import main as classifier

    arguments = [
        "--config", flags.training, "--model_name_or_path", flags.model, "--human", flags.human,
        "--synthetic", synthetic, "--setting", cell.setting, "--human_size", str(human_size),
        "--sampling", cell.sampling if cell.size else "random", "--size", str(cell.size),
        "--mapping", flags.mapping, "--test", flags.test, "--max_length", str(flags.max_length),
        "--max_steps", str(flags.steps),
        "--seed", str(cell.seed), "--output_dir", str(cell.folder), "--threads", "1",
    ]  # fmt: skip
    print("python -m training.classifier", shlex.join(arguments), flush=True)
    classifier(arguments)
    for checkpoint in sorted(cell.folder.rglob("checkpoint-*")):
        shutil.rmtree(checkpoint)


def main(argv: Sequence[str] | None = None) -> None:
    """The whole grid and its report. Raises what synthesis and training raise."""
    flags = settled(parser().parse_args(argv))
    flags.out.mkdir(parents=True, exist_ok=True)
    synthetic = made(flags)
    data = checked(flags, synthetic)
    claim(flags.out, {name: value for name, value in vars(flags).items() if name not in FREE} | {"data": data})
    grid = list(cells(flags))
    left = [cell for cell in grid if not (cell.folder / "result.json").is_file()]
    print(f"{len(grid)} cells, {len(left)} of them to do", flush=True)
    one = partial(train, flags, synthetic, min(flags.human_size, data["human"]["train"]))
    if flags.jobs == 1:
        for cell in left:
            one(cell)
    else:  # two threads of one process would share its cores badly with whatever else runs
        with ProcessPoolExecutor(flags.jobs, multiprocessing.get_context("spawn")) as workers:
            list(workers.map(one, left))  # raises what a training raised
    write_report(flags.report, grid, data, {name: getattr(flags, name) for name in TOLD})
    print(f"{flags.report}: {len(grid)} cells")


if __name__ == "__main__":
    sys.exit(told(main))
