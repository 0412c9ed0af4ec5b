"""Keys and values on shelves: whatever is opened, enlarged, moved and closed, each slot keeps its own."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from synthesis.server.cache import KeyValues, capacity_for  # noqa: E402
from synthesis.server.checkpoint import Rope, Shape  # noqa: E402

SHAPE = Shape(
    layers=1, hidden=8, heads=2, kv_heads=2, head_dim=4, intermediate=8, vocabulary=16, context=600,
    rope=Rope(10000.0), epsilon=1e-5, tied=True,
)  # fmt: skip
SLOTS = 5

slot = st.integers(0, SLOTS - 1)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("open"), slot, st.integers(1, 600)),
        st.tuples(st.just("reach"), slot, st.integers(1, 600)),
        st.tuples(st.just("move"), slot, slot),
        st.tuples(st.just("close"), slot, st.just(0)),
    ),
    max_size=25,
)


def filled(length: int, number: int) -> Any:
    """Keys and values that no other sequence has."""
    return torch.arange(2 * 2 * length * 4, dtype=torch.float32).view(1, 2, 2, length, 4) + 100_000.0 * number


@settings(max_examples=60)
@given(steps, st.booleans())
def test_each_slot_keeps_what_was_put_in_it(todo: list[tuple[str, int, int]], fixed: bool) -> None:
    cache = KeyValues(SHAPE, SLOTS, torch.float32, fixed=fixed)
    held: dict[int, Any] = {}
    for number, (what, one, other) in enumerate(todo):
        if what == "open":
            cache.open(one, other)
            held[one] = filled(other, number)
            cut = other // 2
            cache.put(one, [part for part in (held[one][..., :cut, :], held[one][..., cut:, :]) if part.shape[-2]])
        elif what == "reach" and one in held:
            cache.reach(one, other)
            assert cache.at(one)[0].capacity >= other
        elif what == "move" and one != other:
            cache.move(one, other)
            held.pop(other, None)
            if one in held:
                held[other] = held.pop(one)
        elif what == "close":
            cache.close(one)
            held.pop(one, None)
        for each, expected in held.items():
            assert cache.keep(each, 0, expected.shape[-2]).equal(expected)
            shelf, row = cache.at(each)
            assert (shelf.mask[row, : expected.shape[-2]] == 0).all()
        owned = [owner for shelf in cache.shelves for owner in shelf.owners]
        assert sorted(owned) == sorted(held)
        assert all(shelf.owners for shelf in cache.shelves)


def test_a_row_shows_no_more_than_it_was_opened_for() -> None:
    cache = KeyValues(SHAPE, SLOTS, torch.float32)
    cache.open(0, 70)
    shelf, row = cache.at(0)
    assert shelf.capacity == 128
    assert (shelf.mask[row] == 0).sum() == 70
    cache.close(0)
    assert cache.shelves == []


def test_written_addresses_are_those_that_are_read() -> None:
    cache = KeyValues(SHAPE, SLOTS, torch.float32)
    for each in (3, 1):
        cache.open(each, 64)
    shelf, row = cache.at(1)
    assert row == 1
    values = torch.arange(16, dtype=torch.float32).view(4, 4)  # keys of two heads, values of two heads
    shelf.flat(0)[shelf.addresses(torch.tensor([row]), torch.tensor([5]))] = values
    assert cache.keep(1, 5, 6).view(4, 4).equal(values)
    assert not cache.keep(3, 0, 64).any()


def test_capacities_are_few_and_enough() -> None:
    sizes = [capacity_for(tokens) for tokens in range(1, 4097)]
    assert all(size >= tokens for tokens, size in enumerate(sizes, 1))
    assert sizes == sorted(sizes)
    assert len(set(sizes)) <= 18
