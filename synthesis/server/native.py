"""TGI's own routes: /generate, /generate_stream, /, /tokenize, /vertex."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from aiohttp import web

from synthesis.server.body import BadBody, Fields, NotDeserializable, check_media, parse, refuse
from synthesis.server.protocol import GenerateRequest, Refused, Result, Step, read_generate
from synthesis.server.service import LONG_TEXT, Service
from synthesis.server.stream import Events, dumps
from synthesis.server.text import Tokenizer

Read = TypeVar("Read")
SERVICE = web.AppKey("service", Service)


async def read_body(request: web.Request, reader: Callable[[Any], Read]) -> Read:
    """The request in the body; raises BadBody in the order of TGI's extractor: media type, size, JSON, fields."""
    check_media(request.headers.get("Content-Type", ""))
    try:
        data = await request.read()
    except web.HTTPRequestEntityTooLarge:
        raise BadBody(413, "Failed to buffer the request body: length limit exceeded") from None
    except web.RequestPayloadError as error:
        raise BadBody(400, f"Failed to buffer the request body: {error}") from None
    value = parse(data)
    try:
        return reader(value)
    except NotDeserializable as error:
        raise refuse(error, data) from None


def reply(value: Any, headers: dict[str, str] | None = None) -> web.Response:
    """A JSON answer."""
    return written(dumps(value), headers)


def written(text: str, headers: dict[str, str] | None = None) -> web.Response:
    """A JSON answer that is text already."""
    return web.Response(text=text, content_type="application/json", headers=headers)


async def generate(request: web.Request) -> web.StreamResponse:
    """POST /generate."""
    return await whole(request, await read_body(request, read_generate))


async def whole(request: web.Request, wanted: GenerateRequest, *, listed: bool = False) -> web.Response:
    """Answer with one GenerateResponse, or a list of one."""
    service = request.app[SERVICE]
    began = time.monotonic()
    result, validation = await service.answer(replace(wanted, stream=False))
    body = generated(result, wanted)
    headers = timings(result, wanted, validation, time.monotonic() - began)
    headers["x-compute-type"] = service.nature.device
    return reply([body] if listed else body, headers)


def generated(result: Result, wanted: GenerateRequest) -> dict[str, Any]:
    """A GenerateResponse."""
    body: dict[str, Any] = {"generated_text": full_text(result, wanted)}
    if wanted.parameters.details or wanted.parameters.decoder_input_details:
        details = result.details()
        if wanted.parameters.return_full_text:
            for other in details.get("best_of_sequences", ()):
                other["generated_text"] = wanted.inputs + other["generated_text"]
        body["details"] = details
    return body


def full_text(result: Result, wanted: GenerateRequest) -> str:
    return wanted.inputs + result.text if wanted.parameters.return_full_text else result.text


def timings(result: Result, wanted: GenerateRequest, validation: float, total: float) -> dict[str, str]:
    """The x- headers of /generate; times in milliseconds, but for x-compute-time, which TGI gives in seconds."""
    written = sum(len(one.steps) for one in (result, *result.others))
    milliseconds = {
        "x-total-time": total,
        "x-validation-time": validation,
        "x-queue-time": result.queue_time,
        "x-inference-time": result.inference_time,
        "x-time-per-token": result.inference_time / max(1, len(result.steps)),
    }
    return {
        "x-compute-time": f"{total:.6f}",
        "x-compute-characters": str(len(wanted.inputs)),
        "x-prompt-tokens": str(result.input_length),
        "x-generated-tokens": str(written),
        **{name: str(round(1000 * seconds)) for name, seconds in milliseconds.items()},
    }


async def generate_stream(request: web.Request) -> web.StreamResponse:
    """POST /generate_stream."""
    return await streamed(request, await read_body(request, read_generate))


async def streamed(request: web.Request, wanted: GenerateRequest) -> web.StreamResponse:
    """Answer with one event a token; the last carries the text, an error is the last."""
    service = request.app[SERVICE]
    wanted = replace(wanted, stream=True)
    began = time.monotonic()
    async with Events(request, len(wanted.inputs), service.nature.device) as events:
        try:
            async with service.run([wanted]) as run:
                while True:
                    _, news = await events.next(run)
                    events.send(event(news, wanted))
                    if isinstance(news, Result):
                        service.succeeded(news, time.monotonic() - began, wanted)
                        break
        except Refused as refused:
            events.send(refused.json())
    return events.response


def event(news: Step | Result, wanted: GenerateRequest) -> dict[str, Any]:
    """A StreamResponse."""
    step = news.steps[-1] if isinstance(news, Result) else news
    body: dict[str, Any] = {"index": step.index, "token": step.token.json()}
    if step.top:
        body["top_tokens"] = [one.json() for one in step.top]
    body["generated_text"] = full_text(news, wanted) if isinstance(news, Result) else None
    body["details"] = news.stream_details() if isinstance(news, Result) and wanted.parameters.details else None
    return body


async def compatible(request: web.Request) -> web.StreamResponse:
    """POST /: what the Hugging Face clients use."""
    return await compatible_answer(request, await read_body(request, read_generate))


async def compatible_answer(request: web.Request, wanted: GenerateRequest) -> web.StreamResponse:
    """As /generate in a list, or as /generate_stream; the prompt is repeated unless `return_full_text` is false."""
    if wanted.parameters.return_full_text is None:
        wanted = replace(wanted, parameters=replace(wanted.parameters, return_full_text=True))
    return await streamed(request, wanted) if wanted.stream else await whole(request, wanted, listed=True)


async def spans(service: Service, text: str, *, specials: bool) -> str:
    """A TokenizeResponse as JSON: every token with its place in the text, in characters."""
    write = partial(_spans, service.tokenizer, text, specials)
    return await asyncio.to_thread(write) if len(text) > LONG_TEXT else write()


def _spans(tokenizer: Tokenizer, text: str, specials: bool) -> str:
    """Written token by token: all at once, a million of them would hold up every other thread for seconds."""
    found = tokenizer.spans(text, specials=specials)
    told = (dumps({"id": one, "text": text[start:stop], "start": start, "stop": stop}) for one, start, stop in found)
    return f"[{','.join(told)}]"


async def tokenize(request: web.Request) -> web.StreamResponse:
    """POST /tokenize."""
    wanted = await read_body(request, read_generate)
    return written(await spans(request.app[SERVICE], wanted.inputs, specials=True))


def read_vertex(value: Any) -> list[GenerateRequest]:
    """Vertex AI's envelope around several requests, none of them streamed."""
    fields = Fields(value)
    if fields.raw("instances") is None:
        raise NotDeserializable("missing field `instances`")
    return [replace(read_generate(one), stream=False) for one in fields.items("instances")]


async def vertex(request: web.Request) -> web.StreamResponse:
    """POST /vertex: the instances side by side, answered by their texts; one that fails fails all."""
    wanted, answer = await read_body(request, read_vertex), request.app[SERVICE].answer
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(answer(one)) for one in wanted]
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from None
    texts = [full_text(task.result()[0], one) for task, one in zip(tasks, wanted, strict=True)]
    return reply({"predictions": texts})
