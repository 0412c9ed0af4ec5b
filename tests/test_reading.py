"""Reading: transcripts as models and published files write them, and verdicts that are never guessed."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from synthesis import dialogue, dialogue_files, reading
from synthesis.critics import faithfulness_labels
from synthesis.dialogue import Turn
from synthesis.errors import ReadingError
from synthesis.personas import query, trait

PUBLISHED = Path(__file__).resolve().parents[2] / "shared/data/spc/Synthetic-Persona-Chat_valid.csv"

utterances = st.text(st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp")), min_size=1, max_size=40).filter(
    lambda text: text == text.strip() and bool(text.strip("*_ "))
)


def read(*lines: str) -> reading.Transcript:
    return reading.transcript("\n".join(lines))


def said(*lines: str) -> list[tuple[str, str]]:
    return [(turn.speaker, turn.text) for turn in read(*lines).turns]


@given(st.lists(utterances, min_size=2, max_size=9))
@example(["#1 fan, me", "-5 degrees", "*waves* Hello", "User 2: is what I am called", "_so_ much"])
def test_a_transcript_comes_back_as_it_was(texts: list[str]) -> None:
    turns = tuple(Turn(reading.USERS[number % 2], text) for number, text in enumerate(texts))
    assert reading.transcript(dialogue.transcript(turns)) == reading.Transcript(turns, ())


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("*User 1:* Hi there!", "Hi there!"),
        ("**User 1:** Hi there!", "Hi there!"),
        ("**User 1**: Hi there!", "Hi there!"),
        ("* * User 1: * * Hi there!", "Hi there!"),
        ("* User 1: Hi there! *", "Hi there!"),
        ("__User 1:__ Hi there!", "Hi there!"),
        ("**User 1:** *waves* Hi there!", "*waves* Hi there!"),
        ("*User 1: Hi there, *you*!*", "Hi there, *you*!"),
    ],
)
def test_starred_labels(line: str, text: str) -> None:
    found = read(line, "User 2: Good day.")
    assert found.turns[0] == Turn("User 1", text)
    assert found.issues == ("starred label",)


@pytest.mark.parametrize(
    "line",
    ["user 1: Hi!", "USER 1 : Hi!", "User   1:  Hi!", "User1:Hi!", "  User 1: Hi!", "- User 1: Hi!", "> User 1: Hi!"],
)
def test_label_spellings_that_are_no_issue(line: str) -> None:
    found = read(line, "User 2: Good day.")
    assert (found.turns[0], found.issues) == (Turn("User 1", "Hi!"), ())


def test_stage_directions_and_separators_are_left_out_and_listed() -> None:
    found = read(
        "Conversation:", "User 1: Hi!", "* * *", "*At the bar*", "[laughs]", "(later)", "---", "User 2: Hello!"
    )
    assert found.turns == (Turn("User 1", "Hi!"), Turn("User 2", "Hello!"))
    assert found.issues == ("preamble", "separator", "stage direction")


def test_an_utterance_over_several_lines_is_one_turn() -> None:
    found = read("User 1: First,", "", "second: of all.", "User 2: Yes?")
    assert found.turns[0].text == "First, second: of all."
    assert found.issues == ("continued line",)


def test_one_speaker_twice_is_one_turn() -> None:
    found = read("User 1: Hi!", "User 1: Anybody?", "User 2: Me.", "User 2: ", "User 1: Good.")
    assert found.turns == (Turn("User 1", "Hi! Anybody?"), Turn("User 2", "Me."), Turn("User 1", "Good."))
    assert found.issues == ("same speaker twice", "empty turn")


@pytest.mark.parametrize(
    "text", ["", "  \n ", "Hi!\nHello!", "User 1: Hi!\nUser 1: Hello?", "User 1: Hi!\nUser 2: **", "* * *"]
)
def test_fewer_than_two_speakers_cannot_be_read(text: str) -> None:
    with pytest.raises(ReadingError) as caught:
        reading.transcript(text)
    assert caught.value.raw == text


def test_labels_of_another_recipe() -> None:
    found = reading.transcript("Agent: Where to?\nUser: To town.", ("User", "Agent"))
    assert [turn.speaker for turn in found.turns] == ["Agent", "User"]


def test_the_speakers_words_may_hold_a_label() -> None:
    assert said("User 1: I said User 2: is not a name.", "User 2: No.")[0] == (
        "User 1",
        "I said User 2: is not a name.",
    )


@pytest.mark.parametrize(
    ("text", "entries"),
    [
        ("1. Tea\n2) Rice\n(3) Oats", ["Tea", "Rice", "Oats"]),
        ("- Tea\n\n* Rice\n• Oats\n– Rye", ["Tea", "Rice", "Oats", "Rye"]),
        ("3.5 miles is what I run.\n10:30 is late.", ["3.5 miles is what I run.", "10:30 is late."]),
        ('"Tea"\n“Rice”\nI love "Dune"', ["Tea", "Rice", 'I love "Dune"']),
        ('"Tea" and "rice"', ['"Tea" and "rice"']),
    ],
)
def test_items(text: str, entries: list[str]) -> None:
    assert reading.items(text) == entries
    assert reading.sentence(text) == entries[0]


@pytest.mark.parametrize("text", ["", "\n \n", "-\n*", '""'])
def test_no_items(text: str) -> None:
    with pytest.raises(ReadingError, match="empty reply"):
        reading.items(text)


@pytest.mark.parametrize(
    ("text", "answer"),
    [("Yes", True), ("no.", False), ("**No**, it is fine", False), ("Answer: Yes, because", True), ("\n YES!", True)],
)
def test_verdict(text: str, answer: bool) -> None:
    assert reading.verdict(text) is answer


@pytest.mark.parametrize("text", ["", "Maybe", "Nothing is wrong", "Yesterday", "I think yes", "It says no"])
def test_a_verdict_is_not_guessed(text: str) -> None:
    with pytest.raises(ReadingError, match="opens with Yes or No"):
        reading.verdict(text)


@pytest.mark.parametrize(
    ("text", "option"),
    [
        ("1", "1"),
        ("2.", "2"),
        ("Conversation 2 is better than 1", "2"),
        ("**Answer:** 1", "1"),
        ("The answer is 2", "2"),
    ],
)
def test_choice(text: str, option: str) -> None:
    assert reading.choice(text, ("1", "2")) == option


@pytest.mark.parametrize("text", ["", "12", "Both", "Neither 1 nor 2", "3"])
def test_a_choice_is_not_guessed(text: str) -> None:
    with pytest.raises(ReadingError, match="opens with one of"):
        reading.choice(text, ("1", "2"))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": 1}', {"a": 1}),
        ('Sure:\n```json\n{"a": [1, 2]}\n```\nDone.', {"a": [1, 2]}),
        ("{oops} [1, 2] {}", [1, 2]),
        ('{"text": "}{"} tail', {"text": "}{"}),
    ],
)
def test_json_value(text: str, value: Any) -> None:
    assert reading.json_value(text) == value


@pytest.mark.parametrize("text", ["", "none", "{", '{"a": }', "[" * 3000, "[" + "9" * 5000 + "]"])
def test_no_json_value(text: str) -> None:
    with pytest.raises(ReadingError, match="expected JSON"):
        reading.json_value(text)


READERS: list[Callable[[str], Any]] = [
    reading.transcript,
    reading.items,
    reading.sentence,
    reading.verdict,
    reading.json_value,
    lambda text: reading.choice(text, ("1", "2")),
    lambda text: faithfulness_labels(text, 3),
    query,
    trait,
]
PIECES = [
    "User 1:",
    "User 2:",
    "*",
    "_",
    "\n",
    " ",
    "Yes",
    "1",
    ".",
    '"',
    "{",
    "[",
    "]",
    "}",
    ":",
    "I ",
    "?",
    "–",
    "\u2028",
]


@given(st.text(max_size=80) | st.lists(st.sampled_from(PIECES), max_size=30).map("".join), st.sampled_from(READERS))
def test_garbage_raises_nothing_but_a_reading_error(text: str, reader: Callable[[str], Any]) -> None:
    with contextlib.suppress(ReadingError):
        reader(text)


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("I keep bees.", "I keep bees."),
        ("- I keep bees. They are nice.", "I keep bees."),
        ("My uncle lives in St. Louis", "My uncle lives in St. Louis."),
        ("1. I’ve two sons!", "I've two sons!"),
    ],
)
def test_trait(text: str, kept: str) -> None:
    assert trait(text) == kept


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("We keep bees.", "open with I or My"),
        ("I am.", "3 to 30 words"),
        ("I live in [city] now.", "placeholder"),
        ("I wonder what it is?", "question"),
        ("I like it a lot.", "echoes"),
    ],
)
def test_no_trait(text: str, fault: str) -> None:
    with pytest.raises(ReadingError, match=fault):
        trait(text, "I like it a lot?")


def test_query() -> None:
    assert query("what do you grow? I grow tea.") == "What do you grow?"
    with pytest.raises(ReadingError, match="expected one question"):
        query("Tell me what you grow.")


@pytest.mark.skipif(not PUBLISHED.exists(), reason="the published file is not here")
def test_every_row_of_the_published_file_is_read() -> None:
    loaded = dialogue_files.load(PUBLISHED)
    assert len(loaded.dialogues) == 1000
    assert not loaded.quarantined
    assert loaded.issues["starred label"] == 3
    assert loaded.issues["same speaker twice"] == 23
    assert all(len(persona.traits) in (4, 5) for each in loaded.dialogues for persona in each.personas)
