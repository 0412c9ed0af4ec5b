"""POST /v1/chat/completions and /chat_tokenize: OpenAI's chat dialect as TGI speaks it."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any

from aiohttp import web

from synthesis.server.body import Fields, NotDeserializable
from synthesis.server.choices import answer_choices
from synthesis.server.native import SERVICE, read_body, spans, written
from synthesis.server.protocol import (
    GenerateRequest,
    Grammar,
    Parameters,
    Result,
    Step,
    adapter_of,
    invalid,
    read_grammar,
)
from synthesis.server.stream import dumps
from synthesis.server.tools import Telling, Tools, read_tools, told, tool_error

ENDS = {"eos_token": "stop"}  # TGI leaves "length" and "stop_sequence" as they are


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """A chat request; `parameters` in TGI's own words."""

    messages: list[dict[str, Any]]
    parameters: Parameters
    stream: bool
    usage: bool
    choices: int
    logprobs: bool
    tools: Tools | None


def read_chat(value: Any) -> ChatRequest:
    """A ChatRequest. TGI's mapping: temperature 0 is greedy, any other or none samples; presence penalty p is a
    repetition penalty of p + 2."""
    fields = Fields(value)
    if fields.raw("messages") is None:
        raise fields.mistyped("messages", None, "a sequence") if "messages" in value else _missing("messages")
    temperature = fields.number("temperature")
    presence = fields.number("presence_penalty")
    budget = fields.count("max_tokens", 32)
    logprobs = fields.flag("logprobs")
    given = Parameters(
        do_sample=temperature != 0,
        temperature=temperature or None,
        top_p=fields.number("top_p"),
        repetition_penalty=None if presence is None else presence + 2,
        frequency_penalty=fields.number("frequency_penalty"),
        max_new_tokens=budget if budget is not None else fields.count("max_completion_tokens", 32),
        stop=fields.texts("stop"),
        seed=fields.count("seed", 64),
        top_n_tokens=fields.count("top_logprobs", 32),
        grammar=read_format(fields.raw("response_format"), fields),
        details=True,
        adapter_id=adapter_of(fields),
    )
    options = fields.raw("stream_options")
    return ChatRequest(
        messages=[read_message(one, f"messages[{place}]") for place, one in enumerate(fields.items("messages"))],
        parameters=given,
        stream=fields.flag("stream"),
        usage=options is not None and fields.inside(options, "stream_options").flag("include_usage"),
        choices=fields.count("n", 32) or 1,
        logprobs=logprobs,
        tools=read_tools(fields),
    )


def _missing(key: str) -> NotDeserializable:
    return NotDeserializable(f"missing field `{key}`")


def read_format(value: Any, fields: Fields) -> Grammar | None:
    """`response_format` in TGI's forms and in OpenAI's."""
    if value is None:
        return None
    inner = fields.inside(value, "response_format")
    kind = inner.text("type", required=True)
    if kind == "text":
        return None
    if kind == "json_schema" and inner.raw("json_schema") is not None:
        schema = inner.inside(inner.raw("json_schema"), "json_schema").raw("schema")
        return read_grammar({"type": "json_schema", "value": {"schema": schema}}, fields, "response_format")
    if kind == "json_object" and inner.raw("value") is None:
        return Grammar("any", {"type": "object"})
    return read_grammar(value, fields, "response_format")


def read_message(value: Any, path: str) -> dict[str, Any]:
    """A message as templates expect it: content as one string, other keys as they came."""
    fields = Fields(value, path)
    role = fields.text("role", required=True)
    message = {**value, "role": role}
    content = fields.raw("content")
    if isinstance(content, list):
        message["content"] = "".join(_chunk(Fields(one, f"{path}.content[{n}]")) for n, one in enumerate(content))
    elif content is None and fields.items("tool_calls"):
        message["content"] = json.dumps(fields.items("tool_calls"), ensure_ascii=False)
    elif content is None:
        raise NotDeserializable(f"{path}: missing field `content`")
    elif content is not None:
        fields.text("content")
    return message


