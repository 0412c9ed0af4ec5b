"""The routes over the loopback: shapes, streams, errors, permits."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from tests.serving import Served, serving
from tests.tiny_model import make_tiny_model

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 8},
        "age": {"type": "integer", "maximum": 99, "minimum": 0},
        "married": {"type": "boolean"},
        "likes": {"type": "array", "items": {"enum": ["tea", "chess"]}, "maxItems": 2},
    },
    "required": ["name", "age", "married"],
}


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    async with serving() as running:
        yield running


async def test_get_routes(served: Served) -> None:
    for path in ("/health", "/", "/ping"):
        async with served.session.get(served.url + path) as answer:
            assert (answer.status, await answer.text()) == (200, "")
    async with served.session.get(served.url + "/info") as answer:
        info = await answer.json()
    assert (info["router"], info["max_input_tokens"], info["max_total_tokens"]) == ("text-generation-router", 511, 512)
    assert len(info["model_sha"]) == 64
    async with served.session.get(served.url + "/v1/models") as answer:
        assert (await answer.json())["data"][0]["id"] == info["model_id"] == "tiny"


async def test_generate_has_details_and_headers(served: Served) -> None:
    body = {"inputs": "My dog", "parameters": {"max_new_tokens": 4, "details": True, "seed": 9, "do_sample": True}}
    async with served.session.post(served.url + "/generate", json=body) as answer:
        result, headers = await answer.json(), answer.headers
    details = result["details"]
    assert (details["finish_reason"], details["generated_tokens"], details["seed"]) == ("length", 4, 9)
    assert len(details["tokens"]) == 4
    assert details["prefill"] == []
    assert "top_tokens" not in details
    assert (headers["x-prompt-tokens"], headers["x-generated-tokens"], headers["x-compute-characters"]) == (
        "3",
        "4",
        "6",
    )
    for name in ("x-total-time", "x-validation-time", "x-queue-time", "x-inference-time", "x-time-per-token"):
        assert int(headers[name]) >= 0


async def test_greedy_has_no_seed_and_an_unasked_seed_is_told(served: Served) -> None:
    assert (await served.generate("a", max_new_tokens=1, seed=4))["details"]["seed"] is None
    drawn = await served.generate("a", max_new_tokens=6, do_sample=True)
    again = await served.generate("a", max_new_tokens=6, do_sample=True, seed=drawn["details"]["seed"])
    assert again == drawn


async def test_the_root_lists_and_repeats_the_prompt(served: Served) -> None:
    plain = {"inputs": "My dog", "parameters": {"max_new_tokens": 3}}
    status, listed = await served.post("/", plain)
    assert (status, len(listed)) == (200, 1)
    assert listed[0]["generated_text"].startswith("My dog")
    _, single = await served.post("/generate", plain)
    assert listed[0]["generated_text"] == "My dog" + single["generated_text"]
    plain["parameters"]["return_full_text"] = False  # type: ignore[index]
    assert (await served.post("/", plain))[1] == [single]
    last = json.loads((await served.events("/", {**plain, "stream": True}))[-1])
    assert last["generated_text"] == single["generated_text"]


async def test_a_stream_is_the_answer_in_pieces(served: Served) -> None:
    wanted = {"max_new_tokens": 20, "details": True, "seed": 3, "do_sample": True, "top_n_tokens": 1}
    whole = await served.generate("I grew up", **wanted)
    events = [
        json.loads(one)
        for one in await served.events("/generate_stream", {"inputs": "I grew up", "parameters": wanted})
    ]
    assert [one["index"] for one in events] == list(range(1, len(events) + 1))
    assert [one["token"] for one in events] == whole["details"]["tokens"]
    assert [one["top_tokens"] for one in events] == whole["details"]["top_tokens"]
    assert all(one["generated_text"] is None and one["details"] is None for one in events[:-1])
    assert events[-1]["generated_text"] == whole["generated_text"]
    assert events[-1]["details"] == {"finish_reason": "length", "generated_tokens": 20, "seed": 3, "input_length": 6}


async def test_stop_text_stays_and_may_lie_inside_tokens(served: Served) -> None:
    free = await served.generate("The train", max_new_tokens=60, seed=5, do_sample=True)
    text = free["generated_text"]
    place = next(at for at in range(8, len(text) - 1) if "\ufffd" not in text[at : at + 2])
    for stop in (text[place], text[place : place + 2]):
        held = await served.generate(
            "The train", max_new_tokens=60, seed=5, do_sample=True, stop=[stop, "never there"]
        )
        assert held["details"]["finish_reason"] == "stop_sequence"
        assert held["generated_text"] == text[: text.index(stop) + len(stop)]


async def test_the_end_token_ends_and_is_counted(served: Served) -> None:
    end = served.service.tokenizer.encode("<|im_end|>")[0]
    answers = await asyncio.gather(
        *(
            served.generate("My dog", max_new_tokens=300, seed=seed, do_sample=True, temperature=2.0)
            for seed in range(8)
        )
    )
    ended = [one for one in answers if one["details"]["finish_reason"] == "eos_token"]
    assert ended
    for one in ended:
        assert one["details"]["tokens"][-1]["id"] == end
        assert one["details"]["tokens"][-1]["special"] is True
        assert "<|im_end|>" not in one["generated_text"]
        assert one["details"]["generated_tokens"] == len(one["details"]["tokens"])


async def test_truncate_keeps_the_end(served: Served) -> None:
    cut = await served.generate("a long beginning My dog", truncate=3, max_new_tokens=5, decoder_input_details=True)
    ids = served.service.tokenizer.encode("a long beginning My dog")[-3:]
    assert [token["id"] for token in cut["details"]["prefill"]] == ids


async def test_best_of_takes_the_likelier(served: Served) -> None:
    answer = await served.generate("My dog", best_of=2, do_sample=True, max_new_tokens=6)
    (other,) = answer["details"]["best_of_sequences"]

    def mean(details: dict[str, Any]) -> float:
        return float(sum(token["logprob"] for token in details["tokens"])) / len(details["tokens"])

    assert mean(answer["details"]) >= mean(other)


@pytest.mark.parametrize("seed", range(6))
async def test_a_schema_is_kept(served: Served, seed: int) -> None:
    grammar = {"type": "json", "value": SCHEMA if seed % 2 else json.dumps(SCHEMA)}
    answer = await served.generate(
        "Ada:", grammar=grammar, seed=seed, do_sample=True, temperature=1.5, max_new_tokens=200
    )
    assert answer["details"]["finish_reason"] == "eos_token"
    person = json.loads(answer["generated_text"])
    assert set(person) <= set(SCHEMA["properties"])
    assert set(person) >= {"name", "age", "married"}
    assert 0 <= person["age"] <= 99


async def test_what_lists_properties_is_an_object_whether_it_says_so_or_not(served: Served) -> None:
    inner = {"properties": {"on": {"type": "boolean"}}, "required": ["on"]}
    schema = {"properties": {"lamps": {"type": "array", "items": inner, "minItems": 1, "maxItems": 2}}}
    schema["required"] = ["lamps"]  # type: ignore[assignment]
    answer = await served.generate("a", grammar={"type": "json", "value": schema}, max_new_tokens=100)
    assert {type(lamp["on"]) for lamp in json.loads(answer["generated_text"])["lamps"]} == {bool}


async def test_grammars_in_one_batch_do_not_disturb_one_another(served: Served) -> None:
    def ask(pattern: str, seed: int) -> Any:
        return served.generate(
            "x", grammar={"type": "regex", "value": pattern}, seed=seed, do_sample=True, max_new_tokens=30
        )

    patterns = ["(yes|no)", "[0-9]{3}-[a-f]{2}", "Größe: [1-5]"] * 4
    answers = await asyncio.gather(*(ask(pattern, seed) for seed, pattern in enumerate(patterns)))
    import re

    for pattern, answer in zip(patterns, answers, strict=True):
        assert re.fullmatch(pattern, answer["generated_text"])
    assert [await ask(pattern, seed) for seed, pattern in enumerate(patterns)] == answers


@pytest.mark.parametrize(
    ("grammar", "message"),
    [
        ({"type": "regex", "value": "("}, "grammar is not valid: "),
        ({"type": "json", "value": "{"}, "grammar is not valid: "),
        ({"type": "json", "value": []}, "grammar is not valid: "),
        ({"type": "json", "value": {"type": "object"}}, "Grammar must have a 'properties' field"),
        ({"type": "json", "value": {"properties": {"a": {"type": "nothing"}}}}, "cannot compile regex from schema: "),
        (
            {"type": "json", "value": {"properties": {"a": {"$ref": "#/nowhere"}}}},
            "cannot compile regex from schema: ",
        ),
    ],
)
async def test_a_bad_grammar_is_refused(served: Served, grammar: Any, message: str) -> None:
    status, body = await served.post("/generate", {"inputs": "a", "parameters": {"grammar": grammar}})
    assert (status, body["error_type"]) == (422, "validation")
    assert body["error"].startswith("Input validation error: ")
    assert message in body["error"]


async def test_errors_of_a_stream_are_events(served: Served) -> None:
    (event,) = await served.events("/generate_stream", {"inputs": "a", "parameters": {"top_p": 1.0}})
    assert json.loads(event) == {
        "error": "Input validation error: `top_p` must be > 0.0 and < 1.0",
        "error_type": "validation",
    }
    asked = {"messages": [{"role": "user", "content": "a"}], "stream": True, "top_p": 1.0}
    event, done = await served.events("/v1/chat/completions", asked)
    assert json.loads(event)["error"]["http_status_code"] == 422
    assert done == "[DONE]"


async def test_the_extractor_answers_in_plain_text(served: Served) -> None:
    assert (await served.post("/generate", b"{}", **{"Content-Type": "text/plain"}))[0] == 415
    assert (await served.post("/generate", b"{", **{"Content-Type": "application/json"}))[0] == 400
    assert await served.post("/generate", {}) == (
        422,
        "Failed to deserialize the JSON body into the target type: missing field `inputs` at line 1 column 2",
    )
    huge = io.BytesIO(json.dumps({"inputs": "a" * (2 * 1024 * 1024)}).encode())
    kind = {"Content-Type": "application/json"}
    async with served.session.post(served.url + "/generate", data=huge, headers=kind) as answer:
        told = answer.status, await answer.text()
    assert told == (413, "Failed to buffer the request body: length limit exceeded")
    long = await served.post("/generate", {"inputs": "word " * 100_000, "parameters": {"max_new_tokens": 1}})
    assert "must be <= 512" in long[1]["error"]


async def test_overload_is_told_at_once_and_hanging_up_frees_the_permit() -> None:
    long = {"inputs": "a", "parameters": {"max_new_tokens": 500, "grammar": {"type": "regex", "value": "[ab]{480}"}}}
    async with serving("--max-concurrent-requests", "2") as served:
        for path in ("/generate", "/generate_stream"):
            answer = asyncio.create_task(served.post(path, long))
            stream = asyncio.create_task(served.events("/generate_stream", long))
            while served.service.permits:
                await asyncio.sleep(0.005)
            assert await served.post("/generate", long) == (
                429,
                {"error": "Model is overloaded", "error_type": "overloaded"},
            )
            (event,) = await served.events("/generate_stream", long)
            assert json.loads(event)["error_type"] == "overloaded"
            for task in (answer, stream):
                task.cancel()
            await asyncio.gather(answer, stream, return_exceptions=True)
            async with asyncio.timeout(30):
                while served.service.permits < 2:
                    await asyncio.sleep(0.005)
        text = served.service.metrics.text()
        assert 'tgi_request_failure{err="overloaded"} 4\n' in text
        assert 'tgi_request_failure{err="dropped"} 4\n' in text
        assert (await served.generate("a", max_new_tokens=2))["details"]["generated_tokens"] == 2


async def test_a_key_guards_posts() -> None:
    async with serving(key="Secret") as served:
        body = {"inputs": "a", "parameters": {"max_new_tokens": 1}}
        assert await served.post("/generate", body) == (401, "")
        assert await served.post("/v1/completions", {"prompt": "a"}, Authorization="Bearer other") == (401, "")
        assert (await served.post("/generate", body, Authorization="bearer secret"))[0] == 200
        assert (await served.post("/chat_tokenize", {"messages": [{"role": "user", "content": "a"}]}))[0] == 200
        async with served.session.get(served.url + "/info") as answer:
            assert answer.status == 200


async def test_a_key_of_any_bytes_is_right_or_wrong() -> None:
    async with serving(key="Schlüssel") as served:
        host, port = served.url.removeprefix("http://").split(":")
        for sent, status in (("bearer schlüssel".encode(), b"415"), (b"Bearer \xff\xfe", b"401")):
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(b"POST /generate HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nAuthorization: " + sent)
            writer.write(b"\r\n\r\n")
            assert (await reader.readline()).split()[1] == status
            writer.close()
            await writer.wait_closed()


async def test_chat_and_its_stream(served: Served) -> None:
    asked = {
        "messages": [{"role": "user", "content": "Do you cook?"}],
        "max_tokens": 12,
        "seed": 2,
        "logprobs": True,
        "top_logprobs": 2,
        "n": 2,
    }
    status, whole = await served.post("/v1/chat/completions", asked)
    assert (status, whole["object"], len(whole["choices"])) == (200, "chat.completion", 2)
    prompt = len((await served.post("/chat_tokenize", asked))[1]["tokenize_response"])
    written = sum(len(one["logprobs"]["content"]) for one in whole["choices"])
    assert whole["usage"] == {
        "prompt_tokens": 2 * prompt,
        "completion_tokens": written,
        "total_tokens": 2 * prompt + written,
    }
    *events, last, done = await served.events(
        "/v1/chat/completions", {**asked, "stream": True, "stream_options": {"include_usage": True}}
    )
    assert done == "[DONE]"
    assert (json.loads(last)["choices"], json.loads(last)["usage"]) == ([], whole["usage"])
    texts = ["", ""]
    for one in map(json.loads, events):
        texts[one["choices"][0]["index"]] += one["choices"][0]["delta"]["content"]
    assert texts == [choice["message"]["content"] for choice in whole["choices"]]


async def test_completions_take_one_prompt_or_several(served: Served) -> None:
    _, one = await served.post("/v1/completions", {"prompt": "My dog", "temperature": 0, "max_tokens": 5})
    _, two = await served.post("/v1/completions", {"prompt": ["My dog", "Tea"], "temperature": 0, "max_tokens": 5})
    assert two["choices"][0] == one["choices"][0]
    assert two["usage"]["completion_tokens"] == 10
    events = await served.events(
        "/v1/completions", {"prompt": ["My dog", "Tea"], "temperature": 0, "max_tokens": 5, "stream": True}
    )
    texts = ["", ""]
    for event in map(json.loads, events[:-1]):
        texts[event["choices"][0]["index"]] += event["choices"][0]["text"]
    assert texts == [choice["text"] for choice in two["choices"]]
    assert (await served.post("/v1/completions", {"prompt": ["a"] * 5}))[1]["error_type"] == "batch size exceeded"
    assert (await served.post("/v1/completions", {"prompt": "a", "suffix": "b"}))[1][
        "error_type"
    ] == "suffix not supported"


async def test_a_model_without_a_template_says_so(tmp_path: Any) -> None:
    async with serving(folder=make_tiny_model(tmp_path / "model", chat_template=None)) as served:
        status, body = await served.post("/v1/chat/completions", {"messages": [{"role": "user", "content": "a"}]})
        assert (status, body["error_type"]) == (422, "template_error")
        assert "has no chat template" in body["error"]


async def test_sagemaker_and_vertex(served: Served) -> None:
    _, listed = await served.post("/invocations", {"inputs": "a", "parameters": {"max_new_tokens": 1}})
    assert listed[0]["generated_text"].startswith("a")
    _, chat = await served.post("/invocations", {"messages": [{"role": "user", "content": "a"}], "max_tokens": 1})
    assert chat["object"] == "chat.completion"
    _, plain = await served.post("/invocations", {"prompt": "a", "max_tokens": 1})
    assert plain["object"] == "text_completion"
    instance = {"inputs": "a", "parameters": {"max_new_tokens": 2}}
    _, alone = await served.post("/generate", instance)
    _, body = await served.post("/vertex", {"instances": [instance, instance]})
    assert body["predictions"] == [alone["generated_text"]] * 2
    status, body = await served.post("/vertex", {"instances": [instance, {"inputs": ""}, instance]})
    assert (status, body["error"]) == (422, "Input validation error: `inputs` cannot be empty")
    assert "missing field `instances`" in (await served.post("/vertex", {}))[1]
    assert served.service.permits == 128


async def test_tokenize_gives_places(served: Served) -> None:
    status, tokens = await served.post("/tokenize", {"inputs": "My dög"})
    assert status == 200
    assert [(one["text"], one["start"], one["stop"]) for one in tokens][:2] == [("My", 0, 2), (" d", 2, 4)]


async def test_metrics_are_prometheus_text(served: Served) -> None:
    await served.generate("a", max_new_tokens=3)
    async with served.session.get(served.url + "/metrics") as answer:
        lines = (await answer.text()).splitlines()
    values = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    assert (values["tgi_request_count"], values["tgi_request_success"]) == ("1", "1")
    assert values["tgi_request_generated_tokens_sum"] == "3"
    assert values['tgi_request_duration_bucket{le="+Inf"}'] == "1"
    assert values['tgi_batch_inference_count{method="decode"}'] == "2"


async def test_a_stopped_scheduler_is_unhealthy_and_refuses(served: Served) -> None:
    running = asyncio.create_task(served.post("/generate", {"inputs": "a", "parameters": {"max_new_tokens": 500}}))
    while served.service.permits == 128:
        await asyncio.sleep(0.005)
    await asyncio.to_thread(served.service.scheduler.stop)
    assert (await running)[0] in (200, 500)
    assert await served.post("/generate", {"inputs": "a"}) == (
        500,
        {"error": "Incomplete generation", "error_type": "incomplete_generation"},
    )
    async with served.session.get(served.url + "/health") as answer:
        assert (answer.status, await answer.json()) == (503, {"error": "unhealthy", "error_type": "healthcheck"})


async def test_a_body_that_comes_after_the_order_to_end_is_too_late(served: Served) -> None:
    async def body() -> AsyncIterator[bytes]:
        yield b'{"inputs": '
        await asyncio.sleep(0.1)
        served.service.leaving = True
        yield b'"a"}'

    async with served.session.post(
        served.url + "/generate", data=body(), headers={"Content-Type": "application/json"}
    ) as answer:
        assert (answer.status, (await answer.json())["error"]) == (503, "unhealthy")


async def test_other_routes_and_methods(served: Served) -> None:
    async with served.session.get(served.url + "/nothing") as answer:
        assert answer.status == 404
    async with served.session.options(served.url + "/generate") as answer:
        assert (answer.status, answer.headers["Access-Control-Allow-Origin"]) == (200, "*")
    async with served.session.post(served.url + "/generate_stream", json={"inputs": ""}) as answer:
        assert (answer.status, answer.headers["Access-Control-Allow-Origin"]) == (200, "*")
    async with served.session.get(served.url + "/docs") as answer:
        assert "<code>/v1/chat/completions</code>" in await answer.text()
    with pytest.raises(aiohttp.ClientConnectionError):
        await served.session.get("http://127.0.0.1:9")
