"""The recipe spc from attributes to dialogues, by a scripted model: with the sentence encoder itself."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import re
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest

from synthesis.consistency import Consistency
from synthesis.dialogue import Dialogue, Rejected, Turn, from_json
from synthesis.encoder import OFFLINE, encode
from synthesis.engine import Info, Request
from synthesis.engines.scripted import Scripted, spoken
from synthesis.errors import ContextOverflow, Unsupported, UserError
from synthesis.expansion import Expansion, expand
from synthesis.known import Known
from synthesis.outcomes import Shard
from synthesis.persona_chat import held
from synthesis.personas import Sampling
from synthesis.reading import USERS
from synthesis.recipe import Dropped, Pool, Seed, make
from synthesis.recipes.spc import HERE, Spc
from synthesis.run import Plan
from tests.clerk import clerk
from tests.clerk_runs import MADE, ran, rows
from tests.tiny_cross_encoder import make_cross_encoder
from tests.vectors import Dawdling

ATTRIBUTES = [json.loads(line)["text"] for line in (HERE / "spc_personas.jsonl").read_text().splitlines()]
SMALL = {
    "rounds": "2",
    "growth": "0.1",
    "query_steps": "2",
    "iterations": "3",
    "profiles": "24",
    "cluster_size": "12",
    "candidates": "2",
    "exemplars_per_prompt": "2",
}


@pytest.fixture(scope="module")
def attributes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty of the shipped attributes, one a line."""
    path = tmp_path_factory.mktemp("attributes") / "sixty.txt"
    path.write_text("\n".join(ATTRIBUTES[:60]), encoding="utf-8")
    return path


@pytest.fixture
def small(attributes: Path) -> Callable[..., Spc]:
    """A small spc of a preset, with other fields if given."""

    def of(preset: str = "improved", **fields: str) -> Spc:
        made: Spc = make(Spc, preset, {**SMALL, "personas": str(attributes), **fields})
        return made

    return of


def planned(recipe: Spc, folder: Path, n: int = 5, preset: str = "improved", **given: Any) -> Plan:
    return Plan(recipe, preset, folder, n, 0, Info("clerk", "tgi"), **given)


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in MADE}


def prompt(request: Request) -> str:
    return request.messages[-1][1]


# ---- whole runs -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("preset", ["improved", "paper", "laptop"])
async def test_a_whole_run(tmp_path: Path, small: Callable[..., Spc], preset: str) -> None:
    engine = Scripted(clerk)
    facts = await ran(planned(small(preset), tmp_path, 5, preset), engine)
    counts = facts["counts"]
    assert counts["seeds"] == 5 == counts["kept"] + counts["dropped"] + counts["failed"]
    assert counts["kept"] >= 3
    assert counts["failed"] == 0
    assert [each["seeds"] for each in facts["funnel"]] == [5, 5]
    seeds = {row["id"]: row["content"] for row in rows(tmp_path, "seeds.jsonl")}
    for row in rows(tmp_path, "dialogues.jsonl"):
        dialogue = from_json(row)
        content = seeds[dialogue.id]
        assert [list(persona.traits) for persona in dialogue.personas] == content["traits"]
        assert set(dialogue.speakers) == set(USERS)
        assert dialogue.origin is not None
        assert (dialogue.origin.recipe, dialogue.origin.preset) == ("spc", preset)
        assert {stage.name for stage in dialogue.origin.stages} >= {"generation", "toxicity", "faithfulness"}
        assert all(rejected.turns for rejected in dialogue.rejected)
        told = preset != "paper"
        assert [persona.name for persona in dialogue.personas] == (content["names"] if told else [None, None])
        assert dialogue.topic == (content["setting"] if told else None)
    stages = {stage["name"]: stage for stage in facts["stages"]}
    assert sum(stage["requests"] for stage in facts["stages"]) >= len(
        {request.key("m") for request in engine.requests}
    )
    assert stages["generation"]["role"] == "generator"
    assert stages["faithfulness"]["role"] == "critic"
    assert ("comparison" in stages) == (preset != "laptop")
    assert ("negation" in stages) == (preset == "paper")


