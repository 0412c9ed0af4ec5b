"""A loopback server for the toy recipe that fails as servers do: now and then, for a while, or for one request always.

Which request fails is drawn from a seeded source, so a test sees the same share of faults every time.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any, Self

from aiohttp import web

from tests.fake_tgi import FakeTgi, Fault
from tests.stays import Stays

HTML = {"Content-Type": "text/html"}
JSON = {"Content-Type": "application/json"}
FAULTS: Mapping[str, Fault] = {
    "server error": Fault(status=500, body="<html>oops</html>"),
    "gateway error": Fault(status=502, body="bad gateway"),
    "generation error": Fault(status=424, body={"error": "out of memory", "error_type": "generation"}),
    "invalid JSON": Fault(body='{"generated_text": "User 1: Hal', headers=JSON),
    "wrong content type": Fault(body="<html>please log in</html>", headers=HTML),
    "strange body": Fault(body={"text": "User 1: Hello"}),
    "truncated body": Fault(torn=True),
    "reset": Fault(reset=True),
    "truncated stream": Fault(torn=True),
    "hang": Fault(silent=60.0),
    "invalid request": Fault(status=422, body={"error": "Input validation error: no", "error_type": "validation"}),
    "unavailable": Fault(status=503),
    "too many": Fault(status=429, headers={"Retry-After": "1"}),
    "too many for an hour": Fault(status=429, headers={"Retry-After": "3600"}),
    "key refused": Fault(status=401),
    "login wanted": Fault(status=302, headers={"Location": "https://login.example/?back=1"}),
    "no credit": Fault(status=402, body={"error": {"message": "no credit left"}}),
}


@dataclass(frozen=True)
class Trouble:
    """What goes wrong. `share` of the requests get the fault `kind`; those for the numbers in `poisoned` always do.

    `tail`: share of replies that take `tail_seconds`. `last`: numbers whose replies come only after so many good ones
    as `before_last`, however long that takes. `first_byte`: seconds between the head and the body of a reply.
    `outage`: (how many requests come before it, seconds that it lasts, what happens meanwhile). `rate`: so many
    requests are let in a second, and then it names the second that is left.
    """

    kind: str = ""
    share: float = 0.0
    poisoned: frozenset[int] = field(default_factory=frozenset)
    tail: float = 0.0
    tail_seconds: float = 0.0
    last: frozenset[int] = field(default_factory=frozenset)
    before_last: int = 0
    first_byte: float = 0.0
    outage: tuple[int, float, str] | None = None
    rate: int = 0


class Chaos(FakeTgi):
    """TGI's protocol with `trouble`. `tries` counts the requests for a number, `answered` the good replies.

    `stays`: of the requests that were let in and get one.
    """

    def __init__(self, trouble: Trouble | None = None, *, seed: int = 0, retry_after: str = "", **given: Any) -> None:
        super().__init__(**({"health": True, "latency": 0.003} | given))
        self.trouble, self._rng, self._retry_after = trouble or Trouble(), Random(seed), retry_after
        self.tries: Counter[int] = Counter()
        self.answered: Counter[int] = Counter()
        self.stays = Stays()
        self.refused = self.wasted = 0
        self._out_until: float | None = None
        self._second: float | None = None
        self._let_in = 0

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        return self

    async def _admitted(self, request: web.Request, handler: Any) -> web.StreamResponse:
        kind = self._outage(request)
        if kind:
            self.wasted += request.path.startswith("/generate")
            return await self._fail(FAULTS[kind], request, handler)
        if not request.path.startswith("/generate"):
            answer: web.StreamResponse = await handler(request)
            return answer
        number = _number((await request.json())["inputs"])
        self.tries[number] += 1
        if self._beyond_rate():
            self.refused += 1
            return await self._fail(FAULTS["too many"], request, handler)
        if self.at_once > self.busy_above:
            self.refused += 1
            headers = {"Retry-After": self._retry_after} if self._retry_after else {}
            return web.json_response({"error": "overloaded", "error_type": "overloaded"}, status=429, headers=headers)
        if number in self.trouble.poisoned or self._rng.random() < self.trouble.share:
            return await self._fail(FAULTS[self.trouble.kind], request, handler)
        slow = self._rng.random() < self.trouble.tail
        with self.stays.stay():
            await asyncio.sleep(self.trouble.tail_seconds if slow else self.latency)
        while number in self.trouble.last and self.answered.total() < self.trouble.before_last:
            await asyncio.sleep(self.latency)
        whole: web.Response = await handler(request)
        self.answered[number] += 1
        return await self._late(request, whole) if self.trouble.first_byte else whole

    def _outage(self, request: web.Request) -> str:
        """The fault that everybody gets just now, or nothing."""
        if self.trouble.outage is None:
            return ""
        after, seconds, kind = self.trouble.outage
        now = asyncio.get_running_loop().time()
        if self._out_until is None and self.tries.total() >= after and request.path.startswith("/generate"):
            self._out_until = now + seconds
        return kind if self._out_until is not None and now < self._out_until else ""

    def _beyond_rate(self) -> bool:
        now = asyncio.get_running_loop().time()
        if self._second is None or now >= self._second + 1.0:
            self._second, self._let_in = now, 0
        self._let_in += 1
        return 0 < self.trouble.rate < self._let_in

    async def _late(self, request: web.Request, whole: web.Response) -> web.StreamResponse:
        assert isinstance(whole.body, bytes)
        answer = web.StreamResponse(headers=whole.headers)
        await answer.prepare(request)
        await asyncio.sleep(self.trouble.first_byte)
        await answer.write(whole.body)
        await answer.write_eof()
        return answer

    def _said(self, body: dict[str, Any]) -> dict[str, Any]:
        """What a well-behaved model says to the toy recipe; another text for each number and sampling seed."""
        said, number = super()._said(body), _number(body["inputs"])
        if number >= 0:
            said["text"] = f"User 1: Number {number}, says {body['parameters'].get('seed')}.\nUser 2: So be it."
        return said


def _number(prompt: str) -> int:
    found = re.search(r"number (\d+)", prompt)
    return int(found[1]) if found else -1
