"""Admitted: as many requests at a time as the server takes, found out by asking and by being refused.

Additive increase, multiplicative decrease, with three things that a network does not tell and a server does:

- A refusal is quick and a reply is slow. So once the refusals of a burst are in, whatever is unanswered is being
  worked on, and that number is where the window goes, from 64 to 8 in one step if need be.
- A refusal costs a round trip of a millisecond, an idle place costs a reply. So the window shrinks by a tenth, not by
  half, and probes what was refused rarely: each refused probe makes the next one later, each one taken sooner.
- A reply says that a place is free now. A refused request goes back to its old place in the queue and is sent on the
  next reply; everybody sleeps only where no reply is due. In that case another goes first next time.

A server that names a time (`Retry-After`) says it of itself, not of the request: nobody should be sent before that is
over. So whoever waits here is sent away, perhaps to another endpoint, and `held_until` tells when it makes sense to
come again. What is out already goes on.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import random
import time
from collections.abc import Callable

from synthesis.engine import Engine, Reply, Request
from synthesis.engines.retry import Backoff, Refusals
from synthesis.errors import EngineError, Overloaded, Unreachable

_KEEP = 0.9
_GENTLE = 4.0  # windows of replies between two probes of a limit that has held several times
_DEAR = 64.0  # the same where each refused probe costs everybody the time that the server names
_EAGER = 1 / 8
_SPREAD = 0.1  # of a time that the server named: so much later, at most, do we come, and not all at once
_SUSPECT = 3  # refusals of one request, others being answered, until it lets these go first for a while
_NAP = 2.0
STUBBORN_SECONDS = 5.0
"""An endpoint that has refused everybody for so long is passed over."""


class Window:
    """How many requests may be out at a time: 1 <= `size` <= `limit`, a fraction counting as not yet earned.

    Each request is `sent` and then `replied`, `refused` or `lost` (failed or cancelled: says nothing about room).
    """

    def __init__(self, start: float, limit: int) -> None:
        self.limit = max(1, limit)
        self.size = min(float(self.limit), max(1.0, start))
        self.replies = 0
        self.ceiling: float | None = None  # requests out when the server last said no
        self.gentle = 1.0
        self._out: set[int] = set()
        self._next = self._cut = 0  # serial numbers: of the next request, and of the first one after the last decrease

    @property
    def out(self) -> int:
        """Requests that were sent and not answered."""
        return len(self._out)

    @property
    def room(self) -> bool:
        """Whether one more may go."""
        return len(self._out) < int(self.size)

    def sent(self) -> int:
        """The number by which the request is reported later."""
        serial, self._next = self._next, self._next + 1
        self._out.add(serial)
        return serial

    def replied(self, serial: int) -> None:
        """Grows, if the window was what kept others waiting: doubling a round trip below the ceiling, else slowly."""
        full = not self.room
        self._out.discard(serial)
        self.replies += 1
        if not full:
            return
        self.size = min(float(self.limit), self.size + self._growth())
        if self.ceiling is not None and self.size >= self.ceiling + 1:
            self.ceiling, self.gentle = self.size, max(_EAGER, self.gentle / 2)

    def _growth(self) -> float:
        """What one reply adds: up to one."""
        known = self.limit if self.ceiling is None else _KEEP * self.ceiling
        if self.size < known:
            return min(1.0, known - self.size)
        return min(1.0, 1 / (self.size * self.gentle))

    def refused(self, serial: int, dear: bool = False) -> None:
        """Shrinks to nine tenths, once a round trip, and in any case to what the server is working on.

        What was sent before the last decrease says nothing against the window since. But with every refusal of a burst
        that comes in, what is still out is nearer to what the server has taken. `dear`: the server named a time.
        """
        self._out.discard(serial)
        if serial >= self._cut:
            self.size *= _KEEP
            self.gentle = min(_DEAR if dear else _GENTLE, max(1.0, self.gentle) * 2)
            self._cut = self._next
        self.size = max(1.0, min(self.size, len(self._out)))
        self.ceiling = len(self._out) + 1.0 if self._out else self.ceiling

    def lost(self, serial: int) -> None:
        """The request failed or was cancelled."""
        self._out.discard(serial)


class Admitted:
    """An engine that is asked by at most as many at a time as its window allows; the oldest request goes first.

    `start`: the window at first, `limit` what it never exceeds. Only Overloaded is handled here. `held_until`: when
    the time is over that the server named, by `clock`.
    """

    def __init__(
        self,
        engine: Engine,
        start: int,
        *,
        limit: int | None = None,
        backoff: Backoff | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._engine = engine
        self.window = Window(start, limit or start)
        self.held_until = 0.0
        self._backoff = backoff or Backoff()
        self._clock = clock
        self._tickets = itertools.count()
        self._queue: list[tuple[int, asyncio.Future[int]]] = []
        self._alarm: asyncio.TimerHandle | None = None
        self._refusing_since: float | None = None
        self._pauses = 0

    @property
    def load(self) -> float:
        """Requests here, waiting ones included, for each place in the window."""
        return (self.window.out + len(self._queue)) / self.window.size

    def flush(self, error: EngineError) -> None:
        """Sends everybody away who waits for a place, with `error`."""
        queue, self._queue = self._queue, []
        for _, turn in queue:
            if not turn.done():
                turn.set_exception(error)

    def restart(self, error: EngineError) -> None:
        """Sends them away and goes on from one at a time: the server was gone, and perhaps one request was why."""
        self.flush(error)
        self.window.size = 1.0
        self._refusing_since, self._pauses = None, 0

    async def __call__(self, request: Request) -> Reply:
        """Raises Overloaded with the time that the server named, Overloaded without for a request that is refused for
        long while others are answered, Unreachable when the endpoint refuses everybody, and what the engine raises."""
        if self._refusing_since is not None and not (self._queue or self.window.out):
            self._refusing_since, self._pauses = None, 0  # it was not asked since: that is over
        ticket, refusals = next(self._tickets), None
        while True:
            free = not self._queue and self._alarm is None and self.window.room
            serial = self.window.sent() if free else await self._turn(ticket)
            try:
                reply = await self._engine(request)
            except Overloaded as error:
                self._refuse(serial, error)
                refusals = refusals or Refusals(self._backoff, self._clock)
                if refusals.add(self.window.replies):
                    self._dispatch()
                    raise
                if not self.window.out:  # behind those who wait now: if only this one is refused, they are not
                    ticket = next(self._tickets)
            except BaseException:
                self.window.lost(serial)
                self._dispatch()
                raise
            else:
                self.window.replied(serial)
                self._refusing_since, self._pauses = None, 0
                if self._queue:
                    self._dispatch()
                return reply
            if refusals.passed_over > _SUSPECT:
                self._dispatch()
                await asyncio.sleep(min(_NAP, self._backoff.jitter(refusals.passed_over - _SUSPECT)))

    async def _turn(self, ticket: int) -> int:
        """Returns when this request may be sent."""
        turn: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._queue, (ticket, turn))
        self._dispatch()
        try:
            return await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self.window.lost(turn.result())
                self._dispatch()
            else:
                self._queue = [each for each in self._queue if each[1] is not turn]
                heapq.heapify(self._queue)
            raise

    def _dispatch(self) -> None:
        """Lets go who may go, the oldest first."""
        while self._queue and self._alarm is None and self.window.room:
            _, turn = heapq.heappop(self._queue)
            if not turn.done():
                turn.set_result(self.window.sent())

    def _refuse(self, serial: int, error: Overloaded) -> None:
        """Takes note of a refusal. While replies are due, the next one tells when to go on, otherwise the clock."""
        self.window.refused(serial, dear=bool(error.retry_after))
        now = self._clock()
        if error.retry_after:
            self.held_until = max(self.held_until, now + error.retry_after * random.uniform(1.0, 1.0 + _SPREAD))
            self.flush(Unreachable(f"{error}; it asks for {error.retry_after:g} s"))
            raise error
        if self.window.out:
            return
        self._refusing_since = now if self._refusing_since is None else self._refusing_since
        if now - self._refusing_since >= STUBBORN_SECONDS:
            gone = Unreachable(f"{error}; it has refused everything for {now - self._refusing_since:.0f} s")
            self.restart(gone)
            raise gone from error
        self._pauses += 1
        if self._alarm is None:
            self._alarm = asyncio.get_running_loop().call_later(self._backoff.jitter(self._pauses), self._wake)

    def _wake(self) -> None:
        self._alarm = None
        self._dispatch()
