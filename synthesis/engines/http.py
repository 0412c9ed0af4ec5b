"""Endpoint: JSON over HTTP to one server, with every way to fail turned into one of our errors.

Redirects are not followed: a key would travel with them. Bodies are read as JSON only when they say that they are.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, contextmanager, suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from synthesis.engines.failures import event_failure, failure, shown
from synthesis.engines.key import Key
from synthesis.engines.sse import EventReader
from synthesis.errors import NoSuchHost, RequestRefused, Unavailable, Unreachable, UserError
from synthesis.wire import decoded, encoded

_CONNECT_SECONDS = 10.0
_TRANSPORT = (aiohttp.ClientError, TimeoutError, OSError)
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
        self._bare = key.headers() if key else {}
        self._headers = self._bare | {"Content-Type": "application/json"}
        self._timeout = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS, sock_read=timeout)

    async def get(self, path: str) -> Answer:
        """GET `path`; raises EngineError's kinds, or UserError for a bad key."""
        return await self._whole("GET", path, None, "json")

    async def post(self, path: str, body: Mapping[str, Any]) -> Answer:
        """POST `body` as JSON; raises as `get`."""
        return await self._whole("POST", path, body, "json")

    async def healthy(self) -> None:
        """GET /health, where there is such a thing; raises Unavailable or Overloaded for a server that is not well."""
        with suppress(RequestRefused):
            await self._whole("GET", "/health", None, "")

    async def events(self, path: str, body: Mapping[str, Any]) -> AsyncGenerator[tuple[str, dict[str, Any]], None]:
        """POST and read server-sent events, each with `where`. An error event is raised, as its own kind."""
        where = f"POST {self.url}{path}"
        try:
            async with self._request("POST", path, body) as response:
                self._check(where, response, "event-stream", b"" if response.status == 200 else await response.read())
                reader = EventReader()
                async for piece in response.content.iter_any():
                    for data in reader.feed(piece):
                        if data == "[DONE]":
                            return
                        yield where, self._event(where, data)
                return
        except _TRANSPORT as error:
            trouble = self._trouble(where, error)
        raise trouble

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

    async def _whole(self, method: str, path: str, body: Mapping[str, Any] | None, wanted: str) -> Answer:
        where = f"{method} {self.url}{path}"
        try:
            async with self._request(method, path, body) as response:
                data = await response.read()
        except _TRANSPORT as error:
            trouble = self._trouble(where, error)
        else:
            self._check(where, response, wanted, data)
            return Answer(where, response.headers, self._json(where, data) if wanted else None)
        raise trouble

    def _request(
        self, method: str, path: str, body: Mapping[str, Any] | None
    ) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        return self._session.request(
            method,
            self.url + path,
            data=None if body is None else encoded(body),
            headers=self._bare if body is None else self._headers,
            allow_redirects=False,
            timeout=self._timeout,
        )

    def _check(self, where: str, response: aiohttp.ClientResponse, wanted: str, data: bytes) -> None:
        """Raises the error that the answer is, if it is one."""
        if response.status != 200:
            raise failure(where, response.status, response.headers, data.decode(errors="replace"), self.key)
        if wanted not in response.content_type:
            raise Unavailable(f"{where}: 200 with {response.content_type}, expected {wanted}: {_WRONG_SERVER}")

    def _trouble(self, where: str, error: Exception) -> Unavailable:
        """To be raised unchained: aiohttp's errors carry the request's headers, and with them the key."""
        trouble = shown(f"{type(error).__name__}: {error}", self.key)
        kind = next((kind for cause, kind in _NO_WAY.items() if isinstance(error, cause)), Unavailable)
        return kind(f"{where}: {trouble}. Is the server up and reachable from here?")

    def _json(self, where: str, body: bytes) -> Any:
        try:
            return decoded(body)
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


_ADDRESS = "http://HOST[:PORT][/PATH] or https://..."
_WRONG_SERVER = "another kind of server, or a proxy's page in its place"


def base_url(url: str) -> str:
    """The address that paths are appended to: scheme, host, port and path, without a final /v1 or /generate.

    Raises UserError for anything else, above all for user names, passwords and queries: those hold secrets.
    """
    try:
        parts = urlsplit(url)
        named = parts.scheme in ("http", "https") and _is_name(parts.hostname or "") and parts.port != 0
    except ValueError as error:
        raise UserError(f"endpoint: not an address ({error}); expected {_ADDRESS}") from None
    if "@" in url or parts.query or parts.fragment:
        raise UserError("endpoint: the address holds a user name, password or query; put the key into TGI_API_KEY")
    if not named:
        raise UserError(f"endpoint {url!r}: expected {_ADDRESS}")
    path = parts.path.rstrip("/").removesuffix("/generate").removesuffix("/v1").rstrip("/")
    return f"{parts.scheme}://{parts.netloc}{path}"


def _is_name(host: str) -> bool:
    """Whether it could be looked up. Raises ValueError for empty or too long parts between dots."""
    return bool(host.encode("idna")) and not any(mark.isspace() for mark in host)
