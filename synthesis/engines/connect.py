"""connect: from addresses to an engine that is ready to be asked.

Finds out which dialect each endpoint speaks, which key it may see and how much it takes at a time. From the inside
out: the dialect, `Admitted` (how many at a time), `Pool` (which endpoint), `Roles` (whose endpoints), `Retrying`
(faults), `Canary` (whose fault).
"""

from __future__ import annotations

import os
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from functools import partial
from typing import Any

import aiohttp

from synthesis.engine import CRITIC, GENERATOR, Engine, Info, models_of
from synthesis.engines.arrival import Named, arrived
from synthesis.engines.canary import Canary
from synthesis.engines.host import Dialect, Host, same_model
from synthesis.engines.http import base_url
from synthesis.engines.pool import Pool
from synthesis.engines.retry import Backoff, Retrying
from synthesis.engines.roles import Roles
from synthesis.engines.traffic import Traffic

_KEEPALIVE = {"TCP_KEEPIDLE": 60, "TCP_KEEPINTVL": 15, "TCP_KEEPCNT": 4, "TCP_USER_TIMEOUT": 120_000}
"""Seconds, seconds, probes, milliseconds: what is on its way to a machine that is gone fails in two minutes."""


@asynccontextmanager
async def connect(*urls: str, **given: Any) -> AsyncIterator[tuple[Engine, Info]]:
    """The engine over the endpoints at `urls`, which must serve one model, and what they say of themselves.

    `given` and errors: see `connect_roles`.
    """
    async with connect_roles({GENERATOR: urls, CRITIC: urls}, **given) as (engine, infos):
        yield engine, infos[GENERATOR]


@asynccontextmanager
async def connect_roles(
    urls: Named,
    *,
    model: str | Mapping[str, str | None] | None = None,
    dialect: Dialect | None = None,
    environ: Mapping[str, str] = os.environ,
    concurrency: int = 64,
    stream: bool = False,
    timeout: float = 600,
    backoff: Backoff | None = None,
    traffic: Traffic | None = None,
) -> AsyncIterator[tuple[Engine, dict[str, Info]]]:
    """The engine over the endpoints of each role, and for each role what they say; all closes with the context.

    `model`: which model of an endpoint that has several, for all roles or by role. `dialect` None: found out.
    `environ`: where keys come from (see `key`). `concurrency`: requests at a time and endpoint, lowered to what the
    endpoint allows. `timeout`: seconds without a byte until a connection counts as broken. `traffic`: gets to know
    every try. Waits until each role has an endpoint that answers (see `arrived`); others are left out until they do.
    Raises UserError for a bad address, key or model, Unavailable when nobody of a role came in time, Unsupported when
    what answers speaks neither dialect.
    """
    backoff = backoff or Backoff()
    named = {role: tuple(dict.fromkeys(map(base_url, each))) for role, each in urls.items()}
    everybody = {base_url(url): url for each in urls.values() for url in each}
    connector = aiohttp.TCPConnector(limit=(concurrency + 2) * len(everybody), socket_factory=_socket)
    async with AsyncExitStack() as stack:
        session = aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())
        await stack.enter_async_context(session)
        hosts = {
            key: Host(
                url,
                session,
                environ,
                models={role: _model(model, role) for role, each in named.items() if key in each},
                dialect=dialect,
                concurrency=concurrency,
                stream=stream,
                timeout=timeout,
                backoff=backoff,
                traffic=traffic,
            )
            for key, url in everybody.items()
        }
        absent = await arrived(hosts, named, backoff)
        infos = {role: _one_model(role, [hosts[url] for url in each]) for role, each in named.items()}
        pools: dict[tuple[str, ...], Pool] = {}
        for each in dict.fromkeys(named.values()):
            pool = Pool([hosts[url] for url in each], backoff)
            pools[each] = await stack.enter_async_context(aclosing(pool))
            for url in each:
                if url in absent:
                    pool.exclude(url, absent[url])
        engine = Roles({role: pools[each] for role, each in named.items()})
        yield Canary(Retrying(engine, backoff, models_of(infos)), engine, backoff), infos


def _model(given: str | Mapping[str, str | None] | None, role: str) -> str | None:
    return given if given is None or isinstance(given, str) else given.get(role)


def _socket(address: Any) -> socket.socket:
    """A socket that notices when the other machine is gone, as far as the system has settings for that."""
    family, kind, protocol = address[:3]
    made = socket.socket(family, kind, protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name in filter(partial(hasattr, socket), _KEEPALIVE):
        made.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), _KEEPALIVE[name])
    return made


def _one_model(role: str, hosts: Sequence[Host]) -> Info:
    """What the endpoints of a role serve. Raises UserError, naming both, when that is not one model."""
    met = [host for host in hosts if host.infos]
    first = met[0].infos[role]
    for host in met[1:]:
        same_model(host.url, host.infos[role], met[0].url, first)
    for host in hosts:
        host.expected[role] = first
    return first
