"""Traffic, its histogram, what it costs, and the page that a metrics collector reads."""

from __future__ import annotations

import asyncio
import json
import math
import random
import re

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthesis.engine import Reply, Request
from synthesis.engines.scripted import Scripted
from synthesis.engines.traffic import Asked, Histogram, Observed, Traffic
from synthesis.errors import Overloaded, Unavailable, UserError
from synthesis.openmetrics import BOUNDS, CONTENT_TYPE, page, served
from synthesis.price import Price
from synthesis.progress import Progress

SECONDS = st.lists(st.floats(1e-4, 1e4), min_size=1, max_size=60)


def asked(role: str = "generator", stage: str = "talk") -> Request:
    return Request(stage, 9, prompt="say it", role=role)


@given(SECONDS, st.floats(0.01, 1.0))
def test_percentiles_are_within_two_percent(seconds: list[float], share: float) -> None:
    histogram = Histogram()
    for each in seconds:
        histogram.add(each)
    true = sorted(seconds)[max(1, math.ceil(share * len(seconds))) - 1]
    assert histogram.percentile(share) == pytest.approx(true, rel=0.021)


@given(SECONDS, st.lists(st.integers(0, 3), min_size=60, max_size=60))
def test_histograms_add_up_however_the_durations_were_split(seconds: list[float], where: list[int]) -> None:
    whole, parts, sum_ = Histogram(), [Histogram() for _ in range(4)], Histogram()
    for each, part in zip(seconds, where, strict=False):
        whole.add(each)
        parts[part].add(each)
    for part_ in parts:
        sum_.merge(part_)
    assert sum_.buckets == whole.buckets
    assert sum_.count == len(seconds)
    assert sum_.total == pytest.approx(whole.total)
    assert sum_.facts() == whole.facts()


@given(st.lists(st.tuples(st.sampled_from(["replied", "later", "torn"]), st.integers(0, 3), st.floats(1e-4, 1e4))))
def test_traffic_adds_up_however_it_was_split(events: list[tuple[str, int, float]]) -> None:
    whole, parts, sum_ = Traffic(), [Traffic() for _ in range(4)], Traffic()
    for what, number, seconds in events:
        request = asked("critic" if number % 2 else "generator", f"stage {number % 3}")
        for traffic in (whole, parts[number]):
            traffic.sent(request)
            if what == "replied":
                traffic.answered(request, seconds, Reply("a b", "eos_token", number, 2))
            else:
                traffic.refused(Overloaded if what == "later" else Unavailable)
    for part in parts:
        sum_.merge(Traffic.from_json(json.loads(json.dumps(part.to_json())), "here"))
    assert sum_.facts() == whole.facts()
    for part in parts[1:]:
        sum_.merge(part, -1)
    assert (sum_.requests, sum_.whole().counts()) == (parts[0].requests, parts[0].whole().counts())


def test_a_histogram_does_not_grow() -> None:
    histogram, rng = Histogram(), random.Random(1)
    for _ in range(100_000):
        histogram.add(10 ** rng.uniform(-9, 9))
    assert histogram.count == 100_000
    assert len(histogram.buckets) < 600
    assert Histogram().percentile(0.5) is None


async def test_tries_replies_refusals_and_retries_are_told_apart() -> None:
    traffic = Traffic()
    lines = [Overloaded("later"), Unavailable("torn"), "one two three", "four", Unavailable("torn")]
    tried = Observed(Scripted(lines), traffic)

    async def insisting(request: Request) -> Reply:
        while True:
            try:
                return await tried(request)
            except (Overloaded, Unavailable):
                assert traffic.in_flight == 0
                if traffic.requests == 5:
                    raise

    engine = Asked(insisting, traffic)
    await engine(asked())
    await engine(asked("critic", "judge"))
    with pytest.raises(Unavailable):
        await engine(asked())
    told = traffic.facts()
    latencies = [told.pop("latency"), *(stage.pop("latency") for stage in told["stages"])]
    assert told == {
        "requests": 5,
        "answered": 2,
        "retries": 2,
        "overloaded": 1,
        "faults": {"Unavailable": 2},
        "tokens_in": 4,
        "tokens_out": 4,
        "roles": {
            "critic": {"answered": 1, "tokens_in": 2, "tokens_out": 1},
            "generator": {"answered": 1, "tokens_in": 2, "tokens_out": 3},
        },
        "stages": [
            {"name": "judge", "role": "critic", "answered": 1, "tokens_in": 2, "tokens_out": 1},
            {"name": "talk", "role": "generator", "answered": 1, "tokens_in": 2, "tokens_out": 3},
        ],
    }
    for latency in latencies:
        assert latency["p50"] <= latency["p99"] < 1


def test_a_role_is_the_sum_of_its_stages_and_latencies_are_those_of_all() -> None:
    traffic = Traffic()
    for stage, seconds in (("deep", 1.0), ("deep", 1.0), ("wide", 4.0)):
        request = asked("critic", stage)
        traffic.sent(request)
        traffic.answered(request, seconds, Reply("a", "eos_token", 10, 1))
    told = traffic.facts()
    assert told["roles"] == {"critic": {"answered": 3, "tokens_in": 30, "tokens_out": 3}}
    assert [each["latency"]["p99"] for each in told["stages"]] == [
        pytest.approx(1.0, rel=0.021),
        pytest.approx(4, 0.021),
    ]
    assert told["latency"] == {"p50": told["stages"][0]["latency"]["p50"]} | {
        name: told["stages"][1]["latency"][name] for name in ("p90", "p99")
    }


