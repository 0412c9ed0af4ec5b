"""A loopback server that speaks TGI 3.3 and /v1, says words drawn from a hash of the request, and fails on demand.

`async with FakeTgi(faults=[Fault(status=429)], latency=0.01) as server:` gives `server.url` and, in `server.requests`,
what was asked. As a process of its own: `python -m tests.fake_tgi --port 0 [--latency S]`, which prints its address.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from aiohttp import web

Json = dict[str, Any]
WORDS = ("amber", "birch", "cedar", "delta", "ember", "fjord", "grove", "haven", "inlet", "jetty", "kiosk", "lemon")
MODEL, SHA = "fake/words-1b", "0123456789abcdef"


@dataclass(frozen=True)
class Fault:
    """What happens instead of an answer to the next request for `path`.

    `status` and `body` (a str goes out as plain text, anything else as JSON); `reset`: the connection is cut before
    any byte; `torn`: it is cut in the middle of the true answer; `silent`: no answer comes for that many seconds;
    `events`: a stream of exactly these events.
    """

    path: str = "/generate"
    status: int = 200
    body: Any = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    reset: bool = False
    torn: bool = False
    silent: float = 0.0
    events: Sequence[str] | None = None


@dataclass(frozen=True)
class Asked:
    """A request as it came."""

    path: str
    body: Json
    headers: Mapping[str, str]


class FakeTgi:
    """The server. `faults` are used up one by one, each by the first request for its path.

    `key`: the only bearer key that is let in. `dialects`: which routes exist. `bos`: the literal that the chat
    template writes and the tokenizer adds ("": neither does); `byte_offsets`: its offsets count bytes.
    `hide`: response headers that are left out. `busy_above`: more requests at a time get a 429. `health`: whether
    there is a /health.
    """

    def __init__(
        self,
        *,
        faults: Sequence[Fault] = (),
        latency: float = 0.0,
        key: str | None = None,
        dialects: Sequence[str] = ("tgi", "openai"),
        bos: str = "<s>",
        byte_offsets: bool = False,
        models: Sequence[str] = (MODEL,),
        max_total_tokens: int = 2048,
        max_concurrent_requests: int = 128,
        busy_above: int = 128,
        hide: Sequence[str] = (),
        prefill_logprobs: bool = True,
        health: bool = False,
        port: int = 0,
    ) -> None:
        self.faults, self.latency, self.key, self.dialects = list(faults), latency, key, dialects
        self.bos, self.byte_offsets, self.models, self.hide = bos, byte_offsets, models, hide
        self.max_total_tokens, self.max_concurrent_requests = max_total_tokens, max_concurrent_requests
        self.busy_above, self.prefill_logprobs, self._port = busy_above, prefill_logprobs, port
        self.health = health
        self.requests: list[Asked] = []
        self.at_once = self.most_at_once = self.hung_up = 0
        self.url = ""

    async def __aenter__(self) -> Self:
        app = web.Application(middlewares=[self._gate])
        if "tgi" in self.dialects:
            app.router.add_get("/info", self._info)
            app.router.add_post("/generate", self._generate)
            app.router.add_post("/generate_stream", self._generate_stream)
            app.router.add_post("/tokenize", self._tokenize)
            app.router.add_post("/chat_tokenize", self._chat_tokenize)
        if self.health:
            app.router.add_get("/health", self._health)
        if "openai" in self.dialects:
            app.router.add_get("/v1/models", self._models)
            app.router.add_post("/v1/chat/completions", self._v1)
            app.router.add_post("/v1/completions", self._v1)
        self._runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self._port)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    def asked(self, path: str) -> list[Json]:
        """The bodies that came to `path`, in order."""
        return [request.body for request in self.requests if request.path == path]

    # What comes before every answer: the record, the faults, the key, the crowd.

    @web.middleware
    async def _gate(self, request: web.Request, handler: Any) -> web.StreamResponse:
        body = await request.json() if request.can_read_body else {}
        self.requests.append(Asked(request.path, body, dict(request.headers)))
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            return await self._admitted(request, handler)
        except asyncio.CancelledError:
            self.hung_up += 1
            raise
        finally:
            self.at_once -= 1

    async def _admitted(self, request: web.Request, handler: Any) -> web.StreamResponse:
        if self.key is not None and request.headers.get("Authorization") != f"Bearer {self.key}":
            return web.Response(status=401)
        if request.method == "POST" and self.at_once > self.busy_above:
            return web.json_response({"error": "Model is overloaded", "error_type": "overloaded"}, status=429)
        fault = next((fault for fault in self.faults if fault.path == request.path), None)
        if fault is not None:
            self.faults.remove(fault)
            return await self._fail(fault, request, handler)
        if request.method == "POST":
            await asyncio.sleep(self.latency)
        answer: web.StreamResponse = await handler(request)
        return answer

    async def _fail(self, fault: Fault, request: web.Request, handler: Any) -> web.StreamResponse:
        await asyncio.sleep(fault.silent)
        if fault.reset:
            _cut(request)
            return web.Response()
        if fault.torn:
            whole = await handler(request)
            assert isinstance(whole, web.Response)
            assert isinstance(whole.body, bytes)
            half = web.StreamResponse(headers={"Content-Length": str(len(whole.body))})
            half.content_type = whole.content_type
            await half.prepare(request)
            await half.write(whole.body[: len(whole.body) // 2])
            _cut(request)
            return half
        if fault.events is not None:
            text = "".join(fault.events)
            return web.Response(text=text, content_type="text/event-stream", headers=fault.headers)
        if isinstance(fault.body, str):
            return web.Response(text=fault.body, status=fault.status, headers=fault.headers)
        return web.json_response(fault.body, status=fault.status, headers=fault.headers)

    # TGI

    async def _info(self, _: web.Request) -> web.Response:
        return web.json_response(
            {
                "model_id": self.models[0],
                "model_sha": SHA,
                "max_concurrent_requests": self.max_concurrent_requests,
                "max_stop_sequences": 4,
                "max_input_tokens": self.max_total_tokens - 1,
                "max_total_tokens": self.max_total_tokens,
                "router": "text-generation-router",
                "version": "3.3.6-dev0",
            }
        )

    async def _health(self, _: web.Request) -> web.Response:
        return web.Response()

    async def _generate(self, request: web.Request) -> web.Response:
        body = await request.json()
        refusal = self._invalid(body)
        if refusal:
            return web.json_response(
                {"error": f"Input validation error: {refusal}", "error_type": "validation"}, status=422
            )
        said = self._said(body)
        headers = {"x-prompt-tokens": str(said["input_length"]), "x-generated-tokens": str(len(said["tokens"]))}
        details = {
            "finish_reason": said["finish_reason"],
            "generated_tokens": len(said["tokens"]),
            "seed": body["parameters"].get("seed"),
            "prefill": self._prefill(body),
            "tokens": said["tokens"],
        } | ({"top_tokens": said["top_tokens"]} if said["top_tokens"] else {})
        kept = {name: value for name, value in headers.items() if name not in self.hide}
        return web.json_response({"generated_text": said["text"], "details": details}, headers=kept)

    async def _generate_stream(self, request: web.Request) -> web.Response:
        body = await request.json()
        refusal = self._invalid(body)
        if refusal:
            event = {"error": f"Input validation error: {refusal}", "error_type": "validation"}
            return web.Response(text=f"data: {json.dumps(event)}\n\n", content_type="text/event-stream")
        return web.Response(text="".join(self.events(body)), content_type="text/event-stream")

    def events(self, body: Json) -> list[str]:
        """The stream for `body`, event by event, with a keep-alive comment and both spellings of `data:`."""
        said, events = self._said(body), []
        for index, token in enumerate(said["tokens"], 1):
            event: Json = {"index": index, "token": token, "generated_text": None, "details": None}
            if said["top_tokens"]:
                event["top_tokens"] = said["top_tokens"][index - 1]
            if index == len(said["tokens"]):
                event["generated_text"] = said["text"]
                event["details"] = {"finish_reason": said["finish_reason"], "generated_tokens": index, "seed": None}
                if "input_length" not in self.hide:
                    event["details"]["input_length"] = said["input_length"]
            events.append(f"data:{' ' * (index % 2)}{json.dumps(event)}\n\n")
        return [": keep-alive\n\n", *events]

    async def _tokenize(self, request: web.Request) -> web.Response:
        tokens = self._tokens((await request.json())["inputs"])
        added = [{"id": 1, "text": "", "start": 0, "stop": 0}] if self.bos else []
        return web.json_response(added + tokens)

    async def _chat_tokenize(self, request: web.Request) -> web.Response:
        messages = (await request.json())["messages"]
        text = (
            self.bos + "".join(f"[{message['role']}] {message['content']}\n" for message in messages) + "[assistant]"
        )
        return web.json_response({"tokenize_response": self._tokens(text), "templated_text": text})

    def _tokens(self, text: str) -> list[Json]:
        """Words and the literal of the begin token, as TGI tells them: text is sliced by offsets of the wrong kind."""
        tokens = []
        for found in re.finditer(
            f"{re.escape(self.bos)}|\\S+?(?={re.escape(self.bos)}|\\s|$)" if self.bos else r"\S+", text
        ):
            start, stop = found.span()
            number = 1 if found.group() == self.bos else _number(found.group())
            if self.byte_offsets:
                start, stop = len(text[:start].encode()), len(text[:stop].encode())
            tokens.append({"id": number, "text": text[start:stop], "start": start, "stop": stop})
        return tokens

    def _invalid(self, body: Json) -> str | None:
        given = body["parameters"]
        length, new = len(self._tokens(body["inputs"])), given["max_new_tokens"]
        if given.get("temperature", 1.0) <= 0:
            return "`temperature` must be strictly positive"
        for name in ("top_p", "typical_p"):
            if not 0.0 < given.get(name, 0.5) < 1.0:
                return f"`{name}` must be > 0.0 and < 1.0"
        if len(given.get("stop", ())) > 4:
            return f"`stop` supports up to 4 stop sequences. Given: {len(given['stop'])}"
        if length >= self.max_total_tokens:
            return f"`inputs` must have less than {self.max_total_tokens} tokens. Given: {length}"
        if length + new > self.max_total_tokens:
            return (
                f"`inputs` tokens + `max_new_tokens` must be <= {self.max_total_tokens}. "
                f"Given: {length} `inputs` tokens and {new} `max_new_tokens`"
            )
        return None

    def _prefill(self, body: Json) -> list[Json]:
        if not (body["parameters"].get("decoder_input_details") and self.prefill_logprobs):
            return []
        tokens = [{"id": token["id"], "text": token["text"]} for token in self._tokens(body["inputs"])]
        return [token | {"logprob": -0.5 * at if at else None} for at, token in enumerate(tokens)]

    def _said(self, body: Json) -> Json:
        """The reply: words that depend on prompt and parameters alone, ended by the first stop text if any."""
        given = body["parameters"]
        rng = random.Random(_digest({"inputs": body["inputs"]} | given))
        length = rng.randint(4, 12)
        words = [f" {rng.choice(WORDS)}" for _ in range(min(length, given["max_new_tokens"]))]
        reason = "length" if length >= given["max_new_tokens"] else "eos_token"
        if reason == "eos_token" and given.get("stop"):
            words, reason = [*words, given["stop"][0]], "stop_sequence"
        tokens = [_token(word) for word in words]
        if reason == "eos_token":
            tokens.append({"id": 2, "text": "</s>", "logprob": -0.125, "special": True})
        count = given.get("top_n_tokens") or 0
        top = [[token, *(_token(f" {word}") for word in WORDS[: count - 1])] for token in tokens] if count else []
        return {
            "text": "".join(words),
            "finish_reason": reason,
            "tokens": tokens,
            "top_tokens": top,
            "input_length": len(self._tokens(body["inputs"])),
        }

    # /v1

    async def _models(self, _: web.Request) -> web.Response:
        return web.json_response({"object": "list", "data": [{"id": name, "object": "model"} for name in self.models]})

    async def _v1(self, request: web.Request) -> web.Response:
        body = await request.json()
        chat = "messages" in body
        inputs = "\n".join(message["content"] for message in body["messages"]) if chat else body["prompt"]
        named = {"max_new_tokens": body["max_tokens"], "top_n_tokens": body.get("top_logprobs")}
        dropped = ("model", "messages", "prompt", "max_tokens", "top_logprobs", "logprobs")
        given = named | {name: value for name, value in body.items() if name not in dropped}
        said = self._said({"inputs": inputs, "parameters": given})
        choice: Json = {"index": 0, "finish_reason": "length" if said["finish_reason"] == "length" else "stop"}
        if said["finish_reason"] == "stop_sequence":
            choice["stop_reason"] = given["stop"][0]
            said["text"] = said["text"].removesuffix(given["stop"][0])
        choice |= {"message": {"role": "assistant", "content": said["text"]}} if chat else {"text": said["text"]}
        if body.get("logprobs"):
            content = [{"token": token["text"], "logprob": token["logprob"]} for token in said["tokens"]]
            for step, top in zip(content, said["top_tokens"], strict=False):
                step["top_logprobs"] = [{"token": token["text"], "logprob": token["logprob"]} for token in top]
            choice["logprobs"] = {"content": content}
        usage = {"prompt_tokens": said["input_length"], "completion_tokens": len(said["tokens"])}
        return web.json_response({"model": body["model"], "choices": [choice], "usage": usage})


def _cut(request: web.Request) -> None:
    assert request.transport is not None
    request.transport.abort()


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _number(text: str) -> int:
    return 3 + int(_digest(text)[:6], 16) % 30_000


def _token(text: str) -> Json:
    return {"id": _number(text), "text": text, "logprob": -(_number(text) % 64) / 16, "special": False}


async def _serve(port: int, latency: float) -> None:
    async with FakeTgi(port=port, latency=latency) as server:
        print(server.url, flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--latency", type=float, default=0.0)
    arguments = parser.parse_args()
    asyncio.run(_serve(arguments.port, arguments.latency))
