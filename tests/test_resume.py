"""A run that was stopped goes on with what it had: finished dialogues are not walked again, all others are."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from synthesis.engine import Engine, Request
from synthesis.engines.journal import Journal
from synthesis.engines.scripted import Scripted
from synthesis.errors import Outage, StorageError, Unavailable, UserError
from synthesis.outcomes import Shard, part
from synthesis.progress import Progress
from synthesis.run import Plan, run
from synthesis.under_way import files
from tests.toy_recipe import Toy, number_of, plan, talk
from tests.vectors import Dawdling

FILES = ("dialogues.jsonl", "dropped.jsonl", "failed.jsonl", "seeds.jsonl", "rounds/1/0-of-1.jsonl")
Shown = list[tuple[str, int, dict[str, int]]]


async def ran(chosen: Plan, engine: Engine | None, name: str = "journal.sqlite") -> tuple[Shown, Journal]:
    """What was shown, and the journal with its counts of what was asked."""
    shown: Shown = []

    def show(phase: str, total: int, counts: Mapping[str, int]) -> None:
        shown.append((phase, total, dict(counts)))

    chosen.folder.mkdir(exist_ok=True)
    async with Journal(engine, chosen.folder / name, "m") as journal:
        await run(chosen, journal, show)
    return shown, journal


def until(asked: int, *faulty: int) -> Scripted:
    """An engine that talks, but of these numbers, and has the disk full at its request of this number (from 1)."""
    count = 0

    def model(request: Request) -> Any:
        nonlocal count
        count += 1
        if count == asked:
            return StorageError("pulled the plug")
        return Unavailable("torn") if number_of(request) in faulty else talk(request)

    return Scripted(model)


async def stopped(chosen: Plan, asked: int, *faulty: int) -> None:
    with pytest.raises(StorageError):
        await ran(chosen, until(asked, *faulty))


def made(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in FILES}


# ---- what is walked again -------------------------------------------------------------------------------------------


async def test_only_what_was_not_finished_is_walked_again(tmp_path: Path) -> None:
    await ran(plan(tmp_path / "whole", 12), Scripted(talk))
    chosen = plan(tmp_path / "run", 12, in_flight=1)
    await stopped(chosen, 1 + 5 + 1)
    shown, journal = await ran(chosen, Scripted(talk))
    assert shown[0] == ("round 1/1", 12, {"kept": 5, "dropped": 0, "failed": 0})
    assert shown[-1] == ("round 1/1", 12, {"kept": 12, "dropped": 0, "failed": 0})
    assert (journal.hits, journal.asked) == (0, 7)
    assert made(tmp_path / "run") == made(tmp_path / "whole")
    assert [each.name for each in (tmp_path / "run/rounds/1").iterdir() if each.name.startswith(".")] == []


async def test_dialogues_that_an_outage_failed_are_walked_again(tmp_path: Path) -> None:
    await ran(plan(tmp_path / "whole", 40), Scripted(talk))
    chosen = plan(tmp_path / "run", 40, in_flight=1)
    asked = 0

    def goes_away(request: Request) -> Any:
        nonlocal asked
        asked += 1
        if asked <= 1 + 20:
            return talk(request)
        return Unavailable("going") if asked <= 1 + 25 else Outage("gone")

    with pytest.raises(Outage):
        await ran(chosen, Scripted(goes_away))
    shown, journal = await ran(chosen, Scripted(talk))
    assert shown[0] == ("round 1/1", 40, {"kept": 20, "dropped": 0, "failed": 0})
    assert (journal.hits, journal.asked) == (0, 20)
    assert made(tmp_path / "run") == made(tmp_path / "whole")


async def test_the_last_that_are_left_may_fail(tmp_path: Path) -> None:
    chosen = plan(tmp_path, 30, in_flight=1)
    await stopped(chosen, 1 + 30, 3)
    _, journal = await ran(chosen, Scripted(lambda request: Unavailable("torn")))
    assert journal.asked == 2
    counts = json.loads((tmp_path / "run.json").read_text())["counts"]
    assert counts == {"seeds": 30, "kept": 28, "dropped": 0, "failed": 2}


async def test_rounds_and_shards_go_on_each_with_its_own(tmp_path: Path) -> None:
    recipe = Toy(rounds=2)
    await ran(plan(tmp_path / "whole", 30, recipe=recipe), Scripted(talk))
    seeds = [json.loads(line)["id"] for line in (tmp_path / "whole/seeds.jsonl").read_text().splitlines()]
    total = sum(map(Shard(0, 2).has, seeds))
    shard, other = [plan(tmp_path / "run", 30, recipe=recipe, in_flight=1, shard=Shard(at, 2)) for at in range(2)]
    shard.claim()
    async with asyncio.TaskGroup() as group:
        group.create_task(ran(other, Scripted(talk), "journal-1.sqlite"))
        await stopped(shard, 1 + 5 + 1)
        await stopped(shard, (total - 5) + 3 + 1)
        shown, journal = await ran(shard, Scripted(talk))
    begun = next(counts for phase, _, counts in shown if phase == "round 2/2")
    assert begun == {"kept": 3, "dropped": 0, "failed": 0}
    assert (journal.hits, journal.asked) == (0, total - 3)
    for name in FILES[:-1]:
        assert (tmp_path / "run" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


async def test_a_retry_goes_on(tmp_path: Path) -> None:
    await ran(plan(tmp_path / "whole", 12), Scripted(talk))
    chosen = plan(tmp_path / "run", 12, in_flight=1)
    await ran(chosen, until(0, 2, 5, 7, 9))
    chosen.retry()
    await stopped(chosen, 3)
    shown, journal = await ran(chosen, Scripted(talk))
    assert shown[0] == ("round 1/1, retry 1", 12, {"kept": 10, "dropped": 0, "failed": 0})
    assert (journal.hits, journal.asked) == (0, 2)
    shutil.move(tmp_path / "run/rounds/1/0-of-1.retry-1.jsonl", tmp_path / "run/rounds/1/0-of-1.jsonl")
    assert made(tmp_path / "run") == made(tmp_path / "whole")


async def test_what_a_kill_leaves_beside_a_finished_round_is_removed(tmp_path: Path) -> None:
    chosen = plan(tmp_path, 6, recipe=Toy(rounds=2), in_flight=1)
    await stopped(chosen, 1 + 6 + 2)
    left = files(part(tmp_path, 1, Shard()))
    for each in left:
        each.write_bytes(b"of no use")
    await ran(chosen, Scripted(talk))
    assert not any(each.exists() for each in left)


# ---- what must not be used ------------------------------------------------------------------------------------------


async def test_a_replay_is_from_the_journal_alone(tmp_path: Path) -> None:
    await ran(plan(tmp_path / "whole", 12), Scripted(talk))
    chosen = plan(tmp_path / "run", 12, in_flight=1)
    await stopped(chosen, 1 + 5 + 1)
    rows = files(part(tmp_path / "run", 1, Shard()))[0]
    rows.write_bytes(rows.read_bytes().replace(b"So be it.", b"Not at al"))
    chosen.reopen()
    _, journal = await ran(chosen, Scripted(talk))
    assert (journal.hits, journal.asked) == (1 + 5, 7)
    assert made(tmp_path / "run") == made(tmp_path / "whole")


@pytest.mark.parametrize("changed", ["seeds.jsonl", "rounds/1/0-of-1.jsonl"])
async def test_what_was_made_of_other_seeds_or_another_pool_is_made_again(tmp_path: Path, changed: str) -> None:
    chosen = plan(tmp_path, 6, recipe=Toy(rounds=2), in_flight=1)
    await stopped(chosen, 1 + 6 + 4)
    path = tmp_path / changed
    before = path.read_text()
    path.write_text(before.replace('"number": 3', '"number": 8') if "seeds" in changed else before.replace("So", "Oh"))
    assert path.read_text() != before
    shown, journal = await ran(chosen, Scripted(talk))
    assert shown[0] == ("round 2/2", 6, {"kept": 0, "dropped": 0, "failed": 0})
    assert journal.hits + journal.asked == 6


# ---- comparing a round's dialogues ----------------------------------------------------------------------------------


async def test_a_finished_round_is_compared_once(tmp_path: Path) -> None:
    same = Scripted(lambda request: "User 1: Hello, hello.\nUser 2: Yes, it is.")
    chosen = plan(tmp_path, 8, recipe=Toy(rounds=2), in_flight=1)
    with pytest.raises(StorageError):
        await ran(chosen, Scripted([*["User 1: Hello, hello.\nUser 2: Yes, it is."] * 10, StorageError("full")]))
    path = tmp_path / "rounds/1/across.json"
    told = json.loads(path.read_text())
    assert len(told["dropped"]) == 5
    first = sorted(told["dropped"])[0]
    told["dropped"] = {first: ["stock-openers", "as it is written"]}
    path.write_text(json.dumps(told))
    await ran(chosen, same)
    assert json.loads((tmp_path / "run.json").read_text())["funnel"][0]["dropped"] == {"stock-openers": 1}

    path.write_text(json.dumps(told | {"source": "other outcomes"}))
    (tmp_path / "run.json").write_text((tmp_path / "run.json").read_text().replace('"complete"', '"running"'))
    await ran(chosen, same)
    assert json.loads((tmp_path / "run.json").read_text())["funnel"][0]["dropped"] == {"stock-openers": 5}


# ---- two processes, and what is shown -------------------------------------------------------------------------------


async def test_a_second_run_in_the_same_folder_is_told_and_spoils_nothing(tmp_path: Path) -> None:
    await ran(plan(tmp_path / "whole", 30), Scripted(talk))
    chosen = plan(tmp_path / "run", 30, in_flight=4)
    first = asyncio.create_task(ran(chosen, Dawdling(Scripted(talk), 1)))
    while not files(part(tmp_path / "run", 1, Shard()))[1].exists():
        await asyncio.sleep(0.001)
    with pytest.raises(UserError, match=r"rounds/1/0-of-1\.jsonl: another process is at work on it"):
        await ran(chosen, Scripted(talk))
    await first
    assert made(tmp_path / "run") == made(tmp_path / "whole")


def test_progress_begins_where_the_run_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress(None) as show:
        show("round 1/1", 4, {"kept": 2, "dropped": 1, "failed": 0})
        show("round 1/1", 4, {"kept": 3, "dropped": 1, "failed": 0})
    said = capsys.readouterr().err
    assert "75%" in said
    assert "3/4 [00:00<?" in said, "what was done before is no measure of what is left"
    assert "4/4" in said
