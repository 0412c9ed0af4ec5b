"""Targets and prompts of state trackers: written, read back, changed, refused."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from llguidance import LLMatcher, LLTokenizer

from synthesis.dialogue import Turn
from synthesis.errors import ReadingError, UserError
from synthesis.server.grammar import source
from synthesis.server.protocol import Grammar
from synthesis.task_oriented.ontology import Domain, Ontology, Slot
from synthesis.task_oriented.state import SYSTEM, USER, first_values
from synthesis.task_oriented.state_form import Form, change, changed, json_schema, read, read_change, write

ONTOLOGY = Ontology(
    (
        Domain(
            "hotel",
            "places to sleep",
            (
                Slot("hotel", "stars", "how good it is", ("3", "4")),
                Slot("hotel", "area", "part of town", ("north", "south")),
                Slot("hotel", "name", "what it is called"),
            ),
        ),
        Domain("police", "help", ()),
        Domain("taxi", "rides", (Slot("taxi", "leaveat", "when it leaves"),)),
    )
)
STATE = {"taxi-leaveat": "10:15|10:20", "hotel-area": "north", "hotel-stars": "dontcare"}
TURNS = (Turn(USER, "A hotel,\n in the north."), Turn(SYSTEM, "How many stars?"), Turn(USER, "Four."))

names = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="-"), min_size=1)
states = st.dictionaries(st.builds("{}-{}".format, names, st.text(min_size=1)), st.text(), max_size=5)
orders = st.lists(st.sampled_from(["hotel-stars", "hotel-area", "taxi-leaveat"]), unique=True)


def test_a_target_is_in_the_schemas_order_and_has_the_first_values() -> None:
    assert Form(ONTOLOGY).target({}, STATE) == (
        '{"hotel":{"stars":"dontcare","area":"north"},"taxi":{"leaveat":"10:15"}}'
    )
    assert Form().target({}, STATE) == ('{"hotel":{"area":"north","stars":"dontcare"},"taxi":{"leaveat":"10:15"}}')
    assert Form(ONTOLOGY).target(STATE, {}) == "{}"


def test_a_delta_says_what_came_what_changed_and_what_went() -> None:
    form = Form(ONTOLOGY, delta=True)
    after = {"hotel-area": "south", "taxi-leaveat": "10:15", "hotel-name": "the swan"}
    target = form.target(STATE, after)
    assert target == '{"hotel":{"stars":null,"area":"south","name":"the swan"}}'
    assert form.read(target, STATE) == after
    assert form.target(STATE, STATE) == "{}"


def test_slots_that_the_schema_lacks_come_after_it_by_name() -> None:
    told = {"zoo-animal": "owl", "bus-day": "monday", "taxi-leaveat": "9:00"}
    assert write(told, ONTOLOGY.slots) == ('{"taxi":{"leaveat":"9:00"},"bus":{"day":"monday"},"zoo":{"animal":"owl"}}')


@given(states, orders)
def test_what_was_written_reads_back(state: dict[str, str], order: list[str]) -> None:
    once = first_values(state)
    text = write(once, order)
    assert read(text) == once
    assert write(read(text), order) == text


@given(states, states)
def test_a_change_leads_from_the_one_state_to_the_other(before: dict[str, str], after: dict[str, str]) -> None:
    made = change(before, after)
    assert changed(first_values(before), made) == first_values(after)
    assert read_change(write(made)) == made
    assert change(after, after) == {}


def inside(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(values) | st.dictionaries(st.text(), values)


@given(st.text() | st.recursive(st.none() | st.booleans() | st.integers() | st.text(), inside).map(json.dumps))
def test_anything_else_is_refused_and_never_guessed(text: str) -> None:
    with contextlib.suppress(ReadingError):
        found = read_change(text)
        assert read_change(write(found)) == found
        assert None in found.values() or read(text) == found


@pytest.mark.parametrize(
    "text",
    [
        "",
        "The user wants a hotel.",
        '{"hotel": {"area": "north"}',
        '{"hotel": {"area": "north"}} Anything else?',
        '[{"hotel": {"area": "north"}}]',
        '{"hotel-area": "north"}',
        '{"hotel": {"stars": 4}}',
        '{"hotel": {"area": ["north"]}}',
        '{"hotel": {"area": " "}}',
        '{"hotel": {"area": null}}',
        '{"hotel": {"": "north"}}',
        '{"": {"area": "north"}}',
        '{"ho-tel": {"area": "north"}}',
        '{"hotel": {"area": "north", "area": "south"}}',
        '{"hotel": {"area": "\\ud800"}}',
        "[" * 100_000,
    ],
)
def test_prose_half_json_and_other_shapes_are_refused(text: str) -> None:
    with pytest.raises(ReadingError, match="expected"):
        read(text)


def test_a_domain_without_slots_is_absent_and_a_null_is_for_changes() -> None:
    assert read(' {"hotel": {}, "taxi": {"leaveat": " 9:00 "}}\n') == {"taxi-leaveat": "9:00"}
    assert read_change('{"hotel": {"area": null}}') == {"hotel-area": None}
    assert changed({}, {"hotel-area": None}) == {}


def test_a_state_without_domains_is_refused() -> None:
    with pytest.raises(UserError, match="slot 'area' of a state: expected domain-slot"):
        write({"area": "north"})


def test_a_prompt_is_task_turns_and_cue() -> None:
    prompt = Form().prompt(TURNS, STATE)
    assert prompt.lines == ("User: A hotel, in the north.", "System: How many stars?", "User: Four.")
    assert prompt.text().splitlines() == [prompt.head, *prompt.lines, "State:"]
    assert prompt.text(without=2).splitlines() == [prompt.head, "User: Four.", "State:"]
    assert prompt.text().endswith(":\n")
    assert "10:15" not in prompt.text()


def test_a_prompt_may_have_the_schema_and_of_a_delta_has_the_state_before() -> None:
    prompt = Form(ONTOLOGY, schema=True, delta=True).prompt(TURNS, STATE)
    assert prompt.head.splitlines()[1:] == [
        "hotel: places to sleep",
        "- stars: how good it is (3, 4)",
        "- area: part of town (north, south)",
        "- name: what it is called",
        "taxi: rides",
        "- leaveat: when it leaves",
    ]
    assert prompt.tail == ('State: {"hotel":{"stars":"dontcare","area":"north"},"taxi":{"leaveat":"10:15"}}\nChange:')
    with pytest.raises(UserError, match="needs an ontology"):
        Form(schema=True)


def test_the_json_schema_has_lists_and_dontcare_and_for_changes_null() -> None:
    hotel = json_schema(ONTOLOGY)["properties"]["hotel"]
    assert list(json_schema(ONTOLOGY)["properties"]) == ["hotel", "taxi"]
    assert hotel["properties"] == {
        "stars": {"enum": ["3", "4", "dontcare"]},
        "area": {"enum": ["north", "south", "dontcare"]},
        "name": {"type": "string", "minLength": 1},
    }
    assert hotel["additionalProperties"] is False
    change = Form(ONTOLOGY, delta=True).grammar()["properties"]["hotel"]["properties"]
    assert change["stars"] == {"enum": ["3", "4", "dontcare", None]}
    assert change["name"] == {"anyOf": [{"type": "string", "minLength": 1}, {"type": "null"}]}


def test_an_ontology_without_slots_or_none_gives_no_grammar() -> None:
    with pytest.raises(UserError, match="no slots to track"):
        json_schema(Ontology((Domain("police", "help", ()),)))
    with pytest.raises(UserError, match="needs an ontology"):
        Form().grammar()


@pytest.mark.parametrize("delta", [False, True])
def test_a_grammar_of_the_schema_takes_targets_and_nothing_beside_them(delta: bool) -> None:
    form = Form(ONTOLOGY, delta=delta)
    before = {"hotel-stars": "3", "hotel-name": "the swan"}
    after = {"hotel-name": 'the "black" swän', "hotel-area": "north", "taxi-leaveat": "10:15|10:20"}
    target = form.target(before, after)
    assert taken(form, target)
    assert taken(form, "{}")
    for other in ('{"hotel":{"area":"east"}}', '{"hotel":{"area":"north","stars":"3"}}', '{"zoo":{"animal":"owl"}}'):
        assert not taken(form, other)
    assert taken(form, '{"hotel":{"area":null}}') is delta


def taken(form: Form, text: str) -> bool:
    """Whether the embedded server's grammar lets a model write `text`, and stop there."""
    tokenizer = LLTokenizer("byte")
    matcher = LLMatcher(tokenizer, source(Grammar("json", form.grammar())))
    tokens = tokenizer.tokenize_str(text)
    return matcher.validate_tokens(tokens) == len(tokens) and matcher.consume_tokens(tokens) and matcher.is_accepting()
