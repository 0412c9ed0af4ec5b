"""LUAS's experiments: their steps, going on after a kill, results and reports by made-up numbers."""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from synthesis.dialogue import Dialogue
from synthesis.errors import Failure, UserError
from synthesis.task_oriented.corpora.reading import read as read_dialogues
from synthesis.task_oriented.ontology import read as read_ontology
from synthesis.task_oriented.state import domain_of, tracked
from tests.tracked_talks import HOTEL, TOWN, talk, written
from training.bootstrap import Difference, Interval
from training.coverage import Spread
from training.evaluate import main as evaluate
from training.experiments import luas_dst, luas_replace
from training.steps import Step, claim
from training.tracking import dst_report, material, replace_report, results, telling
from training.tracking.baseline import main as baseline
from training.tracking.commands import SCORERS, Bench, Chain, Commands
from training.tracking.examples import main as examples
from training.tracking.material import divided
from training.tracking.replacement import replaced
from training.tracking.results import Gap, Gold, Outcome, Place, outcomes

EAST = {"hotel-area": "east"}
STAY = talk(
    "stay",
    ("hotel", "A hotel in the east.", "Why not?", EAST),
    ("hotel", "Four stars.", "Well.", {"hotel-stars": "4"}),
)
FOOD = talk("food", ("restaurant", "Somewhere cheap to eat.", "Yes.", {"restaurant-pricerange": "cheap"}))
TOLD = {("stay", 0): EAST, ("stay", 2): EAST | {"hotel-stars": "4"}, ("food", 0): {"restaurant-pricerange": "cheap"}}


# ---- made-up results ------------------------------------------------------------------------------------------------


def gold(out: Path) -> Gold:
    (out / "data").mkdir(parents=True, exist_ok=True)
    return Gold.read(Path(written(out / "data" / "test.jsonl", STAY, FOOD)), read_ontology(TOWN))


def predicted(place: Place, out: Path, right: Sequence[tuple[str, int]], invalid: int = 0) -> Place:
    """Predictions that are right at some turns and empty at the others, the first `invalid` of these unreadable."""
    place.folder.mkdir(parents=True, exist_ok=True)
    lines = []
    for turn, state in TOLD.items():
        row: dict[str, object] = {"dialogue_id": turn[0], "turn": turn[1], "state": state if turn in right else {}}
        if turn not in right and invalid:
            row["invalid"], invalid = True, invalid - 1
        lines.append(json.dumps(row) + "\n")
    file = place.folder / f"{place.condition}.jsonl"
    file.write_text("".join(lines))
    where = ["--gold", str(out / "data" / "test.jsonl"), "--pred", str(file), "--ontology", str(TOWN)]
    evaluate(["dst", *where, "--scorer", *SCORERS, "--out", str(place.folder / f"{place.condition}-scores")])
    (place.folder / "steps").mkdir(exist_ok=True)
    (place.folder / "steps" / f"train-{place.condition}.json").write_text('{"arguments": [], "seconds": 60.0}')
    return place


def facts(path: Path, told: Mapping[str, object]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(told))


ONE, TWO, THREE = TOLD


def dst_places(out: Path) -> list[Place]:
    """Real alone is right at a third, generated first at two thirds; the second seed once more than the first."""
    right = {"real": [[ONE], [ONE, TWO]], "both": [[ONE, TWO], [ONE, TWO, THREE]], "generated": [[ONE], [ONE]]}
    made = [predicted(Place(kind, 0, 0, out), out, []) for kind in ("empty", "rules")]
    for seed, (condition, n) in itertools.product(
        (0, 1), [("generated", 0), ("real", 8), ("both", 8), ("real", 20), ("both", 20)]
    ):
        folder = out / f"n{n}-seed{seed}"
        made.append(
            predicted(Place(condition, n, seed, folder), out, right[condition][seed], invalid=condition == "real")
        )
        (folder / "real-rows.jsonl").write_text("{}\n" * n * 5)
    facts(out / "generated" / "run.json", {"counts": {"kept": 15, "dropped": 1, "failed": 0}})
    (out / "generated.jsonl").write_text("{}\n" * 70)
    return made


