"""Pool: several endpoints as one. A request goes where most room is, a conversation to where its prefix is cached.

An endpoint that cannot be reached, or that fails several times in a row, is taken out and looked at again and again,
later each time. Once it answers the check it gets one request on trial; with a good reply everybody may go there
again. With all of them out the requests wait, up to `patience`. Then the run stops, to go on when it is started again.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Sequence
from typing import Literal, Protocol

from synthesis.engine import Reply, Request
from synthesis.engines.retry import Backoff
from synthesis.errors import Outage, ParleyError, Unavailable, Unreachable

_LOG = logging.getLogger(__name__)
FAULTS = 10
"""So many faults in a row take an endpoint out."""
TELL_SECONDS = 10.0
_TRIALS = 5  # so often may one request fail at endpoints that have just passed the check; then it may be its fault
_CONVERSATIONS = 65_536  # remembered; the one that was quiet for longest is forgotten
_PROBE = Backoff(first=0.5, longest=5.0)


class Member(Protocol):
    """An endpoint as the pool sees it."""

    @property
    def url(self) -> str: ...

    @property
    def load(self) -> float:
        """Requests that are there for each one that it takes at a time."""
        ...

    async def __call__(self, request: Request) -> Reply: ...

    async def check(self) -> None:
        """Raises ParleyError unless the endpoint is ready to be asked."""
        ...

    def flush(self, error: Unavailable) -> None:
        """Sends those away who wait there for a place."""
        ...


class _Place:
    """A member and how it does: in, out, or on trial with one request."""

    def __init__(self, member: Member) -> None:
        self.member = member
        self.state: Literal["in", "out", "trial"] = "in"
        self.busy = False  # the request on trial is under way
        self.faults = 0
        self.failed_probes = 0
        self.error = "not asked yet"
        self.probing: asyncio.Task[None] | None = None

    @property
    def open(self) -> bool:
        return self.state == "in" or (self.state == "trial" and not self.busy)


class Pool:
    """An engine over `members`, which all serve one model. Close it with `aclose`.

    `patience`: seconds without any endpoint until Outage. `tell`: seconds between two messages about that.
    """

    def __init__(
        self,
        members: Sequence[Member],
        *,
        patience: float = 300.0,
        faults: int = FAULTS,
        tell: float = TELL_SECONDS,
        probe: Backoff = _PROBE,
    ) -> None:
        self._places = [_Place(member) for member in members]
        self._patience, self._faults, self._tell, self._probe = patience, faults, tell, probe
        self._homes: OrderedDict[str, _Place] = OrderedDict()
        self._changed = asyncio.Event()
        self._gone_since: float | None = None
        self._told = 0.0

    @property
    def healthy(self) -> list[str]:
        """Addresses of the endpoints that are in."""
        return [place.member.url for place in self._places if place.state == "in"]

    def exclude(self, url: str, error: ParleyError) -> None:
        """Starts with this endpoint out: it was not there when the others were."""
        for place in self._places:
            if place.member.url == url:
                self._take_out(place, error)

    async def aclose(self) -> None:
        """Ends the looking after endpoints that are out."""
        probes = [place.probing for place in self._places if place.probing is not None]
        for probe in probes:
            probe.cancel()
        await asyncio.gather(*probes, return_exceptions=True)

    async def __call__(self, request: Request) -> Reply:
        """Raises Outage when no endpoint came back in time, and whatever is the request's own."""
        trials = 0
        while True:
            if trials:
                await asyncio.sleep(0)  # those who have waited go before this one
            place = self._choose(request)
            if place is None:
                await self._wait()
                continue
            trial = place.busy = place.state == "trial"
            try:
                reply = await place.member(request)
            except Unreachable as error:
                self._take_out(place, error)
                trials += trial
                if trials >= _TRIALS:
                    raise Unavailable(
                        f"{error} ({trials} times on trial, at endpoints that say they are well)"
                    ) from error
            except Unavailable as error:
                self._fault(place, error)
                raise
            else:
                self._good(place)
                return reply
            finally:
                if trial:
                    place.busy = False
                    self._announce()

    def _choose(self, request: Request) -> _Place | None:
        """The conversation's own endpoint, else the one with most room; None when all are out."""
        name = request.conversation
        home = self._homes.get(name) if name is not None else None
        if home is None or not home.open:
            candidates = [place for place in self._places if place.open]
            home = min(candidates, key=lambda place: (place.state != "trial", place.member.load), default=None)
        if home is not None and name is not None:
            self._homes[name] = home
            self._homes.move_to_end(name)
            if len(self._homes) > _CONVERSATIONS:
                self._homes.popitem(last=False)
        return home

    # ---- how the endpoints do ---------------------------------------------------------------------------------------

    def _good(self, place: _Place) -> None:
        place.faults = 0
        self._gone_since = None
        if place.state != "in":
            place.state, place.failed_probes = "in", 0
            _LOG.info("endpoint %s is back", place.member.url)
            self._announce()

    def _fault(self, place: _Place, error: Unavailable) -> None:
        place.faults += 1
        if place.state == "trial" or place.faults >= self._faults:
            self._take_out(place, error)

    def _take_out(self, place: _Place, error: ParleyError) -> None:
        if place.state == "out":
            return
        if place.state == "in":
            _LOG.warning("endpoint %s is taken out: %s", place.member.url, error)
        else:
            place.failed_probes += 1
        place.state, place.faults, place.error = "out", 0, str(error)
        if self._gone_since is None and not any(other.open for other in self._places):
            self._gone_since = self._told = time.monotonic()
        place.member.flush(Unreachable(f"{place.member.url} was taken out: {error}"))
        if place.probing is None or place.probing.done():
            place.probing = asyncio.create_task(self._look(place))

    async def _look(self, place: _Place) -> None:
        """Checks an endpoint until it is fit for a trial: at once when it was well before, later each time."""
        while place.state == "out":
            if place.failed_probes:
                await asyncio.sleep(self._probe.jitter(place.failed_probes))
            try:
                await place.member.check()
            except ParleyError as error:
                place.failed_probes += 1
                place.error = str(error)
                continue
            if place.state == "out":  # a late reply may have brought it back in the meantime
                place.state = "trial"
            self._announce()

    def _announce(self) -> None:
        """Wakes everybody who waits for an endpoint."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def _wait(self) -> None:
        """Returns when something has changed, or it is time to look. Raises Outage when it took too long."""
        now = time.monotonic()
        if self._gone_since is None:
            self._gone_since = self._told = now
        left = self._gone_since + self._patience - now
        reasons = "; ".join(f"{place.member.url}: {place.error}" for place in self._places)
        if left <= 0 and not any(place.busy for place in self._places):
            raise Outage(
                f"no endpoint came back in {self._patience:.0f} s. {reasons}. Every finished call is in the journal: "
                "start the same command again when the endpoint is back"
            )
        if now - self._told >= self._tell:
            self._told = now
            _LOG.warning("no endpoint answers; waiting up to %.0f s more. %s", max(left, 0.0), reasons)
        changed = self._changed
        try:
            async with asyncio.timeout(min(max(left, 0.1), self._told + self._tell - now)):
                await changed.wait()
        except TimeoutError:
            return
