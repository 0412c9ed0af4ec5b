"""Traffic on disk: what all processes of a run have sent, one file a shard; run.json has the sum.

    traffic/0-of-4.json    shard 0 of 4: sums by role and stage, and histograms, which add up as percentiles would not

A process adds what it has counted since it last did so, every few seconds and once more when it ends: finished, or
stopped by an outage, by Ctrl-C or by any error. A signal that ends it unseen (kill -9) takes the counts of the last
seconds along, though not their replies, which are in the journal: run.json then says a little less than was sent. All
processes that work on a shard, side by side or one after the other, add to its file.

It is also brought up to date before the shard's outcomes of a round appear. Whoever publishes has waited for these, so
that the traffic of every shard is in the sum, whichever comes last.
"""

from __future__ import annotations

import asyncio
import fcntl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from synthesis.engines.traffic import Traffic
from synthesis.outcomes import Shard
from synthesis.price import Price
from synthesis.storage import disk, parse, read_text, write_json

SECONDS = 5.0
"""Between two writes of a process under way."""


class Record:
    """The file of a shard, to which this process adds its `traffic`. `earlier`: what was in it before.

    Raises UserError when the file is damaged.
    """

    def __init__(self, traffic: Traffic, folder: Path, shard: Shard) -> None:
        self._traffic, self._folder, self._shard = traffic, folder, shard
        self._written = Traffic()
        self.earlier = read(part(folder, shard))

    def write(self) -> None:
        """Adds what is new, if anything is. Raises StorageError, and UserError when the file is damaged."""
        if self._traffic == self._written:
            return
        now, path = Traffic(), part(self._folder, self._shard)
        now.merge(self._traffic)
        with _alone(path):
            kept = read(path)
            kept.merge(now)
            kept.merge(self._written, -1)
            write_json(path, kept.to_json())
        self._written = now

    def facts(self, price: Price | None) -> dict[str, Any]:
        """`traffic`, and with a price `cost`, as run.json has them: of all shards and processes so far.

        Nothing where no process has left any, as when a run is made from a journal alone.
        """
        self.write()
        shards = (Shard(index, self._shard.count) for index in range(self._shard.count))
        whole = Traffic()
        for shard in shards:
            whole.merge(read(part(self._folder, shard)))
        if whole == Traffic():
            return {}
        told = whole.facts()
        return {"traffic": told} | ({"cost": price.facts(told["stages"])} if price else {})


def part(folder: Path, shard: Shard) -> Path:
    """The file of a shard in a run folder."""
    return folder / "traffic" / f"{shard}.json"


def read(path: Path) -> Traffic:
    """What is in a file, nothing if there is none. Raises UserError when it is damaged."""
    if not path.exists():
        return Traffic()
    return Traffic.from_json(parse(read_text(path, "traffic"), str(path)), str(path))


@asynccontextmanager
async def recorded(traffic: Traffic, folder: Path, shard: Shard, seconds: float = SECONDS) -> AsyncIterator[Record]:
    """Keeps the shard's file up to date while the block runs, every so many `seconds`, and at its end.

    Raises what `Record` does, and at the end what its `write` does.
    """
    record = Record(traffic, folder, shard)

    async def now_and_then() -> None:
        while True:
            await asyncio.sleep(seconds)
            record.write()

    writing = asyncio.create_task(now_and_then())
    try:
        yield record
    finally:
        writing.cancel()
        try:
            record.write()
        finally:
            await asyncio.wait([writing])
            if not writing.cancelled():
                writing.exception()  # seen: it gave up, and the last write, which adds all that is missing, was tried


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Keeps other processes from the file between reading and writing it."""
    with disk(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = path.with_name(f".{path.name}.lock").open("w")
    with lock:
        with disk(path):
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
