"""Guards around a trainer: it stops at numbers that are none, names a full disk, passes over half a checkpoint."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import Trainer

from synthesis.errors import Failure, StorageError, UserError
from synthesis.storage import disk, parse, read_text, sha256, write_json

BEGUN = "begun.json"
"""Stands beside checkpoints and says what they come of."""


def last_checkpoint(folder: str | Path) -> str | None:
    """The latest checkpoint of an output folder that was written to its end; None when there is none.

    The trainer's state is what a checkpoint gets last: without it, writing was interrupted.
    """
    found = [
        (int(match[1]), path)
        for path in Path(folder).glob("checkpoint-*")
        if (match := re.fullmatch(r"checkpoint-(\d+)", path.name)) and _is_whole(path)
    ]
    return str(max(found)[1]) if found else None


def goes_on(args: Any, model: str, examples: str) -> str | None:
    """The checkpoint of args.output_dir to go on from; notes there what is learned, `examples` being their digest.

    Raises UserError where its checkpoints come of another model, of other examples or of another seed: what another
    training had learned would be told to be this one's.
    """
    folder, start = Path(args.output_dir), Path(model) / "facts.json"
    origin = sha256(start, "facts of the model") if start.is_file() else model
    now = {"model": origin, "examples": examples, "seed": args.seed}
    last, noted = last_checkpoint(folder), folder / BEGUN
    if last and noted.is_file():
        before = parse(read_text(noted, "note"), str(noted))
        changed = [name for name in now if now[name] != before.get(name)]
        if changed:
            raise UserError(
                f"{folder} holds checkpoints of a training with another {' and another '.join(changed)}: remove the "
                "folder to train anew, or choose another --output_dir"
            )
    if args.process_index == 0:
        write_json(noted, now)
    return last


def _is_whole(checkpoint: Path) -> bool:
    try:
        json.loads((checkpoint / "trainer_state.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return True


@contextlib.contextmanager
def saving(folder: str | Path) -> Iterator[None]:
    """Turns whatever a disk says while a model is saved into a StorageError that names the folder."""
    try:
        with disk(Path(folder)):
            yield
    except SafetensorError as error:
        raise _refused(folder, error) from error
    except RuntimeError as error:
        if "PytorchStreamWriter" not in str(error) and "file write failed" not in str(error):  # torch.save's
            raise
        raise _refused(folder, error) from error


def _refused(folder: str | Path, error: Exception) -> StorageError:
    return StorageError(f"{folder}: cannot write: {error}; free space or choose another folder, then start again")


class Guarded(Trainer):  # type: ignore[misc]
    """Comes before a kind of trainer among the bases of a class."""

    def training_step(self, *given: Any, **named: Any) -> torch.Tensor:
        """The loss of a batch, before the weights change. Raises Failure on all processes when it is no number."""
        loss: torch.Tensor = super().training_step(*given, **named)
        if not self._everywhere(torch.isfinite(loss)):
            raise Failure(self._stopped(f"the loss is {loss.item()} at step {self.state.global_step + 1}"))
        return loss

    def _save_checkpoint(self, *given: Any, **named: Any) -> None:
        with saving(self.args.output_dir):
            super()._save_checkpoint(*given, **named)

    def save_model(self, output_dir: str | None = None, **named: Any) -> None:
        """Writes the model, also of a checkpoint.

        Raises Failure for weights that are no numbers (a gradient may be infinite although the loss was not), and
        StorageError when the disk is full.
        """
        trained = [(name, weights) for name, weights in self.model.named_parameters() if weights.requires_grad]
        broken = [name for name, weights in trained if not _finite(weights)]
        if not self._everywhere(torch.tensor(not broken)):
            where = broken[0] if broken else "a weight on another process"
            raise Failure(self._stopped(f"{where} is no longer finite after step {self.state.global_step}"))
        with saving(output_dir or self.args.output_dir):
            super().save_model(output_dir, **named)

    def _everywhere(self, holds: torch.Tensor) -> bool:
        """Whether it holds on every process, so that none goes on alone."""
        if self.args.world_size == 1:
            return bool(holds)
        return bool(self.accelerator.gather(holds.to(self.args.device).reshape(1)).all())

    def _stopped(self, why: str) -> str:
        last = last_checkpoint(self.args.output_dir)
        there = f"the last good checkpoint is {last}" if last else "there was no checkpoint yet"
        return (
            f"training stopped: {why}; {there}. Start anew with a lower --learning_rate or --max_grad_norm and "
            "another --output_dir: from the checkpoint, training would go on at the old rate"
        )


def _finite(weights: torch.Tensor) -> bool:
    local = weights.to_local() if hasattr(weights, "to_local") else weights  # a shard, of FSDP
    return bool(torch.isfinite(local).all())
