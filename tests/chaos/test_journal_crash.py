"""A crash at any byte that the journal writes: opened again, it holds exactly what was acknowledged by then."""

from __future__ import annotations

import asyncio
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthesis.engine import Reply, Request
from synthesis.engines.journal import Journal
from synthesis.errors import Unavailable
from tests.journal_worker import MODEL, asked, said

GROUPS = (1, 3, 1, 8, 2, 5, 1, 13, 4)  # replies that arrive together, and share a commit


@dataclass(frozen=True)
class Written:
    """The bytes of a journal that was never closed, and how long its log was when each reply was acknowledged."""

    file: bytes
    log: bytes
    acknowledged: dict[int, int]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Written:
    path = tmp_path_factory.mktemp("journal") / "journal.sqlite"
    log, acknowledged = Path(f"{path}-wal"), dict[int, int]()

    async def engine(request: Request) -> Reply:
        return said(request)

    async def write() -> Written:
        async with Journal(engine, path, MODEL) as journal:

            async def ask(number: int) -> None:
                await journal(asked(number))
                acknowledged[number] = log.stat().st_size

            numbers = iter(range(sum(GROUPS)))
            for size in GROUPS:
                await asyncio.gather(*(ask(next(numbers)) for _ in range(size)))
            return Written(path.read_bytes(), log.read_bytes(), acknowledged)

    return asyncio.run(write())


async def held(path: Path) -> set[int]:
    """The numbers whose replies are in the journal, each of which must be what was said."""

    async def nobody(request: Request) -> Reply:
        raise Unavailable("not in the journal")

    found = set()
    async with Journal(nobody, path, MODEL) as journal:
        for number in range(sum(GROUPS)):
            try:
                reply = await journal(asked(number))
            except Unavailable:
                continue
            assert reply == said(asked(number))
            found.add(number)
    return found


@settings(max_examples=60, deadline=None)
@given(share=st.floats(0, 1), torn=st.binary(max_size=5000))
def test_a_crash_at_any_byte_keeps_what_was_acknowledged(written: Written, share: float, torn: bytes) -> None:
    end = round(share * len(written.log))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "journal.sqlite"
        path.write_bytes(written.file)
        Path(f"{path}-wal").write_bytes(written.log[:end] + torn)  # the last sectors may hold anything
        found = asyncio.run(held(path))
        wanted = {number for number, size in written.acknowledged.items() if size <= end}
        assert wanted <= found, "what was acknowledged is there"
        late = found - wanted
        assert len(late) <= max(GROUPS), "and at most the commit that was complete but not yet reported"
        assert asyncio.run(_goes_on(path)) == sum(GROUPS) - len(found)


async def _goes_on(path: Path) -> int:
    """How many replies a new run has to ask for."""

    async def engine(request: Request) -> Reply:
        return said(request)

    async with Journal(engine, path, MODEL) as journal:
        for number in range(sum(GROUPS)):
            assert await journal(asked(number)) == said(asked(number))
        return journal.asked
