"""Parley beside its peers, where `make bench-peers` has installed them: the same requests to the same server, in turn.

`python -m tests.benchmarks.beside [--rounds 3] [--write]` prints a table, and adds it to docs/benchmarks.md. A peer
runs in its own environment under `.venv-peers/`, by the script of its name in `tests/benchmarks/peers/`.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from typing import Any

from tests.benchmarks.benching import bench
from tests.benchmarks.server import ROOT, Server
from tests.benchmarks.table import PAGE

PEERS = {
    "datatrove": "datatrove_peer.py",
    "distilabel": "distilabel_peer.py",
    "data-designer": "data_designer_peer.py",
}
ENVIRONMENTS = ROOT / ".venv-peers"
TITLE = "\n## Beside others\n"
ABOUT = """
Medians of {rounds}, in turn against one server: each as it comes, with its own retries, and with as many requests in
flight as the row says. What is timed is a run from call to result, without imports.
"""
PATIENCE = 300.0


@dataclass(frozen=True)
class Load:
    """Requests, how many are wanted in flight, and how many the server takes (0: all)."""

    told: str
    requests: int
    in_flight: int
    limit: int


LOADS = (
    Load("1,000 requests, 64 in flight, U(0.1, 0.3) s", 1000, 64, 0),
    Load("300 requests, 64 wanted, 429 above 8", 300, 64, 8),
)


def parley(server: Server, load: Load) -> float | str:
    """Wall time by the ideal."""
    server.set(low=0.1, high=0.3, limit=load.limit)
    told = bench([server.url], conversations=load.requests, turns=1, in_flight=load.in_flight)
    return float(told["seconds"]) / _ideal(server, load)


def peer(name: str, server: Server, load: Load) -> float | str:
    """Wall time by the ideal, or in words what came of it instead."""
    server.set(low=0.1, high=0.3, limit=load.limit)
    script = ROOT / "tests" / "benchmarks" / "peers" / PEERS[name]
    with tempfile.TemporaryDirectory(prefix="parley-peer-") as folder:
        command = [str(ENVIRONMENTS / name / "bin" / "python"), str(script), server.url]
        command += [str(load.requests), str(load.in_flight), folder]
        try:
            ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=PATIENCE, check=False)
        except subprocess.TimeoutExpired:
            return f"not done in {PATIENCE:.0f} s"
    if ended.returncode:
        print(ended.stderr[-2000:], file=sys.stderr)
        return f"stops with exit status {ended.returncode}"
    told: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    if told["rows"] != load.requests:
        return f"{told['rows']} of {load.requests} rows, {told['seconds']:.0f} s"
    return float(told["seconds"]) / _ideal(server, load)


def _ideal(server: Server, load: Load) -> float:
    return sum(server.planned().values()) / (load.limit or load.in_flight)


def _shown(found: list[float | str]) -> str:
    words = [each for each in found if isinstance(each, str)]
    return words[0] if words else f"{statistics.median(each for each in found if not isinstance(each, str)):.2f}"


def _versions(name: str) -> str:
    command = [str(ENVIRONMENTS / name / "bin" / "python"), "-c"]
    ask = f"import importlib.metadata as m; print(m.version({name!r}))"
    return subprocess.run([*command, ask], capture_output=True, text=True, check=True).stdout.strip()


def main(arguments: list[str]) -> int:
    """Exit status 0."""
    parser = argparse.ArgumentParser("python -m tests.benchmarks.beside", description=str(__doc__).splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--write", action="store_true", help="add the table to docs/benchmarks.md")
    flags = parser.parse_args(arguments)
    names = [name for name in PEERS if (ENVIRONMENTS / name / "bin" / "python").exists()]
    found: dict[tuple[str, Load], list[float | str]] = {}
    with Server() as server:
        for load in LOADS:
            for _ in range(flags.rounds):
                found.setdefault(("Parley", load), []).append(parley(server, load))
                for name in names:
                    found.setdefault((name, load), []).append(peer(name, server, load))
                    print(name, load.told, found[name, load][-1], file=sys.stderr, flush=True)
    heads = ["Parley", *[f"{name} {_versions(name)}" for name in names]]
    lines = [f"| wall by ideal | {' | '.join(heads)} |", f"|---|{'--:|' * len(heads)}"]
    for load in LOADS:
        cells = [_shown(found[name, load]) for name in ("Parley", *names)]
        lines.append(f"| {load.told} | {' | '.join(cells)} |")
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
