"""Retrying: bounded, by kind, with waits that grow and never hold a permit."""

from __future__ import annotations

import asyncio
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthesis.engine import Reply, Request
from synthesis.engines.connect import Bounded
from synthesis.engines.retry import Backoff, Retrying
from synthesis.engines.scripted import Scripted
from synthesis.errors import ContextOverflow, EngineError, Overloaded, RequestRefused, Unavailable, Unsupported

ASKED = Request(stage="test", prompt="hello", max_new_tokens=5)
QUICK = Backoff(retries=3, busy_retries=5, first=0.001, longest=0.002)


async def test_a_fault_that_passes_is_not_seen() -> None:
    script = Scripted([Unavailable("reset"), Overloaded("busy"), Unavailable("reset"), "at last"])
    assert (await Retrying(script, QUICK)(ASKED)).text == "at last"
    assert len(script.requests) == 4


@pytest.mark.parametrize(("error", "tries"), [(Unavailable("connection reset"), 4), (Overloaded("full", 0.001), 6)])
async def test_tries_are_bounded_and_told_with_the_last_cause(error: EngineError, tries: int) -> None:
    script = Scripted(lambda _: error)
    with pytest.raises(type(error), match=rf"{error} \(gave up after {tries} tries in \d+\.\d s\)") as caught:
        await Retrying(script, QUICK)(ASKED)
    assert len(script.requests) == tries
    assert caught.value.__cause__ is error


@pytest.mark.parametrize("error", [RequestRefused("no"), ContextOverflow("long"), Unsupported("never")])
async def test_what_will_stay_wrong_is_asked_once(error: EngineError) -> None:
    script = Scripted([error, "unreachable"])
    with pytest.raises(type(error)) as caught:
        await Retrying(script, QUICK)(ASKED)
    assert caught.value is error
    assert len(script.requests) == 1


async def test_retry_after_is_waited_for() -> None:
    script = Scripted([Overloaded("busy", 0.2), "ok"])
    started = time.monotonic()
    await Retrying(script, QUICK)(ASKED)
    assert time.monotonic() - started >= 0.2


async def test_a_retry_after_beyond_patience_ends_it() -> None:
    script = Scripted(lambda _: Overloaded("busy", 3600.0))
    with pytest.raises(Overloaded, match="gave up after 1 try"):
        await Retrying(script, QUICK)(ASKED)


@given(st.integers(1, 400), st.floats(0.01, 10), st.floats(0.01, 100))
def test_waits_stay_within_their_bounds(times: int, first: float, longest: float) -> None:
    backoff = Backoff(retries=200, busy_retries=300, first=first, longest=longest)
    for error, most in ((Unavailable("x"), 200), (Overloaded("x"), 300)):
        wait = backoff.wait(times, error)
        if times > most:
            assert wait is None
        else:
            assert wait is not None
            assert 0.0 <= wait <= min(longest, first * 2.0 ** min(times - 1, 1000))


async def test_no_permit_is_held_while_waiting() -> None:
    async def engine(request: Request) -> Reply:
        if request.prompt == "stuck":
            raise Overloaded("busy", 30.0)
        return Reply("through", "eos_token", 1, 1)

    retrying = Retrying(Bounded(engine, 1), QUICK)
    stuck = asyncio.create_task(retrying(Request(stage="test", prompt="stuck", max_new_tokens=1)))
    await asyncio.sleep(0.01)
    async with asyncio.timeout(1):
        assert (await retrying(ASKED)).text == "through"
    stuck.cancel()
    with pytest.raises(asyncio.CancelledError):
        await stuck


async def test_at_most_so_many_at_a_time() -> None:
    now = most = 0

    async def engine(request: Request) -> Reply:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await asyncio.sleep(0.002)
        now -= 1
        return Reply("x", "eos_token", 1, 1)

    bounded = Bounded(engine, 3)
    await asyncio.gather(*(bounded(ASKED) for _ in range(20)))
    assert most == 3
