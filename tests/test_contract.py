"""The contract of every recipe in synthesis/recipes, found by itself: synth, filter, build, card, load."""

from __future__ import annotations

import asyncio
import dataclasses
import importlib
import inspect
import json
from pathlib import Path
from string import Template
from typing import Any

import pytest

from builders.build import build, builder_class
from synthesis.command import recipe_class, recipes
from synthesis.dialogue import from_json, to_json
from synthesis.engine import Info
from synthesis.engines.journal import Journal
from synthesis.engines.scripted import Scripted
from synthesis.filter import Across, first_reason
from synthesis.recipe import make
from synthesis.run import Plan, run
from tests.clerk import clerk

ROOT = Path(__file__).resolve().parents[1]
SEEDS = 6
SMALL = {
    "spc": {
        "rounds": "2",
        "growth": "0",
        "profiles": "40",
        "candidates": "2",
        "exemplars_per_prompt": "1",
    },
}
"""Fields that make a run of a recipe small; the scripted model is the clerk, who answers by stage."""

every_recipe = pytest.mark.parametrize("name", recipes())


@every_recipe
def test_it_is_a_paper_in_a_file(name: str) -> None:
    kind = recipe_class(name)
    module = importlib.import_module(f"synthesis.recipes.{name}")
    assert "arXiv" in (module.__doc__ or "")
    assert "Deviations" in (module.__doc__ or "")
    assert kind.__doc__
    assert dataclasses.is_dataclass(kind)
    assert kind.__dataclass_params__.frozen
    assert not hasattr(kind, "__dict__") or "__slots__" in vars(kind)
    assert {"paper", "improved"} <= set(kind.presets)
    assert kind.prompts
    assert all(isinstance(prompt, Template) and prompt.is_valid() for prompt in kind.prompts)
    assert inspect.isasyncgenfunction(kind.seeds)
    assert inspect.iscoroutinefunction(kind.dialogue)


@every_recipe
def test_each_preset_makes_a_recipe_with_filters_that_have_names(name: str) -> None:
    for preset in recipe_class(name).presets:
        recipe = make(recipe_class(name), preset, {})
        assert recipe.rounds >= 1
        for judge in recipe.filters(Scripted([])):
            assert judge.name
            assert not isinstance(judge, Across)
        for judge in recipe.across():
            assert isinstance(judge, Across)
            assert judge.across([]) == {}


@every_recipe
def test_its_stem_runs_through_every_folder(name: str) -> None:
    for path in (f"builders/{name}.py", f"cards/{name}.md", f"tests/test_{name}.py"):
        assert (ROOT / path).is_file(), path
    assert builder_class(name).dataset


Finished = tuple[Plan, dict[str, Any]]


@pytest.fixture(scope="module", params=recipes())
def finished(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """A finished run of a recipe, and its facts."""
    recipe = make(recipe_class(request.param), "improved", SMALL.get(request.param, {}))
    folder = tmp_path_factory.mktemp("runs") / request.param
    plan = Plan(recipe, "improved", folder, SEEDS, 0, Info("clerk", "tgi"), command="python -m synthesis")
    plan.claim()

    async def synth() -> dict[str, Any]:
        async with Journal(Scripted(clerk), folder / "journal.sqlite", "clerk") as journal:
            return await run(plan, journal, lambda *_: None)

    return plan, asyncio.run(synth())


async def test_it_makes_dialogues_that_pass_its_filters(finished: Finished) -> None:
    plan, facts = finished
    counts = facts["counts"]
    assert counts["seeds"] == counts["kept"] + counts["dropped"] + counts["failed"] > 0
    assert counts["kept"] > 0
    assert counts["failed"] == 0
    lines = (plan.folder / "dialogues.jsonl").read_text(encoding="utf-8").splitlines()
    dialogues = [from_json(json.loads(line)) for line in lines]
    assert len(dialogues) == counts["kept"]
    assert [to_json(dialogue) for dialogue in dialogues] == [json.loads(line) for line in lines]
    for dialogue in dialogues:
        assert await first_reason(plan.recipe.filters(Scripted([])), dialogue) is None
        assert dialogue.origin is not None
        assert dialogue.origin.recipe == plan.recipe.name
        assert dialogue.origin.stages
    for judge in plan.recipe.across():
        assert not judge.across(dialogues)
    seeds = {json.loads(line)["id"] for line in (plan.folder / "seeds.jsonl").read_text(encoding="utf-8").splitlines()}
    assert {dialogue.id for dialogue in dialogues} <= seeds


def test_it_becomes_a_dataset_with_a_card_that_loads(finished: Finished, tmp_path: Path) -> None:
    from datasets import load_dataset
    from huggingface_hub import DatasetCard

    plan, facts = finished
    built = build(plan.folder, tmp_path / "dist")
    card = DatasetCard.load(built.folder / "README.md")
    assert card.data.license
    configs = [config["config_name"] for config in card.data.configs]
    assert configs == list(built.rows)
    for config in configs:
        loaded = load_dataset(str(built.folder), config, cache_dir=str(tmp_path / "cache"))
        assert {split: len(rows) for split, rows in loaded.items()} == built.rows[config]
    assert sum(built.rows["default"].values()) == facts["counts"]["kept"]
