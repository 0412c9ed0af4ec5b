"""The recipe luas from goals to dialogues with states, by a scripted model; what it catches, and its bad input."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest

from synthesis.dialogue import Dialogue, Turn, from_json
from synthesis.engine import Info, Request
from synthesis.engines.journal import Journal
from synthesis.engines.scripted import Line, Scripted
from synthesis.errors import ContextOverflow, UserError
from synthesis.filter import first_reason
from synthesis.recipe import Dropped, Seed, make
from synthesis.recipes.luas import HERE, Luas
from synthesis.run import Plan, run
from synthesis.task_oriented.acts import parse
from synthesis.task_oriented.state import SYSTEM, USER, tracked
from synthesis.words import words
from tests.clerk import clerk

GOAL = {
    "domains": {
        "restaurant": {
            "inform": {"area": "centre", "pricerange": "cheap"},
            "book": {"bookday": "friday", "bookpeople": "2", "booktime": "18:30"},
        }
    }
}
PRESETS = ("paper", "improved", "laptop")


def recipe(preset: str = "improved", **fields: Any) -> Luas:
    made: Luas = make(Luas, preset, fields)
    return made


async def written(
    of: Luas, model: Callable[[Request], Line] = clerk, goal: Any = GOAL, seed: int = 0
) -> tuple[Dialogue, Scripted]:
    """A dialogue by the clerk, or by what a function has it say; and what was asked."""
    engine = Scripted(model)
    return await of.dialogue(Seed("luas-1", {"goal": goal}), of.pool(()), engine, Random(seed)), engine


async def made(of: Luas, folder: Path, n: int = 8) -> tuple[list[Dialogue], dict[str, Any], Scripted]:
    """The kept dialogues of a run, its facts, and what was asked."""
    folder.mkdir(exist_ok=True, parents=True)
    engine = Scripted(clerk)
    async with Journal(engine, folder / "journal.sqlite", "clerk") as journal:
        facts = await run(Plan(of, "x", folder, n, 0, Info("clerk", "tgi")), journal, lambda *_: None)
    lines = (folder / "dialogues.jsonl").read_text(encoding="utf-8").splitlines()
    return [from_json(json.loads(line)) for line in lines], facts, engine


async def seeds(of: Luas, n: int = 30, run_seed: int = 0) -> list[Seed]:
    return [each async for each in of.seeds(Scripted([]), Random(run_seed), n)]


def saying(stage: str, text: str, first: int = 10**6) -> Callable[[Request], Line]:
    """The clerk, but that the first replies of a stage are `text`."""
    left = [first]

    def model(request: Request) -> Line:
        if request.stage != stage or not left[0]:
            return clerk(request)
        left[0] -= 1
        return text

    return model


# ---- whole runs -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("preset", PRESETS)
async def test_a_run(preset: str, tmp_path: Path) -> None:
    found, facts, engine = await made(recipe(preset), tmp_path, 12)
    assert facts["counts"]["failed"] == 0
    assert facts["counts"]["kept"] == len(found) >= 10
    for dialogue in found:
        assert [turn.speaker for turn in dialogue.turns] == [USER, SYSTEM] * (len(dialogue.turns) // 2)
        states = [state for _, state in tracked(dialogue)]
        for before, after in itertools.pairwise(states):
            assert set(before) <= set(after), "states are cumulative"
        assert states[-1], "something was wanted"
        assert not any(
            mark in turn.text for turn in dialogue.turns for mark in ("[RECOM]", "[EOF]", "[BOOKED]", "[EOD]")
        )
        assert any(turn.lookup for turn in dialogue.turns)
        assert all(parse(act) for turn in dialogue.turns for act in turn.acts)
    assert all(request.conversation for request in engine.requests)
    stages = {request.stage for request in engine.requests}
    assert stages >= ({"user", "agent"} if preset == "laptop" else {"user", "agent", "slots", "rewrite"})


async def test_the_same_run_has_the_same_bytes(tmp_path: Path) -> None:
    for name in "ab":
        await made(recipe(), tmp_path / name, 4)
    for file in ("seeds.jsonl", "dialogues.jsonl", "dropped.jsonl"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


@pytest.mark.parametrize("preset", PRESETS)
async def test_a_name_is_no_label_before_the_user_takes_it(preset: str) -> None:
    for seed in range(8):
        dialogue, _ = await written(recipe(preset, refuse="0"), seed=seed)
        taken = False
        for turn in dialogue.turns:
            taken = taken or any(act.startswith("restaurant-select") for act in turn.acts)
            if turn.state is not None:
                assert ("restaurant-name" in turn.state) == taken
        assert taken


async def test_the_state_is_what_the_acts_have_told() -> None:
    dialogue, _ = await written(recipe(refuse="0"))
    assert tracked(dialogue)[-1][1] == {
        "restaurant-area": "centre",
        "restaurant-pricerange": "cheap",
        "restaurant-name": next(turn.lookup.rows[0]["name"] for turn in reversed(dialogue.turns) if turn.lookup),
        "restaurant-bookday": "friday",
        "restaurant-bookpeople": "2",
        "restaurant-booktime": "18:30",
    }
    assert dialogue.goal == GOAL
    assert not dialogue.notes


async def test_the_reader_does_not_see_the_acts() -> None:
    _, engine = await written(recipe())
    readers = [request for request in engine.requests if request.stage == "slots"]
    assert readers
    for request in readers:
        assert request.role == "critic"
        assert request.temperature is None
        assert request.grammar is not None
        assert "nothing more:" not in request.messages[-1][1]


# ---- what is caught -------------------------------------------------------------------------------------------------


async def test_a_turn_that_is_misread_is_said_again_and_noted() -> None:
    dialogue, _ = await written(recipe(rewrites="0"), saying("slots", '{"restaurant-food": "thai"}', 1))
    assert len(dialogue.notes) == 1
    assert re.match(r"said again: turn 1: (missing|added) slot: restaurant-", dialogue.notes[0])
    assert len(dialogue.turns) >= 5


async def test_a_turn_that_is_always_misread_drops_the_dialogue() -> None:
    with pytest.raises(Dropped) as caught:
        await written(recipe(rewrites="0"), saying("slots", "{}"))
    assert caught.value.stage == "state"
    assert re.match(r"missing slot: restaurant-\w+: expected '\w+', read nothing \(turn \d+\)", caught.value.reason)
    assert "User:" in caught.value.raw


async def test_a_sentence_that_was_not_to_choose_is_asked_for_again() -> None:
    with pytest.raises(
        Dropped, match=r"unreadable: user: expected a reply that opens with one of \['1', .*got 'I refuse.'"
    ):
        await written(recipe("laptop"), saying("user", "I refuse."))
    dialogue, _ = await written(recipe("laptop"), saying("user", "I refuse.", 1))
    assert len(dialogue.notes) == 1


@pytest.mark.parametrize(
    "reply", ["I would rather not say.", '{"restaurant-area": "cen', '{"restaurant-area": ["a"]}']
)
async def test_a_reader_that_answers_in_prose_is_asked_again_and_then_the_dialogue_is_dropped(reply: str) -> None:
    engine = Scripted(saying("slots", reply))
    of = recipe(rewrites="0")
    with pytest.raises(Dropped, match="unreadable"):
        await of.dialogue(Seed("luas-1", {"goal": GOAL}), of.pool(()), engine, Random(0))
    assert len([request for request in engine.requests if request.stage == "slots"]) == 9, (
        "3 tries for each of 3 attempts"
    )
    kept, _ = await written(of, saying("slots", reply, 3))
    assert len(kept.notes) == 1


@pytest.mark.parametrize("text", ["", '{"utterance": "hello', "```"])
async def test_an_agent_that_says_nothing_is_asked_again_and_then_the_dialogue_is_dropped(text: str) -> None:
    with pytest.raises(Dropped, match="unreadable: agent: expected a message"):
        await written(recipe(), saying("agent", text))


INVENTED = (
    "How about Gobbler's Nest Inn near the river?",
    "Your reference number is QX77ZZ81.",
    "Their number is 01234 567890.",
    "It leaves at 04:04.",
    'You would like "the golden spoon" best.',
)


@pytest.mark.parametrize("text", INVENTED)
async def test_what_no_row_has_is_caught(text: str) -> None:
    def model(request: Request) -> Line:
        said = clerk(request)
        return f"{said} {text}" if request.stage == "agent" else said

    for preset in ("improved", "paper"):
        with pytest.raises(Dropped, match="invented"):
            await written(recipe(preset, templates="0"), model)


async def test_a_venue_of_the_database_that_was_not_looked_up_is_caught() -> None:
    names = [row["name"] for row in json.loads((HERE / "luas_ontology/db/hotel_db.json").read_text(encoding="utf-8"))]

    def model(request: Request) -> Line:
        said = clerk(request)
        return f"{said} I like {names[0].lower()} too." if request.stage == "agent" else said

    with pytest.raises(Dropped, match="invented"):
        await written(recipe(), model)


async def test_an_agent_has_to_say_what_its_acts_demand() -> None:
    with pytest.raises(Dropped, match=r"unsaid value: restaurant-") as caught:
        await written(recipe(templates="0"), saying("agent", "One moment, I will have a look."))
    assert caught.value.stage == "grounding"


async def test_endless_politeness_ends_at_the_cap() -> None:
    """In mode paper, where an agent never reports that the booking is done."""

    def model(request: Request) -> Line:
        return "Thank you so much for asking." if request.stage == "agent" else clerk(request)

    with pytest.raises(Dropped, match=r"simulation: cap: \d+ exchanges about restaurant"):
        await written(recipe("paper", templates="0"), model)


async def test_the_oldest_turns_are_left_out_where_the_context_is_too_small() -> None:
    refused: list[Request] = []

    def model(request: Request) -> Line:
        if request.stage == "agent" and request.messages[-1][1].count("User:") > 1:
            refused.append(request)
            return ContextOverflow("too long")
        return clerk(request)

    dialogue, engine = await written(recipe(templates="0"), model)
    assert refused
    assert len(dialogue.turns) >= 5
    answered = [each for each in engine.requests if each.stage == "agent" and each not in refused]
    assert all(each.messages[-1][1].count("User:") <= 1 for each in answered)


async def test_filters_drop_loops_of_courtesy_and_states_that_are_not_there() -> None:
    of = recipe()
    dialogue, _ = await written(of)
    assert await first_reason(of.filters(Scripted([])), dialogue) is None
    polite = [
        Turn(SYSTEM, "You are welcome."),
        Turn(USER, "Thank you.", state={}),
        Turn(SYSTEM, "Good bye, take care."),
    ]
    again = [Turn(USER, "Thanks, have a nice day.", state={}), Turn(SYSTEM, "It was a pleasure.")]
    loop = replace(dialogue, turns=(dialogue.turns[0], *polite, *again))
    dropped = await first_reason(of.filters(Scripted([])), loop)
    assert dropped == ("courtesy", "courtesy loop: 5 turns in a row, turn 6")
    stateless = replace(dialogue, turns=(replace(dialogue.turns[0], state=None), *dialogue.turns[1:]))
    assert await first_reason(of.filters(Scripted([])), stateless) == ("states", "no state: turn 1 of the User")
    acts = ("restaurant-inform(area=north)",)
    untold = replace(dialogue, turns=(replace(dialogue.turns[0], acts=acts), *dialogue.turns[1:]))
    dropped = await first_reason(of.filters(Scripted([])), untold)
    assert dropped is not None
    assert dropped[1].startswith("untold state: turn 1 tells restaurant-inform(area=north)")


# ---- paper ----------------------------------------------------------------------------------------------------------


async def test_slots_that_the_goal_has_not_revealed_are_reconciled_away() -> None:
    def model(request: Request) -> Line:
        if request.stage != "slots":
            return clerk(request)
        found = json.loads(str(clerk(request)).partition(": ")[2])
        return json.dumps(found | {"restaurant-area": "north", "restaurant-booktime": "03:00", "hotel-wings": "2"})

    dialogue, _ = await written(recipe("paper"), model)
    assert all(state.get("restaurant-area") in (None, "centre") for _, state in tracked(dialogue))
    assert tracked(dialogue)[-1][1]["restaurant-booktime"] == "18:30"
    assert any("hotel-wings: not in the schema" in note for note in dialogue.notes)


async def test_a_goal_has_three_tries() -> None:
    engine = Scripted(saying("slots", "no"))
    of = recipe("paper")
    with pytest.raises(Dropped, match="slots: unreadable"):
        await of.dialogue(Seed("luas-1", {"goal": GOAL}), of.pool(()), engine, Random(0))
    assert len([request for request in engine.requests if request.stage == "slots"]) == 9


# ---- laptop ---------------------------------------------------------------------------------------------------------


async def test_a_small_model_chooses_among_sentences_by_their_numbers() -> None:
    dialogue, engine = await written(recipe("laptop"))
    assert len(engine.requests) == len(dialogue.turns)
    for request, turn in zip(engine.requests, dialogue.turns, strict=True):
        assert request.grammar is not None
        assert request.grammar.kind == "regex"
        listed = re.findall(r"^(\d+)\. (.+)$", request.messages[0][1], re.MULTILINE)
        assert turn.text in [text for _, text in listed]
        assert str(request.grammar.value).split("|") == [number for number, _ in listed]


async def test_dialogues_of_phrases_differ(tmp_path: Path) -> None:
    found, _, _ = await made(recipe("laptop"), tmp_path, 30)
    said = [turn.text for dialogue in found for turn in dialogue.turns if len(words(turn.text)) > 6]
    assert len(found) >= 27
    assert len(set(said)) > 0.7 * len(said)


# ---- seeds ----------------------------------------------------------------------------------------------------------


async def test_seeds_are_goals_and_the_same_again() -> None:
    first, again = await seeds(recipe()), await seeds(recipe())
    assert first == again
    assert len({each.id for each in first}) == 30
    assert await seeds(recipe(), run_seed=1) != first
    assert len({tuple(each.content["goal"]["domains"]) for each in first}) > 5
    assert {each.id for each in first}.isdisjoint(each.id for each in await seeds(recipe(refuse="0.5")))


async def test_users_may_be_somebody(tmp_path: Path) -> None:
    file = tmp_path / "people.txt"
    file.write_text("\n".join(f"I have {number} canaries at home." for number in range(12)), encoding="utf-8")
    found = await seeds(recipe(personas=str(file), traits="2"), 3)
    for seed in found:
        assert len(re.findall("canaries", seed.content["goal"]["persona"])) == 2
    _, engine = await written(recipe(), goal=GOAL | {"persona": "I have 3 canaries at home."})
    asked = [request for request in engine.requests if request.stage == "user"]
    assert asked
    assert all("3 canaries" in request.messages[-1][1] for request in asked)


async def test_only_some_domains() -> None:
    found = await seeds(recipe(domains=("hotel", "taxi")))
    assert {name for each in found for name in each.content["goal"]["domains"]} <= {"hotel", "taxi"}


# ---- the user's mistakes --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"candidates": "0"}, "candidates is 0"),
        ({"templates": "1.5"}, "templates is 1.5"),
        ({"top_p": "1.0"}, "top_p is 1.0"),
        ({"refuse": "2"}, "refuse"),
        ({"goals": "corpus"}, "--corpus go together"),
        ({"corpus": "x.jsonl"}, "--corpus go together"),
        ({"mode": "paper", "extractor": "rules"}, "mode paper has wording free"),
    ],
)
def test_fields_that_cannot_be(fields: dict[str, str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        recipe(**fields)


def test_a_folder_that_is_no_ontology(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"schema\.json"):
        recipe(ontology=str(tmp_path)).check()


def test_phrases_that_are_none(tmp_path: Path) -> None:
    file = tmp_path / "phrases.json"
    file.write_text("{}", encoding="utf-8")
    with pytest.raises(UserError, match="no section"):
        recipe(phrases=str(file)).check()


def test_a_domain_that_is_none() -> None:
    with pytest.raises(UserError, match="zeppelin"):
        recipe(domains=("zeppelin",)).check()


async def test_goals_of_a_corpus(tmp_path: Path) -> None:
    found, _, _ = await made(recipe(), tmp_path / "run", 6)
    corpus = tmp_path / "run" / "dialogues.jsonl"
    of = recipe(goals="corpus", corpus=str(corpus))
    of.check()
    drawn = await seeds(of, 12)
    assert len({each.id for each in drawn}) == 12, "a goal comes again under another id"
    finals = [tracked(dialogue)[-1][1] for dialogue in found]
    for seed in drawn:
        wishes = seed.content["goal"]["domains"]
        told = {
            f"{name}-{slot}": value for name, wish in wishes.items() for slot, value in wish.get("inform", {}).items()
        }
        assert any(told.items() <= final.items() for final in finals)
    assert (await made(of, tmp_path / "again", 6))[1]["counts"]["kept"] == 6
    vain = await seeds(recipe(goals="corpus", corpus=str(corpus), vain="1"), 12)
    assert any("fail" in wish for seed in vain for wish in seed.content["goal"]["domains"].values())


def test_goals_of_a_held_out_split_are_refused(tmp_path: Path) -> None:
    turn = {"speaker": "User", "text": "A cheap restaurant.", "state": {"restaurant-pricerange": "cheap"}}
    row = {"id": "a", "turns": [turn, {"speaker": "System", "text": "Ok."}], "notes": ["split: test"]}
    file = tmp_path / "dialogues.jsonl"
    file.write_text(json.dumps(row), encoding="utf-8")
    with pytest.raises(UserError, match="test"):
        recipe(goals="corpus", corpus=str(file)).check()
