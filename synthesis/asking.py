"""Ask an engine for something readable: a bounded number of tries, each with a new seed, and an account of them."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable, Iterable, Mapping
from random import Random
from typing import Any, TypeVar

from synthesis.dialogue import Stage
from synthesis.engine import Engine, Reply, Request
from synthesis.errors import EngineError, ReadingError
from synthesis.recipe import draw_seed

T = TypeVar("T")

TRIES = 3
SAMPLING = ("temperature", "top_p", "top_k", "typical_p", "repetition_penalty", "max_new_tokens")


async def ask(engine: Engine, request: Request, read: Callable[[str], T], rng: Random, tries: int = TRIES) -> T:
    """What `read` makes of the reply to `request`.

    A reply that cannot be read, or that was cut off while a grammar held it, is asked for again with another seed;
    a greedy request samples from its second try on. Raises the last ReadingError after `tries`.
    """
    for attempt in range(1, tries + 1):
        reply = await engine(_seeded(request, attempt, rng))
        try:
            if request.grammar is not None and reply.finish_reason == "length":
                raise ReadingError(f"cut off at {request.max_new_tokens} tokens", reply.text)
            return read(reply.text)
        except ReadingError as error:
            if attempt == tries:
                raise ReadingError(f"{request.stage}: {error} (after {tries} tries)", error.raw) from error
    raise ValueError(f"tries must be at least 1, got {tries}")


async def together(calls: Iterable[Awaitable[T]]) -> list[T]:
    """Results in order of the calls. When some fail, the first in that order is raised, once all have ended.

    `asyncio.gather` raises whichever fails first and leaves the others running: who is quickest would show in reasons
    and accounts.
    """
    results = await asyncio.gather(*calls, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return [result for result in results if not isinstance(result, BaseException)]


def _seeded(request: Request, attempt: int, rng: Random) -> Request:
    if request.temperature is None and attempt == 1:
        return request
    return dataclasses.replace(request, temperature=request.temperature or 0.7, seed=draw_seed(rng))


class Account:
    """An engine around another that adds up requests and tokens by stage, whether asked now or found in a journal."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._stages: dict[str, dict[str, Any]] = {}

    async def __call__(self, request: Request) -> Reply:
        try:
            reply = await self._engine(request)
        except EngineError:
            self.add(request.stage, request.role, sampling(request), 1, 0, 0)
            raise
        self.add(request.stage, request.role, sampling(request), 1, reply.tokens_in, reply.tokens_out)
        return reply

    def add(self, name: str, role: str, how: Mapping[str, Any], requests: int, into: int, out: int) -> None:
        """Adds `requests` with their tokens to a stage; the first request of a stage says how it samples."""
        stage = self._stages.setdefault(
            name, {"role": role, "sampling": dict(how), "requests": 0, "tokens_in": 0, "tokens_out": 0}
        )
        stage["requests"] += requests
        stage["tokens_in"] += into
        stage["tokens_out"] += out

    def stages(self) -> tuple[Stage, ...]:
        """The account so far, sorted by the stage's name."""
        return tuple(
            Stage(name, at["role"], at["requests"], at["tokens_in"], at["tokens_out"], at["sampling"])
            for name, at in sorted(self._stages.items())
        )


def sampling(request: Request) -> dict[str, Any]:
    """The parameters that shape a request's reply; temperature 0 stands for greedy decoding."""
    given = {name: getattr(request, name) for name in SAMPLING if getattr(request, name) is not None}
    return {"temperature": 0.0} | given
