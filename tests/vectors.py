"""Hand-made attributes and engines that dawdle, for tests of everything that runs side by side."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from random import Random

import numpy as np

from synthesis.engine import Engine, Reply, Request
from synthesis.profiles import Attributes


class Dawdling:
    """An engine around another whose replies come after waits of their own, so in another order for each `seed`."""

    def __init__(self, engine: Engine, seed: int, longest: float = 0.004) -> None:
        self._engine, self._rng, self._longest = engine, Random(seed), longest

    async def __call__(self, request: Request) -> Reply:
        await asyncio.sleep(self._rng.uniform(0, self._longest))
        reply = await self._engine(request)
        await asyncio.sleep(self._rng.uniform(0, self._longest))
        return reply


def attributes(categories: Sequence[int], alike: Sequence[tuple[int, int]] = ()) -> Attributes:
    """One attribute for each category number, all at right angles but the pairs `alike`, whose cosine is 0.95."""
    vectors = np.eye(len(categories), dtype=np.float32)
    for first, second in alike:
        vectors[second] = 0.95 * vectors[first] + np.sqrt(1 - 0.95**2) * vectors[second]
    return Attributes([f"I am number {at}." for at in range(len(categories))], list(categories), vectors)


def waits(mean: float, seed: int = 0) -> Iterator[float]:
    """Seconds to wait, one after another, drawn evenly from nothing to twice `mean`."""
    rng = Random(seed)
    while True:
        yield rng.uniform(0, 2 * mean)
