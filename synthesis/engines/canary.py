"""Canary: whose fault is it when a request fails for good? Something harmless is asked, and the answer tells.

While others are answered, it is the request's. Where nobody was, something that was answered before goes the same way
once more. If that is answered, one row pays for one request. If it is only answered later, the request failed because
everything did, and gets another round. If it is never answered, no row should pay: the run stops, to go on when it is
started again.
"""

from __future__ import annotations

import asyncio
import dataclasses
import time

from synthesis.engine import Engine, Reply, Request
from synthesis.engines.retry import Backoff
from synthesis.errors import (
    Barred,
    EngineError,
    KeyRefused,
    Outage,
    Overloaded,
    Quarantined,
    RequestRefused,
    Unavailable,
)

HARMLESS = "Say hello."
_TOKENS = 8


class Canary:
    """An engine around `retrying`, which asks `engine` again and again: tells failing requests from outages."""

    def __init__(self, retrying: Engine, engine: Engine, backoff: Backoff | None = None) -> None:
        self._retrying, self._engine = retrying, engine
        self._patience = (backoff or Backoff()).patience
        self._answered: dict[str, tuple[float, Request]] = {}  # when each role last got a reply, and to what
        self._back: dict[str, float] = {}  # when each role's last outage ended
        self._turn = asyncio.Lock()

    async def __call__(self, request: Request) -> Reply:
        """Raises Outage when nothing else is answered either, for as long as there is patience, or when a key is
        refused that was good before; and what `retrying` raises."""
        for last in (False, True):
            begun = time.monotonic()
            try:
                reply = await self._retrying(request)
            except KeyRefused as error:
                if request.role in self._answered:
                    raise _outage(error, "others were let in before") from error
                raise
            except (Quarantined, Barred) as error:
                since = error.since if isinstance(error, Quarantined) else begun
                if not await self._was_outage(request, error, since) or last:
                    raise
            else:
                self._answered[request.role] = time.monotonic(), request
                return reply
        raise AssertionError("the last round returns or raises")

    async def _was_outage(self, request: Request, error: EngineError, since: float) -> bool:
        """Whether nothing was answered since then and now is; returns when it is. One asks for all that fail."""
        async with self._turn:
            if self._back.get(request.role, 0.0) > since:
                return True
            when, sample = self._answered.get(request.role, (0.0, None))
            if when > since or await self._answers(self._engine, harmless(request, sample), error):
                return False
            while not await self._answers(self._retrying, harmless(request, sample), error):
                if time.monotonic() - since >= self._patience:
                    raise _outage(error, "nor was anything else answered since")
            self._back[request.role] = time.monotonic()
            return True

    async def _answers(self, engine: Engine, sample: Request, error: EngineError) -> bool:
        """Whether `engine` answers. Raises Outage where asking again is no use."""
        try:
            await engine(sample)
        except (Outage, Barred, KeyRefused) as other:
            raise _outage(error, f"nor is anything else answered: {other}") from error
        except (Overloaded, Unavailable, Quarantined):
            return False
        except RequestRefused:
            pass  # it looks at what it is asked: it is well
        self._answered[sample.role] = time.monotonic(), sample
        return True


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
