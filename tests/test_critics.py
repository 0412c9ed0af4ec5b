"""Critics: votes by hand-worked numbers, and verdicts that count only when they can be read."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from random import Random

import pytest

from synthesis import critics
from synthesis.asking import Account, ask, together
from synthesis.dialogue import Dialogue, Persona, Stage, Turn
from synthesis.engine import Reply, Request
from synthesis.engines.scripted import Scripted
from synthesis.errors import ReadingError, RequestRefused, Unavailable
from synthesis.personas import GREEDY, Sampling
from synthesis.reading import USERS, verdict
from tests.vectors import Dawdling

SAMPLED = Sampling(0.7, 40)
PERSONAS = (Persona("1", ("I ski.", "I keep bees.")), Persona("2", ("I sing.",)))


def talk(first: str, second: str = "Hello.") -> Dialogue:
    return Dialogue("d", (Turn("User 1", first), Turn("User 2", second)), PERSONAS)


THREE = [talk("Conversation A."), talk("Conversation B."), talk("Conversation C.")]


def prompt(request: Request) -> str:
    return request.messages[-1][1]


# ---- votes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wins", "best", "votes"),
    [
        ({"depth": [1, 0], "likability": [0, 1], "diversity": [0, 1]}, 1, (1, 2)),
        ({"depth": [2, 1, 0], "likability": [0, 1, 2], "diversity": [0.5, 1.5, 1]}, 1, (1, 1, 1)),
        ({"depth": [1, 1, 1], "likability": [2, 1, 0]}, 0, (4 / 3, 1 / 3, 1 / 3)),
        ({"depth": [1.5, 1.5, 0]}, None, (0.5, 0.5, 0)),
    ],
    ids=["plurality", "totals when votes tie", "a tie shares the vote", "chance at last"],
)
def test_tally(wins: dict[str, list[float]], best: int | None, votes: tuple[float, ...]) -> None:
    found = critics.tally(wins, 3, Random(0))
    assert found.votes == pytest.approx(votes)
    assert found.abstentions == 3
    assert found.best == best if best is not None else found.best in (0, 1)


def test_chance_is_fair_and_repeatable() -> None:
    tied = {"depth": [1.0, 1.0]}
    chosen = [critics.tally(tied, 0, Random(seed)).best for seed in range(100)]
    assert 30 < sum(chosen) < 70
    assert chosen == [critics.tally(tied, 0, Random(seed)).best for seed in range(100)]


@pytest.mark.parametrize(("swap", "votes", "requests"), [(True, (2.5, 2.5), 10), (False, (5, 0), 5)])
async def test_comparing_in_both_orders_cancels_a_bias_for_the_first(
    swap: bool, votes: tuple[float, ...], requests: int
) -> None:
    engine = Scripted(lambda request: "1")
    found = await critics.rank(engine, THREE[:2], GREEDY, swap, Random(0))
    assert found.votes == votes
    assert len(engine.requests) == requests
    assert {request.role for request in engine.requests} == {"critic"}


def prefers(*order: str) -> Callable[[Request], str]:
    """A judge with an order of preference."""

    def judge(request: Request) -> str:
        place = [prompt(request).find(f"Conversation {name}.") for name in order]
        best = min((at for at in place if at >= 0), key=place.index)
        return "1" if best == min(at for at in place if at >= 0) else "Conversation 2"

    return judge


async def test_the_best_of_three() -> None:
    found = await critics.rank(Scripted(prefers("B", "C", "A")), THREE, SAMPLED, True, Random(0))
    assert (found.best, found.votes, found.abstentions) == (1, (0, 5, 0), 0)


async def test_one_candidate_needs_no_comparison() -> None:
    found = await critics.rank(Scripted([]), THREE[:1], SAMPLED, True, Random(0))
    assert (found.best, found.votes) == (0, (5,))


async def test_an_expert_that_cannot_be_read_abstains() -> None:
    def judge(request: Request) -> str:
        return "Both are fine." if critics.EXPERTS["depth"] in prompt(request) else prefers("B", "A")(request)

    engine = Scripted(judge)
    found = await critics.rank(engine, THREE[:2], GREEDY, True, Random(0))
    assert (found.best, found.votes, found.abstentions) == (1, (0.5, 4.5), 2)
    asked = [request for request in engine.requests if critics.EXPERTS["depth"] in prompt(request)]
    assert len(asked) == 2 * 3, "each comparison is tried three times"


async def test_ranking_does_not_depend_on_who_answers_first() -> None:
    def judge(request: Request) -> str:
        return Random(f"{prompt(request)}{request.seed}").choice(["1", "2", "neither"])

    found = [await critics.rank(Dawdling(Scripted(judge), seed), THREE, SAMPLED, True, Random(7)) for seed in range(3)]
    assert found[0] == found[1] == found[2]


# ---- faithfulness and toxicity --------------------------------------------------------------------------------------


def test_faithfulness_labels() -> None:
    text = 'Here: {"2": "contradicted", "1": "supported"}'
    assert critics.faithfulness_labels(text, 2) == ["supported", "contradicted"]
    assert critics.faithfulness_schema(2)["required"] == ["1", "2"]


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        "{}",
        '{"1": "supported"}',
        '{"1": "supported", "2": "supported", "3": "supported"}',
        '{"1": "supported", "2": "maybe"}',
        '{"1": "supported", "2": null}',
        '{"1": "supported", "2": ["supported"]}',
    ],
)
def test_labels_are_all_there_or_none(text: str) -> None:
    with pytest.raises(ReadingError, match="for the numbers 1 to 2"):
        critics.faithfulness_labels(text, 2)


def labels(first: list[str], second: list[str]) -> Callable[[Request], str]:
    def judge(request: Request) -> str:
        given = first if "What is true of User 1" in prompt(request) else second
        return json.dumps(dict(zip("12", given, strict=False)))

    return judge


async def test_each_speaker_is_held_to_their_own_profile() -> None:
    engine = Scripted(labels(["supported", "unmentioned"], ["unmentioned"]))
    assert await critics.unfaithful(engine, THREE[0], Random(0)) is None
    assert [request.temperature for request in engine.requests] == [None, None]
    first = prompt(engine.requests[0])
    assert "1. I ski.\n2. I keep bees." in first
    assert "I sing." not in first
    engine = Scripted(labels(["supported", "contradicted"], ["contradicted"]))
    assert await critics.unfaithful(engine, THREE[0], Random(0)) == "contradiction: User 1 against 'I keep bees.'"


async def test_a_verdict_cut_off_is_asked_for_again() -> None:
    whole = labels(["supported", "supported"], ["supported"])

    def judge(request: Request) -> str | Reply:
        return whole(request) if request.seed is not None else Reply(whole(request), "length", 9, 9)

    engine = Scripted(judge)
    assert await critics.unfaithful(engine, THREE[0], Random(0)) is None
    assert sorted(request.temperature or 0 for request in engine.requests) == [0, 0, 0.7, 0.7]


async def test_verdicts_that_cannot_be_read_raise_after_three_tries() -> None:
    engine = Scripted(lambda request: "I would rather not say.")
    with pytest.raises(ReadingError, match=r"faithfulness: expected JSON.*\(after 3 tries\)") as caught:
        await critics.unfaithful(engine, THREE[0], Random(0))
    assert caught.value.raw == "I would rather not say."
    assert len(engine.requests) == 6


async def test_whose_verdict_comes_first_shows_neither_in_the_reason_nor_in_the_account() -> None:
    class Mystery:
        def __init__(self, slow: str) -> None:
            self._slow = slow

        async def __call__(self, request: Request) -> Reply:
            user = prompt(request).partition("What is true of ")[2][:6]
            await asyncio.sleep(0.005 * (user == self._slow))
            return Reply(f"{user} is a mystery.", "eos_token", 9, 4)

    found = []
    for slow in USERS:
        account = Account(Mystery(slow))
        with pytest.raises(ReadingError) as caught:
            await critics.unfaithful(account, THREE[0], Random(0))
        found.append((caught.value.raw, account.stages()))
    assert found[0] == found[1]
    assert found[0][0] == "User 1 is a mystery."
    assert found[0][1][0].requests == 6


@pytest.mark.parametrize(
    ("reply", "reason"),
    [("No. All fits.", None), ("Yes. User 1 hates bees.", "contradiction: by the published critic")],
)
async def test_the_published_critic(reply: str, reason: str | None) -> None:
    engine = Scripted([reply])
    assert await critics.unfaithful_as_published(engine, THREE[0], SAMPLED, Random(0)) == reason
    assert prompt(engine.requests[0]).endswith(
        "User 1: I ski. I keep bees.\nUser 2: I sing.\nConversation:\nUser 1: Conversation A.\nUser 2: Hello.\nAnswer:"
    )
    assert engine.requests[0].top_k == 40


@pytest.mark.parametrize(("reply", "reason"), [("No, all is kind.", None), ("Yes, rude.", "toxic: 'Yes, rude.'")])
async def test_toxicity(reply: str, reason: str | None) -> None:
    assert await critics.toxic(Scripted([reply]), THREE[0], GREEDY, Random(0)) == reason


# ---- asking ---------------------------------------------------------------------------------------------------------


async def test_every_try_has_a_seed_of_its_own() -> None:
    engine = Scripted(["Hm.", "Perhaps.", "Yes."])
    request = Request("toxicity", 4, prompt="Rude?", temperature=0.7)
    assert await ask(engine, request, verdict, Random(0)) is True
    assert len({request.seed for request in engine.requests}) == 3


async def test_an_error_of_the_endpoint_is_not_asked_again() -> None:
    with pytest.raises(Unavailable):
        await ask(Scripted([Unavailable("gone")]), Request("toxicity", 4, prompt="Rude?"), verdict, Random(0))


async def test_an_account_counts_what_failed_too() -> None:
    account = Account(Scripted(["one two", RequestRefused("no")]))
    await account(Request("a", 4, prompt="say it", temperature=0.5))
    with pytest.raises(RequestRefused):
        await account(Request("a", 4, prompt="say it"))
    assert account.stages() == (Stage("a", "generator", 2, 2, 2, {"temperature": 0.5, "max_new_tokens": 4}),)


async def test_together_waits_for_all_and_raises_the_first_in_order() -> None:
    ended: list[str] = []

    async def call(name: str, seconds: float, error: Exception | None = None) -> str:
        await asyncio.sleep(seconds)
        ended.append(name)
        if error:
            raise error
        return name

    assert await together([call("a", 0.01), call("b", 0)]) == ["a", "b"]
    with pytest.raises(ReadingError, match="late"):
        await together(
            [call("c", 0.02, ReadingError("late", "")), call("d", 0, RequestRefused("no")), call("e", 0.03)]
        )
    assert ended == ["b", "a", "d", "c", "e"]
    with pytest.raises(Unavailable):
        await together([call("f", 60), call("g", 0, Unavailable("gone"))])
    assert ended[5:] == ["g"], "nobody waits for an endpoint that is gone"