def dst_results(out: Path) -> dst_report.Results:
    true = gold(out)
    return dst_report.read(dst_places(out), SCORERS, true, out)


def test_results_by_hand(tmp_path: Path) -> None:
    found = dst_results(tmp_path)
    real = results.one(found.outcomes, "real", "trade_exact", 8)
    assert real.by_seed == pytest.approx([1 / 3, 2 / 3])
    assert real.joint.mean == pytest.approx(0.5)
    assert real.invalid.mean == pytest.approx(1 / 3)
    assert real.turns == [[0.0], [1.0, 0.5]]  # food, then stay; the mean over seeds
    both = results.one(found.outcomes, "both", "luas_lenient", 20)
    assert both.turns == [[0.5], [1.0, 1.0]]
    assert (both.interval.low, both.interval.high) == (0.5, 1.0)
    gap = next(each for each in found.gaps if (each.first.scorer, each.first.n) == ("trade_exact", 8))
    assert gap.by_turns.value == pytest.approx(1 / 3)
    assert (gap.won, gap.seeds) == (2, 2)
    assert found.learned == {8: 40, 20: 100}
    assert found.wrote == (15, 1, 70)
    assert found.test == (2, 3)
    assert found.seconds == {"train": 12 * 60.0}


def test_a_turn_without_prediction_stops_the_report(tmp_path: Path) -> None:
    true = gold(tmp_path)
    places = dst_places(tmp_path)
    file = places[-1].folder / "both.jsonl"
    file.write_text("".join(file.read_text().splitlines(keepends=True)[:2]))
    with pytest.raises(UserError, match="1 turns have no prediction"):
        outcomes(places, SCORERS, true)


PLAN = {
    "quick": False,
    "human": None,
    "student": "embedded",
    "grammar": False,
    "seeds": [0, 1],
    "epochs": [3, 1],
    "generated_epochs": 1,
}


def pictured(report: Path) -> str:
    """The report's text; every figure that it shows is there."""
    text = report.read_text()
    names = [line.partition("](")[2].rstrip(")") for line in text.splitlines() if line.startswith("![")]
    assert names
    for name in names:
        assert (report.parent / name).read_bytes().startswith(b"\x89PNG")
    return text


def test_the_report_tells_the_numbers_and_whose_they_are(tmp_path: Path) -> None:
    found = dst_results(tmp_path)
    dst_report.write(found, PLAN, tmp_path / "docs" / "luas-dst.md")
    text = pictured(tmp_path / "docs" / "luas-dst.md")
    assert "**No dialogue of people is in this.**" in text
    assert "| 8 | real dialogues alone | 50.0 ± 23.6 | 0.0 to 75.0 | 50.0 ± 23.6 | 33.3 ± 0.0 |" in text
    assert "| – | nothing learned: empty states | 0.0 | 0.0 to 0.0 | 0.0 | 0.0 |" in text
    assert "8 (40 examples, 3 epochs), 20 (100 examples, 1 epoch)" in text
    assert "after 15 dialogues (70 examples, 1 epoch)" in text
    assert "- 20 real dialogues: +33.3 points of joint goal accuracy by trade_exact, " in text
    assert "took 12 minutes of one thread: training 12" in text
    human = PLAN | {"human": "/data/multiwoz/val.json.zip", "quick": True, "seeds": [0]}
    dst_report.write(found, human, tmp_path / "docs" / "luas-dst.md")
    text = pictured(tmp_path / "docs" / "luas-dst.md")
    assert "MultiWOZ 2.1's validation split (Eric et al. 2020, arXiv 1907.01669), `val.json.zip`" in text
    assert "A quick run" in text
    assert "One seed" in text


