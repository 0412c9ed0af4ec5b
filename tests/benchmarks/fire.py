"""Parley under fire: processes and endpoints that die. Each function returns one figure of the table."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

from tests.benchmarks.benching import bench, command
from tests.benchmarks.server import ROOT, Server

TURNS = 3
SAME = ("dialogues.jsonl", "dropped.jsonl", "failed.jsonl", "seeds.jsonl")


def kill(server: Server, folder: Path, conversations: int = 1000) -> float:
    """Calls that came to the server a second time after a kill at half of the run."""
    manner = {"low": 0.02, "high": 0.06}
    flags = {"conversations": conversations, "turns": TURNS, "in_flight": 64}
    server.set(**manner)
    bench([server.url], out=folder / "whole", **flags)
    server.set(**manner)
    process = subprocess.Popen(
        command([server.url], out=folder / "killed", **flags), cwd=ROOT, stdout=subprocess.DEVNULL
    )
    while server.stats()["came"] < conversations * TURNS // 2:
        if process.poll() is not None:
            raise RuntimeError("the run ended before it could be killed")
        time.sleep(0.01)
    process.kill()
    process.communicate()
    bench([server.url], out=folder / "killed", **flags)
    for name in SAME:
        if (folder / "killed" / name).read_bytes() != (folder / "whole" / name).read_bytes():
            raise RuntimeError(f"{name} differs after the kill")
    return float(server.stats()["repeated"])


def death(server: Server, folder: Path) -> float:
    """Wall time with two endpoints, of which one dies at a quarter of the run, by that with one alone."""
    manner = {"low": 0.1, "high": 0.3}
    flags = {"conversations": 1000, "turns": 1, "in_flight": 64}
    server.set(**manner)
    alone = bench([server.url], **flags)
    with Server() as mortal:
        server.set(**manner)
        mortal.set(**manner, dies_after=250)
        both = bench([server.url, mortal.url], **flags)
        if mortal.process.poll() is None:
            raise RuntimeError("the endpoint that was to die is alive")
    if both["kept"] != flags["conversations"]:
        raise RuntimeError(f"rows were lost: {both}")
    return float(both["seconds"]) / float(alone["seconds"])


def outage(server: Server, folder: Path) -> float:
    """Requests that came while the only endpoint cut all connections, for a minute."""
    server.set(low=0.1, high=0.3, outage=60.0, outage_after=200)
    told = bench([server.url], conversations=300, turns=3, in_flight=64)
    if told["kept"] != 300:
        raise RuntimeError(f"rows were lost: {told}")
    return float(server.stats()["cut"])
