"""The embedded server inside the test's own process, on a free port of the loopback."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import ClientSession, web

from synthesis.server.__main__ import parser
from synthesis.server.app import build
from synthesis.server.loading import load
from synthesis.server.service import Service
from tests.tiny_model import make_tiny_model


@functools.cache
def tiny_folder(**shape: Any) -> Path:
    """A tiny model of this shape, made once for the whole test run."""
    kept = tempfile.TemporaryDirectory(prefix="tiny-model-", ignore_cleanup_errors=True)
    _KEPT.append(kept)
    return make_tiny_model(Path(kept.name) / "tiny", **shape)


_KEPT: list[tempfile.TemporaryDirectory[str]] = []


@dataclass(frozen=True, slots=True)
class Served:
    """A running server: its address, its inside, and a session to talk to it."""

    url: str
    service: Service
    session: ClientSession

    async def post(self, path: str, body: Any, **headers: str) -> tuple[int, Any]:
        """Status, and the body as JSON where it is JSON, else as text."""
        kind: dict[str, Any] = {"data": body} if isinstance(body, bytes) else {"json": body}
        async with self.session.post(self.url + path, headers=headers, **kind) as answer:
            plain = answer.content_type != "application/json"
            return answer.status, await (answer.text() if plain else answer.json())

    async def generate(self, inputs: str, **parameters: Any) -> dict[str, Any]:
        """The GenerateResponse, with details."""
        status, body = await self.post("/generate", {"inputs": inputs, "parameters": {"details": True, **parameters}})
        assert status == 200, body
        answer: dict[str, Any] = body
        return answer

    async def events(self, path: str, body: Any) -> list[str]:
        """What every `data:` line of an event stream holds."""
        async with self.session.post(self.url + path, json=body) as answer:
            assert answer.status == 200
            assert answer.content_type == "text/event-stream"
            lines = (await answer.text()).split("\n\n")
        return [line.removeprefix("data: ") for line in lines if line.startswith("data: ")]


@contextlib.asynccontextmanager
async def serving(*flags: str, folder: Path | None = None, key: str = "") -> AsyncIterator[Served]:
    """Serve a tiny model with these command-line flags."""
    given = parser().parse_args(["--model", str(folder or tiny_folder()), *flags])
    service = load(given)
    service.scheduler.start(asyncio.get_running_loop())
    runner = web.AppRunner(build(service, key), handler_cancellation=True, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        async with ClientSession() as session:
            host, port = runner.addresses[0][:2]
            yield Served(f"http://{host}:{port}", service, session)
    finally:
        await asyncio.to_thread(service.scheduler.stop)
        await runner.cleanup()
