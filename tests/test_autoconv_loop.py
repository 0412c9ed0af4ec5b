"""The loop's experiment: the commands of a cell, going on after a kill, results and report by made-up numbers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from synthesis.dialogue import Dialogue, Turn, to_json
from synthesis.errors import UserError
from synthesis.grounded.answers import NO_ANSWER, SYSTEM, USER
from training.bootstrap import Difference
from training.experiments.autoconv_loop import (
    QUICK,
    Cell,
    Size,
    main,
    middle,
    parser,
    planned,
    prepare,
)
from training.loop_report import sentence, write
from training.loop_results import ALONE, CONDITIONS, LOOP, NUCLEUS, UNFILTERED, Gap, grounded, mean_scores, read
from training.steps import claim

ANSWERS = {"d1": [1.0, 0.5], "d2": [0.0]}
BETTER = {ALONE: 0.0, LOOP: 0.2, "teacher": 0.1, UNFILTERED: 0.1}


def dialogue(name: str, answer: str, span: tuple[int, int] | None) -> Dialogue:
    turns = (Turn(USER, "When does it open?"), Turn(SYSTEM, answer, span=span))
    return Dialogue(name, turns, topic=name, document="The tower opens at nine.")


def run(folder: Path, dialogues: list[Dialogue], dropped: int) -> None:
    folder.mkdir(parents=True)
    lines = [json.dumps(to_json(one)) + "\n" for one in dialogues]
    (folder / "dialogues.jsonl").write_text("".join(lines))
    (folder / "dropped.jsonl").write_text('{"id": "x"}\n' * dropped)


def evaluated(folder: Path, gain: float) -> None:
    folder.mkdir(parents=True)
    rows = [
        {"id": name, "turn": 2 * at + 1, "f1": score * 0.5 + gain, "answer": answer, "unanswerable": not at}
        for name, scores in ANSWERS.items()
        for at, (score, answer) in enumerate(zip(scores, ("nine", NO_ANSWER), strict=False))
    ]
    (folder / "predictions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    f1 = sum(row["f1"] for row in rows) / 3
    result = {"scores": {"f1": f1, "em": 0.25}, "parameters": 2600000, "latency": {"median_seconds": 0.05}}
    (folder / "result.json").write_text(json.dumps(result))


def cell(out: Path, n: int, seed: int, *, extra: bool, kept: int = 2) -> tuple[int, int, Path]:
    """A finished cell's folder; each seed is 0.02 better than the one before."""
    folder = out / f"n{n}-seed{seed}"
    for condition in (*CONDITIONS, *([UNFILTERED] if extra else [])):
        for rules in ("squad", "quac"):
            evaluated(folder / f"{condition}-{rules}", BETTER[condition] + 0.02 * seed)
    good = dialogue("a", "at nine", (16, 23))
    run(folder / "synthetic", [good, dialogue("b", NO_ANSWER, None)][:kept], 2)
    if extra:
        run(folder / "unfiltered", [good, dialogue("b", "at the tower", None)], 0)
        run(folder / NUCLEUS, [dialogue("a", "at ten", None), dialogue("b", "my dog sings", None)], 0)
    (folder / "steps").mkdir()
    (folder / "steps" / "one.json").write_text('{"arguments": [], "seconds": 90.0}')
    return n, seed, folder


# Results


def test_results_by_hand(tmp_path: Path) -> None:
    found = read([cell(tmp_path, 10, seed, extra=True) for seed in (0, 1, 2)], 10)
    assert found.seeds == (0, 1, 2)
    assert found.seconds == 270
    by = {outcome.condition: outcome for outcome in found.outcomes}
    # questions of 1, .5 and 0, halved: .25 in the mean, and .02 more for each seed
    assert by[ALONE].numbers["f1 (squad)"].mean == pytest.approx(0.27)
    assert by[ALONE].numbers["f1 (squad)"].sd == pytest.approx(0.02)
    # only the second question of d1 has an answer, and only to that one was said that there is none
    assert by[ALONE].numbers["f1 of answerable"].mean == pytest.approx(0.27)
    assert by[ALONE].numbers["without answer"].mean == pytest.approx(2 / 3)
    assert by[ALONE].numbers["says there is none"].mean == pytest.approx(1 / 3)
    assert by[ALONE].scores == {"d1": pytest.approx([0.52, 0.27]), "d2": pytest.approx([0.02])}
    (alone, teacher, unfiltered) = found.gaps
    assert (alone.first, alone.second, alone.won, alone.seeds) == (LOOP, ALONE, 3, 3)
    assert alone.by_questions.value == pytest.approx(0.2)
    assert alone.by_questions.low == pytest.approx(0.2)  # every question gains alike, whatever is drawn
    assert teacher.by_questions.value == pytest.approx(0.1)
    assert unfiltered.second == UNFILTERED
    written = {each.name: each.numbers for each in found.written}
    assert written["synthetic"]["kept"].mean == 2
    assert written["synthetic"]["share kept"].mean == 0.5
    assert written["synthetic"]["unanswered"].mean == 0.5
    assert written["unfiltered"]["located answers"].mean == 0.5
    assert written[NUCLEUS]["located answers"].mean == 0


def test_groundedness_leaves_answers_out_that_state_nothing() -> None:
    numbers = grounded([dialogue("a", NO_ANSWER, None), dialogue("b", "The tower sings at nine.", (0, 9))])
    # tower, sing and nine: two of three are in the document
    assert numbers == pytest.approx(
        {"unanswered": 0.5, "located answers": 1.0, "document_overlap": 2 / 3, "unsupported_words": 1 / 3}
    )
    assert grounded([dialogue("a", NO_ANSWER, None)]) == {"unanswered": 1.0}


