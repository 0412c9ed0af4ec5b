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
from collections.abc import Callable
from dataclasses import dataclass

from synthesis.engine import Engine, Models, Reply, Request, model_of
from synthesis.errors import EngineError, Outage, Overloaded, Quarantined, Unavailable


@dataclass(frozen=True, slots=True)
class Backoff:
    """How often and how long; seconds.

    `retries`: for faults (Unavailable), which rarely mend by waiting. `first`: bound of the first wait, doubled each
    time up to `longest`. `patience`: for endpoints of which none answers, at the start or later; `busy_retries`: see
    `Refusals`. `silence`: an endpoint that has been asked and says nothing for so long is checked; `check`: how long
    it may take to answer that.
    """

    retries: int = 4
    busy_retries: int = 40
    first: float = 0.5
    longest: float = 30.0
    patience: float = 300.0
    silence: float = 60.0
    check: float = 10.0

    def jitter(self, times: int) -> float:
        """Seconds drawn from nothing to the bound of the `times`-th wait (from 1)."""
        return random.uniform(0.0, min(self.longest, self.first * 2 ** min(max(times, 1) - 1, 30)))


class Refusals:
    """How a request fares that is refused (Overloaded) again and again; `clock` in seconds.

    A server that is busy with others refuses many, so it takes many refusals, and time, to tell one that is refused
    for what it is: more than `busy_retries` with others answered in between, over no less than `patience`.
    """

    def __init__(self, backoff: Backoff, clock: Callable[[], float] = time.monotonic) -> None:
        self._backoff, self._clock = backoff, clock
        self.passed_over = 0
        self._replies = -1
        self._since = clock()

    def add(self, replies: int, weight: int = 1) -> bool:
        """One more, after so many replies to all; whether to give the request up. `weight`: what it counts for."""
        self.passed_over += weight * (replies != self._replies)
        self._replies = replies
        long = self._clock() - self._since >= self._backoff.patience
        return long and self.passed_over > self._backoff.busy_retries


class Retrying:
    """An engine asked again after faults. `model`: as the journal's, for the name of a request in quarantine."""

    def __init__(self, engine: Engine, backoff: Backoff | None = None, model: Models = "") -> None:
        self._engine = engine
        self._backoff = backoff or Backoff()
        self._model = model

    async def __call__(self, request: Request) -> Reply:
        """Raises Quarantined after the last try, or when the endpoint refuses this request again and again; Outage
        and what will stay wrong go through at once."""
        started, since = time.monotonic(), None
        for times in itertools.count(1):
            try:
                return await self._engine(request)
            except Outage:
                raise
            except (Overloaded, Unavailable) as error:
                now = time.monotonic()
                since = since or now
                if isinstance(error, Overloaded) or times > self._backoff.retries:
                    key = request.key(model_of(self._model, request.role))
                    told = f"{_given_up(error, times, now - started)}; request {key[:16]}"
                    raise Quarantined(told, key, error, since) from error
            await asyncio.sleep(self._backoff.jitter(times))
        raise AssertionError("counting never ends")


def _given_up(error: EngineError, tries: int, seconds: float) -> str:
    return f"{error} (gave up after {tries} {'try' if tries == 1 else 'tries'} in {seconds:.1f} s)"
