"""Ask an engine for something readable: a bounded number of tries, each with a new seed, and an account of them."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
from collections.abc import Callable, Coroutine, Iterable, Iterator
from random import Random
from typing import Any, TypeVar

from synthesis.dialogue import Stage
from synthesis.engine import Engine, Reply, Request
from synthesis.errors import Quarantined, ReadingError, RequestRefused, Unsupported
from synthesis.recipe import draw_seed

T = TypeVar("T")

log = logging.getLogger(__name__)

TRIES = 3
SAMPLING = ("temperature", "top_p", "top_k", "typical_p", "repetition_penalty", "max_new_tokens")


async def ask(
    engine: Engine,
    request: Request,
    read: Callable[[str], T],
    rng: Random,
    tries: int = TRIES,
    *,
    whole: bool = False,
) -> T:
    """What `read` makes of the reply to `request`.

    A reply that cannot be read, or that was cut off while a grammar held it or where it is wanted `whole`, is asked
    for again with another seed; a greedy request samples from its second try on. Every such reply is logged (debug),
    the record says of which `request` and `attempt` (from 1), and whether it was the `last`. Raises the last
    ReadingError after `tries`.
    """
    for attempt in range(1, tries + 1):
        reply = await engine(_seeded(request, attempt, rng))
        try:
            if (whole or request.grammar is not None) and reply.finish_reason == "length":
                raise ReadingError(f"cut off at {request.max_new_tokens} tokens", reply.text)
            return read(reply.text)
        except ReadingError as error:
            about = {"request": request, "attempt": attempt, "last": attempt == tries}
            log.debug("%s: try %d of %d cannot be read: %s", request.stage, attempt, tries, error, extra=about)
            if attempt == tries:
                raise ReadingError(f"{request.stage}: {error} (after {tries} tries)", error.raw) from error
    raise ValueError(f"tries must be at least 1, got {tries}")


def hinting(engine: Engine) -> Engine:
    """`engine`, which names the flag that helps where a grammar is refused."""

    async def asked(request: Request) -> Reply:
        try:
            return await engine(request)
        except Unsupported as error:
            if request.grammar is None:
                raise
            raise Unsupported(f"{error}; --no-grammar asks for the same form in words") from error

    return asked


@contextlib.contextmanager
def needing(what: str, feature: str) -> Iterator[None]:
    """Where an endpoint lacks `feature`, the error tells `what` needs it."""
    try:
        yield
    except Unsupported as error:
        raise Unsupported(f"{what} needs {feature}: {error}") from error


async def together(calls: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """Results in order of the calls, which run side by side.

    When some cannot be read, are refused or fail for good, the first in order is raised once all have ended: with
    `asyncio.gather`, which raises what fails first and leaves the others running, it would show in reasons and
    accounts who is quickest. Any other error, such as an endpoint that is gone, is raised at once, and the others are
    cancelled.
    """

    async def held(call: Coroutine[Any, Any, T]) -> T | ReadingError | RequestRefused | Quarantined:
        try:
            return await call
        except (ReadingError, RequestRefused, Quarantined) as error:
            return error

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(held(call)) for call in calls]
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from errors
    results: list[T] = []
    for task in tasks:
        result = task.result()
        if isinstance(result, (ReadingError, RequestRefused, Quarantined)):
            raise result
        results.append(result)
    return results


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
        stage = self._stages.get(request.stage)
        if stage is None:  # the first request of a stage says how it samples
            head = {"role": request.role, "sampling": sampling(request)}
            stage = self._stages[request.stage] = head | {"requests": 0, "tokens_in": 0, "tokens_out": 0}
        stage["requests"] += 1  # now, for it may fail, or others be quicker
        reply = await self._engine(request)
        stage["tokens_in"] += reply.tokens_in
        stage["tokens_out"] += reply.tokens_out
        return reply

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