def test_a_run_of_which_nothing_was_kept_is_told(tmp_path: Path) -> None:
    found = read([cell(tmp_path, 10, 0, extra=True, kept=0), cell(tmp_path, 10, 1, extra=True)], 10)
    assert found.empty == ("n10-seed0 synthetic",)
    synthetic = next(each for each in found.written if each.name == "synthetic")
    assert synthetic.numbers["kept"].mean == 1
    assert synthetic.numbers["questions"].mean == 1  # of the seed that has any


def test_seeds_that_were_asked_other_questions_are_refused() -> None:
    assert mean_scores([{"a": [0.0, 1.0]}, {"a": [1.0, 1.0]}]) == {"a": [0.5, 1.0]}
    with pytest.raises(UserError, match="different questions"):
        mean_scores([{"a": [0.0, 1.0]}, {"a": [1.0]}])


# Report


def gap(low: float, value: float, high: float) -> Gap:
    return Gap(50, LOOP, ALONE, Difference(value, low, high, 0.04), 2, 3)


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (gap(0.01, 0.05, 0.09), "+5.0 points of F1, better"),
        (gap(-0.09, -0.05, -0.01), "-5.0 points of F1, worse"),
        (gap(-0.01, 0.05, 0.11), "no difference that these test conversations could show"),
    ],
)
def test_a_sentence_says_what_the_interval_lets_it_say(found: Gap, words: str) -> None:
    assert words in sentence(found)


def test_report_tells_the_numbers_and_has_its_figures(tmp_path: Path) -> None:
    places = [cell(tmp_path, n, seed, extra=n == 50) for n in (10, 50) for seed in (0, 1)]
    plan = {"n": [10, 50], "source": "worlds", "documents": 4, "test": 2, "pretrain_epochs": 3}
    write(read(places, 50), plan, tmp_path / "docs" / "loop.md")
    text = (tmp_path / "docs" / "loop.md").read_text()
    assert "| 10 | student, human conversations only | 26.0 ± 1.4 | 26.0 ± 1.4 | 33.3 ± 0.0 | 26.0 ± 1.4 |" in text
    assert "gives 66.7, without any learning" in text
    assert "| 50 | student, synthetic then human | teacher | +10.0 | +10.0 to +10.0 |" in text
    assert "By located answers, greedy is the better grounded at n = 50: 50.0 greedy, 0.0 nucleus." in text
    assert "2,600,000 | 50 |" in text
    for line in text.splitlines():
        if line.startswith("!["):
            figure = tmp_path / "docs" / line.partition("](")[2].rstrip(")")
            assert figure.read_bytes().startswith(b"\x89PNG")


# Cells and steps


def test_teacher_and_student_of_a_cell_learn_the_same_conversations(tmp_path: Path) -> None:
    run(tmp_path / "n50-seed1" / "synthetic", [dialogue("a", "at nine", (16, 23))], 0)
    run(tmp_path / "n50-seed1" / "unfiltered", [], 1)
    steps = {step.name: list(step.arguments) for step in Cell(50, 1, tmp_path).steps(Size())}
    human = str(tmp_path / "n50-seed1" / "human.jsonl")
    assert human in steps["examples-teacher"]
    assert human in steps["examples-questions"]
    assert human in steps["write-synthetic"]
    assert str(tmp_path / "data" / "test.jsonl") in steps["write-synthetic"]
    start = steps[f"train-{LOOP}"].index("--model_name_or_path") + 1
    assert steps[f"train-{LOOP}"][start].endswith("loop-first")
    # nothing was kept to be pre-trained on, so the student starts as it is
    assert steps[f"train-{UNFILTERED}"][start].endswith("start1")
    assert "--answer-top-p" in steps[f"write-{NUCLEUS}"]
    assert "--answer-top-p" not in steps["write-unfiltered"]


def test_filter_and_decoding_are_compared_at_the_middle_only(tmp_path: Path) -> None:
    run(tmp_path / "n10-seed0" / "synthetic", [], 1)
    names = [step.name for step in Cell(10, 0, tmp_path).steps(Size())]
    assert middle(Size()) == 50
    assert f"write-{NUCLEUS}" not in names
    assert len(names) == len(set(names))


def flags(out: Path, *more: str) -> Any:
    return parser().parse_args(["--quick", "--source", "worlds", "--out", str(out), *more])


def test_results_of_another_plan_are_not_gone_on_with(tmp_path: Path) -> None:
    claim(tmp_path, planned(flags(tmp_path), QUICK))
    claim(tmp_path, planned(flags(tmp_path, "--jobs", "1"), QUICK))
    with pytest.raises(UserError, match="another n, seeds"):
        claim(tmp_path, planned(flags(tmp_path), Size()))


def test_smaller_n_are_part_of_larger_ones(tmp_path: Path) -> None:
    cells = prepare(flags(tmp_path), Size((3, 6), (0, 1), 4, 5))
    assert [(each.n, each.seed) for each in cells] == [(6, 0), (6, 1), (3, 0), (3, 1)]
    read = {(each.n, each.seed): (each.folder / "human.jsonl").read_text().splitlines() for each in cells}
    assert read[3, 0] == read[6, 0][:3]
    assert read[3, 0] != read[3, 1]
    start = json.loads((tmp_path / "start0" / "untrained.json").read_text())
    assert start["parameters"] < 10_000_000


def test_pages_that_are_not_there_are_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="give a folder of MedQuAD"):
        main(["--quick", "--source", "pages", "--pages", str(tmp_path / "none"), "--out", str(tmp_path / "out")])
