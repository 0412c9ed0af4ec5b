"""The recipe solid-rl: one call a dialogue, two more tries, a recorded drop; its presets, seeds and bad input."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from synthesis.dialogue import Dialogue, from_json
from synthesis.engine import Info, Reply, Request
from synthesis.engines.connect import connect
from synthesis.engines.journal import Journal
from synthesis.engines.scripted import Scripted, spoken
from synthesis.errors import ContextOverflow, UserError
from synthesis.intents.plans import Plan as Steps
from synthesis.recipe import make
from synthesis.recipes.solid import Solid
from synthesis.recipes.solid_rl import HERE, SolidRl
from synthesis.run import Plan, run
from tests import solid_clerk
from tests.clerk import clerk
from tests.fake_tgi import FakeTgi

GIVEN = HERE / "solid_entities.jsonl"


def recipe(preset: str = "improved", **fields: Any) -> SolidRl:
    made: SolidRl = make(SolidRl, preset, {name: str(value) for name, value in fields.items()})
    return made


async def made(
    of: Any, folder: Path, n: int = 6, model: Callable[[Request], Any] = clerk
) -> tuple[list[Dialogue], dict[str, Any], list[Request]]:
    """The kept dialogues of a run, its facts, and what was asked."""
    folder.mkdir(exist_ok=True, parents=True)
    engine = Scripted(model)
    async with Journal(engine, folder / "journal.sqlite", "clerk") as journal:
        facts = await run(Plan(of, "x", folder, n, 0, Info("clerk", "tgi")), journal, lambda *_: None)
    return [from_json(row) for row in rows(folder / "dialogues.jsonl")], facts, engine.requests


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def straying(times: int) -> Callable[[Request], str | Reply]:
    """The clerk, who strays from the plan in the first so many replies."""
    left = [times]

    def answer(request: Request) -> str | Reply:
        if request.stage == "one step" and left[0]:
            left[0] -= 1
            return "Sure! Here is the conversation."
        return clerk(request)

    return answer


@pytest.mark.parametrize("preset", ["paper", "improved", "laptop"])
async def test_a_run_takes_one_call_a_dialogue(preset: str, tmp_path: Path) -> None:
    found, facts, asked = await made(recipe(preset), tmp_path, 8)
    assert facts["counts"] == {"seeds": 8, "kept": 8, "dropped": 0, "failed": 0}
    counts = Counter(request.stage for request in asked)
    assert counts["one step"] == 8
    assert not counts.keys() & {"starter", "turn", "merge"}, "the opening question is written in the same call"
    assert counts["intents"] == (sum(len(dialogue.turns) for dialogue in found) if preset == "improved" else 0)
    for dialogue in found:
        assert dialogue.document
        assert str(dialogue.topic) in dialogue.turns[0].text
        assert dialogue.subtopic
        assert (dialogue.goal or {}).get("quality") == (None if preset == "laptop" else "good")
        assert dialogue.turns[0].intents == ("OQ",)
        for turn in dialogue.turns:
            assert all(solid_clerk.CUES[code] in turn.text for code in turn.intents)
    for request in (request for request in asked if request.stage == "one step"):
        turns = request.messages[0][1].partition("Plan:\n")[2].count("\n") + 1
        assert request.max_new_tokens == recipe(preset).length * turns
        assert (request.grammar is not None) == (preset == "laptop")


async def test_the_same_run_has_the_same_bytes(tmp_path: Path) -> None:
    for name in "ab":
        await made(recipe(), tmp_path / name)
    for file in ("seeds.jsonl", "dialogues.jsonl", "dropped.jsonl"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


async def test_two_more_tries(tmp_path: Path) -> None:
    (dialogue,), facts, asked = await made(recipe("paper"), tmp_path, 1, straying(2))
    tries = [request for request in asked if request.stage == "one step"]
    assert len({request.seed for request in tries}) == len(tries) == 3
    assert dialogue.origin is not None
    assert {stage.name: stage.requests for stage in dialogue.origin.stages} == {"one step": 3}
    assert facts["counts"]["kept"] == 1


async def test_then_a_recorded_drop(tmp_path: Path) -> None:
    found, facts, _ = await made(recipe("paper"), tmp_path, 1, straying(3))
    assert not found
    assert facts["counts"] == {"seeds": 1, "kept": 0, "dropped": 1, "failed": 0}
    (dropped,) = rows(tmp_path / "dropped.jsonl")
    assert dropped["stage"] == "one step"
    assert dropped["attempts"] == 3
    assert dropped["raw"] == "Sure! Here is the conversation."
    assert dropped["reason"].startswith("unreadable: one step: turn 1: expected '1. User [OQ]:'")


async def test_a_reply_that_is_cut_off_is_none(tmp_path: Path) -> None:
    """Although every line of it can be read."""

    def cut(request: Request) -> Reply:
        reply = spoken(str(clerk(request)), request)
        return Reply(reply.text, "length", reply.tokens_in, reply.tokens_out)

    await made(recipe("paper", entities=GIVEN), tmp_path, 1, cut)
    (dropped,) = rows(tmp_path / "dropped.jsonl")
    assert "cut off at" in dropped["reason"]


async def test_a_plan_longer_than_the_context_is_refused(tmp_path: Path) -> None:
    def full(request: Request) -> Any:
        return (
            ContextOverflow("`inputs` tokens + `max_new_tokens` must be <= 512") if request.stage == "one step" else ""
        )

    await made(recipe("paper", entities=GIVEN, low=9, high=9), tmp_path, 1, full)
    (dropped,) = rows(tmp_path / "dropped.jsonl")
    assert dropped["attempts"] == 1, "it would never fit, so it is not asked again"
    assert dropped["reason"].startswith("context: the prompt and 1152 tokens for 9 turns do not fit: `inputs` tokens")
    assert dropped["reason"].endswith("lower --high or --length, or serve with a longer context")


async def test_a_plan_longer_than_the_context_is_refused_over_the_wire(tmp_path: Path) -> None:
    async with (
        FakeTgi(max_total_tokens=512) as server,
        connect(server.url) as (engine, info),
        Journal(engine, tmp_path / "journal.sqlite", info.name) as journal,
    ):
        plan = Plan(recipe("paper", entities=GIVEN, low=9, high=9), "paper", tmp_path, 1, 0, info)
        facts = await run(plan, journal, lambda *_: None)
    assert facts["counts"]["dropped"] == 1
    assert "9 turns do not fit" in rows(tmp_path / "dropped.jsonl")[0]["reason"]


async def test_filters_and_critic_drop(tmp_path: Path) -> None:
    def same(request: Request) -> str | Reply:
        if request.stage != "one step":
            return clerk(request)
        lines = str(clerk(request)).splitlines()
        return "\n".join(line.partition("]:")[0] + "]: " + lines[0].partition("]: ")[2] for line in lines)

    _, facts, _ = await made(recipe(), tmp_path / "same", 3, same)
    assert facts["counts"]["dropped"] == 3
    assert all("repeated" in row["reason"] for row in rows(tmp_path / "same" / "dropped.jsonl"))

    def blind(request: Request) -> str | Reply:
        return "JK" if request.stage == "intents" else clerk(request)

    _, facts, _ = await made(recipe(sequences=sequences(tmp_path)), tmp_path / "blind", 3, blind)
    assert {row["stage"] for row in rows(tmp_path / "blind" / "dropped.jsonl")} == {"intents"}


def sequences(folder: Path) -> Path:
    path = folder / "sequences.json"
    path.write_text('[["OQ", "PA", "FD_PF"]]')
    return path


async def test_the_seeds_are_solids(tmp_path: Path) -> None:
    """Subjects, documents and plans; so that both can be compared on the same."""
    fields = {"entities": GIVEN, "temperature": "0.7", "top_p": "0.95"}
    one: Solid = make(Solid, "paper", {name: str(value) for name, value in fields.items()})
    await made(one, tmp_path / "solid")
    await made(recipe("paper", **fields), tmp_path / "rl")
    told = [
        {(row["content"]["name"], row["content"]["attribute"], json.dumps(row["content"]["plan"])) for row in each}
        for each in (rows(tmp_path / name / "seeds.jsonl") for name in ("solid", "rl"))
    ]
    assert told[0] == told[1]
    assert len(told[0]) == 6


async def test_seeds_and_plans_of_solids_dialogues_are_used_again(tmp_path: Path) -> None:
    of: Solid = make(Solid, "improved", {})
    written, _, _ = await made(of, tmp_path / "solid")
    again, _, asked = await made(recipe(like=tmp_path / "solid" / "dialogues.jsonl"), tmp_path / "rl", 100)
    assert {request.stage for request in asked} == {"one step", "intents"}
    about = {(one.topic, one.subtopic, one.document): Steps.of(one.turns) for one in written}
    assert {(one.topic, one.subtopic, one.document): Steps.of(one.turns) for one in again} == about
    fewer, _, _ = await made(recipe(like=tmp_path / "solid" / "dialogues.jsonl"), tmp_path / "fewer", 2)
    assert len(fewer) == 2


async def test_a_subject_may_come_again_with_another_plan(tmp_path: Path) -> None:
    one = tmp_path / "one.jsonl"
    one.write_text(GIVEN.read_text(encoding="utf-8").splitlines()[0] + "\n")
    of: Solid = make(Solid, "laptop", {"entities": str(one)})
    written, _, _ = await made(of, tmp_path / "solid", 20)
    assert len({dialogue.subtopic for dialogue in written}) < len(written) > 15
    again, _, _ = await made(
        recipe("laptop", like=tmp_path / "solid" / "dialogues.jsonl", entities="none"), tmp_path / "rl", 99
    )
    plans = [
        sorted((str(each.subtopic), str(Steps.of(each.turns).rows())) for each in both) for both in (written, again)
    ]
    assert plans[0] == plans[1]


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "tries": ({"tries": 0}, "tries is 0, expected at least 1"),
    "turns": ({"low": 8, "high": 4}, "low 8 and high 4: expected low <= high turns"),
    "both": ({"like": GIVEN, "entities": GIVEN}, "--like has its own entities; .* --entities none"),
    "moot": (
        {"like": GIVEN, "sequences": GIVEN},
        "--like has its own entities and plans, so --sequences means nothing",
    ),
    "names": ({"name_shortest": 9, "name_longest": 3}, "name"),
}


@pytest.mark.parametrize("name", BAD)
def test_fields_that_make_no_sense_are_refused(name: str) -> None:
    fields, message = BAD[name]
    with pytest.raises(UserError, match=message):
        recipe("improved", **fields)


FILES = {
    "of another recipe": (
        {"id": "a", "turns": [{"speaker": "User", "text": "Hi"}]},
        "no type, name, attribute, document",
    ),
    "without intents": (
        {
            "id": "a",
            "turns": [{"speaker": "User", "text": "Hi"}, {"speaker": "Agent", "text": "Ho"}],
            **{"topic": "x", "subtopic": "y", "document": "z", "goal": {"type": "t"}},
        },
        "no intent; the intents are CQ",
    ),
    "no dialogue": ({"text": "Hi"}, "not a Dialogue"),
}


@pytest.mark.parametrize("name", FILES)
def test_dialogues_that_solid_did_not_write_are_refused(name: str, tmp_path: Path) -> None:
    row, message = FILES[name]
    path = tmp_path / "dialogues.jsonl"
    path.write_text(json.dumps(row) + "\n")
    with pytest.raises(UserError, match=message):
        recipe(like=path).check()
