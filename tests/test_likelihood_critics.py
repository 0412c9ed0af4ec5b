"""Critics by likelihood: ratios worked out by hand, what is dropped, who is the best, and what endpoint it takes."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from synthesis import likelihood_critics
from synthesis.dialogue import Dialogue, Persona, Turn
from synthesis.engine import CRITIC
from synthesis.engines.connect import connect
from synthesis.engines.scripted import Scripted
from synthesis.errors import ContextOverflow, Unsupported
from synthesis.likelihood_critics import Ratios
from synthesis.recipe import make
from synthesis.recipes.spc import Spc
from tests.fake_tgi import FakeTgi
from tests.weigher import weigher

CALL = Spc(style="improved").call


def talk(*texts: str) -> Dialogue:
    turns = tuple(Turn(f"User {at % 2 + 1}", text) for at, text in enumerate(texts))
    return Dialogue("t", turns, (Persona("a", ("I keep bees.",), "Ann"), Persona("b", ("I sing.",), "Bo")), topic="x")


async def test_a_talk_of_its_own_profiles_is_likelier_than_with_these_exchanged() -> None:
    """Six words; "bees" and "sing" cost one nat less under their own profile: 2 / 6, and as much less for the rest."""
    engine = Scripted(weigher)
    assert (await ratios(engine, talk("Bees?", "Sing?"))).faithfulness == pytest.approx(2 / 6)
    assert {(request.stage, request.role, request.conversation) for request in engine.requests} == {
        ("faithfulness", CRITIC, "t")
    }
    assert len(engine.requests) == 5, "two calls, one with two replies"
    assert (await ratios(engine, talk("Sing?", "Bees?"))).faithfulness == pytest.approx(-2 / 6)
    assert (await ratios(engine, talk("Oh.", "Well."))).faithfulness == 0
    calls = [request.messages[0][1] for request in engine.requests]
    assert all("User 1 is called Ann" in text and "User 2 is called Bo" in text for text in calls)


async def test_turns_that_answer_each_other_are_likelier_than_the_same_in_another_order() -> None:
    """Each turn takes up the last word of the one before: five nats less of 24 words, fewer in any other order."""
    chain = talk("we ask", "ask for", "for much", "much more", "more than", "than that")
    found = {(await ratios(Scripted(weigher), chain, at)).coherency for at in range(20)}
    assert len(found) > 1
    assert 1 / 24 - 1e-9 <= min(found) <= max(found) <= 5 / 24 + 1e-9
    two = talk("there we go", "go on")
    other = [(await ratios(Scripted(weigher), two, at)).coherency for at in range(9)]
    assert other == pytest.approx([1 / 9] * 9), "never their own order"


async def ratios(engine: Scripted, dialogue: Dialogue, seed: int = 0) -> Ratios:
    return await likelihood_critics.ratios(engine, CALL, dialogue, Random(seed))


async def criticised(engine: Scripted, dialogue: Dialogue, seed: int = 0) -> tuple[str, str] | None:
    return await likelihood_critics.criticised(engine, CALL, dialogue, Random(seed))


async def test_what_is_dropped_and_why() -> None:
    engine = Scripted(weigher)
    assert await criticised(engine, talk("I keep bees", "bees I sing")) is None
    assert await criticised(engine, talk("Sing?", "Bees?")) == (
        "faithfulness",
        "likelier with the profiles exchanged, by 0.333 nats a token",
    )
    jumbled = talk("we ask", "for much", "ask for", "more than", "much more")
    found = {await criticised(engine, jumbled, at) for at in range(20)}
    assert None in found
    assert any(each and each[0] == "coherency" and "in another order, by 0." in each[1] for each in found)
    long = await criticised(Scripted(lambda request: ContextOverflow("1025 of 1024")), jumbled)
    assert long == ("verdict", "the conversation does not fit the context of the critics' model: 1025 of 1024")


async def test_the_best_is_the_one_that_is_the_most_its_own_profiles() -> None:
    some, most, none = talk("Bees?", "No."), talk("Bees?", "Sing?"), talk("Oh.", "Well.")
    ranking = await likelihood_critics.rank(Scripted(weigher), CALL, [some, most, none])
    assert (ranking.best, ranking.votes, ranking.ballots, ranking.abstentions) == (1, (0.0, 1.0, 0.0), 1, 0)
    engine = Scripted(weigher)
    assert (await likelihood_critics.rank(engine, CALL, [none, none])).best == 1, (
        "who wants the place has to be better"
    )
    asked = len(engine.requests)
    assert (await likelihood_critics.rank(engine, CALL, [some])).best == 0
    assert len(engine.requests) == asked


@pytest.mark.parametrize("server", [{"prefill_logprobs": False}, {"dialects": ("openai",)}])
async def test_an_endpoint_without_log_probabilities_of_prompts_stops_the_run_before_anything_is_paid_for(
    server: dict[str, Any],
) -> None:
    recipe = make(Spc, "laptop", {"grammar": "false"})
    async with FakeTgi(**server) as running, connect(running.url, environ={}) as (engine, _):
        before = len(running.requests)
        with pytest.raises(
            Unsupported, match=r"faithfulness needs prompt log-probabilities: .*; --verdicts words asks"
        ):
            await anext(recipe.seeds(engine, Random(0), 1))
        assert len(running.requests) <= before + 1
