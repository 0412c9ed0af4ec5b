"""What run.json says was sent is what the servers saw: stopped and resumed, in shards, tried again and replayed."""

from __future__ import annotations

import asyncio
import json
import threading
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from synthesis.__main__ import main
from synthesis.engine import GENERATOR, Info, Reply, Request
from synthesis.engines.connect import connect
from synthesis.engines.journal import Journal
from synthesis.engines.retry import Backoff
from synthesis.engines.traffic import Asked, Traffic
from synthesis.errors import Outage, StorageError, UserError
from synthesis.outcomes import Shard
from synthesis.outcomes import part as outcomes_of
from synthesis.price import Price
from synthesis.recipes.spc import HERE
from synthesis.run import Plan, run
from synthesis.traffic_files import Record, part, read, recorded
from tests.chaos.server import Chaos, Trouble
from tests.clerk_server import Clerk, listening
from tests.fake_tgi import MODEL, SHA
from tests.toy_recipe import Toy, plan

N = 40
QUICK = Backoff(retries=20, first=0.005, longest=0.02, patience=0.3)
PRICE = Price(1.0, 10.0)
ALONE = Shard()


class Seen(Chaos):
    """Chaos that counts the tokens of its good replies."""

    tokens_in = tokens_out = 0

    async def _generate(self, request: web.Request) -> web.Response:
        reply = await super()._generate(request)
        self.tokens_in += int(reply.headers["x-prompt-tokens"])
        self.tokens_out += int(reply.headers["x-generated-tokens"])
        return reply

    def tries_by_call(self) -> Counter[str]:
        """How often each request came, refused ones and those of an outage included."""
        return Counter(json.dumps(body, sort_keys=True) for body in self.asked("/generate"))


def planned(folder: Path, **given: Any) -> Plan:
    return plan(folder, N, **({"recipe": Toy(rounds=2), "info": Info(MODEL, "tgi", SHA), "in_flight": 8} | given))


async def ran(chosen: Plan, url: str | None, backoff: Backoff = QUICK) -> dict[str, Any]:
    """A process of the run, as the command line makes it; without `url` a replay."""
    traffic, journal = Traffic(), chosen.folder / f"journal-{chosen.shard}.sqlite"
    chosen.claim()
    if url is None:
        async with recorded(traffic, chosen.folder, chosen.shard) as record, Journal(None, journal, "m") as kept:
            return await run(chosen, kept, lambda *_: None, lambda: record.facts(None), record.write)
    async with (
        connect(url, environ={}, backoff=backoff, traffic=traffic) as (engine, _),
        recorded(traffic, chosen.folder, chosen.shard) as record,
        Journal(Asked(engine, traffic), journal, "m") as kept,
    ):
        return await run(chosen, kept, lambda *_: None, lambda: record.facts(PRICE), record.write)


def facts_of(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "run.json").read_text())
    return found


def agrees(told: Mapping[str, Any], *servers: Seen) -> None:
    """Whether this is what all the servers have counted, each for a process of its own."""
    came = [server.tries_by_call() for server in servers]
    assert told["requests"] == sum(each.total() for each in came)
    assert told["retries"] == sum(each.total() - len(each) for each in came)
    assert told["answered"] == sum(server.answered.total() for server in servers)
    assert told["overloaded"] == sum(server.refused for server in servers)
    assert sum(told["faults"].values()) == told["requests"] - told["answered"] - told["overloaded"]
    tokens = {
        "tokens_in": sum(each.tokens_in for each in servers),
        "tokens_out": sum(each.tokens_out for each in servers),
    }
    for sums in (told, *told["roles"].values()):
        assert {name: sums[name] for name in tokens} == tokens
    for name in ("answered", *tokens):
        assert sum(stage[name] for stage in told["stages"]) == told[name]
    assert [stage["name"] for stage in told["stages"]] == ["counting", "saying"]


def costs(facts: Mapping[str, Any]) -> None:
    """Whether the cost is that of the traffic: 1 for a million tokens in, 10 for a million out."""
    told, paid = facts["traffic"], facts["cost"]
    assert paid["total"] == pytest.approx((told["tokens_in"] + 10 * told["tokens_out"]) / 1e6)
    assert paid["roles"] == {GENERATOR: paid["total"]}
    assert sum(paid["stages"][GENERATOR].values()) == pytest.approx(paid["total"])