def test_the_domain_and_the_others_are_told_apart(tmp_path: Path) -> None:
    true = gold(tmp_path)
    right = {"real": [ONE, TWO, THREE], "replaced": [ONE, THREE], "removed": [THREE]}
    places = [
        predicted(Place(condition, 9, seed, tmp_path / f"{condition}-seed{seed}"), tmp_path, turns)
        for condition, turns in right.items()
        for seed in (0, 1)
    ]
    for place in places:
        (place.folder / "rows.jsonl").write_text("{}\n" * 30)
        facts(place.folder / "rows.facts.json", {"data": [{"dialogues": 9}]})
        counts = {"turns": 30, "gone": 6, "altered": 3, "impact": 0.3, "counted": {"put in": 4}}
        facts(place.folder / "dialogues.facts.json", counts)
    found = replace_report.read(places, SCORERS, true, "hotel", tmp_path)
    joint = {
        name: [each.joint.mean for each in part if each.scorer == SCORERS[0]] for name, part in found.parts.items()
    }
    assert joint["all slots"] == pytest.approx([1, 2 / 3, 1 / 3])
    assert joint["slots of hotel"] == pytest.approx([1, 2 / 3, 1 / 3])  # the restaurant's turn has none: right
    assert joint["all other slots"] == pytest.approx([1, 1, 1])
    hotel = found.by_domain["trade_exact", "removed"]["hotel"]
    assert hotel.all_turns.mean == pytest.approx(1 / 3)
    assert hotel.its_dialogues is not None
    assert hotel.its_dialogues.mean == 0
    replace_report.write(found, PLAN | {"epochs": 1}, tmp_path / "docs" / "luas-replace.md")
    text = pictured(tmp_path / "docs" / "luas-replace.md")
    assert "of 30 user turns 6 went, 3 others have another text or state: 30.0 % in all. put in: 4." in text
    assert "| **hotel** | 100.0 ± 0.0 / 100.0 ± 0.0 | 66.7 ± 0.0 / 50.0 ± 0.0 | 33.3 ± 0.0 / 0.0 ± 0.0 |" in text
    assert "- all other slots, domain taken out against real: +0.0 points" in text


# ---- files and steps ------------------------------------------------------------------------------------------------


def talks(count: int) -> list[Dialogue]:
    return [talk(f"talk-{at}", ("hotel", "In the east.", "Well.", EAST)) for at in range(count)]


def test_tests_are_never_learned_and_fewer_are_among_more(tmp_path: Path) -> None:
    source = written(tmp_path / "all.jsonl", *talks(30))
    made = divided(source, tmp_path / "data", 6, None, (4, 9), (0, 1))
    ids = {path.name: [each.id for each in read_dialogues(path)] for path in (tmp_path / "data").glob("*.jsonl")}
    assert made.every == 24
    assert len(ids["test.jsonl"]) == 6
    assert not set(ids["test.jsonl"]) & set(ids["real-24-0.jsonl"])
    assert set(ids["real-4-0.jsonl"]) < set(ids["real-9-0.jsonl"]) < set(ids["real-24-0.jsonl"])
    assert ids["real-4-0.jsonl"] != ids["real-4-1.jsonl"]
    assert ids["real-24-0.jsonl"] == ids["real-24-1.jsonl"]
    assert divided(source, tmp_path / "data", 6, 12, (), (0,)).every == 12
    with pytest.raises(UserError, match="ask for fewer or give more"):
        divided(source, tmp_path / "data", 6, None, (25,), (0,))


def value(step: Step, flag: str) -> str:
    return step.arguments[step.arguments.index(flag) + 1]


def dst_cells(tmp_path: Path) -> luas_dst.Cells:
    data = divided(written(tmp_path / "all.jsonl", *talks(20)), tmp_path / "data", 4, None, (8,), (0,))
    return luas_dst.Cells(tmp_path, Commands(TOWN, data.test), data, luas_dst.QUICK, "embedded")


