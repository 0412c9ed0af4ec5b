"""The speed experiment: costs counted by hand, the whole of it against a server, and what its report says of what."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from synthesis.engine import Info, Reply, Request
from synthesis.engines.journal import Journal
from synthesis.engines.scripted import Scripted
from synthesis.errors import ContextOverflow, RequestRefused, UserError
from synthesis.recipe import make
from synthesis.recipes.solid_rl import HERE, SolidRl
from synthesis.run import Plan, run
from tests import solid_clerk
from training.experiments.solid_speed import main, parser, steps
from training.speed import Cost, cost
from training.speed_report import GRAMMAR, SOLID, TUNED, ratios, write

ROOT = Path(__file__).resolve().parents[1]
PLAN: dict[str, Any] = {
    "n": 10, "in_flight": 4, "preset": "laptop", "endpoint": None, "model": "embedded", "tuned": None,
    "material": 40, "epochs": 6, "training": "training/solid_rl_small.yaml",
}  # fmt: skip


def costing(**more: Any) -> Cost:
    """Of ten seeds, all kept."""
    usual = Cost(10, 10, 0, 40, 2000, 900, 50.0, 0, 0, 0, 4.0, 12.0)
    return dataclasses.replace(usual, **more)


async def made(folder: Path, model: Callable[[Request], Any], n: int, consistency: str = "none") -> Cost:
    folder.mkdir()
    fields = {"entities": str(HERE / "solid_entities.jsonl"), "temperature": "0.5", "consistency": consistency}
    plan = Plan(make(SolidRl, "paper", fields), "paper", folder, n, 0, Info("clerk", "tgi"))
    async with Journal(Scripted(model), folder / "journal.sqlite", "clerk") as journal:
        await run(plan, journal, lambda *_: None)
    return cost(folder)


async def test_a_run_is_counted(tmp_path: Path) -> None:
    """Of four dialogues, one is read at once, one at the second try, one never, one does not fit the context."""
    tries: dict[str, int] = {}

    def answer(request: Request) -> str | Reply | Exception:
        text = request.messages[0][1]
        tries[text] = tries.get(text, 0) + 1
        number = list(tries).index(text)
        if number == 3:
            return ContextOverflow("too long")
        if number == 2 or (number == 1 and tries[text] == 1):
            return "I would rather not."
        return solid_clerk.answer(request)

    found = await made(tmp_path / "run", answer, 4)
    assert (found.seeds, found.kept, found.failed, found.given_up) == (4, 2, 0, 1)
    assert (found.requests, found.one_step) == (7, 7)  # 1 + 2 + 3 + 1
    assert found.unread == 4  # 1 + 3; nothing came where the context was too small
    assert found.failure_rate == pytest.approx(4 / 7)
    assert found.each("requests") == 3.5
    rows = [json.loads(line) for line in (tmp_path / "run" / "dialogues.jsonl").read_text().splitlines()]
    assert found.turns == sum(len(row["turns"]) for row in rows) / 2
    assert found.tokens_out >= sum(row["origin"]["stages"][0]["tokens_out"] for row in rows)


async def test_what_fails_is_told_from_what_could_not_be_read(tmp_path: Path) -> None:
    """Of three dialogues, a critic cannot be read, a server refuses the third try, and one is kept."""
    tries: dict[str, int] = {}

    def answer(request: Request) -> str | Exception:
        text = request.messages[0][1]
        if request.stage == "intents":
            return "Hm." if "Moreover" in text else solid_clerk.answer(request)
        tries[text] = tries.get(text, 0) + 1
        if list(tries).index(text) == 1:
            return "I would rather not." if tries[text] < 3 else RequestRefused("no")
        reply = solid_clerk.answer(request)
        return reply if list(tries).index(text) else f"{reply} Moreover, it is so."

    found = await made(tmp_path / "run", answer, 3, "any")
    assert (found.seeds, found.kept, found.failed, found.given_up) == (3, 1, 2, 0)
    assert (found.one_step, found.unread) == (5, 2)  # 1 + 3 + 1; the first two of the second dialogue


async def test_nothing_kept_is_a_finding(tmp_path: Path) -> None:
    found = await made(tmp_path / "run", lambda _: "No.", 2)
    assert (found.kept, found.unread, found.one_step, found.given_up) == (0, 6, 6, 2)
    assert found.each("seconds") is None
    assert found.failure_rate == 1.0
    write({SOLID: [costing()], GRAMMAR: [costing()], TUNED: [found]}, PLAN, tmp_path / "report.md")
    report = (tmp_path / "report.md").read_text()
    assert "no dialogue was kept, so there is no speed to tell" in report
    assert "| 6 | 6 | 100.0 % | 2 |" in report


def test_a_run_under_way_is_no_measure(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(json.dumps({"status": "running"}))
    with pytest.raises(UserError, match="the run is running; finish it"):
        cost(tmp_path)


def test_ratios_are_of_kept_dialogues_seed_by_seed() -> None:
    """5 seconds a dialogue against 1 and 2, and 4 calls against 2 and 4."""
    costs = {
        SOLID: [costing(), costing(), costing()],
        TUNED: [
            costing(requests=10, kept=5, seconds=5.0),
            costing(seconds=20.0),
            costing(kept=0),
        ],
    }
    assert ratios(costs, TUNED, "seconds") == [5.0, 2.5]
    assert ratios(costs, TUNED, "requests") == [2.0, 1.0]


@pytest.mark.parametrize(
    ("seconds", "sentence"),
    [
        ((5.0, 10.0), "7.5 times faster for a kept dialogue."),
        ((100.0, 200.0), "2.7 times slower for a kept dialogue."),
        ((25.0, 100.0), "1.2 times as fast; the seeds do not agree on which is faster."),
    ],
)
def test_the_report_says_what_the_numbers_say(seconds: tuple[float, float], sentence: str, tmp_path: Path) -> None:
    one = [costing(seconds=each, one_step=12, unread=2, requests=12) for each in seconds]
    write({SOLID: [costing(), costing()], GRAMMAR: one, TUNED: one}, PLAN, tmp_path / "report.md")
    report = (tmp_path / "report.md").read_text()
    assert f"no grammar: {sentence}" in report
    assert "| solid, turn by turn | 20 of 20 | 4.00 ± 0.00 | 200 ± 0 | 90.0 ± 0.0 | 5.00 ± 0.00 |" in report
    assert "| 24 | 4 | 16.7 % | 0 |" in report
    assert "says 11 times; it is of another model" in report


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    command = [sys.executable, "-m", "tests.clerk_server", "--log", str(tmp_path / "log")]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    yield process.stdout.readline().strip()
    process.terminate()
    process.communicate()


def test_the_whole_against_a_server_goes_on_where_it_stopped(server: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    flags = ["--quick", "--endpoint", server, "--tuned-endpoint", server, "--preset", "laptop", "--out", str(out)]
    main(flags)
    report = (out / "solid-speed.md").read_text()
    assert "| solid, turn by turn | 6 of 6 |" in report
    assert "| solid-rl, trained to write in one step, no grammar | 6 of 6 | 1.00 |" in report
    solid, tuned = cost(out / f"{SOLID}-0"), cost(out / f"{TUNED}-0")
    assert (tuned.requests, tuned.unread) == (6, 0)
    written = [json.loads(line) for line in (out / f"{SOLID}-0" / "dialogues.jsonl").read_text().splitlines()]
    calls = [each["origin"]["stages"][0]["requests"] / (len(each["turns"]) - 1) for each in written]
    assert sorted(calls) == [1, 1, 1, 1, 1, 2], (
        "the opening questions are in the file; a repeated turn costs all again"
    )
    assert solid.turns == tuned.turns, "plans are the same"
    asked = len((tmp_path / "log").read_text().splitlines())
    assert asked == solid.requests + cost(out / f"{GRAMMAR}-0").requests + tuned.requests, "as the server counts"
    (out / "steps" / f"{TUNED}-0.json").unlink()
    main(flags)
    assert len((tmp_path / "log").read_text().splitlines()) == asked + 6, "what was stopped while timed starts anew"
    with pytest.raises(UserError, match=r"holds results with another n .*choose another --out"):
        main([*flags, "--n", "7"])


def test_a_one_step_model_is_trained_unless_there_is_one(tmp_path: Path) -> None:
    def names(*more: str) -> list[str]:
        flags = parser().parse_args(["--n", "2", "--seeds", "2", "--out", str(tmp_path), *more])
        flags.preset = "laptop"
        return [step.name for step in steps(flags)]

    timed = [f"{kind}-{seed}" for seed in (0, 1) for kind in (SOLID, GRAMMAR, TUNED)]
    assert names("--material", "9", "--epochs", "1") == ["write-material", "rows", "train", *timed]
    assert names("--tuned", "somewhere") == timed


def test_servers_come_in_pairs(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--endpoint and --tuned-endpoint go together"):
        main(["--quick", "--endpoint", "http://127.0.0.1:1", "--out", str(tmp_path / "out")])
    assert not (tmp_path / "out").exists()
