"""Traffic: what really went over the wire, counted where it happens, in bounded memory.

`Host` wraps each dialect (one call, one try) in `Observed`, inside of admission, pool and retries; all endpoints share
one `Traffic`. Whoever opens the connection wraps what it gets in `Asked`. A try of a request that was tried before,
within one call of `Asked`, is a retry, whoever decided on it; so nothing in between needs to know.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from synthesis.engine import Engine, Reply, Request
from synthesis.errors import Overloaded

STEP = 1.04
"""Ratio of neighbouring bounds of a histogram: a percentile is off by at most 2 %."""
SHORTEST, LONGEST = 1e-5, 1e5  # seconds; whatever is beyond counts at the bound: at most 589 buckets
_LOG_STEP = math.log(STEP)


@dataclass(slots=True)
class Histogram:
    """Durations in seconds by logarithmic buckets: bounded memory, percentiles within 2 %."""

    buckets: Counter[int] = field(default_factory=Counter)
    count: int = 0
    total: float = 0.0

    def add(self, seconds: float) -> None:
        """Counts one duration."""
        self.buckets[math.floor(math.log(min(max(seconds, SHORTEST), LONGEST)) / _LOG_STEP)] += 1
        self.count += 1
        self.total += seconds

    def percentile(self, share: float) -> float | None:
        """The duration that `share` (0 to 1) of all do not exceed; None while there is none."""
        wanted = max(1, math.ceil(share * self.count))
        for bucket in sorted(self.buckets):
            wanted -= self.buckets[bucket]
            if wanted <= 0:
                return float(math.exp((bucket + 0.5) * _LOG_STEP))
        return None

    def below(self, bounds: tuple[float, ...]) -> Iterator[int]:
        """How many durations are at most each bound, to the width of a bucket."""
        for bound in bounds:
            yield sum(count for bucket, count in self.buckets.items() if (bucket + 0.5) * _LOG_STEP <= math.log(bound))


@dataclass(slots=True)
class Tokens:
    """Requests that were answered, and their tokens."""

    answered: int = 0
    tokens_in: int = 0
    tokens_out: int = 0

    def add(self, reply: Reply) -> None:
        """Counts one reply."""
        self.answered += 1
        self.tokens_in += reply.tokens_in
        self.tokens_out += reply.tokens_out


@dataclass(slots=True)
class Traffic:
    """Tries, what came of them, and how long answers took.

    `requests`: tries sent. `overloaded`: tries that the server put off (429, 503). `faults`: every other error, by
    kind. `retries`: tries that followed an error of an earlier one. `by_stage`: what was
    answered, by role and stage.
    """

    requests: int = 0
    in_flight: int = 0
    retries: int = 0
    overloaded: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    latency: Histogram = field(default_factory=Histogram)
    all: Tokens = field(default_factory=Tokens)
    by_stage: dict[tuple[str, str], Tokens] = field(default_factory=dict)
    _tried: dict[int, bool] = field(default_factory=dict)  # open calls by their request: has it been tried?

    def begun(self, request: Request) -> None:
        """A call begins, of which there may be several tries."""
        self._tried[id(request)] = False

    def ended(self, request: Request) -> None:
        """The call is over, one way or another."""
        self._tried.pop(id(request), None)

    def sent(self, request: Request) -> None:
        """A try goes out."""
        self.requests += 1
        self.in_flight += 1
        self.retries += self._tried.get(id(request), False)
        if id(request) in self._tried:
            self._tried[id(request)] = True

    def answered(self, request: Request, seconds: float, reply: Reply) -> None:
        """The try came back with a reply."""
        self.in_flight -= 1
        self.latency.add(seconds)
        self.all.add(reply)
        self.by_stage.setdefault((request.role, request.stage), Tokens()).add(reply)

    def refused(self, kind: type[BaseException]) -> None:
        """The try came back with an error, or was given up (CancelledError)."""
        self.in_flight -= 1
        if issubclass(kind, Overloaded):
            self.overloaded += 1
        else:
            self.faults[kind.__name__] += 1

    def facts(self) -> dict[str, Any]:
        """JSON-plain; latencies in seconds, to three digits."""
        return {
            "requests": self.requests,
            "answered": self.all.answered,
            "retries": self.retries,
            "overloaded": self.overloaded,
            "faults": dict(sorted(self.faults.items())),
            "tokens_in": self.all.tokens_in,
            "tokens_out": self.all.tokens_out,
            "latency": {f"p{share}": _short(self.latency.percentile(share / 100)) for share in (50, 90, 99)},
            "roles": {role: self._role(role) for role in sorted({role for role, _ in self.by_stage})},
        }

    def _role(self, role: str) -> dict[str, int]:
        """What was answered to a role, over its stages."""
        each = [_plain(tokens) for (asker, _), tokens in self.by_stage.items() if asker == role]
        return {name: sum(counts[name] for counts in each) for name in each[0]}


def _short(seconds: float | None) -> float | None:
    return None if seconds is None else float(f"{seconds:.3g}")


def _plain(tokens: Tokens) -> dict[str, int]:
    return {"answered": tokens.answered, "tokens_in": tokens.tokens_in, "tokens_out": tokens.tokens_out}


class Observed:
    """An engine whose every call is a try that `traffic` gets to know."""

    def __init__(self, engine: Engine, traffic: Traffic) -> None:
        self._engine, self._traffic = engine, traffic

    async def __call__(self, request: Request) -> Reply:
        traffic, begun = self._traffic, time.monotonic()
        traffic.sent(request)
        try:
            reply = await self._engine(request)
        except BaseException as error:  # cancelled or failed: it is no longer under way; passed on as it is
            traffic.refused(type(error))
            raise
        traffic.answered(request, time.monotonic() - begun, reply)
        return reply


class Asked:
    """The whole way to an endpoint, retries included: tells `traffic` where a call begins and ends."""

    def __init__(self, engine: Engine, traffic: Traffic) -> None:
        self._engine, self._traffic = engine, traffic

    async def __call__(self, request: Request) -> Reply:
        self._traffic.begun(request)
        try:
            return await self._engine(request)
        finally:
            self._traffic.ended(request)