def test_both_conditions_learn_the_same_in_the_same_way_from_another_start(tmp_path: Path) -> None:
    cells = dst_cells(tmp_path)
    real, both = ({step.name: step for step in chain.steps} for chain in (cells.real(8, 0), cells.both(8, 0)))
    first = {step.name: step for step in cells.first(0).steps}
    assert value(both["train-both"], "--model_name_or_path") == value(first["train-generated"], "--output_dir")
    assert value(real["train-real"], "--model_name_or_path") == value(first["train-generated"], "--model_name_or_path")
    for flag in ("--train_data", "--num_train_epochs", "--step_tokens", "--seed"):
        assert value(real["train-real"], flag) == value(both["train-both"], flag)
    assert value(first["train-generated"], "--config") == value(real["train-real"], "--config")
    assert value(both["train-both"], "--config") == "training/luas_small_stage2.yaml"
    assert "examples-real" not in both
    assert value(real["examples-real"], "--turns") == value(real["predict-real"], "--turns") == "2"
    assert "--grammar" not in real["predict-real"].arguments


def test_what_is_generated_sees_nothing_real(tmp_path: Path) -> None:
    write, rows = dst_cells(tmp_path).generated().steps
    assert value(write, "--goals") == "db"
    assert "--corpus" not in write.arguments
    assert not any(str(tmp_path / "data") in each for each in (*write.arguments, *rows.arguments))


def test_trackers_of_a_domain_differ_in_what_was_put_in(tmp_path: Path) -> None:
    data = divided(written(tmp_path / "all.jsonl", *talks(20)), tmp_path / "data", 4, None, (), (0,))
    commands = Commands(TOWN, data.test, grammar=True)
    cells = luas_replace.Cells(tmp_path, commands, data, luas_replace.QUICK, "hotel", "embedded")
    steps = {
        kind: {step.name: step for step in cells.tracker(kind, 0).steps} for kind in ("real", "removed", "replaced")
    }
    assert value(steps["replaced"]["replace"], "--generated") == str(tmp_path / "generated")
    assert "--generated" not in steps["removed"]["replace"].arguments
    assert (
        steps["real"]["examples"].arguments[1] == steps["removed"]["replace"].arguments[2] == str(data.learned(16, 0))
    )
    assert "--grammar" in steps["real"]["predict-real"].arguments
    assert value(next(iter(cells.generated().steps)), "--domains") == "hotel"


@pytest.mark.parametrize("module", [luas_dst, luas_replace])
def test_results_of_another_plan_are_not_gone_on_with(module: Any, tmp_path: Path) -> None:
    def plan(size: Any, *more: str) -> dict[str, Any]:
        return dict(module.planned(module.parser().parse_args(["--out", str(tmp_path), *more]), size))

    claim(tmp_path, plan(module.QUICK))
    claim(tmp_path, plan(module.QUICK, "--jobs", "1"))
    with pytest.raises(UserError, match="another grammar"):
        claim(tmp_path, plan(module.QUICK, "--grammar"))
    with pytest.raises(UserError, match=r"another .*seeds"):
        claim(tmp_path, plan(module.Size()))


def copying(name: str, tmp_path: Path, source: str) -> Step:
    return Step(name, ("json.tool", str(tmp_path / source), str(tmp_path / f"{name}.json")))


def test_chains_go_on_where_they_stopped_and_what_waits_is_given_up(tmp_path: Path) -> None:
    (tmp_path / "good.json").write_text("[1]")
    good = Chain(tmp_path / "a", [copying("one", tmp_path, "good.json")])
    bad = Chain(tmp_path / "b", [copying("two", tmp_path, "late.json")])
    begun = threading.Event()

    class Waiting(Chain):
        def run(self) -> None:
            begun.set()

    def through() -> None:
        with Bench(1) as bench:
            bench.begin(good)
            bench.begin(bad).result()
            bench.begin(Waiting(tmp_path, []))

    with pytest.raises(Failure, match="mend it, and the same command goes on"):
        through()
    assert not begun.is_set()
    (tmp_path / "late.json").write_text("[2]")
    (tmp_path / "one.json").unlink()
    with Bench(2) as bench:
        bench.begin(good)
        bench.begin(bad)
    assert not (tmp_path / "one.json").exists(), "what is done is not done again"
    assert json.loads((tmp_path / "two.json").read_text()) == [2]


