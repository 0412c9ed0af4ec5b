"""Guesses: what followed the last time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthesis.server.lookup import GRAM, Lookup


def naive(tokens: list[int], most: int) -> list[int]:
    """By looking through the whole text."""
    for start in range(len(tokens) - 1, GRAM - 1, -1):
        if tokens[start - GRAM : start] == tokens[-GRAM:]:
            said = tokens[start:]
            while len(said) < most:
                said = said + tokens[start:]
            return said[:most]
    return []


@given(
    st.lists(st.integers(0, 2), min_size=1, max_size=40), st.lists(st.integers(1, 5), max_size=12), st.integers(0, 5)
)
def test_guesses_are_what_a_search_of_the_text_finds(text: list[int], pieces: list[int], most: int) -> None:
    lookup, known = Lookup(), 0
    for piece in [*pieces, len(text)]:
        known = min(len(text), known + piece)
        assert lookup.guess(text[:known], most) == naive(text[:known], most)


@pytest.mark.parametrize(
    ("text", "guessed"),
    [
        ("I like tea. I like", " tea"),
        ("ha ha ha ha", " ha "),  # a circle goes on
        ("----", "----"),
        ("nothing of it twice", ""),
        ("no", ""),
    ],
)
def test_examples(text: str, guessed: str) -> None:
    assert "".join(map(chr, Lookup().guess([ord(letter) for letter in text], 4))) == guessed
