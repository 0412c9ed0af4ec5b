"""What the server takes and answers, as an OpenAPI 3.0 document: GET /api-doc/openapi.json."""

from __future__ import annotations

from html import escape
from typing import Any

from synthesis.server.protocol import VERSION
from synthesis.server.validation import Limits

Schema = dict[str, Any]
JSON, TEXT, EVENTS = "application/json", "text/plain", "text/event-stream"
STRING, FLAG, NUMBER = {"type": "string"}, {"type": "boolean"}, {"type": "number", "format": "float"}
POSITIVE = {**NUMBER, "minimum": 0, "exclusiveMinimum": True}
SHARE = {**POSITIVE, "maximum": 1, "exclusiveMaximum": True}
PENALTY = {**NUMBER, "minimum": -2, "maximum": 2}
SEED = {"type": "integer", "format": "uint64", "minimum": 0, "maximum": 2**64 - 1}
REFUSED = {
    "400": (TEXT, "the body is no JSON"),
    "413": (TEXT, "the body is longer than 2 MB"),
    "415": (TEXT, "the media type is not JSON"),
    "422": (None, "the body is no such request (plain text), or breaks a rule"),
    "424": (JSON, "the generation failed"),
    "429": (JSON, "the model is overloaded: wait and ask again"),
    "500": (JSON, "the generation ended before its time"),
    "503": (JSON, "the server is ending"),
}
"""Status: media type, meaning. On streams the status is 200, and what goes wrong after the body is an event."""


def ref(name: str) -> Schema:
    """A reference to one of the document's schemas."""
    return {"$ref": f"#/components/schemas/{name}"}


def _count(low: int = 0, high: int = 2**32 - 1) -> Schema:
    return {"type": "integer", "minimum": low, "maximum": high}


def _list(items: Schema, **rules: int) -> Schema:
    return {"type": "array", "items": items, **rules}


def _object(required: tuple[str, ...] = (), optional: Schema | None = None, **fields: Schema) -> Schema:
    """An object; every field of `optional` may also be null."""
    empty = {
        key: {**value, "nullable": True} if "$ref" not in value else {"allOf": [value], "nullable": True}
        for key, value in (optional or {}).items()
    }
    return {"type": "object", "properties": {**fields, **empty}, **({"required": list(required)} if required else {})}


def _parameters(limits: Limits) -> Schema:
    stops = _list(STRING, maxItems=limits.max_stop_sequences)
    flags = ("do_sample", "return_full_text", "watermark", "details", "decoder_input_details")
    return _object(
        optional={
            "best_of": _count(0, limits.max_best_of),
            "temperature": POSITIVE,
            "repetition_penalty": POSITIVE,
            "frequency_penalty": PENALTY,
            "top_k": _count(1, 2**31 - 1),
            "top_p": SHARE,
            "typical_p": SHARE,
            "max_new_tokens": _count(1),
            "stop": stops,
            "truncate": _count(1, limits.max_input_tokens),
            "seed": SEED,
            "top_n_tokens": _count(0, limits.max_top_n_tokens),
            "grammar": ref("Grammar"),
            "adapter_id": STRING,
            **dict.fromkeys(flags, FLAG),
        }
    )


def _shared(limits: Limits) -> Schema:
    """What both dialects of OpenAI take."""
    stops = {"oneOf": [STRING, _list(STRING, maxItems=limits.max_stop_sequences)]}
    return {
        "model": STRING,
        "max_tokens": _count(1),
        "temperature": {**NUMBER, "minimum": 0},
        "top_p": SHARE,
        "seed": SEED,
        "stop": stops,
        "stream": FLAG,
        "stream_options": _object(optional={"include_usage": FLAG}),
        "frequency_penalty": PENALTY,
    }


