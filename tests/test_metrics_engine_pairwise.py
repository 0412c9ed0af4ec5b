"""Pairwise judging: wins, losses and ties by hand, and how much the order decides."""

from __future__ import annotations

import pytest

from synthesis.dialogue import Dialogue, Turn
from synthesis.engine import Request
from synthesis.engines.scripted import Scripted
from synthesis.errors import ReadingError, UserError
from synthesis.metric import averaged, scored
from synthesis.metrics.pairwise import Pairwise, opponents, position_bias
from tests.vectors import Dawdling


def talk(text: str, name: str = "d") -> Dialogue:
    return Dialogue(name, (Turn("Ada", text), Turn("Bo", "Yes.")))


LEFT, RIGHT = talk("I ski and I sing."), talk("I ski.")


def prefers(mark: str) -> Scripted:
    """A judge who names the conversation that alone has `mark`; else the first one."""

    def judge(request: Request) -> str:
        first, _, second = request.messages[0][1].partition("Conversation 2:")
        return "2" if mark in second and mark not in first else "1"

    return Scripted(judge)


@pytest.mark.parametrize(
    ("answers", "wanted"),
    [
        (("1", "2"), {"win": 1, "tie": 0, "loss": 0, "first": 0.5, "longer": 1}),
        (("2", "1"), {"win": 0, "tie": 0, "loss": 1, "first": 0.5, "longer": 0}),
        (("1", "1"), {"win": 0, "tie": 1, "loss": 0, "first": 1}),
        (("2", "2"), {"win": 0, "tie": 1, "loss": 0, "first": 0}),
    ],
    ids=["win", "loss", "first place", "second place"],
)
async def test_the_worked_example(answers: tuple[str, str], wanted: dict[str, float]) -> None:
    """The left dialogue has 5 + 1 words, the right one 2 + 1."""
    engine = Scripted([f"Conversation {answer}." for answer in answers])
    found = await Pairwise(engine, opponents([RIGHT])).score(LEFT)
    assert found == {f"pairwise_{name}": value for name, value in wanted.items()} | {
        "pairwise_words": 6,
        "pairwise_words_other": 3,
    }
    assert set(found) <= set(Pairwise.about)


async def test_both_orders_are_asked() -> None:
    engine = Scripted(["1", "2"])
    await Pairwise(engine, opponents([RIGHT]), policy="is shorter").score(LEFT)
    one, two = (request.messages[0][1] for request in engine.requests)
    head = "Conversation 1:\n{}\n\nConversation 2:\n{}\n\nWhich conversation is shorter?"
    assert one.startswith(head.format(LEFT.text(), RIGHT.text()))
    assert two.startswith(head.format(RIGHT.text(), LEFT.text()))


async def test_without_an_opponent_or_a_difference_in_length() -> None:
    judge = Pairwise(Scripted(["1", "2"]), opponents([talk("You ski.", "e")]))
    assert await judge.score(LEFT) == {}
    assert "pairwise_longer" not in await judge.score(talk("I ski.", "e"))


async def test_rates_and_bias_over_many() -> None:
    """Of six pairs two are won and one is lost on a word; the other three go to whichever is shown first."""
    lefts = [talk(text, str(at)) for at, text in enumerate(["good", "good", "so", "so", "so", "so", "alone"])]
    rights = [talk(text, str(at)) for at, text in enumerate(["so", "so", "good", "so", "thus", "then"])]
    found = await scored(Pairwise(prefers("good"), opponents(rights)), lefts)
    means = averaged(found)
    assert [means[f"pairwise_{name}"] for name in ("win", "tie", "loss", "first")] == pytest.approx(
        [2 / 6, 3 / 6, 1 / 6, (3 * 0.5 + 3) / 6]
    )
    # three of three draws: the exact interval begins at the cube root of 0.025
    assert position_bias(found) == {
        "pairwise_bias": 1,
        "pairwise_bias_low": pytest.approx(0.025 ** (1 / 3)),
        "pairwise_bias_high": 1,
    }
    dawdling = Pairwise(Dawdling(prefers("good"), 3), opponents(rights))
    assert await scored(dawdling, lefts) == found


def test_bias_is_told_by_ties_alone() -> None:
    """One of two ties went to the first place; the exact interval of 1 in 2 is 1 - sqrt(0.975) and its mirror."""
    decided = {"pairwise_win": 1.0, "pairwise_tie": 0.0, "pairwise_first": 0.5}
    ties = [{"pairwise_tie": 1.0, "pairwise_first": first} for first in (1.0, 0.0)]
    found = position_bias([decided] * 50 + ties + [{}])
    assert found["pairwise_bias"] == 0.5
    assert found["pairwise_bias_low"] == pytest.approx(1 - 0.975**0.5)
    assert found["pairwise_bias_high"] == pytest.approx(0.975**0.5)
    assert position_bias([decided]) == {}
    assert set(found) <= set(Pairwise.about)


async def test_an_answer_that_names_neither_is_an_error() -> None:
    with pytest.raises(ReadingError, match=r"pairwise: expected a reply that opens with .*'Both.* \(after 3 tries\)"):
        await Pairwise(Scripted(lambda _: "Both are fine."), opponents([RIGHT])).score(LEFT)


def test_an_id_that_comes_twice_is_refused() -> None:
    with pytest.raises(UserError, match="id 'd' comes twice"):
        opponents([LEFT, RIGHT])
