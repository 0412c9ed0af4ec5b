"""Sizes, distinct-n, repetition and openings of very many dialogues, beside the same in straightforward Python.

`python -m tests.benchmarks.metrics [--dialogues 100000] [--rounds 3] [--write]` prints a section of
docs/benchmarks.md. Each measurement is a process of its own that reads the same file; the two take turns.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from random import Random
from typing import Any

from synthesis.dialogue_files import Dialogues
from synthesis.metrics.lexical import Lexical
from synthesis.metrics.variety import Openings, Repetition
from synthesis.spoken import counted
from tests.benchmarks.server import ROOT
from tests.benchmarks.table import PAGE, machine, placed
from tests.plain_counts import peak

TITLE = "## Metrics of very many dialogues"
MOST_SECONDS, MOST_GIB, LEAST_RATIO = 30.0, 1.5, 10.0
TURNS, VOCABULARY = 8, 50_000


def many(path: Path, dialogues: int) -> None:
    """So many dialogues of 8 turns of 4 to 22 words, which are as unevenly common as those of a language."""
    rng = Random(1)
    syllables = [first + second for first in "bcdfghklmnprstvw" for second in "aeiou"]
    vocabulary = list(
        dict.fromkeys("".join(rng.choices(syllables, k=rng.randint(1, 4))) for _ in range(3 * VOCABULARY))
    )
    chances = list(itertools.accumulate(1 / (place + 2.7) for place in range(len(vocabulary[:VOCABULARY]))))
    with path.open("w", encoding="utf-8") as stream:
        for number in range(dialogues):
            turns = []
            for at in range(TURNS):
                said = " ".join(rng.choices(vocabulary[:VOCABULARY], cum_weights=chances, k=rng.randint(4, 22)))
                text = f"{said.capitalize()}, it’s so." if rng.random() < 0.1 else f"{said.capitalize()}."
                turns.append({"speaker": f"User {1 + at % 2}", "text": text})
            stream.write(json.dumps({"id": f"d{number}", "turns": turns}, ensure_ascii=False) + "\n")


def fast(path: str) -> dict[str, Any]:
    """The numbers of a file, seconds, and the peak of memory in MiB."""
    begun = time.perf_counter()
    numbers = counted((Lexical(), Repetition(), Openings()), Dialogues(path).texts())
    return {"numbers": numbers, "seconds": time.perf_counter() - begun, "peak": peak()}


def _told(module: str, *arguments: str) -> dict[str, Any]:
    command = [sys.executable, "-m", module, *arguments]
    told: dict[str, Any] = json.loads(
        subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    )
    return told


def measured(dialogues: int, rounds: int) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Ours and the straightforward one's in each round. Raises ValueError when their numbers differ."""
    found = []
    with tempfile.TemporaryDirectory(prefix="parley-metrics-") as folder:
        path = Path(folder) / "many.jsonl"
        many(path, dialogues)
        for number in range(rounds):
            ours = _told("tests.benchmarks.metrics", "--measure", str(path))
            plain = _told("tests.plain_counts", str(path))
            for name, value in plain["numbers"].items():
                if not math.isclose(value, ours["numbers"][name], rel_tol=1e-9):
                    raise ValueError(f"{name}: {ours['numbers'][name]}, in straightforward Python {value}")
            print(f"{number + 1}: {ours['seconds']:.1f} s, {plain['seconds']:.1f} s", file=sys.stderr, flush=True)
            found.append((ours, plain))
    return found


def section(dialogues: int, found: list[tuple[dict[str, Any], dict[str, Any]]]) -> tuple[str, bool]:
    """The section in Markdown, and whether everything holds."""
    seconds = [ours["seconds"] for ours, _ in found]
    ratios = [plain["seconds"] / ours["seconds"] for ours, plain in found]
    memory, plain_memory = (max(each[side]["peak"] for each in found) / 1024 for side in (0, 1))
    rows = [
        ("seconds", f"≤ {MOST_SECONDS:.0f}", _spread(seconds), statistics.median(seconds) <= MOST_SECONDS),
        (
            "times as fast as straightforward Python",
            f"≥ {LEAST_RATIO:.0f}",
            _spread(ratios),
            statistics.median(ratios) >= LEAST_RATIO,
        ),
        ("peak of resident memory, GiB", f"≤ {MOST_GIB}", f"{memory:.2f}", memory <= MOST_GIB),
    ]
    table = [f"| {told} | {must} | {figure} | {'yes' if held else '**no**'} |" for told, must, figure, held in rows]
    plain = statistics.median(plain["seconds"] for _, plain in found)
    text = [
        TITLE,
        "",
        f"Sizes, distinct-1, -2, -3, repetition and openings of {dialogues:,} dialogues of {TURNS} turns, from a",
        f"file of ours to the numbers (`tests/benchmarks/metrics.py`); {len(found)} rounds, medians.",
        "Straightforward Python, which gives the same numbers (`tests/plain_counts.py`), takes",
        f"{plain:.0f} s and {plain_memory:.2f} GiB.",
        f"{machine()}.",
        "",
        "| figure | must | measured | held |",
        "|---|---|--:|---|",
        *table,
        "",
    ]
    return "\n".join(text), all(row[3] for row in rows)


def _spread(values: list[float]) -> str:
    return f"{statistics.median(values):.1f} ({min(values):.1f} to {max(values):.1f})"


def main(arguments: list[str]) -> int:
    """Exit status: 0 all held, 1 not."""
    parser = argparse.ArgumentParser("python -m tests.benchmarks.metrics", description=str(__doc__).splitlines()[0])
    parser.add_argument("--dialogues", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--write", action="store_true", help="write the section of docs/benchmarks.md")
    parser.add_argument("--measure", metavar="FILE", help="one measurement, in this process")
    flags = parser.parse_args(arguments)
    if flags.measure:
        print(json.dumps(fast(flags.measure)))
        return 0
    text, held = section(flags.dialogues, measured(flags.dialogues, flags.rounds))
    print(text)
    if flags.write:
        PAGE.write_text(placed(PAGE.read_text(encoding="utf-8"), TITLE, text), encoding="utf-8")
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
