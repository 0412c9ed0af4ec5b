"""The journal: on disk before seen, asked once, replayed exactly, and honest about files that are no journals."""

from __future__ import annotations

import asyncio
import os
import random
import resource
import signal
import sqlite3
import subprocess
import sys
import time
import zlib
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthesis.engine import Engine, Reply, Request, Token
from synthesis.engines.journal import Journal
from synthesis.engines.packing import pack, unpack
from synthesis.engines.scripted import Scripted
from synthesis.engines.store import APPLICATION, SYNC_SECONDS
from synthesis.errors import JournalError, Overloaded, StorageError, Unavailable
from tests.journal_worker import MODEL, asked, said

ROOT = Path(__file__).parent.parent


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.sqlite"


def echo() -> Scripted:
    return Scripted(lambda request: f"said to {request.prompt}")


def stored(path: Path) -> dict[str, Reply]:
    with closing(sqlite3.connect(path)) as database:
        return {key.hex(): unpack(value) for key, value in database.execute("SELECT key, reply FROM replies")}


async def test_a_second_run_asks_nothing(path: Path) -> None:
    async with Journal(echo(), path, "m") as journal:
        first = [await journal(asked(number)) for number in range(5)]
        assert (journal.hits, journal.misses, journal.asked) == (0, 5, 5)
    script = echo()
    async with Journal(script, path, "m") as journal:
        assert [await journal(asked(number)) for number in range(5)] == first
        assert (journal.hits, journal.misses, journal.asked) == (5, 0, 0)
    assert script.requests == []


async def test_steering_is_no_part_of_the_key_and_everything_else_is(path: Path) -> None:
    script = echo()
    base = {"prompt": "hi", "max_new_tokens": 5, "seed": 1}
    async with Journal(script, path, "m") as journal:
        await journal(Request(stage="a", **base))  # type: ignore[arg-type]
        await journal(Request(stage="b", role="critic", conversation="c", **base))  # type: ignore[arg-type]
        await journal(Request(stage="a", **(base | {"seed": 2})))  # type: ignore[arg-type]
    assert [request.seed for request in script.requests] == [1, 2]


async def test_models_are_not_mixed_up(path: Path) -> None:
    for model in ("m@1", "m@2"):
        async with Journal(Scripted([model]), path, model) as journal:
            assert (await journal(asked(1))).text == model
    for model in ("m@1", "m@2"):
        async with Journal(None, path, model) as journal:
            assert (await journal(asked(1))).text == model


async def test_a_reply_is_on_disk_before_it_is_seen(path: Path) -> None:
    async with Journal(echo(), path, "m") as journal:
        for number in range(3):
            reply = await journal(asked(number))
            assert stored(path)[asked(number).key("m")] == reply


async def test_errors_are_not_kept(path: Path) -> None:
    async with Journal(Scripted([Overloaded("busy"), "fine"]), path, "m") as journal:
        with pytest.raises(Overloaded):
            await journal(asked(1))
        assert (await journal(asked(1))).text == "fine"
        assert (journal.misses, journal.asked) == (2, 2)


class Held:
    """An engine that answers nobody before it is told to, and then with how often it was asked."""

    def __init__(self) -> None:
        self.release = asyncio.Event()
        self.count = 0

    async def __call__(self, request: Request) -> Reply:
        self.count += 1
        await self.release.wait()
        return Reply(f"try {self.count}", "eos_token", 1, 1)

    async def by_ten(self, journal: Journal) -> list[asyncio.Task[Reply]]:
        """Ten identical calls to a journal around this engine, of which one has come here."""
        tasks = [asyncio.create_task(journal(asked(1))) for _ in range(10)]
        while not self.count:
            await asyncio.sleep(0.001)
        return tasks


async def test_identical_requests_at_the_same_time_are_asked_once(path: Path) -> None:
    held = Held()
    async with Journal(held, path, "m") as journal:
        tasks = await held.by_ten(journal)
        tasks[1].cancel()
        await asyncio.sleep(0.001)
        held.release.set()
        replies = await asyncio.gather(*tasks[:1], *tasks[2:])
        assert {reply.text for reply in replies} == {"try 1"}
        assert (held.count, journal.asked, journal.misses) == (1, 1, 9)


async def test_a_caller_that_goes_takes_nobody_along_who_waits_for_the_same(path: Path) -> None:
    held = Held()
    async with Journal(held, path, "m") as journal:
        tasks = await held.by_ten(journal)
        tasks[0].cancel()
        await asyncio.sleep(0.001)
        held.release.set()
        replies = await asyncio.gather(*tasks[1:])
        assert {reply.text for reply in replies} == {"try 2"}
        assert (held.count, journal.asked) == (2, 2)


