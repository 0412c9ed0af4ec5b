"""Admitted: never more out than the window, refusals shrink it to what is taken, replies grow it, nobody starves."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from random import Random
from statistics import median

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from synthesis.engine import Reply, Request
from synthesis.engines.admission import Admitted, Window
from synthesis.engines.retry import Backoff
from synthesis.errors import Overloaded, Unavailable, Unreachable
from tests.stays import Stays

QUICK = Backoff(busy_retries=5, first=0.001, longest=0.01, patience=60.0)
SAID = Reply("x", "eos_token", 1, 1)


def number(value: int | str) -> Request:
    return Request(stage="test", prompt=str(value), max_new_tokens=5)


class Hall:
    """A server that takes `places` at a time, each for `seconds`, and refuses the rest.

    `order`: the prompts that were let in.
    """

    def __init__(self, places: int, seconds: float, retry_after: float | None = None) -> None:
        self.places, self.seconds, self.retry_after = places, seconds, retry_after
        self.inside = self.most = self.refused = self.asked = 0
        self.order: list[str] = []
        self.stays = Stays()

    async def __call__(self, request: Request) -> Reply:
        self.asked += 1
        await asyncio.sleep(0)
        if self.inside >= self.places:
            self.refused += 1
            raise Overloaded("full", self.retry_after)
        self.inside += 1
        self.most = max(self.most, self.inside)
        self.order.append(str(request.prompt))
        try:
            with self.stays.stay():
                await asyncio.sleep(self.seconds)
        finally:
            self.inside -= 1
        return SAID


# ---- the window -----------------------------------------------------------------------------------------------------


class WindowMachine(RuleBasedStateMachine):
    """Any order of sending, replies, refusals and losses."""

    def __init__(self) -> None:
        super().__init__()
        self.window = Window(20, 32)
        self.out: list[int] = []
        self.cut = 0  # the first request after the last decrease

    @precondition(lambda self: self.window.room)
    @rule()
    def send(self) -> None:
        serial = self.window.sent()
        assert not self.out or serial > max(self.out), "each request has a number of its own"
        self.out.append(serial)

    @precondition(lambda self: self.out)
    @rule(data=st.data())
    def reply(self, data: st.DataObject) -> None:
        serial, before, full = self.pick(data), self.window.size, not self.window.room
        self.window.replied(serial)
        assert before <= self.window.size <= before + 1
        assert full or self.window.size == before, "an idle window does not grow"

    @precondition(lambda self: self.out)
    @rule(data=st.data())
    def refuse(self, data: st.DataObject) -> None:
        serial, before = self.pick(data), self.window.size
        self.window.refused(serial, dear=data.draw(st.booleans()))
        first = serial >= self.cut
        least = min(before * (0.9 if first else 1.0), len(self.out))
        assert self.window.size == pytest.approx(max(1.0, least)), "a tenth once a round trip, and to what is out"
        if first:
            self.cut = serial + 1 if not self.out else max(serial, *self.out) + 1
            assert self.window.size < before or before == 1.0

    @precondition(lambda self: self.out)
    @rule(data=st.data())
    def lose(self, data: st.DataObject) -> None:
        serial, before = self.pick(data), self.window.size
        self.window.lost(serial)
        assert self.window.size == before

    def pick(self, data: st.DataObject) -> int:
        return self.out.pop(data.draw(st.integers(0, len(self.out) - 1)))

    @invariant()
    def bounded(self) -> None:
        assert 1.0 <= self.window.size <= 32
        assert self.window.out == len(self.out)
        assert 1 / 8 <= self.window.gentle <= 64


WindowMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=60, deadline=None)
TestWindow = WindowMachine.TestCase


@pytest.mark.parametrize(("dear", "most"), [(False, 100), (True, 40)])
def test_a_limit_is_probed_the_less_the_more_a_refusal_costs(dear: bool, most: int) -> None:
    window, refused = Window(8, 64), 0
    for _ in range(400):  # round trips, of which 8 requests each are taken
        batch = []
        while window.room:
            batch.append(window.sent())
        for serial in batch[8:]:
            refused += 1
            window.refused(serial, dear)
        for serial in batch[:8]:
            window.replied(serial)
    assert window.size >= 7
    assert 0 < refused <= most


@given(st.floats(-5, 500), st.integers(-2, 100))
def test_a_window_starts_within_its_bounds(start: float, limit: int) -> None:
    window = Window(start, limit)
    assert 1.0 <= window.size <= window.limit
    assert window.room


@given(st.integers(1, 60), st.integers(1, 60))
def test_a_window_finds_what_a_server_takes_and_stays_there(places: int, start: int) -> None:
    window, sizes, refused = Window(start, 64), [], 0
    for _ in range(200):  # round trips in which whatever may go is sent, and only `places` are taken
        batch = []
        while window.room:
            batch.append(window.sent())
        for serial in batch[places:]:
            refused += 1
            window.refused(serial)
        for serial in batch[:places]:
            window.replied(serial)
        sizes.append(window.size)
    assert max(sizes[-10:]) < places + 2, "probes go one beyond"
    assert min(sizes[-10:]) >= min(0.9 * places, 60), "and cost a tenth at most"
    assert refused <= max(0, start - places) + 100


# ---- the engine around it -------------------------------------------------------------------------------------------


async def test_a_server_that_takes_few_is_kept_busy() -> None:
    hall = Hall(8, 0.02)
    admitted = Admitted(hall, 64, backoff=QUICK)
    await asyncio.gather(*(admitted(number(n)) for n in range(300)))
    assert median(hall.stays.companies) >= 7, "there is hardly ever room for two"
    assert hall.most == 8
    assert hall.refused < 56 + 40, "one burst, then few probes"


async def test_the_oldest_goes_first_and_a_refused_one_keeps_its_place() -> None:
    hall = Hall(1, 0.002)
    admitted = Admitted(hall, 4, backoff=QUICK)
    await asyncio.gather(*(admitted(number(n)) for n in range(40)))
    assert sorted(map(int, hall.order)) == list(range(40))
    late = [abs(int(name) - place) for place, name in enumerate(hall.order)]
    assert max(late) <= 4, "only what was out at the same time may change places"


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 9), st.integers(1, 20))
def test_whatever_happens_everybody_is_answered_and_the_window_holds(seed: int, places: int, start: int) -> None:
    rng, out, over = Random(seed), 0, []

    async def moody(request: Request) -> Reply:
        nonlocal out
        out += 1
        over.append(out > int(admitted.window.size) and out > places)
        try:
            await asyncio.sleep(rng.choice((0, 0, 0.0005)))
            if out > places or rng.random() < 0.1:
                raise Overloaded("no", rng.choice((None, 0.001)))
            if rng.random() < 0.1:
                raise Unavailable("fault")
        finally:
            out -= 1
        return SAID

    admitted = Admitted(moody, start, backoff=Backoff(busy_retries=10_000, first=0.0005, longest=0.001))

    async def ask(n: int) -> str:
        while True:
            try:
                return (await admitted(number(n))).text
            except (Overloaded, Unreachable):
                await asyncio.sleep(max(0.0, admitted.held_until - time.monotonic()))
            except Unavailable:
                return "fault"

    async def all_of_them() -> list[str]:
        async with asyncio.timeout(20):
            return await asyncio.gather(*(ask(n) for n in range(60)))

    ends = asyncio.run(all_of_them())
    assert set(ends) <= {"x", "fault"}
    assert admitted.window.out == 0
    assert not any(over)


async def test_a_time_that_was_named_is_for_everybody() -> None:
    release = asyncio.Event()

    async def engine(request: Request) -> Reply:
        if request.prompt == "one too many":
            await asyncio.sleep(0)
            raise Overloaded("busy", 30.0)
        await release.wait()
        return SAID

    admitted = Admitted(engine, 3, backoff=QUICK)
    out = [asyncio.create_task(admitted(number(n))) for n in range(2)]
    await asyncio.sleep(0)
    waiting = [asyncio.create_task(admitted(number(name))) for name in ("one too many", "queued", "queued as well")]
    begun = time.monotonic()
    ends = await asyncio.gather(*waiting, return_exceptions=True)
    assert isinstance(ends[0], Overloaded)
    assert ends[0].retry_after == 30.0
    assert [str(end) for end in ends[1:]] == ["busy; it asks for 30 s"] * 2
    assert all(isinstance(end, Unreachable) for end in ends[1:]), "they may go elsewhere"
    assert begun + 30.0 <= admitted.held_until <= time.monotonic() + 33.0, (
        "a little later, and not all clients at once"
    )
    assert admitted.window.out == 2, "who is out goes on, and no place is held by the others"
    release.set()
    assert await asyncio.gather(*out) == [SAID] * 2


async def test_a_shorter_time_does_not_end_a_longer_one() -> None:
    times = iter([30.0, 1.0])

    async def engine(request: Request) -> Reply:
        raise Overloaded("busy", next(times))

    admitted = Admitted(engine, 3, backoff=QUICK, clock=lambda: 0.0)
    for _ in range(2):
        with pytest.raises(Overloaded):
            await admitted(number(1))
    assert 30.0 <= admitted.held_until <= 33.0


async def test_refusals_that_cost_everybody_time_are_risked_seldom() -> None:
    async def engine(request: Request) -> Reply:
        raise Overloaded("busy", 1.0)

    admitted = Admitted(engine, 3, backoff=QUICK)
    for _ in range(5):
        with pytest.raises(Overloaded):
            await admitted(number(1))
    assert admitted.window.gentle == 32, "doubled each time"


class Picky:
    """Refuses one prompt, as long as `refuses`, and answers all others. `tries`: how often that one came."""

    def __init__(self, refuses: int = 10**9) -> None:
        self.refuses, self.tries = refuses, 0

    async def __call__(self, request: Request) -> Reply:
        await asyncio.sleep(0.0005)
        if request.prompt == "poison" and self.tries < self.refuses:
            self.tries += 1
            raise Overloaded("not you")
        return SAID


async def among_others(picky: Picky, backoff: Backoff) -> tuple[Reply | BaseException, int]:
    """What becomes of the one, and how many others were answered meanwhile."""
    admitted = Admitted(picky, 4, backoff=backoff)
    poison = asyncio.create_task(admitted(number("poison")))
    others = 0
    async with asyncio.timeout(20):
        while not poison.done():
            await asyncio.gather(*(admitted(number(n)) for n in range(4)))
            others += 4
    return (await asyncio.gather(poison, return_exceptions=True))[0], others


async def test_one_that_is_refused_for_long_while_others_are_answered_is_given_up() -> None:
    picky, begun = Picky(), time.monotonic()
    end, others = await among_others(picky, Backoff(busy_retries=5, first=0.001, longest=0.01, patience=0.2))
    assert isinstance(end, Overloaded)
    assert time.monotonic() - begun >= 0.2, "patience is for this as well"
    assert 5 < picky.tries < others, "and it stands in nobody's way"


async def test_one_that_is_refused_again_and_again_lets_the_others_go_first() -> None:
    picky = Picky(refuses=20)
    admitted = Admitted(picky, 4, backoff=QUICK)
    poison = asyncio.create_task(admitted(number("poison")))
    await asyncio.gather(*(admitted(number(n)) for n in range(200)))
    assert 4 <= picky.tries <= 10, "not once for each reply"
    assert await poison is SAID


async def test_how_often_one_is_refused_says_nothing_as_long_as_there_is_patience() -> None:
    picky = Picky(refuses=60)
    end, _ = await among_others(picky, Backoff(busy_retries=5, first=0.001, longest=0.002, patience=60.0))
    assert end is SAID
    assert picky.tries == 60


async def test_a_refusal_of_long_ago_does_not_make_an_endpoint_stubborn() -> None:
    now, refuse = 0.0, True

    async def engine(request: Request) -> Reply:
        nonlocal refuse
        if refuse:
            refuse = request.prompt == "first"
            raise Overloaded("busy")
        return SAID

    admitted = Admitted(engine, 4, backoff=QUICK, clock=lambda: now)
    first = asyncio.create_task(admitted(number("first")))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    now = 1000.0
    assert await admitted(number("second")) is SAID, "refused once, and not for a thousand seconds"


async def test_an_endpoint_that_refuses_everybody_is_not_the_requests_fault() -> None:
    now, hall = 0.0, Hall(0, 0.0)

    def clock() -> float:
        nonlocal now
        now += 0.5
        return now

    admitted = Admitted(hall, 8, backoff=QUICK, clock=clock)
    ends = await asyncio.gather(*(admitted(number(n)) for n in range(20)), return_exceptions=True)
    assert all(isinstance(end, Unreachable) for end in ends)
    assert "refused everything for" in str(ends[0])
    assert hall.asked < 40, "one at a time once nothing is taken"
    hall.places = 1
    assert await admitted(number("again")) is SAID


async def test_who_waits_can_be_sent_away_or_cancelled() -> None:
    hall = Hall(1, 0.05)
    admitted = Admitted(hall, 1, backoff=QUICK)
    tasks = [asyncio.create_task(admitted(number(n))) for n in range(4)]
    await asyncio.sleep(0.01)
    tasks[1].cancel()
    admitted.flush(Unreachable("gone"))
    ends = await asyncio.gather(*tasks, return_exceptions=True)
    assert ends[0] is SAID
    assert isinstance(ends[1], asyncio.CancelledError)
    assert [str(end) for end in ends[2:]] == ["gone", "gone"]
    assert admitted.window.out == 0
    assert admitted.load == 0.0


@pytest.mark.parametrize("crash", [lambda: Unavailable("reset"), lambda: ValueError("bug")])
async def test_a_fault_gives_its_place_back_and_leaves_the_window(crash: Callable[[], Exception]) -> None:
    async def engine(request: Request) -> Reply:
        raise crash()

    admitted = Admitted(engine, 3, backoff=QUICK)
    for n in range(10):
        with pytest.raises(type(crash())):
            await admitted(number(n))
    assert (admitted.window.out, admitted.window.size) == (0, 3.0)
