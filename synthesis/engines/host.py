"""Host: one address, found out: which dialect answers there, what it serves, and how much it takes at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Literal

import aiohttp

from synthesis.engine import Info, Reply, Request
from synthesis.engines.admission import Admitted
from synthesis.engines.http import base_url
from synthesis.engines.key import key_for
from synthesis.engines.openai import OpenAI
from synthesis.engines.retry import Backoff
from synthesis.engines.tgi import Tgi
from synthesis.engines.traffic import Observed, Traffic
from synthesis.errors import EngineError, Overloaded, Unavailable, Unreachable, Unsupported, UserError

Dialect = Literal["tgi", "openai"]
Speaker = Tgi | OpenAI
_CHECK_SECONDS = 10.0


class Host:
    """A pool's member. `concurrency`: requests at a time, lowered to what the endpoint allows.

    `info` None: it has not answered yet. `expected`: what its role's other endpoints serve.
    """

    def __init__(
        self,
        url: str,
        session: aiohttp.ClientSession,
        environ: Mapping[str, str],
        *,
        model: str | None,
        dialect: Dialect | None,
        concurrency: int,
        stream: bool,
        timeout: float,
        backoff: Backoff,
        traffic: Traffic | None = None,
    ) -> None:
        self.url = base_url(url)
        key = key_for(self.url, environ)
        speakers: dict[Dialect, Speaker] = {
            "tgi": Tgi(url, session=session, key=key, timeout=timeout, stream=stream),
            "openai": OpenAI(url, session=session, key=key, model=model, timeout=timeout),
        }
        self._speakers = speakers if dialect is None else {dialect: speakers[dialect]}
        self._model, self._concurrency, self._backoff, self._traffic = model, concurrency, backoff, traffic
        self._speaker: Speaker | None = None
        self._admitted: Admitted | None = None
        self.info: Info | None = None
        self.expected: Info | None = None

    @property
    def load(self) -> float:
        """Requests that are here for each one that it takes at a time."""
        return self._admitted.load if self._admitted else 0.0

    def flush(self, error: Unavailable) -> None:
        """Sends those away who wait here for a place."""
        if self._admitted:
            self._admitted.flush(error)

    async def __call__(self, request: Request) -> Reply:
        """Raises as `Admitted` and the dialect do."""
        if self._admitted is None:
            raise Unreachable(f"{self.url}: has not answered yet")
        return await self._admitted(request)

    async def check(self) -> None:
        """Raises EngineError unless the endpoint is well and serves what it did; UserError for another model."""
        try:
            async with asyncio.timeout(_CHECK_SECONDS):
                if self._speaker is None:
                    await self.meet()
                    return
                await self._speaker.healthy()
                found = await self._speaker.info()
        except TimeoutError as error:
            raise Unavailable(f"{self.url}: no answer to a check in {_CHECK_SECONDS:.0f} s") from error
        self._compare(found)

    async def meet(self) -> None:
        """Finds out what is there. Raises Overloaded and Unavailable, worth another try, Unsupported, or UserError."""
        speaker, info = await self._answering()
        if self._model is not None and info.model != self._model:
            raise UserError(f"{self.url}: serves {info.model!r}, not {self._model!r}; name the right one, or none")
        self._compare(info)
        limit = min(self._concurrency, info.max_concurrent_requests or self._concurrency)
        tried = speaker if self._traffic is None else Observed(speaker, self._traffic)
        self._admitted = Admitted(tried, limit, backoff=self._backoff)
        self._speaker, self.info = speaker, info

    def _compare(self, found: Info) -> None:
        if self.expected is not None:
            same_model(self.url, found, "the run", self.expected)

    async def _answering(self) -> tuple[Speaker, Info]:
        """The first dialect that answers."""
        errors: list[EngineError] = []
        for speaker in self._speakers.values():
            try:
                return speaker, await speaker.info()
            except Overloaded:
                raise
            except EngineError as error:
                errors.append(error)
        told = "; ".join(dict.fromkeys(map(str, errors)))
        kind = Unavailable if any(isinstance(error, Unavailable) for error in errors) else Unsupported
        raise kind(
            f"endpoint {self.url}: no text generation there. {told}. Start the server, or correct the endpoint's "
            "address; with no endpoint at all, the embedded server is used"
        )


def same_model(url: str, found: Info, other: str, expected: Info) -> None:
    """Raises UserError, naming both, when two endpoints of one role serve different models."""
    if (found.model, found.revision) != (expected.model, expected.revision):
        raise UserError(
            f"endpoint {url} serves {found.name!r}, {other} has {expected.name!r}: the endpoints of one role must "
            "serve the same model; roles have endpoints of their own with --generator-endpoint and --critic-endpoint"
        )
