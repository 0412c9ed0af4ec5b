"""The table of docs/benchmarks.md: Parley under load and under fire, and a bare aiohttp loop, against one server.

`python -m tests.benchmarks.table [--rounds 5] [--only NAME]... [--write]` prints it as Markdown.
"""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import re
import statistics
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks import fire, load
from tests.benchmarks.server import ROOT, Server

PAGE = ROOT / "docs" / "benchmarks.md"
HEAD = """# Benchmarks

Written by `make bench`: {rounds} rounds, medians (rows without a range were measured once), every figure of a row from
one run against one loopback server process (`tests/benchmarks/server.py`); client and server share the machine. Ratios
carry over to other machines, seconds do not.

{machine}, Python {python}, {date}.

"""
TAIL = """
What the rows are: `tests/benchmarks/load.py` and `tests/benchmarks/fire.py`. "Ideal" is the sum of all reply times
over the requests that the server takes at a time; the critical path is what {in_flight} workers need that do nothing
but wait; "bare" is `tests/benchmarks/bare.py`, an aiohttp loop that sends the same requests without journal, retries
or ledger.
"""


@dataclass(frozen=True)
class Work:
    """A row: what is done, what must hold, how it is measured. `once`: not repeated, for it takes minutes."""

    name: str
    told: str
    must: str
    most: float
    measure: Callable[[Server, Path], float]
    unit: str = ""
    once: bool = False
    at_least: bool = False

    def holds(self, value: float) -> bool:
        """Whether `value` is what must be."""
        return value >= self.most if self.at_least else value <= self.most


WORKS = (
    Work("latency", "1,000 requests, 64 in flight, latency U(0.1, 0.3) s", "wall ≤ 1.15 × ideal", 1.15, load.latency),
    Work(
        "limit",
        "300 requests, 64 wanted in flight, 429 above 8, no Retry-After",
        "wall ≤ 1.3 × ideal",
        1.3,
        load.limit,
    ),
    Work(
        "tail",
        "100 conversations of 6 turns, 50 in flight, 2 % of replies 3 s",
        "wall ≤ 1.15 × critical path",
        1.15,
        load.tail,
    ),
    Work(
        "rate",
        "5 ms latency, 64 in flight, journal on",
        "≥ 0.60 × bare aiohttp's requests a second",
        0.6,
        load.rate,
        at_least=True,
    ),
    Work(
        "kill",
        "kill -9 at half of 1,000 conversations, rerun",
        "repeated calls ≤ 64 in flight, result identical",
        64,
        fire.kill,
        " calls",
    ),
    Work("death", "one of two endpoints dies mid-run", "no row lost, wall ≤ 1.2 × one endpoint's", 1.2, fire.death),
    Work(
        "outage",
        "outage of 60 s of the only endpoint",
        "all rows, < 200 wasted requests",
        199,
        fire.outage,
        " requests",
    ),
    Work(
        "memory",
        "resident memory, 100,000 dialogues beside 1,000",
        "≤ 50 MiB more",
        50,
        load.memory,
        " MiB",
    ),
    Work(
        "journal",
        "resident memory, a million replies through the journal beside 10,000",
        "≤ 50 MiB more",
        50,
        load.journal,
        " MiB",
        once=True,
    ),
    Work(
        "resume",
        "kill -9 after a million replies, one a conversation: from the start again to the first request",
        "< 2 s",
        2,
        load.resume,
        " s",
        once=True,
    ),
)


def measured(work: Work, rounds: int, server: Server) -> list[float]:
    """What each round gave, in order."""
    found = []
    for number in range(1 if work.once else rounds):
        with tempfile.TemporaryDirectory(prefix="parley-table-") as folder:
            found.append(work.measure(server, Path(folder)))
        print(f"{work.name} {number + 1}: {found[-1]:.3g}", file=sys.stderr, flush=True)
    return found


def row(work: Work, found: Sequence[float]) -> str:
    """The row in Markdown."""
    middle = statistics.median(found)
    spread = f" ({min(found):.3g} to {max(found):.3g})" if len(found) > 1 else ""
    held = "yes" if work.holds(middle) else "**no**"
    return f"| {work.told} | {work.must} | {middle:.3g}{work.unit}{spread} | {held} |"


def machine() -> str:
    """Cores and memory; nothing that names the machine."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{len(os.sched_getaffinity(0))} cores, {memory:.0f} GiB memory, {platform.system()} {platform.machine()}"


def placed(page: str, title: str, text: str) -> str:
    """`page` with the section `text` in place of the one of that title, or before the last one."""
    page = re.sub(rf"{re.escape(title)}.*?(?=\n## |\Z)", "", page, flags=re.DOTALL).rstrip() + "\n"
    head, between, tail = page.rpartition("\n## ")
    return f"{head.rstrip()}\n\n{text}{between}{tail}" if between else f"{page}\n{text}"


def main(arguments: list[str]) -> int:
    """Exit status: 0 all held, 1 not."""
    parser = argparse.ArgumentParser("python -m tests.benchmarks.table", description=str(__doc__).splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", action="append", choices=[work.name for work in WORKS])
    parser.add_argument("--write", action="store_true", help="write docs/benchmarks.md")
    flags = parser.parse_args(arguments)
    chosen = [work for work in WORKS if not flags.only or work.name in flags.only]
    with Server() as server:
        found = {work: measured(work, flags.rounds, server) for work in chosen}
    table = ["| work | must | measured | held |", "|---|---|--:|---|", *[row(work, found[work]) for work in chosen]]
    told = HEAD.format(
        rounds=flags.rounds,
        machine=machine(),
        python=platform.python_version(),
        date=datetime.datetime.now(datetime.UTC).date().isoformat(),
    )
    text = told + "\n".join(table) + "\n" + TAIL.format(in_flight=load.TAIL_IN_FLIGHT)
    print(text)
    if flags.write:
        PAGE.parent.mkdir(exist_ok=True)
        PAGE.write_text(text, encoding="utf-8")
    return 0 if all(work.holds(statistics.median(found[work])) for work in chosen) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
