"""Runs through every fault: the ledger is whole, and what is kept is what a quiet server would have given."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from synthesis.engine import Engine, Info
from synthesis.engines.connect import connect
from synthesis.engines.journal import Journal
from synthesis.engines.retry import Backoff
from synthesis.errors import Outage
from synthesis.run import run
from tests.chaos.server import Chaos, Trouble
from tests.fake_tgi import MODEL, SHA
from tests.toy_recipe import Toy, plan

N, IN_FLIGHT = 60, 16
QUICK = Backoff(retries=4, first=0.005, longest=0.05, patience=20.0)
DOGGED = Backoff(retries=20, first=0.005, longest=0.02, patience=20.0)
WATCHFUL = Backoff(retries=4, first=0.005, longest=0.05, patience=20.0, silence=0.1, check=0.1)
INFO = Info(MODEL, "tgi", SHA)
TIMEOUT = 20.0
"""Seconds for a reply: longer than a busy machine stops for, so that nothing is asked for again but what failed."""

NONE: Mapping[str, str] = {}
LEDGERS = ("dialogues.jsonl", "dropped.jsonl", "failed.jsonl")


@asynccontextmanager
async def engine_of(
    folder: Path, *urls: str, backoff: Backoff = QUICK, stream: bool = False, timeout: float = TIMEOUT
) -> AsyncIterator[Engine]:
    folder.mkdir(exist_ok=True, parents=True)
    async with (
        connect(*urls, environ=NONE, backoff=backoff, timeout=timeout, stream=stream) as (engine, info),
        Journal(engine, folder / "journal.sqlite", info.name) as journal,
    ):
        yield journal


async def ran(folder: Path, *urls: str, n: int = N, rounds: int = 1, in_flight: int = IN_FLIGHT, **how: Any) -> Any:
    chosen = plan(folder, n, recipe=Toy(rounds=rounds), info=INFO, in_flight=in_flight)
    async with engine_of(folder, *urls, **how) as engine:
        return await run(chosen, engine, lambda *_: None)


def rows(folder: Path, name: str) -> dict[str, dict[str, Any]]:
    return {row["id"]: row for row in map(json.loads, (folder / name).read_text().splitlines())}


def made(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in LEDGERS}


async def quiet(folder: Path, n: int = N, rounds: int = 1) -> Path:
    """The same run against a server without any trouble."""
    async with Chaos() as server:
        await ran(folder / "quiet", server.url, n=n, rounds=rounds)
    return folder / "quiet"


def whole(facts: dict[str, Any], n: int = N) -> dict[str, int]:
    """The counts, which must add up."""
    counts: dict[str, int] = facts["counts"]
    assert counts["kept"] + counts["dropped"] + counts["failed"] == counts["seeds"] == n
    return counts


# ---- faults here and there ------------------------------------------------------------------------------------------

CURABLE = ("server error", "gateway error", "generation error", "invalid JSON", "wrong content type", "strange body")
BROKEN = ("truncated body", "reset", "unavailable")


@pytest.mark.parametrize("kind", [*CURABLE, *BROKEN])
async def test_a_tenth_of_faults_is_not_seen_in_the_dataset(tmp_path: Path, kind: str) -> None:
    async with Chaos(Trouble(kind, 0.1)) as server:
        facts = await ran(tmp_path / "run", server.url, backoff=DOGGED)
    assert whole(facts)["kept"] == N
    assert made(tmp_path / "run") == made(await quiet(tmp_path))
    assert N + 1 < server.tries.total() < 1.5 * N
    assert max(server.answered.values()) == 1, "no good reply is asked for again"


async def test_half_of_all_failing_leaves_a_whole_ledger(tmp_path: Path) -> None:
    async with Chaos(Trouble("server error", 0.5), seed=3) as server:
        facts = await ran(tmp_path / "run", server.url)
    counts, failed = whole(facts), rows(tmp_path / "run", "failed.jsonl")
    assert counts["kept"] >= 0.8 * N
    assert {row["stage"] for row in failed.values()} <= {"Quarantined"}
    clean = rows(await quiet(tmp_path), "dialogues.jsonl")
    kept = rows(tmp_path / "run", "dialogues.jsonl")
    assert kept == {id_: clean[id_] for id_ in kept}
    assert set(clean) - set(kept) == set(failed)


async def test_half_of_all_failing_is_overcome_by_more_tries(tmp_path: Path) -> None:
    async with Chaos(Trouble("server error", 0.5), seed=4) as server:
        facts = await ran(tmp_path / "run", server.url, backoff=DOGGED)
    assert whole(facts)["kept"] == N
    assert made(tmp_path / "run") == made(await quiet(tmp_path))


async def test_truncated_streams_are_asked_for_again(tmp_path: Path) -> None:
    async with Chaos(Trouble("truncated stream", 0.1)) as server:
        facts = await ran(tmp_path / "run", server.url, stream=True, backoff=DOGGED)
    assert whole(facts)["kept"] == N
    assert made(tmp_path / "run") == made(await quiet(tmp_path))


async def test_hangs_are_cut_off_and_asked_for_again(tmp_path: Path) -> None:
    async with Chaos(Trouble("hang", 0.05)) as server:
        facts = await ran(tmp_path / "run", server.url, backoff=DOGGED, timeout=0.25)
        assert whole(facts)["kept"] == N
        assert server.hung_up > 0
    assert made(tmp_path / "run") == made(await quiet(tmp_path))


async def test_a_slow_first_byte_is_no_fault(tmp_path: Path) -> None:
    async with Chaos(Trouble(first_byte=0.05)) as server:
        facts = await ran(tmp_path / "run", server.url)
    assert whole(facts)["kept"] == N
    assert server.tries.total() == N + 1


async def test_a_slow_reply_delays_its_own_conversation_only(tmp_path: Path) -> None:
    slow = frozenset(range(0, 200, 22))  # one or more in each batch of 20, if there were any
    async with Chaos(Trouble(last=slow, before_last=201 - len(slow)), latency=0.01) as server:
        facts = await ran(tmp_path / "run", server.url, n=200, in_flight=20, timeout=100.0)
    assert whole(facts, 200)["kept"] == 200, "all others were answered while these were waited for"
    assert server.tries.total() == 201, "what is slow is waited for, not asked for again"


# ---- too many at a time ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("retry_after", ["", "0"])
async def test_a_server_that_takes_eight_is_kept_at_eight(tmp_path: Path, retry_after: str) -> None:
    n = 200
    async with Chaos(busy_above=8, latency=0.05, retry_after=retry_after) as server:
        facts = await ran(tmp_path / "run", server.url, n=n, in_flight=64)
    assert whole(facts, n)["kept"] == n
    assert median(server.stays.companies) >= 6, "it is given enough"
    assert server.refused < n / 2, "and not much more than it takes"
    assert max(server.answered.values()) == 1


async def test_the_time_that_a_server_names_is_kept(tmp_path: Path) -> None:
    async with Chaos(busy_above=4, latency=0.01, retry_after="1") as server:
        begun = time.monotonic()
        facts = await ran(tmp_path / "run", server.url, n=20, in_flight=6)
        assert time.monotonic() - begun >= 1.0
    assert whole(facts, 20)["kept"] == 20
    assert server.refused <= 12


async def test_a_rate_limit_is_kept_by_everybody(tmp_path: Path) -> None:
    async with Chaos(Trouble(rate=40)) as server:
        facts = await ran(tmp_path / "run", server.url)
    assert whole(facts)["kept"] == N
    assert made(tmp_path / "run") == made(await quiet(tmp_path))
    assert server.refused <= 2 * IN_FLIGHT, "at each limit only those that were sent at the same time"


async def test_the_work_of_one_that_is_limited_flows_to_the_other(tmp_path: Path) -> None:
    async with Chaos(Trouble(outage=(10, 60.0, "too many for an hour"))) as limited, Chaos() as free:
        async with asyncio.timeout(10):
            facts = await ran(tmp_path / "run", limited.url, free.url)
    assert whole(facts)["kept"] == N
    assert made(tmp_path / "run") == made(await quiet(tmp_path))
    assert limited.wasted <= IN_FLIGHT


async def test_a_limit_beyond_patience_stops_the_run_to_go_on_later(tmp_path: Path) -> None:
    async with Chaos(Trouble(outage=(25, 60.0, "too many for an hour"))) as server:
        with pytest.raises(
            Outage, match=r"asks for more time than is left of the 20 s of --patience.*left alone for 3\d\d\d s"
        ):
            await ran(tmp_path / "run", server.url)
    async with Chaos() as again:
        facts = await ran(tmp_path / "run", again.url)
    assert whole(facts)["kept"] == N
    assert made(tmp_path / "run") == made(await quiet(tmp_path))
    assert again.answered.total() == N + 1 - server.answered.total(), "what was out was waited for and kept"


# ---- one request that cannot be answered ----------------------------------------------------------------------------


@pytest.mark.parametrize("in_flight", [1, IN_FLIGHT])
@pytest.mark.parametrize("kind", ["server error", "reset", "invalid JSON", "truncated body"])
async def test_poison_goes_into_quarantine_and_takes_nobody_along(tmp_path: Path, kind: str, in_flight: int) -> None:
    async with Chaos(Trouble(kind, poisoned=frozenset({7, 8}))) as server:
        facts = await ran(tmp_path / "run", server.url, in_flight=in_flight)
    assert whole(facts) == {"seeds": N, "kept": N - 2, "dropped": 0, "failed": 2}
    failed = rows(tmp_path / "run", "failed.jsonl")
    for row in failed.values():
        assert row["stage"] == "Quarantined"
        assert "gave up after 5 tries" in row["reason"]
        assert "; request " in row["reason"]
    assert (server.tries[7], server.tries[8]) == (5, 5)
    clean = rows(await quiet(tmp_path), "dialogues.jsonl")
    assert rows(tmp_path / "run", "dialogues.jsonl") == {id_: clean[id_] for id_ in clean if id_ not in failed}


@pytest.mark.parametrize("n", [1, 4])
async def test_poison_in_a_small_run_costs_its_row_alone(tmp_path: Path, n: int) -> None:
    async with Chaos(Trouble("server error", poisoned=frozenset({0}))) as server:
        facts = await ran(tmp_path / "run", server.url, n=n)
    assert whole(facts, n) == {"seeds": n, "kept": n - 1, "dropped": 0, "failed": 1}


async def test_more_poison_than_anything_else_goes_into_quarantine(tmp_path: Path) -> None:
    async with Chaos(Trouble("reset", poisoned=frozenset(range(N - 25, N)))) as server:
        facts = await ran(tmp_path / "run", server.url)
    assert whole(facts) == {"seeds": N, "kept": N - 25, "dropped": 0, "failed": 25}


async def test_what_is_invalid_is_asked_once(tmp_path: Path) -> None:
    async with Chaos(Trouble("invalid request", poisoned=frozenset({7}))) as server:
        facts = await ran(tmp_path / "run", server.url)
    assert whole(facts)["failed"] == 1
    assert server.tries[7] == 1
    assert next(iter(rows(tmp_path / "run", "failed.jsonl").values()))["stage"] == "RequestRefused"


async def test_a_recipe_whose_requests_are_all_invalid_stops_early_and_goes_on_elsewhere(tmp_path: Path) -> None:
    n = 300
    async with Chaos(Trouble("invalid request", poisoned=frozenset(range(n)))) as server:
        with pytest.raises(
            Outage, match=r"all of the first 32 dialogues failed: .* 422 .*another recipe, other fields"
        ):
            await ran(tmp_path / "run", server.url, n=n)
        assert server.tries.total() <= 1 + 32 + IN_FLIGHT
    async with Chaos() as again:
        assert whole(await ran(tmp_path / "run", again.url, n=n), n)["kept"] == n


# ---- outages --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["reset", "unavailable", "server error"])
async def test_an_outage_is_waited_out(tmp_path: Path, kind: str) -> None:
    async with Chaos(Trouble(outage=(25, 1.0, kind))) as server:
        facts = await ran(tmp_path / "run", server.url, rounds=2, backoff=DOGGED)
    assert whole(facts)["kept"] == N
    assert made(tmp_path / "run") == made(await quiet(tmp_path, rounds=2))
    one_at_a_time = 1.0 / (DOGGED.longest / 2)  # of 16 in flight; the half: a wait is drawn evenly from nothing on
    assert server.wasted < (1.5 * one_at_a_time if kind == "unavailable" else 3 * IN_FLIGHT)
    assert server.answered.total() <= 2 * N + 2, "and something harmless, to see whether it is back"


async def test_an_outage_that_takes_longer_than_all_tries_of_a_request_costs_no_row(tmp_path: Path) -> None:
    async with Chaos(Trouble(outage=(25, 0.5, "gateway error"))) as server:
        facts = await ran(tmp_path / "run", server.url, in_flight=1)
    assert whole(facts)["kept"] == N
    assert made(tmp_path / "run") == made(await quiet(tmp_path))


async def test_a_server_that_is_restarted_is_waited_for(tmp_path: Path, unused_tcp_port: int) -> None:
    first = Chaos(port=unused_tcp_port)
    await first.__aenter__()
    running = asyncio.create_task(ran(tmp_path / "run", first.url, rounds=2))
    while first.answered.total() < 30:
        await asyncio.sleep(0.005)
    await first.__aexit__()
    await asyncio.sleep(0.5)
    async with Chaos(port=unused_tcp_port) as second:
        facts = await running
    assert whole(facts)["kept"] == N
    assert made(tmp_path / "run") == made(await quiet(tmp_path, rounds=2))
    assert second.answered.total() <= 2 * N + 1 - 30
    assert first.tries.total() + second.tries.total() < 2 * N + 1 + 100


async def test_a_longer_outage_than_patience_stops_the_run_to_go_on_later(tmp_path: Path) -> None:
    impatient = Backoff(retries=4, first=0.005, longest=0.05, patience=0.4)
    async with Chaos(Trouble(outage=(25, 60.0, "reset"))) as server:
        begun = time.monotonic()
        with pytest.raises(Outage, match=r"no endpoint came back in .*start the same command again"):
            await ran(tmp_path / "run", server.url, backoff=impatient)
        assert time.monotonic() - begun < 5.0
    assert json.loads((tmp_path / "run/run.json").read_text())["status"] == "running"
    assert not (tmp_path / "run/failed.jsonl").exists()
    async with Chaos() as again:
        facts = await ran(tmp_path / "run", again.url)
    assert whole(facts)["kept"] == N
    assert made(tmp_path / "run") == made(await quiet(tmp_path))
    assert again.answered.total() == N + 1 - server.answered.total()


async def test_one_of_two_dies_without_a_trace(tmp_path: Path) -> None:
    async with Chaos() as stays:
        dies = Chaos()
        await dies.__aenter__()
        running = asyncio.create_task(ran(tmp_path / "run", stays.url, dies.url, rounds=2))
        while dies.answered.total() < 20:
            await asyncio.sleep(0.002)
        await dies.__aexit__()
        facts = await running
    assert whole(facts)["kept"] == N
    assert made(tmp_path / "run") == made(await quiet(tmp_path, rounds=2))
    assert stays.answered.total() + dies.answered.total() <= 2 * N + 1 + IN_FLIGHT


@pytest.mark.parametrize("kind", ["key refused", "no credit", "login wanted"])
async def test_an_endpoint_that_lets_nobody_in_any_more_stops_the_run(tmp_path: Path, kind: str) -> None:
    async with Chaos(Trouble(outage=(25, 60.0, kind))) as server:
        with pytest.raises(Outage, match=r"(40[12]|302).*start the same command again"):
            await ran(tmp_path / "run", server.url)
        assert server.wasted <= 4 * IN_FLIGHT, "replies that come late do not hide it for long"
    assert not (tmp_path / "run/failed.jsonl").exists(), "and costs no row"
    async with Chaos() as again:
        facts = await ran(tmp_path / "run", again.url)
    assert whole(facts)["kept"] == N
    assert made(tmp_path / "run") == made(await quiet(tmp_path))


@pytest.mark.parametrize("kind", ["key refused", "no credit", "server error", "hang"])
async def test_what_one_of_two_does_not_do_any_more_the_other_does(tmp_path: Path, kind: str) -> None:
    async with Chaos(Trouble(outage=(25, 60.0, kind))) as sick, Chaos() as well:
        async with asyncio.timeout(20):
            facts = await ran(tmp_path / "run", sick.url, well.url, rounds=2, timeout=60.0, backoff=WATCHFUL)
    assert whole(facts)["kept"] == N
    assert made(tmp_path / "run") == made(await quiet(tmp_path, rounds=2))


async def test_the_only_endpoint_that_hangs_is_waited_for(tmp_path: Path) -> None:
    async with Chaos(Trouble(outage=(25, 1.0, "hang"))) as server:
        async with asyncio.timeout(20):
            facts = await ran(tmp_path / "run", server.url, timeout=60.0, backoff=WATCHFUL)
    assert whole(facts)["kept"] == N
    assert made(tmp_path / "run") == made(await quiet(tmp_path))
    assert server.hung_up > 0


# ---- all at once ----------------------------------------------------------------------------------------------------


async def test_everything_at_once(tmp_path: Path) -> None:
    trouble = Trouble("reset", 0.08, tail=0.02, tail_seconds=0.1, outage=(60, 0.5, "unavailable"))
    async with Chaos(trouble, busy_above=8) as first, Chaos(Trouble("invalid JSON", 0.1), seed=9) as second:
        facts = await ran(tmp_path / "run", first.url, second.url, rounds=3, in_flight=40, backoff=DOGGED)
    assert whole(facts)["kept"] == N
    assert made(tmp_path / "run") == made(await quiet(tmp_path, rounds=3))
