"""Rows of SOLID-RL from runs: weighted examples, preferences in both directions, and what cannot become either."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest

from synthesis.dialogue import Dialogue, Turn, to_json
from synthesis.errors import UserError
from synthesis.intents import one_step
from synthesis.intents.plans import Plan
from training.examples import read
from training.one_step import main

SAID = (
    ("How old is it?", "Old."),
    ("How old is it really?", "It is from 1779, they say."),
    ("How old?", "Nobody knows, and nobody ever will, I am afraid."),
    ("Is it old?", "Yes."),
)


def solid(number: int, *said: str) -> Dialogue:
    intents = (("OQ",), ("FD", "PA"))
    turns = tuple(
        Turn(("User", "Agent")[at % 2], text, intents[at % 2]) for at, text in enumerate(said or SAID[number])
    )
    about: dict[str, Any] = {"topic": f"Bridge {number}", "subtopic": "age", "goal": {"type": "Bridge"}}
    return Dialogue(f"solid-{number}", turns, document=f"Bridge number {number}.", **about)


def own(number: int, *said: str) -> Dialogue:
    return dataclasses.replace(
        solid(number, *said), id=f"solid_rl-{number}", goal={"type": "Bridge", "quality": "good"}
    )


def run(folder: Path, *dialogues: Dialogue) -> str:
    folder.mkdir()
    (folder / "dialogues.jsonl").write_text("".join(json.dumps(to_json(each)) + "\n" for each in dialogues))
    return str(folder)


def made(folder: Path, *arguments: str) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The rows that a command writes, and the facts."""
    main([*arguments, "--out", str(folder / "rows.jsonl")])
    return rows(folder / "rows.jsonl"), json.loads((folder / "rows.facts.json").read_text())


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture
def solids(tmp_path: Path) -> str:
    return run(tmp_path / "solid", *map(solid, range(4)))


def test_rows_have_weight_and_tag_and_are_what_the_recipe_asks_for(solids: str, tmp_path: Path) -> None:
    found, facts = made(tmp_path, solids, "--direction", "long")  # 5, 11, 12 and 4 words
    assert [row["weight"] for row in found] == pytest.approx([0.1 / 0.55, 1 / 0.55, 1 / 0.55, 0.1 / 0.55])
    first = solid(0)
    plan = Plan.of(first.turns)
    assert found[0]["prompt"] == [
        {"role": "user", "content": one_step.prompt(one_step.seed_of(first), plan, one_step.POOR)}
    ]
    assert "Quality: good\n" in found[1]["prompt"][0]["content"]
    for number, row in enumerate(found):
        assert one_step.parse(row["completion"][0]["content"], plan) == solid(number).turns
    assert facts["quality"]["direction"] == "long"
    assert facts["tags"] == {"poor": 2, "good": 2}
    assert facts["data"][0]["source"] == "solid"
    assert facts["data"][0]["examples"] == 4
    assert [example.weight for example in read((str(at), row) for at, row in enumerate(found))] == [
        row["weight"] for row in found
    ], "training.sft takes them"


def test_without_quality_there_is_no_tag(solids: str, tmp_path: Path) -> None:
    found, _ = made(tmp_path, solids, "--quality", "none")
    assert {row["weight"] for row in found} == {1.0}
    assert not any("Quality" in row["prompt"][0]["content"] for row in found)


def test_the_length_of_people_as_number_and_as_file(solids: str, tmp_path: Path) -> None:
    by_number, facts = made(tmp_path, solids, "--human-words", "2")
    assert facts["quality"]["human"] == 2.0
    (tmp_path / "people.jsonl").write_text(
        json.dumps({"messages": [{"role": r, "content": "two words"} for r in ("user", "assistant")]}) + "\n"
    )
    by_file, _ = made(tmp_path, solids, "--human", str(tmp_path / "people.jsonl"))
    assert by_file == by_number
    assert "Quality: good" in by_file[0]["prompt"][0]["content"]


def test_some_are_put_aside_by_document(solids: str, tmp_path: Path) -> None:
    aside = ("--held-out", "0.25", "--eval-out", str(tmp_path / "held.jsonl"))
    found, facts = made(tmp_path, solids, "--direction", "short", *aside)
    held = rows(tmp_path / "held.jsonl")
    assert (len(found), len(held), facts["held_out"]) == (3, 1, 1)
    assert held[0]["completion"] not in [row["completion"] for row in found]
    assert fmean(row["weight"] for row in found) == pytest.approx(1.0), "of what is learned from"


