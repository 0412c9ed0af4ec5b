"""Endpoints as a pool sees them, without a server: they answer, fail, refuse and hang as they are told."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence

from synthesis.engine import Reply, Request
from synthesis.engines.admission import Admitted
from synthesis.engines.retry import Backoff
from synthesis.errors import EngineError, Overloaded, Unavailable

QUICK = Backoff(retries=4, first=0.001, longest=0.01, patience=5.0)


class Shop:
    """A member: answers after `seconds`, unless `error` is set; `well`: what the check says."""

    def __init__(self, url: str, seconds: float = 0.001) -> None:
        self.url, self.seconds = url, seconds
        self.error: Exception | None = None
        self.well: bool | None = None  # None: well when there is no error
        self.asked: list[Request] = []
        self.checks = self.inside = 0
        self.held_until = 0.0
        self.unwell: list[Exception] = []  # what the next checks say in any case
        self.flushed: list[str] = []

    @property
    def load(self) -> float:
        return float(self.inside)

    async def __call__(self, request: Request) -> Reply:
        self.asked.append(request)
        self.inside += 1
        try:
            await asyncio.sleep(self.seconds)
        finally:
            self.inside -= 1
        if self.error is not None:
            raise self.error
        return Reply(self.url, "eos_token", 1, 1)

    async def check(self) -> None:
        self.checks += 1
        if self.unwell:
            raise self.unwell.pop()
        if not (self.error is None if self.well is None else self.well):
            raise Unavailable("not well")

    async def try_out(self, request: Request) -> Reply:
        return await Shop.__call__(self, request)

    def restart(self, error: EngineError) -> None:
        self.flushed.append(str(error))


class Slow(Shop):
    """A member whose first three checks fail, but not before `told` is set."""

    def __init__(self, url: str, seconds: float) -> None:
        super().__init__(url, seconds)
        self.told = asyncio.Event()

    async def check(self) -> None:
        self.checks += 1
        await self.told.wait()
        if self.checks <= 3:
            raise Unavailable("not well")


class Limited(Shop):
    """A member that admits as a host does. `refusals`: the times that it names, one for each that is refused.

    Whoever asks for "poison" gets that error in any case.
    """

    def __init__(
        self,
        url: str,
        seconds: float = 0.001,
        places: int = 64,
        refusals: Sequence[float] = (),
        poison: Exception | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(url, seconds)
        self.poison = poison or Overloaded("not for you")
        self.refusals, self.came = list(refusals), list[float]()
        self.admitted = Admitted(self._answer, places, backoff=QUICK, clock=clock)

    @property
    def load(self) -> float:
        return self.admitted.load

    async def __call__(self, request: Request) -> Reply:
        self.held_until = self.admitted.held_until
        try:
            return await self.admitted(request)
        finally:
            self.held_until = self.admitted.held_until

    async def _answer(self, request: Request) -> Reply:
        self.came.append(time.monotonic())
        if "poison" in str(request.prompt):
            raise self.poison
        if self.refusals:
            error = Overloaded("too many", self.refusals.pop())
            await asyncio.sleep(0)
            raise error
        return await super().__call__(request)

    def restart(self, error: EngineError) -> None:
        self.admitted.restart(error)
