"""connect: dialects found, keys kept where they belong, and messages that say what to do."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping

import aiohttp
import pytest

from synthesis.engine import Request
from synthesis.engines.canary import HARMLESS
from synthesis.engines.connect import connect
from synthesis.engines.http import Endpoint, base_url
from synthesis.engines.journal import Journal
from synthesis.engines.key import Key, is_loopback, key_for
from synthesis.engines.retry import Backoff
from synthesis.engines.scripted import Scripted, spoken
from synthesis.errors import (
    NoSuchHost,
    Outage,
    Overloaded,
    Quarantined,
    RequestRefused,
    Unavailable,
    Unsupported,
    UserError,
)
from tests.fake_tgi import MODEL, FakeTgi, Fault

QUICK = Backoff(retries=2, busy_retries=30, first=0.001, longest=0.01)
NONE: Mapping[str, str] = {}
CHAT = Request(stage="test", messages=(("user", "hello there"),), max_new_tokens=20, seed=1)


async def test_tgi_is_found_first() -> None:
    async with FakeTgi() as server, connect(server.url, environ=NONE) as (engine, info):
        assert info.model == MODEL
        assert (await engine(CHAT)).text
    assert server.requests[0].path == "/info"
    assert server.asked("/generate")


@pytest.mark.parametrize("suffix", ["", "/", "/v1", "/v1/"])
async def test_else_the_v1_dialect(suffix: str) -> None:
    async with FakeTgi(dialects=("openai",)) as server, connect(server.url + suffix, environ=NONE) as (engine, info):
        assert info.model == MODEL
        assert (await engine(CHAT)).text
    assert server.asked("/v1/chat/completions")


async def test_a_page_in_place_of_info_is_not_tgi() -> None:
    faults = [Fault(path="/info", body="<html>hello</html>", headers={"Content-Type": "text/html"})]
    async with FakeTgi(faults=faults) as server, connect(server.url, environ=NONE) as (engine, _):
        await engine(CHAT)
    assert server.asked("/v1/chat/completions")


async def test_a_named_dialect_is_the_only_one_tried() -> None:
    async with FakeTgi() as server:
        async with connect(server.url, environ=NONE, dialect="openai", model=MODEL) as (engine, _):
            await engine(CHAT)
        assert {request.path for request in server.requests} == {"/v1/models", "/v1/chat/completions"}
    async with FakeTgi(dialects=("openai",)) as server:
        with pytest.raises(Unsupported, match="no text generation there"):
            async with connect(server.url, environ=NONE, dialect="tgi"):
                pass


async def test_another_model_than_the_named_one_is_the_users_mistake() -> None:
    async with FakeTgi() as server:
        with pytest.raises(UserError, match=f"serves '{MODEL}', not 'other/model'"):
            async with connect(server.url, environ=NONE, model="other/model", dialect="tgi"):
                pass


async def test_nothing_there(unused_tcp_port: int, caplog: pytest.LogCaptureFixture) -> None:
    url = f"http://127.0.0.1:{unused_tcp_port}"
    impatient = dataclasses.replace(QUICK, patience=0.05)
    with pytest.raises(Unavailable, match=rf"no endpoint of the generator answers.*GET {url}/info.*Start the server"):
        async with connect(url, environ=NONE, backoff=impatient):
            pass
    assert f"waiting for {url}: GET {url}/info: ClientConnectorError" in caplog.text
    assert "/v1/models" not in caplog.text, "where no connection is taken, no other dialect is tried"


@pytest.mark.parametrize("fault", [Fault(path="/info", status=503), Fault(path="/info", reset=True)])
async def test_a_server_that_is_starting_is_waited_for(fault: Fault) -> None:
    given = {"dialects": ("tgi",), "faults": [fault] * 3}
    async with FakeTgi(**given) as server, connect(server.url, environ=NONE, backoff=QUICK) as (_, info):
        assert info.model == MODEL
    assert len(server.asked("/info")) == 4


async def test_a_server_that_takes_connections_and_says_nothing_is_not_waited_for_without_end() -> None:
    silent = dataclasses.replace(QUICK, patience=0.2, check=0.05)
    with socket.create_server(("127.0.0.1", 0)) as hangs:  # the system takes the connection, nobody answers
        host, port = hangs.getsockname()
        with pytest.raises(Unavailable, match=r"after 0 s: http://.*: no answer to a check in 0\.05 s"):
            async with connect(f"http://{host}:{port}", environ=NONE, backoff=silent):
                pass


async def test_a_name_that_leads_nowhere_is_told_apart() -> None:
    nowhere = f"http://{'.'.join(['x' * 60] * 5)}"  # longer than a name can be: no resolver is asked
    async with aiohttp.ClientSession() as session:
        with pytest.raises(NoSuchHost):
            await Endpoint(nowhere, session).get("/info")


async def test_connections_notice_when_the_other_machine_is_gone() -> None:
    async with FakeTgi() as server, connect(server.url, environ=NONE):
        port = int(server.url.rpartition(":")[2])
        options = (socket.SOL_SOCKET, socket.SO_KEEPALIVE), (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL)
        kept = [[made.getsockopt(*each) for each in options] for made in sockets_to(("127.0.0.1", port))]
    assert kept
    assert all(each == [1, 15] for each in kept)


def sockets_to(address: tuple[str, int]) -> Iterator[socket.socket]:
    """Every socket of this process that is connected to `address`."""
    for number in range(3, 1024):
        with contextlib.suppress(OSError), socket.socket(fileno=os.dup(number)) as made:
            if made.getpeername() == address:
                yield made


async def test_concurrency_is_bounded_by_the_endpoints_word() -> None:
    async with (
        FakeTgi(latency=0.01, max_concurrent_requests=3) as server,
        connect(server.url, environ=NONE, concurrency=50) as (engine, _),
    ):
        asked = [Request(stage="t", prompt=f"number {number}", max_new_tokens=5) for number in range(15)]
        replies = await asyncio.gather(*map(engine, asked))
    assert server.most_at_once == 3
    assert len({reply.text for reply in replies}) > 1


async def test_a_crowd_gets_through_a_server_that_takes_few() -> None:
    async with (
        FakeTgi(latency=0.005, busy_above=4) as server,
        connect(server.url, environ=NONE, concurrency=16, backoff=QUICK) as (engine, _),
    ):
        asked = [Request(stage="t", prompt=f"number {number}", max_new_tokens=5) for number in range(60)]
        await asyncio.gather(*map(engine, asked))
    assert len(server.asked("/generate")) > 60


async def test_cancelling_a_request_hangs_up() -> None:
    async with FakeTgi(latency=30) as server, connect(server.url, environ=NONE) as (engine, _):
        task = asyncio.create_task(engine(Request(stage="t", prompt="x", max_new_tokens=5)))
        while not server.at_once:
            await asyncio.sleep(0.005)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        async with asyncio.timeout(30):
            while not server.hung_up:
                await asyncio.sleep(0.005)


async def test_retries_are_bounded_over_http() -> None:
    async with (
        FakeTgi(faults=[Fault(status=424)] * 3) as server,
        connect(server.url, environ=NONE, backoff=QUICK) as (engine, _),
    ):
        with pytest.raises(Quarantined, match=r"424.*gave up after 3 tries.*; request [0-9a-f]{16}") as caught:
            await engine(Request(stage="t", prompt="x", max_new_tokens=5))
    assert isinstance(caught.value.cause, Unavailable)
    assert [body["inputs"] for body in server.asked("/generate")] == ["x"] * 3 + [HARMLESS]


async def test_where_nothing_is_answered_no_request_is_to_blame() -> None:
    asked = Request(stage="t", prompt="x", max_new_tokens=5)
    async with (
        FakeTgi(faults=[Fault(status=502)] * 12) as server,
        connect(server.url, environ=NONE, backoff=QUICK) as (engine, _),
    ):
        assert (await engine(asked)).text, "the outage was waited for"
    impatient = dataclasses.replace(QUICK, patience=0.1)
    async with (
        FakeTgi(faults=[Fault(status=424)] * 10_000) as server,
        connect(server.url, environ=NONE, backoff=impatient) as (engine, _),
    ):
        with pytest.raises(Outage, match=r"424.*nor (is|was) anything else answered.*start the same command again"):
            await engine(asked)


# Keys.


@pytest.mark.parametrize(
    ("url", "source"),
    [
        ("https://huggingface.co/api", "HF_TOKEN"),
        ("https://router.huggingface.co/v1", "HF_TOKEN"),
        ("https://abc.eu-west-1.aws.endpoints.huggingface.cloud", "HF_TOKEN"),
        ("http://abc.endpoints.huggingface.cloud", None),
        ("https://endpoints.huggingface.cloud.evil.example", None),
        ("https://evilhuggingface.co", None),
        ("https://huggingface.co.evil.example", None),
        ("http://127.0.0.1:8080", None),
        ("https://example.org", None),
    ],
)
def test_the_hub_token_goes_to_hugging_face_alone(url: str, source: str | None) -> None:
    key = key_for(url, {"HF_TOKEN": "hf_secret"})
    assert (key and key.source) == source
    own = key_for(url, {"HF_TOKEN": "hf_secret", "TGI_API_KEY": "mine"})
    assert own is not None
    assert own.source == "TGI_API_KEY"
    assert own.headers() == {"Authorization": "Bearer mine"}


@pytest.mark.parametrize("secret", ["two words", "line\nbreak", "schlüssel", " "])
def test_a_key_that_is_none_is_refused_unseen(secret: str) -> None:
    with pytest.raises(UserError, match="TGI_API_KEY") as caught:
        key_for("http://localhost", {"TGI_API_KEY": secret})
    assert secret == " " or secret not in str(caught.value)
    assert Key("  padded\n", "X").headers() == {"Authorization": "Bearer padded"}


def test_a_key_in_the_open_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    for quiet in ("http://127.0.0.1:80", "http://localhost", "http://[::1]:80", "https://tgi.example"):
        key_for(quiet, {"TGI_API_KEY": "s3cret"})
    assert caplog.records == []
    key_for("http://tgi.example", {"TGI_API_KEY": "s3cret"})
    assert "tgi.example over plain http" in caplog.text
    assert "s3cret" not in caplog.text
    assert not is_loopback("10.0.0.1")


@pytest.mark.parametrize("url", ["http://user:pa55@host", "http://host?token=pa55", "http://pa55@host", "host/pa55"])
def test_addresses_with_secrets_or_without_scheme_are_refused(url: str) -> None:
    with pytest.raises(UserError, match="endpoint") as caught:
        base_url(url)
    assert "pa55" not in str(caught.value) or url == "host/pa55"


@pytest.mark.parametrize(
    "url",
    ["http://[::1", "http://[zz]:80", "http://a..b", "http://a:99999", "http://a:b", "http://a b", "a:pa55@host"],
)
def test_addresses_that_nobody_can_have_are_refused_at_once(url: str) -> None:
    with pytest.raises(UserError, match="endpoint") as caught:
        base_url(url)
    assert "pa55" not in str(caught.value)


@pytest.mark.parametrize("url", ["http://[::1]:80", "https://bücher.example/tgi", "http://a_b.c:1", "http://10.0.0.1"])
def test_addresses_that_somebody_may_have_are_taken(url: str) -> None:
    assert base_url(url + "/v1") == url


async def test_a_key_leaves_no_trace(tmp_path: os.PathLike[str], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    environ = {"TGI_API_KEY": "s3cret-s3cret"}
    path = os.path.join(tmp_path, "journal.sqlite")
    async with (
        FakeTgi(key="s3cret-s3cret") as server,
        connect(server.url, environ=environ) as (engine, info),
        Journal(engine, path, info.model) as journal,
    ):
        await journal(CHAT)
        server.faults.append(Fault(status=400, body="s3cret-s3cret"))
        with pytest.raises(RequestRefused) as caught:
            await journal(Request(stage="t", prompt="again", max_new_tokens=5))
    assert {request.headers["Authorization"] for request in server.requests} == {"Bearer s3cret-s3cret"}
    with open(path, "rb") as file:
        assert b"s3cret" not in file.read()
    assert "s3cret" not in caplog.text + str(caught.value) + repr(caught.value) + repr(engine)


async def test_a_missing_key_stops_at_once() -> None:
    async with FakeTgi(key="s3cret") as server:
        with pytest.raises(UserError, match="none was sent; set TGI_API_KEY"):
            async with connect(server.url, environ={"HF_TOKEN": "hf_secret"}):
                pass
    assert all("Authorization" not in request.headers for request in server.requests)


# The test double.


async def test_scripted_lines_in_order_then_an_end() -> None:
    script = Scripted(["hello there\nUser: you", Overloaded("busy")])
    asked = Request(stage="greet", prompt="say a word", max_new_tokens=5, stop=("\nUser:",))
    reply = await script(asked)
    assert (reply.text, reply.finish_reason, reply.tokens_in) == ("hello there", "stop_sequence", 3)
    with pytest.raises(Overloaded):
        await script(asked)
    with pytest.raises(LookupError, match=r"has 2 lines; stage 'greet'"):
        await script(asked)
    assert script.requests == [asked] * 3
    assert spoken("two words", CHAT).tokens_in == 2


def test_the_test_double_costs_no_transport() -> None:
    program = "import sys, synthesis.engines.scripted, synthesis.engines.journal; print('aiohttp' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
