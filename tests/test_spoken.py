"""Tables of words: the same words as `words` finds in any script, the same numbers as straightforward Python."""

from __future__ import annotations

import sys
from random import Random

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthesis.dialogue import Dialogue, Turn
from synthesis.metrics.lexical import Lexical
from synthesis.metrics.variety import Openings, Repetition
from synthesis.spoken import _USUAL, counted, spoken, texts_of, word_lists
from synthesis.words import words
from tests.plain_counts import plain_counts

COUNTS = (Lexical(), Repetition(), Openings())
ODD = "ΣσςİIıǅﬀß'’_.-²½१٣é\u0301\u00ad\u200b\ufe0f❤🙂क्षम中あกA1 "
texts = st.text(st.one_of(st.sampled_from(ODD), st.sampled_from("ab '"), st.characters(codec="utf-8")), max_size=12)
talks = st.lists(st.lists(texts, max_size=4), max_size=5)


def talk(*said: str, id_: str = "d") -> Dialogue:
    return Dialogue(id_, tuple(Turn(f"User {1 + at % 2}", text) for at, text in enumerate(said)))


def test_every_character_beside_letters_marks_and_apostrophes() -> None:
    """All of Unicode, though only some goes through polars: a text with anything else is for `words` itself."""
    characters = [chr(at) for at in range(sys.maxunicode + 1) if not 0xD800 <= at < 0xE000]
    usual = pl.Series(characters).str.contains(_USUAL)
    chosen = [each for each, plain in zip(characters, usual, strict=True) if plain]
    assert 6000 < len(chosen) < 10_000
    chosen += Random(1).sample(characters, 2000)
    said = [f"A{each}b {each}B'{each}C {each}" for each in chosen]
    assert word_lists(pl.Series(said)).to_list() == [words(text) for text in said]


@given(st.lists(texts))
def test_words_of_any_text(said: list[str]) -> None:
    assert word_lists(pl.Series(said, dtype=pl.String)).to_list() == [words(text) for text in said]


@given(talks, st.integers(1, 3))
def test_numbers_are_those_of_plain_python(said: list[list[str]], size: int) -> None:
    dialogues = [talk(*each, id_=str(at)) for at, each in enumerate(said)]
    assert counted(COUNTS, texts_of(dialogues), size) == pytest.approx(plain_counts(dialogues))


def test_words_keep_their_number_from_batch_to_batch() -> None:
    said = [[f"word{at} word{at + 1} the end", "the end of the day"] for at in range(40)]
    dialogues = [talk(*each) for each in said]
    whole = counted(COUNTS, said, 100)
    assert whole == pytest.approx(plain_counts(dialogues))
    for size in (1, 7):
        assert counted(COUNTS, said, size) == pytest.approx(whole)
    assert whole["vocabulary"] == 41 + 4


def test_nothing_said_is_nothing_counted() -> None:
    assert counted(COUNTS, []) == {}
    assert counted(COUNTS, [[], []]) == {}
    assert list(spoken([[]])) == []


def test_half_a_character_is_part_of_no_word() -> None:
    said = ["one\ud83dtwo \udc00", "Σας"]
    assert words(said[0]) == ["one", "two"]
    assert counted(COUNTS, [said]) == pytest.approx(plain_counts([talk(*said)]))


def test_an_error_of_the_reader_comes_through() -> None:
    def broken() -> object:
        yield ["Hello!"]
        raise LookupError("no more")

    with pytest.raises(LookupError, match="no more"):
        counted(COUNTS, broken())  # type: ignore[arg-type]