async def test_prompts_hold_what_they_should(tmp_path: Path, small: Callable[..., Spc]) -> None:
    engine = Scripted(clerk)
    await ran(planned(small(), tmp_path), engine)
    content = {row["id"]: row["content"] for row in rows(tmp_path, "seeds.jsonl")}
    winners = {
        row["id"]: row["dialogue"] for row in rows(tmp_path, "rounds/1/0-of-1.jsonl") if row["outcome"] == "kept"
    }
    asked = [request for request in engine.requests if request.stage == "generation"]
    assert {request.conversation for request in asked} == set(content)
    for request in asked:
        text, own = prompt(request), content[str(request.conversation)]
        target = text[text.index("Write a natural conversation") :]
        assert text.count("Example:") == 2
        assert "is called User" not in text, "an example's people have names as the pair has"
        for user, name, traits in zip(USERS, own["names"], own["traits"], strict=True):
            assert f"is called {name}:\n" + "\n".join(f"- {user}: {trait}" for trait in traits) in target
        assert f"Setting: {own['setting']}" in target
        if request.conversation in winners:
            before = "\n".join(f"{turn['speaker']}: {turn['text']}" for turn in winners[request.conversation]["turns"])
            assert before not in text, "a pair is never its own example"
    shown = [text for request in asked for text in winners.values() if text["turns"][0]["text"] in prompt(request)]
    assert shown, "winners of the first round are examples in the second"


async def test_neither_order_nor_company_shows_in_the_files(tmp_path: Path, small: Callable[..., Spc]) -> None:
    def moody(request: Request) -> str:
        chance = Random(f"{request.stage}{request.seed}{request.messages}").random()
        return "Well, that depends." if chance < (0.5 if request.stage == "faithfulness" else 0.1) else clerk(request)

    for name, in_flight in (("a", 1), ("b", 64), ("c", 3)):
        engine = Dawdling(Scripted(moody), in_flight, 0.001)
        await ran(planned(small(), tmp_path / name, in_flight=in_flight), engine)
    assert bytes_of(tmp_path / "a") == bytes_of(tmp_path / "b") == bytes_of(tmp_path / "c")
    run_files = [json.loads((tmp_path / name / "run.json").read_text()) for name in "abc"]
    assert all(facts | {"seconds": 0} == run_files[0] | {"seconds": 0} for facts in run_files)
    assert rows(tmp_path / "a", "dialogues.jsonl")


@pytest.mark.parametrize("preset", ["improved", "laptop"])
async def test_shards_and_a_replay_give_the_same_bytes(tmp_path: Path, small: Callable[..., Spc], preset: str) -> None:
    await ran(planned(small(preset), tmp_path / "whole"), Scripted(clerk))
    shards = [planned(small(preset), tmp_path / "parts", shard=Shard(index, 2)) for index in (0, 1)]
    found = await asyncio.gather(
        *[ran(plan, Dawdling(Scripted(clerk), at), f"journal-{plan.shard}.sqlite") for at, plan in enumerate(shards)]
    )
    assert bytes_of(tmp_path / "parts") == bytes_of(tmp_path / "whole")
    assert found[0]["counts"] == found[1]["counts"]
    (tmp_path / "replay").mkdir()
    shutil.copy(tmp_path / "whole/journal.sqlite", tmp_path / "replay")
    await ran(planned(small(preset), tmp_path / "replay"), None)
    assert bytes_of(tmp_path / "replay") == bytes_of(tmp_path / "whole")


async def test_nothing_readable_is_dropped_with_its_text(tmp_path: Path, small: Callable[..., Spc]) -> None:
    def mumbling(request: Request) -> str:
        return f"Once upon a time ({request.seed})." if request.stage == "generation" else clerk(request)

    engine = Scripted(mumbling)
    facts = await ran(planned(small(rounds="1"), tmp_path, 2), engine)
    assert facts["counts"] == {"seeds": 2, "kept": 0, "dropped": 2, "failed": 0}
    assert facts["funnel"][0]["dropped"] == {"reading": 2}
    for row in rows(tmp_path, "dropped.jsonl"):
        assert re.fullmatch(r"Once upon a time \(\d+\)\.", row["raw"])
        assert row["reason"].startswith("unreadable: expected turns of User 1 and User 2")
        assert row["attempts"] == 2 * 3, "two candidates, and two resamples"


async def test_no_pairs_is_the_users_matter(tmp_path: Path, small: Callable[..., Spc]) -> None:
    with pytest.raises(UserError, match="no seed could be made"):
        await ran(planned(small(similarity="99"), tmp_path), Scripted(clerk))


async def test_a_bad_file_of_exemplars_costs_no_call(tmp_path: Path, small: Callable[..., Spc]) -> None:
    path = tmp_path / "mine.jsonl"
    path.write_text('{"id": "x", "turns": [{"speaker": "User 1", "text": "Hi!"}]}\n')
    engine = Scripted(clerk)
    with pytest.raises(
        UserError, match=r"exemplars .*mine\.jsonl: 'x' has 0 personas and the speakers User 1; expected"
    ):
        await ran(planned(small(exemplars=str(path)), tmp_path / "run"), engine)
    assert not engine.requests


