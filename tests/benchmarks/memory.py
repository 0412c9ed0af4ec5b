"""Much work in a process of its own, to see how much memory it takes: prints the peak, in MiB.

`python -m tests.benchmarks.memory run N FOLDER`: N conversations of a turn each, the engine in the same process;
`journal`: N replies through the journal alone; `killed`: a run as the first that kills itself after N replies.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

from synthesis.bench import Plain
from synthesis.engine import Engine, Info, Reply, Request
from synthesis.engines.journal import Journal
from synthesis.engines.traffic import Asked, Observed, Traffic
from synthesis.openmetrics import page
from synthesis.progress import Progress
from synthesis.run import Plan, run

ROOT = Path(__file__).resolve().parents[2]
WORDS = "a reply of some length, as turns have it, " * 8
IN_FLIGHT = 512


def plan(dialogues: int, folder: Path) -> Plan:
    """A run of so many conversations of one turn."""
    return Plan(Plain(turns=1), "improved", folder, dialogues, 0, Info("m", "tgi"), in_flight=IN_FLIGHT)


def killed_plan(replies: int, folder: Path) -> Plan:
    """The run that is killed after so many replies: some conversations are left."""
    return plan(replies + 2 * IN_FLIGHT, folder)


async def _speak(request: Request) -> Reply:
    await asyncio.sleep(0)
    return Reply(f"{request.seed} {WORDS}", "eos_token", 20, 80)


async def _run(chosen: Plan, speak: Engine = _speak) -> None:
    traffic = Traffic()
    engine = Asked(Observed(speak, traffic), traffic)
    async with Journal(engine, chosen.folder / "journal.sqlite", "m") as journal:
        with Progress(traffic) as show:
            facts = await run(chosen, journal, show, settle=journal.settle)
    assert facts["counts"]["kept"] == chosen.n
    assert page(traffic, show.counts).endswith("# EOF\n")


async def _journal(replies: int, folder: Path) -> None:
    numbers = iter(range(replies))
    async with Journal(_speak, folder / "journal.sqlite", "m") as journal:

        async def ask() -> None:
            for number in numbers:
                await journal(Request("turn", 64, prompt=f"Conversation {number}", temperature=0.7, seed=number))

        await asyncio.gather(*(ask() for _ in range(IN_FLIGHT)))
    assert journal.asked == replies


async def _killed(replies: int, folder: Path) -> None:
    said = 0

    async def speak(request: Request) -> Reply:
        nonlocal said
        if said == replies:
            os.kill(os.getpid(), signal.SIGKILL)
        said += 1
        return await _speak(request)

    await _run(killed_plan(replies, folder), speak)


WORK: dict[str, Callable[[int, Path], Awaitable[None]]] = {
    "run": lambda dialogues, folder: _run(plan(dialogues, folder)),
    "journal": _journal,
    "killed": _killed,
}


def process(work: str, count: int, folder: Path) -> subprocess.CompletedProcess[str]:
    """Such a process, once it has ended."""
    command = [sys.executable, "-m", "tests.benchmarks.memory", work, str(count), str(folder)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def peak(work: str, count: int, folder: Path) -> float:
    """Peak resident memory of such a process, in MiB."""
    ended = process(work, count, folder)
    ended.check_returncode()
    return float(ended.stdout)


def _high_water() -> float:
    """Peak resident memory of this process. Not from getrusage: that counts the parent's at the fork as well."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:"))


async def _main(work: str, count: int, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    await WORK[work](count, folder)


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])))
    print(_high_water())
