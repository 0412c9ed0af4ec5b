"""Parley under load: how near it comes to what the server allows. Each function returns one figure of the table."""

from __future__ import annotations

import asyncio
import heapq
import random
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

from synthesis.engine import Reply, Request
from synthesis.engines.journal import Journal
from synthesis.engines.packing import pack
from tests.benchmarks.benching import bench
from tests.benchmarks.memory import peak
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
    return peak(100_000, folder / "large") - peak(1_000, folder / "small")


def journal(server: Server, folder: Path, replies: int = 1_000_000) -> float:
    """Seconds to open a journal of so many replies and find a hundred of them, drawn at random."""
    path = folder / "journal.sqlite"
    asyncio.run(_opened(path, ()))
    with closing(sqlite3.connect(path)) as file, file:
        value = pack(Reply("a turn of a usual length, with some words in it. " * 3, "eos_token", 64, 32))
        keys = ((bytes.fromhex(_request(number).key("m")), value) for number in range(replies))
        file.executemany("INSERT INTO replies VALUES (?, ?)", keys)
    begun = time.perf_counter()
    asyncio.run(_opened(path, random.Random(1).sample(range(replies), 100)))
    return time.perf_counter() - begun


def _request(number: int) -> Request:
    return Request("turn", 64, prompt=f"Conversation {number}", temperature=0.7, seed=number)


async def _opened(path: Path, numbers: list[int] | tuple[()]) -> None:
    async def nobody(request: Request) -> Reply:
        raise LookupError(f"{request.prompt} is not in the journal")

    async with Journal(nobody, path, "m") as found:
        for number in numbers:
            await found(_request(number))