def _requests(limits: Limits) -> Schema:
    kinds = {"type": {"type": "string", "enum": ["json", "json_object"]}, "value": {}}
    schema = _object(("schema",), {"name": STRING}, schema={"type": "object"})
    function = _object(("name",), {"description": STRING, "parameters": {"type": "object"}}, name=STRING)
    chosen = _object(("function",), function=_object(("name",), name=STRING))
    listed = _list(_object(("type", "text"), type={"type": "string", "enum": ["text"]}, text=STRING))
    inputs = {**STRING, "minLength": 1}
    generate = {"parameters": ref("Parameters"), "stream": FLAG}
    return {
        "Grammar": {
            "oneOf": [
                _object(("type", "value"), **kinds),
                _object(("type", "value"), type={"type": "string", "enum": ["regex"]}, value=STRING),
                _object(("type", "value"), type={"type": "string", "enum": ["json_schema"]}, value=schema),
            ]
        },
        "Parameters": _parameters(limits),
        "GenerateRequest": _object(("inputs",), generate, inputs=inputs),
        "VertexRequest": _object(
            ("instances",), instances=_list(ref("GenerateRequest"), maxItems=limits.max_concurrent_requests)
        ),
        "Message": _object(("role", "content"), {"name": STRING}, role=STRING, content={"oneOf": [STRING, listed]}),
        "Tool": _object(("type", "function"), type=STRING, function=function),
        "ChatRequest": _object(
            ("messages",),
            {
                **_shared(limits),
                "max_completion_tokens": _count(1),
                "n": _count(0, limits.max_client_batch_size),
                "logprobs": FLAG,
                "top_logprobs": _count(0, limits.max_top_n_tokens),
                "presence_penalty": PENALTY,
                "response_format": ref("Grammar"),
                "tools": _list(ref("Tool")),
                "tool_choice": {"oneOf": [{"type": "string", "enum": ["auto", "none", "required"]}, chosen]},
                "tool_prompt": STRING,
            },
            messages=_list(ref("Message"), minItems=1),
        ),
        "CompletionRequest": _object(
            ("prompt",),
            {**_shared(limits), "repetition_penalty": POSITIVE},
            prompt={"oneOf": [inputs, _list(inputs, minItems=1, maxItems=limits.max_client_batch_size)]},
        ),
    }


def _answers() -> Schema:
    token = _object(("id", "text", "special"), {"logprob": NUMBER}, id=_count(), text=STRING, special=FLAG)
    read = _object(("id", "text"), {"logprob": NUMBER}, id=_count(), text=STRING)
    reason = {"type": "string", "enum": ["length", "eos_token", "stop_sequence"]}
    told = {"finish_reason": reason, "generated_tokens": _count()}
    tops = _list(_list(ref("Token")))
    details = {**told, "prefill": _list(read), "tokens": _list(ref("Token")), "top_tokens": tops}
    needed = ("finish_reason", "generated_tokens", "prefill", "tokens")
    best = _object(("generated_text", *needed), {"seed": SEED}, generated_text=STRING, **details)
    counts = ("prompt_tokens", "completion_tokens", "total_tokens")
    span = _object(("id", "text", "start", "stop"), id=_count(), text=STRING, start=_count(), stop=_count())
    answer = {"object": STRING, "id": STRING, "created": _count(0, 2**63 - 1), "model": STRING, "usage": ref("Usage")}
    choices = _list(_object(("index",), {"finish_reason": STRING}, index=_count()))
    return {
        "Token": token,
        "Details": _object(needed, {"seed": SEED}, **details, best_of_sequences=_list(best)),
        "GenerateResponse": _object(("generated_text",), generated_text=STRING, details=ref("Details")),
        "Usage": _object(counts, **dict.fromkeys(counts, _count())),
        "Choices": _object(("object", "id", "choices", "usage"), **answer, choices=choices),
        "Spans": _list(span),
        "ChatSpans": _object(
            ("tokenize_response", "templated_text"), tokenize_response=ref("Spans"), templated_text=STRING
        ),
        "Predictions": _object(("predictions",), predictions=_list(STRING)),
        "ErrorResponse": _object(("error", "error_type"), error=STRING, error_type=STRING),
    }


