"""kill -9 at any moment: the same command goes on, asks for nothing that was finished, and ends in the same bytes."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from random import Random

import pytest

from synthesis.recipes.spc import HERE

ROOT = Path(__file__).resolve().parents[1]
FIELDS = {
    "n": 8,
    "rounds": 2,
    "growth": 0.1,
    "query-steps": 2,
    "iterations": 2,
    "profiles": 30,
    "cluster-size": 12,
    "candidates": 2,
    "exemplars-per-prompt": 1,
    "seed": 3,
    "in-flight": 6,
}
KILLS = 3
SAME = ("dialogues.jsonl", "dropped.jsonl", "failed.jsonl", "seeds.jsonl")
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}


class Server:
    """The clerk's server as a process: its address, and the hashes of the requests that it answered."""

    def __init__(self, log: Path) -> None:
        self._log = log
        command = [sys.executable, "-m", "tests.clerk_server", "--log", str(log), "--latency", "0.01"]
        self.process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().strip()

    def answered(self) -> Counter[str]:
        return Counter(self._log.read_text().split())

    def settled(self) -> int:
        """Requests answered, once those that a killed process left behind are answered too: half a second of quiet."""
        before = -1
        while before != (now := sum(self.answered().values())):
            before = now
            time.sleep(0.5)
        return now

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    made = Server(tmp_path / "answered.log")
    yield made
    made.close()


def start(server: Server, folder: Path, personas: Path) -> subprocess.Popen[str]:
    flags = [f"--{name}={value}" for name, value in FIELDS.items()]
    command = [sys.executable, "-m", "synthesis", "spc", f"--endpoint={server.url}", f"--out={folder}"]
    return subprocess.Popen(
        [*command, f"--personas={personas}", *flags],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
    )


def stored(folder: Path) -> int:
    """How many replies the journal of a run holds."""
    with closing(sqlite3.connect(folder / "journal.sqlite")) as journal:
        count: int = journal.execute("SELECT count(*) FROM replies").fetchone()[0]
        return count


def ended(process: subprocess.Popen[str]) -> str:
    out, err = process.communicate(timeout=100)
    assert process.returncode == 0, err
    return out


def killed(process: subprocess.Popen[str], server: Server, requests: int) -> bool:
    """Kills the process once the server has answered so many requests; False when it ended before."""
    while sum(server.answered().values()) < requests:
        if process.poll() is not None:
            break
        time.sleep(0.005)
    process.kill()
    process.communicate()
    server.settled()
    return process.returncode == -signal.SIGKILL


@pytest.mark.timeout(300)
def test_a_killed_run_goes_on_where_it_was(server: Server, tmp_path: Path) -> None:
    personas = tmp_path / "personas.jsonl"
    personas.write_text("".join((HERE / "spc_personas.jsonl").read_text().splitlines(keepends=True)[:60]))
    ended(start(server, tmp_path / "whole", personas))
    once = server.answered()
    assert max(once.values()) == 1
    total = sum(once.values())

    rng, asked = Random(20), total
    for part in range(KILLS):
        share = (part + rng.random()) / KILLS
        asked = max(asked, total + int(share * total))
        assert killed(start(server, tmp_path / "killed", personas), server, asked), f"kill {part} came too late"
        assert not (tmp_path / "killed/dialogues.jsonl").exists()
    finished, answered = stored(tmp_path / "killed"), server.settled()
    told = ended(start(server, tmp_path / "killed", personas))

    again = server.answered() - once
    assert set(again) == set(once), "the same requests were made"
    assert sum(server.answered().values()) - answered == total - finished, "each missing reply was asked for once"
    torn = sum(again.values()) - len(again)
    assert torn <= KILLS * 100, "what was on its way when the process died is all that was asked for again"
    for name in SAME:
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name
    facts = json.loads((tmp_path / "killed/run.json").read_text())
    counts = facts["counts"]
    assert facts["metrics"]["dialogues"] == counts["kept"]
    assert counts["kept"] + counts["dropped"] + counts["failed"] == counts["seeds"] == 8
    assert f"{counts['kept']} kept, {counts['dropped']} dropped" in told
