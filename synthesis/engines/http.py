"""Endpoint: JSON over HTTP to one server, with every way to fail turned into one of our errors.

Redirects are not followed: a key would travel with them. Bodies are read as JSON only when they say that they are.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from synthesis.engines.failures import event_failure, failure, shown
from synthesis.engines.key import Key
from synthesis.engines.sse import EventReader
from synthesis.errors import NoSuchHost, RequestRefused, Unavailable, Unreachable, UserError

_CONNECT_SECONDS = 10.0
_NO_WAY: Mapping[type[Exception], type[Unavailable]] = {  # the request never left
    aiohttp.ClientConnectorDNSError: NoSuchHost,
    aiohttp.ClientConnectorError: Unreachable,
    aiohttp.ConnectionTimeoutError: Unreachable,
}


@dataclass(frozen=True, slots=True)
class Answer:
    """A 200 and the JSON in it. `where` is for messages; `headers` are case-insensitive."""

    where: str
    headers: Mapping[str, str]
    body: Any


class Endpoint:
    """One server. `timeout`: seconds without a byte from it until it counts as gone."""

    def __init__(self, url: str, session: aiohttp.ClientSession, key: Key | None = None, timeout: float = 600) -> None:
        self.url = base_url(url)
        self.key = key
        self._session = session
        self._timeout = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS, sock_read=timeout)

    async def get(self, path: str) -> Answer:
        """GET `path`; raises EngineError's kinds, or UserError for a bad key."""
        async with self._open("GET", path, None, "json") as (where, response):
            return Answer(where, response.headers, self._json(where, await response.read()))

    async def post(self, path: str, body: Mapping[str, Any]) -> Answer:
        """POST `body` as JSON; raises as `get`."""
        async with self._open("POST", path, body, "json") as (where, response):
            return Answer(where, response.headers, self._json(where, await response.read()))

    async def healthy(self) -> None:
        """GET /health, where there is such a thing; raises Unavailable or Overloaded for a server that is not well."""
        with suppress(RequestRefused):
            async with self._open("GET", "/health", None, ""):
                return

    async def events(self, path: str, body: Mapping[str, Any]) -> AsyncGenerator[tuple[str, dict[str, Any]], None]:
        """POST and read server-sent events, each with `where`. An error event is raised, as its own kind."""
        async with self._open("POST", path, body, "event-stream") as (where, response):
            reader = EventReader()
            async for piece in response.content.iter_any():
                for data in reader.feed(piece):
                    if data == "[DONE]":
                        return
                    yield where, self._event(where, data)

    def strange(self, where: str, body: Any) -> Unavailable:
        """The error for a 200 whose body is not what the protocol says."""
        return Unavailable(f"{where}: 200 with an unexpected body: {shown(json.dumps(body), self.key)}")

    @contextmanager
    def reading(self, where: str, body: Any) -> Iterator[None]:
        """Around the taking apart of a body: whatever is missing or of another type there is the server's fault."""
        try:
            yield
        except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
            raise self.strange(where, body) from error

    @asynccontextmanager
    async def _open(
        self, method: str, path: str, body: Mapping[str, Any] | None, wanted: str
    ) -> AsyncIterator[tuple[str, aiohttp.ClientResponse]]:
        where = f"{method} {self.url}{path}"
        try:
            async with self._session.request(
                method,
                self.url + path,
                json=body,
                headers=self.key.headers() if self.key else None,
                allow_redirects=False,
                timeout=self._timeout,
            ) as response:
                if response.status != 200:
                    text = (await response.read()).decode(errors="replace")
                    raise failure(where, response.status, response.headers, text, self.key)
                if wanted not in response.content_type:
                    raise Unavailable(f"{where}: 200 with {response.content_type}, expected {wanted}: {_WRONG_SERVER}")
                yield where, response
                return
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            # Not chained: aiohttp's errors carry the request's headers, and with them the key.
            trouble = shown(f"{type(error).__name__}: {error}", self.key)
            kind = next((kind for cause, kind in _NO_WAY.items() if isinstance(error, cause)), Unavailable)
        raise kind(f"{where}: {trouble}. Is the server up and reachable from here?")

    def _json(self, where: str, body: bytes) -> Any:
        try:
            return json.loads(body)
        except (ValueError, RecursionError) as error:
            text = shown(body.decode(errors="replace"), self.key)
            raise Unavailable(f"{where}: 200 with broken JSON: {text}") from error

    def _event(self, where: str, data: str) -> dict[str, Any]:
        event = self._json(where, data.encode())
        if not isinstance(event, dict):
            raise self.strange(where, event)
        if event.get("error") is not None:
            raise event_failure(where, event, self.key)
        return event


_WRONG_SERVER = "another kind of server, or a proxy's page in its place"


def base_url(url: str) -> str:
    """The address that paths are appended to: scheme, host, port and path, without a final /v1 or /generate.

    Raises UserError for anything else, above all for user names, passwords and queries: those hold secrets.
    """
    parts = urlsplit(url)
    if parts.username or parts.password or parts.query or parts.fragment:
        raise UserError("endpoint: the address holds a user name, password or query; put the key into TGI_API_KEY")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UserError(f"endpoint {url!r}: expected http://HOST[:PORT][/PATH] or https://...")
    path = parts.path.rstrip("/").removesuffix("/generate").removesuffix("/v1").rstrip("/")
    return f"{parts.scheme}://{parts.netloc}{path}"
