"""Metrics of dialogues, by numbers worked out by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthesis.dialogue import Dialogue, Persona, Turn
from synthesis.metric import Metric
from synthesis.metrics.lexical import Lexical
from synthesis.metrics.persona import PersonaUse
from synthesis.words import ngrams, words


def talk(*texts: str, traits: tuple[tuple[str, ...], ...] = ()) -> Dialogue:
    """A dialogue in which User 1 and User 2 take turns."""
    turns = tuple(Turn(f"User {1 + index % 2}", text) for index, text in enumerate(texts))
    return Dialogue("d", turns, tuple(Persona(str(index), each) for index, each in enumerate(traits)))


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
    assert PersonaUse()([]) == {}
    assert PersonaUse()([talk("Hi", "Hi", traits=(("I fish.",),))]) == {}  # one profile, two speakers
    assert PersonaUse()([talk("Hi", "Hi", traits=(("I am I.",), ("It is me.",)))]) == {}  # no content words


@given(st.lists(st.lists(st.text(alphabet="ab ", max_size=12), min_size=1, max_size=4), min_size=1, max_size=4))
def test_distinct_n_is_what_it_says(texts: list[list[str]]) -> None:
    found = Lexical()([talk(*each) for each in texts])
    for n in (1, 2, 3):
        grams = [gram for each in texts for text in each for gram in ngrams(words(text), n)]
        assert found.get(f"distinct_{n}") == (pytest.approx(len(set(grams)) / len(grams)) if grams else None)


def test_persona_use() -> None:
    found = PersonaUse()(
        [
            talk(
                "My dogs keep me awake, and I never learned how to swim.",
                "Swimming? I paint, my paintings hang in the kitchen.",
                traits=(
                    ("I have a dog.", "I never learned how to swim.", "I grow roses."),
                    ("I paint.", "I fear dogs."),
                ),
            )
        ]
    )
    # dog 1/1 | learn, swim 2/2, recited | grow, ros 0/2 || paint 1/1, recited whole | fear, dog: 0/2, said by User 1
    assert found == {
        "persona_attributes": 5,
        "persona_coverage": pytest.approx(3 / 5),
        "persona_overlap": pytest.approx((1 + 1 + 0 + 1 + 0) / 5),
        "persona_copied": pytest.approx(2 / 5),
        "persona_swapped": pytest.approx(1 / 5),
    }


def test_recital_stays_within_a_turn() -> None:
    traits = (("I collect very old coins.",), ("I ski.",))
    assert PersonaUse()([talk("I collect", "Oh?", "very old coins.", "Ah.", traits=traits)])["persona_copied"] == 0
    assert PersonaUse()([talk("Yes, I collect very old things.", "Ah.", traits=traits)])["persona_copied"] == 0.5


@pytest.mark.parametrize("metric", [Lexical(), PersonaUse()])
def test_every_number_is_explained(metric: Metric) -> None:
    found = metric([talk("I like my old dog", "I ski a lot", traits=(("I have a dog.",), ("I ski.",)))])
    assert found.keys() == metric.about.keys()
