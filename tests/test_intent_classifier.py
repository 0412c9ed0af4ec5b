"""A trained classifier as the judge of intents: what it reads, what it gives, what is dropped, and what is refused."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from random import Random
from typing import Any

import pytest

from synthesis.dialogue import Dialogue, Turn
from synthesis.engine import Info, Request
from synthesis.engines.scripted import Scripted
from synthesis.errors import UserError
from synthesis.filters.intents import Classified
from synthesis.intents import classifier
from synthesis.intents.labels import AGENT, USER
from synthesis.recipe import Dropped, Pool, Seed, make
from synthesis.recipes.solid import Solid
from synthesis.recipes.solid_rl import SolidRl
from synthesis.run import Plan
from tests.tiny_cross_encoder import make_cross_encoder

LABELS = ("PA", "OQ", "GG")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Finds GG in what is read where there is "thanks", PA where there is "try"; OQ is at 0.5 always: by default."""
    made = make_cross_encoder(tmp_path_factory.mktemp("judge") / "model", ["thanks"], ["try"], LABELS)
    return settled(made)


def settled(folder: Path, **changes: Any) -> str:
    """Puts intents.json into a folder, as training leaves it."""
    told = {"labels": LABELS, "window": 3, "length": 64, "tuning": {"encoder": {"threshold": 0.6}}} | changes
    (folder / "intents.json").write_text(json.dumps(told), encoding="utf-8")
    return str(folder)


def about(*turns: tuple[str, str, tuple[str, ...]]) -> Dialogue:
    return Dialogue("d", tuple(Turn(*each) for each in turns))


# ---- what is read and decided ---------------------------------------------------------------------------------------


def test_the_current_line_and_the_last_lines_before_it_newest_first() -> None:
    lines = [classifier.line(role, text) for role, text in ((USER, "a"), (AGENT, "b"), (USER, "c"), (AGENT, "d"))]
    assert classifier.texts("User: e", lines, 3) == ("User: e", "Agent: d\nUser: c\nAgent: b")
    assert classifier.texts("User: e", lines[:1], 3) == ("User: e", "User: a")
    assert classifier.texts("User: e", lines, 0) == ("User: e", "")


def test_training_reads_just_that() -> None:
    from training.encoders import Reading
    from training.intent_files import Said, examples

    turns = [Turn(USER, "Is it old?", ("OQ",)), Turn(AGENT, "Try it.", ("PA",)), Turn(USER, "Thanks!", ("GG",))]
    lines = [classifier.line(turn.speaker, turn.text) for turn in turns]
    learned = examples("d", [Said(turn.speaker, turn.text, turn.intents) for turn in turns])
    for at, example in enumerate(learned):
        assert Reading(2).texts(example) == classifier.texts(lines[at], lines[:at], 2)


# ---- the filter -----------------------------------------------------------------------------------------------------


async def test_a_dialogue_is_judged_turn_by_turn_with_what_came_before(folder: str) -> None:
    model, tokenizer = classifier._loaded(folder)[1:]
    talk = about((USER, "how old is it", ("OQ",)), (AGENT, "try to see", ("PA",)), (USER, "thanks", ("GG",)))
    found = await classifier.given(folder, talk.turns)
    lines = [classifier.line(turn.speaker, turn.text) for turn in talk.turns]
    for at in range(3):
        row = classifier.tokens(tokenizer, [classifier.texts(lines[at], lines[:at], 3)], 64)
        alone = classifier.likelihoods(model, tokenizer, row)
        assert [found[at]] == classifier.decided(alone, LABELS, 0.6), "neither batch nor padding matters"
    assert found == [{"OQ"}, {"PA"}, {"GG", "PA"}], "the last has the turn before it in its context"
    assert await classifier.given(folder, ()) == []


@pytest.mark.parametrize(
    ("wanted", "intents", "reason"),
    [
        ("any", ("PA",), None),
        ("any", ("GG", "PA"), None),
        ("all", ("GG", "PA"), "other intents: turn 1 has PA, expected all of GG+PA"),
        ("any", ("GG",), "other intents: turn 1 has PA, expected any of GG"),
        ("all", ("FD", "PA"), None),
        ("any", ("FD", "GG"), "other intents: turn 1 has PA, expected any of FD+GG"),
        ("all", ("FD", "NF"), None),
    ],
)
async def test_any_or_all_of_what_the_classifier_knows(
    folder: str, wanted: Any, intents: tuple[str, ...], reason: str | None
) -> None:
    assert await classifier.given(folder, about((AGENT, "try", ())).turns) == [{"PA"}]
    assert await Classified(folder, wanted)(about((AGENT, "try", intents))) == reason


