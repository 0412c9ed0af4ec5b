"""Knowing: an engine that is told its answers beforehand, so that a recipe itself writes the prompts that are learned.

The recipe runs as it always does, with its readers and filters; what it asked and what it was told are the examples.
A dialogue that its filters would drop teaches nothing.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, TypeVar

from synthesis.engine import Reply, Request
from synthesis.errors import ContextOverflow, ReadingError
from synthesis.recipe import Dropped
from training.embedded.row import LONGEST, Row

T = TypeVar("T")

Answers = Mapping[str, Callable[[Request], str]]
"""By stage: what is said to a request."""


class Knowing:
    """An engine for one dialogue. `calls`: each request with what was answered, in order."""

    def __init__(self, answers: Answers) -> None:
        self._answers = answers
        self.calls: list[tuple[Request, str]] = []

    async def __call__(self, request: Request) -> Reply:
        given = request.prompt or "".join(text for _, text in request.messages)
        if len(given) > LONGEST:
            raise ContextOverflow(f"{request.stage}: {len(given)} characters, more than {LONGEST}")
        text = self._answers[request.stage](request)
        self.calls.append((request, text))
        return Reply(text, "eos_token", 1, 1)

    def rows(self, recipe: str, source: str, key: str) -> list[Row]:
        """An example of every call; its task is called after the recipe and the stage."""
        return [
            Row(
                f"{recipe}.{request.stage}".replace(" ", "_"),
                source,
                key,
                request.messages or request.prompt or "",
                text,
            )
            for request, text in self.calls
        ]


class Runs:
    """Runs recipes' coroutines one after another in a loop of its own. `dropped`: why some came to nothing."""

    def __init__(self) -> None:
        self._runner = asyncio.Runner()
        self.dropped: Counter[str] = Counter()

    def __enter__(self) -> Runs:
        return self

    def __exit__(self, *ending: object) -> None:
        self._runner.close()

    def done(self, work: Coroutine[Any, Any, T]) -> T | None:
        """What comes of it; None where the recipe itself would have dropped it."""
        try:
            return self._runner.run(work)
        except (Dropped, ReadingError, ContextOverflow) as error:
            self.dropped[_kind(error)] += 1
            return None


def _kind(error: Dropped | ReadingError | ContextOverflow) -> str:
    """The stage and the first words of the reason, which do not depend on the text."""
    if isinstance(error, Dropped):
        return f"{error.stage}: {error.reason.partition(':')[0]}"
    return str(error).partition(":")[0]
