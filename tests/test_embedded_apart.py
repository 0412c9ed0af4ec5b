"""What is held out of the embedded model's material stays out: no learned row has a word of a held-out dialogue."""

from __future__ import annotations

import gzip
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from training.embedded import apart
from training.embedded.__main__ import main
from training.embedded.row import Row, held_out
from training.embedded.talks import named, told

SOURCES = ("self_dialogue", "sgd", "topical_chat", "spc")
DIALOGUES = 400
ENDINGS = "ba de fi go ku la me ni po ru".split()
WORD = re.compile(r"\b(?:zu|xo)[a-z]{6}\b")


def word(number: int, head: str = "Zu") -> str:
    """A word that a single dialogue has."""
    return head + "".join(ENDINGS[int(digit)] for digit in f"{number:03}")


def chat(of: str, quoted: str) -> list[str]:
    """Two who ask, answer and tell of themselves, the word in each turn but the quotation."""
    return [
        f"Hello there, do you know the museum of {of}?", f"I visited the museum of {of} with my brother last summer.",
        f"What do people see at the museum of {of}?", f"People see old ships and many maps at the museum of {of}.",
        f"I love {of} music.", f"I play {of} songs every week.",
        f"Who built the harbor of {of} so long ago?", f"A rich family of traders built the harbor of {of}.",
        f"I grow {of} plants in my garden.", quoted, f"I bake {of} bread on Sundays.", f"Good bye and off to {of}.",
    ]  # fmt: skip


def served(of: str) -> list[str]:
    return [
        f"I am looking for a restaurant in {of}. It should serve fish.", f"Do you prefer the north of {of}?",
        f"Yes, the north of {of} please.", f"The Golden Anchor of {of} is a cheap restaurant that serves fish.",
        f"No, is there another in {of}?", f"There is also the Blue Heron of {of}, which serves fish as well.",
    ]  # fmt: skip


def dialogues() -> Iterator[dict[str, Any]]:
    """Dialogues with a word of their own each, and a quotation of some elsewhere, under another source."""
    rng = Random(0)
    for number in range(DIALOGUES):
        of, quoted = word(number), word(number, "Xo")
        quote = f"In old {quoted} a list was kept of every single boat that came, and of the day on which it left."
        source = rng.choice(SOURCES)
        said = served(of) if source == "sgd" else chat(of, quote)
        profiles = [[f"I am fond of {of}.", f"I left {of}.", "I cook."], [f"I know {of}.", "I sew.", f"I miss {of}."]]
        about = {f"persona_{user + 1}": profiles[user] for user in (0, 1)} if source == "spc" else {"topic": "music"}
        names = ("user", "system") if source == "sgd" else ("A", "B")
        yield {"source": source, "messages": [[names[at % 2], text] for at, text in enumerate(said)], "cond": about}
        if number % 5 == 0 and source != "sgd":
            yield {"source": "qmsum_qa", "messages": [["user", "What was kept?"], ["system", quote]], "cond": {}}


def words(path: Path) -> set[str]:
    return set(WORD.findall(path.read_text().lower()))


def test_no_learned_row_has_a_word_of_what_is_held_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "corpus" / "dialogues.jsonl.gz"
    file.parent.mkdir()
    with gzip.open(file, "wt") as lines:
        lines.writelines(json.dumps(row) + "\n" for row in dialogues())
    every = list(told(file))
    held = [each for each in every if held_out(each.id)]
    assert {each.source for each in held} == {*SOURCES, "qmsum_qa"}
    monkeypatch.setattr(sys, "argv", ["embedded", "--corpus", str(file), "--out", str(tmp_path), "--scale", "0.02"])
    main()
    secret = {found for each in held for found in WORD.findall(str(each.messages).lower())}
    for part in ("text", "calls"):
        learned = words(tmp_path / f"{part}.train.jsonl")
        assert len(learned) > DIALOGUES // 2
        assert words(tmp_path / f"{part}.eval.jsonl") & secret
        assert not learned & secret


# By their sentences

PAGE = "The green heron breeds in small wetlands of the east. It hunts at dawn, and it rarely leaves the shore by day."
KEYS = [f"a-{number}" for number in range(200)]
HELD, LEARNED = [key for key in KEYS if held_out(key)], [key for key in KEYS if not held_out(key)]


def text(key: str, said: str) -> Row:
    return Row("text", "a", key, "", said)


def test_a_learned_row_that_repeats_what_is_held_out_is_left_out() -> None:
    elsewhere = text(LEARNED[0], f"About birds: {PAGE.upper().replace(' ', '  ')}")
    asked = Row("b", "a", LEARNED[1], (("system", "Answer."), ("user", f"{PAGE}\nWhat is it?")), "A heron.")
    other = text(
        LEARNED[2], "The green heron breeds in large forests of the west. It hunts at dusk, and never by day."
    )
    rows = [text(HELD[0], f"User: {PAGE}"), elsewhere, asked, other]
    assert apart.apart(rows, apart.own(rows, [PAGE])) == [rows[0], other]


def test_what_many_say_is_nobodys_own() -> None:
    rows = [text(key, PAGE) for key in LEARNED[: apart.COMMON]]
    assert apart.apart(rows, apart.own(rows, [PAGE])) == []
    rows.append(text(LEARNED[apart.COMMON], PAGE))
    assert apart.apart(rows, apart.own(rows, [PAGE])) == rows


def test_sentences_open_with_as_many_letters_or_not_at_all() -> None:
    assert list(apart.openings("Short. " + 60 * "x")) == [b"short" + 51 * b"x", 56 * b"x"]
    assert list(apart.openings("x " * 55)) == []
    assert list(apart.openings('"Don\u2019t!" ' + 60 * "y")) == [b"dont" + 52 * b"y", 56 * b"y"]


def test_all_dialogues_of_a_profile_are_held_out_or_the_other_users_is() -> None:
    traits = [[f"I own {number} boats.", "I sail."] for number in range(300)]
    names = {
        (one, two): named("spc", at, {"persona_1": traits[one], "persona_2": traits[two][::-1]})
        for at, (one, two) in enumerate((one, two) for one in range(300) for two in (one // 2, (7 * one + 5) % 300))
    }
    learned = {user for pair, name in names.items() if not held_out(name) for user in pair}
    held = [pair for pair, name in names.items() if held_out(name)]
    assert 0.01 < len(held) / len(names) < 0.08  # of each of two, 2 %
    assert all(len({*pair} - learned) >= 1 for pair in held)
    assert len(set(names.values())) == len(names)
    assert held_out("spc-7#1") == held_out("spc-7#2") == held_out("spc-7")
