"""Guard: a round that only fails is stopped early, one that fails here and there is not."""

from __future__ import annotations

import pytest

from synthesis.errors import EngineError, Outage, Quarantined, RequestRefused, Unsupported
from synthesis.guard import Guard

REFUSED = RequestRefused("422: no grammar")
POISON = Quarantined("500", "key", RequestRefused("x"), 0.0)


def seen(guard: Guard, *errors: EngineError | None) -> int:
    """How many outcomes it looked at until it stopped the round, or all."""
    for count, error in enumerate(errors, 1):
        try:
            guard.see(error)
        except Outage:
            return count
    return len(errors) + 1


@pytest.mark.parametrize("error", [REFUSED, Unsupported("no grammar"), POISON])
@pytest.mark.parametrize(("in_flight", "stopped"), [(1, 10), (5, 10), (64, 128)])
def test_a_round_that_only_fails_is_stopped(error: EngineError, in_flight: int, stopped: int) -> None:
    assert seen(Guard(100_000, in_flight), *[error] * 200) == stopped


def test_the_message_says_how_many_and_why() -> None:
    guard = Guard(2, 1)
    guard.see(REFUSED)
    with pytest.raises(Outage, match=r"all of the first 2 dialogues failed: 422: no grammar.*start the same command"):
        guard.see(REFUSED)


@pytest.mark.parametrize("at", [0, 5, 8])
def test_one_that_does_not_fail_is_enough(at: int) -> None:
    errors: list[EngineError | None] = [REFUSED] * 1000
    errors[at] = None
    assert seen(Guard(100_000, 1), *errors) == 1001


def test_of_few_all_must_be_refused() -> None:
    assert seen(Guard(4, 64), REFUSED, REFUSED, REFUSED, REFUSED) == 4
    assert seen(Guard(4, 64), REFUSED, None, REFUSED, REFUSED) == 5


@pytest.mark.parametrize("total", [1, 2, 9])
def test_a_few_requests_in_quarantine_cost_their_rows(total: int) -> None:
    assert seen(Guard(total, 64), *[POISON] * total) == total + 1


def test_seeds_that_had_failed_before_may_fail_again() -> None:
    assert seen(Guard(None, 1), *[REFUSED] * 1000) == 1001
