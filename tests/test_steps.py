"""Steps of an experiment: done once, again after a failure, anew where they are timed; and one plan to a folder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from synthesis.errors import Failure, UserError
from training.steps import Step, claim, done


@pytest.fixture
def step(tmp_path: Path) -> Step:
    """Copies given.json to made.json."""
    (tmp_path / "given.json").write_text("[1]")
    return Step("tidy", ("json.tool", str(tmp_path / "given.json"), str(tmp_path / "made.json")))


def test_a_step_is_done_once_and_a_failed_one_again(step: Step, tmp_path: Path) -> None:
    made = tmp_path / "made.json"
    (tmp_path / "given.json").write_text("[1")
    with pytest.raises(Failure, match=r"ended with status 1; .*tidy.log ends:\n.*delimiter.*\nmend it"):
        done(step, tmp_path)
    assert not (tmp_path / "steps" / "tidy.json").exists()
    (tmp_path / "given.json").write_text("[1]")
    done(step, tmp_path)
    made.unlink()
    done(step, tmp_path)
    assert not made.exists()
    done(Step("tidy", (*step.arguments, "--sort-keys")), tmp_path)
    assert json.loads(made.read_text()) == [1]
    mark = json.loads((tmp_path / "steps" / "tidy.json").read_text())
    assert mark.keys() == {"arguments", "seconds"}
    assert mark["arguments"] == [*step.arguments, "--sort-keys"]


@pytest.mark.parametrize("timed", [False, True])
def test_marks_of_before_are_read(step: Step, tmp_path: Path, timed: bool) -> None:
    """Each experiment once had its own form."""
    mark = {"arguments": list(step.arguments), "seconds": 0.1} if timed else list(step.arguments)
    (tmp_path / "steps").mkdir()
    (tmp_path / "steps" / "tidy.json").write_text(json.dumps(mark))
    done(step, tmp_path)
    assert not (tmp_path / "made.json").exists()


def test_a_timed_step_finds_nothing_of_the_try_before(step: Step, tmp_path: Path) -> None:
    run = tmp_path / "run"
    again = Step("tidy", (*step.arguments[:2], str(run)), anew=run)
    run.mkdir()
    (run / "half.jsonl").write_text("{}")
    done(again, tmp_path)  # json.tool writes no folder: it was removed
    assert json.loads(run.read_text()) == [1]
    run.write_text("[2]")
    done(again, tmp_path)
    assert json.loads(run.read_text()) == [2], "what is done is left alone"


def test_a_folder_holds_results_of_one_plan(tmp_path: Path) -> None:
    plan = {"n": 3, "seeds": [0, 1], "model": None}
    claim(tmp_path / "out", plan)
    claim(tmp_path / "out", plan)
    assert json.loads((tmp_path / "out" / "plan.json").read_text()) == plan
    with pytest.raises(UserError, match=r"holds results with another n, model \(see .*plan.json\); choose another"):
        claim(tmp_path / "out", plan | {"n": 4, "model": "other"})
    assert json.loads((tmp_path / "out" / "plan.json").read_text()) == plan