async def test_files_of_the_user_are_used(tmp_path: Path, small: Callable[..., Spc]) -> None:
    csv = tmp_path / "mine.csv"
    csv.write_text(
        "user 1 personas,user 2 personas,Best Generated Conversation\n"
        '"I ski.","I sing.","User 1: Snow at last!\nUser 2: La la la."\n'
    )
    personas = tmp_path / "mine.jsonl"
    personas.write_text("\n".join(json.dumps({"text": text}) for text in ATTRIBUTES[-40:]))
    engine = Scripted(clerk)
    recipe = small(exemplars=str(csv), personas=str(personas), growth="0", rounds="1", profiles="60")
    await ran(planned(recipe, tmp_path / "run", 2), engine)
    assert {
        trait for row in rows(tmp_path / "run", "seeds.jsonl") for side in row["content"]["traits"] for trait in side
    } <= (set(ATTRIBUTES[-40:]))
    asked = [prompt(request) for request in engine.requests if request.stage == "generation"]
    assert all("Snow at last!" in text and text.count("Example:") == 1 for text in asked)
    assert not any(request.stage == "query induction" for request in engine.requests)


# ---- one dialogue ---------------------------------------------------------------------------------------------------

SEED = Seed(
    "spc-1",
    {
        "traits": [["I restore old wooden boats.", "I keep bees."], ["I teach sailors to swim.", "I bake rye bread."]],
        "names": ["Ada", "Bo"],
        "setting": "They share a bench.",
        "similarity": 3,
    },
)
RECIPE = Spc(**{**Spc.presets["improved"], "rounds": 1, "candidates": 2, "exemplars_per_prompt": 3})
POOL = RECIPE.pool(())


async def test_examples_are_given_up_until_the_context_takes_the_prompt() -> None:
    def narrow(request: Request) -> Any:
        if request.stage == "generation" and prompt(request).count("Example:") > 1:
            return ContextOverflow("too long")
        return clerk(request)

    engine = Scripted(narrow)
    made = await RECIPE.dialogue(SEED, POOL, engine, Random(0))
    assert made.turns
    asked = Counter(prompt(request).count("Example:") for request in engine.requests if request.stage == "generation")
    assert asked[3] == asked[2] == asked[1] >= 2
    seeds = {request.seed for request in engine.requests if request.stage == "generation"}
    assert len(seeds) == asked[1], "the same draw, with fewer examples"


async def test_a_refused_grammar_names_the_flag_that_helps() -> None:
    engine = Scripted(lambda request: Unsupported("m: no regex") if request.grammar else clerk(request))
    with pytest.raises(Unsupported, match="m: no regex; --no-grammar asks for the same form in words"):
        await dataclasses.replace(RECIPE, grammar=True).dialogue(SEED, POOL, engine, Random(0))


async def test_a_prompt_that_never_fits_is_an_error() -> None:
    with pytest.raises(ContextOverflow):
        await RECIPE.dialogue(SEED, POOL, Scripted(lambda request: ContextOverflow("too long")), Random(0))


async def test_an_unreadable_verdict_never_passes() -> None:
    def coy(request: Request) -> str:
        return "I would rather not say." if request.stage == "faithfulness" else clerk(request)

    with pytest.raises(Dropped) as caught:
        await RECIPE.dialogue(SEED, POOL, Scripted(coy), Random(0))
    assert caught.value.stage in ("verdict", "toxicity", "copying", "repetition")
    engine = Scripted(lambda request: "Hm." if request.stage == "toxicity" else clerk(request))
    with pytest.raises(Dropped, match=r"verdict: unreadable verdict: toxicity: .*\(after 3 tries\)"):
        await dataclasses.replace(RECIPE, hygiene=False).dialogue(SEED, POOL, engine, Random(0))


@pytest.mark.parametrize(
    ("low", "high", "turns"),
    [(8, 16, [8, 10, 12, 14, 16]), (12, 14, [12, 14]), (2, 3, [2]), (7, 9, [8]), (13, 13, [13]), (3, 3, [3])],
)
def test_a_grammar_counts_the_turns(low: int, high: int, turns: list[int]) -> None:
    pattern = re.compile(str(held(low, high).value))
    talks = {n: "\n".join(f"User {1 + at % 2}: Oh, is it {at}?" for at in range(n)) for n in range(1, 20)}
    assert [n for n, talk in talks.items() if pattern.fullmatch(talk)] == turns
    assert [n for n, talk in talks.items() if pattern.fullmatch(talk + "\n")] == turns
    assert not pattern.fullmatch(talks[turns[0]].replace("User 2", "User 1"))
    assert not pattern.fullmatch(talks[turns[0]].replace("Oh, is it 1?", " "))


