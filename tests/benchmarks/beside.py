"""Parley beside its peers, where `make bench-peers` has installed them: the same requests to the same server, in turn.

`python -m tests.benchmarks.beside [--rounds 3] [--write]` prints a table, and adds it to docs/benchmarks.md. A peer
runs in its own environment under `.venv-peers/`, by the script of its name in `tests/benchmarks/peers/`.
"""

from __future__ import annotations

import argparse
import contextlib
import heapq
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.benchmarks.benching import command
from tests.benchmarks.server import ROOT, Server
from tests.benchmarks.table import PAGE

PEERS = {
    "datatrove": "datatrove_peer.py",
    "distilabel": "distilabel_peer.py",
    "data-designer": "data_designer_peer.py",
}
ENVIRONMENTS = ROOT / ".venv-peers"
PARLEY = "Parley"
TITLE = "\n## Beside others\n"
ABOUT = """
In turn against one server, each as it comes, with its own retries and its own way to go on after a kill, and with as
many requests in flight as the row says. What is timed is a run from call to result, without imports. Medians of
{rounds}; the last two rows were measured once. "Rows" are those with a reply in the end; a call is wasted that was cut
off by the outage, and repeated if it was answered a second time, or beyond the number that was wanted.
"""
PATIENCE = 300.0


@dataclass(frozen=True)
class Load:
    """Requests, how many are wanted in flight, how the server behaves, and what is told of a run (`figure`)."""

    told: str
    requests: int
    in_flight: int
    manner: Mapping[str, Any]
    figure: Callable[[Load, Server, Mapping[str, Any]], float | str]
    killed: bool = False
    once: bool = False


def _by_ideal(load: Load, server: Server, found: Mapping[str, Any]) -> float | str:
    """Wall time by what so many workers need that do nothing but wait."""
    free = [0.0] * int(load.manner.get("limit", load.in_flight))
    for seconds in server.planned().values():
        heapq.heappush(free, heapq.heappop(free) + seconds)
    return float(found["seconds"]) / max(free)


def _a_second(load: Load, server: Server, found: Mapping[str, Any]) -> float | str:
    """Requests a second."""
    return load.requests / float(found["seconds"])


def _wasted(load: Load, server: Server, found: Mapping[str, Any]) -> float | str:
    return f"{found['rows']} rows, {server.stats()['cut']} wasted"


def _repeated(load: Load, server: Server, found: Mapping[str, Any]) -> float | str:
    stats = server.stats()
    return f"{found['rows']} rows, {stats['distinct'] + stats['repeated'] - load.requests} repeated"


STEADY = {"low": 0.1, "high": 0.3}
LOADS = (
    Load("wall by ideal: 1,000 requests, 64 in flight, U(0.1, 0.3) s", 1000, 64, STEADY, _by_ideal),
    Load("wall by ideal: 300 requests, 64 wanted, 429 above 8", 300, 64, STEADY | {"limit": 8}, _by_ideal),
    Load("wall by ideal: 600 requests, 50 in flight, 2 % take 3 s", 600, 50, STEADY | {"slow": 0.02}, _by_ideal),
    Load("requests a second: 5 ms, 64 in flight", 4000, 64, {"low": 0.005, "high": 0.005}, _a_second),
    Load(
        "outage of 60 s after 200 of 1,000",
        1000,
        64,
        STEADY | {"outage": 60.0, "outage_after": 200},
        _wasted,
        once=True,
    ),
    Load("kill -9 at half of 1,000, run again", 1000, 64, STEADY, _repeated, killed=True, once=True),
)


