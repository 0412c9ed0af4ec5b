"""The /v1 dialect: what is sent, what is read, what is refused by name."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from synthesis.engine import Grammar, Request
from synthesis.engines.openai import OpenAI
from synthesis.errors import ContextOverflow, KeyRefused, RequestRefused, Unavailable, Unsupported, UserError
from tests.fake_tgi import MODEL, FakeTgi, Fault

CHAT = "/v1/chat/completions"
PLAIN = "/v1/completions"
SCHEMA = {"type": "object", "properties": {"name": {"type": "string"}}}


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


def chat(**changes: Any) -> Request:
    whole: dict[str, Any] = {"stage": "test", "messages": (("user", "hello there"),), "max_new_tokens": 20}
    return Request(**(whole | changes))


def plain(**changes: Any) -> Request:
    whole: dict[str, Any] = {"stage": "test", "prompt": "once upon a time", "max_new_tokens": 20}
    return Request(**(whole | changes))


def said(**choice: Any) -> dict[str, Any]:
    whole = {"message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"} | choice
    return {"choices": [whole], "usage": {"prompt_tokens": 1, "completion_tokens": 1}}


async def test_messages_go_to_chat_and_prompts_to_completions(session: aiohttp.ClientSession) -> None:
    async with FakeTgi(dialects=("openai",)) as server:
        engine = OpenAI(server.url, session=session, model=MODEL)
        talked = await engine(chat(temperature=0.5, top_p=0.9, seed=4, stop=("\n",)))
        wrote = await engine(plain())
    assert server.asked(CHAT) == [
        {
            "model": MODEL,
            "messages": [{"role": "user", "content": "hello there"}],
            "max_tokens": 20,
            "temperature": 0.5,
            "top_p": 0.9,
            "stop": ["\n"],
            "seed": 4,
        }
    ]
    assert server.asked(PLAIN) == [{"model": MODEL, "prompt": "once upon a time", "max_tokens": 20, "temperature": 0}]
    assert (talked.tokens_in, talked.finish_reason) == (2, "stop_sequence")
    assert (wrote.tokens_in, wrote.finish_reason) == (4, "eos_token")
    assert wrote.text
    assert wrote.tokens == ()


async def test_extensions_are_sent_and_a_refusal_is_told(session: aiohttp.ClientSession) -> None:
    error = {"error": {"message": "Unrecognized request argument supplied: top_k", "type": "invalid_request_error"}}
    async with FakeTgi(faults=[Fault(path=CHAT, status=400, body=error)]) as server:
        with pytest.raises(RequestRefused, match="argument supplied: top_k"):
            await OpenAI(server.url, session=session, model=MODEL)(
                chat(temperature=1.0, top_k=7, repetition_penalty=1.2, top_p=1.0)
            )
    sent = server.asked(CHAT)[0]
    assert (sent["top_k"], sent["repetition_penalty"], sent["repeat_penalty"]) == (7, 1.2, 1.2)
    assert "top_p" not in sent


async def test_a_json_grammar_is_a_response_format(session: aiohttp.ClientSession) -> None:
    async with FakeTgi() as server:
        await OpenAI(server.url, session=session, model=MODEL)(chat(grammar=Grammar("json", SCHEMA)))
    assert server.asked(CHAT)[0]["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "reply", "schema": SCHEMA},
    }


async def test_top_tokens_come_as_top_logprobs(session: aiohttp.ClientSession) -> None:
    async with FakeTgi() as server:
        reply = await OpenAI(server.url, session=session, model=MODEL)(chat(top_n_tokens=3))
        bare = await OpenAI(server.url, session=session, model=MODEL)(chat(top_n_tokens=0))
    assert server.asked(CHAT)[0]["top_logprobs"] == 3
    assert len(reply.tokens) == len(reply.top_tokens) == reply.tokens_out
    assert all(len(step) == 3 and step[0].logprob is not None for step in reply.top_tokens)
    assert bare.tokens
    assert bare.top_tokens == ()


@pytest.mark.parametrize(
    ("asked", "feature"),
    [
        (chat(decoder_input_details=True), "decoder_input_details"),
        (chat(typical_p=0.9), "typical_p"),
        (chat(grammar=Grammar("regex", "[ab]+")), "grammar of kind regex"),
        (plain(grammar=Grammar("json", SCHEMA)), "grammar on a plain prompt"),
        (plain(top_n_tokens=2), "top_n_tokens on a plain prompt"),
    ],
)
async def test_what_the_dialect_lacks_is_refused_unasked(
    session: aiohttp.ClientSession, asked: Request, feature: str
) -> None:
    async with FakeTgi() as server:
        with pytest.raises(Unsupported, match=f"openai dialect has no {feature}.*tgi dialect"):
            await OpenAI(server.url, session=session, model=MODEL)(asked)
    assert server.requests == []


@pytest.mark.parametrize(
    ("choice", "reason"),
    [
        ({"finish_reason": "stop"}, "eos_token"),
        ({"finish_reason": "stop", "stop_reason": "\n"}, "stop_sequence"),
        ({"finish_reason": "stop", "matched_stop": "\n"}, "stop_sequence"),
        ({"finish_reason": "stop", "stop_reason": None}, "eos_token"),
        ({"finish_reason": "stop", "matched_stop": 128009}, "eos_token"),
        ({"finish_reason": "stop_sequence"}, "stop_sequence"),
        ({"finish_reason": "length"}, "length"),
        ({"finish_reason": "length", "message": {"content": "hi\nyou"}}, "stop_sequence"),
    ],
)
async def test_finish_reasons(session: aiohttp.ClientSession, choice: dict[str, Any], reason: str) -> None:
    async with FakeTgi(faults=[Fault(path=CHAT, body=said(**choice))]) as server:
        reply = await OpenAI(server.url, session=session, model=MODEL)(chat(stop=("\n",)))
    assert (reply.text, reply.finish_reason) == ("hi", reason)


NO_LOGPROBS = {"choices": [{"message": {"content": "hi"}, "finish_reason": "stop"}]}


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Fault(path=CHAT, body=said(finish_reason="content_filter")), RequestRefused),
        (Fault(path=CHAT, body=said(message={"content": None, "reasoning_content": "hm"})), RequestRefused),
        (Fault(path=CHAT, body=said(finish_reason=None)), Unavailable),
        (Fault(path=CHAT, body=NO_LOGPROBS), Unavailable),
        (Fault(path=CHAT, body={"choices": []}), Unavailable),
        (Fault(path=CHAT, body="gateway page"), Unavailable),
        (Fault(path=CHAT, torn=True), Unavailable),
        (
            Fault(
                path=CHAT, status=400, body={"error": {"message": "This model's maximum context length is 8 tokens"}}
            ),
            ContextOverflow,
        ),
        (
            Fault(path=CHAT, status=400, body={"error": {"message": "too long", "code": "context_length_exceeded"}}),
            ContextOverflow,
        ),
        (Fault(path=CHAT, status=401, body={"error": {"message": "Incorrect API key"}}), KeyRefused),
        (Fault(path=CHAT, status=422, body={"detail": "Unexpected fields"}), RequestRefused),
    ],
)
async def test_failures(session: aiohttp.ClientSession, fault: Fault, kind: type[Exception]) -> None:
    async with FakeTgi(faults=[fault]) as server:
        with pytest.raises(kind) as caught:
            await OpenAI(server.url, session=session, model=MODEL)(chat())
    assert type(caught.value) is kind


async def test_missing_top_logprobs_are_not_taken_for_none(session: aiohttp.ClientSession) -> None:
    async with FakeTgi(faults=[Fault(path=CHAT, body=said())]) as server:
        with pytest.raises(Unsupported, match="no top_logprobs"):
            await OpenAI(server.url, session=session, model=MODEL)(chat(top_n_tokens=2))


async def test_the_only_model_is_the_model(session: aiohttp.ClientSession) -> None:
    body = {"data": [{"id": "solo", "max_model_len": 4096}]}
    async with FakeTgi(faults=[Fault(path="/v1/models", body=body)] * 2) as server:
        info = await OpenAI(server.url, session=session).info()
        await OpenAI(server.url, session=session)(chat())
    assert (info.model, info.dialect, info.max_total_tokens) == ("solo", "openai", 4096)
    assert server.asked(CHAT)[0]["model"] == "solo"


async def test_which_model_must_be_clear(session: aiohttp.ClientSession) -> None:
    async with FakeTgi(models=("a", "b")) as server:
        with pytest.raises(UserError, match="say which model to use; it has a, b"):
            await OpenAI(server.url, session=session).info()
        with pytest.raises(UserError, match="no model 'c'; it has a, b"):
            await OpenAI(server.url, session=session, model="c").info()
        assert (await OpenAI(server.url, session=session, model="b").info()).model == "b"
