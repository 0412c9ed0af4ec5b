"""Journal: every reply is on disk before anybody sees it. One mechanism for resume, cache and replay.

A reply is kept under the hash of its request and the model. A run that was killed walks the same path again and finds
here what it had; with no engine the file alone replays the run. Of errors only ContextOverflow is kept, because it is
an answer that recipes act on and the same one every time. How the file is written, and what it survives, stands in
`store`.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import TracebackType
from typing import Self

from synthesis.engine import Engine, Models, Reply, Request, model_of
from synthesis.engines.store import Store
from synthesis.errors import ContextOverflow, JournalError

_OVERFLOW = "context overflow"


class Journal:
    """An engine with a memory; used as an async context manager.

    `model`: what the replies depend on besides the request: name and revision of the model, or of each role's.
    `engine` None: replay only. `hits`: calls answered from the file; `misses`: calls that it had nothing for; `asked`:
    requests that went to the engine (identical calls at the same time go there once). A request whose callers were all
    cancelled is cancelled too, unless its reply has come: then that is kept.
    """

    def __init__(self, engine: Engine | None, path: Path | str, model: Models) -> None:
        self._engine, self._model = engine, model
        self._store = Store(Path(path), read_only=engine is None)
        self._flights: dict[str, _Flight] = {}
        self.hits = self.misses = self.asked = 0

    async def __aenter__(self) -> Self:
        """Raises JournalError for a file that is no journal, StorageError for a folder that cannot be used."""
        await self._store.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        flights = [flight.task for flight in self._flights.values()]
        for task in flights:
            task.cancel()
        await asyncio.gather(*flights, return_exceptions=True)
        await self._store.close()

    async def __call__(self, request: Request) -> Reply:
        """Raises what the engine raises, StorageError when the disk is full, JournalError for a damaged file or,
        in a replay, for a request that the file does not hold."""
        key = request.key(model_of(self._model, request.role))
        flight = self._flights.get(key)
        if flight is None:
            found = self._store.find(key)
            if found is not None:
                self.hits += 1
                await asyncio.sleep(0)  # a run that finds everything here must not keep all others from their turn
                return _told(found)
            self.misses += 1
            flight = self._flights[key] = _Flight()
            flight.task = asyncio.create_task(self._answer(request, key))
            flight.task.add_done_callback(lambda task: self._landed(key, task))
        else:
            self.misses += 1
        flight.waiting += 1
        try:
            return await asyncio.shield(flight.task)
        finally:
            flight.waiting -= 1
            if not flight.waiting and not flight.task.done():
                self._flights.pop(key, None)  # whoever comes now asks anew
                flight.task.cancel()

    async def _answer(self, request: Request, key: str) -> Reply:
        if self._engine is None:
            raise JournalError(
                f"journal {self._store.path}: no reply for stage {request.stage!r} under {key} (model {self._model}); "
                "recipe, seed, model and Parley must be those of the run that wrote it, or name an endpoint"
            )
        self.asked += 1
        try:
            reply = await self._engine(request)
        except ContextOverflow as error:
            reply = Reply(str(error), _OVERFLOW, 0, 0)
        return _told(await self._store.keep(key, reply))

    def _landed(self, key: str, task: asyncio.Task[Reply]) -> None:
        flight = self._flights.get(key)
        if flight is not None and flight.task is task:
            del self._flights[key]
        if not task.cancelled():
            task.exception()  # seen, even if every caller has gone


def _told(reply: Reply) -> Reply:
    """A kept reply, or the refusal that was kept in its place."""
    if reply.finish_reason == _OVERFLOW:
        raise ContextOverflow(reply.text)
    return reply


class _Flight:
    """A request under way, and how many callers wait for it."""

    __slots__ = ("task", "waiting")
    task: asyncio.Task[Reply]

    def __init__(self) -> None:
        self.waiting = 0
