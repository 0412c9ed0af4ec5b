"""Roles: a generator and a critic that are different models, behind one engine."""

from __future__ import annotations

from collections.abc import Mapping

from synthesis.engine import Engine, Reply, Request


class Roles:
    """Sends each request to the engine of its role."""

    def __init__(self, engines: Mapping[str, Engine]) -> None:
        self._engines = dict(engines)

    async def __call__(self, request: Request) -> Reply:
        """Raises what the role's engine raises, and ValueError for a role that nobody plays."""
        if request.role not in self._engines:
            raise ValueError(
                f"stage {request.stage!r}: no role {request.role!r}; there are {', '.join(self._engines)}"
            )
        return await self._engines[request.role](request)
