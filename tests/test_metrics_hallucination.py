"""SelfCheck and ChainPoll, by numbers worked out by hand and a scripted engine."""

from __future__ import annotations

import json
import math
from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthesis.dialogue import Dialogue, Persona, Turn
from synthesis.engine import Request
from synthesis.engines.scripted import Scripted
from synthesis.errors import ReadingError, UserError
from synthesis.metric import Level, scored
from synthesis.metrics.hallucination import ChainPoll, SelfCheck, drift, surprise, utterance
from tests.vectors import Dawdling

FOX = Dialogue("fox", (Turn("User 1", "What did you see?"), Turn("User 2", "Red fox")))


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


# ---- SelfCheck ------------------------------------------------------------------------------------------------------


def test_surprise_by_hand() -> None:
    assert surprise(["Red fox"], ["Red cat", "Red dog"], 1) == [pytest.approx([math.log(2), math.log(6)])]
    assert surprise(["Red fox"], ["Red cat", "Red dog"], 2) == [pytest.approx([0, math.log(3)])]
    assert surprise(["Red", "…", "fox"], [], 1) == [pytest.approx([math.log(2)])] * 2


@given(
    st.lists(st.text(alphabet="ab c", max_size=9), min_size=1, max_size=4),
    st.lists(st.text(alphabet="ab c", max_size=9), max_size=4),
    st.integers(1, 3),
)
def test_surprise_is_never_below_nought_and_nought_for_what_is_always_said(
    said: list[str], others: list[str], n: int
) -> None:
    assert all(value >= 0 for each in surprise(said, others, n) for value in each)
    assert all(value == 0 for each in surprise(["a b c"], ["a b c"] * 3, 2) for value in each)


def test_drift_by_hand() -> None:
    said = np.array([[1, 0], [0, 1]], dtype=np.float32)
    same, turned = said[::-1], np.array([[0.6, 0.8]], dtype=np.float32)
    assert drift(said, [same]) == 0
    assert drift(said, [turned]) == pytest.approx(1 - (0.6 + 0.8) / 2)
    assert drift(said, [same, turned]) == pytest.approx((0 + 0.3) / 2)


async def test_selfcheck_samples_the_turn_again() -> None:
    engine = Scripted(["Red cat", "User 2: Red dog\nUser 1: Oh!"])
    found = await SelfCheck(engine, k=2, encoder=None).score(FOX)
    assert found == {
        "selfcheck_ngram_mean": pytest.approx((math.log(2) + math.log(6)) / 2),
        "selfcheck_ngram_max": pytest.approx(math.log(6)),
    }
    asked = [request.messages[0][1] for request in engine.requests]
    assert asked[0] == asked[1]
    assert "User 1: What did you see?" in asked[0]
    assert "Red fox" not in asked[0]
    assert [request.temperature for request in engine.requests] == [1.0, 1.0]
    assert len({request.seed for request in engine.requests}) == 2


async def test_the_embedding_form_knows_a_repeated_turn() -> None:
    again = await SelfCheck(Scripted(lambda request: "Red fox"), k=2).score(FOX)
    other = await SelfCheck(Scripted(lambda request: "My taxes are due on Monday"), k=2).score(FOX)
    assert again["selfcheck_embedding"] == pytest.approx(0, abs=1e-3)
    assert other["selfcheck_embedding"] > 0.5
    assert again.keys() == SelfCheck.about.keys()


async def test_document_and_profiles_are_given() -> None:
    dialogue = Dialogue("d", FOX.turns, (Persona("1", ("I ski.",)), Persona("2", ("I hunt.",))), document="Foxes.")
    engine = Scripted(lambda request: "A fox")
    await SelfCheck(engine, k=1, encoder=None).score(dialogue)
    head = "Document:\nFoxes.\n\nProfiles:\nUser 1: I ski.\nUser 2: I hunt.\n\nConversation:"
    assert engine.requests[0].messages[0][1].startswith(head)


