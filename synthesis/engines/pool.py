"""Pool: several endpoints as one. A request goes where most room is, a conversation to where its prefix is cached.

An endpoint that cannot be reached, that fails several times in a row, or that says nothing for long and does not pass
a check either, is taken out and looked at again and again, later each time. It is in again once it passes the check
and answers something harmless: no request of the run is risked. An endpoint that asks for time is left alone for so
long. What fails at one endpoint is tried at the others. With none left the requests wait, up to `patience`. Then the
run stops, to go on when it is started again.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections import OrderedDict
from collections.abc import Collection, Sequence
from typing import Any, Protocol

from synthesis.engine import Reply, Request
from synthesis.engines.canary import harmless
from synthesis.engines.retry import Backoff, Refusals
from synthesis.errors import (
    Barred,
    EngineError,
    KeyRefused,
    Outage,
    Overloaded,
    ParleyError,
    RequestRefused,
    Unavailable,
    Unreachable,
    UserError,
)

_LOG = logging.getLogger(__name__)
FAULTS = 10
"""So many faults in a row take an endpoint out."""
TELL_SECONDS = 10.0
_CHECKS = 3  # so many in a row must fail before an endpoint counts as gone that only said nothing
_CONVERSATIONS = 65_536  # remembered; the one that was quiet for longest is forgotten
_ALONE = 10  # what a refusal counts for when nobody else is there for whom it could have been
_LOOK_SECONDS = 5.0  # from one look at an endpoint that is out to the next, at most


class Member(Protocol):
    """An endpoint as the pool sees it."""

    @property
    def url(self) -> str: ...

    @property
    def load(self) -> float:
        """Requests that are there for each one that it takes at a time."""
        ...

    @property
    def held_until(self) -> float:
        """When the time is over (monotonic) for which the endpoint asked to be left alone."""
        ...

    async def __call__(self, request: Request) -> Reply: ...

    async def check(self) -> None:
        """Raises ParleyError unless the endpoint is ready to be asked."""
        ...

    async def try_out(self, request: Request) -> Reply:
        """The reply to a request that does not wait for a place."""
        ...

    def restart(self, error: EngineError) -> None:
        """Sends those away who wait there for a place, and lets the next ones in slowly."""
        ...


class _Place:
    """A member and how it does."""

    def __init__(self, member: Member) -> None:
        self.member = member
        self.out = False
        self.here: dict[asyncio.Task[Any], int] = {}  # who is there, and how often they had been cancelled before
        self.cut: set[asyncio.Task[Any]] = set()  # those of them that were called back
        self.heard = 0.0  # when something came from there, or was first sent
        self.faults = self.failed_probes = 0
        self.error = "not asked yet"
        self.barred = False  # nor is something harmless let in: waiting does not help
        self.left_alone_until = 0.0  # as was told to the user
        self.probing: asyncio.Task[None] | None = None
        self.checking: asyncio.Task[None] | None = None

    def open(self, now: float) -> bool:
        """Whether a request may go there."""
        return not self.out and self.member.held_until <= now


def _load(place: _Place) -> float:
    return place.member.load


class Pool:
    """An engine over `members`, which all serve one model. Close it with `aclose`.

    `faults`: so many in a row take an endpoint out. `tell`: seconds between two messages about waiting.
    """

    def __init__(
        self,
        members: Sequence[Member],
        backoff: Backoff | None = None,
        *,
        faults: int = FAULTS,
        tell: float = TELL_SECONDS,
    ) -> None:
        self._places = [_Place(member) for member in members]
        self._backoff = backoff or Backoff()
        self._patience, self._silence = self._backoff.patience, self._backoff.silence
        self._faults, self._tell = faults, tell
        self._homes: OrderedDict[str, _Place] = OrderedDict()
        self._changed = asyncio.Event()
        self._asked: Request | None = None
        self._sample: Request | None = None  # what was answered last
        self._waiting = self._replies = 0
        self._gone_since: float | None = None
        self._told = 0.0
        self._watch: asyncio.TimerHandle | None = None

    @property
    def healthy(self) -> list[str]:
        """Addresses of the endpoints that are in."""
        return [place.member.url for place in self._places if not place.out]

    def exclude(self, url: str, error: ParleyError) -> None:
        """Starts with this endpoint out: it was not there when the others were."""
        for place in self._places:
            if place.member.url == url:
                self._take_out(place, error)

    async def aclose(self) -> None:
        """Ends the looking after endpoints."""
        if self._watch is not None:
            self._watch.cancel()
        tasks = [task for place in self._places for task in (place.probing, place.checking) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def __call__(self, request: Request) -> Reply:
        """Raises Outage when no endpoint came back in time, and whatever is the request's own."""
        failed: tuple[_Place, ...] = ()
        fault: EngineError | UserError | None = None
        refusals: Refusals | None = None
        self._asked = request
        if self._gone_since is not None:
            self._forget()
        while True:
            place = self._choose(request, failed)
            if place is None:
                if fault is not None:
                    raise fault
                await self._wait()
                continue
            try:
                return await self._ask(place, request)
            except Unreachable as error:
                if isinstance(error.__cause__, Overloaded):  # refused, and perhaps not for others
                    refusals = refusals or Refusals(self._backoff)
                    if refusals.add(self._replies, 1 if self._busy else _ALONE):
                        raise error.__cause__ from None
            except Overloaded as error:
                refusals = refusals or Refusals(self._backoff)
                if not error.retry_after or refusals.add(self._replies):
                    raise
                self._leave_alone(place, error)
            except (Unavailable, Barred, KeyRefused) as error:
                failed += (place,)
                fault = fault if isinstance(fault, Unavailable) else error  # that is worth another try

    async def _ask(self, place: _Place, request: Request) -> Reply:
        """The reply. Raises what the member raises, and Unavailable if the request was cut off."""
        task = asyncio.current_task()
        assert task is not None
        if not place.here:
            place.heard = time.monotonic()
            self._keep_watch()
        place.here[task] = task.cancelling()
        try:
            reply = await place.member(request)
        except Unreachable as error:
            if place.open(time.monotonic()):  # else it was sent away from a place that is closed by now
                self._take_out(place, error)
            raise
        except (Unavailable, Barred, KeyRefused) as error:
            self._fault(place, error)
            raise
        except asyncio.CancelledError:
            if task not in place.cut or task.uncancel() > place.here[task]:  # or somebody else wants it as well
                raise
            raise Unavailable(place.error) from None
        except RequestRefused:
            self._good(place)
            raise
        else:
            self._good(place)
            self._sample = request
            return reply
        finally:
            del place.here[task]
            place.heard = time.monotonic()
            if place.cut:
                place.cut.discard(task)
            if self._waiting and not place.here:
                self._announce()

    def _choose(self, request: Request, failed: Collection[_Place]) -> _Place | None:
        """The conversation's own endpoint, else the one with most room; None when it failed at all that are open."""
        name, now = request.conversation, time.monotonic()
        home = self._homes.get(name) if name is not None else None
        if home is None or not home.open(now) or home in failed:
            candidates = [place for place in self._places if place.open(now) and place not in failed]
            many = len(candidates) > 1
            home = min(candidates, key=_load) if many else candidates[0] if candidates else None
        if home is not None and name is not None:
            self._homes[name] = home
            self._homes.move_to_end(name)
            if len(self._homes) > _CONVERSATIONS:
                self._homes.popitem(last=False)
        return home

    @property
    def _busy(self) -> bool:
        """Whether there is any request that is sent, or waits for an endpoint."""
        return self._waiting > 0 or any(place.here for place in self._places)

    # ---- how the endpoints do ---------------------------------------------------------------------------------------

    def _good(self, place: _Place) -> None:
        self._replies += 1
        self._gone_since = None
        place.faults = 0

    def _fault(self, place: _Place, error: ParleyError) -> None:
        place.faults += 1
        if place.faults >= self._faults:
            self._take_out(place, error)

    def _leave_alone(self, place: _Place, error: Overloaded) -> None:
        """Takes note of the time that the endpoint asked for; so long a one that others must do is told at once."""
        now = time.monotonic()
        asked = place.member.held_until - now
        if asked > self._patience and place.left_alone_until <= now:
            _LOG.warning("endpoint %s is left alone for %.0f s, as it asked: %s", place.member.url, asked, error)
        place.left_alone_until, place.error = place.member.held_until, str(error)

    def _take_out(self, place: _Place, error: ParleyError) -> None:
        if place.out:
            return
        _LOG.warning("endpoint %s is taken out: %s", place.member.url, error)
        place.out, place.barred, place.faults, place.error = True, False, 0, str(error)
        place.member.restart(Unreachable(f"{place.member.url} was taken out: {error}"))
        if place.probing is None or place.probing.done():
            place.probing = asyncio.create_task(self._look(place))

    async def _look(self, place: _Place) -> None:
        """Looks at an endpoint until it is well: at once when it was well before, later each time."""
        asked = 0.0
        while place.out:
            if place.failed_probes:
                await asyncio.sleep(max(asked, self._pause(place.failed_probes)))
            try:
                await place.member.check()
                await self._try(place)
            except ParleyError as error:
                place.failed_probes += 1
                place.error, place.barred = str(error), isinstance(error, (Barred, KeyRefused))
                if place.barred:
                    self._announce()
                asked = (error.retry_after or 0.0) if isinstance(error, Overloaded) else 0.0
            else:
                self._good(place)
                place.out, place.failed_probes = False, 0
                _LOG.info("endpoint %s is back", place.member.url)
                self._announce()

    async def _try(self, place: _Place) -> None:
        """Asks something harmless, if any is known. Raises ParleyError if that is not answered."""
        if self._asked is None:
            return
        try:
            async with asyncio.timeout(self._silence):
                await place.member.try_out(harmless(self._asked, self._sample))
        except TimeoutError as error:
            raise Unavailable(f"{place.member.url}: no reply to a plain request in {self._silence:g} s") from error
        except RequestRefused as error:
            if isinstance(error, Barred):
                raise  # else it looks at what it is asked

    def _pause(self, times: int) -> float:
        """Seconds before the next look at an endpoint, after so many that were in vain."""
        return min(_LOOK_SECONDS, self._backoff.jitter(times))

    def _keep_watch(self) -> None:
        """Sees to it that silence is noticed as long as there are requests anywhere."""
        if self._watch is None:
            self._watch = asyncio.get_running_loop().call_later(self._silence / 4, self._look_around)

    def _look_around(self) -> None:
        self._watch = None
        for place in self._places:
            silent = place.here and time.monotonic() - place.heard >= self._silence
            if silent and (place.checking is None or place.checking.done()):
                place.checking = asyncio.create_task(self._suspect(place))
        if any(place.here for place in self._places):
            self._keep_watch()

    async def _suspect(self, place: _Place) -> None:
        """Checks an endpoint that says nothing: long replies take their time, but one that hangs is taken out."""
        heard = place.heard
        for times in range(_CHECKS):
            if times:
                await asyncio.sleep(self._pause(times))
            try:
                await place.member.check()
            except ParleyError as error:
                if place.heard != heard:
                    return
                failed = error
            else:
                place.heard = time.monotonic()  # as good as a word: the next check is due after another silence
                return
        told = f"nothing came from {place.member.url} for {time.monotonic() - heard:.0f} s, and then: {failed}"
        self._take_out(place, Unavailable(told))
        await asyncio.sleep(0)  # who had only waited there has left
        for task in place.here:
            if task not in place.cut:
                place.cut.add(task)
                task.cancel()

    def _announce(self) -> None:
        """Wakes everybody who waits for an endpoint."""
        self._changed.set()
        self._changed = asyncio.Event()

    # ---- when there is none -----------------------------------------------------------------------------------------

    def _forget(self) -> None:
        """An outage that ended while nobody was here is over, though no reply says so."""
        idle = not self._waiting and not any(place.here for place in self._places)
        if idle and not all(place.out for place in self._places):
            self._gone_since = None

    async def _wait(self) -> None:
        """Returns when something has changed, or it is time to look. Raises Outage when it took or will take too long.

        What is still under way at an endpoint that asked for much time is waited for: it is paid for.
        """
        now = time.monotonic()
        if self._gone_since is None:
            self._gone_since = self._told = now
        left = self._gone_since + self._patience - now
        back = min(0.0 if place.out else place.member.held_until - now for place in self._places)
        if all(place.out and place.barred for place in self._places):
            raise self._outage("no endpoint lets anybody in")
        if left <= 0:
            raise self._outage(f"no endpoint came back in {self._patience:.0f} s")
        if back > left and not any(place.here for place in self._places):
            raise self._outage(
                f"every endpoint asks for more time than is left of the {self._patience:.0f} s of --patience"
            )
        if now - self._told >= self._tell:
            self._told = now
            told = "no endpoint takes requests just now; waiting up to %.0f s more. %s"
            _LOG.warning(told, max(left, 0.0), self._reasons(now))
        await self._news(min(left, self._told + self._tell - now, back if back > 0 else math.inf))

    async def _news(self, seconds: float) -> None:
        changed = self._changed
        self._waiting += 1
        try:
            async with asyncio.timeout(seconds):
                await changed.wait()
        except TimeoutError:
            return
        finally:
            self._waiting -= 1

    def _outage(self, told: str) -> Outage:
        return Outage(
            f"{told}. {self._reasons(time.monotonic())}. Every finished call is in the journal: start the same "
            "command again when the endpoint is back"
        )

    def _reasons(self, now: float) -> str:
        """What is wrong with each endpoint."""
        asked = {place: place.member.held_until - now for place in self._places}
        return "; ".join(
            f"{place.member.url}: {place.error}"
            + (f", left alone for {more:.0f} s more, as it asked" if more > 0 else "")
            for place, more in asked.items()
        )
