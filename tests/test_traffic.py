"""Traffic, its histogram, what it costs, and the page that a metrics collector reads."""

from __future__ import annotations

import asyncio
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
    latency = told.pop("latency")
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
    }
    assert latency["p50"] <= latency["p99"] < 1


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


def test_cost_by_role() -> None:
    stages = [
        {"role": "generator", "tokens_in": 1_000_000, "tokens_out": 500_000},
        {"role": "critic", "tokens_in": 2_000_000, "tokens_out": 0},
        {"role": "critic", "tokens_in": 0, "tokens_out": 1_000},
    ]
    assert Price(0.5, 2.0).facts(stages) == {
        "price_in": 0.5,
        "price_out": 2.0,
        "roles": {"critic": 1.002, "generator": 1.5},
        "total": 2.502,
    }


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
    traffic.latency.add(0.2)
    found = read(page(traffic, {"kept": 3, "failed": 1}))
    assert found["parley_dialogues"] == [
        ("", 'outcome="kept"', 3),
        ("", 'outcome="dropped"', 0),
        ("", 'outcome="failed"', 1),
    ]
    assert found["parley_requests"] == [("_total", "", 3)]
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
