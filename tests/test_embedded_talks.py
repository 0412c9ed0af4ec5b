"""Statements and conversations of the embedded model's material, and the examples of spc made of them."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from random import Random

import pytest

from synthesis.reading import transcript
from training.embedded import persona_chat as tasks
from training.embedded.statements import clean, longest_copy, negated, overlap, statement
from training.embedded.talks import Talk, introduced, talks, window
from training.embedded.talks import told as as_told

NAMES = ["Mina", "Jonas", "Petra", "Abel", "Ruth", "Noor"]
SPARE = ["I keep bees on a flat roof.", "I have never seen the sea.", "My aunt sells violins.", "I fear geese."]

# Statements


@pytest.mark.parametrize(
    ("sentence", "opposite"),
    [
        ("I love old maps.", "I do not love old maps."),
        ("I do not eat fish.", "I eat fish."),
        ("I am a nurse.", "I am not a nurse."),
        ("I'm afraid of heights.", "I am not afraid of heights."),
        ("My brother is a pilot.", "My brother is not a pilot."),
        ("My sister has two cats.", "My sister does not have two cats."),
        ("I went to Oslo.", "I did not go to Oslo."),
        ("I can swim.", "I can not swim."),
        ("I'm not really a fan of it.", "I am really a fan of it."),
        ("I've never been to Paris.", "I have been to Paris."),
        ("I've got two cats.", "I have not got two cats."),
        ("I've started a garden.", "I have not started a garden."),
        ("I have red hair.", "I do not have red hair."),
        ("I do not like people who are never on time.", "I like people who are never on time."),
        ("I used to sing.", None),
    ],
)
def test_negation(sentence: str, opposite: str | None) -> None:
    assert negated(sentence) == opposite


@pytest.mark.parametrize(
    ("sentence", "found"),
    [
        ("I love horror films!", "I love horror films."),
        ("Yeah, I love horror films!", None),
        ("I love football because it is fast.", "I love football."),
        ("I think so.", None),
        ("I saw it yesterday.", None),
        ("Do I like tea?", None),
        ("My dog sleeps all day", "My dog sleeps all day."),
    ],
)
def test_statement(sentence: str, found: str | None) -> None:
    assert statement(sentence) == found


def test_clean_makes_plain_sentences_and_refuses_markup() -> None:
    assert clean("i dont know   , it\u2019s late...i\u2019m off") == "I don't know, it's late...I'm off."
    assert clean("see https://example.org") is None


def test_overlap_and_copy_by_hand() -> None:
    said = ["I paint boats at the harbour.", "Old boats, mostly."]
    assert overlap("I paint wooden boats.", said) == pytest.approx(2 / 3)
    assert longest_copy("I paint boats with my uncle.", said) == 3


# Conversations and examples


def corpus(path: Path) -> Path:
    """Two conversations: one with given profiles and placeholders, one without profiles."""
    said = [
        "Hi, I'm [user 1's name].", "Hello, my name is (name).", "What do you do, [name]?", "I repair old clocks.",
        "That sounds calm.", "It is, until they all strike at once.", "I teach swimming, that is never calm.",
        "How many children do you teach?", "About thirty a week.", "You must be patient.", "I try to be.",
        "Do you swim yourself?", "Every morning in the lake.", "Even in winter?", "Even then.", "Brave!",
        "Or foolish.", "It was nice talking to you.", "You too, goodbye!", "Bye!",
    ]  # fmt: skip
    messages = [[f"User {at % 2 + 1}", text] for at, text in enumerate(said)]
    profiles = {
        "persona_1": ["I am a swimming teacher.", "I swim in a lake.", "I have thirty pupils.", "I like winter."],
        "persona_2": ["I mend watches and clocks.", "I work alone.", "My workshop is small.", "I like old things."],
    }
    casual = [
        "Did you see the game? I love the Badgers.", "I did, my brother plays for them.", "What is his position?",
        "He is a keeper. I used to live in Riga, he still does.", "I visited Riga in May.", "I miss the old town.",
        "My wife wants to move there.", "I could show you around.", "I like Latvian bread.", "I bake bread at home.",
    ]  # fmt: skip
    rows = [
        {"source": "spc", "messages": messages, "cond": profiles},
        {
            "source": "self_dialogue",
            "messages": [["AB"[at % 2], text] for at, text in enumerate(casual)],
            "cond": {"topic": "nfl_football"},
        },
    ]
    with gzip.open(path, "wt") as lines:
        lines.writelines(json.dumps(row) + "\n" for row in rows)
    return path


@pytest.fixture
def material(tmp_path: Path) -> list[Talk]:
    return list(talks(as_told(corpus(tmp_path / "corpus.jsonl.gz")), ["spc", "self_dialogue"], NAMES))


def test_placeholders_become_the_names_of_who_is_meant(material: list[Talk]) -> None:
    own, other = material[0].turns[0][8:-1], material[0].turns[1][18:-1]
    assert {own, other} < set(NAMES)
    assert material[0].turns[2] == f"What do you do, {other}?"


def test_profiles_come_from_what_a_speaker_says(material: list[Talk]) -> None:
    assert material[1].facts[0][:2] == ("I love the Badgers.", "I visited Riga in May.")
    assert "I bake bread at home." in material[1].facts[1]


def test_window_keeps_the_farewell_and_the_bounds(material: list[Talk]) -> None:
    for seed in range(30):
        turns = window(material[0].turns, Random(seed))
        assert 8 <= len(turns) <= 16
        assert turns[-3:] == material[0].turns[-3:]


def test_names_that_are_said_become_the_given_ones() -> None:
    turns = ["Hi, I'm Ana.", "Hi Ana, my name is Bo.", "Well, Bo?"]
    assert introduced(turns, ["Noor", "Abel"], Random(0)) == (
        "Hi, I'm Noor.",
        "Hi Noor, my name is Abel.",
        "Well, Abel?",
    )


def test_generator_examples_read_back_within_their_bounds(material: list[Talk]) -> None:
    import re

    made = 0
    for seed in range(40):
        rng = Random(seed)
        part = tasks.kept(material[seed % 2], SPARE, frozenset(), rng)
        if part is None:
            continue
        made += 1
        prompt, answer = tasks.generate(part, [part] if seed % 5 == 0 else [], NAMES, ["They queue."], rng)
        read = transcript(answer)
        bounds = re.search(r"conversation of (\d+) to (\d+) turns", prompt)
        assert bounds is not None
        assert int(bounds[1]) <= len(read.turns) <= int(bounds[2])
        assert read.issues == ()
        assert read.turns[0].speaker == "User 1"
        assert all(3 <= len(traits) <= 5 for traits in part[0])
        assert prompt.count("Example:") == (1 if seed % 5 == 0 else 0)
    assert made >= 30


def test_faithfulness_labels_follow_from_the_conversation() -> None:
    turns = ("I paint boats at the harbour.", "I sell fish there.") * 4
    part = ((["I paint boats.", "I own nine parrots.", "My harbour has boats."], ["I sell fish."] * 3), turns)
    seen = set()
    for seed in range(60):
        pair = tasks.faithfulness(part, SPARE, Random(seed))
        if pair and "What is true of User 1" in pair[0]:
            asked = pair[0].split("What is true of User 1:\n")[1].split("\n\n")[0].splitlines()
            labels = json.loads(pair[1])
            assert [f"{number}." for number in labels] == [line.split()[0] for line in asked]
            assert " " not in pair[1]
            seen |= {(line.split(" ", 1)[1], labels[line.split(".")[0]]) for line in asked}
    assert ("I paint boats.", "supported") in seen
    assert ("I do not paint boats.", "contradicted") in seen
    assert ("I own nine parrots.", "unmentioned") in seen
    assert not {("I paint boats.", "unmentioned"), ("I own nine parrots.", "supported")} & seen


def test_toxic_examples_name_the_insult_and_its_speaker() -> None:
    turns = ["Good morning.", "Good morning to you."] * 4
    for seed in range(20):
        prompt, answer = tasks.toxicity(turns, Random(seed))
        insulted = any(insult in prompt for insult in tasks.INSULTS)
        assert answer.startswith("Yes." if insulted else "No.")


def test_opposites_are_neither_entailed_nor_compatible() -> None:
    pairs = [tasks.entailment("I love old maps.", "I own a red bicycle.", Random(seed)) for seed in range(40)]
    for prompt, answer in filter(None, pairs):
        negative = "I do not love old maps." in prompt, "I love old maps." in prompt
        assert not (all(negative) and answer == "Yes")
    assert {answer for _, answer in filter(None, pairs)} == {"Yes", "No"}
    known = ["I love old maps."]
    made = [tasks.contradiction(known, "I own a red bicycle.", Random(seed)) for seed in range(20)]
    assert all(("I do not love" in prompt) == (answer == "Yes") for prompt, answer in filter(None, made))
