"""`training.evaluate dst`: states in files, what is refused, what is told, and corpora as gold."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from synthesis.dialogue import Dialogue, Turn, to_json
from synthesis.errors import UserError
from synthesis.storage import write_jsonl
from synthesis.task_oriented.state import SYSTEM, USER
from training import evaluate
from training.command import told
from training.tracking.states import read_gold, read_predictions, to_row

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT.parent / "shared" / "data"
NORTH = {"hotel-area": "north"}
GOLD = {("a", 0): NORTH, ("a", 2): {**NORTH, "hotel-stars": "4|3"}, ("b", 0): {}}


def written(path: Path, *rows: Any) -> Path:
    write_jsonl(path, rows)
    return path


def gold_file(folder: Path) -> Path:
    return written(folder / "gold.jsonl", *(to_row(turn, state) for turn, state in GOLD.items()))


def test_states_come_back_from_their_rows(tmp_path: Path) -> None:
    path = gold_file(tmp_path)
    assert read_gold(str(path)) == GOLD
    found = read_predictions(path, GOLD)
    assert (found.states, found.missing, found.invalid) == (GOLD, (), ())


def test_lists_are_alternatives_and_empty_values_are_absent(tmp_path: Path) -> None:
    state = {"hotel-area": ["north", "", "east"], "hotel-name": "", "hotel-type": [], "hotel-stars": "4"}
    path = written(tmp_path / "gold.jsonl", {"dialogue_id": "a", "turn": 0, "state": state})
    assert read_gold(str(path)) == {("a", 0): {"hotel-area": "north|east", "hotel-stars": "4"}}


def test_missing_and_invalid_predictions_are_counted(tmp_path: Path) -> None:
    path = written(tmp_path / "pred.jsonl", to_row(("a", 2), {}, invalid=True), to_row(("b", 0), NORTH))
    found = read_predictions(path, GOLD)
    assert found.states == {("a", 2): {}, ("b", 0): NORTH}
    assert (found.missing, found.invalid) == ((("a", 0),), (("a", 2),))


@pytest.mark.parametrize(
    ("row", "complaint"),
    [
        ([], r"pred.jsonl:2: expected an object with dialogue_id \(a text\), turn"),
        ({"dialogue_id": 3, "turn": 0, "state": {}}, "pred.jsonl:2: expected an object with dialogue_id"),
        ({"dialogue_id": "a", "turn": "2", "state": {}}, "pred.jsonl:2: expected"),
        ({"dialogue_id": "a", "turn": True, "state": {}}, "pred.jsonl:2: expected"),
        ({"dialogue_id": "a", "turn": -2, "state": {}}, "pred.jsonl:2: expected"),
        ({"dialogue_id": "a", "turn": 2, "state": {}, "invalid": "yes"}, "pred.jsonl:2: expected"),
        ({"dialogue_id": "a", "turn": 2}, "pred.jsonl:2: state is NoneType, expected an object"),
        ({"dialogue_id": "a", "turn": 2, "state": [["hotel-area", "north"]]}, "pred.jsonl:2: state is list"),
        ({"dialogue_id": "a", "turn": 2, "state": {"hotel-stars": 4}}, "pred.jsonl:2: hotel-stars is 4, expected a"),
        ({"dialogue_id": "a", "turn": 2, "state": {"hotel-stars": ["4", None]}}, "hotel-stars is .'4', None."),
        (
            {"dialogue_id": "a", "turn": 0, "state": {}},
            "pred.jsonl:2: turn 0 of dialogue 'a' stands in .*pred.jsonl:1",
        ),
        ({"dialogue_id": "a", "turn": 1, "state": {}}, "pred.jsonl:2: gold has no state for turn 1 of dialogue 'a'"),
        ({"dialogue_id": "c", "turn": 0, "state": {}}, "pred.jsonl:2: gold has no state for dialogue 'c'"),
    ],
)
def test_rows_that_cannot_be_used_are_refused(tmp_path: Path, row: Any, complaint: str) -> None:
    path = written(tmp_path / "pred.jsonl", to_row(("a", 0), {}), row)
    with pytest.raises(UserError, match=complaint):
        read_predictions(path, GOLD)


def test_prose_and_empty_files_are_refused(tmp_path: Path) -> None:
    prose, empty = tmp_path / "prose.jsonl", tmp_path / "empty.jsonl"
    prose.write_text("The user wants a hotel.\n")
    empty.write_text("")
    with pytest.raises(UserError, match=r"prose\.jsonl:1: not JSON"):
        read_predictions(prose, GOLD)
    with pytest.raises(UserError, match=r"empty\.jsonl: the file is empty"):
        read_gold(str(empty))


# gold out of corpora


def test_gold_of_dialogues_has_the_place_of_each_user_turn(tmp_path: Path) -> None:
    turns = (
        Turn(USER, "A hotel up north.", state=NORTH),
        Turn(SYSTEM, "How many stars?"),
        Turn(USER, "Four.", state={**NORTH, "hotel-stars": "4"}),
    )
    path = written(tmp_path / "dialogues.jsonl", to_json(Dialogue("d", turns)))
    assert read_gold(str(path)) == {("d", 0): NORTH, ("d", 2): {**NORTH, "hotel-stars": "4"}}


@pytest.mark.skipif(not (DATA / "multiwoz").is_dir(), reason="needs ../shared/data/multiwoz")
def test_gold_of_multiwoz_against_itself(tmp_path: Path) -> None:
    source = str(DATA / "multiwoz" / "original_examples.json")
    gold = read_gold(source)
    assert len(gold) == 23
    pred = written(tmp_path / "pred.jsonl", *(to_row(turn, state) for turn, state in gold.items()))
    scorers = ["trade_exact", "exact_alt", "mwz22_official"]
    out = run(tmp_path, "--gold", source, "--pred", str(pred), "--scorer", *scorers)
    assert [out["scores"][each]["joint_goal_accuracy"] for each in scorers] == [1, 1, 1]


# the command


def run(folder: Path, *flags: str) -> dict[str, Any]:
    evaluate.main(["dst", *flags, "--out", str(folder / "out")])
    found: dict[str, Any] = json.loads((folder / "out" / "result.json").read_text())
    return found


def test_the_command_tells_every_scorer_by_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    gold = gold_file(tmp_path)
    rows = [to_row(("a", 0), {**NORTH, "hotel-view": "sea"}), to_row(("a", 2), {}, invalid=True)]
    pred = written(tmp_path / "pred.jsonl", *rows)
    found = run(tmp_path, "--gold", str(gold), "--pred", str(pred), "--scorer", "trade_exact", "mwzeval_dst")
    assert list(found["scores"]) == ["trade_exact", "mwzeval_dst"]
    exact, near = found["scores"].values()
    assert (exact["scorer"], exact["joint_goal_accuracy"]) == ("trade_exact", pytest.approx(2 / 3))
    assert (exact["turns"], exact["dialogues"], exact["missing"], exact["invalid"]) == (3, 2, 1, 1)
    assert exact["ignored"] == {"gold": {}, "predicted": {"hotel-view": 1}}
    assert (exact["interval"]["low"], exact["interval"]["high"]) == (0.5, 1.0)  # a twice, b twice
    assert exact["domains"] == [
        {"domain": "hotel", "all_turns": 2 / 3, "its_dialogues": 0.5, "dialogues": 1, "turns": 2}
    ]
    assert (exact["averaged_over"], near["averaged_over"]) == ("turns", "slots")
    assert near["slots"]["hotel-area"] == {
        **{"right": 1, "false": 0, "missed": 1},
        **{"precision": 1, "recall": 0.5, "f1": pytest.approx(2 / 3)},
    }
    assert found["gold"]["turns"] == 3
    assert found["versions"]["rapidfuzz"]
    said = capsys.readouterr().out
    assert "trade_exact: equal after TRADE's normalisation" in said
    assert "joint goal accuracy 0.6667 (0.5000 to 1.0000, 95 % bootstrap over 2 dialogues; 3 user turns)" in said
    assert "1 user turns have no prediction, which counts as an empty state" in said
    assert "1 predictions stand for generations that could not be read" in said
    assert "not looked at by trade_exact, in predicted: hotel-view (1)" in said
    assert "mwzeval_dst, by slot" in said


def test_the_fingerprint_of_gold_does_not_depend_on_the_order(tmp_path: Path) -> None:
    rows = [to_row(turn, dict(reversed(state.items()))) for turn, state in reversed(GOLD.items())]
    other = written(tmp_path / "other.jsonl", *rows)
    flags = ["--pred", str(other), "--scorer", "exact_alt"]
    one, two = (run(tmp_path, "--gold", str(gold), *flags) for gold in (gold_file(tmp_path), other))
    assert one["gold"]["sha256"] == two["gold"]["sha256"]
    assert one["scores"] == two["scores"]


def test_an_ontology_says_which_slots_are_categorical(tmp_path: Path) -> None:
    slots = [
        {"name": "day", "description": "when", "is_categorical": True, "possible_values": ["mo", "tu"]},
        {"name": "who", "description": "to whom", "is_categorical": False, "possible_values": []},
    ]
    intent = {
        **{"name": "Pay", "description": "pay", "is_transactional": True, "result_slots": []},
        **{"required_slots": ["day", "who"], "optional_slots": {}},
    }
    schema = [{"service_name": "Bank_1", "description": "a bank", "slots": slots, "intents": [intent]}]
    (tmp_path / "schema.json").write_text(json.dumps(schema))
    gold = written(tmp_path / "gold.jsonl", to_row(("a", 0), {"Bank_1-day": "mo|tu", "Bank_1-who": "ann|anne"}))
    pred = written(tmp_path / "pred.jsonl", to_row(("a", 0), {"Bank_1-day": "tu", "Bank_1-who": "anne"}))
    flags = ["--gold", str(gold), "--pred", str(pred), "--scorer", "mwz22_official"]
    found = run(tmp_path, *flags, "--ontology", str(tmp_path))["scores"]["mwz22_official"]
    assert {slot: each["right"] for slot, each in found["slots"].items()} == {"Bank_1-day": 0, "Bank_1-who": 1}
    with pytest.raises(UserError, match="give the ontology of the data with --ontology"):
        run(tmp_path, *flags)


def test_wrong_names_are_answered_with_the_right_ones(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    gold = str(gold_file(tmp_path))
    with pytest.raises(SystemExit, match="2"):
        run(tmp_path, "--gold", gold, "--pred", gold, "--scorer", "jga")
    listed = capsys.readouterr().err
    assert all(
        name in listed for name in ("trade_exact", "exact_alt", "mwz22_official", "mwzeval_dst", "luas_lenient")
    )
    argv = ["dst", "--gold", gold, "--pred", gold, "--scorer", "mwz22_official", "luas_lenient", "--fuzzy"]
    assert told(lambda: evaluate.main(argv)) == 2
    assert "luas_lenient has no fuzzy variant" in capsys.readouterr().err