# ---- runs -----------------------------------------------------------------------------------------------------------


async def test_a_run_stopped_by_an_outage_goes_on_adding_and_a_replay_adds_nothing(tmp_path: Path) -> None:
    chosen = planned(tmp_path)
    async with Seen(Trouble("server error", 0.1, outage=(30, 60.0, "reset")), busy_above=5) as first:
        with pytest.raises(Outage):
            await ran(chosen, first.url)
    left = read(part(tmp_path, ALONE))
    agrees(left.facts(), first)
    assert left.requests > 30
    async with Seen(Trouble("server error", 0.1)) as second:
        facts = await ran(chosen, second.url)
    agrees(facts["traffic"], first, second)
    costs(facts)
    assert facts == facts_of(tmp_path)
    assert facts["traffic"]["answered"] == 2 * N + 1 == sum(stage["requests"] for stage in facts["stages"])
    assert facts["traffic"]["retries"]
    assert facts["traffic"]["overloaded"]

    before = part(tmp_path, ALONE).read_bytes()
    chosen.reopen()
    again = await ran(chosen, None)
    assert {name: again[name] for name in ("traffic", "cost")} == {name: facts[name] for name in ("traffic", "cost")}
    assert part(tmp_path, ALONE).read_bytes() == before


async def test_shards_add_up_whoever_publishes_last(tmp_path: Path) -> None:
    plans = [planned(tmp_path, shard=Shard(index, 3)) for index in range(3)]
    servers = [Seen(Trouble("server error", 0.1), seed=index) for index in range(3)]
    async with servers[0], servers[1], servers[2]:
        found = await asyncio.gather(*[ran(each, server.url) for each, server in zip(plans, servers, strict=True)])
    agrees(facts_of(tmp_path)["traffic"], *servers)
    costs(facts_of(tmp_path))
    assert all(facts["traffic"] == found[0]["traffic"] for facts in found), "none knew less than the last"


async def test_a_shards_traffic_is_there_when_its_outcomes_appear(tmp_path: Path) -> None:
    chosen = planned(tmp_path, recipe=Toy(), shard=Shard(0, 2))
    async with Seen() as server:
        running = asyncio.create_task(ran(chosen, server.url))
        while not outcomes_of(tmp_path, 1, chosen.shard).exists():
            await asyncio.sleep(0)
        agrees(read(part(tmp_path, chosen.shard)).facts(), server)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running


async def test_a_run_that_is_interrupted_says_what_was_on_its_way(tmp_path: Path) -> None:
    chosen = planned(tmp_path)
    async with Seen() as first:
        running = asyncio.create_task(ran(chosen, first.url))
        while first.answered.total() < 20:
            await asyncio.sleep(0.001)
        first.latency = 60.0
        while first.at_once < chosen.in_flight:
            await asyncio.sleep(0.001)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        left = read(part(tmp_path, ALONE))
        assert left.requests == first.tries.total() == first.answered.total() + chosen.in_flight
        assert left.faults == {"CancelledError": chosen.in_flight}
    async with Seen() as second:
        facts = await ran(chosen, second.url)
    agrees(facts["traffic"], first, second)
    assert facts["traffic"]["answered"] == 2 * N + 1


async def test_failed_seeds_that_are_tried_again_are_paid_for_as_well(tmp_path: Path) -> None:
    chosen = planned(tmp_path, recipe=Toy())
    impatient = Backoff(retries=2, first=0.005, longest=0.01, patience=0.3)
    async with Seen(Trouble("server error", poisoned=frozenset({3, 17}))) as first:
        facts = await ran(chosen, first.url, impatient)
    assert facts["counts"]["failed"] == 2
    agrees(facts["traffic"], first)
    chosen.retry()
    assert "cost" not in facts_of(tmp_path)
    async with Seen() as second:
        facts = await ran(chosen, second.url)
    assert facts["counts"]["kept"] == N
    assert facts["traffic"]["retries"] == 4
    assert second.tries_by_call().total() == 2
    agrees(facts["traffic"], first, second)
    costs(facts)


async def test_a_run_from_a_journal_alone_says_nothing_of_traffic(tmp_path: Path) -> None:
    async with Seen() as server:
        await ran(planned(tmp_path / "first"), server.url)
    (tmp_path / "again").mkdir()
    journal = f"journal-{ALONE}.sqlite"
    (tmp_path / "again" / journal).write_bytes((tmp_path / "first" / journal).read_bytes())
    facts = await ran(planned(tmp_path / "again"), None)
    assert not {"traffic", "cost"} & set(facts)
    assert not (tmp_path / "again/traffic").exists()


