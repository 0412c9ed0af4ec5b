"""Canary: whose fault is it when a request fails for good? Something harmless is asked, and the answer tells.

While others are answered, it is the request's. Where nobody else was, something that was answered before goes the same
way once more. If that is answered, one row pays for one request. If not, no row should pay: the run stops, to go on
when it is started again.
"""

from __future__ import annotations

import asyncio
import dataclasses
import time

from synthesis.engine import Engine, Reply, Request
from synthesis.errors import Barred, EngineError, KeyRefused, Outage, Quarantined, RequestRefused

HARMLESS = "Say hello."
_TOKENS = 8


class Canary:
    """An engine around another that retries: raises Outage where requests fail because all do."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._answered: dict[str, tuple[float, Request]] = {}  # when each role last got a reply, and to what
        self._turn = asyncio.Lock()

    async def __call__(self, request: Request) -> Reply:
        """Raises Outage when nothing else is answered either or a key is refused that was good before, and what the
        engine raises."""
        begun = time.monotonic()
        try:
            reply = await self._engine(request)
        except KeyRefused as error:
            if request.role in self._answered:
                raise _outage(error, "which was good before") from error
            raise
        except (Quarantined, Barred) as error:
            await self._doubt(request, error, error.since if isinstance(error, Quarantined) else begun)
            raise
        self._answered[request.role] = time.monotonic(), request
        return reply

    async def _doubt(self, request: Request, error: EngineError, since: float) -> None:
        """Returns if it is the request's fault alone. One asks for all that fail at the same time."""
        async with self._turn:
            when, sample = self._answered.get(request.role, (0.0, None))
            if when > since:
                return
            try:
                await self._engine(harmless(request, sample))
            except (Quarantined, Barred, KeyRefused) as other:
                raise _outage(error, f"nor is anything else answered: {other}") from error
            except RequestRefused:
                pass  # it looks at what it is asked: it is well
            self._answered[request.role] = time.monotonic(), sample or harmless(request)


def harmless(request: Request, sample: Request | None = None) -> Request:
    """`sample`, which was answered before, for a few tokens; without one a plain request of the form of `request`."""
    if sample is not None:
        return dataclasses.replace(sample, stage="canary", max_new_tokens=_TOKENS, conversation=None)
    if request.prompt is not None:
        return Request("canary", _TOKENS, prompt=HARMLESS, role=request.role)
    return Request("canary", _TOKENS, messages=(("user", HARMLESS),), role=request.role)


def _outage(error: Exception, told: str) -> Outage:
    return Outage(
        f"{error}; {told}. Every finished call is in the journal: start the same command again when the endpoint "
        "answers again"
    )
