"""The table of a file in the published form: a small one counted by hand, and the published one's known figures."""

from __future__ import annotations

from pathlib import Path

import pytest

from synthesis.dialogue_forms import SPC_COLUMNS
from synthesis.spc_table import ABOUT, spc_table
from synthesis.storage import read_csv

PUBLISHED = Path(__file__).resolve().parents[2] / "shared/data/spc/Synthetic-Persona-Chat_valid.csv"

OVERLAP = ("overlap_mean", "overlap_none", "verbatim", "voiced_by_other")


def row(first: str, second: str, conversation: str) -> dict[str, str]:
    return dict(zip(SPC_COLUMNS, (first, second, conversation), strict=True))


def test_by_hand() -> None:
    found = spc_table(
        [
            row(
                "I ski.\nI bake bread.\nI have a dog.\nI fear old ghosts.",
                "I ski.\nI paint.",
                "User 1: Hi, I'm [user 1's name] and I bake bread.\nUser 2: Hello (name)! My dog bakes.\nUser 1: So?",
            ),
            row("I paint.\nI ski.", "I sail.", "User 2: Ghosts?\nUser 2: No.\n\n* * *\nUser 1: Yes, User 2."),
            row("I sail.", "I row.", "*User 1:* Well\n*User 2:* Well"),
            row("I sing.", "I hum.", ""),
            row("I sing.", "I hum.", "\n".join(["User 1: La!", "User 2: Hm?", "User 1: la", "User 2: Ah."] * 2)),
            row("I sing.", "I hum.", "User 1: The team (home) won [again]!\nUser 2: Names, please."),
        ]
    )
    assert {name: value for name, value in found.items() if name not in OVERLAP} == {
        "rows": 6,
        "profiles_of_4": 1,
        "profiles_of_5": 0,
        "attributes": 17,
        "attributes_distinct": 9,
        "base_personas": 5,  # ski bake dog ghosts paint | sail | row | sing | hum
        "profiles_distinct": 7,  # [ski bake dog ghosts] [ski paint] [paint ski] [sail] [row] [sing] [hum]
        "profiles_distinct_sets": 6,
        "words_per_attribute_mean": pytest.approx((2 + 3 + 4 + 4 + 13 * 2) / 17),
        "words_per_attribute_min": 2,
        "words_per_attribute_max": 4,
        "utterances_mean": pytest.approx((3 + 3 + 8 + 2) / 4),
        "utterances_median": 3,
        "utterances_max": 8,
        "words_per_utterance_mean": pytest.approx((9 + 5 + 1 + 1 + 1 + 3 + 8 + 5 + 2) / 16),
        "words_per_utterance_max": 9,
        "words_per_conversation_mean": pytest.approx((15 + 8 + 6 + 0 + 8 + 7) / 6),
        "labelled": 4,
        "opened_by_user_1": 3,
        "placeholders": 1,  # not (home), not [again]
        "placeholders_or_labels": 3,  # User 2 in the second row, the starred labels in the third
        "strict": 3,
        "clean": 1,  # in the fifth row User 1 says the same four times
        "same_speaker_twice": 1,
        "blank_lines": 1,
    }


def test_overlap_by_hand() -> None:
    found = spc_table(
        [
            row(
                "I have a dog.\nI never learned how to swim.\nI grow roses.",
                "I paint.\nI fear dogs.",
                "User 1: My dogs keep me awake, and I never learned how to swim.\n"
                "User 2: Swimming? I paint, my paintings hang in the kitchen.",
            ),
            row("I sing.", "I hum.", "nobody speaks"),
        ]
    )
    # long words: none | learned, swim 2/2 | grow, roses 0/2 || paint 1/1 | fear, dogs 0/2
    # all words: dog 1/1 | learn, swim 2/2, word for word | grow, ros 0/2 || paint 1/1, word for word | fear, dog 0/2,
    # of which the other says 1/2
    assert {name: found[name] for name in OVERLAP} == {
        "overlap_mean": pytest.approx((1 + 0 + 1 + 0) / 4),
        "overlap_none": pytest.approx(2 / 4),
        "verbatim": pytest.approx(2 / 5),
        "voiced_by_other": 1,
    }


def test_every_number_is_explained() -> None:
    assert spc_table([row("I paint.", "I sail.", "User 1: I paint.\nUser 2: Oh.")]).keys() == ABOUT.keys()


@pytest.mark.skipif(not PUBLISHED.exists(), reason="the published file is not here")
def test_the_known_figures_of_the_published_file() -> None:
    found = spc_table(cells for _, cells in read_csv(PUBLISHED, "dialogues"))
    known = {
        "rows": 1000,
        "profiles_of_4": 1022,
        "profiles_of_5": 978,
        "attributes": 8978,
        "attributes_distinct": 494,
        "base_personas": 95,
        "profiles_distinct": 1905,
        "profiles_distinct_sets": 541,
        "words_per_attribute_mean": 6.70,
        "words_per_attribute_min": 3,
        "words_per_attribute_max": 15,
        "utterances_mean": 27.8,
        "utterances_median": 26,
        "utterances_max": 73,
        "words_per_utterance_mean": 8.85,
        "words_per_utterance_max": 59,
        "words_per_conversation_mean": 247,
        "labelled": 997,
        "opened_by_user_1": 996,
        "placeholders": 389,
        "placeholders_or_labels": 432,
        "strict": 934,
        "clean": 534,
        "same_speaker_twice": 23,
        "blank_lines": 46,
        "overlap_mean": 0.337,
        "overlap_none": 0.49,
        "verbatim": 0.077,
        "voiced_by_other": 351,
    }
    digits = {"words_per_attribute_mean": 2, "words_per_utterance_mean": 2, "utterances_mean": 1}
    digits |= {"overlap_mean": 3, "overlap_none": 2, "verbatim": 3}
    assert {name: round(found[name], digits.get(name, 0)) for name in known} == known
