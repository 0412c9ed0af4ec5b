"""Persona expansion: a seed list of attributes becomes a larger one, through queries that attributes answer.

Step A of Synthetic-Persona-Chat (arXiv 2312.10007, section 3.1.1, appendix A.1): cluster the attributes, induce a
query from each cluster, bootstrap more queries, then answer every query anew and keep what is not too close to what
is there.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from synthesis import personas
from synthesis.asking import together
from synthesis.encoder import clusters
from synthesis.engine import Engine
from synthesis.errors import ReadingError
from synthesis.known import Known
from synthesis.personas import Sampling
from synthesis.profiles import Attributes
from synthesis.recipe import fork
from synthesis.words import words

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Expansion:
    """How far and how fast to grow; the fields of the recipe under the same names.

    `growth`: new attributes wanted, as a share of the seed attributes. `same`: cosine similarity from which a query
    or an attribute counts as known. `wave`: queries bootstrapped side by side from one state of the list.
    """

    sampling: Sampling
    encoder: str
    query_steps: int
    growth: float
    iterations: int
    same: float
    wave: int
    distance: float | None
    cluster_size: float


async def expand(engine: Engine, seeds: Sequence[str], how: Expansion, rng: Random) -> Attributes:
    """All attributes, `seeds` first, with categories (clusters) and vectors."""
    known = Known(seeds, how.encoder, how.same)
    wanted = round(how.growth * len(seeds))
    if wanted:
        queries = await _queries(engine, known, how, rng)
        await _grow(engine, known, queries, wanted, how, rng)
    return Attributes(known.texts, clusters(known.vectors, how.distance, how.cluster_size)[0], known.vectors)


async def _queries(engine: Engine, known: Known, how: Expansion, rng: Random) -> list[str]:
    """Induced queries of all clusters with three members or more, then bootstrapped ones."""
    groups: dict[int, list[str]] = {}
    for text, label in zip(known.texts, clusters(known.vectors, how.distance, how.cluster_size)[0], strict=True):
        groups.setdefault(label, []).append(text)
    large = [group for group in groups.values() if len(group) >= 3] or list(groups.values())
    calls = [
        personas.induce_query(engine, rng.sample(group, min(3, len(group))), how.sampling, fork(rng))
        for group in large
    ]
    queries = Known([], how.encoder, how.same)
    queries.add(await _read(calls))
    accepted = 0
    for _ in range(0, 3 * how.query_steps, how.wave):
        if accepted >= how.query_steps or not queries.texts:
            break
        calls = [
            personas.new_query(engine, rng.sample(queries.texts, min(5, len(queries.texts))), how.sampling, fork(rng))
            for _ in range(how.wave)
        ]
        accepted += len(queries.add(await _read(calls)))
    log.info(
        "queries: %d from %d clusters, %d of %d bootstrapped",
        len(queries.texts),
        len(large),
        accepted,
        how.query_steps,
    )
    return queries.texts


async def _grow(
    engine: Engine, known: Known, queries: Sequence[str], wanted: int, how: Expansion, rng: Random
) -> None:
    """Answers every query from one set of five attributes per iteration until `wanted` new attributes are taken."""
    goal = len(known.texts) + wanted
    for _ in range(how.iterations):
        shown = rng.sample(known.texts, min(5, len(known.texts)))
        chosen = rng.sample(list(queries), min(len(queries), 2 * (goal - len(known.texts)) + 5))
        calls = [personas.new_trait(engine, shown, question, how.sampling, fork(rng)) for question in chosen]
        echoes = {tuple(words(question)) for question in queries}
        fresh = [text for text in await _read(calls) if tuple(words(text)) not in echoes]
        known.add(list(itertools.islice(fresh, goal - len(known.texts))))
        if len(known.texts) >= goal:
            break
    log.info("attributes: %d new ones of %d wanted", len(known.texts) - goal + wanted, wanted)


async def _read(calls: Sequence[Coroutine[Any, Any, str]]) -> list[str]:
    """Results in order of the calls; a reply that could not be read leaves none: the set just grows more slowly."""

    async def readable(call: Coroutine[Any, Any, str]) -> str | None:
        try:
            return await call
        except ReadingError:
            return None

    return [text for text in await together(map(readable, calls)) if text is not None]
