"""Parley under load: how near it comes to what the server allows. Each function returns one figure of the table."""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import signal
import subprocess
import sys
import time
from pathlib import Path

from synthesis.engine import Reply, Request
from synthesis.engines.journal import Journal
from synthesis.errors import StorageError
from synthesis.run import run
from tests.benchmarks.benching import bench
from tests.benchmarks.memory import killed_plan, peak, process
from tests.benchmarks.server import ROOT, Server

TAIL_IN_FLIGHT = 50
RATE = (2000, 6, 64)  # conversations, turns, in flight


def latency(server: Server, folder: Path) -> float:
    """Wall time by the ideal: all reply times, 64 at a time."""
    server.set(low=0.1, high=0.3)
    told = bench([server.url], conversations=1000, turns=1, in_flight=64)
    return float(told["seconds"]) / (sum(server.planned().values()) / 64)


def limit(server: Server, folder: Path) -> float:
    """Wall time by the ideal: all reply times, 8 at a time."""
    server.set(low=0.1, high=0.3, limit=8)
    told = bench([server.url], conversations=300, turns=1, in_flight=64)
    return float(told["seconds"]) / (sum(server.planned().values()) / 8)


def tail(server: Server, folder: Path) -> float:
    """Wall time by the critical path: what workers need that take up conversation after conversation and wait."""
    server.set(low=0.1, high=0.3, slow=0.02)
    told = bench([server.url], conversations=100, turns=6, in_flight=TAIL_IN_FLIGHT)
    free = [0.0] * TAIL_IN_FLIGHT
    planned = server.planned()
    for _, seconds in sorted(planned.items(), key=lambda item: int(item[0].split()[1])):
        heapq.heappush(free, heapq.heappop(free) + seconds)
    return float(told["seconds"]) / max(free)


def rate(server: Server, folder: Path) -> float:
    """Requests a second, by those of the bare loop."""
    server.set(low=0.005, high=0.005)
    conversations, turns, in_flight = RATE
    command = [sys.executable, "-m", "tests.benchmarks.bare", server.url, *map(str, RATE)]
    bare = float(subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout)
    told = bench([server.url], conversations=conversations, turns=turns, in_flight=in_flight)
    return float(told["requests_per_second"]) / (conversations * turns / bare)


def memory(server: Server, folder: Path) -> float:
    """MiB that a hundred times as many dialogues take more."""
    return peak("run", 100_000, folder / "large") - peak("run", 1_000, folder / "small")


def journal(server: Server, folder: Path, replies: int = 1_000_000) -> float:
    """MiB that so many replies, written to a journal, take more than a hundredth of them."""
    return peak("journal", replies, folder / "large") - peak("journal", replies // 100, folder / "small")


def resume(server: Server, folder: Path, replies: int = 1_000_000) -> float:
    """Seconds to the first request of a run that was killed after so many replies, opening the journal included."""
    if process("killed", replies, folder).returncode != -signal.SIGKILL:
        raise RuntimeError("the run ended before it could be killed")
    return asyncio.run(_until_asked(replies, folder))


async def _until_asked(replies: int, folder: Path) -> float:
    asked: list[float] = []

    async def ends(request: Request) -> Reply:
        asked.append(time.perf_counter())
        raise StorageError("seen enough")

    begun = time.perf_counter()
    with contextlib.suppress(StorageError):
        async with Journal(ends, folder / "journal.sqlite", "m") as found:
            await run(killed_plan(replies, folder), found, lambda *_: None, settle=found.settle)
    return asked[0] - begun
