"""Trains the embedded model: `python -m training.embedded.train --data DIR --size small --out DIR`.

`--data` is what `training.embedded` and `training.tokens` made; the corpus is not needed. First the text, then the
calls, each by its YAML (training/embedded_SIZE_PART.yaml); further flags go to `training.sft`.
The small model is trained by two processes on the CPU, the large one by one process with a GPU. A killed or stopped
training goes on with the same command; `--max-minutes` spreads it over several.
"""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from synthesis.errors import Failure, UserError
from synthesis.storage import parse, read_text, sha256, write_json
from training.command import told
from training.models import SIZES, UNTRAINED

HERE = Path(__file__).parents[1]
PARTS = ("text", "calls")
PROCESSES = {"small": 2, "large": 1}
TOKENIZER = "tokenizer"
NOTE = "data.json"
"""Stands beside the parts' models and says what they learned from."""

ENVIRONMENT = {"OMP_NUM_THREADS": "1", "MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(16 << 30)}
"""A thread each, and glibc keeps the memory of a step for the next, which takes a seventh off its time."""


@dataclass(frozen=True, slots=True)
class Training:
    """`data`: folder with tokenizer, tokens and facts; `out`: folder for the model after each part.

    `more`: flags for `training.sft`. `minutes`: after which to stop, 0 for never.
    """

    data: Path
    size: str
    out: Path
    more: tuple[str, ...] = ()
    minutes: float = 0.0

    def check(self) -> None:
        """Notes beside the parts what they learn from.

        Raises UserError where the data lack a file, or what was trained so far is not theirs.
        """
        halves = [f"{part}.{half}.npz" for part in PARTS for half in ("train", "eval")]
        learned = (f"{TOKENIZER}/tokenizer.json", *halves)
        missing = [name for name in (*learned, "facts.json") if not self._has(name)]
        if missing:
            raise UserError(f"--data {self.data} lacks {', '.join(missing)}; make embedded CORPUS=... makes them")
        note = self.out / NOTE
        now = {name: sha256(self.data / name, "--data") for name in learned} | {"size": self.size}
        before = parse(read_text(note, "note"), str(note)) if note.is_file() else None
        first, last = (self.out / part for part in PARTS)
        if before != now and (before is not None or first.is_dir()):
            raise UserError(
                f"--out {self.out} was not trained on {self.data} in size {self.size}, or does not say so: remove it "
                "to train anew"
            )
        if _finished(last) and not _finished(first):
            raise UserError(f"--out {self.out} has {last.name}, but not {first.name} before it: remove both")
        write_json(note, now)

    def _has(self, name: str) -> bool:
        return (self.data / name).is_file()

    def run(self) -> bool:
        """Whether all parts are finished now. Raises Failure when one breaks off."""
        began, model = time.monotonic(), self.out / "start"
        if not (model / UNTRAINED).is_file():
            tokenizer = self.data / TOKENIZER
            _run(("training.models", "--tokenizer", str(tokenizer), "--size", self.size, "--out", str(model)))
        for part in PARTS:
            folder = self.out / part
            if not _finished(folder):
                left = self.minutes - (time.monotonic() - began) / 60
                if self.minutes and left <= 0:
                    return False
                _run(self.command(part, model, left if self.minutes else 0.0))
            if not _finished(folder):
                return False
            model = folder
        return True

    def command(self, part: str, model: Path, minutes: float) -> tuple[str, ...]:
        """Module and arguments that train a part from a model."""
        paths = {
            "config": HERE / f"embedded_{self.size}_{part}.yaml",
            "model_name_or_path": model,
            "train_data": self.data / f"{part}.train.npz",
            "eval_data": self.data / f"{part}.eval.npz",
            "facts_file": self.data / "facts.json",
            "output_dir": self.out / part,
            "max_minutes": f"{minutes:g}",
        }
        given = [word for name, value in paths.items() for word in (f"--{name}", str(value))]
        count = PROCESSES[self.size]
        if count == 1:
            return ("training.sft", *given, *self.more)
        torchrun = ("torch.distributed.run", "--standalone", "--nproc_per_node", str(count), "-m")
        return (*torchrun, "training.sft", *given, "--ddp_backend", "gloo", *self.more)


def _finished(folder: Path) -> bool:
    """Whether a part has been trained to its end: its facts come last."""
    return (folder / "facts.json").is_file()


def _run(arguments: Sequence[str]) -> None:
    """Runs a module in a process of its own, as ENVIRONMENT says. Raises Failure where it fails."""
    print(f"python -m {shlex.join(arguments)}", flush=True)
    with subprocess.Popen([sys.executable, "-m", *arguments], env=ENVIRONMENT | os.environ) as process:
        try:
            status = process.wait()
        finally:
            process.terminate()  # told to stop: so is the training; one that has ended is left alone
    if status:
        raise Failure(f"{arguments[0]} ended with status {status}: see above; the same command goes on from there")


def stoppable() -> None:
    """SIGTERM ends this process like Ctrl-C does, so that what it has started ends, too."""
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the embedded model; flags not listed go to training.sft.")
    parser.add_argument("--data", type=Path, required=True, help="folder with tokenizer, tokens and facts.json")
    parser.add_argument("--size", choices=SIZES, default="small")
    parser.add_argument("--out", type=Path, required=True, help="folder for the parts' models")
    parser.add_argument("--max-minutes", type=float, default=0.0, help="stop after so many; 0: never")
    given, more = parser.parse_known_args()
    training = Training(given.data, given.size, given.out, tuple(more), given.max_minutes)
    training.check()
    stoppable()
    finished = training.run()
    print(f"{given.out}: finished" if finished else f"{given.out}: not finished; the same command goes on from here")


if __name__ == "__main__":
    sys.exit(told(main))
