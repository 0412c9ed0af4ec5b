"""Trackers at work: states asked for and read back, what cannot be read, deltas over predictions, resume."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from synthesis.engine import Reply, Request
from synthesis.engines.scripted import Scripted
from synthesis.errors import ContextOverflow, UserError
from synthesis.task_oriented import ontology
from synthesis.task_oriented.state import first_values, tracked
from synthesis.task_oriented.state_form import Form
from tests.fake_tgi import MODEL, FakeTgi
from tests.serving import tiny_folder
from tests.tracked_talks import HOTEL, TOWN, talk, written
from training.tracking.examples import Examples
from training.tracking.predict import content, main
from training.tracking.states import read_gold, read_predictions
from training.tracking.tracker import CUT_OFF, TOO_LONG, UNREADABLE, Tracker, Written

FORM = Form(ontology.read(TOWN))
DELTA = Form(FORM.ontology, delta=True)
GOLD = {number: first_values(state) for number, state in tracked(HOTEL)}


def states(tracker: Tracker) -> dict[int, Written]:
    return {written.turn[1]: written for written in asyncio.run(tracker.states([HOTEL]))}


@pytest.mark.parametrize("form", [FORM, Form(FORM.ontology, schema=True), DELTA])
def test_a_model_that_wrote_what_it_learned_gives_the_gold_states(form: Form) -> None:
    """Training and prediction put the same prompts: the script answers each by its example."""
    learned = {row["prompt"]: row["completion"] for row in Examples(form).rows(HOTEL, "talks")}
    engine = Scripted(lambda request: learned[str(request.prompt)])
    found = states(Tracker(engine, form, 500))
    assert {turn: one.state for turn, one in found.items()} == GOLD
    assert not any(one.invalid for one in found.values())
    first = engine.requests[0]
    assert (first.temperature, first.max_new_tokens, first.stop, first.grammar) == (None, 500, ("\n",), None)


def test_with_a_grammar_the_ontology_is_its_schema() -> None:
    engine = Scripted(lambda request: "{}")
    states(Tracker(engine, DELTA, 500, grammar=True))
    grammar, stop = engine.requests[0].grammar, engine.requests[0].stop
    assert grammar is not None
    assert (grammar.kind, grammar.value, stop) == ("json", DELTA.grammar(), ())


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("He wants a hotel.", UNREADABLE),
        ('{"hotel": {"area": ["north"]}}', UNREADABLE),
        ('{"hotel": "north"}', UNREADABLE),
        ("", UNREADABLE),
        (Reply('{"hotel":{"area":"no', "length", 9, 9), CUT_OFF),
        (ContextOverflow("too many tokens"), TOO_LONG),
    ],
)
def test_what_is_no_state_counts_as_an_empty_one_and_says_why(line: Any, reason: str) -> None:
    said = {0: '{"hotel":{"area":"south"}}', 2: line}

    def reply(request: Request) -> Any:
        turn = str(request.prompt).count("\nUser: ") * 2 - 2
        return said.get(turn, "{}")

    found = states(Tracker(Scripted(reply), FORM, 500))
    assert (found[0].state, found[0].invalid) == ({"hotel-area": "south"}, "")
    assert (found[2].state, found[2].invalid) == ({}, reason)
    row = found[2].to_json()
    raw = "" if isinstance(line, Exception) else line.text if isinstance(line, Reply) else line
    assert (row["state"], row["invalid"], row["reason"], row["raw"]) == ({}, True, reason, raw)
    assert "invalid" not in found[0].to_json()


def test_a_delta_goes_on_from_what_was_predicted_last() -> None:
    """South, not gold's north; an unreadable change is an empty state, the next turn goes on from the one before."""
    lines = ['{"hotel":{"area":"south"}}', "prose", '{"taxi":{"arriveby":"09:00"}}', '{"hotel":{"area":null}}']
    engine = Scripted(lines)
    found = states(Tracker(engine, DELTA, 500))
    south = {"hotel-area": "south"}
    assert [found[turn].state for turn in (0, 2, 4, 6)] == [
        south,
        {},
        {**south, "taxi-arriveby": "09:00"},
        {"taxi-arriveby": "09:00"},
    ]
    told = [str(request.prompt).partition("\nState: ")[2].splitlines()[0] for request in engine.requests]
    told_south = '{"hotel":{"area":"south"}}'
    assert told == ["{}", told_south, told_south, '{"hotel":{"area":"south"},"taxi":{"arriveby":"09:00"}}']


