"""Profiles and pairs: consistent sets of attributes, and which two of them should meet.

Steps B and C of Synthetic-Persona-Chat (arXiv 2312.10007, sections 3.1.2 and 3.2).
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Literal

from synthesis.consistency import Consistency
from synthesis.engine import Engine

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

DRAWS = 200


@dataclass(frozen=True, slots=True)
class Attributes:
    """All attributes: `texts`, the category number and the unit vector of each; vectors have shape (n, d)."""

    texts: Sequence[str]
    categories: Sequence[int]
    vectors: NDArray[np.float32]


Profile = tuple[int, ...]


async def assemble(
    engine: Engine, pool: Attributes, count: int, size: int, redundant: float, check: Consistency, seed: str
) -> list[Profile]:
    """At most `count` distinct profiles of `size` attribute indices each.

    Every profile starts from its own stretch of one shuffled deck, so all attributes are used about equally often;
    what is rejected is replaced by random draws, at most 200 a place. A member is rejected when its cosine similarity
    to another exceeds `redundant` or it contradicts the others.
    """
    deck = list(range(len(pool.texts)))
    Random(seed).shuffle(deck)

    async def one(number: int) -> Profile | None:
        rng = Random(f"{seed}:{number}")
        dealt = [deck[(number * size + place) % len(deck)] for place in range(size)]
        return await _fill(engine, pool, dealt, size, redundant, check, rng)

    found = await asyncio.gather(*[one(number) for number in range(count)])
    return list(dict.fromkeys(profile for profile in found if profile is not None))


async def _fill(
    engine: Engine,
    pool: Attributes,
    dealt: Sequence[int],
    size: int,
    redundant: float,
    check: Consistency,
    rng: Random,
) -> Profile | None:
    """One profile, sorted; None when a place stays empty after all draws."""
    members: list[int] = []
    queue = list(dealt)
    for _ in range(DRAWS * size):
        if len(members) == size:
            return tuple(sorted(members))
        candidate = queue.pop(0) if queue else rng.randrange(len(pool.texts))
        if candidate in members or _redundant(pool, candidate, members, redundant):
            continue
        if not await check.contradicts(engine, pool.texts[candidate], [pool.texts[member] for member in members]):
            members.append(candidate)
    return None


def _redundant(pool: Attributes, candidate: int, members: Sequence[int], limit: float) -> bool:
    return bool(members) and float((pool.vectors[list(members)] @ pool.vectors[candidate]).max()) > limit


def pair(
    profiles: Sequence[Profile],
    categories: Sequence[int],
    wanted: int,
    rng: Random,
    *,
    threshold: int,
    count: Literal["pairs", "categories"],
    most: int,
) -> list[tuple[int, int, int]]:
    """Up to `wanted` pairs of profile numbers with their similarity, in random order.

    Similarity is the number of cross-profile attribute pairs in the same category ("pairs", as published) or of
    categories that both have ("categories"). Taken are pairs above `threshold` that share no attribute, at most
    `most` a profile.
    """
    import numpy as np

    table = np.zeros((len(profiles), max(categories, default=0) + 1), dtype=np.int32)
    for row, profile in enumerate(profiles):
        for member in profile:
            table[row, categories[member]] += 1
    if count == "categories":
        table = np.minimum(table, 1)
    similar = [
        (first, second, int(row[second]))
        for first in range(len(profiles))
        for row in [table @ table[first]]
        for second in np.flatnonzero(row > threshold).tolist()
        if second > first and not set(profiles[first]) & set(profiles[second])
    ]
    rng.shuffle(similar)
    met: Counter[int] = Counter()
    taken: list[tuple[int, int, int]] = []
    for first, second, similarity in similar:
        if len(taken) == wanted:
            break
        if met[first] < most and met[second] < most:
            met.update((first, second))
            taken.append((first, second, similarity))
    return taken
