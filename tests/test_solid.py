"""The recipe solid from seeds to labelled utterances, by a scripted model; its presets, its bugs and bad input."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

import pytest

from synthesis.command import parse
from synthesis.dialogue import Dialogue
from synthesis.engine import Reply, Request
from synthesis.engines.scripted import Scripted
from synthesis.errors import ContextOverflow, RequestRefused, UserError
from synthesis.intents.labels import AGENT, INTENTS, USER, contradiction
from synthesis.outcomes import Shard
from synthesis.recipe import Dropped, Pool, Seed, make
from synthesis.recipes.solid import HERE, SENTENCE, Solid, said
from tests import solid_clerk
from tests.clerk import clerk
from tests.clerk_runs import MADE, made, planned, ran, rows
from tests.vectors import Dawdling


def recipe(preset: str = "improved", **fields: Any) -> Solid:
    made: Solid = make(Solid, preset, {name: str(value) for name, value in fields.items()})
    return made


def asked(engine: Scripted, stage: str) -> list[Request]:
    return [request for request in engine.requests if request.stage == stage]


def file(folder: Path, content: Any, name: str = "sequences.json") -> Path:
    path = folder / name
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


# ---- whole runs -----------------------------------------------------------------------------------------------------


async def test_a_run_as_improved(tmp_path: Path) -> None:
    found, facts, engine = await made(planned(recipe(), tmp_path, 8))
    assert facts["counts"] == {"seeds": 8, "kept": 8, "dropped": 0, "failed": 0}
    assert len({dialogue.topic for dialogue in found}) == 4, "two questions about each of four entities"
    for dialogue in found:
        assert dialogue.document
        assert str(dialogue.topic) in dialogue.document
        assert dialogue.subtopic
        assert [turn.speaker for turn in dialogue.turns] == [
            (USER, AGENT)[at % 2] for at in range(len(dialogue.turns))
        ]
        assert dialogue.turns[0].intents == ("OQ",)
        assert 3 <= len(dialogue.turns) <= 10
        goal = dialogue.goal or {}
        assert goal["type"] in (HERE / "solid_types.txt").read_text().splitlines()
        assert len(goal["instructions"]) == len(goal["ends"]) == len(dialogue.turns)
        for turn in dialogue.turns:
            assert contradiction(turn.speaker, turn.intents) is None
            assert all(solid_clerk.CUES[code] in turn.text for code in turn.intents)
    counts = Counter(request.stage for request in engine.requests)
    assert counts | {"merge": 0} == {"names": 4, "reality": 4, "document": 4, "attributes": 4, "starter": 8} | {
        "turn": sum(len(dialogue.turns) - 1 for dialogue in found),
        "intents": sum(len(dialogue.turns) for dialogue in found),
        "merge": 0,
    }


async def test_a_prompt_has_the_seed_the_history_and_one_instruction(tmp_path: Path) -> None:
    path = file(tmp_path, [["OQ", "FD", "FQ", "PA"]])
    (dialogue,), _, engine = await made(planned(recipe(sequences=path), tmp_path / "run", 1))
    *_, last = asked(engine, "turn")
    (_, system), (_, user) = last.messages
    for known in (dialogue.topic, (dialogue.goal or {})["type"], dialogue.subtopic, dialogue.document):
        assert str(known) in system
    history = "\n".join(f"{turn.speaker}: {turn.text}" for turn in dialogue.turns[:3])
    assert f"Conversation so far:\n{history}\n\nThe Agent speaks next." in user
    given = {code for code, intent in INTENTS.items() for role in (USER, AGENT) if intent.instruction(role) in user}
    assert given == {"PA"}, "instructions do not pile up"
    assert last.stop == ("\nUser:", "\nAgent:")
    assert (last.temperature, last.top_p, last.max_new_tokens) == (0.7, 0.95, 128)


async def test_as_published_nothing_is_sampled_and_all_attributes_of_an_entity_are_asked_about(tmp_path: Path) -> None:
    found, facts, engine = await made(planned(recipe("paper"), tmp_path, 10, "paper"))
    assert facts["counts"]["kept"] == 10
    assert len({dialogue.topic for dialogue in found}) == 1
    assert len({dialogue.subtopic for dialogue in found}) == 10
    assert {request.stage for request in engine.requests} >= {"names", "document", "attributes", "starter", "turn"}
    assert not asked(engine, "reality")
    assert all(request.temperature is None and request.seed is None for request in engine.requests)
    assert {request.max_new_tokens for request in asked(engine, "turn")} == {100}


async def test_a_run_for_the_embedded_model_asks_for_turns_alone(tmp_path: Path) -> None:
    _, facts, engine = await made(planned(recipe("laptop"), tmp_path, 10, "laptop"))
    assert facts["counts"]["seeds"] == 10
    assert {request.stage for request in engine.requests} == {"turn"}
    grammars = {request.grammar.value for request in engine.requests if request.grammar}
    assert grammars == {SENTENCE}
    assert re.fullmatch(SENTENCE, "It eats fish, and whatever people throw away.")
    assert not re.fullmatch(SENTENCE, "User encoura, and whatever people throw away.")
    assert not re.fullmatch(SENTENCE, "Agent: it eats fish, and whatever people throw away.")


@pytest.mark.parametrize("preset", ["paper", "improved"])
async def test_neither_order_nor_shards_nor_a_replay_show_in_the_files(tmp_path: Path, preset: str) -> None:
    def moody(request: Request) -> str:
        rude = Random(f"{request.seed}{request.messages}{request.stage}").random() < 0.1
        return "N/A" if rude and request.stage != "names" else clerk(request)

    for name, in_flight in (("a", 1), ("b", 64)):
        engine = Dawdling(Scripted(moody), in_flight, 0.001)
        await ran(planned(recipe(preset), tmp_path / name, preset=preset, in_flight=in_flight), engine)
    shards = [planned(recipe(preset), tmp_path / "parts", preset=preset, shard=Shard(at, 2)) for at in (0, 1)]
    await asyncio.gather(*[ran(plan, Scripted(moody), f"journal-{plan.shard}.sqlite") for plan in shards])
    (tmp_path / "again").mkdir()
    shutil.copy(tmp_path / "a/journal.sqlite", tmp_path / "again")
    await ran(planned(recipe(preset), tmp_path / "again", preset=preset), None)
    first = {name: (tmp_path / "a" / name).read_bytes() for name in MADE}
    for folder in ("b", "parts", "again"):
        assert {name: (tmp_path / folder / name).read_bytes() for name in MADE} == first
    assert rows(tmp_path / "a", "dialogues.jsonl")


# ---- instructions of several intents --------------------------------------------------------------------------------


async def test_a_combination_is_merged_once_for_each_role(tmp_path: Path) -> None:
    path = file(tmp_path, [["OQ", "PA", "FD_NF", "FD_PA", "NF_FD"], ["OQ", "FD_CQ", "CQ_FD", "PA"]])
    found, _, engine = await made(planned(recipe(sequences=path, draw="copy"), tmp_path / "run", 12))
    merges = asked(engine, "merge")
    told: dict[tuple[str, tuple[str, ...]], set[str]] = {}
    for dialogue in found:
        for turn, instruction in zip(dialogue.turns, (dialogue.goal or {})["instructions"], strict=True):
            if len(turn.intents) > 1:
                told.setdefault((turn.speaker, turn.intents), set()).add(instruction)
    assert set(told) == {(USER, ("FD", "NF")), (AGENT, ("FD", "PA")), (AGENT, ("CQ", "FD")), (USER, ("CQ", "FD"))}
    assert all(len(instructions) == 1 for instructions in told.values())
    assert len(merges) == len(told), "one call for each combination and role, however many turns have it"
    assert len({request.messages for request in merges}) == len(merges)
    (other, *_), _, again = await made(planned(recipe(sequences=path), tmp_path / "other", 12))
    assert {request.key("clerk") for request in asked(again, "merge")} <= {request.key("clerk") for request in merges}
    assert {request.key("clerk") for request in merges}.isdisjoint(request.key("other") for request in merges)
    assert other.turns


async def test_a_merge_that_cannot_be_read_is_tried_again_in_the_same_way_for_all(tmp_path: Path) -> None:
    def model(request: Request) -> str:
        return "" if request.stage == "merge" and request.seed is None else clerk(request)

    path = file(tmp_path, [["OQ", "FD_PA", "PF"]])
    _, facts, engine = await made(planned(recipe(sequences=path), tmp_path / "run", 8), model)
    assert facts["counts"]["kept"] == 8
    assert len(asked(engine, "merge")) == 2


async def test_instructions_side_by_side_need_no_call(tmp_path: Path) -> None:
    path = file(tmp_path, [["OQ", "FD_PA"]])
    (found, *_), _, engine = await made(planned(recipe(sequences=path, merge="concat"), tmp_path / "run", 2))
    assert not asked(engine, "merge")
    both = f"{INTENTS['FD'].agent} {INTENTS['PA'].agent}"
    assert (found.goal or {})["instructions"][1] == both


async def test_an_opening_question_does_all_that_its_labels_say(tmp_path: Path) -> None:
    path = file(tmp_path, [["FD_OQ", "PA"]])
    (found, *_), facts, _ = await made(planned(recipe(sequences=path, consistency="all"), tmp_path / "run", 2))
    assert facts["counts"]["kept"] == 2
    assert found.turns[0].intents == ("FD", "OQ")
    assert solid_clerk.CUES["FD"] in found.turns[0].text


# ---- one dialogue ---------------------------------------------------------------------------------------------------

CONTENT = {
    "name": "Old Bridge",
    "type": "Bridge",
    "attribute": "upkeep",
    "document": "Old Bridge spans a brook. It is of oak.",
    "starter": "How old is the Old Bridge?",
    "declined": None,
}


def seed(*labels: str, **content: Any) -> Seed:
    from synthesis.intents.plans import made as plan

    return Seed("solid-1", {**CONTENT, "plan": plan(["OQ", *labels], "test", "free").rows(), **content})


async def written(of: Solid, given: Seed, *lines: str | Reply | Exception) -> tuple[Dialogue, Scripted]:
    engine = Scripted(lines)
    return await of.dialogue(given, Pool(), engine, Random(0)), engine


PLAIN = recipe("paper")
BUGS = recipe("paper", bugs="true")

RELEASED = [
    ("Two things matter. First: look at the date. Then: ask.", "Two things matter.", "text after a colon is lost"),
    ("It is old.\n\nVery old, I think.", "", "a reply of two paragraphs is empty"),
    ("about four hundred years", CONTENT["starter"], "without a closing mark the turn before is recorded again"),
    ("It costs: 5 crowns.", CONTENT["starter"], "what stays before a colon has no closing mark"),
    ("It is old. Built for carts", "It is old.", "what follows the last mark is lost"),
    ("It is old.", "It is old.", "one line with a closing mark survives"),
]


@pytest.mark.parametrize(("reply", "recorded", "why"), RELEASED, ids=[why for *_, why in RELEASED])
async def test_what_becomes_of_a_reply_with_the_bugs_and_without(reply: str, recorded: str, why: str) -> None:
    dialogue, _ = await written(BUGS, seed("PA"), reply)
    assert dialogue.turns[1].text == recorded, why
    assert dialogue.turns[1].intents == ("PA",)
    dialogue, _ = await written(PLAIN, seed("PA"), reply)
    assert dialogue.turns[1].text == " ".join(reply.split())


@pytest.mark.parametrize(("label", "reply"), [("JK", "🙃🙃 asdf jkl"), ("O", "error 404")])
async def test_gibberish_and_system_errors_have_no_closing_mark(label: str, reply: str) -> None:
    assert (await written(BUGS, seed(label), reply))[0].turns[1].text == CONTENT["starter"]
    assert (await written(PLAIN, seed(label), reply))[0].turns[1].text == reply


async def test_prompts_with_the_bugs_and_without() -> None:
    lines = ("It is very old.", "Thank you.", "It is of oak.")
    _, engine = await written(BUGS, seed("FD_NF", "GG", "PA"), "Merged instruction.", *lines)
    prompt = str(engine.requests[-1].prompt)
    assert not engine.requests[-1].messages
    assert not engine.requests[-1].stop
    heaped = [line for line in prompt.splitlines() if line in ("Merged instruction.", INTENTS["GG"].agent)]
    assert heaped == ["Merged instruction.", INTENTS["GG"].agent], "old instructions pile up"
    assert INTENTS["PA"].agent in prompt
    assert "(Bridge)" not in prompt, "the type does not reach the prompt"
    assert "upkeep" not in prompt, "nor does the attribute"
    assert prompt.endswith("\nResponse:")
    assert "Question: It is very old." in prompt, "a turn of several intents goes by an earlier turn's label"
    _, engine = await written(PLAIN, seed("FD_NF", "GG", "PA"), "Merged instruction.", *lines)
    text = "\n".join(content for _, content in engine.requests[-1].messages)
    assert "Merged instruction." not in text
    assert "(Bridge)" in text
    assert "its upkeep" in text
    assert "Agent: Thank you." in text


async def test_roles_of_a_file_hold_unless_the_bugs_are_wanted(tmp_path: Path) -> None:
    path = file(tmp_path, [["OQ", "PA", {"role": "Agent", "intents": ["FD"]}, "PF"]])
    for bugs, roles in (("false", [USER, AGENT, AGENT, USER]), ("true", [USER, AGENT, USER, AGENT])):
        of = recipe("paper", sequences=path, bugs=bugs)
        found, _, _ = await made(planned(of, tmp_path / bugs, 2, "paper"))
        assert [turn.speaker for turn in found[0].turns] == roles


async def test_an_opt_out_in_other_words_is_a_document_only_with_the_bugs(tmp_path: Path) -> None:
    def model(request: Request) -> str:
        return "N/A. I do not know it." if request.stage == "document" else clerk(request)

    found, _, _ = await made(planned(recipe("paper", bugs="true"), tmp_path / "a", 2, "paper"), model)
    assert {dialogue.document for dialogue in found} == {"N/A. I do not know it."}
    with pytest.raises(UserError, match="no seed could be made"):
        await made(planned(recipe("paper"), tmp_path / "b", 2, "paper"), model)


async def test_names_are_lost_only_with_the_bugs(tmp_path: Path) -> None:
    def model(request: Request) -> str:
        return "New York\nAda Lovelace" if request.stage == "names" else clerk(request)

    found, _, _ = await made(planned(recipe("paper"), tmp_path / "a", 2, "paper"), model)
    assert {dialogue.topic for dialogue in found} == {"New York"}
    engine = Scripted(model)
    with pytest.raises(Exception, match="expected names, one a line"):
        await ran(planned(recipe("paper", bugs="true"), tmp_path / "b", 2, "paper"), engine)


async def test_a_context_that_is_too_small_forgets_the_oldest_turns_and_says_so() -> None:
    def small(request: Request) -> str | Exception:
        shown = request.messages[-1][1].count("\nUser: ") + request.messages[-1][1].count("\nAgent: ")
        return ContextOverflow("too long") if shown > 2 else f"Number {len(request.messages[-1][1])} it is."

    engine = Scripted(small)
    dialogue = await PLAIN.dialogue(seed("PA", "FD", "PA"), Pool(), engine, Random(0))
    assert dialogue.notes == ("context: the oldest 1 turns unseen at turn 4",)
    assert CONTENT["starter"] not in engine.requests[-1].messages[-1][1]
    with pytest.raises(ContextOverflow):
        await PLAIN.dialogue(seed("PA"), Pool(), Scripted([ContextOverflow("too long")]), Random(0))


async def test_a_reply_that_is_cut_off_is_asked_for_again_where_wholes_are_wanted() -> None:
    cut = Reply("It is one of the", "length", 9, 4)
    of = recipe("paper", whole="true")
    dialogue, engine = await written(of, seed("PA"), cut, "It is of oak.")
    assert dialogue.turns[1].text == "It is of oak."
    assert (dialogue.goal or {})["ends"] == ["given", "eos_token"]
    assert [request.seed is None for request in engine.requests] == [True, False]
    dialogue, _ = await written(recipe("paper", whole="true", bugs="true"), seed("PA"), cut)
    assert dialogue.turns[1].text == CONTENT["starter"], "the released code does not look how a reply ended"
    dialogue, _ = await written(PLAIN, seed("PA"), cut)
    assert (dialogue.goal or {})["ends"] == ["given", "length"]


def test_the_speakers_own_label_is_no_part_of_what_is_said() -> None:
    assert said(" **Agent:** It is old:\n- very old ", AGENT) == "It is old: - very old"
    assert said("User: what?", AGENT) == "User: what?", "another's is, and for a filter to find"


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("Yes.", "said: short utterance: 1 words, turn 2"),
        ("N/A, I am afraid.", "opt-out: declined utterance: turn 2"),
        ("Fine. User: and what else is there?", "leaked: leaked label: '. User:'"),
        ("User encoura, and it is old.", "leaked: leaked label: 'User encoura' without a colon, turn 2"),
        ("Well, offer a possible answer to the question, they say.", "leaked: leaked instruction: 'a possible answer"),
        ("how old is the old bridge", "repeated: repeated utterance: turn 2 is turn 1 again"),
        ("It is as old as [number] years.", "placeholders: placeholder"),
    ],
)
async def test_what_is_never_kept_is_tried_again_and_then_dropped(line: str, reason: str) -> None:
    engine = Scripted(lambda request: line)
    with pytest.raises(Dropped, match=re.escape(reason)):
        await recipe(consistency="none").dialogue(seed("PA"), Pool(), engine, Random(0))
    assert len(engine.requests) == 3
    assert len({request.seed for request in engine.requests}) == 3


@pytest.mark.parametrize(
    ("wanted", "found", "reason"),
    [
        ("any", "PA", None),
        ("any", "I would say: FD, GG.", None),
        ("any", "GG", "other intents: turn 2 has GG, expected any of FD+PA"),
        ("all", "FD", "other intents: turn 2 has FD, expected all of FD+PA"),
        ("all", "PA, FD, GG", None),
    ],
)
async def test_a_critic_has_to_find_the_intents(wanted: str, found: str, reason: str | None) -> None:
    def model(request: Request) -> str:
        if request.stage != "intents":
            return "It is of oak and four hundred years old."
        return "OQ" if "How old" in request.messages[0][1].rpartition("The utterance:")[2] else found

    of = recipe(consistency=wanted, merge="concat", resamples=0)
    engine = Scripted(model)
    if reason is None:
        await of.dialogue(seed("FD_PA"), Pool(), engine, Random(0))
    else:
        with pytest.raises(Dropped, match=re.escape(reason)):
            await of.dialogue(seed("FD_PA"), Pool(), engine, Random(0))
    critics = asked(engine, "intents")
    assert [request.role for request in critics] == ["critic", "critic"]
    assert "User: How old is the Old Bridge?" in critics[1].messages[0][1]
    assert "FD+PA" not in critics[1].messages[0][1], "the critic does not know the plan"


# ---- what the user gives --------------------------------------------------------------------------------------------


async def test_entities_of_the_user(tmp_path: Path) -> None:
    path = file(tmp_path, "Rome\tCity\nOslo\tCity\nOld Bridge\tBridge\n", "seeds.txt")
    found, facts, engine = await made(planned(recipe(entities=path), tmp_path / "run", 6))
    assert facts["counts"]["kept"] == 6
    assert Counter(dialogue.topic for dialogue in found) == {"Rome": 2, "Oslo": 2, "Old Bridge": 2}
    counts = Counter(request.stage for request in engine.requests)
    assert (counts["names"], counts["reality"], counts["document"], counts["attributes"]) == (0, 0, 3, 2)


async def test_a_question_comes_again_with_another_plan_where_that_is_wanted(tmp_path: Path) -> None:
    row = {
        "name": "Oslo",
        "type": "City",
        "document": "A port.",
        "attributes": {"age": "How old?", "sea": "Which sea?"},
    }
    path = file(tmp_path, json.dumps(row), "oslo.jsonl")
    _, facts, _ = await made(planned(recipe(entities=path), tmp_path / "once", 9))
    assert facts["counts"]["seeds"] == 2
    of = recipe(entities=path, repeats=4, hygiene="false", consistency="none")
    found, facts, engine = await made(planned(of, tmp_path / "again", 7))
    assert facts["counts"]["kept"] == 7
    assert sorted(Counter(dialogue.subtopic for dialogue in found).values()) == [3, 4]
    assert len({tuple(turn.intents for turn in dialogue.turns) for dialogue in found}) > 2
    assert {dialogue.turns[0].text for dialogue in found} == {"How old?", "Which sea?"}
    assert not asked(engine, "starter")


async def test_an_entity_that_the_model_declines_is_in_the_ledger(tmp_path: Path) -> None:
    def model(request: Request) -> Any:
        text = request.messages[-1][1] if request.messages else ""
        if request.stage == "document" and "Oslo" in text:
            return "N/A"
        return RequestRefused("too rude") if request.stage == "starter" and "Old Bridge" in text else clerk(request)

    path = file(tmp_path, "Rome\tCity\nOslo\tCity\nOld Bridge\tBridge\n", "seeds.txt")
    _, facts, _ = await made(planned(recipe(entities=path), tmp_path / "run", 3), model)
    assert facts["counts"] == {"seeds": 3, "kept": 1, "dropped": 2, "failed": 0}
    reasons = sorted(row["reason"] for row in rows(tmp_path / "run", "dropped.jsonl"))
    assert reasons == ["declined: the model knows no City 'Oslo'", "unreadable: too rude"]


async def test_types_that_the_model_names_itself(tmp_path: Path) -> None:
    found, _, engine = await made(planned(recipe(types="ask", type_count=3), tmp_path, 6))
    assert len(asked(engine, "types")) == 1
    assert {(dialogue.goal or {})["type"] for dialogue in found} == {"Lighthouse", "Harbour Town", "Island Ferry"}


async def test_a_type_without_attributes_costs_its_own_seeds(tmp_path: Path) -> None:
    def model(request: Request) -> Any:
        if request.stage == "attributes" and "Think of a City" in request.messages[0][1]:
            return RequestRefused("no cities")
        return clerk(request)

    path = file(tmp_path, "Rome\tCity\nOld Bridge\tBridge\n", "seeds.txt")
    _, facts, _ = await made(planned(recipe(entities=path), tmp_path / "run", 4), model)
    assert facts["counts"]["kept"] == 4
    path = file(tmp_path, "Rome\tCity\n", "rome.txt")
    with pytest.raises(RequestRefused, match="no cities"):
        await made(planned(recipe(entities=path), tmp_path / "other", 4), model)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"low": 9, "high": 4}, "low 9 and high 4: expected low <= high turns"),
        ({"low": 1}, "low is 1, expected at least 2"),
        ({"starters": 0}, "starters is 0, expected at least 1"),
        ({"name_shortest": 9, "name_longest": 3}, "expected 1 <= shortest <= longest"),
        ({"consistency": "some"}, "--consistency: got 'some', expected one of none, any, all"),
        ({"bugs": "perhaps"}, "--bugs: got 'perhaps', expected true or false"),
    ],
)
def test_fields_that_make_no_sense(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        recipe(**fields)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([["OQ", "XX"]], "unknown intent 'XX'; the intents are CQ"),
        ([["PA", "OQ"]], "a plan begins with the original question"),
        ([["OQ", {"role": "User", "intents": ["IR"]}]], "User with IR: IR is for the Agent alone"),
        ([["OQ"] + ["PA"] * 10], "11 turns, more than --high 10"),
        ({"1": {"utterances": [{"actor_type": "User", "utterance": "Hi"}]}}, "as in MSDialog-Complete"),
    ],
)
def test_sequences_are_checked_before_anything_is_asked(tmp_path: Path, content: Any, message: str) -> None:
    plan = planned(recipe(sequences=file(tmp_path, content)), tmp_path / "run")
    with pytest.raises(UserError, match=message):
        plan.claim()
    assert not (tmp_path / "run").exists()


def test_bugs_is_a_switch() -> None:
    for arguments, value in ((["--bugs"], "true"), (["--bugs", "--n", "3"], "true"), (["--no-bugs"], "false")):
        assert parse(["solid", *arguments])[1] == {"bugs": [value]}
    assert parse(["solid", "--bugs", "false"])[1] == {"bugs": ["false"]}
    with pytest.raises(UserError, match="--high: expected a value"):
        parse(["solid", "--high"])
