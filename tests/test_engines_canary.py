"""Canary: one request that fails costs itself, an endpoint that fails stops the run, and little is asked to tell."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable

import pytest

from synthesis.engine import Engine, Reply, Request
from synthesis.engines.canary import HARMLESS, Canary
from synthesis.engines.retry import Backoff, Retrying
from synthesis.engines.scripted import Line, Scripted
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
)

QUICK = Backoff(retries=2, first=0.001, longest=0.002, patience=0.1)
POISON = Request("saying", 5, prompt="poison")
FINE = Request("saying", 5, prompt="fine")


def stack(reply: Callable[[Request], Line]) -> tuple[Canary, Scripted]:
    script = Scripted(reply)
    return over(script), script


def over(engine: Engine) -> Canary:
    return Canary(Retrying(engine, QUICK), engine, QUICK)


def canaries(script: Scripted) -> list[Request]:
    return [request for request in script.requests if request.stage == "canary"]


@pytest.mark.parametrize(
    ("error", "raised"),
    [(Unavailable("500"), Quarantined), (Overloaded("429"), Quarantined), (Barred("403: no such words"), Barred)],
)
async def test_a_request_that_fails_where_a_plain_one_does_not_costs_itself(
    error: EngineError, raised: type[EngineError]
) -> None:
    engine, script = stack(lambda request: error if request.prompt == "poison" else "hello")
    with pytest.raises(raised):
        await engine(POISON)
    assert canaries(script) == [Request("canary", 8, prompt=HARMLESS)]
    assert (await engine(FINE)).text == "hello"


async def test_where_nothing_is_answered_for_longer_than_patience_the_run_stops() -> None:
    engine, script = stack(lambda _: Unavailable("500"))
    with pytest.raises(Outage, match=r"500 .*; nor was anything else answered since\. .*start the same command again"):
        await engine(POISON)
    assert len(canaries(script)) > 5


async def test_where_nobody_gets_through_the_run_stops_at_once() -> None:
    engine, script = stack(lambda _: Barred("402: no credit"))
    with pytest.raises(Outage, match=r"no credit; nor is anything else answered: 402: no credit\."):
        await engine(POISON)
    assert [request.stage for request in script.requests] == ["saying", "canary"]


async def test_a_request_that_failed_in_an_outage_gets_another_round() -> None:
    faults = iter([Unavailable("502")] * 12)
    engine, script = stack(lambda _: next(faults, "hello"))
    assert (await engine(FINE)).text == "hello"
    assert len(script.requests) == 14


async def test_whoever_failed_in_the_same_outage_gets_one_as_well() -> None:
    faults = iter([Unavailable("502")] * 30)
    engine, _ = stack(lambda _: next(faults, "hello"))
    replies = await asyncio.gather(*(engine(Request("saying", 5, prompt=str(number))) for number in range(5)))
    assert {reply.text for reply in replies} == {"hello"}


async def test_there_is_one_more_round_only() -> None:
    def reply(request: Request) -> Line:
        return next(sung) if request.stage == "canary" else Unavailable("500")

    sung = itertools.cycle([Unavailable("500"), "hello"])
    engine, script = stack(reply)
    with pytest.raises(Quarantined):
        await engine(POISON)
    assert [request.stage for request in script.requests].count("saying") == 6


async def test_while_others_are_answered_nothing_else_is_asked() -> None:
    engine, script = stack(lambda request: Unavailable("500") if request.prompt == "poison" else "hello")
    failing = asyncio.create_task(engine(POISON))
    while not failing.done():
        await engine(FINE)
        await asyncio.sleep(0)
    with pytest.raises(Quarantined):
        await failing
    assert not canaries(script)


@pytest.mark.parametrize("error", [Unavailable("500"), Barred("402")])
async def test_replies_from_before_it_failed_prove_nothing(error: EngineError) -> None:
    sick = False
    engine, script = stack(lambda _: error if sick else "hello")
    for _ in range(3):
        await engine(FINE)
    sick = True
    with pytest.raises(Outage):
        await engine(POISON)
    asked = {(request.prompt, request.max_new_tokens) for request in canaries(script)}
    assert asked == {("fine", 8)}, "what was answered before"


async def test_replies_from_before_the_first_fault_prove_nothing_either() -> None:
    release = asyncio.Event()

    async def reply(request: Request) -> Reply:
        if request.prompt == "fine" and request.stage != "canary":
            return Reply("hello", "eos_token", 1, 1)
        await release.wait()
        raise Unavailable("500")

    engine = over(reply)
    failing = asyncio.create_task(engine(POISON))
    await asyncio.sleep(0.001)
    await engine(FINE)
    release.set()
    with pytest.raises(Outage):
        await failing


async def test_one_canary_answers_for_all_that_fail_together() -> None:
    engine, script = stack(lambda request: Unavailable("500") if "poison" in str(request.prompt) else "hello")
    poisons = [Request("saying", 5, prompt=f"poison {number}") for number in range(20)]
    ends = await asyncio.gather(*map(engine, poisons), return_exceptions=True)
    assert {type(end) for end in ends} == {Quarantined}
    assert len(canaries(script)) <= 3


async def test_the_canary_has_the_form_and_the_role_of_what_failed() -> None:
    failing = Request("judging", 5, messages=(("system", "judge"), ("user", "poison")), role="critic", seed=3)
    engine, script = stack(lambda request: Unavailable("500") if request.stage == "judging" else "hello")
    with pytest.raises(Quarantined):
        await engine(failing)
    assert canaries(script) == [Request("canary", 8, messages=(("user", HARMLESS),), role="critic")]


async def test_a_role_that_answers_says_nothing_of_the_other() -> None:
    def reply(request: Request) -> Line:
        return Unavailable("500") if request.role == "critic" else "hello"

    engine, _ = stack(reply)
    failing = asyncio.create_task(engine(Request("judging", 5, prompt="p", role="critic")))
    while not failing.done():
        await engine(FINE)
        await asyncio.sleep(0)
    with pytest.raises(Outage):
        await failing


async def test_a_canary_that_is_refused_as_invalid_sings_all_the_same() -> None:
    def reply(request: Request) -> Line:
        return RequestRefused("422: too short") if request.stage == "canary" else Unavailable("500")

    engine, _ = stack(reply)
    with pytest.raises(Quarantined):
        await engine(POISON)


@pytest.mark.parametrize("error", [RequestRefused("422"), ContextOverflow("long")])
async def test_what_is_invalid_is_the_requests_own(error: EngineError) -> None:
    engine, script = stack(lambda _: error)
    with pytest.raises(type(error)):
        await engine(POISON)
    assert len(script.requests) == 1


async def test_a_key_that_is_refused_from_the_start_is_the_users_mistake() -> None:
    engine, script = stack(lambda _: KeyRefused("401"))
    with pytest.raises(KeyRefused):
        await engine(FINE)
    assert len(script.requests) == 1


async def test_a_key_that_was_good_before_is_an_outage() -> None:
    lines: list[Line] = [Reply("hello", "eos_token", 1, 1), KeyRefused("401: set TGI_API_KEY")]
    engine = over(Scripted(lines))
    await engine(FINE)
    with pytest.raises(Outage, match="401: set TGI_API_KEY; others were let in before"):
        await engine(FINE)
