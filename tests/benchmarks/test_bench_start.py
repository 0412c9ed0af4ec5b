"""Start-up: `python -m synthesis --help` beside a bare interpreter."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest


@pytest.mark.benchmark(group="start")
@pytest.mark.parametrize("arguments", [("-c", "pass"), ("-m", "synthesis", "--help"), ("-m", "builders", "--help")])
def test_start(benchmark: Any, arguments: tuple[str, ...]) -> None:
    benchmark(lambda: subprocess.run([sys.executable, *arguments], check=True, capture_output=True))
