"""--retry-failed: only failed seeds are tried again, and what comes out is what a run without the faults makes."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from synthesis.__main__ import main
from synthesis.engine import Engine, Request
from synthesis.engines.journal import Journal
from synthesis.engines.scripted import Scripted
from synthesis.errors import StorageError, Unavailable, UserError
from synthesis.outcomes import Shard
from synthesis.run import Plan, run
from tests.toy_recipe import Toy, number_of, plan, talk

FILES = ("dialogues.jsonl", "dropped.jsonl", "failed.jsonl", "seeds.jsonl")


def quiet(phase: str, total: int, counts: Mapping[str, int]) -> None:
    """Shows nothing."""


async def ran(chosen: Plan, engine: Engine | None, journal: str = "journal.sqlite") -> dict[str, Any]:
    chosen.folder.mkdir(exist_ok=True)
    async with Journal(engine, chosen.folder / journal, "m") as kept:
        return await run(chosen, kept, quiet)


def made(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in FILES}


def facts_of(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "run.json").read_text())
    return found


def faulty(*numbers: int) -> Scripted:
    """An engine that breaks off whenever it is asked about these numbers, and else talks."""
    return Scripted(lambda request: Unavailable("torn") if number_of(request) in numbers else talk(request))


async def test_only_failed_seeds_are_asked_again_and_the_result_is_as_without_faults(tmp_path: Path) -> None:
    await ran(plan(tmp_path / "whole", 30), Scripted(talk))
    chosen = plan(tmp_path / "torn", 30)
    facts = await ran(chosen, faulty(3, 7, 20))
    assert facts["counts"] == {"seeds": 30, "kept": 27, "dropped": 0, "failed": 3}
    before = (tmp_path / "torn/rounds/1/0-of-1.jsonl").read_bytes()

    chosen.retry()
    assert facts_of(tmp_path / "torn")["status"] == "running", "no builder takes it meanwhile"
    mended = Scripted(talk)
    facts = await ran(chosen, mended)
    assert sorted(map(number_of, mended.requests)) == [3, 7, 20]
    assert facts["counts"] == {"seeds": 30, "kept": 30, "dropped": 0, "failed": 0}
    assert facts["retries"] == 1
    assert facts_of(tmp_path / "torn") == facts
    assert made(tmp_path / "torn") == made(tmp_path / "whole")
    assert before != (tmp_path / "torn/rounds/1/0-of-1.retry-1.jsonl").read_bytes()
    assert not (tmp_path / "torn/rounds/1/0-of-1.jsonl").exists()


async def test_what_fails_again_stays_in_the_ledger(tmp_path: Path) -> None:
    chosen = plan(tmp_path, 12)
    await ran(chosen, faulty(1, 2, 3))
    chosen.retry()
    facts = await ran(chosen, faulty(2))
    assert facts["counts"] == {"seeds": 12, "kept": 11, "dropped": 0, "failed": 1}
    chosen.retry()
    facts = await ran(chosen, Scripted(talk))
    assert (facts["counts"]["kept"], facts["retries"]) == (12, 2)
    idle = Scripted([])
    chosen.retry()
    assert facts_of(tmp_path)["status"] == "complete", "nothing failed any more"
    assert await ran(chosen, idle) == facts
    assert not idle.requests


async def test_a_retry_that_fails_everywhere_ends_with_the_ledger_whole(tmp_path: Path) -> None:
    chosen = plan(tmp_path, 60, in_flight=1)
    numbers = range(0, 60, 2)
    await ran(chosen, faulty(*numbers))
    chosen.retry()
    facts = await ran(chosen, faulty(*numbers))
    assert facts["counts"] == {"seeds": 60, "kept": 30, "dropped": 0, "failed": 30}


@pytest.mark.parametrize("shards", [1, 3])
async def test_later_rounds_learn_from_what_was_mended(tmp_path: Path, shards: int) -> None:
    recipe = Toy(rounds=3)
    await ran(plan(tmp_path / "whole", 20, recipe=recipe), Scripted(talk))

    async def all_shards(engine: Scripted, retry: bool) -> dict[str, Any]:
        plans = [plan(tmp_path / "torn", 20, recipe=recipe, shard=Shard(index, shards)) for index in range(shards)]
        (tmp_path / "torn").mkdir(exist_ok=True)
        for each in plans:
            each.retry() if retry else each.claim()
        names = [f"journal-{each.shard}.sqlite" for each in plans]
        return (await asyncio.gather(*[ran(each, engine, name) for each, name in zip(plans, names, strict=True)]))[0]

    def first_round_torn(request: Request) -> Any:
        torn = number_of(request) == 5 and "nothing" in str(request.prompt)
        return Unavailable("torn") if torn or number_of(request) == 9 else talk(request)

    await all_shards(Scripted(first_round_torn), retry=False)
    mended = Scripted(talk)
    facts = await all_shards(mended, retry=True)
    assert facts["counts"] == {"seeds": 20, "kept": 20, "dropped": 0, "failed": 0}
    asked = [number_of(request) for request in mended.requests]
    assert set(asked) == {5, 9}, "all others found the same requests in the journal"
    assert made(tmp_path / "torn") == made(tmp_path / "whole")


async def test_where_nothing_was_mended_later_rounds_stand(tmp_path: Path) -> None:
    chosen = plan(tmp_path, 20, recipe=Toy(rounds=2))
    await ran(chosen, faulty(4))
    first = made(tmp_path)
    chosen.retry()
    again = faulty(4)
    await ran(chosen, again)
    assert {number_of(request) for request in again.requests} == {4}
    assert made(tmp_path) == first


async def test_replies_that_cannot_be_read_are_drawn_anew_and_replay_the_same(tmp_path: Path) -> None:
    def model(request: Request) -> str:
        return "mumble" if (request.seed or 0) % 3 < 2 else talk(request)

    chosen = plan(tmp_path / "run", 40)
    first = await ran(chosen, Scripted(model))
    counts = [first["counts"]["failed"]]
    for _ in range(3):
        chosen.retry()
        counts.append((await ran(chosen, Scripted(model)))["counts"]["failed"])
    assert counts[0] > counts[-1]
    assert counts == sorted(counts, reverse=True)
    mended = made(tmp_path / "run")
    chosen.reopen()
    await ran(chosen, None)
    assert made(tmp_path / "run") == mended


async def test_a_retry_that_is_stopped_goes_on(tmp_path: Path) -> None:
    recipe = Toy(rounds=2)
    await ran(plan(tmp_path / "whole", 20, recipe=recipe), Scripted(talk))
    chosen = plan(tmp_path / "torn", 20, recipe=recipe, in_flight=1)
    await ran(chosen, faulty(2, 11, 13))
    chosen.retry()
    asked = 0

    def breaks(request: Request) -> Any:
        nonlocal asked
        asked += 1
        return StorageError("pulled the plug") if asked == 3 else talk(request)

    with pytest.raises(StorageError):
        await ran(chosen, Scripted(breaks))
    assert facts_of(tmp_path / "torn")["status"] == "running"
    copied = shutil.copytree(tmp_path / "torn", tmp_path / "other")
    chosen.retry()  # goes on, and does not count as another
    await ran(chosen, Scripted(talk))
    await ran(plan(copied, 20, recipe=recipe), Scripted(talk))  # so does the plain command
    assert made(tmp_path / "torn") == made(copied) == made(tmp_path / "whole")
    assert facts_of(tmp_path / "torn")["retries"] == facts_of(copied)["retries"] == 1


def test_there_must_be_a_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UserError, match=r"--retry-failed: .* holds no run"):
        plan(tmp_path).retry()
    assert main(["spc", "--retry-failed", "--dry-run"]) == 2
    assert "--retry-failed asks again" in capsys.readouterr().err
