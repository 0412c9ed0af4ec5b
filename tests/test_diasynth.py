"""The recipe diasynth from topics to summaries, by a scripted model; its presets, ablations and bad input."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest

from builders.diasynth import SHAPED, chats, dialogues, summaries
from builders.facts import _sample
from synthesis import characteristics, few_shots, topics
from synthesis.dialogue import UNASSIGNED, from_json
from synthesis.dialogue_forms import TABLES, form_of
from synthesis.engine import Request
from synthesis.engines.scripted import Scripted
from synthesis.errors import BuildError, ContextOverflow, RequestRefused, Unsupported, UserError
from synthesis.outcomes import Shard
from synthesis.recipe import Dropped, Pool, Seed, make
from synthesis.recipes.diasynth import HERE, Diasynth
from tests.clerk import clerk
from tests.clerk_runs import MADE, made, planned, ran, rows
from tests.vectors import Dawdling

CHEAP = {"dedup": "rouge", "same": "0.9", "grounding": "words"}
"""Nothing that loads the sentence encoder; the contract test does."""


def recipe(preset: str = "improved", **fields: Any) -> Diasynth:
    given = fields if preset == "paper" else {**CHEAP, **fields}
    made: Diasynth = make(Diasynth, preset, given)
    return made


def system(request: Request) -> str:
    return request.messages[0][1]


def asked(engine: Scripted, stage: str) -> list[Request]:
    return [request for request in engine.requests if request.stage == stage]


# ---- whole runs -----------------------------------------------------------------------------------------------------


async def test_a_run_as_improved(tmp_path: Path) -> None:
    found, facts, engine = await made(planned(recipe(), tmp_path, 8))
    assert facts["counts"] == {"seeds": 8, "kept": 8, "dropped": 0, "failed": 0}
    for dialogue in found:
        assert dialogue.speakers == few_shots.NUMBERED or set(dialogue.speakers) == set(few_shots.NUMBERED)
        assert dialogue.topic
        assert dialogue.subtopic
        assert len(dialogue.personas) == 2
        assert not dialogue.notes
        assert set(dialogue.characteristics or {}) == set(characteristics.NAMES)
        assert (dialogue.characteristics or {})["topic"] == dialogue.subtopic
        assert dialogue.reasoning
        assert dialogue.reasoning not in dialogue.text()
        assert dialogue.summary
        assert len(dialogue.exemplars) == len(set(dialogue.exemplars)) == 4
    assert len({dialogue.topic for dialogue in found}) == 8, "dialogues are shared out over the topics"
    assert len({dialogue.exemplars for dialogue in found}) > 1, "few-shots are drawn for each"
    counts = Counter(request.stage for request in engine.requests)
    assert counts | {"dialogue": 8} == {"subtopics": 8, "personas": 8, "dialogue": 8, "summary": 8}
    assert counts["dialogue"] >= 8, "what a filter drops is tried again"
    assert all(request.grammar and request.grammar.kind == "json" for request in engine.requests)


async def test_a_run_as_published(tmp_path: Path) -> None:
    found, facts, engine = await made(planned(recipe("paper"), tmp_path, 8, "paper"))
    assert facts["counts"]["kept"] == 8
    temperatures = {request.stage: request.temperature for request in engine.requests}
    assert temperatures == {"subtopics": 0.1, "personas": 0.1, "dialogue": 0.2, "summary": 0.3}
    lengths = {request.stage: request.max_new_tokens for request in engine.requests}
    assert lengths == {"subtopics": 2048, "personas": 2048, "dialogue": 4096, "summary": 256}
    assert all(request.grammar is None for request in engine.requests)
    assert len({dialogue.exemplars for dialogue in found}) == 1, "drawn once a run"
    for dialogue in found:
        assert dialogue.characteristics is None
        assert dialogue.notes == (UNASSIGNED,)
        assert dialogue.reasoning
        assert "<" not in dialogue.text()
    for request in asked(engine, "dialogue"):
        assert "<cot>\n...\n</cot>" in system(request)
        assert system(request).count("Example, on") == 4
        assert all(f"- {name}: {what}" in system(request) for name, what in characteristics.NAMES.items())
    assert all(system(request).count("Summary: ") == 2 for request in asked(engine, "summary"))


async def test_a_run_for_the_embedded_model_asks_for_no_lists(tmp_path: Path) -> None:
    of = make(Diasynth, "laptop", {})
    found, _, engine = await made(planned(of, tmp_path, 20, "laptop"))
    assert {request.stage for request in engine.requests} == {"dialogue", "summary"}
    given = topics.outline(HERE / "diasynth_outline.jsonl")
    assert {dialogue.topic for dialogue in found} <= set(given)
    for dialogue in found:
        people = given[str(dialogue.topic)][str(dialogue.subtopic)]
        assert {persona.traits[0] for persona in dialogue.personas} <= set(people)
        assert dialogue.reasoning is None
    for request in asked(engine, "dialogue"):
        assert request.grammar
        assert request.grammar.kind == "regex"
        assert re.fullmatch(str(request.grammar.value), clerk(request))


@pytest.mark.parametrize("preset", ["paper", "improved"])
async def test_neither_order_nor_shards_nor_a_replay_show_in_the_files(tmp_path: Path, preset: str) -> None:
    def moody(request: Request) -> str:
        return "Hm." if Random(f"{request.seed}{request.messages}").random() < 0.2 else clerk(request)

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


# ---- ablations and fields -------------------------------------------------------------------------------------------


async def test_without_a_chain_of_thought(tmp_path: Path) -> None:
    found, _, engine = await made(planned(recipe(cot="false"), tmp_path))
    assert all(dialogue.reasoning is None and dialogue.characteristics for dialogue in found)
    for request in asked(engine, "dialogue"):
        assert "Reason first" not in system(request)
        assert '"reasoning"' not in system(request)
        assert system(request).count("Example, on") == 2
    assert len(found) == 6


async def test_without_personas_a_subtopic_has_several_dialogues(tmp_path: Path) -> None:
    of = recipe(personas="false", topic=["Opera"], subtopics_per_topic="2", repeats="3")
    found, facts, engine = await made(planned(of, tmp_path, 99))
    assert facts["counts"]["seeds"] == 6
    assert not asked(engine, "personas")
    assert Counter(dialogue.subtopic for dialogue in found).most_common()[-1][1] >= 2
    assert all(not dialogue.personas and not dialogue.notes for dialogue in found)


async def test_without_subtopics_the_topic_is_the_subject(tmp_path: Path) -> None:
    of = recipe(subtopics="false", topic=["Opera", "Rent, and who pays it"], personas_per_subtopic="3")
    found, facts, engine = await made(planned(of, tmp_path, 99))
    assert facts["counts"]["seeds"] == 2 * 3
    assert not asked(engine, "subtopics")
    assert {request.messages[1][1] for request in asked(engine, "personas")} == {"Opera", "Rent, and who pays it"}
    assert all(dialogue.subtopic is None for dialogue in found)


async def test_topics_of_any_script_come_through(tmp_path: Path) -> None:
    given = ["人工智能", "العمل عن بعد", "मौसम", "ИСКУССТВО"]
    found, facts, _ = await made(planned(recipe(topic=given, personas_per_subtopic="2"), tmp_path, 4))
    assert facts["counts"]["kept"] == 4
    assert {dialogue.topic for dialogue in found} == set(given)
    assert all(str(dialogue.topic).lower() in dialogue.text() for dialogue in found)


async def test_few_shots_with_names_give_speakers_names(tmp_path: Path) -> None:
    path = tmp_path / "train.json"
    talk = "Kim: Are we late?\r\nLee: Never.\r\nKim: Good."
    path.write_text(json.dumps([{"id": "13818513", "dialogue": talk, "summary": "Kim and Lee are on time."}]))
    found, _, engine = await made(planned(recipe(exemplars=str(path)), tmp_path / "run"))
    assert all("Example, on everyday life:\nKim: Are we late?" in system(each) for each in asked(engine, "dialogue"))
    for dialogue in found:
        assert dialogue.exemplars == ("13818513",)
        assert [persona.name for persona in dialogue.personas] == sorted(dialogue.speakers)
        assert "#" not in dialogue.text()


# ---- one reply ------------------------------------------------------------------------------------------------------


async def test_one_bad_reply_costs_one_dialogue(tmp_path: Path) -> None:
    first: list[str | None] = []

    def model(request: Request) -> str:
        if request.stage == "dialogue":
            first.append(request.conversation)
            if request.conversation == first[0]:
                return "I would rather not."
        return clerk(request)

    _, facts, _ = await made(planned(recipe(), tmp_path), model)
    assert facts["counts"] == {"seeds": 6, "kept": 5, "dropped": 0, "failed": 1}
    row = rows(tmp_path, "failed.jsonl")[0]
    assert (row["stage"], row["raw"], row["attempts"]) == ("ReadingError", "I would rather not.", 3)


@pytest.mark.parametrize("answer", ["No list today.", RequestRefused("too rude")])
async def test_one_bad_list_costs_one_topic_and_others_take_its_share(tmp_path: Path, answer: Any) -> None:
    def model(request: Request) -> Any:
        return answer if (request.stage, request.messages[1][1]) == ("subtopics", "Opera") else clerk(request)

    found, facts, _ = await made(planned(recipe(topic=["Opera", "Chess", "Rent"]), tmp_path, 6), model)
    assert facts["counts"]["kept"] == 6
    assert Counter(dialogue.topic for dialogue in found) == {"Chess": 3, "Rent": 3}


async def test_lists_that_never_come_stop_the_run_with_their_reason(tmp_path: Path) -> None:
    with pytest.raises(RequestRefused, match="too rude"):
        await ran(planned(recipe(), tmp_path), Scripted(lambda request: RequestRefused("too rude")))


async def test_a_short_list_is_filled_up_and_told_what_it_has(tmp_path: Path) -> None:
    def model(request: Request) -> str:
        if request.stage == "personas" and "taken already" not in system(request):
            return json.dumps({"personas": ["A baker who sings.", "A baker who sings."]})
        return clerk(request)

    found, facts, engine = await made(planned(recipe(), tmp_path), model)
    assert facts["counts"]["kept"] == 6
    again = [each for each in asked(engine, "personas") if "taken already: A baker who sings." in system(each)]
    assert len(again) == 6
    assert all("A baker who sings." in {each.traits[0] for each in dialogue.personas} for dialogue in found)


async def test_as_published_short_lists_stay_short(tmp_path: Path) -> None:
    def model(request: Request) -> str:
        return (
            '["A baker who sings at night.", "a baker who sings at night"]'
            if request.stage == "personas"
            else clerk(request)
        )

    with pytest.raises(UserError, match="no seed could be made"):
        await ran(planned(recipe("paper"), tmp_path, preset="paper"), Scripted(model))


SEED = Seed(
    "diasynth-1",
    {
        "topic": "Pets",
        "subtopic": "Parrots that talk",
        "personas": ["A sailor who keeps a parrot on his boat.", "A vet who is afraid of birds of any kind."],
        "characteristics": {},
        "speakers": list(few_shots.NUMBERED),
        "few_shots": ["parley-01", "parley-02", "parley-03", "parley-04"],
    },
)
POOL = Pool(few_shots.load(HERE / "diasynth_exemplars.jsonl").dialogues)
GOOD = "Parrots talk and talk, and I answer them now."


def said(
    *texts: str, reasoning: str = "They meet at the harbour and one of them is afraid."
) -> Callable[[Request], Any]:
    """A model that writes these turns, and sums up as the clerk does."""

    def model(request: Request) -> str:
        if request.stage != "dialogue":
            return clerk(request)
        turns = [{"speaker": few_shots.NUMBERED[at % 2], "text": text} for at, text in enumerate(texts)]
        return json.dumps({"reasoning": reasoning, "dialogue": turns})

    return model


FOUR = (
    "Do your parrots talk?",
    GOOD,
    "Mine only ever whistles at the milkman.",
    "So does my uncle, come to think of it.",
)


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (said(*FOUR[:3], "Well, a vet who is afraid of birds, that is me."), "copying: recited attributes: 1 of 2"),
        (said(*FOUR[:3], "They meet at the harbour and one of them is afraid."), "reasoning: leaked reasoning"),
        (said(*FOUR[:3], "That is all there is to say. </dialogue>"), "reasoning: leaked tag: '</dialogue>'"),
        (said("Good morning to you.", "A fine day it is.", "Is it not?", "It is."), "grounding: off topic: 0 of 2"),
        (said(*FOUR[:2]), "structure: turn count: 2, expected 4 to 40"),
        (said(*FOUR[:3], "I come from [city] myself."), "placeholders: placeholder"),
    ],
)
async def test_what_is_never_kept_is_tried_again_and_then_dropped(
    model: Callable[[Request], Any], reason: str
) -> None:
    engine = Scripted(model)
    with pytest.raises(Dropped, match=re.escape(reason)):
        await recipe().dialogue(SEED, POOL, engine, Random(0))
    assert len(engine.requests) == 3
    assert len({request.seed for request in engine.requests}) == 3


async def test_a_dialogue_in_order_is_kept_at_once() -> None:
    engine = Scripted(said(*FOUR))
    found = await recipe().dialogue(SEED, POOL, engine, Random(0))
    assert [turn.text for turn in found.turns] == list(FOUR)
    assert found.exemplars == ("parley-01", "parley-02", "parley-03", "parley-04")
    assert [request.stage for request in engine.requests] == ["dialogue", "summary"]
    assert engine.requests[1].messages[1][1] == found.text(), "the dialogue is what is summed up"
    assert engine.requests[0].messages[1][1] == "Parrots that talk"


async def test_a_summary_that_names_others_is_tried_again() -> None:
    def model(request: Request) -> Any:
        return json.dumps({"summary": "User 1 leaves."}) if request.stage == "summary" else said(*FOUR)(request)

    engine = Scripted(model)
    with pytest.raises(Dropped, match="summary: stranger: 'User 1'") as caught:
        await recipe().dialogue(SEED, POOL, engine, Random(0))
    assert caught.value.raw == "User 1 leaves."
    assert [request.stage for request in engine.requests] == ["dialogue", *["summary"] * 3]


async def test_the_critic_may_judge_the_subject() -> None:
    def strict(request: Request) -> Any:
        return "No, it is about uncles." if request.stage == "grounding" else said(*FOUR)(request)

    with pytest.raises(Dropped, match="grounding: off topic: not about 'Parrots that talk', says the critic"):
        await recipe(grounding="engine").dialogue(SEED, POOL, Scripted(strict), Random(0))


async def test_few_shots_are_given_up_until_the_context_takes_the_prompt() -> None:
    def narrow(request: Request) -> Any:
        shown = system(request).count("Example, on") + system(request).count("Summary: ")
        return ContextOverflow("too long") if shown > 1 else said(*FOUR)(request)

    found = await recipe().dialogue(SEED, POOL, Scripted(narrow), Random(0))
    assert found.exemplars == ("parley-01",), "those that were shown"
    with pytest.raises(ContextOverflow):
        await recipe().dialogue(SEED, POOL, Scripted(lambda request: ContextOverflow("too long")), Random(0))


async def test_without_grammars_the_same_is_asked_in_words() -> None:
    engine = Scripted(lambda request: Unsupported("m: no grammar") if request.grammar else said(*FOUR)(request))
    with pytest.raises(Unsupported, match="m: no grammar; --no-grammar asks for the same form in words"):
        await recipe().dialogue(SEED, POOL, engine, Random(0))
    found = await recipe(grammar="false").dialogue(SEED, POOL, engine, Random(0))
    assert found.summary
    assert system(engine.requests[0]) == system(engine.requests[1])


# ---- bad input ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"topic": ["Opera", " "]}, "--topic ' ?': '' is 0 words; expected a topic of 1 to 20"),
        ({"topic": ["well " * 21]}, "is 21 words; expected a topic of 1 to 20"),
        (
            {"topic": ["Bananas"], "outline": str(HERE / "diasynth_outline.jsonl")},
            "no topic 'Bananas'; it has Remote W",
        ),
        ({"low": "9", "high": "8"}, "low 9 and high 8: expected low <= high"),
        ({"few_shots": "-1"}, "few_shots is -1, expected at least 0"),
        ({"personas_per_subtopic": "1"}, "personas_per_subtopic is 1, expected at least 2"),
        (
            {"exemplars": str(HERE / "spc_personas.jsonl")},
            r"spc_personas\.jsonl:1: has .*'text'.*; expected the keys 'dialo",
        ),
        ({"characteristics": str(HERE / "spc_personas.jsonl")}, "not JSON"),
        ({"topics": "/nonexistent/topics.txt"}, "not a file; give the path of one"),
    ],
)
async def test_bad_input_costs_no_call(tmp_path: Path, fields: dict[str, Any], says: str) -> None:
    engine = Scripted(clerk)
    with pytest.raises(UserError, match=says):
        await ran(planned(recipe(**fields), tmp_path / "run"), engine)
    assert not engine.requests
    assert not (tmp_path / "run/run.json").exists()


async def test_ten_thousand_topics_cost_what_the_dialogues_need(tmp_path: Path) -> None:
    path = tmp_path / "topics.txt"
    path.write_text("\n".join(f"Street number {number}" for number in range(10_000)))
    found, facts, engine = await made(planned(recipe(topics=str(path)), tmp_path / "run", 5))
    assert facts["counts"]["seeds"] == 5 == len({dialogue.topic for dialogue in found})
    assert len(engine.requests) == 4 * 5


def test_the_same_topic_comes_once(tmp_path: Path) -> None:
    path = tmp_path / "topics.txt"
    path.write_text("Remote Work\n\n remote  work \nＲemote Work\nPets\nRent, and who pays it\n", encoding="utf-8")
    assert topics.topics(path, ()) == ["Remote Work", "Pets", "Rent, and who pays it"]


# ---- the dataset ----------------------------------------------------------------------------------------------------


async def test_rows_of_the_dataset(tmp_path: Path) -> None:
    (found, *_), _, _ = await made(planned(recipe(), tmp_path))
    (row,), (short,), both = list(dialogues(found)), list(summaries(found)), list(chats(found))
    assert (row["speaker_1"], row["persona_1"]) == ("#Person1#", found.personas[0].traits[0])
    assert [row[name] for name in SHAPED] == [(found.characteristics or {})[name.replace("_", " ")] for name in SHAPED]
    assert (row["reasoning"], row["few_shots"]) == (found.reasoning, list(found.exemplars))
    assert short == {"id": found.id, "dialogue": found.text(), "summary": found.summary, "topic": found.subtopic}
    assert [each["assistant"] for each in both] == ["#Person1#", "#Person2#"]
    for each, persona in zip(both, found.personas, strict=True):
        first, *rest = each["messages"]
        assert first["role"] == "system"
        assert f"You are this person: {persona.traits[0]}" in first["content"]
        assert [message["role"] for message in rest[:2]] == ["user", "assistant"]
        assert found.reasoning not in json.dumps(each)


async def test_rows_of_the_ablations(tmp_path: Path) -> None:
    (found, *_), _, _ = await made(planned(recipe("paper"), tmp_path / "a", preset="paper"))
    (row,) = dialogues(found)
    assert (row["speaker_1"], row["notes"], row["formality"]) == (None, [UNASSIGNED], None)
    assert [told["speaker"] for told in _sample(found)["personas"]] == [persona.id for persona in found.personas]
    assert form_of(row, "row", TABLES).read(row, "x", "row").dialogue.profiles == {}
    assert all(found.personas[1].traits[0] in each["messages"][0]["content"] for each in chats(found))
    (found, *_), _, _ = await made(planned(recipe(personas="false", subtopics="false"), tmp_path / "b"))
    (row,) = dialogues(found)
    assert (row["persona_1"], row["subtopic"]) == (None, None)
    assert next(summaries(found))["topic"] == found.topic
    with pytest.raises(BuildError, match="has no origin"):
        list(dialogues(from_json({"id": "x", "turns": []})))
