"""Retrying: the one place where a request is asked again.

Exponential backoff with full jitter (a wait drawn evenly from nothing to the bound, so that callers that were refused
together do not come back together). The jitter is not seeded: when a reply comes has no part in what it says.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from synthesis.engine import Engine, Reply, Request
from synthesis.errors import Overloaded, Unavailable

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Backoff:
    """How often and how long; seconds.

    `retries`: for faults (Unavailable), which rarely mend by waiting. `busy_retries`: for Overloaded, which is the
    server's ordinary way of saying "later". `first`: bound of the first wait, doubled each time up to `longest`.
    `patience`: a `Retry-After` beyond this is not waited for.
    """

    retries: int = 4
    busy_retries: int = 16
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
        bound = min(self.longest, self.first * 2 ** min(times - 1, 30))
        return (asked or 0.0) + random.uniform(0.0, bound)


class Retrying:
    """An engine asked again after Overloaded and Unavailable; every other error goes through at once."""

    def __init__(self, engine: Engine, backoff: Backoff | None = None) -> None:
        self._engine = engine
        self._backoff = backoff or Backoff()

    async def __call__(self, request: Request) -> Reply:
        """Raises the last error, of its own kind, with the number of tries in its message."""
        return await retried(lambda: self._engine(request), self._backoff)


async def retried(attempt: Callable[[], Awaitable[Result]], backoff: Backoff) -> Result:
    """What `attempt` returns at last."""
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
                raise _given_up(error, busy + faults, time.monotonic() - started) from error
        await asyncio.sleep(wait)


def _given_up(error: Overloaded | Unavailable, tries: int, seconds: float) -> Overloaded | Unavailable:
    message = f"{error} (gave up after {tries} {'try' if tries == 1 else 'tries'} in {seconds:.1f} s)"
    return Overloaded(message, error.retry_after) if isinstance(error, Overloaded) else type(error)(message)
