"""Weighing: margins worked out by hand, what is dropped and who is the best, without a verdict in words."""

from __future__ import annotations

from random import Random

import pytest

from synthesis import weighing
from synthesis.dialogue import Dialogue, Persona, Turn
from synthesis.engine import CRITIC
from synthesis.engines.scripted import Scripted
from synthesis.errors import Unsupported
from synthesis.recipes.spc import Spc
from tests.weigher import weigher

CALL = Spc(style="improved").call


def talk(*texts: str) -> Dialogue:
    turns = tuple(Turn(f"User {at % 2 + 1}", text) for at, text in enumerate(texts))
    return Dialogue("t", turns, (Persona("a", ("I keep bees.",), "Ann"), Persona("b", ("I sing.",), "Bo")), topic="x")


async def test_a_talk_of_its_own_profiles_is_likelier_than_with_these_exchanged() -> None:
    """Six words; "bees" and "sing" cost one nat less under their own profile: 2 / 6, and as much less for the rest."""
    engine = Scripted(weigher)
    assert await weighing.faithfulness(engine, CALL, talk("Bees?", "Sing?")) == pytest.approx(2 / 6)
    assert {(request.stage, request.role, request.conversation) for request in engine.requests} == {
        ("faithfulness", CRITIC, "t")
    }
    assert await weighing.faithfulness(engine, CALL, talk("Sing?", "Bees?")) == pytest.approx(-2 / 6)
    assert await weighing.faithfulness(engine, CALL, talk("Oh.", "Well.")) == 0
    names = [request.messages[0][1] for request in engine.requests]
    assert all("User 1 is called Ann" in text and "User 2 is called Bo" in text for text in names)


async def test_turns_that_answer_each_other_are_likelier_than_the_same_in_another_order() -> None:
    """Each turn takes up the last word of the one before: five nats less of 24 words."""
    chain = talk("we ask", "ask for", "for much", "much more", "more than", "than that")
    assert len({await weighing.coherency(Scripted(weigher), CALL, chain, Random(at)) for at in range(5)}) > 1
    for at in range(20):
        assert 1 / 24 <= await weighing.coherency(Scripted(weigher), CALL, chain, Random(at)) <= 5 / 24


async def test_what_is_dropped_and_why() -> None:
    engine = Scripted(weigher)
    assert await weighing.fault(engine, CALL, talk("I keep bees", "bees I sing"), Random(0)) is None
    assert await weighing.fault(engine, CALL, talk("Sing?", "Bees?"), Random(0)) == (
        "faithfulness",
        "likelier with the profiles exchanged, by 0.333 nats a token",
    )
    jumbled = talk("we ask", "for much", "ask for", "more than", "much more")
    found = {await weighing.fault(engine, CALL, jumbled, Random(at)) for at in range(20)}
    assert None in found
    assert any(each and each[0] == "coherency" and "in another order, by 0." in each[1] for each in found)


async def test_the_best_is_the_one_that_is_the_most_its_own_profiles() -> None:
    some, most, none = talk("Bees?", "No."), talk("Bees?", "Sing?"), talk("Oh.", "Well.")
    ranking = await weighing.rank(Scripted(weigher), CALL, [some, most, none])
    assert (ranking.best, ranking.votes, ranking.ballots, ranking.abstentions) == (1, (0.0, 1.0, 0.0), 1, 0)
    assert (await weighing.rank(Scripted(weigher), CALL, [none, none])).best == 0


async def test_an_endpoint_without_log_probabilities_of_prompts_is_told_what_needs_them() -> None:
    engine = Scripted(lambda request: Unsupported("x: no prompt log-probabilities"))
    with pytest.raises(Unsupported, match="faithfulness needs prompt log-probabilities: x: no prompt"):
        await weighing.fault(engine, CALL, talk("Bees?", "Sing?"), Random(0))
