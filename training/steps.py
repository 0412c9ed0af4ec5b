"""Steps of an experiment: commands in processes of their own; what is done is not done again."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from synthesis.errors import Failure, UserError
from synthesis.storage import disk, parse, read_text, write_json

LAST = 800
"""Characters that an error shows of what a failed step printed."""


@dataclass(frozen=True, slots=True)
class Step:
    """One command, `python -m` and these arguments, by a name that tells it from the others of its folder.

    `anew`: the run folder that it must find empty, because it is timed; what a stopped try left there is removed.
    """

    name: str
    arguments: tuple[str, ...]
    anew: Path | None = None


def done(step: Step, folder: Path) -> None:
    """Runs a step unless the same has been done; marks and logs are in `folder`/steps.

    Raises Failure with the end of what it printed.
    """
    mark, log = (folder / "steps" / f"{step.name}.{suffix}" for suffix in ("json", "log"))
    if mark.is_file() and _arguments(mark) == list(step.arguments):
        return
    if step.anew is not None and step.anew.exists():
        with disk(step.anew):
            shutil.rmtree(step.anew)
    began = time.monotonic()
    if status := _status(step, log):
        end = log.read_text(encoding="utf-8", errors="replace").strip()[-LAST:]
        raise Failure(
            f"python -m {shlex.join(step.arguments)}: ended with status {status}; {log} ends:\n{end}\n"
            "mend it, and the same command goes on from here"
        )
    seconds = time.monotonic() - began
    write_json(mark, {"arguments": list(step.arguments), "seconds": round(seconds, 1)})
    print(f"{folder.name}: {step.name}, {seconds:.0f} s", flush=True)


def _arguments(mark: Path) -> Any:
    """What was done; marks of solid-speed were once the bare list."""
    told = parse(read_text(mark, "step"), str(mark))
    return told["arguments"] if isinstance(told, dict) else told


def _status(step: Step, log: Path) -> int:
    """The exit status of the step's process, which has one thread and writes to `log`."""
    with disk(log):
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("w", encoding="utf-8") as stream:
            return subprocess.run(
                [sys.executable, "-m", *step.arguments],
                stdout=stream,
                stderr=subprocess.STDOUT,
                env=os.environ | {"OMP_NUM_THREADS": "1"},
                check=False,
            ).returncode


def claim(out: Path, plan: Mapping[str, Any]) -> None:
    """Notes in `out` what its results depend on, JSON-plain. Raises UserError when that is something else already."""
    path = out / "plan.json"
    if path.is_file():
        before = parse(read_text(path, "plan"), str(path))
        changed = [name for name in plan if plan[name] != before.get(name)]
        if changed:
            raise UserError(
                f"{out} holds results with another {', '.join(changed)} (see {path}); choose another --out"
            )
    write_json(path, plan)
