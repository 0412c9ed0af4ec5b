"""Host: one address, found out: which dialect answers there, what it serves, and how much it takes at a time.

Several models at one address are one host: each role is answered by its own, and all share the server's places.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Literal

import aiohttp

from synthesis.engine import Engine, Info, Reply, Request
from synthesis.engines.admission import Admitted
from synthesis.engines.http import base_url
from synthesis.engines.key import key_for
from synthesis.engines.openai import OpenAI
from synthesis.engines.retry import Backoff
from synthesis.engines.roles import Roles
from synthesis.engines.tgi import Tgi
from synthesis.engines.traffic import Observed, Traffic
from synthesis.errors import EngineError, Overloaded, Unavailable, Unreachable, Unsupported, UserError

Dialect = Literal["tgi", "openai"]
Speaker = Tgi | OpenAI


class Host:
    """A pool's member. `models`: for each role that is played here the model that was named for it, or None.

    `concurrency`: requests at a time, lowered to what the endpoint allows; the server is one, so its models share it.
    `infos`: what each role has here; empty as long as it has not answered. `expected`: what the role has elsewhere.
    """

    def __init__(
        self,
        url: str,
        session: aiohttp.ClientSession,
        environ: Mapping[str, str],
        *,
        models: Mapping[str, str | None],
        dialect: Dialect | None,
        concurrency: int,
        stream: bool,
        timeout: float,
        backoff: Backoff,
        traffic: Traffic | None = None,
    ) -> None:
        self.url = base_url(url)
        key = key_for(self.url, environ)
        names = tuple(dict.fromkeys(models.values()))
        tgi = Tgi(url, session=session, key=key, timeout=timeout, stream=stream)
        speakers: dict[Dialect, dict[str | None, Speaker]] = {
            "tgi": dict.fromkeys(names, tgi),
            "openai": {name: OpenAI(url, session=session, key=key, model=name, timeout=timeout) for name in names},
        }
        self._speakers = speakers if dialect is None else {dialect: speakers[dialect]}
        self._models, self._concurrency, self._backoff, self._traffic = models, concurrency, backoff, traffic
        self._engine: Engine | None = None
        self._admitted: Admitted | None = None
        self.infos: dict[str, Info] = {}
        self.expected: dict[str, Info] = {}

    @property
    def load(self) -> float:
        """Requests that are here for each one that it takes at a time."""
        return self._admitted.load if self._admitted else 0.0

    @property
    def held_until(self) -> float:
        """When the time is over (monotonic) for which it asked to be left alone."""
        return self._admitted.held_until if self._admitted else 0.0

    def restart(self, error: EngineError) -> None:
        """Sends those away who wait here for a place, and lets the next ones in slowly."""
        if self._admitted:
            self._admitted.restart(error)

    async def __call__(self, request: Request) -> Reply:
        """Raises as `Admitted` and the dialect do."""
        if self._admitted is None:
            raise Unreachable(f"{self.url}: has not answered yet")
        return await self._admitted(request)

    async def try_out(self, request: Request) -> Reply:
        """The reply to a request that does not wait for a place. Raises as the dialect does."""
        if self._engine is None:
            raise Unreachable(f"{self.url}: has not answered yet")
        return await self._engine(request)

    async def check(self) -> None:
        """Raises EngineError unless the endpoint is well and serves what it did; UserError for another model."""
        try:
            async with asyncio.timeout(self._backoff.check):
                if self._admitted is None:
                    await self._meet()
                    return
                (speakers,) = self._speakers.values()
                await next(iter(speakers.values())).healthy()
                self._compare(await self._told(speakers))
        except TimeoutError as error:
            raise Unavailable(f"{self.url}: no answer to a check in {self._backoff.check:g} s") from error

    async def _meet(self) -> None:
        """Finds out what is there. Raises Overloaded and Unavailable, worth another try, Unsupported, or UserError."""
        dialect, infos = await self._answering()
        if self._admitted is not None:  # another pool was quicker
            return
        for role, info in infos.items():
            if self._models[role] not in (None, info.model):
                raise UserError(
                    f"{self.url}: serves {info.model!r}, not {self._models[role]!r}; name the right one, or none"
                )
        self._compare(infos)
        speakers = self._speakers[dialect]
        limits = [info.max_concurrent_requests for info in infos.values() if info.max_concurrent_requests]
        voices = {role: speakers[name] for role, name in self._models.items()}
        engine: Engine = next(iter(voices.values())) if len(set(voices.values())) == 1 else Roles(voices)
        self._engine = engine if self._traffic is None else Observed(engine, self._traffic)
        self._admitted = Admitted(self._engine, min([self._concurrency, *limits]), backoff=self._backoff)
        self._speakers, self.infos = {dialect: speakers}, infos

    def _compare(self, found: Mapping[str, Info]) -> None:
        for role, info in found.items():
            if role in self.expected:
                same_model(self.url, info, "the run", self.expected[role])

    async def _told(self, speakers: Mapping[str | None, Speaker]) -> dict[str, Info]:
        """What the endpoint says of each role's model."""
        found = {speaker: await speaker.info() for speaker in dict.fromkeys(speakers.values())}
        return {role: found[speakers[name]] for role, name in self._models.items()}

    async def _answering(self) -> tuple[Dialect, dict[str, Info]]:
        """The first dialect that answers."""
        errors: list[EngineError] = []
        for dialect, speakers in self._speakers.items():
            try:
                return dialect, await self._told(speakers)
            except (Overloaded, Unreachable):  # so it is for every dialect
                raise
            except EngineError as error:
                errors.append(error)
        told = "; ".join(dict.fromkeys(map(str, errors)))
        if any(isinstance(error, Unavailable) for error in errors):
            raise Unavailable(told)
        raise Unsupported(
            f"endpoint {self.url}: no text generation there. {told}. Correct the endpoint's address; with no endpoint "
            "at all, the embedded server is used"
        )


def same_model(url: str, found: Info, other: str, expected: Info) -> None:
    """Raises UserError, naming both, when two endpoints of one role serve different models."""
    if (found.model, found.revision) != (expected.model, expected.revision):
        raise UserError(
            f"endpoint {url} serves {found.name!r}, {other} has {expected.name!r}: the endpoints of one role must "
            "serve the same model; roles have endpoints of their own with --generator-endpoint and --critic-endpoint, "
            "and models with --generator-model and --critic-model"
        )
