"""connect: from an address to an engine that is ready to be asked.

Finds out which dialect the endpoint speaks, which key it may see and how much it takes at a time, and wraps the
dialect so that faults are retried and no permit is held while waiting for the next try.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Literal

import aiohttp

from synthesis.engine import Engine, Info, Reply, Request
from synthesis.engines.http import base_url
from synthesis.engines.key import key_for
from synthesis.engines.openai import OpenAI
from synthesis.engines.retry import Backoff, Retrying, retried
from synthesis.engines.tgi import Tgi
from synthesis.errors import EngineError, Overloaded, Unavailable, Unsupported, UserError

Dialect = Literal["tgi", "openai"]
Speaker = Tgi | OpenAI


class Bounded:
    """At most `limit` requests at a time go through to the engine; the others wait their turn."""

    def __init__(self, engine: Engine, limit: int) -> None:
        self._engine = engine
        self._permits = asyncio.Semaphore(limit)

    async def __call__(self, request: Request) -> Reply:
        async with self._permits:
            return await self._engine(request)


@asynccontextmanager
async def connect(
    url: str,
    *,
    model: str | None = None,
    dialect: Dialect | None = None,
    environ: Mapping[str, str] = os.environ,
    concurrency: int = 64,
    stream: bool = False,
    timeout: float = 600,
    backoff: Backoff | None = None,
) -> AsyncIterator[tuple[Engine, Info]]:
    """The engine at `url` and what it says of itself; the session closes with the context.

    `dialect` None: found out. `environ`: where keys come from (see `key`). `concurrency`: requests at a time, lowered
    to what the endpoint allows. Raises UserError for a bad address, key or model, Unavailable when nothing answers,
    Unsupported when what answers speaks neither dialect.
    """
    backoff = backoff or Backoff()
    key = key_for(base_url(url), environ)
    connector = aiohttp.TCPConnector(limit=concurrency + 1)
    async with aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar()) as session:
        speakers: dict[Dialect, Speaker] = {
            "tgi": Tgi(url, session=session, key=key, timeout=timeout, stream=stream),
            "openai": OpenAI(url, session=session, key=key, model=model, timeout=timeout),
        }
        chosen = speakers if dialect is None else {dialect: speakers[dialect]}
        engine, info = await retried(lambda: _answering(url, chosen), backoff)
        if model is not None and info.model != model:
            raise UserError(f"{url}: serves {info.model!r}, not {model!r}; name the right one, or none")
        limit = min(concurrency, info.max_concurrent_requests or concurrency)
        yield Retrying(Bounded(engine, limit), backoff), info


async def _answering(url: str, speakers: Mapping[Dialect, Speaker]) -> tuple[Speaker, Info]:
    """The first dialect that answers. Raises Overloaded and Unavailable, worth another try, or Unsupported."""
    errors: list[EngineError] = []
    for speaker in speakers.values():
        try:
            return speaker, await speaker.info()
        except Overloaded:
            raise
        except EngineError as error:
            errors.append(error)
    told = "; ".join(dict.fromkeys(map(str, errors)))
    kind = Unavailable if any(isinstance(error, Unavailable) for error in errors) else Unsupported
    raise kind(
        f"endpoint {base_url(url)}: no text generation there. {told}. Start the server, or correct the endpoint's "
        "address; with no endpoint at all, the embedded server is used"
    )
