"""A server for load, as quick as Python allows, with every kind of trouble on demand.

It speaks what a client needs of text-generation-inference and of chat completions. `with Server() as server:` starts
`python -m tests.benchmarks.server` as a process of its own. `server.set(...)` changes what it does, `server.stats()`
tells what it saw, `server.url` is its address. How long a reply takes is a function of its prompt (`seconds`), so that
the ideal time of a workload can be computed.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import hashlib
import json
import os
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from aiohttp import web

ROOT = Path(__file__).resolve().parents[2]
WORDS = 32


@dataclass(frozen=True)
class Manner:
    """How the server behaves. Seconds, except `slow` (a share of replies), `limit` (requests at a time, beyond which
    429 is said) and `dies_after` (requests until the process kills itself; 0 never). `outage`: for so long from the
    moment `outage_after` requests have come, every connection is cut."""

    low: float = 0.0
    high: float = 0.0
    slow: float = 0.0
    slow_seconds: float = 3.0
    limit: int = 0
    capacity: int = 128
    outage: float = 0.0
    outage_after: int = 0
    dies_after: int = 0


def seconds(manner: Manner, prompt: str) -> float:
    """How long the reply to `prompt` takes: evenly distributed, and for some `slow_seconds`, by the prompt's hash."""
    first, second = (
        int.from_bytes(part, "big") / 2**64 for part in _halves(hashlib.blake2b(prompt.encode(), digest_size=16))
    )
    return manner.slow_seconds if first < manner.slow else manner.low + (manner.high - manner.low) * second


def _halves(digest: Any) -> tuple[bytes, bytes]:
    whole: bytes = digest.digest()
    return whole[:8], whole[8:]


class Service:
    """What happens to each request."""

    def __init__(self) -> None:
        self.manner = Manner()
        self.fresh()

    def fresh(self) -> None:
        self.asked: Counter[str] = Counter()
        self.planned: Counter[str] = Counter()
        self.came = self.refused = self.cut = self.answered = self.at_once = self.most_at_once = 0
        self.outage_until: float | None = None

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.path in ("/generate", CHAT):
            return await self._generate(request)
        if request.path == "/manner":
            self.manner = Manner(**await request.json())
            self.fresh()
            return _json({})
        if request.path == "/stats":
            return _json(self._stats())
        if request.path == "/planned":
            return _json(self.planned)
        if self._is_out():
            return self._cut(request)
        if request.path == "/info":
            return _json(INFO | {"max_concurrent_requests": self.manner.capacity})
        if request.path == "/v1/models":
            return _json({"object": "list", "data": [{"id": INFO["model_id"], "object": "model"}]})
        return _json({}, 200 if request.path == "/health" else 404)

    async def _generate(self, request: web.BaseRequest) -> web.StreamResponse:
        body = json.loads(await request.read())
        prompt = body["inputs"] if "inputs" in body else "\n".join(str(each["content"]) for each in body["messages"])
        self.came += 1
        if self.came == self.manner.dies_after:
            os._exit(9)
        if self._is_out():
            return self._cut(request)
        if self.manner.limit and self.at_once >= self.manner.limit:
            self.refused += 1
            return _json({"error": "Model is overloaded", "error_type": "overloaded"}, 429)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        self.asked[prompt] += 1
        pause = seconds(self.manner, prompt)
        self.planned[prompt.split("\n", 1)[0]] += pause  # type: ignore[assignment]
        try:
            await asyncio.sleep(pause)
        finally:
            self.at_once -= 1
        self.answered += 1
        return web.Response(body=(_chat if request.path == CHAT else _reply)(prompt), headers=HEADERS)

    def _is_out(self) -> bool:
        if self.manner.outage and self.outage_until is None and self.came > self.manner.outage_after:
            self.outage_until = time.monotonic() + self.manner.outage
        return self.outage_until is not None and time.monotonic() < self.outage_until

    def _cut(self, request: web.BaseRequest) -> web.Response:
        self.cut += 1
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    def _stats(self) -> dict[str, int]:
        return {
            "came": self.came,
            "answered": self.answered,
            "refused": self.refused,
            "cut": self.cut,
            "most_at_once": self.most_at_once,
            "distinct": len(self.asked),
            "repeated": sum(self.asked.values()) - len(self.asked),
        }


CHAT = "/v1/chat/completions"
INFO = {
    "model_id": "bench/words",
    "model_sha": "0",
    "max_stop_sequences": 4,
    "max_input_tokens": 100_000,
    "max_total_tokens": 200_000,
    "router": "text-generation-router",
}
HEADERS = {"Content-Type": "application/json", "x-prompt-tokens": "64"}


def _words(prompt: str) -> list[str]:
    """`WORDS` words that begin with a digest of the prompt: another reply to every prompt, the same to the same."""
    digest = hashlib.blake2b(prompt.encode(), digest_size=6).hexdigest()
    return [f" {digest}", *[f" word{number}" for number in range(WORDS - 1)]]


def _chat(prompt: str) -> bytes:
    message = {"role": "assistant", "content": "".join(_words(prompt)).strip()}
    usage = {"prompt_tokens": 64, "completion_tokens": WORDS, "total_tokens": 64 + WORDS}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    head = {"id": "bench", "object": "chat.completion", "created": 0, "model": INFO["model_id"]}
    return json.dumps(head | {"choices": [choice], "usage": usage}).encode()


def _reply(prompt: str) -> bytes:
    words = _words(prompt)
    tokens = [{"id": 3 + at, "text": word, "logprob": -0.25, "special": False} for at, word in enumerate(words)]
    details = {"finish_reason": "eos_token", "generated_tokens": WORDS, "seed": 1, "prefill": [], "tokens": tokens}
    return json.dumps({"generated_text": "".join(words), "details": details}).encode()


def _json(value: Any, status: int = 200) -> web.Response:
    return web.Response(body=json.dumps(value).encode(), status=status, content_type="application/json")


class Server:
    """The process, its address, and the way to tell it what to do."""

    def __init__(self, port: int = 0) -> None:
        command = [sys.executable, "-m", "tests.benchmarks.server", "--port", str(port)]
        self.process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().strip()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()

    def set(self, **manner: Any) -> Manner:
        """Another manner, and counts from nothing."""
        told = Manner(**manner)
        _ask(f"{self.url}/manner", dataclasses.asdict(told))
        return told

    def planned(self) -> dict[str, float]:
        """The seconds that each conversation's replies took by plan, by the first line of its prompts."""
        found: dict[str, float] = _ask(f"{self.url}/planned", None)
        return found

    def stats(self) -> dict[str, int]:
        """Requests that came, were answered, refused, cut off; the most at a time; distinct and repeated prompts."""
        found: dict[str, int] = _ask(f"{self.url}/stats", None)
        return found


def _ask(url: str, body: Any) -> Any:
    with urllib.request.urlopen(url, json.dumps(body).encode() if body is not None else None, timeout=10) as answer:
        return json.load(answer)


async def _serve(port: int) -> None:
    runner = web.ServerRunner(web.Server(Service(), access_log=None))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port, backlog=1024).start()
    host, port = runner.addresses[0][:2]
    print(f"http://{host}:{port}", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="a text-generation-inference server for load")
    parser.add_argument("--port", type=int, default=0)
    asyncio.run(_serve(parser.parse_args().port))
