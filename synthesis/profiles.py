"""Profiles and pairs: consistent sets of attributes, and which two of them should meet.

Steps B and C of Synthetic-Persona-Chat (arXiv 2312.10007, sections 3.1.2 and 3.2).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Literal

from synthesis.asking import together
from synthesis.consistency import Consistency
from synthesis.engine import Engine
from synthesis.errors import Failure

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

    Every profile starts from its own stretch of a shuffled deck, so all attributes are used about equally often;
    what is rejected is replaced by random draws, at most 200 a place. A member is rejected when its cosine similarity
    to another exceeds `redundant` or it contradicts the others.
    """
    everyone, shuffled = range(len(pool.texts)), Random(seed)
    deck: list[int] = []
    while len(deck) < count * size:  # a new order for every time through, or the same profiles would come again
        deck += shuffled.sample(everyone, len(everyone))
    watched = _Watched(check)

    async def one(number: int) -> Profile | None:
        rng = Random(f"{seed}:{number}")
        dealt = deck[number * size : (number + 1) * size]
        return await _fill(engine, pool, dealt, size, redundant, watched, rng)

    found = await together(one(number) for number in range(count))
    return list(dict.fromkeys(profile for profile in found if profile is not None))


async def _fill(
    engine: Engine,
    pool: Attributes,
    dealt: Sequence[int],
    size: int,
    redundant: float,
    check: _Watched,
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


class _Watched:
    """A consistency check that gives up when it rejects nearly everything: it tells nothing and costs a fortune."""

    def __init__(self, check: Consistency) -> None:
        self._check, self._asked, self._rejected = check, 0, 0

    async def contradicts(self, engine: Engine, sentence: str, members: Sequence[str]) -> bool:
        """As the check says. Raises Failure once it has rejected 95 % of the first 1,000 or more."""
        rejects = await self._check.contradicts(engine, sentence, members)
        self._asked += bool(members)
        self._rejected += rejects
        if self._asked >= 1000 and self._rejected > 0.95 * self._asked:
            raise Failure(
                f"consistency {self._check.mode!r} rejected {self._rejected} of {self._asked} attributes as "
                "contradicting their profile; this model cannot judge that: use another, or --consistency nli --nli ID"
            )
        return rejects


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
    """Up to `wanted` pairs of profile numbers, the smaller first, with their similarity, in random order.

    Similarity is the number of cross-profile attribute pairs in the same category ("pairs", as published) or of
    categories that both have ("categories"). Taken are pairs above `threshold` that share no attribute, at most
    `most` a profile. Profiles choose in turn, one partner each time round, from an index of categories: the pairs
    there are would not fit in memory.
    """
    kinds = [[categories[member] for member in profile] for profile in profiles]
    if count == "categories":
        kinds = [sorted(set(kind)) for kind in kinds]
    homes: defaultdict[int, list[int]] = defaultdict(list)
    for number, kind in enumerate(kinds):
        for category in kind:
            homes[category].append(number)
    met: Counter[int] = Counter()
    taken: dict[tuple[int, int], int] = {}
    choosers = list(range(len(profiles)))
    rng.shuffle(choosers)
    while choosers and len(taken) < wanted:
        able = []
        for chooser in choosers:
            if len(taken) == wanted or met[chooser] >= most:
                continue
            alike = Counter(number for category in kinds[chooser] for number in homes[category])
            found = [
                (min(chooser, other), max(chooser, other), similarity)
                for other, similarity in sorted(alike.items())
                if similarity > threshold and other != chooser and met[other] < most
                if (min(chooser, other), max(chooser, other)) not in taken
                if not set(profiles[chooser]) & set(profiles[other])
            ]
            if found:
                first, second, similarity = rng.choice(found)
                taken[first, second] = similarity
                met.update((first, second))
                able.append(chooser)
        choosers = able
    return [(first, second, similarity) for (first, second), similarity in taken.items()]
