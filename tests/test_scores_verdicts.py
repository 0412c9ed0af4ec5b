"""Verdicts: what is asked of held-out dialogues and of their corruptions, and what the answers score."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthesis.engine import Reply, Request, Token
from synthesis.engines.scripted import Scripted
from tests.held_out_part import PART, PROFILES, TALK
from tests.weigher import weigher
from training.scores import verdicts
from training.scores.held_out import Part
from training.scores.verdicts import Question


def test_auc_by_hand() -> None:
    assert verdicts.auc([(0.9, 0.2), (0.5, 0.5)]) == 3.5 / 4
    assert verdicts.auc([(0.1, 0.2), (0.3, 0.4)]) == 1 / 4
    assert verdicts.auc([]) is None
    found = verdicts.facts({"x": [(0.9, 0.2), None, (0.5, 0.5)], "y": [None]}, 0)
    assert found["x"] | {"low": 0, "high": 0} == {"auc": 0.875, "low": 0, "high": 0, "dialogues": 2, "unreadable": 1}
    assert found["x"]["low"] == 0.5  # the second dialogue drawn twice
    assert found["y"] == {"auc": None, "low": None, "high": None, "dialogues": 0, "unreadable": 1}


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=20))
def test_auc_turns_round_with_its_scores(scores: list[tuple[float, float]]) -> None:
    turned = verdicts.auc([(low, high) for high, low in scores])
    assert turned is not None
    assert verdicts.auc(scores) == pytest.approx(1 - turned)


def test_every_corruption_changes_what_it_says_it_does() -> None:
    found = verdicts.questions([PART], 0)
    assert {name: len(many) for name, many in found.items()} == {
        **{"swapped profiles": 1, "swapped attributes": 1, "denied attributes": 1, "shuffled turns": 1},
        **{"repeated turns": 1, "swapped profiles, by likelihood": 1, "shuffled turns, by likelihood": 1},
    }
    swapped, denied = found["swapped profiles"][0], found["denied attributes"][0]
    real = f"User 1: {' '.join(PROFILES[0])}\nUser 2: {' '.join(PROFILES[1])}\nConversation:\nUser 1: {TALK[0]}\n"
    assert real in swapped.low
    assert f"User 1: {' '.join(PROFILES[1])}\nUser 2: {' '.join(PROFILES[0])}\n" in swapped.high
    assert denied.low == swapped.low
    assert "I do not like my boss." in denied.high or "I do not own a telescope." in denied.high
    label = found["swapped attributes"][0]
    asked = {label.high.replace("User 1", "X").replace("User 2", "X")}
    assert asked == {label.low.replace("User 1", "X").replace("User 2", "X")}
    assert label.high != label.low
    shuffled, repeated = found["shuffled turns"][0], found["repeated turns"][0]
    for question in (shuffled, repeated):
        first, second = question.high.split("Conversation 2:\n")
        assert all(f"User {at % 2 + 1}: {turn}" in first for at, turn in enumerate(TALK))
        assert question.low.startswith(f"Conversation 1:\n{second.partition('Which')[0].strip()}")
    assert len(set(repeated.low.split("Conversation 2:")[0].splitlines())) < 12


def test_what_is_weighed_is_the_talk_itself_with_one_thing_changed() -> None:
    found = verdicts.questions([PART], 0)
    profiles, turns = found["swapped profiles, by likelihood"][0], found["shuffled turns, by likelihood"][0]
    assert profiles.real == turns.real
    assert (profiles.ratio, turns.ratio) == ("faithfulness", "coherency")
    assert profiles.real.turns == profiles.corrupted.turns
    assert [each.traits for each in profiles.real.personas] == list(PROFILES)
    assert [each.traits for each in profiles.corrupted.personas] == list(PROFILES[::-1])
    named = [each.name for each in profiles.real.personas]
    assert named == [each.name for each in profiles.corrupted.personas]
    assert all(named)
    assert turns.real.personas == turns.corrupted.personas
    said = [[turn.text for turn in each.turns] for each in (turns.real, turns.corrupted)]
    assert sorted(said[0]) == sorted(said[1])
    assert said[0] != said[1]
    assert [turn.speaker for turn in turns.real.turns] == [turn.speaker for turn in turns.corrupted.turns]


async def test_what_is_weighed_is_scored_by_the_critics_of_the_preset() -> None:
    found = verdicts.questions([PART], 0)
    given_ = {name: found[f"{name}, by likelihood"] for name in ("swapped profiles", "shuffled turns")}
    scores = await verdicts.asked(Scripted(weigher), given_)
    ((own, exchanged),) = scores["swapped profiles"]
    assert own == pytest.approx(-exchanged)
    assert own > 0, "they tell of gardens and of chess"
    assert scores == await verdicts.asked(Scripted(weigher), given_), "no chance in it"
    numbers = "one two three four five six seven eight nine ten eleven".split()
    chain = Part("x", "spc", PROFILES, tuple(f"{first} {then}" for first, then in pairwise(numbers)))
    turns = {"shuffled turns": verdicts.questions([chain], 0)["shuffled turns, by likelihood"]}
    ((real, shuffled),) = (await verdicts.asked(Scripted(weigher), turns))["shuffled turns"]
    assert real > max(0, shuffled), "each turn takes up the last word of the one before"


def test_profiles_of_which_nothing_is_told_cannot_be_swapped_visibly() -> None:
    silent = Part("x", "spc", (("I own a telescope.",), ("I like my boss.",)), TALK)
    assert not verdicts.questions([silent], 0)["swapped profiles"]


def likely(**words: float) -> Reply:
    top = tuple(Token(at, f" {word}", math.log(share)) for at, (word, share) in enumerate(words.items()))
    return Reply("", "length", 1, 1, top_tokens=(top,))


async def test_scores_are_shares_of_the_two_words_and_what_says_neither_is_counted() -> None:
    replies = {"a": likely(Yes=0.6, No=0.2), "b": likely(Yes=0.1, no=0.3), "c": likely(Well=0.9)}
    engine = Scripted(lambda request: replies[request.messages[0][1]])
    given_ = {"x": [Question("1", "a", "b", "yes", ("no",)), Question("2", "a", "c", "yes", ("no",))]}
    found = await verdicts.asked(engine, given_)
    assert found["x"][0] == (pytest.approx(0.75), pytest.approx(0.25))
    assert found["x"][1] is None
    assert {(request.max_new_tokens, request.temperature) for request in engine.requests} == {(1, None)}


async def test_a_label_is_scored_by_the_likelihood_of_all_of_it() -> None:
    """Of the three labels, behind the same beginning, supported has 1/2, the others have 1/8 of the probability."""
    nats = {"supported": math.log(1 / 2), "contradicted": math.log(1 / 8), "unmentioned": math.log(1 / 8)}

    async def engine(request: Request) -> Reply:
        shown = (Token(0, "<s>", None), Token(1, "<user>", -1.0))
        if request.messages[-1][0] == "assistant":
            label = request.messages[-1][1].removeprefix('{"1":"')
            shown = (*shown, Token(2, '{"1":"', -0.5), Token(9, label, nats[label]))
        return Reply("", "length", len(shown), 1, prefill=shown)

    question = Question("1", "a", "b", "supported", ("contradicted", "unmentioned"), '{"1":"')
    assert (await verdicts.asked(engine, {"x": [question]}))["x"] == [(pytest.approx(2 / 3), pytest.approx(2 / 3))]
