"""Slots read by rules, sentences of phrases, what verification holds them to, and the published reconciliation."""

from __future__ import annotations

import functools
import re
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthesis.dialogue import Lookup, Turn
from synthesis.errors import ReadingError, UserError
from synthesis.recipe import Dropped
from synthesis.recipes.luas import HERE
from synthesis.task_oriented import spotting, wording
from synthesis.task_oriented.acts import Act, written
from synthesis.task_oriented.free_talk import trimmed
from synthesis.task_oriented.goal_drawing import Drawing, from_database
from synthesis.task_oriented.machine import Conversation
from synthesis.task_oriented.policy import Policy
from synthesis.task_oriented.reconcile import offered, reconciled
from synthesis.task_oriented.setting import Setting
from synthesis.task_oriented.spoken import slot_words, titled, words_of
from synthesis.task_oriented.state import SYSTEM, USER, State
from synthesis.task_oriented.steps import ANSWER, INFORM, RECOMMEND, UPDATE, Step
from synthesis.task_oriented.verification import misread, same, told

SGD = Path(__file__).resolve().parents[2] / "shared/data/sgd/dev"
MULTIWOZ = Path(__file__).resolve().parents[2] / "shared/data/multiwoz"


@functools.cache
def setting(folder: Path = HERE / "luas_ontology") -> Setting:
    return Setting.read(folder, HERE / "luas_phrases.json")


def read(utterance: str, heard: str = "", before: State | None = None, domain: str | None = None) -> dict[str, str]:
    """What the rules read."""
    history = [Turn(SYSTEM, heard)] if heard else []
    return dict(setting().rules.read(utterance, history, before or {}, domain).told)


# ---- the reader by rules --------------------------------------------------------------------------------------------

SAID: list[tuple[str, str, State, str | None, State]] = [
    ("I need a cheap restaurant in the centre.", "", {}, None, {"pricerange": "cheap", "area": "centre"}),
    ("Any inexpensive places to eat downtown?", "", {}, None, {"pricerange": "cheap", "area": "centre"}),
    ("It should serve Italian food", "", {}, "restaurant", {"food": "italian"}),
    (
        "A table for two at 7 pm on Friday.",
        "",
        {},
        None,
        {"bookpeople": "2", "booktime": "19:00", "bookday": "friday"},
    ),
    ("Just me.", "How many people will there be?", {}, "restaurant", {"bookpeople": "1"}),
    ("5, please", "For how many people?", {}, "restaurant", {"bookpeople": "5"}),
    ("The price doesn't matter.", "", {}, "restaurant", {"pricerange": "dontcare"}),
    ("I have no preference.", "What area would you like?", {}, "restaurant", {"area": "dontcare"}),
    ("What is the phone number?", "", {}, "restaurant", {}),
    (
        "I want a guest house with free wifi but no parking",
        "",
        {},
        None,
        {"type": "guesthouse", "internet": "yes", "parking": "no"},
    ),
    ("Yes.", "Do you need parking?", {}, "hotel", {"parking": "yes"}),
    (
        "A 4-star place to stay for 3 nights from Monday",
        "",
        {},
        None,
        {"stars": "4", "bookstay": "3", "bookday": "monday"},
    ),
    ("A train leaving after 9:15", "", {}, None, {"leaveat": "09:15"}),
    ("I need to arrive by half past five in the afternoon", "", {}, "train", {"arriveby": "17:30"}),
    ("16:00", "By what time should you be there?", {}, "train", {"arriveby": "16:00"}),
    ("A place to stay in the same area as the restaurant", "", {"restaurant-area": "west"}, None, {"area": "west"}),
    ("A taxi from the hotel", "", {"hotel-name": "the hollies"}, None, {"departure": "the hollies"}),
    ("in time for the restaurant booking", "", {"restaurant-booktime": "18:30"}, "taxi", {"arriveby": "18:30"}),
]


@pytest.mark.parametrize(("utterance", "heard", "before", "domain", "expected"), SAID)
def test_slots_read_by_rules(utterance: str, heard: str, before: State, domain: str | None, expected: State) -> None:
    found = {name.partition("-")[2]: value for name, value in read(utterance, heard, before, domain).items()}
    assert found == expected


def test_an_offer_is_taken_without_its_name_and_not_before() -> None:
    name = setting().database.names("restaurant")[0]
    heard = f"How about {titled(name)}?"
    assert read("That sounds good, please book it.", heard, {}, "restaurant") == {"restaurant-name": name}
    assert read("Is there another one instead?", heard, {}, "restaurant") == {}
    assert read("That sounds good.", "There are several.", {}, "restaurant") == {}
    two = f"{heard} Or {titled(setting().database.names('restaurant')[1])}?"
    assert read("That sounds good.", two, {}, "restaurant") == {}, "which of them, nobody can tell"


def test_where_from_and_where_to() -> None:
    one, other, *_ = setting().ontology.slots["train-departure"].values
    assert read(f"I need a train from {titled(one)} to {titled(other)}.") == {
        "train-departure": one,
        "train-destination": other,
    }
    assert read(titled(one), "Where does the journey begin?", {}, "train") == {"train-departure": one}


