"""Signatures on disk: the pairs they name are those that an index in memory names."""

from __future__ import annotations

import tracemalloc
from random import Random

import pytest
from datasketch import MinHash, MinHashLSH

from synthesis.signatures import Signatures

PERMUTATIONS, ROWS, THRESHOLD = 64, 4, 0.6


def sets(rng: Random, count: int) -> list[list[bytes]]:
    """Sets of forty words, most of them drawn from a few with some words changed."""
    words = [f"w{number}".encode() for number in range(rng.choice([60, 600]))]
    bases = [rng.sample(words, 40) for _ in range(count // 8)]
    return [[rng.choice(words) if rng.random() < 0.2 else word for word in rng.choice(bases)] for _ in range(count)]


def indexed(made: list[list[bytes]]) -> dict[int, int]:
    """Twins as datasketch's index finds them."""
    bands = PERMUTATIONS // ROWS
    index, kept = MinHashLSH(num_perm=PERMUTATIONS, params=(bands, ROWS)), {}
    twins = {}
    for place, shingles in enumerate(made):
        signature = MinHash(num_perm=PERMUTATIONS, seed=1)
        signature.update_batch(shingles)
        near = [other for other in sorted(index.query(signature)) if kept[other].jaccard(signature) >= THRESHOLD]
        if near:
            twins[place] = near[0]
        else:
            kept[place] = signature
            index.insert(place, signature)
    return twins


def found(made: list[list[bytes]]) -> dict[int, int]:
    with Signatures(PERMUTATIONS, ROWS) as signatures:
        for shingles in made:
            signatures.add(shingles)
        return dict(signatures.twins(THRESHOLD))


@pytest.mark.parametrize("seed", range(4))
def test_twins_are_those_of_an_index_in_memory(seed: int) -> None:
    made = sets(Random(seed), 80)
    twins = found(made)
    assert twins == indexed(made)
    assert len(twins) > 5


def test_few_or_equal_ones() -> None:
    assert found([]) == found([[b"a"]]) == {}
    assert found([[b"a", b"b"]] * 5) == dict.fromkeys(range(1, 5), 0)


def test_a_signature_takes_little_memory() -> None:
    rng = Random(1)
    with Signatures(PERMUTATIONS, ROWS) as signatures:
        for shingles in sets(rng, 8):
            signatures.add(shingles)
        tracemalloc.start()
        for number in range(400):
            signatures.add([f"{number} {word}".encode() for word in range(4)])
        assert not [pair for pair in signatures.twins(THRESHOLD) if pair[0] > 8]
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < 400 * 600 + 100_000