# ---- the file -------------------------------------------------------------------------------------------------------


def send(traffic: Traffic, stage: str = "saying", seconds: float = 0.5) -> None:
    """A request that is answered."""
    request = Request(stage, 9, prompt="say it")
    traffic.sent(request)
    traffic.answered(request, seconds, Reply("one two", "eos_token", 3, 2))


async def test_what_was_counted_is_on_disk_every_now_and_then(tmp_path: Path) -> None:
    traffic = Traffic()
    async with recorded(traffic, tmp_path, ALONE, seconds=0.001):
        for requests in (1, 2):
            send(traffic)
            while read(part(tmp_path, ALONE)).requests < requests:
                await asyncio.sleep(0.001)
    assert read(part(tmp_path, ALONE)) == traffic


async def test_trouble_with_the_disk_is_told_in_the_end_and_loses_nothing_when_it_was_mended(tmp_path: Path) -> None:
    async def troubled(mended: bool) -> None:
        async with recorded(traffic, tmp_path, ALONE, seconds=0.001):
            await asyncio.sleep(0.02)
            if mended:
                (tmp_path / "traffic").unlink()

    traffic = Traffic()
    send(traffic)
    (tmp_path / "traffic").write_text("in the way")
    with pytest.raises(StorageError, match="traffic"):
        await troubled(mended=False)
    await troubled(mended=True)
    assert read(part(tmp_path, ALONE)) == traffic


def test_processes_of_one_shard_add_to_one_file(tmp_path: Path) -> None:
    def work(stage: str) -> None:
        traffic = Traffic()
        record = Record(traffic, tmp_path, ALONE)
        for _ in range(30):
            send(traffic, stage)
            record.write()

    threads = [threading.Thread(target=work, args=(stage,)) for stage in ("one", "two", "one")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    told = Record(Traffic(), tmp_path, ALONE).facts(None)["traffic"]
    assert told["requests"] == 90
    assert {stage["name"]: stage["answered"] for stage in told["stages"]} == {"one": 60, "two": 30}


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"requests": "many"}', '{"requests": null}', "7"])
def test_a_damaged_file_is_named_before_anything_is_sent(tmp_path: Path, text: str) -> None:
    path = part(tmp_path, ALONE)
    path.parent.mkdir()
    path.write_text(text)
    with pytest.raises(UserError, match=r"0-of-1\.json"):
        Record(Traffic(), tmp_path, ALONE)


# ---- the command line -----------------------------------------------------------------------------------------------


async def test_the_command_keeps_traffic_and_prices_it_also_afterwards(tmp_path: Path) -> None:
    folder, log, personas = tmp_path / "run", tmp_path / "log", tmp_path / "personas.jsonl"
    personas.write_text("".join((HERE / "spc_personas.jsonl").read_text().splitlines(keepends=True)[:40]))
    fields: dict[str, Any] = {"personas": personas, "n": 3, "rounds": 1, "growth": 0, "profiles": 12}
    fields |= {"candidates": 1, "exemplars-per-prompt": 1}
    command = ["spc", f"--out={folder}", *[f"--{name}={value}" for name, value in fields.items()]]
    async with listening(Clerk(log, 0.0)) as url:
        assert await asyncio.to_thread(main, [*command, f"--endpoint={url}", "--max-failures=1"]) == 0
        answered = len(log.read_text().split())
        first = facts_of(folder)
        assert first["traffic"]["requests"] == first["traffic"]["answered"] == answered > 10
        assert "cost" not in first
        kept = {path: path.read_bytes() for path in (folder / "traffic").iterdir()}
        assert await asyncio.to_thread(main, [*command, f"--endpoint={url}", "--dry-run"]) == 0
        assert len(log.read_text().split()) > answered
    assert await asyncio.to_thread(main, [*command, "--replay", "--price-out=2"]) == 0
    facts = facts_of(folder)
    assert facts["traffic"] == first["traffic"]
    assert facts["cost"]["total"] == pytest.approx(2 * first["traffic"]["tokens_out"] / 1e6)
    assert {path: path.read_bytes() for path in (folder / "traffic").iterdir()} == kept
