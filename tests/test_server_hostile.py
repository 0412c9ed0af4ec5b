"""Whatever one client sends, the server answers it, lives, and writes the same text for its neighbour."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from synthesis.server.body import BadBody, parse
from synthesis.server.text import Tokenizer
from tests.serving import Served, serving, tiny_folder

NEIGHBOUR: dict[str, Any] = {"inputs": "My dog", "seed": 4, "do_sample": True, "max_new_tokens": 200}
LONG = {"max_new_tokens": 40, "do_sample": True}


def deep(levels: int) -> str:
    return '{"properties":{"a":' * levels + "{}" + "}}" * levels


def schema(value: Any) -> dict[str, Any]:
    return {"inputs": "a", "parameters": {"grammar": {"type": "json", "value": value}}}


def regex(value: str) -> dict[str, Any]:
    return {"inputs": "a", "parameters": {**LONG, "grammar": {"type": "regex", "value": value}}}


EXPLODING = {"allOf": [{"type": "string", "pattern": f"a{{{n},}}.*b{{{n},}}"} for n in range(1, 60)]}
RAW = {"Content-Type": "application/json"}
CASES: dict[str, tuple[int, Any, str]] = {
    "stop strings": (422, {"inputs": "a", "parameters": {"stop": ["x"] * 10_000}}, "stop sequences. Given: 10000"),
    "no text": (400, b'{"inputs": "\xff\xfe"}', "Failed to parse the request body as JSON"),
    "NaN": (400, b'{"inputs": "a", "parameters": {"temperature": NaN}}', "found NaN"),
    "Infinity": (400, b'{"inputs": "a", "parameters": {"temperature": -Infinity}}', "Infinity"),
    "beyond f32": (422, {"inputs": "a", "parameters": {"temperature": 1e39}}, "expected f32"),
    "below f32": (422, {"inputs": "a", "parameters": {"repetition_penalty": 1e-300}}, "strictly positive"),
    "huge int": (422, b'{"inputs": "a", "parameters": {"seed": 99999999999999999999}}', "expected u64"),
    "huger int": (422, b'{"inputs": "a", "parameters": {"seed": ' + b"9" * 300 + b"}}", "expected u64"),
    "wrong type": (422, {"inputs": ["a"]}, "inputs: invalid type: sequence"),
    "nested": (400, b"[" * 1_000_000, "recursion limit exceeded"),
    "quotes": (400, b'"' + b'\\"' * 500_000, "Failed to parse the request body as JSON"),
    "nested schema": (422, schema(deep(3000)), "recursion limit exceeded"),
    "NaN in schema": (422, schema('{"properties": {"a": {"minimum": NaN}}}'), "found NaN"),
    "exploding schema": (422, schema({"properties": {"a": EXPLODING}}), "it is too complex"),
    "wide schema": (422, schema({"properties": {f"k{n}": {"type": "string"} for n in range(20_000)}}), "too large"),
    "parentheses": (422, regex("(" * 20_000 + ")" * 20_000), "grammar is not valid"),
    "repetitions": (422, regex("(a{1000}){1000}"), "grammar is not valid"),
    "endless reference": (422, schema({"properties": {}, "anyOf": [{"$ref": "#"}, {"$ref": "#"}]}), "from schema"),
}


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    async with serving() as running:
        yield running


async def test_hostile_requests_are_refused_and_disturb_nobody(served: Served) -> None:
    calm = await served.generate(**NEIGHBOUR)
    neighbour = asyncio.create_task(served.generate(**NEIGHBOUR))
    told = await asyncio.gather(*(served.post("/generate", body, **RAW) for _, body, _ in CASES.values()))
    assert await neighbour == calm
    for (name, (status, _, words)), (got, body) in zip(CASES.items(), told, strict=True):
        assert (name, got) == (name, status), body
        assert words in (body if isinstance(body, str) else body["error"]), name
    assert await served.generate(**NEIGHBOUR) == calm
    assert served.service.permits == 128


async def test_hostile_sampling_ends_one_request_at_most(served: Served) -> None:
    calm = await served.generate(**NEIGHBOUR)
    extreme: list[dict[str, Any]] = [
        {"temperature": 3e38, "grammar": {"type": "regex", "value": "[ab]{9}"}},
        {"temperature": 1e-45},
        {"repetition_penalty": 3e38, "do_sample": True},
        {"repetition_penalty": 1e-38, "do_sample": True},
        {"top_p": 1e-30, "typical_p": 1e-30, "top_k": 1},
        {"frequency_penalty": -2, "top_k": 2**31 - 1, "seed": 2**64 - 1, "do_sample": True},
        {"truncate": 1, "max_new_tokens": 500, "watermark": True, "do_sample": True},
    ]
    neighbour = asyncio.create_task(served.generate(**NEIGHBOUR))
    bodies = [{"inputs": "a b c", "parameters": {"max_new_tokens": 9, **one}} for one in extreme]
    told = await asyncio.gather(*(served.post("/generate", body) for body in bodies))
    assert await neighbour == calm
    assert [status for status, _ in told if status not in (200, 424)] == []
    assert [status for status, _ in told].count(200) >= 5


async def test_broken_encodings_and_long_texts_are_answered(served: Served) -> None:
    for encoding in ("gzip", "deflate"):
        status, _ = await served.post("/generate", b"no archive", **RAW, **{"Content-Encoding": encoding})
        assert 400 <= status < 500
    status, tokens = await served.post("/tokenize", {"inputs": "word " * 50_000})
    assert (status, len(tokens) > 50_000) == (200, True)
    assert (await served.generate("a", max_new_tokens=1))["details"]["generated_tokens"] == 1


async def test_a_client_that_leaves_while_its_grammar_is_tried_takes_none_along(served: Served) -> None:
    exploding = schema({"properties": {"a": EXPLODING}})
    assert (await served.post("/generate", regex("[ab]{2}")))[0] == 200
    gone = asyncio.create_task(served.post("/generate", exploding))
    await asyncio.sleep(0.5)
    gone.cancel()
    while served.service.permits < 128:
        await asyncio.sleep(0.01)
    waiting = asyncio.create_task(served.post("/generate", regex("[ab]{3}")))
    assert (await served.post("/generate", regex("[ab]{2}")))[0] == 200  # a known grammar waits for no new one
    assert not waiting.done()
    assert (await waiting)[0] == 200
    async with asyncio.timeout(2):  # what exploded once is not tried again
        told = await asyncio.gather(*(served.post("/generate", exploding) for _ in range(9)))
    assert all(status == 422 and "it is too complex" in body["error"] for status, body in told)
    assert (await served.post("/generate", regex("(")))[0] == 422


def test_a_long_text_holds_up_no_thread() -> None:
    tokenizer = Tokenizer(tiny_folder(), 384)
    ticks = 0
    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(tokenizer.encode, "ab" * 200_000)
        while not done.done():
            time.sleep(0.001)
            ticks += 1
    assert len(done.result()) >= 100_000
    assert ticks >= 10


def test_a_body_is_refused_in_linear_time() -> None:
    began = time.process_time()
    with pytest.raises(BadBody):
        parse(b'{"a": "' + b'\\"' * 1_000_000)
    assert time.process_time() - began < 2
    assert parse(json.dumps({"a": '\\"[' * 1000}).encode()) == {"a": '\\"[' * 1000}
