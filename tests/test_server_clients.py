"""The released clients, unchanged, against the embedded server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.serving import Served, serving

SCHEMA: dict[str, Any] = {"type": "object", "properties": {"mood": {"enum": ["calm", "glad"]}}, "required": ["mood"]}
CHAT: list[Any] = [{"role": "user", "content": "How are you?"}]


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    async with serving() as running:
        yield running


async def test_inference_client_generates(served: Served) -> None:
    from huggingface_hub import AsyncInferenceClient

    async with AsyncInferenceClient(served.url) as client:
        options: dict[str, Any] = {"max_new_tokens": 12, "do_sample": True, "seed": 7}
        text = await client.text_generation("My dog", return_full_text=False, **options)
        full = await client.text_generation("My dog", **options)
        assert full == "My dog" + text
        answer = await client.text_generation(
            "My dog", details=True, decoder_input_details=True, top_n_tokens=2, return_full_text=False, **options
        )
        assert answer.generated_text == text
        assert (answer.details.seed, answer.details.finish_reason) == (7, "length")
        assert [token.logprob is None for token in answer.details.prefill] == [True, False, False]
        events = [
            event
            async for event in await client.text_generation(
                "My dog", details=True, stream=True, return_full_text=False, **options
            )
        ]
        assert events[-1].generated_text == text
        assert events[-1].details.generated_tokens == len(events) == 12


async def test_inference_client_follows_a_grammar_and_names_errors(served: Served) -> None:
    from huggingface_hub import AsyncInferenceClient
    from huggingface_hub.errors import ValidationError

    async with AsyncInferenceClient(served.url) as client:
        held = await client.text_generation(
            "a",
            grammar={"type": "json", "value": SCHEMA},
            return_full_text=False,
            max_new_tokens=30,
        )
        assert json.loads(held)["mood"] in ("calm", "glad")
        with pytest.raises(ValidationError, match="strictly positive"):
            await client.text_generation("a", temperature=-1.0)


async def test_the_synchronous_client_too(served: Served) -> None:
    from huggingface_hub import InferenceClient

    def ask() -> str:
        with InferenceClient(served.url) as client:
            return str(client.text_generation("a", max_new_tokens=3, return_full_text=False))

    _, plain = await served.post("/generate", {"inputs": "a", "parameters": {"max_new_tokens": 3}})
    assert await asyncio.to_thread(ask) == plain["generated_text"]


async def test_inference_client_chats(served: Served) -> None:
    from huggingface_hub import AsyncInferenceClient

    async with AsyncInferenceClient(base_url=served.url) as client:
        whole = await client.chat_completion(CHAT, max_tokens=9, seed=3, logprobs=True, top_logprobs=2)
        assert whole.usage.completion_tokens == len(whole.choices[0].logprobs.content) == 9
        wanted: Any = {"type": "json_schema", "json_schema": {"name": "mood", "schema": SCHEMA, "strict": True}}
        held = await client.chat_completion(CHAT, max_tokens=30, response_format=wanted)
        assert json.loads(held.choices[0].message.content or "")["mood"] in ("calm", "glad")
        options: Any = {"include_usage": True}
        chunks = [
            chunk
            async for chunk in await client.chat_completion(
                CHAT, max_tokens=9, seed=3, stream=True, stream_options=options
            )
        ]
        assert "".join(one.choices[0].delta.content or "" for one in chunks[:-1]) == whole.choices[0].message.content
        assert chunks[-1].usage.total_tokens == whole.usage.total_tokens


async def test_openai_client(served: Served) -> None:
    import openai

    async with openai.AsyncOpenAI(base_url=served.url + "/v1", api_key="none", max_retries=0) as client:
        assert [model.id async for model in client.models.list()] == ["tiny"]
        whole = await client.chat.completions.create(model="tgi", messages=CHAT, max_completion_tokens=9, seed=3)
        text = whole.choices[0].message.content
        stream = await client.chat.completions.create(
            model="tgi",
            messages=CHAT,
            max_completion_tokens=9,
            seed=3,
            stream=True,
            stream_options={"include_usage": True},
        )
        chunks = [chunk async for chunk in stream]
        assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks[:-1]) == text
        assert chunks[-1].usage == whole.usage
        wanted: Any = {"type": "json_schema", "json_schema": {"name": "mood", "schema": SCHEMA}}
        held = await client.chat.completions.create(
            model="tgi",
            messages=CHAT,
            max_tokens=30,
            response_format=wanted,
        )
        assert json.loads(held.choices[0].message.content or "")["mood"] in ("calm", "glad")
        plain = await client.completions.create(model="tgi", prompt=["My dog", "Tea"], max_tokens=4, temperature=0)
        assert [choice.index for choice in plain.choices] == [0, 1]
        with pytest.raises(openai.UnprocessableEntityError) as caught:
            await client.chat.completions.create(model="tgi", messages=CHAT, top_p=1.0)
        assert "`top_p`" in caught.value.response.text
        with pytest.raises(openai.APIError, match="top_p"):
            async for _ in await client.chat.completions.create(model="tgi", messages=CHAT, top_p=1.0, stream=True):
                pass
