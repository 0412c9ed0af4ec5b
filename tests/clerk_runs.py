"""Whole runs of a recipe with a scripted model behind a journal, and what they leave on disk."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from synthesis.dialogue import Dialogue, from_json
from synthesis.engine import Engine, Info, Request
from synthesis.engines.journal import Journal
from synthesis.engines.scripted import Scripted
from synthesis.recipe import Recipe
from synthesis.run import Plan, run
from tests.clerk import clerk

MADE = ("dialogues.jsonl", "dropped.jsonl", "failed.jsonl", "seeds.jsonl", "seeds.stages.json")
"""Files that the same run writes with the same bytes."""


def planned(of: Recipe, folder: Path, n: int = 6, preset: str = "improved", **given: Any) -> Plan:
    return Plan(of, preset, folder, n, 0, Info("clerk", "tgi"), **given)


async def ran(plan: Plan, engine: Engine | None, journal: str = "journal.sqlite") -> dict[str, Any]:
    """The facts of a run."""
    plan.folder.mkdir(exist_ok=True, parents=True)
    async with Journal(engine, plan.folder / journal, "clerk") as journalled:
        return await run(plan, journalled, lambda *_: None)


async def made(plan: Plan, model: Callable[[Request], Any] = clerk) -> tuple[list[Dialogue], dict[str, Any], Scripted]:
    """The kept dialogues of a run, its facts, and who was asked what."""
    engine = Scripted(model)
    facts = await ran(plan, engine)
    return [from_json(row) for row in rows(plan.folder, "dialogues.jsonl")], facts, engine


def rows(folder: Path, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / name).read_text(encoding="utf-8").splitlines()]
