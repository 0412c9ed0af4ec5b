"""Traffic: what really went over the wire, counted where it happens, in bounded memory.

`Host` wraps each dialect (one call, one try) in `Observed`, inside of admission, pool and retries; all endpoints share
one `Traffic`. Whoever opens the connection wraps what it gets in `Asked`. A try of a request that was tried before,
within one call of `Asked`, is a retry, whoever decided on it; so nothing in between needs to know.

Only sums and histograms are kept, so what several processes counted adds up without loss: see `traffic_files`. A reply
is counted once, with its stage; what a role or the whole run took is added up when somebody asks.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from synthesis.engine import Engine, Reply, Request
from synthesis.errors import Overloaded, UserError

STEP = 1.04
"""Ratio of neighbouring bounds of a histogram: a percentile is off by at most 2 %. Files hold numbers of buckets."""
SHORTEST, LONGEST = 1e-5, 1e5  # seconds; whatever is beyond counts at the bound: at most 588 buckets
_BY_STEP = 1 / math.log(STEP)
_LAST = int(math.log(LONGEST / SHORTEST) * _BY_STEP)


@dataclass(slots=True)
class Histogram:
    """Durations in seconds by logarithmic buckets: bounded memory, percentiles within 2 %."""

    buckets: Counter[int] = field(default_factory=Counter)
    total: float = 0.0

    @property
    def count(self) -> int:
        """How many durations there are."""
        return self.buckets.total()

    def add(self, seconds: float) -> None:
        """Counts one duration."""
        bucket = int(math.log(seconds / SHORTEST) * _BY_STEP) if seconds > SHORTEST else 0
        self.buckets[bucket if bucket < _LAST else _LAST] += 1
        self.total += seconds

    def merge(self, other: Histogram, times: int = 1) -> None:
        """Adds another's durations, as if each had been counted here; with -1 takes them away again."""
        for bucket, count in other.buckets.items():
            self.buckets[bucket] += times * count
        self.total += times * other.total

    def percentile(self, share: float) -> float | None:
        """The duration that `share` (0 to 1) of all do not exceed; None while there is none."""
        wanted = max(1, math.ceil(share * self.count))
        for bucket in sorted(self.buckets):
            wanted -= self.buckets[bucket]
            if wanted <= 0:
                return _middle(bucket)
        return None

    def below(self, bounds: tuple[float, ...]) -> Iterator[int]:
        """How many durations are at most each bound, to the width of a bucket."""
        for bound in bounds:
            yield sum(count for bucket, count in self.buckets.items() if _middle(bucket) <= bound)

    def facts(self) -> dict[str, float | None]:
        """Percentiles in seconds, to three digits."""
        return {f"p{share}": _short(self.percentile(share / 100)) for share in (50, 90, 99)}


def _middle(bucket: int) -> float:
    return SHORTEST * float(STEP ** (bucket + 0.5))


def _short(seconds: float | None) -> float | None:
    return None if seconds is None else float(f"{seconds:.3g}")


@dataclass(slots=True)
class Answers:
    """Requests that were answered: their tokens, and how long each took."""

    tokens_in: int = 0
    tokens_out: int = 0
    latency: Histogram = field(default_factory=Histogram)

    @property
    def answered(self) -> int:
        """How many there are."""
        return self.latency.count

    def merge(self, other: Answers, times: int = 1) -> None:
        """Adds another's; with -1 takes them away again."""
        self.tokens_in += times * other.tokens_in
        self.tokens_out += times * other.tokens_out
        self.latency.merge(other.latency, times)

    def counts(self) -> dict[str, int]:
        """What can be added up."""
        return {"answered": self.answered, "tokens_in": self.tokens_in, "tokens_out": self.tokens_out}