def _chunk(fields: Fields) -> str:
    kind = fields.text("type", required=True)
    if kind == "text":
        return fields.text("text", required=True) or ""
    raise fields.wrong("type", f"unknown variant `{kind}`, expected `text`: this model reads no images")


def prompt_of(request: web.Request, wanted: ChatRequest) -> str:
    """The templated prompt; raises Refused for what has no place in it."""
    if wanted.tools and wanted.parameters.grammar is not None:
        raise tool_error("Grammar and tools are mutually exclusive")
    return request.app[SERVICE].template.render(wanted.messages, wanted.tools)


async def chat_tokenize(request: web.Request) -> web.StreamResponse:
    """POST /chat_tokenize."""
    text = prompt_of(request, await read_body(request, read_chat))
    tokens = await spans(request.app[SERVICE], text, specials=False)
    return written(f'{{"tokenize_response":{tokens},"templated_text":{dumps(text)}}}')


async def chat_completions(request: web.Request) -> web.StreamResponse:
    """POST /v1/chat/completions."""
    return await answer_chat(request, await read_body(request, read_chat))


async def answer_chat(request: web.Request, wanted: ChatRequest) -> web.StreamResponse:
    """Answer a request that has been read."""
    limit = request.app[SERVICE].limits.max_client_batch_size
    if wanted.choices > limit:
        raise invalid(f"`n` must be <= {limit}. Given: {wanted.choices}")
    prompt, given = prompt_of(request, wanted), wanted.parameters
    if wanted.tools:
        given = replace(given, grammar=wanted.tools.grammar())
    one = GenerateRequest(prompt, given, wanted.stream, specials=False)
    return await answer_choices(request, spread(one, wanted.choices), ChatForm(wanted))


def spread(one: GenerateRequest, count: int) -> list[GenerateRequest]:
    """`count` requests for choices of one prompt; a given seed counts up from choice to choice."""
    seed = one.parameters.seed
    if seed is None:
        return [one] * count
    return [replace(one, parameters=replace(one.parameters, seed=(seed + place) % 2**64)) for place in range(count)]


class ChatForm:
    """How chat answers look."""

    def __init__(self, wanted: ChatRequest) -> None:
        self._wanted = wanted
        self._telling = [Telling() for _ in range(wanted.choices)] if wanted.tools else []
        self.usage = wanted.usage

    def whole(self, results: list[Result]) -> dict[str, Any]:
        choices = [
            {
                "index": place,
                "message": told(result.text) if self._wanted.tools else {"role": "assistant", "content": result.text},
                "logprobs": self._logprobs(result.steps),
                "finish_reason": ENDS.get(result.finish_reason, result.finish_reason),
            }
            for place, result in enumerate(results)
        ]
        return {"object": "chat.completion", "choices": choices}

    def piece(self, place: int, text: str, step: Step, end: str | None) -> dict[str, Any] | None:
        words = {"role": "assistant", "content": text}
        delta = self._telling[place].add(text) if self._telling else words
        if delta is None and end is None:
            return None
        choice = {
            "index": place,
            "delta": delta or {"role": "assistant", "content": ""},
            "logprobs": self._logprobs((step,)),
            "finish_reason": ENDS.get(end, end) if end else None,
        }
        return {"object": "chat.completion.chunk", "choices": [choice]}

    def total(self, usage: dict[str, int]) -> dict[str, Any]:
        return {"object": "chat.completion.chunk", "choices": [], "usage": usage}

    def _logprobs(self, steps: tuple[Step, ...]) -> dict[str, Any] | None:
        if not self._wanted.logprobs:
            return None
        return {
            "content": [
                {
                    "token": step.token.text,
                    "logprob": step.token.logprob,
                    "top_logprobs": [{"token": one.text, "logprob": one.logprob} for one in step.top],
                }
                for step in steps
            ]
        }