# ---- recipes --------------------------------------------------------------------------------------------------------

SEED = Seed(
    "solid-s",
    {
        "type": "Bridge", "name": "Old Bridge", "document": "It is of oak.", "attribute": "age",
        "starter": "How old is the Old Bridge?", "plan": ["OQ", "PA"], "declined": None,
    },
)  # fmt: skip


@pytest.mark.parametrize(("said", "kept"), [("You could try to count the rings.", True), ("It is of oak.", False)])
@pytest.mark.parametrize("kind", [Solid, SolidRl])
async def test_the_recipes_ask_the_classifier_instead_of_the_critic(
    folder: str, kind: type[Any], said: str, kept: bool
) -> None:
    def model(request: Request) -> str:
        starter = SEED.content["starter"]
        return said if request.stage == "turn" else f"1. User [OQ]: {starter}\n2. Agent [PA]: {said}"

    of = make(kind, "improved", {"by": "classifier", "classifier": folder})
    of.check()
    engine = Scripted(model)
    if kept:
        made = await of.dialogue(SEED, Pool(), engine, Random(0))
        assert made.turns[1].text == said
    else:
        with pytest.raises(Dropped, match=re.escape("intents: other intents: turn 2 has OQ, expected any of PA")):
            await of.dialogue(SEED, Pool(), engine, Random(0))
    assert {request.stage for request in engine.requests} <= {"turn", "one step"}


@pytest.mark.parametrize("kind", [Solid, SolidRl])
def test_a_run_knows_its_classifier_by_what_is_in_the_folder(folder: str, kind: type[Any], tmp_path: Path) -> None:
    def noted(where: Path) -> str:
        of = make(kind, "improved", {"by": "classifier", "classifier": str(where)})
        told: str = Plan(of, "improved", tmp_path / "run", 1, 0, Info("m", "tgi", None)).identity()["fields"][
            "classifier"
        ]
        return told

    one, same, other = (tmp_path / name / "judge" for name in ("one", "same", "other"))
    for each in (one, same, other):
        shutil.copytree(folder, each)
    settled(other, window=2)
    assert re.fullmatch("judge sha256:[0-9a-f]{16}", noted(one))
    assert noted(one) == noted(same) != noted(other)
    with pytest.raises(UserError, match=re.escape("--classifier runs/none: not a file")):
        noted(Path("runs/none"))


@pytest.mark.parametrize("kind", [Solid, SolidRl])
@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"by": "classifier"}, "by classifier needs --classifier, a folder that training.classifier made"),
        ({"classifier": "runs/c"}, "runs/c would not be asked: give --by classifier"),
        ({"by": "classifier", "classifier": "c", "consistency": "none"}, "(they are classifier and none)"),
        ({"by": "chance"}, "--by: got 'chance', expected one of judge, classifier"),
    ],
)
def test_fields_that_do_not_go_together(kind: type[Any], fields: dict[str, str], message: str) -> None:
    with pytest.raises(UserError, match=re.escape(message)):
        make(kind, "improved", fields)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (None, "no intents.json in it; give a folder that training.classifier made"),
        ({"tuning": {}}, "lacks 'encoder'; it is no file of training.classifier"),
        ({"labels": ["balance", "transfer"]}, "knows none of the intents CQ, FD"),
        ({"labels": ["PA", "GG", "OQ"]}, "its model has the labels PA, OQ, GG, its intents.json PA, GG, OQ"),
    ],
)
def test_a_folder_that_cannot_be_used_stops_the_run_before_it_begins(
    folder: str, tmp_path: Path, changes: dict[str, Any] | None, message: str
) -> None:
    other = tmp_path / "other"
    shutil.copytree(folder, other)
    (other / "intents.json").unlink()
    if changes is not None:
        settled(other, **changes)
    of = make(Solid, "laptop", {"consistency": "any", "by": "classifier", "classifier": str(other)})
    with pytest.raises(UserError, match=re.escape(message)):
        of.check()


def test_a_folder_without_weights_is_named(folder: str, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(folder, other)
    (other / "model.safetensors").unlink()
    with pytest.raises(UserError, match="cannot be loaded"):
        classifier.check(str(other))
