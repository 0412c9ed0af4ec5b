"""Journal: every reply is in a file before anybody sees it. One mechanism for resume, cache and replay.

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
    requests that went to the engine (identical calls at the same time go there once). A request whose caller is
    cancelled is cancelled too, and asked anew for others who wait for it; if its reply has come, that is kept.
    """

    def __init__(self, engine: Engine | None, path: Path | str, model: Models) -> None:
        self._engine, self._model = engine, model
        self._store = Store(Path(path), read_only=engine is None)
        self._flights: dict[str, asyncio.Future[Reply]] = {}
        self.hits = self.misses = self.asked = 0

    async def __aenter__(self) -> Self:
        """Raises JournalError for a file that is no journal, StorageError for a folder that cannot be used."""
        await self._store.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._store.close()

    async def __call__(self, request: Request) -> Reply:
        """Raises what the engine raises, StorageError when the disk is full, JournalError for a damaged file or,
        in a replay, for a request that the file does not hold."""
        key = request.key(model_of(self._model, request.role))
        while (flight := self._flights.get(key)) is not None:
            await asyncio.wait((flight,))
            if not flight.cancelled():  # else its caller was, and somebody else has to ask
                self.misses += 1
                return flight.result()
        found = self._store.find(key)
        if found is not None:
            self.hits += 1
            await asyncio.sleep(0)  # a run that finds everything here must not keep all others from their turn
            return _told(found)
        self.misses += 1
        flight = self._flights[key] = asyncio.get_running_loop().create_future()
        try:
            reply = await self._answer(request, key)
        except asyncio.CancelledError:
            flight.cancel()
            raise
        except BaseException as error:  # passed on as it is, to all who wait
            flight.set_exception(error)
            flight.exception()  # seen, even if nobody else waits
            raise
        else:
            flight.set_result(reply)
            return reply
        finally:
            del self._flights[key]

    def settle(self) -> None:
        """To be called before anything is written that rests on replies: they are on the disk once this returns.

        Raises StorageError when the disk refuses.
        """
        self._store.settle()

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


def _told(reply: Reply) -> Reply:
    """A kept reply, or the refusal that was kept in its place."""
    if reply.finish_reason == _OVERFLOW:
        raise ContextOverflow(reply.text)
    return reply