async def test_what_is_cut_off_is_dropped() -> None:
    def wordy(request: Request) -> Any:
        if request.stage == "generation":
            return dataclasses.replace(spoken(clerk(request), request), finish_reason="length")
        return clerk(request)

    with pytest.raises(Dropped, match=r"generation: truncated: at 1024 tokens") as caught:
        await RECIPE.dialogue(SEED, POOL, Scripted(wordy), Random(0))
    assert caught.value.raw.startswith("User 1: ")


def judged(answer: str) -> Callable[[Request], str]:
    """A clerk whose comparisons go to the conversation with the word "before" ("old") or without ("new")."""

    def model(request: Request) -> str:
        if request.stage == "faithfulness":
            count = len(re.findall(r"^\d+\. ", prompt(request), re.MULTILINE))
            return json.dumps({str(at): "unmentioned" for at in range(1, count + 1)})
        if request.stage == "toxicity":
            return "No."
        if request.stage == "comparison":
            first = "the round before" in prompt(request).partition("Conversation 2:")[0]
            return "1" if first == (answer == "old") else "2"
        return clerk(request)

    return model


LOSER = Rejected((Turn("User 1", "Nobody liked this."),), "outvoted", 1.0, 5)


async def before() -> Dialogue:
    made = await RECIPE.dialogue(SEED, POOL, Scripted(judged("new")), Random(1))
    first = dataclasses.replace(made.turns[0], text="Were you here in the round before?")
    return dataclasses.replace(made, turns=(first, *made.turns[1:]), rejected=(LOSER,))


@pytest.mark.parametrize(("answer", "kept"), [("old", True), ("new", False)])
async def test_the_winner_of_the_round_before_defends_its_place(answer: str, kept: bool) -> None:
    old = await before()
    made = await RECIPE.dialogue(SEED, Pool(POOL.exemplars, {SEED.id: old}), Scripted(judged(answer)), Random(2))
    assert (made.turns == old.turns) is kept
    assert made.notes == (("incumbent",) if kept else ())
    beaten = made.rejected[0]
    assert (beaten.reason, beaten.votes, beaten.ballots) == ("outvoted" if kept else "incumbent", 0.0, 5)
    assert (beaten.turns == old.turns) is not kept
    assert all(loser.turns != made.turns for loser in made.rejected)
    assert (LOSER in made.rejected) is kept, "what it has beaten before stays beaten"


async def test_a_model_that_is_too_small_for_verdicts_is_asked_how_likely_it_finds_a_talk() -> None:
    recipe = dataclasses.replace(RECIPE, verdicts="likelihood", hygiene=False)
    told = [f"{trait.removesuffix('.')}, you know." for trait in SEED.content["traits"][0]]
    talks = iter(["Hm, well.", told[0], told[1]] + ["Hm, well."] * 9)

    def model(request: Request) -> Any:
        if request.stage == "generation":
            return f"User 1: {next(talks)}\nUser 2: I see."
        return clerk(request)

    engine = Scripted(model)
    made = await recipe.dialogue(SEED, POOL, engine, Random(0))
    assert made.turns[0].text == told[0], "the one that tells of its profile, of two"
    assert [(each.reason, each.votes, each.ballots) for each in made.rejected] == [("outvoted", 0.0, 1)]
    assert {request.stage for request in engine.requests} == {"generation", "toxicity", "faithfulness"}
    again = await recipe.dialogue(SEED, Pool(POOL.exemplars, {SEED.id: made}), engine, Random(1))
    assert (again.turns, again.notes) == (made.turns, ("incumbent",)), "the second tells less"
    assert (again.rejected[0].reason, again.rejected[0].votes, again.rejected[0].ballots) == ("outvoted", 0.0, 1)

    strange = ", ".join(SEED.content["traits"][1])
    engine = Scripted(
        lambda request: f"User 1: {strange}\nUser 2: Oh." if request.stage == "generation" else model(request)
    )
    with pytest.raises(Dropped, match="faithfulness: likelier with the profiles exchanged"):
        await recipe.dialogue(SEED, POOL, engine, Random(0))


