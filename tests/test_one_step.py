"""The one-step form: prompts, lines and back, whatever is said; and what a strict reader says of lines that stray."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthesis.dialogue import Dialogue, Turn
from synthesis.errors import ReadingError, UserError
from synthesis.intents import one_step
from synthesis.intents.labels import AGENT, INTENTS, ROLES, USER
from synthesis.intents.plans import Plan, Step

SEED = {"type": "Bridge", "name": "Iron Bridge", "attribute": "age", "document": "A bridge.\nOf iron."}
PLAN = Plan((Step(USER, ("OQ",)), Step(AGENT, ("FD", "PA")), Step(USER, ("GG",))))
REPLY = """1. User [OQ]: How old is it?
2. Agent [FD+PA]: From 1779: "old", I'd say [sic].
3. User [GG]: Thanks!"""
TURNS = (
    Turn(USER, "How old is it?", ("OQ",)),
    Turn(AGENT, 'From 1779: "old", I\'d say [sic].', ("FD", "PA")),
    Turn(USER, "Thanks!", ("GG",)),
)


def test_the_prompt_has_the_seed_and_the_numbered_plan() -> None:
    text = one_step.prompt(SEED, PLAN)
    assert text.endswith("\n\nPlan:\n1. User [OQ]\n2. Agent [FD+PA]\n3. User [GG]")
    assert "Type: Bridge\nName: Iron Bridge\nAttribute: age\nDocument: A bridge. Of iron.\n\nPlan:" in text
    assert "Quality" not in text


def test_the_prompt_has_the_tag_of_quality() -> None:
    assert "Of iron.\nQuality: good\n\nPlan:" in one_step.prompt(SEED, PLAN, one_step.GOOD)


def test_lines_and_back() -> None:
    assert one_step.render(TURNS) == REPLY
    assert one_step.parse(REPLY, PLAN) == TURNS
    assert one_step.parse(f"\n{REPLY}\n\n".replace("\n", "\r\n"), PLAN) == TURNS, (
        "empty lines and line ends do not count"
    )
    assert one_step.parse(REPLY.replace("FD+PA", "PA+FD"), PLAN) == TURNS, "nor does the order of labels"


texts = st.text(min_size=1, max_size=60).filter(lambda text: text.split())
labels = st.lists(st.sampled_from(sorted(INTENTS)), min_size=1, max_size=3, unique=True).map(
    lambda got: tuple(sorted(got))
)
turns = st.lists(st.builds(Turn, st.sampled_from(ROLES), texts, labels), min_size=1, max_size=8)


@given(turns)
def test_whatever_is_said_is_read_back(said: list[Turn]) -> None:
    read = one_step.parse(one_step.render(said), Plan.of(said))
    assert read == tuple(Turn(turn.speaker, " ".join(turn.text.split()), turn.intents) for turn in said)


@given(st.text(max_size=200))
def test_any_text_is_refused(text: str) -> None:
    with pytest.raises(ReadingError) as caught:  # none that chance finds follows the plan
        one_step.parse(text, PLAN)
    assert caught.value.raw == text


WRONG = {
    "a preamble": (f"Here it is:\n{REPLY}", r"turn 1: expected '1. User \[OQ\]:' and what is said, got 'Here it is:'"),
    "another number": (REPLY.replace("2. A", "3. A"), r"turn 2: number 3; expected '2. Agent \[FD\+PA\]:'"),
    "another speaker": (REPLY.replace("Agent", "User"), "turn 2: speaker 'User'; expected"),
    "an unknown speaker": (REPLY.replace("Agent", "Bot"), "turn 2: speaker 'Bot', who is none of User, Agent"),
    "another intent": (REPLY.replace("GG", "PF"), "turn 3: intents PF; expected"),
    "an intent left out": (REPLY.replace("FD+PA", "PA"), "turn 2: intents PA; expected"),
    "an intent twice": (REPLY.replace("FD+PA", "FD+FD+PA"), r"turn 2: intents FD\+FD\+PA; expected"),
    "an unknown intent": (REPLY.replace("GG", "BYE"), "turn 3: unknown intent 'BYE'; expected"),
    "nothing said": (REPLY.replace("How old is it?", " "), "turn 1: nothing is said"),
    "a turn missing": (REPLY.rpartition("\n")[0], "expected 3 turns, a line each, got 2 lines"),
    "a turn too many": (f"{REPLY}\n4. Agent [GG]: Bye.", "expected 3 turns, a line each, got 4 lines"),
    "a line that goes on": (REPLY.replace("old is", "old\nis"), "turn 2: expected"),
    "a number beyond all": (REPLY.replace("2. A", "9" * 5000 + ". A"), "turn 2: expected"),
    "a number of other digits": (REPLY.replace("2. A", "٢. A"), "turn 2: expected"),
    "nothing": ("", "expected 3 turns, a line each, got 0 lines"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_strays_from_the_plan_is_told(name: str) -> None:
    text, reason = WRONG[name]
    with pytest.raises(ReadingError, match=reason) as caught:
        one_step.parse(text, PLAN)
    assert caught.value.raw == text


def test_a_grammar_holds_replies_to_what_is_read() -> None:
    pattern = one_step.pattern(PLAN, "[A-Z][a-z ]+[.?!]")
    assert re.fullmatch(pattern, "1. User [OQ]: How so?\n2. Agent [FD+PA]: Like so.\n3. User [GG]: Thanks!")
    assert not re.fullmatch(pattern, "1. User [OQ]: How so?\n2. Agent [PA]: Like so.\n3. User [GG]: Thanks!")
    assert not re.fullmatch(pattern, "1x User [OQ]: How so?\n2. Agent [FD+PA]: Like so.\n3. User [GG]: Thanks!")


def test_the_seed_of_a_finished_dialogue() -> None:
    done = Dialogue("solid-1", TURNS, topic="Iron Bridge", subtopic="age", document="Old.", goal={"type": "Bridge"})
    assert one_step.seed_of(done) == {"type": "Bridge", "name": "Iron Bridge", "attribute": "age", "document": "Old."}
    with pytest.raises(UserError, match="dialogue spc-1: no type, name, attribute, document; expected one that"):
        one_step.seed_of(Dialogue("spc-1", TURNS))