@settings(max_examples=40, deadline=None)
@given(st.text(max_size=80), st.text(max_size=40))
def test_anything_can_be_read(utterance: str, heard: str) -> None:
    slots = setting().ontology.slots
    for name, value in read(utterance, heard, {}, "hotel").items():
        assert name in slots
        assert value


# ---- phrases --------------------------------------------------------------------------------------------------------


def walk(folder: Path, seed: int) -> list[tuple[Step, str, str | None]]:
    """Steps of a conversation, how each was said, and why the words are wrong."""
    of = setting(folder)
    rng = Random(seed)
    goal = from_database(of.ontology, of.database, rng, Drawing())
    talk = Conversation(goal, of.ontology, of.database, Policy(), rng)
    turns: list[Turn] = []
    found: list[tuple[Step, str, str | None]] = []
    state: State = {}
    while (step := talk.user()) is not None:
        for speaker in (USER, SYSTEM):
            step = step if speaker == USER else talk.agent()
            text = of.phrases.candidates(step, turns, 1, rng)[0]
            about = next((turn.domain for turn in reversed(turns) if turn.domain != "general"), None)
            if speaker == USER:
                given_ = of.rules.read(text, turns, state, about).told
                state = step.state or {}
                fault = misread(given_, told(step.acts, of.ontology), state)
                talk.heard()
            else:
                fault = of.grounding.fault(text, step, turns, state)
                talk.said()
            turns.append(Turn(speaker, text, (), written(step.acts), step.state, step.domain, step.lookup))
            found.append((step, text, fault))
    return found


def test_what_is_said_in_phrases_is_read_again_and_grounded() -> None:
    said = [each for seed in range(60) for each in walk(HERE / "luas_ontology", seed)]
    wrong = [(text, fault) for _, text, fault in said if fault]
    assert len(said) > 900
    assert len(wrong) <= 0.005 * len(said), wrong[:5]
    for _, text, _ in said:
        assert not re.search(r"[{}]|\b(?:None|dontcare)\b|  |\ba [aeio]", text.replace("a one", "")), text
        assert text[0].isupper() or text[0].isdigit()
        assert text[-1] in ".?!"


@pytest.mark.skipif(not MULTIWOZ.is_dir(), reason="the public data are not at hand")
def test_phrases_over_the_rows_of_multiwoz() -> None:
    said = []
    for seed in range(20):
        try:
            said += walk(MULTIWOZ, seed)
        except (Dropped, UserError):
            continue
    assert len(said) > 200
    assert sum(1 for _, _, fault in said if fault) <= 0.01 * len(said)


@pytest.mark.skipif(not SGD.is_dir(), reason="the public data are not at hand")
def test_phrases_of_a_schema_that_they_do_not_know() -> None:
    said: list[tuple[Step, str, str | None]] = []
    for seed in range(30):
        try:
            said += walk(SGD, seed)
        except (Dropped, UserError):
            continue
    assert len(said) > 50
    assert all(text and "{" not in text for _, text, _ in said)
    assert sum(1 for _, _, fault in said if fault) <= 0.02 * len(said)


def test_a_reference_stands_for_its_value() -> None:
    act = Act("hotel", "inform", "area", "north")
    step = Step(USER, "hotel", INFORM, (act,), {"hotel-area": "north"}, None, {"area": "restaurant-area"})
    texts = setting().phrases.candidates(step, [Turn(USER, "Hello.", domain="restaurant")], 20, Random(0))
    assert len(texts) > 4
    assert all("as the restaurant" in text and "north" not in text for text in texts)


def test_an_update_asks_anew_and_does_not_care_in_words() -> None:
    step = Step(USER, "hotel", UPDATE, (Act("hotel", "inform", "stars", "dontcare"),), {"hotel-stars": "dontcare"})
    for text in setting().phrases.candidates(step, [Turn(USER, "Hello.", domain="hotel")], 10, Random(0)):
        assert read(text, "", {}, "hotel") == {"hotel-stars": "dontcare"}


def test_a_template_tells_nothing_but_its_acts() -> None:
    row = {"name": "the hollies", "area": "north", "stars": "4"}
    acts = (Act("hotel", "recommend", "name", "the hollies"), Act("hotel", "inform", "stars", "4"))
    step = Step(SYSTEM, "hotel", RECOMMEND, acts, None, Lookup("hotel", {}, 7, (row,)))
    for text in setting().phrases.candidates(step, [], 30, Random(0)):
        assert "The Hollies" in text
        assert "4" in text
        assert "north" not in text


# ---- verification ---------------------------------------------------------------------------------------------------