async def test_as_published_there_is_no_defence() -> None:
    old, recipe = await before(), dataclasses.replace(RECIPE, incumbent=False)
    made = await recipe.dialogue(SEED, Pool(POOL.exemplars, {SEED.id: old}), Scripted(judged("old")), Random(2))
    assert made.turns != old.turns


async def test_when_nothing_passes_the_winner_of_the_round_before_stays() -> None:
    old = await before()
    engine = Scripted(lambda request: "Once upon a time." if request.stage == "generation" else clerk(request))
    made = await RECIPE.dialogue(SEED, Pool(POOL.exemplars, {SEED.id: old}), engine, Random(2))
    assert (made.turns, made.notes) == (old.turns, ("incumbent: nothing passed",))
    assert LOSER in made.rejected


def test_exemplars_join_or_replace() -> None:
    winner = dataclasses.replace(POOL.exemplars[0], id="winner")
    replaced = dataclasses.replace(RECIPE, keep_exemplars=False)
    assert [*RECIPE.pool([winner]).exemplars] == [*POOL.exemplars, winner]
    assert [*replaced.pool([winner]).exemplars] == [winner]
    assert [*replaced.pool([]).exemplars] == [*POOL.exemplars]


# ---- expansion, with the real encoder -------------------------------------------------------------------------------

HOW = Expansion(Sampling(0.7), OFFLINE, 2, 0.5, 4, 0.9, 2, None, 6.0)


def test_vectors_are_unit_and_near_for_near_sentences() -> None:
    vectors = encode(["I have two dogs.", "I own two dogs.", "My train was late."])
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-3)
    assert vectors[0] @ vectors[1] > 0.9 > 0.5 > vectors[0] @ vectors[2]
    assert encode([]).shape[0] == 0


def test_an_encoder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be loaded"):
        encode(["I ski."], str(tmp_path / "none"))


def test_known_texts_are_not_taken_twice() -> None:
    known = Known(["I have two dogs."], OFFLINE, 0.9)
    assert known.add(["I own two dogs.", "I fly kites.", "I fly kites."]) == ["I fly kites."]
    assert known.texts == ["I have two dogs.", "I fly kites."]
    assert known.vectors.shape[0] == 2
    assert Known([], OFFLINE, 0.9).add(["I fly kites."]) == ["I fly kites."]


async def test_attributes_grow_by_what_is_wanted() -> None:
    found = [await expand(Dawdling(Scripted(clerk), at, 0.001), ATTRIBUTES[:30], HOW, Random(0)) for at in (1, 2)]
    assert found[0].texts == found[1].texts
    assert found[0].categories == found[1].categories
    assert found[0].texts[:30] == ATTRIBUTES[:30]
    assert 30 < len(found[0].texts) <= 45
    assert len(found[0].texts) == len(found[0].categories) == len(found[0].vectors)
    fresh = found[0].vectors[30:] @ found[0].vectors.T
    fresh[np.arange(len(fresh)), np.arange(30, 30 + len(fresh))] = 0
    assert fresh.max() < 0.9


async def test_without_growth_nobody_is_asked() -> None:
    found = await expand(Scripted([]), ATTRIBUTES[:12], dataclasses.replace(HOW, growth=0.0), Random(0))
    assert found.texts == ATTRIBUTES[:12]
    assert len(set(found.categories)) > 1


async def test_replies_that_cannot_be_read_slow_the_growth_only() -> None:
    def model(request: Request) -> str:
        return "We all ski." if request.stage == "persona bootstrapping" else clerk(request)

    assert (await expand(Scripted(model), ATTRIBUTES[:12], HOW, Random(0))).texts == ATTRIBUTES[:12]


# ---- consistency by a cross-encoder ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cross_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_cross_encoder(tmp_path_factory.mktemp("nli"), contradicting=["hate"], entailing=["swim"])


async def test_by_a_cross_encoder(cross_encoder: Path) -> None:
    check = Consistency("nli", str(cross_encoder))
    both = await asyncio.gather(*[check.contradicts(Scripted([]), "I ski.", ["I hate snow."]) for _ in range(4)])
    assert both == [True] * 4
    engine = Scripted(lambda request: "I do not ski.")
    assert not await Consistency("negation", str(cross_encoder)).contradicts(engine, "I ski.", ["I hate snow."])
    assert {request.stage for request in engine.requests} == {"negation"}


async def test_a_cross_encoder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"--nli .*cannot be loaded"):
        await Consistency("nli", str(tmp_path / "none")).contradicts(Scripted([]), "I ski.", ["I hate snow."])
