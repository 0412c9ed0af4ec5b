"""POST /v1/completions: OpenAI's plain completions as TGI speaks them, one prompt or several."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from aiohttp import web

from synthesis.server.body import Fields, NotDeserializable
from synthesis.server.choices import answer_choices
from synthesis.server.native import SERVICE, read_body
from synthesis.server.protocol import GenerateRequest, Parameters, Refused, Result, Step, adapter_of, invalid


@dataclass(frozen=True, slots=True)
class CompletionRequest:
    """Prompts that share their parameters."""

    prompts: tuple[str, ...]
    parameters: Parameters
    stream: bool
    usage: bool
    suffix: bool


def read_completion(value: Any) -> CompletionRequest:
    """A CompletionRequest; temperature 0 is greedy, any other or none samples."""
    fields = Fields(value)
    if fields.raw("prompt") is None:
        raise NotDeserializable("missing field `prompt`")
    temperature = fields.number("temperature")
    options = fields.raw("stream_options")
    return CompletionRequest(
        prompts=fields.texts("prompt"),
        parameters=Parameters(
            do_sample=temperature != 0,
            temperature=temperature or None,
            top_p=fields.number("top_p"),
            repetition_penalty=fields.number("repetition_penalty"),
            frequency_penalty=fields.number("frequency_penalty"),
            max_new_tokens=fields.count("max_tokens", 32),
            stop=fields.texts("stop"),
            seed=fields.count("seed", 64),
            details=True,
            adapter_id=adapter_of(fields),
        ),
        stream=fields.flag("stream"),
        usage=options is not None and fields.inside(options, "stream_options").flag("include_usage"),
        suffix=fields.text("suffix") is not None,
    )


async def completions(request: web.Request) -> web.StreamResponse:
    """POST /v1/completions."""
    return await answer_completion(request, await read_body(request, read_completion))


async def answer_completion(request: web.Request, wanted: CompletionRequest) -> web.StreamResponse:
    """Answer a request that has been read."""
    limit = request.app[SERVICE].limits.max_client_batch_size
    if wanted.suffix:
        raise Refused("suffix not supported", "a suffix is not supported: put what surrounds the gap into the prompt")
    if len(wanted.prompts) > limit:
        raise Refused("batch size exceeded", f"at most {limit} prompts in one request. Given: {len(wanted.prompts)}")
    if not wanted.prompts:
        raise invalid("`inputs` cannot be empty")
    requests = [GenerateRequest(prompt, wanted.parameters, wanted.stream) for prompt in wanted.prompts]
    return await answer_choices(request, requests, CompletionForm(wanted.usage))


class CompletionForm:
    """How completions look. TGI maps `eos_token` to "stop" in whole answers only."""

    def __init__(self, usage: bool) -> None:
        self.usage = usage

    def whole(self, results: list[Result]) -> dict[str, Any]:
        choices = [
            {
                "index": place,
                "text": result.text,
                "logprobs": None,
                "finish_reason": "stop" if result.finish_reason == "eos_token" else result.finish_reason,
            }
            for place, result in enumerate(results)
        ]
        return {"object": "text_completion", "choices": choices}

    def piece(self, place: int, text: str, step: Step, end: str | None) -> dict[str, Any]:
        choice = {"index": place, "text": text, "logprobs": None, "finish_reason": end or ""}
        return {"object": "text_completion", "choices": [choice]}

    def total(self, usage: dict[str, int]) -> dict[str, Any]:
        return {"object": "text_completion", "choices": [], "usage": usage}
