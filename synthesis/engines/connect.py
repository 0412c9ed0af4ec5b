"""connect: from addresses to an engine that is ready to be asked.

Finds out which dialect each endpoint speaks, which key it may see and how much it takes at a time. From the inside
out: the dialect, `Admitted` (how many at a time), `Pool` (which endpoint), `Roles` (whose model), `Retrying` (faults).
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from typing import Any

import aiohttp

from synthesis.engine import CRITIC, GENERATOR, Engine, Info, models_of
from synthesis.engines.host import Dialect, Host, same_model
from synthesis.engines.http import base_url
from synthesis.engines.pool import Pool
from synthesis.engines.retry import Backoff, Retrying, retried
from synthesis.engines.roles import Roles
from synthesis.engines.traffic import Traffic
from synthesis.errors import Overloaded, Unavailable

_LOG = logging.getLogger(__name__)


@asynccontextmanager
async def connect(*urls: str, **given: Any) -> AsyncIterator[tuple[Engine, Info]]:
    """The engine over the endpoints at `urls`, which must serve one model, and what they say of themselves.

    `given` and errors: see `connect_roles`.
    """
    async with connect_roles({GENERATOR: urls, CRITIC: urls}, **given) as (engine, infos):
        yield engine, infos[GENERATOR]


@asynccontextmanager
async def connect_roles(
    urls: Mapping[str, Sequence[str]],
    *,
    model: str | None = None,
    dialect: Dialect | None = None,
    environ: Mapping[str, str] = os.environ,
    concurrency: int = 64,
    stream: bool = False,
    timeout: float = 600,
    backoff: Backoff | None = None,
    traffic: Traffic | None = None,
) -> AsyncIterator[tuple[Engine, dict[str, Info]]]:
    """The engine over the endpoints of each role, and for each role what they say; all closes with the context.

    `model`: which model of an endpoint that has several. `dialect` None: found out. `environ`: where keys come from
    (see `key`). `concurrency`: requests at a time and endpoint, lowered to what the endpoint allows. `timeout`:
    seconds without a byte until an endpoint counts as gone. `traffic`: gets to know every try. Endpoints that do not
    answer at first are asked a few times more; then, if another of their role answers, they are left out until they
    do. Raises UserError for a bad address, key or model, Unavailable when nobody of a role answers, Unsupported when
    what answers speaks neither dialect.
    """
    backoff = backoff or Backoff()
    named = {role: tuple(dict.fromkeys(map(base_url, each))) for role, each in urls.items()}
    everybody = {base_url(url): url for each in urls.values() for url in each}
    connector = aiohttp.TCPConnector(limit=(concurrency + 1) * len(everybody))
    async with AsyncExitStack() as stack:
        session = aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())
        await stack.enter_async_context(session)
        hosts = {
            key: Host(
                url,
                session,
                environ,
                model=model,
                dialect=dialect,
                concurrency=concurrency,
                stream=stream,
                timeout=timeout,
                backoff=backoff,
                traffic=traffic,
            )
            for key, url in everybody.items()
        }
        absent = await _meet(hosts, named, backoff)
        infos = {role: _one_model([hosts[url] for url in each]) for role, each in named.items()}
        pools: dict[tuple[str, ...], Pool] = {}
        for each in dict.fromkeys(named.values()):
            pool = Pool([hosts[url] for url in each], patience=backoff.patience)
            pools[each] = await stack.enter_async_context(aclosing(pool))
            for url in each:
                if url in absent:
                    pool.exclude(url, absent[url])
        engine = Roles({role: pools[each] for role, each in named.items()})
        yield Retrying(engine, backoff, models_of(infos)), infos


async def _meet(
    hosts: Mapping[str, Host], named: Mapping[str, Sequence[str]], backoff: Backoff
) -> dict[str, Overloaded | Unavailable]:
    """The endpoints that do not answer, with the reason; at least one of each role does."""

    async def met(host: Host) -> Overloaded | Unavailable | None:
        try:
            await retried(host.check, backoff)  # which, unlike a reply, is not waited for long
        except (Overloaded, Unavailable) as error:
            return error
        return None

    tasks = {url: asyncio.create_task(met(host)) for url, host in hosts.items()}
    try:
        ends = dict(zip(tasks, await asyncio.gather(*tasks.values()), strict=True))
    finally:
        for task in tasks.values():
            task.cancel()
    absent = {url: error for url, error in ends.items() if error is not None}
    for each in named.values():
        if all(url in absent for url in each):
            raise absent[each[0]]
    for url in absent:
        _LOG.warning("endpoint %s does not answer; it is left out until it does", url)
    return absent


def _one_model(hosts: Sequence[Host]) -> Info:
    """What the endpoints of a role serve. Raises UserError, naming both, when that is not one model."""
    met = [host for host in hosts if host.info is not None]
    first = met[0].info
    assert first is not None
    for host in met[1:]:
        assert host.info is not None
        same_model(host.url, host.info, met[0].url, first)
    for host in hosts:
        host.expected = first
    return first