def test_a_failure_that_nobody_waited_for_is_told(tmp_path: Path) -> None:
    with pytest.raises(Failure, match="ended with status"), Bench(2) as bench:
        bench.begin(Chain(tmp_path, [copying("two", tmp_path, "nothing.json")]))


def test_without_people_the_recipe_stands_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert material.human("corpus.zip", tmp_path, TOWN, 5) == "corpus.zip"
    done: list[Step] = []
    monkeypatch.setattr("training.tracking.commands.done", lambda step, folder: done.append(step))
    assert material.human(None, tmp_path, TOWN, 5) == str(tmp_path / "stand-ins")
    assert value(done[0], "--seed") == "1000"
    assert value(done[0], "--n") == "5"


# ---- commands of their own ------------------------------------------------------------------------------------------


def test_baselines_say_nothing_or_what_the_rules_read(tmp_path: Path) -> None:
    asked = talk(
        "asked",
        ("hotel", "I need a hotel in the north with 4 stars.", "Fine. Which price range?", {"hotel-area": "north"}),
        ("hotel", "Thank you, goodbye.", "Bye.", {}),
    )
    source = written(tmp_path / "talks.jsonl", asked)
    for kind in ("empty", "rules"):
        baseline([kind, "--data", source, "--ontology", str(TOWN), "--out", str(tmp_path / f"{kind}.jsonl")])
    empty, rules = (
        [json.loads(line) for line in (tmp_path / f"{kind}.jsonl").read_text().splitlines()]
        for kind in ("empty", "rules")
    )
    assert empty == [{"dialogue_id": "asked", "turn": turn, "state": {}} for turn in (0, 2)]
    told = {"hotel-area": "north", "hotel-stars": "4"}
    assert [(row["turn"], row["state"].items() >= told.items()) for row in rules] == [(0, True), (2, True)]


def test_the_last_turns_alone_are_read(tmp_path: Path) -> None:
    source = written(tmp_path / "talks.jsonl", HOTEL)
    out = tmp_path / "rows.jsonl"
    examples([source, "--ontology", str(TOWN), "--out", str(out), "--form", "delta", "--turns", "2"])
    prompts = [json.loads(line)["prompt"] for line in out.read_text().splitlines()]
    assert [prompt.count("\nUser: ") for prompt in prompts] == [1, 1, 1, 1]
    assert [prompt.count("\nSystem: ") for prompt in prompts] == [0, 1, 1, 1]
    assert 'System: The Mill.\nUser: Book it.\nState: {"hotel":{"area":"north"}}' in prompts[1]


def test_a_domain_is_taken_out_with_nothing_in_its_place() -> None:
    only = talk("only", ("hotel", "In the east.", "Well.", EAST))
    made, told = replaced([HOTEL, only, FOOD], None, "hotel", 0)
    assert [each.id for each in made] == ["real-1~hotel", "food"]
    assert {domain_of(slot) for each in made for _, state in tracked(each) for slot in state} == {"taxi", "restaurant"}
    assert told["gone"] == 3
    assert told["counted"]["real dialogues left out"] == 1
    with pytest.raises(UserError, match="nothing is left"):
        replaced([only], None, "hotel", 0)


@pytest.mark.parametrize(
    ("low", "by", "high", "words"),
    [
        (0.01, 0.05, 0.09, "+5.0 points of joint goal accuracy by trade_exact, better; the interval leaves out 0."),
        (-0.09, -0.05, -0.01, "-5.0 points of joint goal accuracy by trade_exact, worse; the interval leaves out 0."),
        (-0.01, 0.05, 0.11, "no difference that these test dialogues could show: the interval holds 0."),
    ],
)
def test_a_sentence_says_what_the_interval_lets_it_say(low: float, by: float, high: float, words: str) -> None:
    turns = [[1.0]]
    outcome = Outcome("both", 8, "trade_exact", Spread(1), Spread(1), Spread(0), Interval(1, 1, 1), turns, (1.0,))
    assert words in telling.verdict(Gap(outcome, outcome, Difference(by, low, high, 0.04), 2, 3))
