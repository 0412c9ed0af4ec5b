"""Retrying: a fault is worth a bounded number of tries, with waits that grow; then the request is in quarantine."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthesis.engine import Request
from synthesis.engines.retry import Backoff, Refusals, Retrying
from synthesis.engines.scripted import Scripted
from synthesis.errors import (
    ContextOverflow,
    EngineError,
    Outage,
    Overloaded,
    Quarantined,
    RequestRefused,
    Unavailable,
    Unsupported,
)

ASKED = Request(stage="test", prompt="hello", max_new_tokens=5)
QUICK = Backoff(retries=3, busy_retries=5, first=0.001, longest=0.002)


async def test_a_fault_that_passes_is_not_seen() -> None:
    script = Scripted([Unavailable("reset"), Unavailable("reset"), "at last"])
    assert (await Retrying(script, QUICK)(ASKED)).text == "at last"
    assert len(script.requests) == 3


@pytest.mark.parametrize(("error", "tries"), [(Unavailable("connection reset"), 4), (Overloaded("full"), 1)])
async def test_a_request_that_always_fails_goes_into_quarantine(error: EngineError, tries: int) -> None:
    script = Scripted(lambda _: error)
    words = "try" if tries == 1 else "tries"
    with pytest.raises(Quarantined, match=rf"{error} \(gave up after {tries} {words} in \d+\.\d s\)") as caught:
        await Retrying(script, QUICK, "model")(ASKED)
    assert len(script.requests) == tries
    assert caught.value.cause is caught.value.__cause__ is error
    assert caught.value.key == ASKED.key("model")
    assert caught.value.key[:16] in str(caught.value)


async def test_quarantine_names_the_request_as_its_role_does() -> None:
    retrying = Retrying(Scripted(lambda _: Unavailable("gone")), QUICK, {"generator": "g", "critic": "c"})
    with pytest.raises(Quarantined) as caught:
        await retrying(Request(stage="test", prompt="hello", max_new_tokens=5, role="critic"))
    assert caught.value.key == ASKED.key("c")


@pytest.mark.parametrize(
    "error", [RequestRefused("no"), ContextOverflow("long"), Unsupported("never"), Outage("gone")]
)
async def test_what_will_stay_wrong_is_asked_once(error: EngineError) -> None:
    script = Scripted([error, "unreachable"])
    with pytest.raises(type(error)) as caught:
        await Retrying(script, QUICK)(ASKED)
    assert caught.value is error
    assert len(script.requests) == 1


def test_a_request_is_given_up_that_was_passed_over_often_and_for_long() -> None:
    now = 0.0
    refusals = Refusals(Backoff(busy_retries=2, patience=10.0), lambda: now)
    assert not refusals.add(5)
    now = 100.0
    assert not refusals.add(5), "nobody was answered in between"
    assert not refusals.add(6), "for long, but not often"
    assert refusals.add(7)
    refusals = Refusals(Backoff(busy_retries=2, patience=10.0), lambda: now)
    assert not any(refusals.add(replies) for replies in range(50)), "often, but not for long"
    now = 110.0
    assert refusals.add(50)


@given(st.integers(1, 400), st.floats(0.01, 10), st.floats(0.01, 100))
def test_waits_stay_within_their_bounds(times: int, first: float, longest: float) -> None:
    assert 0.0 <= Backoff(first=first, longest=longest).jitter(times) <= min(longest, first * 2.0 ** (times - 1))
