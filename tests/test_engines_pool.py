"""Pool: least load, conversations at home, endpoints out and back in, and a clear end when none comes back."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any

import pytest

from synthesis.engine import Reply, Request
from synthesis.engines.canary import HARMLESS
from synthesis.engines.pool import Pool
from synthesis.engines.retry import Backoff, Retrying
from synthesis.errors import (
    Barred,
    ContextOverflow,
    KeyRefused,
    Outage,
    Overloaded,
    Quarantined,
    RequestRefused,
    Unavailable,
    Unreachable,
    UserError,
)
from tests.shops import QUICK, Limited, Shop, Slow


def number(value: int | str, conversation: str | None = None) -> Request:
    return Request(stage="test", prompt=f"number {value}", max_new_tokens=5, conversation=conversation)


@asynccontextmanager
async def pool_of(
    *shops: Shop, patience: float = 5.0, silence: float = 60.0, first: float = 0.002, **given: Any
) -> AsyncIterator[Pool]:
    backoff = Backoff(first=first, longest=0.03, patience=patience, silence=silence)
    async with aclosing(Pool(shops, backoff, **given)) as pool:
        yield pool


async def test_requests_go_where_most_room_is() -> None:
    quick, slow = Shop("quick", 0.002), Shop("slow", 0.01)
    async with pool_of(quick, slow) as pool:
        waiting = iter(range(120))

        async def work() -> None:
            for n in waiting:
                await pool(number(n))

        await asyncio.gather(*(work() for _ in range(12)))
    assert len(quick.asked) > 2 * len(slow.asked) > 10


async def test_a_conversation_stays_at_home_while_home_is_well() -> None:
    shops = Shop("a"), Shop("b"), Shop("c")
    async with pool_of(*shops) as pool:
        for turn in range(5):
            await asyncio.gather(*(pool(number(turn, f"talk {n}")) for n in range(12)))
        homes = {request.conversation: shop for shop in shops for request in shop.asked}
        assert sum(len({request.conversation for request in shop.asked}) for shop in shops) == 12, "one home each"
        assert Counter(shop.url for shop in homes.values()) == {"a": 4, "b": 4, "c": 4}
        shops[0].error, shops[0].well = Unreachable("gone"), False
        await asyncio.gather(*(pool(number(9, f"talk {n}")) for n in range(12)))
        assert pool.healthy == ["b", "c"]
        moved = [request.conversation for shop in shops[1:] for request in shop.asked[-6:]]
        assert len(moved) == len(set(moved)) == 12


async def test_one_that_cannot_be_reached_is_out_and_comes_back(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "synthesis")
    good, bad = Shop("good"), Shop("bad")
    bad.error = Unreachable("connection refused")
    async with pool_of(good, bad) as pool:
        replies = await asyncio.gather(*(pool(number(n)) for n in range(40)))
        assert {reply.text for reply in replies} == {"good"}
        assert pool.healthy == ["good"]
        assert bad.flushed == ["bad was taken out: connection refused"]
        tried = len(bad.asked)
        await asyncio.gather(*(pool(number(n)) for n in range(40)))
        assert len(bad.asked) == tried, "nobody is sent there while it is out"
        bad.error = None
        async with asyncio.timeout(30):
            while "bad" not in pool.healthy:
                await pool(number("again"))
                await asyncio.sleep(0.001)
    assert "endpoint bad is taken out: connection refused" in caplog.text
    assert "endpoint bad is back" in caplog.text


async def test_faults_in_a_row_take_one_out_and_faults_here_and_there_do_not() -> None:
    shop = Shop("only")
    async with pool_of(shop, faults=3) as pool:
        for n in range(13):
            shop.error = Unavailable("500") if n % 3 else None
            try:
                await pool(number(n))
            except Unavailable:
                assert n % 3
        assert pool.healthy == ["only"]
        shop.error = Unavailable("500")
        for n in range(3):
            with pytest.raises(Unavailable, match="500"):
                await pool(number(n))
        assert pool.healthy == []
        shop.error = None
        assert (await pool(number("later"))).text == "only"
        assert pool.healthy == ["only"]


async def test_no_request_is_risked_at_an_endpoint_that_only_says_that_it_is_well() -> None:
    shop = Shop("only")
    shop.error, shop.well = Unavailable("500"), True
    async with pool_of(shop, faults=3) as pool:
        waiting = [asyncio.create_task(Retrying(pool, QUICK)(number(n))) for n in range(50)]
        while shop.checks < 5:
            await asyncio.sleep(0.001)
        assert not any(task.done() for task in waiting)
        shop.error = None
        assert {reply.text for reply in await asyncio.gather(*waiting)} == {"only"}
    tried = [request for request in shop.asked if request.stage == "canary"]
    assert {request.prompt for request in tried} == {HARMLESS}
    assert 4 <= len(tried) <= shop.checks
    assert len(shop.asked) == len(tried) + 100, "each of the run once before it was out, and once after"


@pytest.mark.parametrize(("answer", "back"), [(RequestRefused("422"), True), (Barred("403"), False)])
async def test_a_plain_request_that_is_refused_as_invalid_shows_life(answer: Exception, back: bool) -> None:
    shop = Shop("only")
    shop.error, shop.well = Unavailable("500"), True
    async with pool_of(shop, faults=1, patience=0.2) as pool:
        with pytest.raises(Unavailable):
            await pool(number(1))
        shop.error = answer
        with pytest.raises(type(answer) if back else Outage):
            await pool(number(2))


async def test_a_plain_request_that_is_not_answered_in_time_shows_none() -> None:
    shop = Shop("only")
    shop.error = Unavailable("500")
    async with pool_of(shop, faults=1, silence=0.02, patience=0.3) as pool:
        with pytest.raises(Unavailable):
            await pool(number(1))
        shop.seconds, shop.error = 60.0, None
        with pytest.raises(Outage, match=r"no reply to a plain request in 0\.02 s"):
            await pool(number(2))


async def test_when_none_is_left_the_requests_wait_and_are_told_why(caplog: pytest.LogCaptureFixture) -> None:
    shops = Shop("a"), Shop("b")
    for shop in shops:
        shop.error = Unreachable(f"{shop.url} refuses")
    async with pool_of(*shops, tell=0.02) as pool, asyncio.timeout(30):
        waiting = [asyncio.create_task(pool(number(n))) for n in range(20)]
        while len(told := [text for text in caplog.messages if "no endpoint takes requests" in text]) < 2:
            await asyncio.sleep(0.001)
        assert not any(task.done() for task in waiting)
        for shop in shops:
            shop.error = None
        await asyncio.gather(*waiting)
    assert 2 <= len(told) <= 6, "once for all that wait"
    assert "waiting up to 5 s more. a: not well; b: not well" in told[0]


async def test_patience_runs_out_once_for_all() -> None:
    shop = Shop("only")
    shop.error = Unreachable("connection refused")
    async with pool_of(shop, patience=0.1) as pool:
        begun = time.monotonic()
        ends = await asyncio.gather(*(pool(number(n)) for n in range(20)), return_exceptions=True)
        assert all(isinstance(end, Outage) for end in ends)
        assert "no endpoint came back in 0 s. only: not well" in str(ends[0])
        assert "start the same command again" in str(ends[0])
        with pytest.raises(Outage):
            await pool(number("late"))
        assert time.monotonic() - begun < 1.0, "whoever comes later does not wait anew"
        assert len(shop.asked) == 20
        shop.error = None
        async with asyncio.timeout(30):
            while not pool.healthy:
                await asyncio.sleep(0.001)
        assert (await pool(number("well"))).text == "only"


@pytest.mark.parametrize("error", [RequestRefused("no"), Overloaded("not you"), UserError("key")])
async def test_what_is_the_requests_own_goes_through(error: Exception) -> None:
    shop = Shop("only")
    shop.error = error
    async with pool_of(shop, faults=1) as pool:
        with pytest.raises(type(error)):
            await pool(number(1))
        assert pool.healthy == ["only"]


@pytest.mark.parametrize("error", [RequestRefused("no"), ContextOverflow("too long")])
async def test_what_is_refused_as_invalid_is_answered(error: Exception) -> None:
    shop = Shop("only")
    async with pool_of(shop, faults=3) as pool:
        for _ in range(9):
            for shop.error in (Unavailable("500"), Unavailable("500"), error):
                with pytest.raises(type(shop.error)):
                    await pool(number(1))
        assert pool.healthy == ["only"], "never three faults in a row"


# ---- what fails at one endpoint -------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [Unavailable("500"), Barred("403"), KeyRefused("401")])
async def test_what_fails_at_one_endpoint_is_tried_at_the_others(error: Exception) -> None:
    sick, well = Shop("sick", 0.0), Shop("well", 0.002)
    sick.error, sick.well = error, True
    async with pool_of(sick, well, faults=3) as pool:
        replies = await asyncio.gather(*(pool(number(n, f"talk {n % 4}")) for n in range(60)))
        assert {reply.text for reply in replies} == {"well"}, "though the one that fails is the quickest"
        assert "sick" not in pool.healthy
    assert len(sick.asked) <= 60, "each at most once"


async def test_what_fails_everywhere_is_given_back_after_one_try_each() -> None:
    shops = Shop("a"), Shop("b"), Shop("c")
    shops[0].error, shops[1].error, shops[2].error = Unavailable("500"), Barred("403"), Barred("404")
    async with pool_of(*shops) as pool:
        with pytest.raises(Unavailable, match="500"):  # worth another try, unlike the others
            await pool(number(1))
        assert [len(shop.asked) for shop in shops] == [1, 1, 1]


@pytest.mark.parametrize("error", [Barred("402"), KeyRefused("401")])
async def test_where_all_let_nobody_in_waiting_is_no_use(error: Exception) -> None:
    shops = Shop("a"), Shop("b")
    for shop in shops:
        shop.error, shop.well = error, True
    async with pool_of(*shops, faults=2, patience=1000.0) as pool, asyncio.timeout(30):
        for n in range(2):
            with pytest.raises(type(error)):
                await pool(number(n))
        assert pool.healthy == []
        told = rf"no endpoint lets anybody in\. a: {error}; b: {error}\. .*start the same command again"
        with pytest.raises(Outage, match=told):
            await pool(number("next"))


# ---- endpoints that ask for time ------------------------------------------------------------------------------------


async def test_an_endpoint_that_names_a_time_is_left_alone_by_all() -> None:
    shop = Limited("only", refusals=[0.2])
    async with pool_of(shop) as pool:
        replies = await asyncio.gather(*(pool(number(n)) for n in range(200)))
    assert len(replies) == 200
    before = [moment for moment in shop.came if moment < shop.came[0] + 0.2]
    assert len(before) == 64, "those that were sent at the same time; nobody of those who waited"
    assert len(shop.came) == 201


async def test_others_take_over_from_one_that_names_a_time(caplog: pytest.LogCaptureFixture) -> None:
    limited, other = Limited("limited", 0.002, places=4, refusals=[60.0]), Limited("other", 0.002, places=4)
    async with pool_of(limited, other) as pool, asyncio.timeout(30):
        replies = await asyncio.gather(*(pool(number(n, f"talk {n}")) for n in range(80)))
        assert len(limited.came) == 4, "not even those go there who were in its queue"
        assert Counter(reply.text for reply in replies) == {"limited": 3, "other": 77}
        assert pool.healthy == ["limited", "other"], "it is well"
    told = [record.message for record in caplog.records if "left alone" in record.message]
    assert len(told) == 1
    assert re.fullmatch(r"endpoint limited is left alone for 6\d s, as it asked: too many", told[0])


async def test_a_longer_time_than_patience_is_an_outage_once_all_is_in_that_was_sent() -> None:
    shop, ends = Limited("only", 0.05, refusals=[3600.0]), list[Reply | Outage]()

    async def ask(pool: Pool, n: int) -> None:
        try:
            ends.append(await pool(number(n)))
        except Outage as error:
            ends.append(error)

    async with pool_of(shop) as pool, asyncio.timeout(4):
        await asyncio.gather(*(ask(pool, n) for n in range(100)))
    assert [type(end) for end in ends] == [Reply] * 63 + [Outage] * 37, "they are paid for"
    assert re.match(
        r"every endpoint asks for more time than is left of the 5 s of --patience\. only: too many, left alone for "
        r"3\d\d\d s more, as it asked\. .*start the same command again",
        str(ends[-1]),
    )


async def test_one_that_is_out_is_not_looked_at_before_the_time_that_it_names() -> None:
    shop, begun = Shop("only"), time.monotonic()
    shop.error, shop.unwell = Unavailable("500"), [Overloaded("starting", 0.15), Overloaded("starting", 0.15)]
    async with pool_of(shop, faults=1) as pool:
        with pytest.raises(Unavailable):
            await pool(number(1))
        shop.error = None
        await pool(number(2))
    assert time.monotonic() - begun >= 0.3
    assert shop.checks == 3


async def test_one_that_is_always_told_to_wait_while_others_are_answered_is_given_up() -> None:
    shop = Limited("only", poison=Overloaded("too large", 0.002))
    async with pool_of(shop, patience=0.2) as pool, asyncio.timeout(10):
        poison = asyncio.create_task(Retrying(pool, QUICK)(number("poison")))
        while not poison.done():
            await pool(number("other"))
        with pytest.raises(Quarantined, match="too large"):
            await poison


async def test_one_that_is_refused_all_alone_is_given_up_soon() -> None:
    class Stubborn(Shop):
        async def __call__(self, request: Request) -> Reply:
            await super().__call__(request)
            raise Unreachable("refused everything for 5 s") from Overloaded("too large")

    shop = Stubborn("only")
    shop.well = True
    shop.seconds = 0.05  # so that patience is over before the refusals are enough
    async with pool_of(shop, patience=0.2) as pool, asyncio.timeout(10):
        with pytest.raises(Overloaded, match="too large"):
            await pool(number(1))
    assert len([request for request in shop.asked if request == number(1)]) == 5


async def test_waiting_for_a_time_that_was_named_is_told(caplog: pytest.LogCaptureFixture) -> None:
    shop = Limited("only", refusals=[0.2])
    async with pool_of(shop, tell=0.05) as pool:
        await pool(number(1))
    told = [record.message for record in caplog.records]
    assert 1 <= len(told) <= 4
    assert "waiting up to 5 s more. only: too many, left alone for 0 s more, as it asked" in told[0]


async def test_an_endpoint_that_never_stops_asking_for_time_is_an_outage() -> None:
    shop = Limited("only", refusals=[0.05] * 100)
    async with pool_of(shop, patience=0.4) as pool:
        begun = time.monotonic()
        ends = await asyncio.gather(*(pool(number(n)) for n in range(3)), return_exceptions=True)
        assert {type(end) for end in ends} == {Outage}
        assert 0.2 <= time.monotonic() - begun < 2.0


async def test_an_outage_that_ended_while_nobody_was_here_does_not_count() -> None:
    shop = Limited("only", refusals=[0.05])
    async with pool_of(shop, patience=0.2) as pool:
        gone = asyncio.create_task(pool(number(1)))
        await asyncio.sleep(0.01)
        gone.cancel()
        await asyncio.sleep(0.3)
        shop.refusals = [0.05]
        assert (await pool(number(2))).text == "only", "it has waited for 0.05 s, not for longer than patience"


# ---- requests that are refused and perhaps they alone ---------------------------------------------------------------


async def test_a_request_that_is_refused_though_nobody_else_is_here_ends_in_quarantine() -> None:
    clock = iter(range(0, 1_000_000, 10))  # each refusal ten seconds after the last
    shop, begun = Limited("only", clock=lambda: next(clock)), time.monotonic()
    async with pool_of(shop, patience=0.2) as pool:
        with pytest.raises(Quarantined, match="not for you"):  # no Outage: in between something harmless is answered
            await Retrying(pool, QUICK)(number("poison"))
        assert time.monotonic() - begun >= 0.2
        assert (await pool(number("next"))).text == "only"


# ---- endpoints that hang --------------------------------------------------------------------------------------------


async def test_one_that_hangs_is_taken_out_and_what_it_had_goes_elsewhere(caplog: pytest.LogCaptureFixture) -> None:
    hangs, other = Shop("hangs", 60.0), Shop("other")
    hangs.well = False
    async with pool_of(hangs, other, silence=0.05) as pool, asyncio.timeout(30):
        replies = await asyncio.gather(*(pool(number(n)) for n in range(20)))
        assert {reply.text for reply in replies} == {"other"}
        assert pool.healthy == ["other"]
        assert hangs.inside == 0
    assert re.search(
        r"endpoint hangs is taken out: nothing came from hangs for \d+ s, and then: not well", caplog.text
    )
    assert hangs.checks >= 3


async def test_the_only_one_that_hangs_is_waited_for() -> None:
    shop = Shop("only", 60.0)
    shop.well = False
    async with pool_of(shop, silence=0.02) as pool, asyncio.timeout(30):
        waiting = [asyncio.create_task(Retrying(pool, QUICK)(number(n))) for n in range(20)]
        while pool.healthy:
            await asyncio.sleep(0.005)
        await asyncio.sleep(0.05)
        assert (shop.inside, len(shop.asked)) == (0, 20)
        shop.seconds, shop.well = 0.001, True
        assert {reply.text for reply in await asyncio.gather(*waiting)} == {"only"}


async def test_a_long_reply_from_one_that_is_well_is_waited_for() -> None:
    shop = Shop("only", 0.3)
    async with pool_of(shop, silence=0.04) as pool:
        replies = await asyncio.gather(*(pool(number(n)) for n in range(5)))
    assert len(replies) == len(shop.asked) == 5
    assert 1 <= shop.checks <= 8, "asked once in a while how it does"


async def test_one_failed_check_does_not_cut_a_long_reply_off() -> None:
    shop = Shop("only", 0.2)
    shop.well = False
    async with pool_of(shop, silence=0.02, first=0.03) as pool:
        waiting = asyncio.create_task(pool(number(1)))
        while not shop.checks:
            await asyncio.sleep(0.001)
        shop.well = True
        await waiting
    assert len(shop.asked) == 1


async def test_one_that_answers_meanwhile_does_not_hang() -> None:
    shop = Slow("only", 60.0)
    async with pool_of(shop, silence=0.2, first=0.03) as pool:
        hanging = asyncio.create_task(pool(number(1)))
        while not shop.checks:
            await asyncio.sleep(0.001)
        shop.seconds = 0.001
        await pool(number(2))
        shop.told.set()
        while shop.checks < 4:
            await asyncio.sleep(0.001)
        assert not shop.flushed, "three checks in a row count, with nothing else in between"
        assert pool.healthy == ["only"]
        hanging.cancel()
        await asyncio.gather(hanging, return_exceptions=True)


async def test_who_had_only_waited_at_one_that_hangs_has_not_failed() -> None:
    shop = Limited("only", 60.0, places=2)
    shop.well = False
    async with pool_of(shop, silence=0.02) as pool, asyncio.timeout(30):
        asked = [asyncio.create_task(pool(number(n))) for n in range(6)]
        while pool.healthy:
            await asyncio.sleep(0.001)
        shop.seconds, shop.well = 0.001, True
        ends = await asyncio.gather(*asked, return_exceptions=True)
    assert [type(end) for end in ends] == [Unavailable] * 2 + [Reply] * 4


async def test_who_is_cancelled_while_being_cut_off_stays_cancelled() -> None:
    shop = Shop("only", 60.0)
    shop.well = False
    async with pool_of(shop, silence=0.01) as pool:
        waiting = asyncio.create_task(pool(number(1)))
        while pool.healthy:
            await asyncio.sleep(0)
        waiting.cancel()  # before it has seen that it was cut off
        with pytest.raises(asyncio.CancelledError):
            await waiting


async def test_an_idle_pool_has_no_tasks() -> None:
    shop = Shop("only")
    async with pool_of(shop, silence=0.01) as pool:
        await pool(number(1))
        await asyncio.sleep(0.05)
        assert asyncio.all_tasks() == {asyncio.current_task()}
        assert shop.checks == 0


async def test_one_that_was_absent_from_the_start_joins_later() -> None:
    here, late = Shop("here"), Shop("late")
    late.error = Unreachable("not yet")
    async with pool_of(here, late) as pool:
        pool.exclude("late", Unreachable("not yet"))
        await asyncio.gather(*(pool(number(n)) for n in range(10)))
        assert not late.asked
        late.error = None
        async with asyncio.timeout(30):
            while len(pool.healthy) < 2:
                await pool(number("x"))