def test_a_history_that_is_too_long_is_cut_and_a_turn_that_is_too_long_is_not_asked() -> None:
    engine = Scripted(lambda request: "{}")
    found = states(Tracker(engine, FORM, 500, fits=lambda text: len(text.split()) <= 24))
    assert [found[turn].turns_cut for turn in (0, 2, 4, 6)] == [0, 1, 3, 5]
    assert all(len(str(request.prompt).split()) <= 24 for request in engine.requests)
    nothing = states(Tracker(Scripted([]), FORM, 500, fits=lambda text: False))
    assert {one.invalid for one in nothing.values()} == {TOO_LONG}


def test_predictions_are_files_that_the_scorer_reads_and_a_rerun_asks_nothing(tmp_path: Path) -> None:
    """Of a model that says words and no states: all are empty, counted, and kept in the journal."""
    data, out = (
        written(tmp_path / "talks.jsonl", HOTEL, talk("t-2", ("hotel", "Hi.", "Yes?", {}))),
        tmp_path / "p.jsonl",
    )

    async def twice() -> tuple[bytes, int, int]:
        async with FakeTgi() as server:
            flags = ["--data", data, "--ontology", str(TOWN), "--endpoint", server.url, "--out", str(out)]

            def asked() -> int:
                return sum(request.path == "/generate" for request in server.requests)

            await asyncio.to_thread(main, flags)
            first, number = out.read_bytes(), asked()
            await asyncio.to_thread(main, flags)
            return first, number, asked()

    first, number, in_all = asyncio.run(twice())
    assert number == in_all == 5
    assert out.read_bytes() == first
    predicted = read_predictions(out, read_gold(data))
    assert (len(predicted.states), predicted.missing, len(predicted.invalid)) == (5, (), 5)
    facts = json.loads((tmp_path / "p.facts.json").read_text())
    assert (facts["model"], facts["invalid"], facts["requests"]) == (f"{MODEL}@0123456789abcdef", {UNREADABLE: 5}, 5)


def test_a_folder_is_served_and_held_to_the_grammar(tmp_path: Path) -> None:
    """A tiny random model can write nothing but a state's beginning; its replies are kept under its weights."""
    out = tmp_path / "p.jsonl"
    model = str(tiny_folder())
    flags = ["--data", written(tmp_path / "talks.jsonl", HOTEL), "--ontology", str(TOWN), "--model", model]
    main([*flags, "--grammar", "--max-new-tokens", "40", "--out", str(out)])
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert [row["turn"] for row in rows] == [0, 2, 4, 6]
    domains = {domain.name for domain in ontology.read(TOWN).domains}
    for row in rows:
        assert row["state"] or row["raw"].startswith("{")
        assert {name.partition("-")[0] for name in row["state"]} <= domains
    facts = json.loads((tmp_path / "p.facts.json").read_text())
    assert (facts["max_length"], facts["grammar"], facts["model"]) == (512, True, model)
    assert content(tiny_folder()) != content(tiny_folder(seed=1))


def test_flags_that_cannot_go_together_are_refused(tmp_path: Path) -> None:
    data = written(tmp_path / "talks.jsonl", HOTEL)
    flags = ["--data", data, "--ontology", str(TOWN), "--out", str(tmp_path / "p.jsonl")]
    with pytest.raises(UserError, match="--endpoint-model"):
        main([*flags, "--model", "x", "--endpoint-model", "y"])

    async def short() -> None:
        async with FakeTgi(max_total_tokens=300) as server:
            await asyncio.to_thread(main, [*flags, "--endpoint", server.url])

    with pytest.raises(UserError, match="lower --max-new-tokens"):
        asyncio.run(short())
