"""The runner: every seed ends in one ledger, a rerun asks nothing twice, and another run keeps out."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from synthesis.__main__ import main
from synthesis.command import parse, recipe_class, recipes
from synthesis.dry_run import estimate
from synthesis.engine import Engine, Info, Reply, Request
from synthesis.engines.journal import Journal
from synthesis.engines.scripted import Scripted
from synthesis.engines.traffic import Asked, Observed, Traffic
from synthesis.errors import JournalError, Outage, Overloaded, RequestRefused, StorageError, Unavailable, UserError
from synthesis.outcomes import Shard
from synthesis.price import Price
from synthesis.progress import Progress
from synthesis.recipe import make
from synthesis.recipes.spc import Spc
from synthesis.run import Plan, run
from tests.toy_recipe import Toy, number_of, plan, talk
from tests.vectors import Dawdling

ROOT = Path(__file__).resolve().parents[1]
LEDGERS = ("dialogues.jsonl", "dropped.jsonl", "failed.jsonl")


def quiet(phase: str, total: int, counts: Mapping[str, int]) -> None:
    """Shows nothing."""


async def ran(chosen: Plan, engine: Engine | None) -> dict[str, Any]:
    chosen.folder.mkdir(exist_ok=True)
    async with Journal(engine, chosen.folder / "journal.sqlite", "m") as journal:
        return await run(chosen, journal, quiet)


def rows(folder: Path, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / name).read_text().splitlines()]


def made(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in (*LEDGERS, "seeds.jsonl")}


def by_number(**said: Any) -> Callable[[Request], Any]:
    """Says what is given for a number ("n3"), and else talks."""
    return lambda request: said.get(f"n{number_of(request)}", talk(request))


# ---- the ledger -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content", [b"", b"hello\n", b"I like g\xe4rten.\n"], ids=["empty", "no sentence", "not UTF-8"]
)
def test_a_file_that_cannot_be_used_leaves_no_run_behind(tmp_path: Path, content: bytes) -> None:
    given = tmp_path / "personas.txt"
    given.write_bytes(content)
    with pytest.raises(UserError, match="personas"):
        plan(tmp_path / "run", recipe=Spc(personas=given)).claim()
    assert not (tmp_path / "run").exists()


async def test_a_claim_is_withdrawn_only_while_nothing_was_made(tmp_path: Path) -> None:
    chosen = plan(tmp_path / "run")
    chosen.claim()
    chosen.withdraw()
    assert not (tmp_path / "run" / "run.json").exists()
    await ran(chosen, Scripted(talk))
    chosen.withdraw()
    assert (tmp_path / "run" / "run.json").exists()


async def test_every_seed_ends_in_one_ledger(tmp_path: Path) -> None:
    engine = Scripted(
        by_number(
            n0="gibberish",
            n1="drop",
            n2="User 1: Ah.\nUser 2: Oh.",
            n3="bug",
            n4=RequestRefused("too rude"),
            n5=Unavailable("the server broke off"),
        )
    )
    facts = await ran(plan(tmp_path, 9), engine)
    assert facts["counts"] == {"seeds": 9, "kept": 3, "dropped": 2, "failed": 4}
    assert facts["funnel"][0]["dropped"] == {"length": 1, "taste": 1}
    assert facts["funnel"][0]["failed"] == {"KeyError": 1, "ReadingError": 1, "RequestRefused": 1, "Unavailable": 1}
    number = {row["id"]: row["content"]["number"] for row in rows(tmp_path, "seeds.jsonl")}
    lost = {number[row["id"]]: row for name in LEDGERS[1:] for row in rows(tmp_path, name)}
    assert sorted(lost) == [0, 1, 2, 3, 4, 5]
    assert lost[0]["raw"] == "gibberish"
    assert lost[0]["attempts"] == 2
    assert "saying: no talk: expected turns" in lost[0]["reason"]
    assert (lost[1]["stage"], lost[1]["reason"], lost[1]["raw"]) == ("taste", "dull: it was", "drop")
    assert (lost[2]["stage"], lost[2]["raw"]) == ("length", "User 1: Ah.\nUser 2: Oh.")
    assert lost[3]["reason"] == "KeyError: 'nowhere'"
    assert lost[4]["reason"] == "RequestRefused: too rude"
    assert lost[5]["attempts"] == 1
    assert all(row["round"] == 1 for row in lost.values())
    kept = rows(tmp_path, "dialogues.jsonl")
    assert sorted(number[row["id"]] for row in kept) == [6, 7, 8]
    assert [row["id"] for row in kept] == sorted(row["id"] for row in kept)
    assert kept[0]["origin"]["stages"][0]["requests"] == 1
    assert json.loads((tmp_path / "run.json").read_text()) == facts


async def test_what_comparison_drops_is_in_the_ledger(tmp_path: Path) -> None:
    engine = Scripted(lambda request: "User 1: Hello, hello.\nUser 2: Yes, it is.")
    facts = await ran(plan(tmp_path, 8), engine)
    assert facts["counts"] == {"seeds": 8, "kept": 3, "dropped": 5, "failed": 0}
    dropped = rows(tmp_path, "dropped.jsonl")
    ids = sorted(row["id"] for row in rows(tmp_path, "seeds.jsonl"))
    assert [row["id"] for row in dropped] == ids[3:]
    assert dropped[0] == {
        "id": ids[3],
        "round": 1,
        "stage": "stock-openers",
        "reason": "stock opener: 'hello hello', 3 others kept",
        "attempts": 1,
        "raw": "User 1: Hello, hello.\nUser 2: Yes, it is.",
    }


async def test_rounds_build_on_what_was_kept(tmp_path: Path) -> None:
    engine = Scripted(talk)
    facts = await ran(plan(tmp_path, 4, recipe=Toy(rounds=3)), engine)
    assert [each["round"] for each in facts["funnel"]] == [1, 2, 3]
    assert [each["kept"] for each in facts["funnel"]] == [4, 4, 4]
    assert {row["origin"]["round"] for row in rows(tmp_path, "dialogues.jsonl")} == {3}
    said = {row["turns"][0]["text"] for row in (each["dialogue"] for each in rows(tmp_path, "rounds/2/0-of-1.jsonl"))}
    last = [request.prompt for request in engine.requests if request.prompt and "says" in request.prompt][-4:]
    assert all(any(text in prompt for text in said) for prompt in last if prompt)
    assert facts["stages"][1] == {
        "name": "saying",
        "role": "generator",
        "requests": 12,
        "tokens_in": sum(len(str(request.prompt).split()) for request in engine.requests if number_of(request) >= 0),
        "tokens_out": 12 * 11,
        "sampling": {"temperature": 1.0, "max_new_tokens": 9},
    }


async def test_seeds_with_one_id_are_a_mistake_of_the_recipe(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="more than one seed with the id 'toy-00000000'"):
        await ran(plan(tmp_path, 2, recipe=Toy(twice=True)), Scripted(talk))


async def test_the_users_mistake_ends_the_run(tmp_path: Path) -> None:
    engine = Scripted(by_number(n2=UserError("the key was refused")))
    with pytest.raises(UserError, match="the key was refused"):
        await ran(plan(tmp_path), engine)
    assert json.loads((tmp_path / "run.json").read_text())["status"] == "running"


async def test_a_full_disk_ends_the_run(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="full"):
        await ran(plan(tmp_path), Scripted(by_number(n2=StorageError("full"))))


# ---- order and resume -----------------------------------------------------------------------------------------------


async def test_neither_order_nor_company_shows_in_the_files(tmp_path: Path) -> None:
    def model(request: Request) -> Any:
        return "mumble" if (request.seed or 0) % 3 == 0 else talk(request)

    for name, in_flight in (("one", 1), ("many", 64), ("some", 3)):
        engine = Dawdling(Scripted(model), in_flight, 0.002)
        await ran(plan(tmp_path / name, 30, recipe=Toy(rounds=2), in_flight=in_flight), engine)
    assert made(tmp_path / "one") == made(tmp_path / "many") == made(tmp_path / "some")
    assert rows(tmp_path / "one", "failed.jsonl"), "some were lost"


async def test_a_complete_run_is_not_run_again(tmp_path: Path) -> None:
    first = await ran(plan(tmp_path), Scripted(talk))
    idle = Scripted([])
    assert await ran(plan(tmp_path), idle) == first
    assert not idle.requests


async def test_a_run_that_was_stopped_asks_nothing_twice(tmp_path: Path) -> None:
    whole = Scripted(talk)
    await ran(plan(tmp_path / "whole", 12, recipe=Toy(rounds=2)), whole)
    answered: Counter[str] = Counter()
    started = 0

    async def flaky(request: Request) -> Reply:
        nonlocal started
        started += 1
        if started in (5, 17):
            raise StorageError("pulled the plug")
        reply = await Dawdling(Scripted(talk), started)(request)
        answered[request.key("m")] += 1
        return reply

    chosen = plan(tmp_path / "stopped", 12, recipe=Toy(rounds=2), in_flight=4)
    for _ in range(2):
        with pytest.raises(StorageError):
            await ran(chosen, flaky)
    assert not list((tmp_path / "stopped").glob("dialogues.jsonl"))
    await ran(chosen, flaky)
    assert made(tmp_path / "stopped") == made(tmp_path / "whole")
    assert set(answered) == {request.key("m") for request in whole.requests}
    assert max(answered.values()) == 1


@pytest.mark.parametrize("error", [Unavailable("refused"), Overloaded("busy")], ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("n", [5, 40])
async def test_an_outage_stops_the_run_and_costs_no_row(tmp_path: Path, n: int, error: Exception) -> None:

    def model(request: Request) -> Any:
        return talk(request) if number_of(request) < 0 else error

    with pytest.raises(Outage, match=rf"all of the first {n} dialogues failed: .*start the same command again"):
        await ran(plan(tmp_path, n, in_flight=64), Scripted(model))
    assert not (tmp_path / "failed.jsonl").exists()
    facts = await ran(plan(tmp_path, n), Scripted(talk))
    assert facts["counts"]["kept"] == n


async def test_faults_here_and_there_are_no_outage(tmp_path: Path) -> None:
    def model(request: Request) -> Any:
        return Unavailable("hiccup") if number_of(request) % 2 == 0 else talk(request)

    facts = await ran(plan(tmp_path, 30, in_flight=1), Scripted(model))
    assert facts["counts"] == {"seeds": 30, "kept": 15, "dropped": 0, "failed": 15}


async def test_requests_that_are_refused_cost_their_rows(tmp_path: Path) -> None:
    facts = await ran(plan(tmp_path, 30), Scripted(lambda r: talk(r) if number_of(r) < 1 else RequestRefused("no")))
    assert facts["counts"] == {"seeds": 30, "kept": 1, "dropped": 0, "failed": 29}


async def test_a_recipe_that_asks_what_no_server_does_is_stopped_early(tmp_path: Path) -> None:
    engine = Scripted(lambda r: talk(r) if number_of(r) < 0 else RequestRefused("422: no grammar"))
    with pytest.raises(Outage, match="all of the first 16 dialogues failed: 422: no grammar"):
        await ran(plan(tmp_path, 1000, in_flight=8), engine)
    assert len(engine.requests) < 30


async def test_a_journal_replays_a_run(tmp_path: Path) -> None:
    chosen = plan(tmp_path / "first", recipe=Toy(rounds=2))
    await ran(chosen, Scripted(talk))
    (tmp_path / "again").mkdir()
    shutil.copy(tmp_path / "first/journal.sqlite", tmp_path / "again")
    await ran(plan(tmp_path / "again", recipe=Toy(rounds=2)), None)
    assert made(tmp_path / "again") == made(tmp_path / "first")


async def test_a_finished_run_is_made_again_in_place(tmp_path: Path) -> None:
    chosen = plan(tmp_path, recipe=Toy(rounds=2))
    await ran(chosen, Scripted(talk))
    before = made(tmp_path)
    (tmp_path / "dialogues.jsonl").write_text("damaged")
    (tmp_path / "rounds/2/0-of-1.jsonl").write_text("damaged")
    chosen.reopen()
    assert json.loads((tmp_path / "run.json").read_text())["status"] == "running"
    await ran(chosen, None)
    assert made(tmp_path) == before


async def test_a_replay_does_not_make_up_what_is_missing(tmp_path: Path) -> None:
    await ran(plan(tmp_path / "first"), Scripted(talk))
    (tmp_path / "again").mkdir()
    shutil.copy(tmp_path / "first/journal.sqlite", tmp_path / "again")
    with pytest.raises(JournalError, match="no reply for stage 'saying'"):
        await ran(plan(tmp_path / "again", 7), None)


async def test_shards_side_by_side_make_the_same_files(tmp_path: Path) -> None:
    await ran(plan(tmp_path / "whole", 20, recipe=Toy(rounds=2)), Scripted(talk))

    async def shard(index: int) -> dict[str, Any]:
        chosen = plan(tmp_path / "parts", 20, recipe=Toy(rounds=2), shard=Shard(index, 3))
        async with Journal(Scripted(talk), tmp_path / f"parts/journal-{chosen.shard}.sqlite", "m") as journal:
            return await run(chosen, journal, quiet)

    plan(tmp_path / "parts", 20, recipe=Toy(rounds=2), shard=Shard(0, 3)).claim()
    found = await asyncio.gather(*map(shard, range(3)))
    assert made(tmp_path / "parts") == made(tmp_path / "whole")
    assert {each["counts"]["kept"] for each in found} == {20}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"n": 7}, "n is 6 there and 7 here"),
        ({"seed": 1}, "seed is 0 there and 1 here"),
        ({"recipe": Toy(rounds=2)}, "rounds is 1 there and 2 here"),
        ({"preset": "long"}, "preset is 'improved' there and 'long' here"),
        ({"info": Info("m", "tgi", "abc")}, "revision is None there and 'abc' here"),
        ({"info": Info("other", "tgi")}, "model is 'm' there and 'other' here"),
        ({"shard": Shard(0, 2)}, "shards is 1 there and 2 here"),
        ({"recipe": Spc()}, "recipe is 'toy' there and 'spc' here"),
    ],
)
def test_another_run_keeps_out_and_says_why(tmp_path: Path, change: dict[str, Any], says: str) -> None:
    plan(tmp_path).claim()
    with pytest.raises(UserError, match=says):
        plan(tmp_path, **change).claim()


def test_a_broken_run_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(UserError, match=r"run\.json: not JSON"):
        plan(tmp_path).claim()


# ---- the command line -----------------------------------------------------------------------------------------------


def test_recipes_are_the_modules_of_their_folder() -> None:
    assert "spc" in recipes()
    assert recipe_class("spc") is Spc


def test_flags_and_fields() -> None:
    flags, values = parse(
        ["spc", "--n", "7", "--profile-size", "4", "--nli=a/b", "--shard", "1/2", "--distance", "0.5"]
    )
    assert (flags.n, flags.shard) == (7, Shard(1, 2))
    assert values == {"profile_size": ["4"], "nli": ["a/b"], "distance": ["0.5"]}


def test_a_recipe_may_be_named_as_flags_are() -> None:
    flags, values = parse(["solid-rl", "--n", "2", "--grammar"])
    assert (flags.recipe, recipe_class(flags.recipe).name, values) == ("solid_rl", "solid_rl", {"grammar": ["true"]})


def test_lists_and_switches() -> None:
    _, values = parse(["diasynth", "--topic", "Rent, and who pays it", "--no-cot", "--topic=Opera", "--no-personas"])
    assert values == {"topic": ["Rent, and who pays it", "Opera"], "cot": ["false"], "personas": ["false"]}
    found = make(recipe_class("diasynth"), "improved", values)
    assert (found.topic, found.cot, found.personas) == (("Rent, and who pays it", "Opera"), False, False)


def test_fields_take_their_types() -> None:
    found = make(
        Spc, "paper", {"top_k": "none", "growth": "0.5", "swap": "yes", "profiles": "9", "consistency": "engine"}
    )
    assert (found.top_k, found.growth, found.swap, found.profiles, found.consistency) == (None, 0.5, True, 9, "engine")
    assert found.style == "paper"
    assert make(Spc, "improved", {}).style == "improved"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nonsense"], "no recipe 'nonsense'; there are .*spc"),
        (["spc", "--colour", "red"], "recipe spc: unknown field 'colour'; its fields are candidates, cluster_size"),
        (["spc", "--preset", "best"], "recipe spc: no preset 'best'; it has improved, laptop, paper"),
        (["spc", "--rounds", "many"], "--rounds: got 'many', expected int"),
        (["spc", "--growth", "nan"], "--growth: got 'nan', expected a finite number"),
        (["spc", "--growth", "-1"], "growth is -1.0, expected at least 0"),
        (["spc", "--swap", "maybe"], "--swap: got 'maybe', expected true or false"),
        (["spc", "--style", "bold"], "--style: got 'bold', expected one of paper, improved"),
        (["spc", "--rounds"], "--rounds: expected a value"),
        (["spc", "--low", "9", "--low", "8"], r"--low: given 2 times \(9, 8\); it takes one value"),
        (["spc", "--no-rounds"], "--rounds: got 'false', expected int"),
        (["spc", "--rounds", "0"], "rounds is 0, expected at least 1"),
        (["spc", "--low", "9", "--high", "8"], "low 9 and high 8: expected 2 <= low <= high"),
        (["spc", "--consistency", "nli"], "needs a cross-encoder"),
        (["spc", "--shard", "2/2"], "--shard '2/2': expected I/N with 0 <= I < N"),
        (["spc", "extra"], "unexpected argument 'extra'; fields are given as --field value"),
        (["spc", "--replay", "--endpoint", "http://localhost:1"], "--replay asks nobody"),
        (["spc", "--replay", "--out", "/nonexistent"], "--replay: /nonexistent holds no run"),
    ],
)
def test_mistakes_are_told_in_a_line(arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    said = capsys.readouterr()
    assert re.search(says, said.err), said.err
    assert said.err.startswith("error: ")
    assert said.err.count("\n") == 1
    assert not said.out


@pytest.mark.parametrize("flags", [["--n", "0"], ["--n", "x"], ["--max-failures", "2"], ["--in-flight", "-3"], []])
def test_flags_that_cannot_be(flags: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["spc", *flags] if flags else [])
    assert caught.value.code == 2
    assert "Traceback" not in capsys.readouterr().err


def test_fields_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["spc", "--fields", "--candidates", "9"]) == 0
    assert "--candidates               9" in capsys.readouterr().out


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


def test_an_error_as_a_command_is_one_line() -> None:
    ended = python("-m", "synthesis", "nonsense")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith("error: no recipe 'nonsense'")
    assert ended.stderr.count("\n") == 1


def test_help_imports_nothing_large() -> None:
    ended = python(
        "-c",
        "import runpy, sys\n"
        "sys.argv = ['synthesis', '--help']\n"
        "try:\n    runpy.run_module('synthesis', run_name='__main__')\n"
        "except SystemExit as ended:\n    assert ended.code == 0\n"
        "large = {'torch', 'transformers', 'datasets', 'aiohttp', 'sklearn', 'scipy', 'numpy', 'polars', 'tqdm'}\n"
        "print(sorted(large & set(sys.modules)), file=sys.stderr)\n",
    )
    assert "--endpoint URL" in ended.stdout
    assert ended.stderr == "[]\n"


# ---- progress and dry run -------------------------------------------------------------------------------------------


async def test_progress_shows_outcomes_and_traffic(capsys: pytest.CaptureFixture[str]) -> None:
    traffic = Traffic()
    await Asked(Observed(Scripted(["one two three"]), traffic), traffic)(Request("a", 9, prompt="say it"))
    with Progress(traffic, Price(1e6, 1e6)) as show:
        show("seeds", 0, {"requests": 7})
        assert show.counts == {}, "requests are no dialogues, and the metrics page counts these"
        show("round 1/1", 4, {"kept": 0, "failed": 0})
        show("round 1/1", 4, {"kept": 3, "failed": 1})
    said = capsys.readouterr().err
    assert "round 1/1: 100%" in said
    assert "kept 3, failed 1" in said
    assert "tokens/s" in said
    assert "cost 5" in said
    assert "requests 7" in said


async def test_a_dry_run_tells_what_is_for_all_from_what_is_for_each(tmp_path: Path) -> None:
    traffic = Traffic()
    engine = Observed(Scripted(talk), traffic)
    table = await estimate(
        plan(tmp_path / "out", 1000, shard=Shard(1, 2)), traffic, lambda path: Journal(engine, path, "m")
    )
    lines = {line.split()[0]: line.split()[1:] for line in table.splitlines() if line}
    assert lines["counting"][0] == "1"
    assert lines["saying"][0] == "1,000"
    assert "1000 dialogues to try; the pilot kept 6 of 6." in table
    assert not (tmp_path / "out").exists()


async def test_what_seeds_rest_on_is_settled_before_they_are_there(tmp_path: Path) -> None:
    seen: list[bool] = []
    await run(plan(tmp_path), Scripted(talk), quiet, settle=lambda: seen.append((tmp_path / "seeds.jsonl").exists()))
    assert seen[0] is False
