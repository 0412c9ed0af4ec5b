"""Metrics of dialogues, by numbers worked out by hand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthesis.dialogue import Dialogue, Turn
from synthesis.errors import Failure, ReadingError
from synthesis.metric import averaged, scored
from synthesis.metrics.lexical import Lexical
from synthesis.words import ngrams, words


def talk(*texts: str) -> Dialogue:
    """A dialogue in which User 1 and User 2 take turns."""
    return Dialogue("d", tuple(Turn(f"User {1 + index % 2}", text) for index, text in enumerate(texts)))


def test_sizes() -> None:
    found = Lexical()([talk("I like my dog. My dog barks", "Dogs bark a lot"), talk("Yes", "No", "Why not", "So")])
    assert found["dialogues"] == 2
    assert found["turns"] == 6
    assert found["words"] == 7 + 4 + 1 + 1 + 2 + 1
    # i like my dog barks dogs bark a lot yes no why not so
    assert found["vocabulary"] == 14
    assert [found[f"turns_per_dialogue_{each}"] for each in ("mean", "median", "min", "max")] == [3, 3, 2, 4]
    assert [found[f"words_per_turn_{each}"] for each in ("median", "min", "max")] == [1.5, 1, 7]
    assert found["words_per_turn_mean"] == pytest.approx(16 / 6)
    assert [found[f"words_per_dialogue_{each}"] for each in ("mean", "median", "min", "max")] == [8, 8, 5, 11]


def test_distinct_n_counts_inside_turns() -> None:
    # i like my dog my dog barks | dogs bark a lot
    found = Lexical()([talk("I like my dog. My dog barks", "Dogs bark a lot")])
    assert found["distinct_1"] == pytest.approx(9 / 11)  # my and dog twice
    assert found["distinct_2"] == pytest.approx(8 / 9)  # "my dog" twice; "barks dogs" is no bigram
    assert found["distinct_3"] == 1  # 5 + 2 trigrams, all different


def test_what_cannot_be_had_is_absent() -> None:
    assert Lexical()([]) == {}
    short = Lexical()([talk("Hi", "Hi there")])
    assert "distinct_3" not in short
    assert short["distinct_2"] == 1
    assert Lexical()([talk("?!", "…")])["words_per_turn_max"] == 0


@given(st.lists(st.lists(st.text(alphabet="ab ", max_size=12), min_size=1, max_size=4), min_size=1, max_size=4))
def test_distinct_n_is_what_it_says(texts: list[list[str]]) -> None:
    found = Lexical()([talk(*each) for each in texts])
    for n in (1, 2, 3):
        grams = [gram for each in texts for text in each for gram in ngrams(words(text), n)]
        assert found.get(f"distinct_{n}") == (pytest.approx(len(set(grams)) / len(grams)) if grams else None)


def test_every_number_is_explained() -> None:
    assert Lexical()([talk("I like my old dog", "I ski a lot")]).keys() == Lexical.about.keys()


class Odd:
    """Reads the dialogues with an odd number of turns."""

    about: ClassVar[Mapping[str, str]] = {"odd": "turns"}

    async def score(self, dialogue: Dialogue) -> dict[str, float]:
        if len(dialogue.turns) % 2 == 0:
            raise ReadingError(f"{len(dialogue.turns)} turns", "raw")
        return {"odd": len(dialogue.turns)}


async def test_what_cannot_be_read_is_raised_or_told_but_never_a_number() -> None:
    dialogues = [talk("One"), talk("One", "two"), talk("One", "two", "three")]
    with pytest.raises(ReadingError, match="2 turns"):
        await scored(Odd(), dialogues)
    unread: list[Failure] = []
    found = await scored(Odd(), dialogues, at_a_time=2, unread=unread)
    assert found == [{"odd": 1}, {}, {"odd": 3}]
    assert [str(error) for error in unread] == ["2 turns"]
    assert averaged(found) == {"odd": 2}
