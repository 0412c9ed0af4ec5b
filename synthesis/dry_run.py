"""Dry run: what a run will take, estimated from two small pilots.

Requests and tokens of every stage are taken as a + b n, from runs of `PILOT` and twice as many seeds: stages that
serve the whole run (queries, new attributes) come out as a, those of every dialogue as b. Time is tokens at the speed
the pilot saw; a server that is kept busier is faster, so it is an upper bound.
"""

from __future__ import annotations

import dataclasses
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from synthesis.engines.traffic import Traffic
from synthesis.outcomes import Shard
from synthesis.run import Plan, run

PILOT = 3
KEYS = ("requests", "tokens_in", "tokens_out")


async def estimate(plan: Plan, traffic: Traffic, journal: Callable[[Path], Any]) -> str:
    """A table of requests and tokens by stage for `plan`, and the time they take. Runs both pilots, keeps nothing."""
    with tempfile.TemporaryDirectory(prefix="parley-pilot-") as folder:
        small, large = Path(folder) / "1", Path(folder) / "2"
        begun = time.monotonic()
        plan = dataclasses.replace(plan, shard=Shard())
        async with journal(Path(folder) / "journal.sqlite") as journalled:
            facts = [
                await run(dataclasses.replace(plan, folder=where, n=count), journalled, lambda *_: None)
                for where, count in ((small, PILOT), (large, 2 * PILOT))
            ]
        seconds = time.monotonic() - begun
    seeds = [each["counts"]["seeds"] for each in facts]
    stages = {stage["name"]: [_stage(each, stage["name"]) for each in facts] for stage in facts[1]["stages"]}
    wanted = {
        name: {key: _line(seeds, [each[key] for each in both], plan.n) for key in KEYS}
        for name, both in stages.items()
    }
    return _table(wanted, plan.n, facts[1], traffic.whole().tokens_out / max(seconds, 1e-9))


def _stage(facts: dict[str, Any], name: str) -> dict[str, float]:
    return next((stage for stage in facts["stages"] if stage["name"] == name), dict.fromkeys(KEYS, 0))


def _line(seeds: list[int], values: list[float], n: int) -> float:
    """The value at `n` of the line through both pilots; never less than the larger pilot's."""
    if seeds[0] == seeds[1]:
        return values[1] * n / max(1, seeds[1])
    slope = (values[1] - values[0]) / (seeds[1] - seeds[0])
    return max(values[1], values[1] + slope * (n - seeds[1]))


def _table(wanted: dict[str, dict[str, float]], n: int, pilot: dict[str, Any], speed: float) -> str:
    rows = [f"{'stage':24}{'requests':>12}{'tokens in':>14}{'tokens out':>14}"]
    rows += [f"{name:24}" + _cells(values) for name, values in wanted.items()]
    total = {key: sum(values[key] for values in wanted.values()) for key in KEYS}
    counts = pilot["counts"]
    minutes = total["tokens_out"] / max(speed, 1e-9) / 60
    return "\n".join(
        [
            *rows,
            f"{'total':24}" + _cells(total),
            "",
            f"{n} dialogues to try; the pilot kept {counts['kept']} of {counts['seeds']}.",
            f"At the pilot's {speed:.0f} generated tokens a second about {minutes:,.1f} minutes; busier is faster.",
        ]
    )


def _cells(values: dict[str, float]) -> str:
    return f"{values['requests']:12,.0f}{values['tokens_in']:14,.0f}{values['tokens_out']:14,.0f}"
