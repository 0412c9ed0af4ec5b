"""python -m synthesis.bench: the whole path against the benchmarks' server, and what it says at the end."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from synthesis.bench import main
from synthesis.outcomes import Shard, part
from synthesis.under_way import files
from tests.benchmarks import fire, load
from tests.benchmarks.memory import IN_FLIGHT
from tests.benchmarks.server import Server
from tests.benchmarks.table import WORKS, row

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server() as made:
        yield made


def bench(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    status = main([*arguments])
    return status, capsys.readouterr().out


def test_what_is_told_is_what_the_server_saw(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    server.set(low=0.02, high=0.02)
    flags = ["--endpoint", server.url, "--conversations", "30", "--turns", "3", "--in-flight", "10"]
    status, out = bench(capsys, *flags, "--json")
    told, seen = json.loads(out), server.stats()
    assert status == 0
    assert (told["kept"], told["dropped"], told["failed"]) == (30, 0, 0)
    assert told["requests"] == told["answered"] == seen["answered"] == seen["distinct"] == 90
    assert seen["most_at_once"] == 10
    assert (told["retries"], told["overloaded"], told["faults"]) == (0, 0, {})
    assert (told["tokens_in"], told["tokens_out"]) == (90 * 64, 90 * 32)
    assert 0.02 <= told["latency"]["p50"] <= told["latency"]["p90"] <= told["latency"]["p99"] <= told["seconds"]
    assert told["requests_per_second"] == pytest.approx(90 / told["seconds"], rel=0.01)
    assert told["seconds"] >= 9 * 0.02


def test_for_people(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    server.set(low=0.01, high=0.02, limit=4)
    status, out = bench(capsys, "--endpoint", server.url, "--conversations", "20", "--turns", "2", "--in-flight", "16")
    assert status == 0
    assert "conversations  20 kept, 0 dropped, 0 failed\n" in out
    refused = server.stats()["refused"]
    assert refused
    assert f"429 and 503    {refused}\n" in out
    assert f"requests       {40 + refused}, of which {refused} retries;" in out
    assert "faults         none\n" in out


def test_a_bench_that_is_kept_goes_on(server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    server.set()
    flags = ["--endpoint", server.url, "--conversations", "5", "--turns", "2", "--out", str(tmp_path / "kept")]
    assert bench(capsys, *flags)[0] == 0
    (tmp_path / "kept/run.json").unlink()
    (tmp_path / "kept/rounds/1/0-of-1.jsonl").unlink()
    status, out = bench(capsys, *flags, "--json")
    assert (status, json.loads(out)["requests"], server.stats()["came"]) == (0, 0, 10)


def test_mistakes_are_told_in_a_line() -> None:
    command = [sys.executable, "-m", "synthesis.bench", "--endpoint"]
    ended = subprocess.run([*command, "nonsense"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith("error: endpoint 'nonsense': expected http://")


# ---- what the table measures, at a size that takes seconds ----------------------------------------------------------


def test_a_killed_bench_repeats_only_what_was_in_flight(server: Server, tmp_path: Path) -> None:
    assert fire.kill(server, tmp_path, conversations=150) <= 64


def test_a_killed_run_goes_on_with_what_it_had(server: Server, tmp_path: Path) -> None:
    assert load.resume(server, tmp_path, replies=5_000) > 0
    index = files(part(tmp_path, 1, Shard()))[1]
    assert index.stat().st_size > 16 * (5_000 - 3 * IN_FLIGHT), "all but what was under way, twice"


def test_memory_does_not_grow_with_dialogues(tmp_path: Path) -> None:
    assert load.peak("run", 8_000, tmp_path / "large") - load.peak("run", 500, tmp_path / "small") < 8


def test_memory_does_not_grow_with_replies(server: Server, tmp_path: Path) -> None:
    assert load.journal(server, tmp_path, replies=20_000) < 8


def test_rows_say_whether_they_held() -> None:
    works = {work.name: work for work in WORKS}
    assert row(works["limit"], [1.1, 1.5, 1.2]).endswith("| 1.2 (1.1 to 1.5) | yes |")
    assert row(works["limit"], [1.1, 1.5, 1.4]).endswith("| 1.4 (1.1 to 1.5) | **no** |")
    assert row(works["rate"], [0.7]).endswith("| 0.7 | yes |")
    assert row(works["kill"], [65.0]).endswith("| 65 calls | **no** |")
