"""Profiles and pairs: what may stand together, who meets whom, and that neither depends on who answers first."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from random import Random

import numpy as np
import pytest

from synthesis.consistency import Consistency
from synthesis.encoder import clusters
from synthesis.engine import Request
from synthesis.engines.scripted import Scripted
from synthesis.errors import UserError
from synthesis.profiles import assemble, pair
from tests.vectors import Dawdling, attributes

# Attribute number:   0  1  2  3  4  5  6  7  8
CATEGORIES = [0, 0, 0, 0, 1, 1, 1, 2, 3]
FIRST, SECOND, THIRD = (0, 1, 4), (2, 3, 5), (0, 6, 7)
# FIRST and SECOND: 2 x 2 pairs in category 0 and 1 x 1 in category 1 are 5 pairs in 2 categories.
# SECOND and THIRD: 2 x 1 and 1 x 1 are 3 pairs in 2 categories. FIRST and THIRD share attribute 0.
PROFILES = [FIRST, SECOND, THIRD]


@pytest.mark.parametrize(
    ("threshold", "count", "found"),
    [
        (2, "pairs", {(0, 1, 5), (1, 2, 3)}),
        (3, "pairs", {(0, 1, 5)}),
        (5, "pairs", set()),
        (1, "categories", {(0, 1, 2), (1, 2, 2)}),
        (2, "categories", set()),
    ],
)
def test_pairs_above_the_threshold(threshold: int, count: str, found: set[tuple[int, int, int]]) -> None:
    taken = pair(PROFILES, CATEGORIES, 9, Random(0), threshold=threshold, count=count, most=8)  # type: ignore[arg-type]
    assert set(taken) == found


def test_profiles_that_share_an_attribute_do_not_meet() -> None:
    assert not pair([FIRST, THIRD], CATEGORIES, 9, Random(0), threshold=0, count="pairs", most=8)


def many(count: int) -> tuple[list[tuple[int, ...]], list[int]]:
    """Profiles of one attribute each, all of one category."""
    return [(at,) for at in range(count)], [0] * count


def test_a_profile_meets_at_most_so_many() -> None:
    profiles, categories = many(9)
    taken = pair(profiles, categories, 99, Random(0), threshold=0, count="pairs", most=2)
    met = Counter(number for first, second, _ in taken for number in (first, second))
    assert max(met.values()) == 2
    assert len(taken) >= 7
    assert len({(first, second) for first, second, _ in taken}) == len(taken)
    assert all(first < second for first, second, _ in taken)


def test_no_more_pairs_than_wanted_and_the_same_for_the_same_seed() -> None:
    profiles, categories = many(30)

    def drawn(seed: int) -> list[tuple[int, int, int]]:
        return pair(profiles, categories, 12, Random(seed), threshold=0, count="pairs", most=8)

    assert len(drawn(1)) == 12
    assert drawn(1) == drawn(1) != drawn(2)
    assert len({number for first, second, _ in drawn(1) for number in (first, second)}) > 12, "few meet twice"


def test_nobody_to_pair() -> None:
    assert pair([], [], 5, Random(0), threshold=0, count="pairs", most=8) == []


def test_pairing_thousands_needs_neither_all_pairs_nor_long() -> None:
    rng = Random(0)
    categories = [rng.randrange(300) for _ in range(5_000)]
    profiles = [tuple(rng.sample(range(5_000), 5)) for _ in range(10_000)]
    taken = pair(profiles, categories, 500, rng, threshold=1, count="pairs", most=8)
    assert len(taken) == 500


# ---- profiles -------------------------------------------------------------------------------------------------------

Judge = Callable[[Request], str]


def says_no(request: Request) -> str:
    return "No"


async def test_members_too_alike_are_rejected() -> None:
    pool = attributes([0] * 6, alike=[(0, 1), (2, 3)])
    found = await assemble(Scripted(says_no), pool, 20, 4, 0.9, Consistency(), "seed")
    assert found
    for profile in found:
        assert len(set(profile)) == 4
        assert not {0, 1} <= set(profile)
        assert not {2, 3} <= set(profile)
    assert len(set(found)) == len(found)


async def test_members_that_contradict_are_rejected() -> None:
    def judge(request: Request) -> str:
        text = request.messages[-1][1]
        return "Yes, both cannot be." if "number 1." in text and "number 2." in text else "No."

    found = await assemble(Scripted(judge), attributes([0] * 5), 20, 3, 0.9, Consistency(), "seed")
    assert found
    assert not any({1, 2} <= set(profile) for profile in found)


async def test_a_verdict_that_cannot_be_read_keeps_nobody() -> None:
    engine = Scripted(lambda request: "Hard to say.")
    assert await assemble(engine, attributes([0] * 5), 1, 2, 0.9, Consistency(), "seed") == []


async def test_a_profile_larger_than_the_pool_is_given_up() -> None:
    assert await assemble(Scripted(says_no), attributes([0] * 3), 2, 4, 0.9, Consistency(), "seed") == []


async def test_attributes_are_used_about_equally_often() -> None:
    found = await assemble(Scripted(says_no), attributes([0] * 40), 32, 5, 0.9, Consistency(), "seed")
    used = Counter(member for profile in found for member in profile)
    assert len(found) == 32, "the second time through gives other profiles than the first"
    assert set(used.values()) == {4}


@pytest.mark.parametrize("mode", ["engine", "negation"])
async def test_profiles_do_not_depend_on_who_answers_first(mode: str) -> None:
    def judge(request: Request) -> str:
        chance = Random(f"{request.messages}{request.seed}")
        if request.stage == "negation":
            return f"I am not {chance.random()}."
        return chance.choice(["Yes", "No", "No", "No", "Well"])

    async def made(seed: int) -> list[tuple[int, ...]]:
        engine = Dawdling(Scripted(judge), seed, 0.001)
        return await assemble(engine, attributes([0] * 20), 6, 3, 0.9, Consistency(mode), "seed")  # type: ignore[arg-type]

    first, second = await asyncio.gather(made(1), made(2))
    assert first == second
    assert first


# ---- consistency ----------------------------------------------------------------------------------------------------


async def test_alone_nothing_contradicts() -> None:
    assert not await Consistency().contradicts(Scripted([]), "I ski.", [])


async def test_the_engine_is_asked_once_for_all_members() -> None:
    engine = Scripted(["Yes"])
    assert await Consistency().contradicts(engine, "I ski.", ["I sing.", "I hate snow."])
    assert "- I sing.\n- I hate snow." in engine.requests[0].messages[-1][1]


@pytest.mark.parametrize(
    ("entailed", "contradicts"),
    [
        (("I love snow.", "I do not hate snow."), True),
        (("I hate snow.", "I do not love snow."), True),
        (("I hate snow.", "I do not hate snow."), False),
    ],
    ids=["entails the negation of a member", "the reverse", "what nobody asked"],
)
async def test_by_negation(entailed: tuple[str, str], contradicts: bool) -> None:
    def judge(request: Request) -> str:
        text = request.messages[-1][1]
        if request.stage == "negation":
            return text.splitlines()[-2].removeprefix("Sentence: ").replace("I ", "I do not ")
        return "Yes" if f"A: {entailed[0]}\n" in text and f"B: {entailed[1]}\n" in text else "No"

    check = Consistency("negation")
    assert await check.contradicts(Scripted(judge), "I love snow.", ["I hate snow."]) is contradicts


def test_nli_wants_a_model() -> None:
    with pytest.raises(UserError, match="needs a cross-encoder: give its Hub id or folder with --nli"):
        Consistency("nli")


# ---- clusters -------------------------------------------------------------------------------------------------------


def near(groups: int, size: int) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    """Unit vectors in `groups` bundles of `size`, shuffled."""
    rng = np.random.default_rng(0)
    vectors = np.repeat(np.eye(groups, 24), size, axis=0) + rng.normal(0, 0.02, (groups * size, 24))
    rng.shuffle(vectors)
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def test_clusters_are_cut_at_the_mean_size_wanted() -> None:
    labels, cut = clusters(near(8, 6), None, 6.0)
    assert set(Counter(labels).values()) == {6}
    assert 0 < cut < 1
    for mean in (1.0, 2.0, 3.0, 12.0, 48.0):
        assert len(set(clusters(near(8, 6), None, mean)[0])) == round(48 / mean)


def test_clusters_at_a_published_distance() -> None:
    labels, cut = clusters(near(8, 6), 0.5, 6.0)
    assert (len(set(labels)), cut) == (8, 0.5)
    assert labels[0] == 0, "numbers follow the order of first members"


@pytest.mark.parametrize(("count", "labels"), [(0, []), (1, [0])])
def test_clusters_of_nearly_nothing(count: int, labels: list[int]) -> None:
    assert clusters(near(2, 2)[:count], None, 3.0) == (labels, 0.0)
