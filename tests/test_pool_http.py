"""Several endpoints over HTTP: they share the work, die, come back, and serve one model or one for each role."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from synthesis.engine import CRITIC, GENERATOR, Request
from synthesis.engines.connect import connect, connect_roles
from synthesis.engines.roles import Roles
from synthesis.engines.scripted import Scripted
from synthesis.errors import UserError
from tests.fake_tgi import MODEL, FakeTgi, Fault
from tests.shops import QUICK

NONE: dict[str, str] = {}


def number(value: int) -> Request:
    return Request(stage="test", prompt=f"number {value}", max_new_tokens=5)


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
        assert f"endpoint {absent} is taken out: GET {absent}/info" in caplog.text
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