async def test_a_failure_is_told_to_all_who_wait_for_it(path: Path) -> None:
    async def engine(request: Request) -> Reply:
        await asyncio.sleep(0.001)
        raise Unavailable("gone")

    async with Journal(engine, path, "m") as journal:
        ends = await asyncio.gather(*(journal(asked(1)) for _ in range(3)), return_exceptions=True)
        assert [str(end) for end in ends] == ["gone"] * 3
        assert journal.asked == 1


async def test_a_request_that_nobody_waits_for_is_cancelled_and_can_come_again(path: Path) -> None:
    started, cancelled = asyncio.Event(), asyncio.Event()

    async def engine(request: Request) -> Reply:
        if started.is_set():
            return Reply("again", "eos_token", 1, 1)
        started.set()
        try:
            await asyncio.sleep(60)
        finally:
            cancelled.set()
        raise AssertionError("unreachable")

    async with Journal(engine, path, "m") as journal:
        task = asyncio.create_task(journal(asked(1)))
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await journal(asked(1))).text == "again"
        assert cancelled.is_set()


async def test_replies_that_came_are_kept_though_their_callers_were_cancelled(path: Path) -> None:
    came: list[Request] = []

    async def engine(request: Request) -> Reply:
        came.append(request)
        return said(request)

    with closing(sqlite3.connect(path)) as blocker:
        async with Journal(engine, path, "m") as journal:
            blocker.execute("BEGIN IMMEDIATE")  # the first commit has to wait, and the others gather behind it
            tasks = []
            for number in range(3):
                tasks.append(asyncio.create_task(journal(asked(number))))
                if not number:
                    await asyncio.sleep(0.05)
            tasks[0].cancel()
            blocker.execute("ROLLBACK")
            while len(came) < 3:
                await asyncio.sleep(0)
            tasks[1].cancel()  # its reply has come, and must not take its neighbour's along
            assert await tasks[2] == said(asked(2))
            for task in tasks[:2]:
                with pytest.raises(asyncio.CancelledError):
                    await task
    assert stored(path) == {asked(number).key("m"): said(asked(number)) for number in range(3)}


async def test_closing_waits_for_what_is_gathered_behind_a_commit(path: Path) -> None:
    late = asyncio.Event()

    async def engine(request: Request) -> Reply:
        if request == asked(1):
            await late.wait()
        return said(request)

    with closing(sqlite3.connect(path)) as blocker:
        async with Journal(engine, path, "m") as journal:
            blocker.execute("BEGIN IMMEDIATE")
            tasks = [asyncio.create_task(journal(asked(number))) for number in range(2)]
            await asyncio.sleep(0.05)
            late.set()
            await asyncio.sleep(0.01)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            asyncio.get_running_loop().call_later(0.05, blocker.execute, "ROLLBACK")
    assert stored(path) == {asked(number).key("m"): said(asked(number)) for number in range(2)}


async def test_replies_that_arrive_together_share_commits(path: Path) -> None:
    async with Journal(echo(), path, "m") as journal:
        await asyncio.gather(*(journal(asked(number)) for number in range(400)))
        frames = (Path(f"{path}-wal").stat().st_size - 32) // (4096 + 24)
    assert len(stored(path)) == 400
    # One commit a reply writes the table's and the index's last page 400 times over: 800 frames and more.
    assert frames < 200


async def test_settling_waits_for_the_disk_and_says_when_it_refuses(path: Path) -> None:
    async with Journal(echo(), path, "m") as journal:
        journal.settle()  # nothing has come
        await journal(asked(1))
        journal.settle()
        await journal(asked(2))
        log = Path(f"{path}-wal")
        log.rename(path.with_name("elsewhere"))
        with pytest.raises(StorageError, match=r"journal\.sqlite"):
            journal.settle()
        path.with_name("elsewhere").rename(log)
        journal.settle()


async def test_a_disk_that_fails_behind_the_scenes_is_told_to_whoever_comes_next(path: Path) -> None:
    log, elsewhere = Path(f"{path}-wal"), path.with_name("elsewhere")

    async def use() -> None:
        async with Journal(echo(), path, "m") as journal:
            await journal(asked(1))
            log.rename(elsewhere)
            await asyncio.sleep(3 * SYNC_SECONDS)
            elsewhere.rename(log)
            with pytest.raises(StorageError, match=r"journal\.sqlite"):
                await journal(asked(2))

    with pytest.raises(StorageError, match=r"journal\.sqlite"):  # and when the journal is closed
        await use()