@dataclass(slots=True)
class Traffic:
    """Tries, what came of them, and how long answers took.

    `requests`: tries sent. `overloaded`: tries that the server put off (429, 503). `faults`: every other error, by
    kind. `retries`: tries that followed an error of an earlier one. `by_stage`: what was answered, by role and stage.
    A try is in flight, answered, overloaded or a fault; of a process that was killed some remain that are none of
    these, for nobody knows what came of them.
    """

    requests: int = 0
    retries: int = 0
    overloaded: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    by_stage: dict[tuple[str, str], Answers] = field(default_factory=dict)
    in_flight: int = field(default=0, compare=False)
    _tried: dict[int, bool] = field(default_factory=dict, compare=False)  # open calls by request: has it been tried?

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
        call = id(request)
        if call in self._tried:
            self.retries += self._tried[call]
            self._tried[call] = True

    def answered(self, request: Request, seconds: float, reply: Reply) -> None:
        """The try came back with a reply."""
        self.in_flight -= 1
        at = (request.role, request.stage)
        answers = self.by_stage.get(at)
        if answers is None:
            answers = self.by_stage[at] = Answers()
        answers.tokens_in += reply.tokens_in
        answers.tokens_out += reply.tokens_out
        answers.latency.add(seconds)

    def refused(self, kind: type[BaseException]) -> None:
        """The try came back with an error, or was given up (CancelledError)."""
        self.in_flight -= 1
        if issubclass(kind, Overloaded):
            self.overloaded += 1
        else:
            self.faults[kind.__name__] += 1

    def merge(self, other: Traffic, times: int = 1) -> None:
        """Adds what another process counted, but for what is in flight there; with -1 takes it away again."""
        self.requests += times * other.requests
        self.retries += times * other.retries
        self.overloaded += times * other.overloaded
        for kind, count in other.faults.items():
            self.faults[kind] += times * count
        for at, answers in other.by_stage.items():
            self.by_stage.setdefault(at, Answers()).merge(answers, times)

    def whole(self) -> Answers:
        """What was answered over all roles and stages."""
        return _sum(self.by_stage.values())

    def facts(self) -> dict[str, Any]:
        """What run.json says: JSON-plain, latencies in seconds to three digits."""
        whole, roles = self.whole(), sorted({role for role, _ in self.by_stage})
        stages = sorted(self.by_stage.items())
        return {
            "requests": self.requests,
            "retries": self.retries,
            "overloaded": self.overloaded,
            "faults": dict(sorted(self.faults.items())),
            **whole.counts(),
            "latency": whole.latency.facts(),
            "roles": {role: _sum(each for (asker, _), each in stages if asker == role).counts() for role in roles},
            "stages": [
                {"name": name, "role": role, **each.counts(), "latency": each.latency.facts()}
                for (role, name), each in stages
            ],
        }

    def to_json(self) -> dict[str, Any]:
        """All of it but what is in flight, JSON-plain."""
        return {
            "requests": self.requests,
            "retries": self.retries,
            "overloaded": self.overloaded,
            "faults": dict(sorted(self.faults.items())),
            "stages": [_row(*at, answers) for at, answers in sorted(self.by_stage.items())],
        }

    @classmethod
    def from_json(cls, value: Any, where: str) -> Traffic:
        """What `to_json` gave. Raises UserError, naming the place, for anything else."""
        try:
            faults = Counter({str(kind): int(count) for kind, count in value["faults"].items()})
            made = cls(int(value["requests"]), int(value["retries"]), int(value["overloaded"]), faults)
            for row in value["stages"]:
                buckets = Counter({int(bucket): int(count) for bucket, count in row["latency"].items()})
                latency = Histogram(buckets, float(row["seconds"]))
                answers = Answers(int(row["tokens_in"]), int(row["tokens_out"]), latency)
                made.by_stage[str(row["role"]), str(row["name"])] = answers
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise UserError(
                f"{where}: not the traffic of a run ({type(error).__name__}: {error}); move the file away, "
                "and what it has counted is counted no more"
            ) from error
        return made


def _sum(each: Iterable[Answers]) -> Answers:
    whole = Answers()
    for answers in each:
        whole.merge(answers)
    return whole


def _row(role: str, name: str, answers: Answers) -> dict[str, Any]:
    """A stage in a file: sums, and how many answers took how long, by bucket."""
    latency = answers.latency
    return {
        "name": name,
        "role": role,
        "tokens_in": answers.tokens_in,
        "tokens_out": answers.tokens_out,
        "seconds": latency.total,
        "latency": {str(bucket): latency.buckets[bucket] for bucket in sorted(latency.buckets)},
    }


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