async def test_a_cancelled_try_is_not_in_flight() -> None:
    traffic = Traffic()

    async def silent(request: Request) -> Reply:
        await asyncio.sleep(60)
        raise AssertionError("unreachable")

    task = asyncio.create_task(Asked(Observed(silent, traffic), traffic)(asked()))
    await asyncio.sleep(0)
    assert traffic.in_flight == 1
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert traffic.in_flight == 0
    assert traffic.faults == {"CancelledError": 1}


def test_cost_by_stage_and_role() -> None:
    stages = [
        {"role": "generator", "name": "talk", "tokens_in": 1_000_000, "tokens_out": 500_000},
        {"role": "critic", "name": "wit", "tokens_in": 2_000_000, "tokens_out": 0},
        {"role": "critic", "name": "depth", "tokens_in": 0, "tokens_out": 1_000},
    ]
    assert Price(0.5, 2.0).facts(stages) == {
        "price_in": 0.5,
        "price_out": 2.0,
        "stages": {"critic": {"depth": 0.002, "wit": 1.0}, "generator": {"talk": 1.5}},
        "roles": {"critic": 1.002, "generator": 1.5},
        "total": 2.502,
    }


def test_progress_tells_the_speed_of_this_process_and_the_cost_of_all(capsys: pytest.CaptureFixture[str]) -> None:
    traffic = Traffic()
    traffic.sent(asked())
    traffic.answered(asked(), 0.2, Reply("one", "eos_token", 1_000_000, 0))
    with Progress(traffic, Price(2.0, 0.0), spent=40.0) as show:
        show("round 1/1", 1, {"kept": 1})
    said = capsys.readouterr().err
    assert "cost 42" in said
    assert "0 tokens/s" in said


# ---- the page -------------------------------------------------------------------------------------------------------

_SAMPLE = re.compile(r'(?P<name>[a-z_]+)(?:\{(?P<labels>(?:[a-z]+="(?:[^"\\\n]|\\["\\n])*",?)*)\})? (?P<value>\S+)')
_SUFFIXES = {"counter": {"_total"}, "gauge": {""}, "histogram": {"_bucket", "_count", "_sum"}}


def read(text: str) -> dict[str, list[tuple[str, str, float]]]:
    """Samples (suffix, labels, value) by family, if the page keeps OpenMetrics' grammar."""
    lines = text.split("\n")
    assert lines[-2:] == ["# EOF", ""]
    families: dict[str, list[tuple[str, str, float]]] = {}
    kinds: dict[str, str] = {}
    last = ""
    for line in lines[:-2]:
        if line.startswith("# "):
            _, what, name, rest = line.split(" ", 3)
            assert what in ("TYPE", "HELP", "UNIT")
            if what == "TYPE":
                assert name not in families, "a family's lines stand together"
                kinds[name], families[name], last = rest, [], name
            assert name == last
            assert what != "UNIT" or name.endswith(f"_{rest}")
            continue
        found = _SAMPLE.fullmatch(line)
        assert found, line
        suffix = found["name"].removeprefix(last)
        assert suffix in _SUFFIXES[kinds[last]], line
        families[last].append((suffix, found["labels"] or "", float(found["value"])))
    return families


async def test_the_page_is_openmetrics() -> None:
    traffic = Traffic()
    engine = Asked(Observed(Scripted(["one two", Overloaded("later"), Unavailable("torn")]), traffic), traffic)
    await engine(asked(stage='a "quoted"\nstage\\'))
    for kind in (Overloaded, Unavailable):
        with pytest.raises(kind):
            await engine(asked())
    traffic.sent(asked())
    traffic.answered(asked(), 0.2, Reply("one", "eos_token", 2, 1))
    found = read(page(traffic, {"kept": 3, "failed": 1}))
    assert found["parley_dialogues"] == [
        ("", 'outcome="kept"', 3),
        ("", 'outcome="dropped"', 0),
        ("", 'outcome="failed"', 1),
    ]
    assert found["parley_requests"] == [("_total", "", 4)]
    assert found["parley_answers"] == [("_total", "", 2)]
    assert found["parley_in_flight"] == [("", "", 0)]
    assert found["parley_overloaded"] == [("_total", "", 1)]
    assert found["parley_faults"] == [("_total", 'kind="Unavailable"', 1)]
    labels = r'role="generator",stage="a \"quoted\"\nstage\\",direction="out"'
    assert found["parley_tokens"][1] == ("_total", labels, 2)
    buckets = [value for suffix, _, value in found["parley_latency_seconds"] if suffix == "_bucket"]
    assert buckets == sorted(buckets)
    assert len(buckets) == len(BOUNDS) + 1
    assert buckets[BOUNDS.index(0.1)] == 1
    assert buckets[BOUNDS.index(0.25)] == buckets[-1] == 2
    assert ("_count", "", 2) in found["parley_latency_seconds"]


async def test_the_page_is_served_while_the_run_lasts() -> None:
    traffic = Traffic()
    async with served(0, lambda: page(traffic, {})) as address, aiohttp.ClientSession() as session:
        assert address
        for requests in (0, 1):
            async with session.get(address) as response:
                assert response.headers["Content-Type"] == CONTENT_TYPE
                assert read(await response.text())["parley_requests"] == [("_total", "", requests)]
            traffic.sent(asked())
        port = int(address.split(":")[2].split("/")[0])
        with pytest.raises(UserError, match=f"--metrics-port {port}: .*choose another"):
            async with served(port, lambda: ""):
                pass
    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.ClientError):
            await session.get(address)
    async with served(None, lambda: "") as nothing:
        assert nothing is None
