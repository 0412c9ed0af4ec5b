"""What the journal costs: the same requests with and without it, side by side in one run."""

from __future__ import annotations

import asyncio
import itertools
from pathlib import Path
from typing import Any

import pytest

from synthesis.engine import Engine, Request
from synthesis.engines.journal import Journal
from synthesis.engines.scripted import Scripted

REQUESTS, IN_FLIGHT = 2000, 64
REPLY = "A reply of about the length of a turn, so that what is stored has a usual size. " * 3


async def ask_all(engine: Engine, batch: int) -> None:
    """`REQUESTS` distinct requests, `IN_FLIGHT` of them at a time."""
    waiting = iter(range(REQUESTS))

    async def work() -> None:
        for number in waiting:
            await engine(Request("bench", 64, prompt=f"{batch}: {number}", temperature=0.7, seed=number))

    await asyncio.gather(*[work() for _ in range(IN_FLIGHT)])


async def journalled(path: Path, batch: int) -> None:
    async with Journal(Scripted(lambda request: REPLY), path, "model") as journal:
        await ask_all(journal, batch)


@pytest.mark.benchmark(group="2,000 requests, 64 in flight")
def test_without_journal(benchmark: Any) -> None:
    benchmark(lambda: asyncio.run(ask_all(Scripted(lambda request: REPLY), 0)))


@pytest.mark.benchmark(group="2,000 requests, 64 in flight")
def test_with_journal(benchmark: Any, tmp_path: Path) -> None:
    batches = itertools.count()
    benchmark(lambda: asyncio.run(journalled(tmp_path / "journal.sqlite", next(batches))))


@pytest.mark.benchmark(group="2,000 requests, 64 in flight")
def test_replayed_from_journal(benchmark: Any, tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    asyncio.run(journalled(path, 0))
    benchmark(lambda: asyncio.run(journalled(path, 0)))
