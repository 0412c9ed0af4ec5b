"""`python -m training serve CHECKPOINT`, `python -m training merge ADAPTER --out DIR`: trained models put to use."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from synthesis.errors import UserError
from training.command import told


def parser() -> argparse.ArgumentParser:
    """The flags of both verbs."""
    made = argparse.ArgumentParser("python -m training", description=__doc__, allow_abbrev=False)
    verbs = made.add_subparsers(required=True, metavar="VERB", dest="verb")
    one = verbs.add_parser("serve", help="a checkpoint or adapter behind the embedded server", allow_abbrev=False)
    one.add_argument("checkpoint", type=Path, help="output_dir of training.sft; further flags are the server's")
    one.add_argument("--unmerged", action="store_true", help="serve an adapter's base, and it beside as adapter_id")
    two = verbs.add_parser("merge", help="an adapter into its base: a plain checkpoint", allow_abbrev=False)
    two.add_argument("adapter", type=Path, help="output_dir of training.sft with use_peft")
    two.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write")
    two.add_argument("--base", default="", help="folder or Hub id of the base (default: the one in training)")
    two.add_argument("--dtype", default="auto", choices=("auto", "float32", "bfloat16", "float16"))
    return made


def main(argv: Sequence[str] | None = None) -> None:
    """Merges; or becomes the server, whose flags follow the checkpoint."""
    made = parser()
    flags, rest = made.parse_known_args(argv)
    if flags.verb == "serve":
        serve(flags.checkpoint, rest, unmerged=flags.unmerged)
        return
    if rest:
        made.error(f"unrecognized arguments: {' '.join(rest)}")
    from training.merge import merge

    merge(flags.adapter, flags.out, flags.base, flags.dtype)
    print(f"{flags.out}: merged")


def serve(checkpoint: Path, flags: Sequence[str], *, unmerged: bool = False) -> None:
    """Puts the server in this process's place, under the checkpoint's name; an adapter is merged first.

    With `unmerged`, the server has the adapter's base under its own name, and the adapter beside it under the
    checkpoint's. Raises UserError for a checkpoint that is no folder, or no adapter where one is wanted.
    """
    if not checkpoint.is_dir():
        raise UserError(f"{checkpoint} is not a folder: give the output_dir of training.sft")
    from training.merge import base_of, servable

    name = checkpoint.resolve().name
    if unmerged:
        what = ["--model", base_of(checkpoint), "--lora-adapters", f"{name}={checkpoint}"]
    else:
        what = ["--model", str(servable(checkpoint)), "--model-id", name]
    os.execv(
        sys.executable, [sys.executable, "-m", "synthesis.server", *what, *flags]
    )  # the last of two --model-id counts


if __name__ == "__main__":
    sys.exit(told(main))