async def test_a_replay_needs_no_engine_and_names_what_it_lacks(path: Path) -> None:
    async with Journal(echo(), path, "m") as journal:
        reply = await journal(asked(1))
    before = path.read_bytes()
    async with Journal(None, path, "m") as journal:
        assert await journal(asked(1)) == reply
        with pytest.raises(JournalError, match=f"no reply for stage 'work' under {asked(2).key('m')}"):
            await journal(asked(2))
        assert (journal.hits, journal.misses, journal.asked) == (1, 1, 0)
    assert path.read_bytes() == before
    with pytest.raises(JournalError, match="a replay needs the journal of an earlier run"):
        async with Journal(None, path.with_name("absent"), "m"):
            pass


async def test_use_while_closed_is_told(path: Path) -> None:
    journal = Journal(echo(), path, "m")
    async with journal:
        await journal(asked(1))
    with pytest.raises((JournalError, RuntimeError)):
        await journal(asked(1))


# Files and disks.


@pytest.mark.parametrize(
    "content", [b"not a database at all, but long enough to be read as one" * 20, b"{}", b"\0" * 900]
)
async def test_a_file_that_is_no_database_is_left_alone(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(JournalError, match=r"journal .*journal\.sqlite.*Move the file away") as caught:
        async with Journal(echo(), path, "m"):
            pass
    assert str(path) in str(caught.value)
    assert path.read_bytes() == content


async def test_another_programs_database_is_left_alone(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE mine (x)")
    before = path.read_bytes()
    with pytest.raises(JournalError, match="not a journal of Parley"):
        async with Journal(echo(), path, "m"):
            pass
    assert path.read_bytes() == before


async def test_a_journal_of_another_version_is_refused(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.execute(f"PRAGMA application_id={APPLICATION}")
        database.execute("PRAGMA user_version=99")
    with pytest.raises(JournalError, match="of version 99, this Parley reads 2"):
        async with Journal(echo(), path, "m"):
            pass


async def test_a_damaged_reply_is_told_and_its_neighbours_are_read(path: Path) -> None:
    async with Journal(echo(), path, "m") as journal:
        for number in range(3):
            await journal(asked(number))
    bad = [b"rubbish", zlib.compress(b"[1, 2]"), zlib.compress(b"{")]
    for value in bad:
        with closing(sqlite3.connect(path)) as database:
            database.execute("UPDATE replies SET reply = ? WHERE key = ?", (value, bytes.fromhex(asked(1).key("m"))))
            database.commit()
        async with Journal(None, path, "m") as journal:
            results = await asyncio.gather(*(journal(asked(number)) for number in range(3)), return_exceptions=True)
        assert [type(result) for result in results] == [Reply, JournalError, Reply]
        assert asked(1).key("m") in str(results[1])


async def test_a_torn_file_is_told(path: Path) -> None:
    async with Journal(echo(), path, "m") as journal:
        await asyncio.gather(*(journal(asked(number)) for number in range(200)))
    content = path.read_bytes()
    path.write_bytes(content[:8192] + random.Random(1).randbytes(len(content) - 8192))
    async with Journal(None, path, "m") as journal:
        results = await asyncio.gather(*(journal(asked(number)) for number in range(200)), return_exceptions=True)
    assert {type(result) for result in results} == {JournalError}
    assert all(str(path) in str(result) for result in results)


async def test_a_folder_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    for bad in (tmp_path / "file" / "journal", tmp_path / "absent" / "journal", tmp_path):
        with pytest.raises(StorageError, match="the folder must exist") as caught:
            async with Journal(echo(), bad, "m"):
                pass
        assert str(bad) in str(caught.value)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
async def test_a_read_only_folder_can_be_replayed_but_not_written(path: Path) -> None:
    async with Journal(echo(), path, "m") as journal:
        await journal(asked(1))
    path.chmod(0o444)
    path.parent.chmod(0o555)
    try:
        async with Journal(None, path, "m") as journal:
            assert (await journal(asked(1))).text
        with pytest.raises(StorageError):
            async with Journal(echo(), path, "m") as journal:
                await journal(asked(2))
    finally:
        path.parent.chmod(0o755)


@contextmanager
def disk_with_room_for(size: int) -> Iterator[None]:
    """Files of this process cannot grow beyond `size` bytes meanwhile."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_a_full_disk_fails_the_call_and_nothing_is_seen_that_is_not_kept(path: Path) -> None:
    seen: dict[str, Reply] = {}
    async with Journal(talker, path, "m") as journal:
        with disk_with_room_for(200_000):
            results = [await asyncio.gather(journal(asked(at)), return_exceptions=True) for at in range(1000)]
        for at, (result,) in enumerate(results):
            if isinstance(result, Reply):
                seen[asked(at).key("m")] = result
            else:
                assert isinstance(result, StorageError)
                assert f"{path}: " in str(result)
                assert "room on its disk" in str(result)
        assert len(seen) < 1000
        assert seen
        again = asked(5000)  # with room again, so is the journal
        seen[again.key("m")] = await journal(again)
    assert stored(path) == seen


async def talker(request: Request) -> Reply:
    return said(request)


# Processes.


def worker(path: Path, first: int, last: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tests.journal_worker", str(path), str(first), str(last)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT)


async def test_what_was_acknowledged_survives_any_kill(path: Path) -> None:
    rng = random.Random(7)
    acknowledged: set[int] = set()
    for _ in range(8):
        with worker(path, 0, 100_000) as process:
            assert process.stdout is not None
            lines = [process.stdout.readline()]  # it works
            time.sleep(rng.uniform(0.0, 0.08))
            process.send_signal(signal.SIGKILL)
            lines += process.stdout.read().splitlines(keepends=True)
        acknowledged |= {int(line) for line in lines if line.endswith(b"\n")}
        # More may be in the file than was said aloud: what the kill caught between commit and print.
        kept = stored(path)
        wanted = {asked(number).key(MODEL): said(asked(number)) for number in range(max(acknowledged) + 64)}
        assert {asked(number).key(MODEL) for number in acknowledged} <= kept.keys()
        assert kept.items() <= wanted.items()
        assert len(kept) - len(acknowledged) <= 16 * 8
    script = Scripted([])
    async with Journal(script, path, MODEL) as journal:
        for number in acknowledged:
            assert await journal(asked(number)) == said(asked(number))
        assert journal.asked == 0


def test_processes_share_a_journal(path: Path) -> None:
    processes = [worker(path, first, first + 300) for first in (0, 150, 0)]
    for process in processes:
        output, _ = process.communicate(timeout=60)
        assert process.returncode == 0
        assert len(output.splitlines()) == 300
    assert stored(path) == {asked(number).key(MODEL): said(asked(number)) for number in range(450)}


async def test_many_begin_a_journal_at_the_same_moment(tmp_path: Path) -> None:
    for attempt in range(5):
        path = tmp_path / f"journal-{attempt}"
        journals = [Journal(talker, path, "m") for _ in range(6)]
        await asyncio.gather(*(journal.__aenter__() for journal in journals))
        await asyncio.gather(*(journal(asked(at)) for at, journal in enumerate(journals)))
        await asyncio.gather(*(journal.__aexit__(None, None, None) for journal in journals))
        assert len(stored(path)) == 6


async def test_a_file_that_another_process_is_just_beginning_is_waited_for(path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("CREATE TABLE soon (x)")
        other.execute("DROP TABLE soon")
        other.execute("BEGIN IMMEDIATE")
        asyncio.get_running_loop().call_later(0.1, other.execute, "COMMIT")
        async with Journal(talker, path, "m") as journal:
            await journal(asked(1))
    assert len(stored(path)) == 1


async def test_the_first_reply_of_two_processes_is_everybodys(path: Path) -> None:
    both = asyncio.Barrier(2)

    def engine(text: str) -> Engine:
        async def speak(request: Request) -> Reply:
            async with both:
                return Reply(text, "eos_token", 1, 1)

        return speak

    async with Journal(engine("one"), path, "m") as one, Journal(engine("two"), path, "m") as two:
        replies = await asyncio.gather(one(asked(1)), two(asked(1)))
    assert replies[0] == replies[1] == stored(path)[asked(1).key("m")]


# The form of a reply on disk.

TEXT = st.text(st.characters(), max_size=20)
TOKEN = st.builds(Token, st.integers(-1, 2**31), TEXT, st.none() | st.floats(allow_nan=False), st.booleans())
TOKENS = st.lists(TOKEN, max_size=4).map(tuple)
REPLY = st.builds(
    Reply,
    TEXT,
    st.sampled_from(["length", "eos_token", "stop_sequence"]),
    st.integers(0, 2**40),
    st.integers(0, 2**40),
    TOKENS,
    TOKENS,
    st.lists(TOKENS, max_size=3).map(tuple),
)


@given(REPLY)
def test_a_reply_survives_packing_exactly(reply: Reply) -> None:
    assert unpack(pack(reply)) == reply