def test_nothing_is_put_aside_of_one_document(tmp_path: Path) -> None:
    one = run(tmp_path / "solid", solid(0), dataclasses.replace(solid(0), id="solid-0b"))
    with pytest.raises(UserError, match=r"^--held-out 0.5: all 2 conversations are about 1 document"):
        made(tmp_path, one, "--quality", "none", "--held-out", "0.5", "--eval-out", str(tmp_path / "held.jsonl"))


def test_what_cannot_be_read_back_is_left_out_and_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = run(tmp_path / "solid", solid(0), solid(1, "How old is it?", " "))
    found, facts = made(tmp_path, source, "--quality", "none")
    assert len(found) == 1
    assert facts["left_out"] == {"dialogues with an empty utterance or one without intents, left out": 1}
    assert "1 dialogues with an empty utterance" in capsys.readouterr().out


@pytest.mark.parametrize("chosen", ["solid", "own"])
def test_preferences_in_both_directions(chosen: str, solids: str, tmp_path: Path) -> None:
    """The first is written alike by both, the second has another seed, the third another plan."""
    shorter = own(3, "Is it old?")
    mine = run(
        tmp_path / "own", own(0, *SAID[0]), dataclasses.replace(own(1), topic="Other"), shorter, own(2, "A?", "B.")
    )
    found, facts = made(tmp_path, solids, "--pairs", mine, "--chosen", chosen)
    (row,) = found
    texts = {"solid": one_step.render(solid(2).turns), "own": "1. User [OQ]: A?\n2. Agent [FD+PA]: B."}
    rejected = "own" if chosen == "solid" else "solid"
    assert row["chosen"] == [{"role": "assistant", "content": texts[chosen]}]
    assert row["rejected"] == [{"role": "assistant", "content": texts[rejected]}]
    seed, plan = one_step.seed_of(solid(2)), Plan.of(solid(2).turns)
    assert row["prompt"] == [{"role": "user", "content": one_step.prompt(seed, plan, "good")}], "as it was asked"
    assert facts["left_out"] == {
        "pairs of equal texts": 1,
        "dialogues without a counterpart of the same seed and plan": 2,
    }
    assert facts["chosen"] == chosen


def test_several_of_one_seed_and_plan_are_paired_in_turn(tmp_path: Path) -> None:
    source = run(tmp_path / "solid", solid(0), dataclasses.replace(solid(0, *SAID[1]), id="b"))
    texts = [one_step.render(solid(at).turns) for at in range(2)]
    same = [dataclasses.replace(own(0, "A?", f"{at}."), id=f"own-{at}") for at in range(3)]
    found, facts = made(tmp_path, source, "--pairs", run(tmp_path / "own", *same))
    assert [row["chosen"][0]["content"] for row in found] == [texts[0], texts[1], texts[0]]
    assert facts["left_out"] == {}


BAD = {
    "no length": (["SOLID"], "needs that length: give dialogues of people with --human"),
    "two lengths": (["SOLID", "--human", "x.jsonl", "--human-words", "9"], "give one"),
    "weights of pairs": (["SOLID", "--pairs", "SOLID", "--quality", "exp"], "preferences, which have no weights"),
    "chosen of none": (["SOLID", "--chosen", "own"], "give the model's own with --pairs OWN"),
    "nowhere to put": (["SOLID", "--quality", "none", "--held-out", "0.5"], "--held-out X goes with --eval-out FILE"),
    "no pair": (["SOLID", "--pairs", "SOLID"], "no pairs came of .*: 4 pairs of equal texts"),
    "no such run": (["nowhere.jsonl", "--quality", "none"], "nowhere.jsonl: no such file"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input(name: str, solids: str, tmp_path: Path) -> None:
    arguments, message = BAD[name]
    with pytest.raises(UserError, match=message):
        main([*(solids if part == "SOLID" else part for part in arguments), "--out", str(tmp_path / "rows.jsonl")])
    assert not (tmp_path / "rows.jsonl").exists()


def test_dialogues_of_another_recipe_are_refused(tmp_path: Path) -> None:
    other = Dialogue("spc-1", (Turn("User 1", "Hi"), Turn("User 2", "Ho")))
    with pytest.raises(UserError, match="dialogue spc-1: no type, name, attribute, document"):
        main([run(tmp_path / "spc", other), "--quality", "none", "--out", str(tmp_path / "rows.jsonl")])
