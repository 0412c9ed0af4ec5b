"""A run of many dialogues as a process of its own, to see how much memory it takes: prints the peak, in MiB.

`python -m tests.benchmarks.memory N FOLDER`: N conversations of a turn each, against an engine in the same process.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

from synthesis.bench import Plain
from synthesis.engine import Info, Reply, Request
from synthesis.engines.journal import Journal
from synthesis.engines.traffic import Asked, Observed, Traffic
from synthesis.openmetrics import page
from synthesis.progress import Progress
from synthesis.run import Plan, run

ROOT = Path(__file__).resolve().parents[2]
WORDS = "a reply of some length, as turns have it, " * 8


async def _speak(request: Request) -> Reply:
    await asyncio.sleep(0)
    return Reply(f"{request.seed} {WORDS}", "eos_token", 20, 80)


async def _run(dialogues: int, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    traffic = Traffic()
    plan = Plan(Plain(turns=1), "improved", folder, dialogues, 0, Info("m", "tgi"), in_flight=512)
    engine = Asked(Observed(_speak, traffic), traffic)
    async with Journal(engine, folder / "journal.sqlite", "m") as journal:
        with Progress(traffic) as show:
            facts = await run(plan, journal, show)
    assert facts["counts"]["kept"] == dialogues
    assert page(traffic, show.counts).endswith("# EOF\n")


def peak(dialogues: int, folder: Path) -> float:
    """Peak resident memory of such a process, in MiB."""
    command = [sys.executable, "-m", "tests.benchmarks.memory", str(dialogues), str(folder)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return float(ended.stdout)


def _high_water() -> float:
    """Peak resident memory of this process. Not from getrusage: that counts the parent's at the fork as well."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:"))


if __name__ == "__main__":
    asyncio.run(_run(int(sys.argv[1]), Path(sys.argv[2])))
    print(_high_water())