def test_what_is_misread() -> None:
    state = {"hotel-area": "north", "hotel-stars": "4"}
    wanted = {"hotel-stars": "4"}
    assert misread({"hotel-stars": "4"}, wanted, state) is None
    assert misread({"hotel-stars": "4", "hotel-area": "North"}, wanted, state) is None, "said again, and still so"
    assert misread({}, wanted, state) == "missing slot: hotel-stars: expected '4', read nothing"
    assert misread({"hotel-stars": "3"}, wanted, state) == "wrong value: hotel-stars: expected '4', read '3'"
    added = misread({"hotel-stars": "4", "hotel-type": "hotel"}, wanted, state)
    assert added == "added slot: hotel-type: expected nothing, read 'hotel'"
    changed = misread({"hotel-stars": "4", "hotel-area": "south"}, wanted, state)
    assert changed == "changed slot: hotel-area: expected 'north', read 'south'"
    assert same("centre|center", "Center")
    assert not same("centre", "central")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("The phone number is 01632960111.", None),
        ("Call 01632960111, any time.", None),
        ("The phone number is 01632960112.", "unsaid value"),
        ("It is 01632960111 or 01632960999.", "invented: '01632960999'"),
        ("It is 01632960111; ask for Madam Eulalie Potts there.", "invented: 'Madam Eulalie Potts'"),
        ("It is 01632960111. They open at 06:05.", "invented: '06:05'"),
    ],
)
def test_what_an_agent_may_say(text: str, fault: str | None) -> None:
    row = {"name": "the hollies", "phone": "01632960111"}
    step = Step(
        SYSTEM, "hotel", ANSWER, (Act("hotel", "inform", "phone", row["phone"]),), None, Lookup("hotel", {}, 1, (row,))
    )
    found = setting().grounding.fault(text, step, [], {})
    assert found is None if fault is None else str(found).startswith(fault)


# ---- reconciliation -------------------------------------------------------------------------------------------------

REVEALED = {
    "hotel-area": "north",
    "hotel-type": "guesthouse",
    "train-arriveby": "10:15",
    "train-destination": "ostley",
    "restaurant-food": "thai",
}
MENDED: list[tuple[str, State, State]] = [
    ("1 no such slot", {"hotel-wings": "2"}, {}),
    ("1 not in the list", {"hotel-area": "upstairs"}, {}),
    ("2 swapped times", {"train-leaveat": "10:15"}, {"train-arriveby": "10:15"}),
    ("2 swapped places", {"train-departure": "ostley"}, {"train-destination": "ostley"}),
    ("2 unrevealed", {"train-leaveat": "23:00"}, {}),
    ("3 a name too early", {"hotel-name": "the hollies"}, {}),
    ("4 overwritten", {"hotel-area": "south"}, {"hotel-area": "north"}),
    ("4 unrevealed", {"hotel-stars": "3"}, {}),
    ("food is left alone", {"restaurant-food": "italian"}, {"restaurant-food": "italian"}),
]


@pytest.mark.parametrize(("what", "found", "expected"), MENDED)
def test_reconciliation(what: str, found: State, expected: State) -> None:
    state, mended = reconciled(found, REVEALED, setting().ontology)
    assert state == {"hotel-type": "guesthouse", **expected}, "rule 3 adds a hotel's type"
    assert len(mended) == (1 if found == expected else 2)


def test_a_revealed_name_is_the_goals() -> None:
    state, _ = reconciled({"hotel-name": "hollies"}, {"hotel-name": "the hollies"}, setting().ontology)
    assert state == {"hotel-name": "the hollies"}


def test_the_name_that_was_offered() -> None:
    assert offered("Hollies", ["the hollies", "the packhorse"]) == "the hollies"
    assert offered("Grand Budapest", ["the hollies", "the packhorse"]) is None
    assert offered("Hollies", []) is None


# ---- reading replies, and small words -------------------------------------------------------------------------------


def test_messages_and_their_marks() -> None:
    assert wording.said('Visitor: "Hello there."', USER) == "Hello there."
    assert wording.unmarked("Please pick one. [RECOM]") == ("Please pick one.", frozenset({"[RECOM]"}))
    for text in ("", "  ", '{"utterance": "x"}', "```"):
        with pytest.raises(ReadingError):
            wording.said(text, USER)


def test_slots_of_a_reply() -> None:
    assert wording.slots_read('Sure: {"hotel-stars": 4, "hotel-area": ""}') == {"hotel-stars": "4"}
    for text in ("no", "[1]", '{"hotel-area": ["north"]}', '{"hotel-area": true}'):
        with pytest.raises(ReadingError):
            wording.slots_read(text)
    assert wording.spelled(setting().ontology, "train-leaveat", "5:45 pm") == "17:45"
    assert wording.spelled(setting().ontology, "hotel-area", "North") == "north"
    assert wording.spelled(setting().ontology, "hotel-area", "upstairs") == "upstairs"


def test_a_long_message_keeps_its_first_question() -> None:
    assert trimmed("If you like, I can book. Shall I?") == "Shall I?"
    long = "There are many places that would suit you very well in that part of our old town. Which day? Which time?"
    assert trimmed(long).endswith("Which day?")


def test_small_words() -> None:
    assert spotting.counted("a table for four people", "people") == "4"
    assert spotting.counted("for 2 nights", "people") is None
    assert spotting.bare("we are six") == "6"
    assert spotting.plain("It does n’t  matter") == "it doesn't matter"
    assert titled("house of the rising bread") == "House of the Rising Bread"
    assert (words_of("RentalCars_1"), slot_words("number_of_riders")) == ("rental cars", "number of riders")
