"""The tree of a run: how many subtopics and personas so many dialogues need, and which two people meet about what.

Section 3 of arXiv 2409.19020, where every two of six personas talk about each of six subtopics of each topic. Fewer
dialogues than that are shared out evenly over topics, then over subtopics, and no more is derived than they need: 64
dialogues of 16 topics take 4 subtopics a topic and 2 personas a subtopic.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import comb
from random import Random
from typing import Literal, NamedTuple

from synthesis.engine import Engine
from synthesis.known import Known, Taking, Worded
from synthesis.topics import PERSONAS, SUBTOPICS, Branch, Lists, Outline, derived


class Meeting(NamedTuple):
    """What one dialogue starts from; `number` counts dialogues that have the rest in common."""

    branch: Branch
    personas: tuple[str, ...]
    number: int


@dataclass(frozen=True, slots=True)
class Tree:
    """`subtopics` a topic and `personas` a subtopic, at most; 0 for none of that level.

    `repeats`: dialogues of a branch without personas. `dedup` "rouge" compares an entry with its own list, as
    published, "vectors" with all lists of its level; `same`: ROUGE-L F or cosine from which on it is known.
    """

    lists: Lists
    subtopics: int
    personas: int
    repeats: int
    dedup: Literal["rouge", "vectors"]
    same: float
    encoder: str

    async def pairs(self, engine: Engine, given: Sequence[str] | Outline, n: int, rng: Random) -> list[Meeting]:
        """At most `n` meetings of personas in random order, or of nobody in particular. Asks for what is not given."""
        people: dict[Branch, list[str]] | None = None
        if isinstance(given, Mapping):
            people = self._outlined(given)
        branches = list(people) if people is not None else await self._branches(engine, list(given), n, rng)
        rooms = {at: self._room(len(people[at]) if people is not None else self.personas) for at in branches}
        quotas = {at: quota for at, quota in _quotas(rooms, n, rng).items() if quota}
        if not self.personas:
            return [Meeting(at, (), number) for at, quota in quotas.items() for number in range(quota)]
        if people is None:
            wanted = {at: personas_for(quota) for at, quota in quotas.items()}
            people = await derived(engine, "personas", PERSONAS, wanted, self.personas, self._known(), self.lists, rng)
        return [meeting for at, quota in quotas.items() for meeting in _met(at, people[at], quota, rng)]

    def _outlined(self, given: Outline) -> dict[Branch, list[str]]:
        """Personas by branch."""
        found: dict[Branch, list[str]] = {}
        for topic, subtopics in given.items():
            for subtopic, people in subtopics.items():
                found.setdefault((topic, subtopic) if self.subtopics else (topic,), []).extend(people)
        return {branch: list(dict.fromkeys(people)) for branch, people in found.items()}

    async def _branches(self, engine: Engine, topics: Sequence[str], n: int, rng: Random) -> list[Branch]:
        """Topics with their subtopics, as many as so many dialogues need."""
        room = max(1, self.subtopics) * self._room(self.personas)
        quotas = _quotas({(topic,): room for topic in topics}, n, rng)
        wanted = {at: min(self.subtopics, quota) for at, quota in quotas.items() if quota}
        if not self.subtopics:
            return list(wanted)
        found = await derived(engine, "subtopics", SUBTOPICS, wanted, self.subtopics, self._known(), self.lists, rng)
        return [(*at, subtopic) for at, subtopics in found.items() for subtopic in subtopics]

    def _room(self, people: int) -> int:
        """How many dialogues a branch has room for."""
        return comb(people, 2) if self.personas else self.repeats

    def _known(self) -> Callable[[Branch], Taking]:
        if self.dedup == "rouge":
            return functools.cache(lambda branch: Worded(self.same))
        everything = Known([], self.encoder, self.same)
        return lambda branch: everything


def _met(branch: Branch, people: Sequence[str], quota: int, rng: Random) -> list[Meeting]:
    """So many of all pairs of `people`, who is first at random."""
    pairs = list(itertools.combinations(people, 2))
    return [Meeting(branch, tuple(rng.sample(pair, 2)), 0) for pair in rng.sample(pairs, min(quota, len(pairs)))]


def _quotas(rooms: Mapping[Branch, int], n: int, rng: Random) -> dict[Branch, int]:
    """`n` dialogues shared out over topics, then within each over its branches."""
    by_topic: dict[str, list[Branch]] = {}
    for branch in rooms:
        by_topic.setdefault(branch[0], []).append(branch)
    totals = shared(n, [sum(rooms[at] for at in branches) for branches in by_topic.values()], rng)
    return {
        at: share
        for branches, total in zip(by_topic.values(), totals, strict=True)
        for at, share in zip(branches, shared(total, [rooms[at] for at in branches], rng), strict=True)
    }


def shared(n: int, rooms: Sequence[int], rng: Random) -> list[int]:
    """`n` shared out as evenly as `rooms` allows; who gets one more where it does not come out even is drawn."""
    shares = [0] * len(rooms)
    left = min(n, sum(rooms))
    while left:
        open_ = [at for at, room in enumerate(rooms) if shares[at] < room]
        each = max(1, min(left // len(open_), min(rooms[at] - shares[at] for at in open_)))
        for at in rng.sample(open_, min(left, len(open_))):
            shares[at] += each
            left -= each
    return shares


def personas_for(pairs: int) -> int:
    """The fewest personas that make so many pairs."""
    count = 2
    while comb(count, 2) < pairs:
        count += 1
    return count