def _post(what: str, request: Schema, answer: Schema | None, *, events: bool = False, key: bool = True) -> Schema:
    """A route that takes a request in JSON."""
    content: Schema = {EVENTS: {"schema": {}}} if events else {}
    if answer is not None:
        content[JSON] = {"schema": answer}
    errors = {JSON: {"schema": ref("ErrorResponse")}, TEXT: {"schema": STRING}}
    responses: Schema = {"200": {"description": "the answer", "content": content}}
    for status, (media, meaning) in REFUSED.items():
        told = errors if media is None else {media: errors[media]}
        responses[status] = {"description": meaning, "content": told}
    if key:
        responses["401"] = {"description": "the key is missing or wrong; no body"}
    body = {"required": True, "content": {JSON: {"schema": request}}}
    guard: Schema = {"security": [{"key": []}, {}]} if key else {}
    return {"post": {"summary": what, "requestBody": body, "responses": responses, **guard}}


def _get(what: str, media: str = "", *, healthy: bool = False) -> Schema:
    found: Schema = {"description": what}
    if media:
        found["content"] = {media: {"schema": {"type": "object"} if media == JSON else STRING}}
    ill = {"description": "unhealthy, or ending", "content": {JSON: {"schema": ref("ErrorResponse")}}}
    return {"get": {"summary": what, "responses": {"200": found, **({"503": ill} if healthy else {})}}}


def openapi(limits: Limits) -> Schema:
    """The document of a server with these limits."""
    generated, choices = ref("GenerateResponse"), ref("Choices")
    any_request = {"oneOf": [ref("GenerateRequest"), ref("ChatRequest"), ref("CompletionRequest")]}
    any_answer = {"oneOf": [_list(generated), choices]}
    health = _get("healthy", healthy=True)
    root = _post("One answer in a list, or a stream", ref("GenerateRequest"), _list(generated), events=True)
    paths = {
        "/": {**health, **root},
        "/health": health,
        "/ping": health,
        "/info": _get("What is served, and its limits", JSON),
        "/metrics": _get("Prometheus text", TEXT),
        "/v1/models": _get("The model and its adapters", JSON),
        "/api-doc/openapi.json": _get("This document", JSON),
        "/docs": _get("This document as a page", "text/html"),
        "/generate": _post("Generate text", ref("GenerateRequest"), generated),
        "/generate_stream": _post("Generate text, an event a token", ref("GenerateRequest"), None, events=True),
        "/tokenize": _post("A text's tokens", ref("GenerateRequest"), ref("Spans")),
        "/vertex": _post("Several requests at once", ref("VertexRequest"), ref("Predictions")),
        "/invocations": _post("Any of three requests, by its keys", any_request, any_answer, events=True),
        "/chat_tokenize": _post("A chat's prompt and its tokens", ref("ChatRequest"), ref("ChatSpans"), key=False),
        "/v1/chat/completions": _post("A chat's next message", ref("ChatRequest"), choices, events=True),
        "/v1/completions": _post("Continue prompts", ref("CompletionRequest"), choices, events=True),
    }
    return {
        "openapi": "3.0.3",
        "info": {"title": "Parley's embedded text-generation server", "version": VERSION},
        "paths": paths,
        "components": {
            "schemas": {**_requests(limits), **_answers()},
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
    }


def page(document: Schema) -> str:
    """The document's routes as HTML."""
    rows = [
        f"<tr><td>{method.upper()}</td><td><code>{escape(path)}</code></td><td>{escape(told['summary'])}</td></tr>"
        for path, methods in document["paths"].items()
        for method, told in methods.items()
    ]
    title = escape(document["info"]["title"])
    link = '<p>In full: <a href="/api-doc/openapi.json">/api-doc/openapi.json</a></p>'
    head = f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title><h1>{title}</h1>'
    return f"{head}{link}<table>{''.join(rows)}</table></html>"
