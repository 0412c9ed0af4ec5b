"""A Hugging Face Hub on loopback, for tests: real clients create, upload, commit, tag, download and load against it.

    with Hub(tokens={"hf_me": Account("me", orgs=("org",))}) as hub:
        child = subprocess.run([...], env=hub.environment(tmp_path, "hf_me"))
        hub.repo("datasets", "org/name").files["README.md"].content

Large files travel by LFS's basic transfer, so clients need HF_HUB_DISABLE_XET=1, which `environment` sets. Faults are
injected by `fail`, races by `before_commit`, damage by `store.swaps`; every request is in `log`.
"""

from __future__ import annotations

import asyncio
import os
import re
import threading
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from aiohttp import web

from tests.hub_routes import Routes
from tests.hub_store import Account, Refusal, Repo, Store

__all__ = ["Account", "Hub"]

_MAX_BODY = 1 << 30  # bytes


@dataclass(frozen=True)
class Seen:
    """One request and how it was answered; `status` 0: the connection was cut. `user`: None when anonymous."""

    method: str
    path: str
    status: int
    user: str | None


@dataclass
class Fault:
    """Answer `status` to the next `times` requests that fit; 0 cuts the connection. `after`: do the work first."""

    method: str
    pattern: re.Pattern[str]
    status: int
    times: int
    headers: Mapping[str, str]
    after: bool


@dataclass
class Hub:
    """Use as a context manager. `tokens`: token, account. `page`: entries in one page of a listing."""

    tokens: dict[str, Account] = field(default_factory=dict)
    page: int = 1000
    store: Store = field(default_factory=Store)
    log: list[Seen] = field(default_factory=list)
    url: str = ""

    def __post_init__(self) -> None:
        self._routes = Routes(self.store, self.tokens, self.page)
        self._faults: list[Fault] = []

    def __enter__(self) -> Hub:
        started = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve(started)), name="loopback-hub")
        self._thread.start()
        started.wait()
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    async def _serve(self, started: threading.Event) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        app = web.Application(client_max_size=_MAX_BODY, middlewares=[self._answer])
        app.add_routes(self._routes.table())
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        started.set()
        await self._stop.wait()
        await runner.cleanup()

    @property
    def before_commit(self) -> list[Callable[[Repo], object]]:
        """Called one a commit request, in order, just before the parent is compared: the place for a race."""
        return self._routes.before_commit

    def repo(self, kind: str, name: str) -> Repo:
        return self.store.repo(kind, name)

    def fail(
        self,
        method: str,
        pattern: str,
        status: int,
        *,
        times: int = 1,
        headers: Mapping[str, str] | None = None,
        after: bool = False,
    ) -> None:
        """Spoil the next `times` requests of `method` whose path holds `pattern` (a regular expression)."""
        self._faults.append(Fault(method, re.compile(pattern), status, times, headers or {}, after))

    @property
    def pending_faults(self) -> int:
        """Faults not yet met; a test that wants its faults met asserts 0."""
        return sum(fault.times for fault in self._faults)

    def seen(self, method: str, pattern: str) -> list[Seen]:
        return [one for one in self.log if one.method == method and re.search(pattern, one.path)]

    def environment(self, home: Path, token: str | None = None, **more: str) -> dict[str, str]:
        """Environment of a child process that has this Hub for the Hub, and `home` for every cache and login."""
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("HF_", "HUGGING", "XDG_")) and name != "PYTEST_CURRENT_TEST"
        }
        kept |= {
            "HF_ENDPOINT": self.url,
            "HF_HOME": str(home / "hf"),
            "HOME": str(home),
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "OMP_NUM_THREADS": "1",
            "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
            "NO_PROXY": "127.0.0.1",
        }
        return kept | ({"HF_TOKEN": token} if token else {}) | more

    @web.middleware
    async def _answer(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        fault = self._due(request)
        try:
            answer = await handler(request) if fault is None or fault.after else None
        except Refusal as refusal:
            answer = _refused(refusal)
        except web.HTTPException as error:  # no such route
            answer = web.json_response({"error": error.reason}, status=error.status)
        if fault is not None:
            if fault.status == 0 and request.transport is not None:
                request.transport.abort()
            answer = web.Response(status=fault.status or 500, text="injected", headers=fault.headers)
        assert answer is not None
        answer.headers["X-Request-Id"] = request.headers.get("X-Amzn-Trace-Id", "none")
        account = self.tokens.get(request.headers.get("Authorization", "").removeprefix("Bearer "))
        status = 0 if fault is not None and fault.status == 0 else answer.status
        self.log.append(Seen(request.method, request.path, status, account.name if account else None))
        return answer

    def _due(self, request: web.Request) -> Fault | None:
        for fault in self._faults:
            if fault.times and fault.method == request.method and fault.pattern.search(request.path):
                fault.times -= 1
                return fault
        return None


def _refused(refusal: Refusal) -> web.Response:
    headers = {"X-Error-Message": refusal.text, **refusal.headers}
    if refusal.code:
        headers["X-Error-Code"] = refusal.code
    return web.json_response({"error": refusal.text, **refusal.fields}, status=refusal.status, headers=headers)
