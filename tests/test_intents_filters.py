"""Filters of labelled utterances, each with what it keeps, what it drops, and hand-worked ROUGE-L."""

from __future__ import annotations

import pytest

from synthesis.dialogue import Dialogue, Turn
from synthesis.engines.scripted import Scripted
from synthesis.errors import ReadingError
from synthesis.filter import Filter
from synthesis.filters.intents import Consistent, codes
from synthesis.filters.utterances import Leaked, OptOut, Repeated, Said, bare_role, rouge_l
from synthesis.intents.labels import AGENT, INTENTS, USER

QUESTION = Turn(USER, "How old is the bridge?", ("OQ",))


def dialogue(*texts: str, intents: tuple[str, ...] = ("PA",), document: str | None = None) -> Dialogue:
    """A question and what the agent says to it."""
    return Dialogue("x", (QUESTION, *(Turn(AGENT, text, intents) for text in texts)), document=document)


def test_rouge_l_by_hand() -> None:
    one, other = "the old bridge is long".split(), "the bridge is very long".split()
    assert rouge_l(one, other) == pytest.approx(2 * 4 / 10), "the bridge is long"
    assert rouge_l(one, one) == 1
    assert rouge_l(one, "no common word".split()) == 0
    assert rouge_l([], []) == 0


TEN = "one two three four five six seven eight nine ten"

CASES: list[tuple[Filter, Dialogue, str | None]] = [
    (Said(), dialogue("Very old."), None),
    (Said(), dialogue(" "), "empty utterance: turn 2"),
    (Said(), dialogue("Old."), "short utterance: 1 words, turn 2"),
    (Said(), dialogue("🙃", intents=("JK",)), None),
    (Said(), dialogue("Thanks!", intents=("GG",)), None),
    (Said(), dialogue("N/A", intents=("O",)), None),
    (Said(), dialogue("", intents=("O",)), "empty utterance: turn 2"),
    (Said(shortest=1), dialogue("Old."), None),
    (Repeated(), dialogue("It is old.", "It is very long."), None),
    (Repeated(), dialogue("How old is the BRIDGE"), "repeated utterance: turn 2 is turn 1 again"),
    (Repeated(), dialogue("It is old.", "Well yes.", "it is old"), "repeated utterance: turn 4 is turn 2 again"),
    (Repeated(), dialogue(TEN, f"{TEN} eleven"), "nearly repeated utterance: turn 3, ROUGE-L 0.95 to the one before"),
    (Repeated(same=0.96), dialogue(TEN, f"{TEN} eleven"), None),
    (Repeated(), dialogue(TEN, "Well yes.", f"{TEN} eleven"), None),
    (Repeated(), dialogue("🙃", "🙂"), None),
    (Repeated(), dialogue("🙃", "🙃"), "repeated utterance: turn 3 is turn 2 again"),
    (Leaked(), dialogue("Two things matter: its age and its wood."), None),
    (Leaked(), dialogue("Agent: it is old"), "leaked label: 'Agent:', turn 2"),
    (Leaked(), dialogue("It is. Negative Feedback: no."), "leaked label: '. Negative Feedback:', turn 2"),
    (Leaked(), dialogue("**Agent:** it is old"), "leaked label: '**Agent:', turn 2"),
    (Leaked(), dialogue("(user): how old?"), "leaked label: '(user):', turn 2"),
    (Leaked(), dialogue("Here it is: Agent: it is old"), "leaked label: ': Agent:', turn 2"),
    (Leaked(), dialogue("[PA] It is old."), "leaked label: '[PA]', turn 2"),
    (Leaked(), dialogue("[FD+NF] It is old."), "leaked label: '[FD+NF]', turn 2"),
    (Leaked(), dialogue("My user: he is old."), None),
    (
        Leaked(),
        dialogue(f"Sure, {INTENTS['PA'].agent}"),
        "leaked instruction: 'a possible answer to the question', turn 2",
    ),
    (Leaked(), dialogue(INTENTS["PA"].agent, intents=("JK",)), None),
    (OptOut(), dialogue("It is old.", document="A bridge."), None),
    (OptOut(), dialogue("It is old.", document="N/A"), "declined document: opens with N/A"),
    (OptOut(), dialogue("n/a."), "declined utterance: turn 2 opens with N/A"),
    (OptOut(), dialogue("N/A", intents=("O",)), None),
]


@pytest.mark.parametrize(("judge", "of", "reason"), CASES)
async def test_what_is_kept_and_what_is_dropped(judge: Filter, of: Dialogue, reason: str | None) -> None:
    assert await judge(of) == reason


async def test_a_merged_instruction_leaks_as_well() -> None:
    merged = "Give an answer while you also mention what it costs."
    told = Dialogue("x", dialogue("You also mention what it costs.").turns, goal={"instructions": ["Ask.", merged]})
    assert await Leaked()(told) == "leaked instruction: 'you also mention what it costs', turn 2"


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("User encoura.", "User encoura"),
        ("Agent ency, and that is that.", "Agent ency"),
        ("Yes. User ideas are the best.", "User ideas"),
        ("User 1 likes the NFL.", "User 1"),
        ("Agent says that it is old.", "Agent says"),
        ("User Xorley, you know.", "User Xorley"),
        ("User interfaces are older than that.", None),
        ("User experience matters, and user reviews say so.", None),
        ("Agent fees are paid by the buyer. User stories are not.", None),
        ("User and group are two columns of the table.", None),
        ("User-friendly it is not.", None),
        ("Users say so. Agents say so, too.", None),
        ("Agent Smith is in three of the films.", None),
        ("Agent 007 is.", None),
        ("Agent, can you help me?", None),
        ("Agent here, how can I help?", None),
        ("The user encourages nobody, and every User knows.", None),
    ],
)
def test_a_role_without_its_colon_where_a_sentence_begins(text: str, label: str | None) -> None:
    assert bare_role(text) == label


def test_codes_are_read_out_of_words() -> None:
    assert codes("PA") == {"PA"}
    assert codes("I find FD and OQ, but no XY.") == {"FD", "OQ"}
    assert codes("O") == {"O"}
    with pytest.raises(ReadingError, match="expected codes of intents such as FD, NF, got 'a potential answer'"):
        codes("a potential answer")


async def test_a_critic_that_names_no_intent_is_an_error() -> None:
    with pytest.raises(ReadingError, match="intents: expected codes"):
        await Consistent(Scripted(lambda request: "Hm."))(dialogue("It is old."))
