"""Quality by length: buckets and falls worked by hand, weights whose mean is 1, and what cannot be told apart."""

from __future__ import annotations

import json
from math import exp, nan
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthesis.dialogue import Dialogue, Turn
from synthesis.errors import UserError
from tests.intent_material import write_release
from training.quality import DIRECTIONS, METHODS, Rule, human_mean, length, quality


def talk(*words: int) -> Dialogue:
    """A dialogue whose turns have so many words."""
    turns = tuple(Turn(("User", "Agent")[at % 2], " ".join(["word"] * count)) for at, count in enumerate(words))
    return Dialogue("d", turns)


FOUR = [talk(2, 2), talk(3, 3), talk(5, 5), talk(10, 10)]
"""Lengths 4, 6, 10 and 20: the median is 8, the halves' means are 5 and 15."""


def tags(*given: Any, **more: Any) -> list[str]:
    return [each.tag for each in quality(*given, Rule(**more))]


def test_a_length_is_in_words() -> None:
    assert length(Dialogue("d", (Turn("User", "Well, that's 3."), Turn("Agent", "Two words!")))) == 5


@pytest.mark.parametrize(
    ("direction", "human", "good"),
    [
        ("short", None, [True, True, False, False]),
        ("long", None, [False, False, True, True]),
        ("human", 3.0, [True, True, False, False]),  # 6 words for two turns: 1 from 5, 9 from 15
        ("human", 6.0, [False, False, True, True]),  # 12 words: 7 from 5, 3 from 15
        ("human", 5.0, [True, True, False, False]),  # 10 words: as far from both
    ],
)
def test_a_group_is_split_at_its_median(direction: Any, human: float | None, good: list[bool]) -> None:
    found = quality(FOUR, Rule("bucket", direction, human))
    assert [each.tag == "good" for each in found] == good
    mean = (1 + 1 + 0.1 + 0.1) / 4
    assert [each.weight for each in found] == pytest.approx([(1 if one else 0.1) / mean for one in good])


def test_lengths_are_compared_among_dialogues_of_as_many_turns() -> None:
    mixed = [talk(1, 1), talk(3, 3), talk(20, 20, 20), talk(30, 30, 30)]
    assert tags(mixed, direction="short") == ["good", "poor", "good", "poor"]
    assert tags(mixed, direction="human", human=15.0) == [
        "poor",
        "good",
        "good",
        "poor",
    ]  # of 45, 60 is nearer than 90


def test_equal_lengths_are_all_good_and_a_heavy_end_is_split_off() -> None:
    assert tags([talk(4)] * 3, direction="long") == ["good"] * 3
    assert tags([talk(7, 7)], direction="long") == ["good"]
    assert tags([talk(1), talk(9), talk(9), talk(9)], direction="long") == ["poor", "good", "good", "good"]
    assert tags([talk(1), talk(1), talk(1), talk(9)], direction="long") == ["poor", "poor", "poor", "good"]


def test_the_weight_falls_with_the_relative_distance() -> None:
    found = quality(FOUR, Rule("exp", "human", 5.0, rate=2.0))  # 10 words are wanted
    plain = [exp(-2 * gap) for gap in (0.6, 0.4, 0.0, 1.0)]
    assert [each.weight for each in found] == pytest.approx([one / fmean(plain) for one in plain])
    assert {each.tag for each in found} == {""}
    short = [each.weight for each in quality(FOUR, Rule("exp", "short"))]
    assert short[1] / short[0] == pytest.approx(exp(-0.5))
    assert short == sorted(short, reverse=True)
    assert (lengths := [each.weight for each in quality(FOUR, Rule("exp", "long"))]) == sorted(lengths)


def test_without_quality_all_weigh_one() -> None:
    assert [(each.weight, each.tag) for each in quality(FOUR, Rule("none"))] == [(1.0, "")] * 4


talks = st.lists(st.lists(st.integers(0, 40), min_size=1, max_size=5).map(lambda words: talk(*words)), max_size=20)


@given(talks, st.sampled_from(METHODS), st.sampled_from(DIRECTIONS), st.floats(0.01, 1), st.floats(0.1, 60))
def test_weights_are_above_zero_with_a_mean_of_one(
    dialogues: list[Dialogue], method: Any, direction: Any, poor: float, human: float
) -> None:
    found = quality(dialogues, Rule(method, direction, human, poor))
    assert len(found) == len(dialogues)
    assert all(each.weight > 0 for each in found)
    assert not found or fmean(each.weight for each in found) == pytest.approx(1.0)


def test_the_length_of_people_is_read_from_their_dialogues(tmp_path: Path) -> None:
    path = tmp_path / "people.jsonl"
    rows = [
        {"messages": [{"role": "user", "content": "one two three"}, {"role": "assistant", "content": "four five"}]},
        {"messages": [{"role": "user", "content": "six"}, {"role": "assistant", "content": "seven eight"}]},
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert human_mean(str(path)) == 2.0


@pytest.mark.parametrize("key", ["tags", "intent"])
def test_the_length_of_people_is_read_from_releases_with_intents(key: str, tmp_path: Path) -> None:
    """Words of the five utterances about the chair, in their order: 6, 7, 8, 7 and 5."""
    assert human_mean(str(write_release(tmp_path / "release.json", 1, key))) == pytest.approx(33 / 5)
    (tmp_path / "complete.json").write_text(json.dumps({"1": {"utterances": [{"utterance": "Hi"}]}}))
    with pytest.raises(UserError, match="another release, such as MSDialog-Complete"):
        human_mean(str(tmp_path / "complete.json"))


def test_what_makes_no_sense_is_refused() -> None:
    for method in ("bucket", "exp"):
        with pytest.raises(UserError, match="--human-words; or go by --direction short or long"):
            Rule(method)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="0 < poor <= 1"):
        Rule(direction="short", poor=0.0)
    with pytest.raises(UserError, match="rate > 0"):
        Rule("exp", "short", rate=0.0)
    with pytest.raises(UserError, match="rate > 0"):
        Rule("exp", "short", rate=nan)


def test_a_length_that_no_dialogue_comes_near_is_refused() -> None:
    with pytest.raises(UserError, match=r"none weighs anything; .* lower --rate 1000"):
        quality(FOUR, Rule("exp", "human", 0.1, rate=1000.0))
