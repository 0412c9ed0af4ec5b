"""Pool: least load, conversations at home, endpoints out and back in, and a clear end when none comes back."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Any

import pytest

from synthesis.engine import CRITIC, GENERATOR, Reply, Request
from synthesis.engines.admission import Admitted
from synthesis.engines.connect import connect, connect_roles
from synthesis.engines.pool import Pool
from synthesis.engines.retry import Backoff, Retrying
from synthesis.engines.roles import Roles
from synthesis.engines.scripted import Scripted
from synthesis.errors import (
    Barred,
    ContextOverflow,
    EngineError,
    KeyRefused,
    Outage,
    Overloaded,
    Quarantined,
    RequestRefused,
    Unavailable,
    Unreachable,
    UserError,
)
from tests.fake_tgi import MODEL, FakeTgi, Fault

PROBE = Backoff(first=0.002, longest=0.01)
QUICK = Backoff(retries=4, first=0.001, longest=0.01, patience=5.0)
NONE: dict[str, str] = {}


def number(value: int | str, conversation: str | None = None) -> Request:
    return Request(stage="test", prompt=f"number {value}", max_new_tokens=5, conversation=conversation)


class Shop:
    """A member: answers after `seconds`, unless `error` is set; `well`: what the check says."""

    def __init__(self, url: str, seconds: float = 0.001) -> None:
        self.url, self.seconds = url, seconds
        self.error: Exception | None = None
        self.well: bool | None = None  # None: well when there is no error
        self.asked: list[Request] = []
        self.checks = self.inside = 0
        self.held_until = 0.0
        self.flushed: list[str] = []

    @property
    def load(self) -> float:
        return float(self.inside)

    async def __call__(self, request: Request) -> Reply:
        self.asked.append(request)
        self.inside += 1
        try:
            await asyncio.sleep(self.seconds)
        finally:
            self.inside -= 1
        if self.error is not None:
            raise self.error
        return Reply(self.url, "eos_token", 1, 1)

    async def check(self) -> None:
        self.checks += 1
        if not (self.error is None if self.well is None else self.well):
            raise Unavailable("not well")

    def flush(self, error: EngineError) -> None:
        self.flushed.append(str(error))


class Limited(Shop):
    """A member that admits as a host does. `refusals`: the times that it names, one for each that is refused.

    Whoever asks for "poison" is refused in any case.
    """

    def __init__(
        self,
        url: str,
        seconds: float = 0.001,
        places: int = 64,
        refusals: Sequence[float] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(url, seconds)
        self.refusals, self.came = list(refusals), list[float]()
        self.admitted = Admitted(self._answer, places, backoff=QUICK, clock=clock)

    @property
    def load(self) -> float:
        return self.admitted.load

    async def __call__(self, request: Request) -> Reply:
        self.held_until = self.admitted.held_until
        try:
            return await self.admitted(request)
        finally:
            self.held_until = self.admitted.held_until

    async def _answer(self, request: Request) -> Reply:
        self.came.append(time.monotonic())
        if "poison" in str(request.prompt):
            raise Overloaded("not for you")
        if self.refusals:
            error = Overloaded("too many", self.refusals.pop())
            await asyncio.sleep(0)
            raise error
        return await super().__call__(request)

    def flush(self, error: EngineError) -> None:
        self.admitted.flush(error)


@asynccontextmanager
async def pool_of(*shops: Shop, patience: float = 5.0, silence: float = 60.0, **given: Any) -> AsyncIterator[Pool]:
    backoff = Backoff(patience=patience, silence=silence)
    async with aclosing(Pool(shops, backoff, **{"probe": PROBE} | given)) as pool:
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
        async with asyncio.timeout(5):
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


async def test_one_request_at_a_time_is_risked_on_trial() -> None:
    shop = Shop("only", 0.005)
    shop.error, shop.well = Unreachable("still starting"), True
    async with pool_of(shop) as pool:
        waiting = [asyncio.create_task(pool(number(n))) for n in range(50)]
        await asyncio.sleep(0.06)
        assert 50 < len(shop.asked) < 65, "all were under way when it went; since then one after the other"
        shop.error = None
        assert {reply.text for reply in await asyncio.gather(*waiting)} == {"only"}
    assert len(shop.asked) < 120


async def test_when_none_is_left_the_requests_wait_and_are_told_why(caplog: pytest.LogCaptureFixture) -> None:
    shops = Shop("a"), Shop("b")
    for shop in shops:
        shop.error = Unreachable(f"{shop.url} refuses")
    async with pool_of(*shops, tell=0.02) as pool:
        waiting = [asyncio.create_task(pool(number(n))) for n in range(20)]
        await asyncio.sleep(0.1)
        assert not any(task.done() for task in waiting)
        for shop in shops:
            shop.error = None
        await asyncio.gather(*waiting)
    told = [record.message for record in caplog.records if "no endpoint takes requests" in record.message]
    assert 2 <= len(told) <= 6
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
        async with asyncio.timeout(5):
            while not shop.asked[20:]:
                await asyncio.sleep(0.005)
                if (await asyncio.gather(pool(number("back")), return_exceptions=True))[0] is not None:
                    continue
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
async def test_an_endpoint_that_refuses_a_request_on_trial_is_alive(error: Exception) -> None:
    shop = Shop("only")
    shop.error, shop.well = Unreachable("still starting"), True
    async with pool_of(shop) as pool:
        waiting = asyncio.create_task(pool(number(1)))
        while len(shop.asked) < 3:
            await asyncio.sleep(0.001)
        assert pool.healthy == []
        shop.error = error
        with pytest.raises(type(error)):
            await waiting
        assert pool.healthy == ["only"]


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
    async with pool_of(limited, other) as pool, asyncio.timeout(5):
        replies = await asyncio.gather(*(pool(number(n, f"talk {n}")) for n in range(80)))
        assert len(limited.came) == 4, "not even those go there who were in its queue"
        assert Counter(reply.text for reply in replies) == {"limited": 3, "other": 77}
        assert pool.healthy == ["limited", "other"], "it is well"
    told = [record.message for record in caplog.records if "left alone" in record.message]
    assert len(told) == 1
    assert re.fullmatch(r"endpoint limited is left alone for 6\d s, as it asked: too many", told[0])


async def test_a_longer_time_than_patience_is_an_outage_once_all_is_in_that_was_sent() -> None:
    shop = Limited("only", 0.05, refusals=[3600.0])
    async with pool_of(shop) as pool:
        begun = time.monotonic()
        ends = await asyncio.gather(*(pool(number(n)) for n in range(100)), return_exceptions=True)
        assert time.monotonic() - begun < 2.0
    assert sum(isinstance(end, Reply) for end in ends) == 63, "they are paid for"
    errors = [end for end in ends if not isinstance(end, Reply)]
    assert {type(error) for error in errors} == {Outage}
    assert re.match(
        r"every endpoint asks for more time than the 5 s of --patience\. only: too many, left alone for 3\d\d\d s "
        r"more, as it asked\. .*start the same command again",
        str(errors[0]),
    )


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
        assert {type(end) for end in ends} <= {Outage, Overloaded}
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


async def test_a_request_that_is_refused_alone_is_given_back_while_there_is_time() -> None:
    clock = iter(range(0, 1_000_000, 10))  # each refusal ten seconds after the last
    shop = Limited("only", clock=lambda: next(clock))
    async with pool_of(shop, patience=1.0) as pool:
        begun = time.monotonic()
        with pytest.raises(Quarantined, match="not for you"):  # no Outage: there is patience left to ask another
            await Retrying(pool, QUICK)(number("poison"))
        assert time.monotonic() - begun >= 0.5
        assert (await pool(number("next"))).text == "only"


# ---- endpoints that hang --------------------------------------------------------------------------------------------


async def test_one_that_hangs_is_taken_out_and_what_it_had_goes_elsewhere(caplog: pytest.LogCaptureFixture) -> None:
    hangs, other = Shop("hangs", 60.0), Shop("other")
    hangs.well = False
    async with pool_of(hangs, other, silence=0.05) as pool, asyncio.timeout(5):
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
    async with pool_of(shop, silence=0.02) as pool, asyncio.timeout(5):
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
    assert 2 <= shop.checks <= 8, "asked once in a while how it does"


async def test_one_failed_check_does_not_cut_a_long_reply_off() -> None:
    shop = Shop("only", 0.2)
    shop.well = False
    async with pool_of(shop, silence=0.02, probe=Backoff(first=0.03, longest=0.03)) as pool:
        waiting = asyncio.create_task(pool(number(1)))
        while not shop.checks:
            await asyncio.sleep(0.001)
        shop.well = True
        await waiting
    assert len(shop.asked) == 1


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
        async with asyncio.timeout(5):
            while len(pool.healthy) < 2:
                await pool(number("x"))


# ---- over HTTP ------------------------------------------------------------------------------------------------------


async def test_endpoints_share_the_work() -> None:
    async with (
        FakeTgi(latency=0.01) as first,
        FakeTgi(latency=0.01) as second,
        connect(first.url, second.url, environ=NONE) as (engine, info),
    ):
        await asyncio.gather(*(engine(number(n)) for n in range(60)))
        assert info.model == MODEL
    assert len(first.asked("/generate")) == len(second.asked("/generate")) == 30


async def test_the_endpoints_of_a_role_must_serve_one_model() -> None:
    async with (
        FakeTgi(dialects=("openai",), models=("org/one",)) as first,
        FakeTgi(dialects=("openai",), models=("org/two",)) as second,
    ):
        with pytest.raises(UserError, match=r"serves 'org/two', http://.* has 'org/one'.*--critic-endpoint"):
            async with connect(first.url, second.url, environ=NONE):
                pass


async def test_one_of_two_dies_and_nothing_is_lost() -> None:
    async with FakeTgi(latency=0.01) as stays:
        dies = FakeTgi(latency=0.01)
        await dies.__aenter__()
        async with connect(stays.url, dies.url, environ=NONE, backoff=QUICK) as (engine, _):
            tasks = [asyncio.create_task(engine(number(n))) for n in range(200)]
            await asyncio.sleep(0.02)
            await dies.__aexit__()
            replies = await asyncio.gather(*tasks)
    assert len(replies) == 200
    assert dies.asked("/generate")
    assert len(dies.asked("/generate")) < 120


async def test_an_absent_endpoint_does_not_stop_the_start(unused_tcp_port: int, caplog: Any) -> None:
    absent = f"http://127.0.0.1:{unused_tcp_port}"
    async with FakeTgi() as server, connect(absent, server.url, environ=NONE, backoff=QUICK) as (engine, info):
        assert info.model == MODEL
        await engine(number(1))
        assert f"endpoint {absent} does not answer; it is left out until it does" in caplog.text
        async with FakeTgi(port=unused_tcp_port) as late, asyncio.timeout(20):
            while not late.asked("/generate"):
                await engine(number(2))
                await asyncio.sleep(0.01)


async def test_an_endpoint_that_comes_back_with_another_model_stays_out(unused_tcp_port: int) -> None:
    async with FakeTgi(models=("org/one",), dialects=("openai",)) as stays:
        dies = FakeTgi(models=("org/one",), dialects=("openai",), port=unused_tcp_port)
        await dies.__aenter__()
        async with connect(stays.url, dies.url, environ=NONE, backoff=QUICK) as (engine, _):
            await dies.__aexit__()
            await asyncio.gather(*(engine(number(n)) for n in range(10)))
            async with FakeTgi(models=("org/two",), dialects=("openai",), port=unused_tcp_port) as other:
                async with asyncio.timeout(20):
                    while not any(request.path == "/v1/models" for request in other.requests):
                        await asyncio.sleep(0.01)
                await asyncio.gather(*(engine(number(n)) for n in range(10)))
                assert not other.asked("/v1/completions")


# ---- roles ----------------------------------------------------------------------------------------------------------


async def test_each_role_is_asked_at_its_own_endpoints() -> None:
    async with (
        FakeTgi() as writer,
        FakeTgi(models=("org/judge",), dialects=("openai",)) as judge,
        connect_roles({GENERATOR: [writer.url], CRITIC: [judge.url]}, environ=NONE) as (engine, infos),
    ):
        await engine(Request("generation", 5, prompt="write"))
        await engine(Request("toxicity", 5, messages=(("user", "judge"),), role="critic"))
    assert (infos[GENERATOR].model, infos[CRITIC].model) == (MODEL, "org/judge")
    assert [body["inputs"] for body in writer.asked("/generate")] == ["write"]
    assert len(judge.asked("/v1/chat/completions")) == 1


async def test_roles_at_one_endpoint_share_its_window() -> None:
    async with (
        FakeTgi(latency=0.01, max_concurrent_requests=2) as server,
        connect_roles({GENERATOR: [server.url], CRITIC: [server.url + "/v1"]}, environ=NONE) as (engine, _),
    ):
        roles = ("generator", "critic")
        await asyncio.gather(*(engine(Request("t", 5, prompt=f"{n}", role=role)) for n in range(5) for role in roles))
    assert server.most_at_once == 2


async def test_a_role_that_nobody_plays_is_named() -> None:
    with pytest.raises(ValueError, match="stage 'x': no role 'judge'; there are generator"):
        await Roles({"generator": Scripted(["hello"])})(Request("x", 5, prompt="p", role="judge"))


async def test_health_is_asked_where_there_is_such_a_thing() -> None:
    down = Fault(path="/health", status=503)
    async with (
        FakeTgi(faults=[down], health=True) as server,
        connect(server.url, environ=NONE, backoff=QUICK) as (
            engine,
            _,
        ),
    ):
        server.faults += [Fault(reset=True)] * 12
        ends = await asyncio.gather(*(engine(number(n)) for n in range(12)))
        assert len(ends) == 12
    paths = [request.path for request in server.requests]
    assert "/health" in paths
    assert not server.faults
