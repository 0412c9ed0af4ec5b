"""Server-sent events: `data: {json}` with keep-alive comments, errors as events under status 200."""

from __future__ import annotations

import asyncio
import json
from types import TracebackType
from typing import Any

from aiohttp import web

from synthesis.server.protocol import Result, Step
from synthesis.server.service import Run

KEEP_ALIVE = 15.0  # seconds
DONE = b"data: [DONE]\n\n"
COMPACT = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def dumps(value: Any) -> str:
    """Compact JSON; raises ValueError rather than writing NaN."""
    return COMPACT.encode(value)


class Events:
    """An open event stream; `async with Events(...)` sends the head and ends the body.

    Events are written together until there is nothing more to tell for now.
    """

    def __init__(self, request: web.Request, characters: int, device: str) -> None:
        self._request = request
        self._unsent: list[bytes] = []
        self._response = web.StreamResponse(
            headers={
                "Content-Type": "text/event-stream",
                "Cache-Control": "no-cache",
                "x-compute-type": device,
                "x-compute-characters": str(characters),
                "x-accel-buffering": "no",
            }
        )

    async def __aenter__(self) -> Events:
        await self._response.prepare(self._request)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            await self._flush()
            await self._response.write_eof()

    @property
    def response(self) -> web.StreamResponse:
        return self._response

    def send(self, value: Any) -> None:
        """One event."""
        self._unsent.append(f"data: {dumps(value)}\n\n".encode())

    def done(self) -> None:
        """OpenAI's end mark, to the letter."""
        self._unsent.append(DONE)

    async def next(self, run: Run) -> tuple[int, Step | Result]:
        """The run's next news, with a comment line now and then while there is none."""
        if run.idle:
            await self._flush()
        while run.idle:
            try:
                async with asyncio.timeout(KEEP_ALIVE):
                    return await run.next()
            except TimeoutError:
                await self._response.write(b":\n\n")
        return await run.next()

    async def _flush(self) -> None:
        unsent, self._unsent = self._unsent, []
        if unsent:
            await self._response.write(b"".join(unsent))