async def test_turns_that_nothing_leads_to_are_left_out() -> None:
    engine = Scripted(lambda request: "Red fox")
    alone = Dialogue("d", (Turn("User 1", "Red fox"),))
    assert await SelfCheck(engine, encoder=None).score(alone) == {}
    assert await SelfCheck(engine, encoder=None).score(Dialogue("d", (*FOX.turns, Turn("User 1", "…")))) == {}
    assert not engine.requests
    with_document = Dialogue("d", alone.turns, document="Foxes are red.")
    assert (await SelfCheck(engine, k=3, encoder=None).score(with_document)).keys() < SelfCheck.about.keys()
    whole = Dialogue("d", (*FOX.turns, Turn("User 1", "A cat")))
    found = await SelfCheck(engine, k=1, encoder=None, level="dialogue").score(whole)
    # red fox among red fox red fox: ln 2 each | a cat among a cat red fox: ln 4 each
    assert found["selfcheck_ngram_mean"] == pytest.approx(mean([math.log(2), math.log(4)]))
    assert len(engine.requests) == 3 + 2


@pytest.mark.parametrize("level", get_args(Level))
async def test_who_answers_first_does_not_matter(level: Level) -> None:
    def reply(request: Request) -> str:
        return f"Red fox number {request.seed}"

    dialogues = [Dialogue(str(number), FOX.turns) for number in range(3)]
    found = [
        await scored(SelfCheck(Dawdling(Scripted(reply), seed), k=3, encoder=None, level=level), dialogues)
        for seed in range(3)
    ]
    assert found[0] == found[1] == found[2]
    seeds = []
    for seed in (0, 0, 1):
        engine = Scripted(reply)
        await SelfCheck(engine, k=3, encoder=None, seed=seed).score(FOX)
        seeds.append([request.seed for request in engine.requests])
    assert seeds[0] == seeds[1] != seeds[2]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("\n\n User 2: Red fox.", "Red fox."),
        ("*User 2:* Red fox.\nUser 1: Oh.", "Red fox."),
        ('"Red fox."', "Red fox."),
        ("…\nRed fox.", "Red fox."),
    ],
)
def test_a_turn_read_from_a_reply(text: str, said: str) -> None:
    assert utterance(text, "User 2") == said


async def test_an_empty_turn_is_an_error() -> None:
    with pytest.raises(ReadingError, match=r"selfcheck: expected a turn of User 2.*after 3 tries"):
        await SelfCheck(Scripted(lambda request: "  \n…"), k=1).score(FOX)
    with pytest.raises(UserError, match="k=0"):
        SelfCheck(Scripted([]), k=0)
    with pytest.raises(UserError, match="k=0"):
        ChainPoll(Scripted([]), k=0)


# ---- ChainPoll ------------------------------------------------------------------------------------------------------


def verdict(word: str) -> str:
    return json.dumps({"reasoning": "It names a fox.", "hallucination": word})


async def test_the_share_of_yes() -> None:
    engine = Scripted([verdict(word) for word in ("yes", "no", "no", "yes", "no")])
    found = await ChainPoll(engine).score(FOX)
    assert found == {"chainpoll": 2 / 5}
    assert found.keys() == ChainPoll.about.keys()
    assert len({request.seed for request in engine.requests}) == 5
    assert {request.temperature for request in engine.requests} == {1.0}
    assert "Next turn:\nUser 2: Red fox\n" in engine.requests[0].messages[0][1]
    assert "is false, made up" in engine.requests[0].messages[0][1]


async def test_with_a_document_that_is_what_counts() -> None:
    engine = Scripted(lambda request: verdict("no"))
    assert await ChainPoll(engine, k=2, level="dialogue").score(Dialogue("d", FOX.turns, document="Foxes.")) == {
        "chainpoll": 0
    }
    assert len(engine.requests) == 4
    assert "neither the document nor the conversation" in engine.requests[0].messages[0][1]
    assert await ChainPoll(engine, speaker="User 1").score(FOX) == {}


async def test_a_poll_that_cannot_be_read_is_an_error() -> None:
    def reply(request: Request) -> str:
        return '{"reasoning": "cut'

    with pytest.raises(ReadingError, match="chainpoll"):
        await ChainPoll(Scripted(reply), k=2).score(FOX)
