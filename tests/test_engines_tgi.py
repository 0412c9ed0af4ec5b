"""The native dialect: what is sent, what is read, and which error each failure becomes."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import aiohttp
import pytest

from synthesis.engine import Grammar, Request
from synthesis.engines.key import Key
from synthesis.engines.tgi import Tgi, parameters
from synthesis.errors import (
    Barred,
    ContextOverflow,
    EngineError,
    KeyRefused,
    Overloaded,
    RequestRefused,
    Unavailable,
    Unsupported,
    UserError,
)
from tests.fake_tgi import MODEL, SHA, FakeTgi, Fault

PLAIN = Request(stage="test", prompt="once upon a time", max_new_tokens=20, temperature=0.7, seed=3)
CHAT = Request(stage="test", messages=(("system", "be brief"), ("user", "hello there")), max_new_tokens=20)


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


def request(**changes: Any) -> Request:
    whole: dict[str, Any] = {"stage": "test", "prompt": "once upon a time", "max_new_tokens": 20}
    return Request(**(whole | changes))


def test_everything_that_matters_is_sent_and_nothing_is_null() -> None:
    assert parameters(PLAIN) == {
        "max_new_tokens": 20,
        "do_sample": True,
        "details": True,
        "return_full_text": False,
        "temperature": 0.7,
        "seed": 3,
    }


def test_greedy_sends_nothing_that_would_make_tgi_sample() -> None:
    sent = parameters(request(temperature=None, top_p=0.9, top_k=5, typical_p=0.5))
    assert sent["do_sample"] is False
    assert not {"temperature", "top_p", "top_k", "typical_p"} & set(sent)
    assert parameters(request(temperature=0.0))["do_sample"] is False


@pytest.mark.parametrize(("mass", "sent"), [(1.0, None), (1.5, None), (0.9, 0.9), (None, None)])
def test_a_whole_nucleus_is_left_out(mass: float | None, sent: float | None) -> None:
    given = parameters(request(temperature=1.0, top_p=mass, typical_p=mass))
    assert (given.get("top_p"), given.get("typical_p")) == (sent, sent)


def test_grammar_and_details_have_their_own_words() -> None:
    given = parameters(
        request(grammar=Grammar("regex", "[0-9]+"), top_n_tokens=3, decoder_input_details=True, stop=("\n",))
    )
    assert given["grammar"] == {"type": "regex", "value": "[0-9]+"}
    assert (given["top_n_tokens"], given["decoder_input_details"], given["stop"]) == (3, True, ["\n"])


async def test_info_names_model_revision_and_limits(session: aiohttp.ClientSession) -> None:
    async with FakeTgi(max_total_tokens=99) as server:
        info = await Tgi(server.url, session=session).info()
    assert (info.model, info.dialect, info.revision) == (MODEL, "tgi", SHA)
    assert (info.max_input_tokens, info.max_total_tokens, info.max_concurrent_requests) == (98, 99, 128)


@pytest.mark.parametrize("stream", [False, True])
async def test_a_reply_carries_tokens_and_counts(session: aiohttp.ClientSession, stream: bool) -> None:
    async with FakeTgi() as server:
        reply = await Tgi(server.url, session=session, stream=stream)(
            request(prompt="one two three", top_n_tokens=2, temperature=1.0)
        )
    assert reply.tokens_in == 3
    assert reply.tokens_out == len(reply.tokens) == len(reply.top_tokens)
    assert all(len(step) == 2 for step in reply.top_tokens)
    assert "".join(token.text for token in reply.tokens if not token.special) == reply.text
    assert reply.finish_reason == "eos_token"
    assert reply.tokens[-1].special


async def test_stream_and_whole_agree(session: aiohttp.ClientSession) -> None:
    async with FakeTgi() as server:
        for asked in (PLAIN, CHAT, request(stop=("\nUser:",), top_n_tokens=4)):
            whole = await Tgi(server.url, session=session)(asked)
            assert await Tgi(server.url, session=session, stream=True)(asked) == whole


async def test_prefill_comes_even_when_streaming(session: aiohttp.ClientSession) -> None:
    async with FakeTgi() as server:
        reply = await Tgi(server.url, session=session, stream=True)(request(decoder_input_details=True))
    assert [token.text for token in reply.prefill] == ["once", "upon", "a", "time"]
    assert [token.logprob for token in reply.prefill] == [None, -0.5, -1.0, -1.5]


async def test_missing_prefill_is_refused_with_the_flag_that_gives_it(session: aiohttp.ClientSession) -> None:
    async with FakeTgi(prefill_logprobs=False) as server:
        with pytest.raises(Unsupported, match="--enable-prefill-logprobs"):
            await Tgi(server.url, session=session)(request(decoder_input_details=True))


@pytest.mark.parametrize("stream", [False, True])
async def test_prompt_is_counted_by_tokenize_when_the_answer_does_not_say(
    session: aiohttp.ClientSession, stream: bool
) -> None:
    async with FakeTgi(hide=("x-prompt-tokens", "input_length"), bos="") as server:
        reply = await Tgi(server.url, session=session, stream=stream)(PLAIN)
    assert reply.tokens_in == 4


@pytest.mark.parametrize("stream", [False, True])
async def test_stop_text_is_cut_off(session: aiohttp.ClientSession, stream: bool) -> None:
    async with FakeTgi() as server:
        reply = await Tgi(server.url, session=session, stream=stream)(request(stop=("\nUser:", "###"), top_n_tokens=0))
    assert reply.finish_reason == "stop_sequence"
    assert "User" not in reply.text
    assert reply.tokens[-1].text == "\nUser:"


def answer(text: str, reason: str = "eos_token") -> dict[str, Any]:
    details = {"finish_reason": reason, "generated_tokens": 1, "prefill": [], "tokens": [], "seed": None}
    return {"generated_text": text, "details": details}


async def test_text_is_cut_at_the_first_of_all_stops(session: aiohttp.ClientSession) -> None:
    async with FakeTgi(faults=[Fault(body=answer("yes. B: no! A: why", "length"))]) as server:
        reply = await Tgi(server.url, session=session)(request(stop=("A:", "B:")))
    assert (reply.text, reply.finish_reason) == ("yes. ", "stop_sequence")


async def test_unpaired_surrogates_are_replaced(session: aiohttp.ClientSession) -> None:
    async with FakeTgi(faults=[Fault(body=answer("a\ud83db"))]) as server:
        reply = await Tgi(server.url, session=session)(PLAIN)
    assert reply.text == "a\ufffdb"


# Chat: rendered by the server, without a second begin token.


@pytest.mark.parametrize("byte_offsets", [False, True])
@pytest.mark.parametrize("bos", ["<s>", "<|begin_of_text|>", "<\uff5cbegin\u2581of\u2581sentence\uff5c>"])
async def test_begin_token_is_not_doubled(session: aiohttp.ClientSession, bos: str, byte_offsets: bool) -> None:
    async with FakeTgi(bos=bos, byte_offsets=byte_offsets) as server:
        tgi = Tgi(server.url, session=session)
        await tgi(CHAT)
        asked_once = len(server.asked("/tokenize"))
        await tgi(CHAT)
    assert [body["inputs"] for body in server.asked("/generate")] == [
        "[system] be brief\n[user] hello there\n[assistant]"
    ] * 2
    assert len(server.asked("/tokenize")) == asked_once


async def test_a_tokenizer_that_adds_nothing_keeps_the_template_whole(session: aiohttp.ClientSession) -> None:
    async with FakeTgi(bos="") as server:
        await Tgi(server.url, session=session)(CHAT)
    assert server.asked("/generate")[0]["inputs"] == "[system] be brief\n[user] hello there\n[assistant]"


async def test_a_model_without_template_is_named_with_the_way_out(session: aiohttp.ClientSession) -> None:
    body = {"error": "Template error: template not found", "error_type": "template_error"}
    async with FakeTgi(faults=[Fault(path="/chat_tokenize", status=422, body=body)]) as server:
        with pytest.raises(UserError, match=r"no chat template.*Serve a chat model"):
            await Tgi(server.url, session=session)(CHAT)


# Errors.

EMPTY: dict[str, Any] = {}


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Fault(status=429, body={"error": "Model is overloaded", "error_type": "overloaded"}), Overloaded),
        (Fault(status=503, body={"error": "unhealthy", "error_type": "healthcheck"}), Overloaded),
        (Fault(status=500, body={"error": "x", "error_type": "overloaded"}), Overloaded),
        (Fault(status=401), KeyRefused),
        (Fault(status=400, body="Failed to parse the request body as JSON: EOF"), RequestRefused),
        (Fault(status=404, body="no such route"), Barred),
        (Fault(status=413, body="length limit exceeded"), RequestRefused),
        (Fault(status=415, body="Expected request with `Content-Type: application/json`"), RequestRefused),
        (Fault(status=422, body="Failed to deserialize the JSON body: missing field `inputs`"), RequestRefused),
        (Fault(status=422, body={"error": "Input validation error: x", "error_type": "validation"}), RequestRefused),
        (Fault(status=422, body={"error": "grammar is not supported", "error_type": "validation"}), Unsupported),
        (Fault(status=302, headers={"Location": "https://elsewhere.example/generate?t=1"}), Barred),
        (Fault(status=204), Barred),
        (Fault(status=408), Unavailable),
        (
            Fault(status=424, body={"error": "Request failed during generation", "error_type": "generation"}),
            Unavailable,
        ),
        (Fault(status=500, body="<html>oops</html>"), Unavailable),
        (Fault(status=502, body="bad gateway"), Unavailable),
        (Fault(status=504), Unavailable),
        (Fault(reset=True), Unavailable),
        (Fault(torn=True), Unavailable),
        (Fault(body="<html>log in</html>"), Unavailable),
        (Fault(body="{}", headers={"Content-Type": "application/json"}), Unavailable),
        (Fault(body='{"generated_text": "a', headers={"Content-Type": "application/json"}), Unavailable),
        (Fault(body="[" * 100_000, headers={"Content-Type": "application/json"}), Unavailable),
        (Fault(body={"generated_text": 3, "details": answer("")["details"]}), Unavailable),
        (Fault(body={"text": "hi", "meta_info": EMPTY}), Unsupported),
        (Fault(body=[{"text": "hi", "meta_info": EMPTY}]), Unsupported),
        (Fault(silent=5.0), Unavailable),
    ],
)
async def test_each_failure_is_its_own_kind(session: aiohttp.ClientSession, fault: Fault, kind: type) -> None:
    async with FakeTgi(faults=[fault]) as server:
        with pytest.raises((EngineError, UserError)) as caught:
            await Tgi(server.url, session=session, timeout=0.5)(PLAIN)
    assert type(caught.value) is kind
    assert server.url in str(caught.value)
    assert len(str(caught.value)) < 900


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("words", "new"), [(60, 10), (30, 30)])
async def test_what_does_not_fit_is_context_overflow(
    session: aiohttp.ClientSession, stream: bool, words: int, new: int
) -> None:
    async with FakeTgi(max_total_tokens=50) as server:
        with pytest.raises(ContextOverflow, match="max_new_tokens"):
            await Tgi(server.url, session=session, stream=stream)(request(prompt="w " * words, max_new_tokens=new))


@pytest.mark.parametrize(
    ("given", "least", "most"),
    [
        ("7", 7.0, 7.0),
        ("soon", None, None),
        ("", None, None),
        ("9" * 400, None, None),
        ("Mon, 01 Jan 99999999999999999999 00:00:00 GMT", None, None),
        (format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True), 3000.0, 3600.0),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0, 0.0),
    ],
    ids=[
        "seconds",
        "a word",
        "nothing",
        "endless",
        "no year",
        "in an hour",
        "long ago",
    ],  # the time is not the same twice
)
async def test_retry_after_is_read(
    session: aiohttp.ClientSession, given: str, least: float | None, most: float | None
) -> None:
    async with FakeTgi(faults=[Fault(status=429, headers={"Retry-After": given})]) as server:
        with pytest.raises(Overloaded) as caught:
            await Tgi(server.url, session=session)(PLAIN)
    wait = caught.value.retry_after
    assert wait is None if least is None or most is None else wait is not None and least <= wait <= most


async def test_nobody_listens(session: aiohttp.ClientSession, unused_tcp_port: int) -> None:
    with pytest.raises(Unavailable, match="Is the server up"):
        await Tgi(f"http://127.0.0.1:{unused_tcp_port}", session=session)(PLAIN)


# Streams.


async def test_error_events_are_raised_as_their_kind(session: aiohttp.ClientSession) -> None:
    kinds: list[tuple[dict[str, Any], type[EngineError]]] = [
        ({"error": "Model is overloaded", "error_type": "overloaded"}, Overloaded),
        ({"error": "Input validation error: `stop`", "error_type": "validation"}, RequestRefused),
        ({"error": "Request failed during generation: OOM", "error_type": "generation"}, Unavailable),
        ({"error": "Incomplete generation", "error_type": "incomplete_generation"}, Unavailable),
        ({"error": {"message": "no", "http_status_code": 422}}, RequestRefused),
    ]
    for event, kind in kinds:
        fault = Fault(path="/generate_stream", events=[f"data: {json.dumps(event)}\n\n"])
        async with FakeTgi(faults=[fault]) as server:
            with pytest.raises(EngineError) as caught:
                await Tgi(server.url, session=session, stream=True)(PLAIN)
        assert type(caught.value) is kind


async def test_a_stream_without_its_end_is_no_reply(session: aiohttp.ClientSession) -> None:
    async with FakeTgi() as server:
        whole = server.events({"inputs": PLAIN.prompt, "parameters": parameters(PLAIN)})
        for kept in (whole[:-1], whole[:1], [], [*whole[:-1], whole[-1].rstrip("\n")]):
            server.faults.append(Fault(path="/generate_stream", events=kept))
            with pytest.raises(Unavailable, match="without its final event"):
                await Tgi(server.url, session=session, stream=True)(PLAIN)
        for fault in (
            Fault(path="/generate_stream", torn=True),
            Fault(path="/generate_stream", body={"generated_text": "whole"}),
            Fault(path="/generate_stream", events=["data: {not json}\n\n"]),
            Fault(path="/generate_stream", events=["data: 3\n\n"]),
            Fault(path="/generate_stream", events=['data: {"token": null}\n\n']),
        ):
            server.faults.append(fault)
            with pytest.raises(Unavailable):
                await Tgi(server.url, session=session, stream=True)(PLAIN)


# The key.


@pytest.mark.parametrize("stream", [False, True])
async def test_the_right_key_opens(session: aiohttp.ClientSession, stream: bool) -> None:
    async with FakeTgi(key="sesame-123") as server:
        tgi = Tgi(server.url, session=session, key=Key("sesame-123", "TGI_API_KEY"), stream=stream)
        assert (await tgi(CHAT)).text


async def test_a_refused_key_names_its_variable_and_not_itself(session: aiohttp.ClientSession) -> None:
    async with FakeTgi(key="sesame-123") as server:
        with pytest.raises(UserError, match="TGI_API_KEY"):
            await Tgi(server.url, session=session)(PLAIN)
        with pytest.raises(UserError, match=r"key in HF_TOKEN was refused") as caught:
            await Tgi(server.url, session=session, key=Key("wrong-456", "HF_TOKEN"))(PLAIN)
    assert "wrong-456" not in str(caught.value)


async def test_a_server_that_repeats_the_key_cannot_make_us_show_it(session: aiohttp.ClientSession) -> None:
    key = Key("Sesame-123", "TGI_API_KEY")
    tgi_faults = [
        Fault(status=status, body=body, headers=headers)
        for status in (200, 302, 400, 401, 422, 429, 500)
        for body in ("bad key sesame-123", {"error": {"message": "key Sesame-123"}}, {"error": "SESAME-123"})
        for headers in ({"Location": "http://x.example/sesame-123"},)
    ]
    async with FakeTgi(faults=tgi_faults) as server:
        tgi = Tgi(server.url, session=session, key=key)
        for _ in tgi_faults:
            with pytest.raises((EngineError, UserError)) as caught:
                await tgi(PLAIN)
            error: BaseException | None = caught.value
            while error is not None:
                assert "sesame" not in (str(error) + repr(error)).lower()
                error = error.__cause__ or error.__context__
        assert not server.faults
    assert "esame" not in repr(key) + str(key) + f"{key}"


async def test_no_redirect_is_followed(session: aiohttp.ClientSession) -> None:
    async with FakeTgi() as other, FakeTgi() as server:
        server.faults.append(Fault(status=307, headers={"Location": f"{other.url}/generate"}))
        with pytest.raises(RequestRefused, match=r"redirects to http://127"):
            await Tgi(server.url, session=session, key=Key("sesame-123", "TGI_API_KEY"))(PLAIN)
    assert other.requests == []
