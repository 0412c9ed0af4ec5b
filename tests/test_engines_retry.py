"""Retrying: a fault is worth a bounded number of tries, with waits that grow; then the request is in quarantine."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthesis.engine import Request
from synthesis.engines.retry import Backoff, Retrying, retried
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


@pytest.mark.parametrize(("error", "tries"), [(Unavailable("reset"), 4), (Overloaded("starting"), 6)])
async def test_the_first_word_is_waited_for_by_kind(error: EngineError, tries: int) -> None:
    script = Scripted(lambda _: error)
    with pytest.raises(type(error), match=rf"gave up after {tries} tries"):
        await retried(lambda: script(ASKED), QUICK)
    assert len(script.requests) == tries
    with pytest.raises(Overloaded, match="gave up after 1 try"):
        await retried(lambda: Scripted([Overloaded("busy", 3600.0)])(ASKED), QUICK)


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
