"""`python -m synthesis.bench` as a process of its own, and what it prints."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from tests.benchmarks.server import ROOT


def bench(urls: Sequence[str], **flags: Any) -> dict[str, Any]:
    """What `python -m synthesis.bench` prints for these endpoints and flags."""
    ended = subprocess.run(command(urls, **flags), cwd=ROOT, capture_output=True, text=True, check=False)
    if ended.returncode:
        raise RuntimeError(f"synthesis.bench ended with {ended.returncode}: {ended.stderr}")
    told: dict[str, Any] = json.loads(ended.stdout)
    return told


def command(urls: Sequence[str], **flags: Any) -> list[str]:
    """The command line of a bench."""
    told = [f"--{name.replace('_', '-')}={value}" for name, value in flags.items()]
    return [sys.executable, "-m", "synthesis.bench", "--json", *[f"--endpoint={url}" for url in urls], *told]
