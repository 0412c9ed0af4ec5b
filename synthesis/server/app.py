"""The routes, and what surrounds every request: the key, cross-origin headers, errors as bodies."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from synthesis.server import chat, completions, native
from synthesis.server.body import LIMIT, BadBody
from synthesis.server.description import openapi, page
from synthesis.server.native import SERVICE, read_body, reply
from synthesis.server.protocol import VERSION, GenerateRequest, Refused, read_generate
from synthesis.server.service import Service

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
KEY = web.AppKey("key", str)
OPEN = frozenset({"/chat_tokenize"})  # POST routes that TGI serves without a key
TEMPLATES = ("template_error", "missing_template_variable")
CORS = {"Access-Control-Allow-Origin": "*"}


def build(service: Service, key: str = "") -> web.Application:
    """The application; a `key` that is not empty must be sent as `Authorization: Bearer KEY` with every POST."""
    app = web.Application(client_max_size=LIMIT, middlewares=[_cross_origin, _errors, _authorized, _staying])
    app[SERVICE] = service
    app[KEY] = key
    app.on_response_prepare.append(_open_to_all)
    app.router.add_get("/", health)
    app.router.add_get("/health", health)
    app.router.add_get("/ping", health)
    app.router.add_get("/info", info)
    app.router.add_get("/metrics", metrics)
    app.router.add_get("/v1/models", models)
    app.router.add_get("/api-doc/openapi.json", document)
    app.router.add_get("/docs", docs)
    app.router.add_post("/", native.compatible)
    app.router.add_post("/generate", native.generate)
    app.router.add_post("/generate_stream", native.generate_stream)
    app.router.add_post("/tokenize", native.tokenize)
    app.router.add_post("/vertex", native.vertex)
    app.router.add_post("/invocations", invocations)
    app.router.add_post("/chat_tokenize", chat.chat_tokenize)
    app.router.add_post("/v1/chat/completions", chat.chat_completions)
    app.router.add_post("/v1/completions", completions.completions)
    return app


@web.middleware
async def _cross_origin(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Any origin may GET and POST, as TGI has it by default."""
    if request.method == "OPTIONS":
        headers = "content-type,authorization"
        allowed = {"Access-Control-Allow-Methods": "GET,POST", "Access-Control-Allow-Headers": headers}
        return web.Response(headers=allowed)
    return await handler(request)


async def _open_to_all(request: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(CORS)


@web.middleware
async def _errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except BadBody as error:
        answer = web.Response(status=error.status, text=error.message)
        if request.content.exception() is not None:
            answer.force_close()  # what follows on this connection cannot be told from the broken body
        return answer
    except Refused as refused:
        if refused.kind in TEMPLATES:  # the others are counted where they arise
            request.app[SERVICE].metrics.count("tgi_request_count")
            request.app[SERVICE].metrics.count("tgi_request_failure", err="template")
        response = reply(refused.json())
        response.set_status(refused.status)
        return response


@web.middleware
async def _authorized(request: web.Request, handler: Handler) -> web.StreamResponse:
    key = request.app[KEY]
    if key and request.method == "POST" and request.path not in OPEN:
        sent, wanted = request.headers.get("Authorization", ""), f"Bearer {key}"
        known = (one.lower().encode("utf-8", "surrogateescape") for one in (sent, wanted))
        if not hmac.compare_digest(*known):
            return web.Response(status=401)
    return await handler(request)


@web.middleware
async def _staying(request: web.Request, handler: Handler) -> web.StreamResponse:
    """A server that was told to end takes nothing new; what runs already is past this."""
    if request.app[SERVICE].leaving and request.method == "POST":
        raise Refused("healthcheck", "unhealthy")
    return await handler(request)


async def health(request: web.Request) -> web.StreamResponse:
    """GET /health, / and /ping: empty while the decoding thread lives and the server was not told to end."""
    service = request.app[SERVICE]
    if service.leaving or not service.scheduler.alive:
        raise Refused("healthcheck", "unhealthy")
    return web.Response()


async def info(request: web.Request) -> web.StreamResponse:
    """GET /info: TGI's keys, and at the end ours."""
    nature, limits = request.app[SERVICE].nature, request.app[SERVICE].limits
    return reply(
        {
            "model_id": nature.model,
            "model_sha": nature.sha,
            "model_dtype": nature.dtype,
            "model_device_type": nature.device,
            "model_pipeline_tag": "text-generation",
            "max_concurrent_requests": limits.max_concurrent_requests,
            "max_best_of": limits.max_best_of,
            "max_stop_sequences": limits.max_stop_sequences,
            "max_input_tokens": limits.max_input_tokens,
            "max_total_tokens": limits.max_total_tokens,
            "validation_workers": limits.validation_workers,
            "max_client_batch_size": limits.max_client_batch_size,
            "router": "text-generation-router",
            "version": VERSION,
            "sha": None,
            "docker_label": "parley-embedded",
            "forward_pass": nature.path,
            "prefix_reuse": nature.reuse,
            "lora_adapters": list(nature.adapters),
        }
    )


async def models(request: web.Request) -> web.StreamResponse:
    """GET /v1/models: the base, then its adapters."""
    nature = request.app[SERVICE].nature
    told = {"object": "model", "created": 0, "owned_by": "parley"}
    return reply({"object": "list", "data": [{"id": name, **told} for name in (nature.model, *nature.adapters)]})


def metrics_alone(service: Service) -> web.Application:
    """GET /metrics and nothing else, for a port of its own."""
    app = web.Application()
    app[SERVICE] = service
    app.router.add_get("/metrics", metrics)
    return app


async def metrics(request: web.Request) -> web.StreamResponse:
    """GET /metrics."""
    return web.Response(text=request.app[SERVICE].metrics.text(), content_type="text/plain")


async def document(request: web.Request) -> web.StreamResponse:
    """GET /api-doc/openapi.json."""
    return reply(openapi(request.app[SERVICE].limits))


async def docs(request: web.Request) -> web.StreamResponse:
    """GET /docs: the document's routes as a page that loads nothing from elsewhere."""
    return web.Response(text=page(openapi(request.app[SERVICE].limits)), content_type="text/html")


def _read_invocation(value: Any) -> GenerateRequest | chat.ChatRequest | completions.CompletionRequest:
    """SageMaker's one route: the keys say what is meant."""
    if isinstance(value, dict) and "inputs" not in value:
        if "messages" in value:
            return chat.read_chat(value)
        if "prompt" in value:
            return completions.read_completion(value)
    return read_generate(value)


async def invocations(request: web.Request) -> web.StreamResponse:
    """POST /invocations."""
    wanted = await read_body(request, _read_invocation)
    if isinstance(wanted, chat.ChatRequest):
        return await chat.answer_chat(request, wanted)
    if isinstance(wanted, completions.CompletionRequest):
        return await completions.answer_completion(request, wanted)
    return await native.compatible_answer(request, wanted)