def measured(name: str, server: Server, load: Load) -> float | str:
    """The figure of one run, or in words what came of it instead."""
    server.set(**load.manner)
    with tempfile.TemporaryDirectory(prefix="parley-peer-") as folder:
        line = _command(name, server, load, Path(folder))
        if load.killed:
            _kill_at(load.requests // 2, server, line, folder)
        ended = _run(line, folder)
    if isinstance(ended, str):
        return ended
    found: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    rows = found.setdefault("rows", found.get("kept"))
    if load.figure in (_by_ideal, _a_second) and rows != load.requests:
        return f"{rows} of {load.requests} rows, {found['seconds']:.0f} s"
    return load.figure(load, server, found)


def _command(name: str, server: Server, load: Load, folder: Path) -> list[str]:
    if name == PARLEY:
        flags = {"conversations": load.requests, "turns": 1, "in_flight": load.in_flight, "out": folder / "run"}
        return command([server.url], **flags)
    script = ROOT / "tests" / "benchmarks" / "peers" / PEERS[name]
    python = ENVIRONMENTS / name / "bin" / "python"
    return [str(python), str(script), server.url, str(load.requests), str(load.in_flight), str(folder)]


def _run(line: list[str], folder: str) -> subprocess.CompletedProcess[str] | str:
    """The process that has ended well, or in words how it did not. Nothing that it started is left."""
    process = _start(line, folder)
    try:
        output, errors = process.communicate(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        return f"not done in {PATIENCE:.0f} s"
    finally:
        _kill(process)
    if process.returncode:
        print(errors[-2000:], file=sys.stderr)
        return f"stops with exit status {process.returncode}"
    return subprocess.CompletedProcess(line, 0, output, errors)


def _kill_at(requests: int, server: Server, line: list[str], folder: str) -> None:
    process = _start(line, folder)
    while server.stats()["came"] < requests and process.poll() is None:
        time.sleep(0.01)
    _kill(process)


def _start(line: list[str], folder: str) -> subprocess.Popen[str]:
    place = {"PYTHONPATH": str(ROOT)} if line[0] == sys.executable else {}
    return subprocess.Popen(
        line,
        cwd=folder,
        env=os.environ | place,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def _kill(process: subprocess.Popen[str]) -> None:
    """With all that it has started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _shown(found: list[float | str]) -> str:
    words = [each for each in found if isinstance(each, str)]
    if words:
        return words[0]
    middle = statistics.median(each for each in found if not isinstance(each, str))
    return f"{middle:.2f}" if middle < 20 else f"{middle:,.0f}"


def _version(name: str) -> str:
    line = [str(ENVIRONMENTS / name / "bin" / "python"), "-c"]
    ask = f"import importlib.metadata as m; print(m.version({name!r}))"
    return subprocess.run([*line, ask], capture_output=True, text=True, check=True).stdout.strip()


def main(arguments: list[str]) -> int:
    """Exit status 0."""
    parser = argparse.ArgumentParser("python -m tests.benchmarks.beside", description=str(__doc__).splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--write", action="store_true", help="add the table to docs/benchmarks.md")
    flags = parser.parse_args(arguments)
    names = [name for name in PEERS if (ENVIRONMENTS / name / "bin" / "python").exists()]
    lines = []
    with Server() as server:
        for load in LOADS:
            found: dict[str, list[float | str]] = {}
            for _ in range(1 if load.once else flags.rounds):
                for name in (PARLEY, *names):
                    found.setdefault(name, []).append(measured(name, server, load))
                    print(name, load.told, found[name][-1], file=sys.stderr, flush=True)
            lines.append(f"| {load.told} | {' | '.join(_shown(found[name]) for name in (PARLEY, *names))} |")
    heads = [PARLEY, *[f"{name} {_version(name)}" for name in names]]
    lines = [f"| work | {' | '.join(heads)} |", f"|---|{'--:|' * len(heads)}", *lines]
    absent = [name for name in PEERS if name not in names]
    told = f"\nNot measured here: {', '.join(absent)}.\n" if absent else ""
    text = f"{TITLE}\n" + "\n".join(lines) + "\n" + ABOUT.format(rounds=flags.rounds) + told
    print(text)
    if flags.write:
        before = PAGE.read_text(encoding="utf-8").partition(TITLE)[0]
        PAGE.write_text(before + text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
