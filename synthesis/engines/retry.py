"""Retrying: a fault is worth a few more tries, then the request goes into quarantine.

Who asks again depends on what happened: after a fault this, after a refusal `admission`, after an endpoint has gone
the `pool`. Waits are exponential with full jitter (drawn evenly from nothing to the bound, so that callers that failed
together do not come back together). The jitter is not seeded: when a reply comes has no part in what it says.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from synthesis.engine import Engine, Models, Reply, Request, model_of
from synthesis.errors import EngineError, Outage, Overloaded, Quarantined, Unavailable

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Backoff:
    """How often and how long; seconds.

    `retries`: for faults (Unavailable), which rarely mend by waiting. `busy_retries`: for Overloaded, which is the
    server's ordinary way of saying "later". `first`: bound of the first wait, doubled each time up to `longest`.
    `patience`: a `Retry-After` beyond this is not waited for, nor an endpoint that is gone for longer.
    """

    retries: int = 4
    busy_retries: int = 40
    first: float = 0.5
    longest: float = 30.0
    patience: float = 300.0

    def wait(self, times: int, error: Overloaded | Unavailable) -> float | None:
        """Seconds to wait after the `times`-th error of its kind (from 1), or None to give up."""
        asked = error.retry_after if isinstance(error, Overloaded) else None
        if times > (self.busy_retries if isinstance(error, Overloaded) else self.retries):
            return None
        if asked is not None and asked > self.patience:
            return None
        return (asked or 0.0) + self.jitter(times)

    def jitter(self, times: int) -> float:
        """Seconds drawn from nothing to the bound of the `times`-th wait (from 1)."""
        return random.uniform(0.0, min(self.longest, self.first * 2 ** min(max(times, 1) - 1, 30)))


class Retrying:
    """An engine asked again after faults. `model`: as the journal's, for the name of a request in quarantine."""

    def __init__(self, engine: Engine, backoff: Backoff | None = None, model: Models = "") -> None:
        self._engine = engine
        self._backoff = backoff or Backoff()
        self._model = model

    async def __call__(self, request: Request) -> Reply:
        """Raises Quarantined after the last try, or when the endpoint refuses this request again and again; Outage
        and what will stay wrong go through at once."""
        started = time.monotonic()
        for times in itertools.count(1):
            try:
                return await self._engine(request)
            except Outage:
                raise
            except (Overloaded, Unavailable) as error:
                wait = None if isinstance(error, Overloaded) else self._backoff.wait(times, error)
                if wait is None:
                    seconds = time.monotonic() - started
                    raise self._quarantined(request, error, times, seconds) from error
            await asyncio.sleep(wait)
        raise AssertionError("counting never ends")

    def _quarantined(self, request: Request, error: EngineError, tries: int, seconds: float) -> Quarantined:
        key = request.key(model_of(self._model, request.role))
        return Quarantined(f"{_given_up(error, tries, seconds)}; request {key[:16]}", key, error)


async def retried(attempt: Callable[[], Awaitable[Result]], backoff: Backoff) -> Result:
    """What `attempt` returns at last: for the first word with an endpoint, which may be starting or busy."""
    started = time.monotonic()
    faults = busy = 0
    while True:
        try:
            return await attempt()
        except (Overloaded, Unavailable) as error:
            busy += isinstance(error, Overloaded)
            faults += isinstance(error, Unavailable)
            wait = backoff.wait(busy if isinstance(error, Overloaded) else faults, error)
            if wait is None:
                told = _given_up(error, busy + faults, time.monotonic() - started)
                raise (
                    Overloaded(told, error.retry_after) if isinstance(error, Overloaded) else type(error)(told)
                ) from error
        await asyncio.sleep(wait)


def _given_up(error: EngineError, tries: int, seconds: float) -> str:
    return f"{error} (gave up after {tries} {'try' if tries == 1 else 'tries'} in {seconds:.1f} s)"
