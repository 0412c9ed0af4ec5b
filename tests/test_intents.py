"""Intents: the twelve labels and what each role is told; plans from files, by the prior, copied, or by a chain."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthesis.dialogue import Turn
from synthesis.errors import UserError
from synthesis.intents.drawing import PRIOR, Chain, Copied, Prior
from synthesis.intents.labels import AGENT, INTENTS, PROVIDERS, ROLES, SEEKERS, USER, check, contradiction
from synthesis.intents.plans import Plan, Step, load, made, told
from synthesis.words import words

LABELS = {
    "CQ": ("Question", "Response"),
    "FD": ("Response", "Response"),
    "FQ": ("Question", "Question"),
    "GG": ("Gratitude", "Gratitude"),
    "IR": ("Response", "Question"),
    "JK": ("Gibberish", "Gibberish"),
    "NF": ("Negative Feedback", "Negative Feedback"),
    "O": ("System Error", "System Error"),
    "OQ": ("Question", "Question"),
    "PA": ("Response", "Response"),
    "PF": ("Feedback", "Feedback"),
    "RQ": ("Third Participant", "Third Participant"),
}
"""Twelve intents, and what a turn of user and agent is called."""
SAME = {"FD", "JK", "O", "PA", "RQ"}
"""Intents of which both roles are told the same."""
COMBOS = [tuple(name.split("_")) for name in PRIOR]


def short(plan: Plan) -> list[str]:
    return [f"{step.role[0]}:{'_'.join(step.intents)}" for step in plan.steps]


# ---- labels ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", LABELS)
def test_the_table_has_twelve_intents_for_two_roles(code: str) -> None:
    assert list(INTENTS) == sorted(LABELS)
    intent = INTENTS[code]
    assert (intent.label(USER), intent.label(AGENT)) == LABELS[code]
    assert (intent.instruction(USER) == intent.instruction(AGENT)) == (code in SAME)
    for role in ROLES:
        instruction = intent.instruction(role)
        assert instruction.endswith(".")
        assert 4 <= len(words(instruction)) <= 20
        assert not re.search(r"\b[A-Z]{2}\b", instruction), "a code would leak into what is said"


def test_no_two_intents_are_told_the_same() -> None:
    for role in ROLES:
        assert len({intent.instruction(role) for intent in INTENTS.values()}) == 12


def test_labels_are_sorted_and_unknown_ones_listed_with_the_known() -> None:
    assert check(["NF", "FD", "NF"], "here") == ("FD", "NF")
    with pytest.raises(UserError, match="line 3: unknown intent 'XX'; the intents are CQ ") as caught:
        check(["PA", "XX"], "line 3")
    assert all(f"{code} (" in str(caught.value) for code in LABELS)
    with pytest.raises(UserError, match="line 3: no intent"):
        check([], "line 3")


def test_roles_have_intents_of_their_own() -> None:
    for code in LABELS:
        assert (contradiction(USER, [code]) is None) == (code not in PROVIDERS)
        assert (contradiction(AGENT, [code]) is None) == (code not in SEEKERS)
    assert contradiction(AGENT, ["FD", "NF"]) == "Agent with FD+NF: NF is for the User alone"
    assert "PF is for the User alone and PA for the Agent" in str(contradiction(USER, ["PF", "PA"]))


# ---- plans ----------------------------------------------------------------------------------------------------------


def test_labels_alone_take_the_role_that_has_them_or_whose_turn_it_is() -> None:
    assert short(made(["OQ", "IR", "FD", "PA", "NF_FD"], "x")) == ["U:OQ", "A:IR", "U:FD", "A:PA", "U:FD_NF"]
    assert short(made(["OQ", "PA", "PA", "FD+PF", "GG"], "x")) == ["U:OQ", "A:PA", "A:PA", "U:FD_PF", "A:GG"]


def test_a_plan_comes_back_from_its_rows_and_from_its_turns() -> None:
    plan = made(["OQ", "FD_PA", {"role": "user", "intents": ["PF", "GG"]}], "x")
    assert made(json.loads(json.dumps(plan.rows())), "y") == plan
    assert Plan.of([Turn(step.role, "Hm.", step.intents) for step in plan.steps]) == plan


@given(st.lists(st.sampled_from(COMBOS), min_size=1, max_size=9), st.randoms(use_true_random=False))
def test_any_plan_survives_json_and_alternates_on_demand(combos: list[tuple[str, ...]], rng: Random) -> None:
    plan = Plan((Step(USER, ("OQ",)), *(Step(rng.choice(ROLES), combo) for combo in combos)))
    assert made(json.loads(json.dumps(plan.rows())), "x", "free") == plan
    strict = plan.alternating()
    assert [step.role for step in strict.steps] == [ROLES[at % 2] for at in range(len(plan.steps))]
    assert [step.intents for step in strict.steps] == [step.intents for step in plan.steps]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["PA", "OQ"], "p: begins with Agent PA; a plan begins with the original question, User OQ"),
        (["FD", "PA"], "p: begins with User FD"),
        (["OQ"], "p: expected a list of at least two turns"),
        ("OQ", "p: expected a list of at least two turns"),
        (["OQ", "XY"], "p, turn 2: unknown intent 'XY'"),
        (["OQ", "PA_PF"], "p, turn 2: .*PF is for the User alone and PA for the Agent.*--roles free"),
        (["OQ", {"role": "Agent", "intents": ["FQ"]}], "p, turn 2: Agent with FQ: FQ is for the User alone"),
        ([{"role": "Agent", "intents": "OQ"}, "PA"], "p, turn 1: Agent with OQ"),
        (["OQ", {"role": "Bot", "intents": ["PA"]}], "p, turn 2: role 'Bot'; the roles are User, Agent"),
        (["OQ", 7], "p, turn 2: expected labels"),
        (["OQ", {"intents": [7]}], "p, turn 2: expected labels"),
        (["OQ", ""], "p, turn 2: no intent"),
    ],
)
def test_what_cannot_be_a_plan_is_refused_by_place(rows: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        made(rows, "p")


ANY = st.recursive(
    st.none() | st.integers() | st.sampled_from(["OQ", "PA_FD", "User", "NF", "?"]) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["role", "intents", "x"]), inner),
)


@given(st.lists(ANY, max_size=4) | ANY)
def test_any_json_is_a_plan_or_refused(rows: Any) -> None:
    try:
        plan = made(rows, "p")
    except UserError:
        return
    assert made(plan.rows(), "p") == plan
    assert plan.steps[0].role == USER


def test_free_roles_take_what_rules_refuse() -> None:
    rows = ["OQ", {"role": "Agent", "intents": ["FQ"]}, "PA_PF"]
    assert short(made(rows, "p", "free")) == ["U:OQ", "A:FQ", "U:PA_PF"]


# ---- files ----------------------------------------------------------------------------------------------------------


def written(folder: Path, content: Any, name: str = "sequences.json") -> Path:
    path = folder / name
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def msdialog(*dialogues: list[tuple[str, str]]) -> dict[str, Any]:
    """An MSDialog-Intent file with these actor types and tags."""
    return {
        str(number): {
            "title": "Where is my file",
            "category": "Word",
            "utterances": [
                {"utterance_pos": at, "actor_type": role, "tags": tags, "utterance": "Hello.", "is_answer": 0}
                for at, (role, tags) in enumerate(dialogue, 1)
            ],
        }
        for number, dialogue in enumerate(dialogues, 1)
    }


def test_a_file_of_ours(tmp_path: Path) -> None:
    path = written(tmp_path, [["OQ", "PA"], ["OQ", "IR", "FD", "PA_FD"]])
    assert [short(plan) for plan in load(path, 10)] == [["U:OQ", "A:PA"], ["U:OQ", "A:IR", "U:FD", "A:FD_PA"]]
    with pytest.raises(UserError, match=r"sequences.json\[1\]: 4 turns, more than --high 3"):
        load(path, 3)


def test_a_file_of_msdialog(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "synthesis")
    path = written(
        tmp_path,
        msdialog(
            [("User", "OQ GG "), ("Agent", "PA"), ("Agent", "FD PA"), ("User", "PF GG")],
            [("User", "OQ"), ("Agent", "FQ")],
            [("Agent", "PA"), ("User", "GG O")],
            [("User", "OQ")],
            [("User", "OQ"), ("Agent", " ")],
        ),
    )
    (plan,) = load(path, 10)
    assert short(plan) == ["U:OQ", "A:PA", "A:FD_PA", "U:PF"], "roles are the file's, greetings beside others go"
    assert "4 of 5 left out" in caplog.text
    assert len(load(path, 10, "free")) == 2, "a turn without labels is no step whatever the rules"
    assert short(load(path, 2)[0]) == ["U:OQ", "A:PA"]


@pytest.mark.parametrize(
    ("labels", "left"),
    [(["FD", "GG"], ["FD"]), (["GG", "O"], ["O"]), (["GG", "JK"], ["JK"]), (["GG"], ["GG"]), (["O", "PA"], ["PA"])],
)
def test_labels_without_content_count_only_by_themselves(labels: list[str], left: list[str]) -> None:
    assert told(labels) == left


COMPLETE = {"20481": {"title": "x", "utterances": [{"actor_type": "User", "utterance": "Hi", "vote": 0}]}}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.json", COMPLETE, r"utterance 1 of dialogue 20481 has \['actor_type', .*as in MSDialog-Complete; expected"),
        ("a.tsv", "1\tHow do I", "tab-separated lines, as MSDialog-ResponseRank has; expected MSDialog-Intent.json"),
        ("a.json", {"1": ["OQ"]}, "dialogue 1 has no utterances but"),
        ("a.json", msdialog([("User", "OQ"), ("Robot", "PA")]), "utterance 2: role 'Robot'"),
        ("a.json", msdialog([("User", "OQ"), ("Agent", "PA ZZ")]), "utterance 2: unknown intent 'ZZ'; the intents"),
        ("a.json", msdialog([("User", "FD"), ("Agent", "PA")]), "no dialogue of it can be a plan; .*begins with User"),
        ("a.json", {}, "no dialogue of it can be a plan; it is empty"),
        ("a.json", [], "expected a list of plans"),
        ("a.json", "OQ, PA", "not JSON"),
        ("a.json", "", "the file is empty"),
    ],
)
def test_another_file_is_refused_with_what_it_has(tmp_path: Path, name: str, content: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        load(written(tmp_path, content, name), 10)


# ---- drawing --------------------------------------------------------------------------------------------------------


def test_the_prior_keeps_roles_and_counts() -> None:
    assert len(PRIOR) == 32
    assert all(name == "_".join(check(name.split("_"), name)) for name in PRIOR)
    drawn = [Prior(3, 6).draw(Random(seed)) for seed in range(2000)]
    assert Counter(len(plan.steps) for plan in drawn).keys() == {3, 4, 5, 6}
    for plan in drawn:
        assert plan.steps[0] == Step(USER, ("OQ",))
        assert plan.alternating() == plan
        for at, step in enumerate(plan.steps[1:], 1):
            assert "OQ" not in step.intents
            assert contradiction(*step) is None
            if {"PF", "NF"} & set(step.intents):
                assert any("PA" in before.intents for before in plan.steps[:at]), "feedback on nothing"
    second = Counter(plan.steps[1].intents for plan in drawn)
    assert second[("PA",)] / second[("FD", "PA")] == pytest.approx(2482 / 524, rel=0.2)


def test_a_chain_goes_where_its_file_went_and_as_often() -> None:
    plans = [made(rows, "x") for rows in (["OQ", "PA", "PF"], ["OQ", "PA", "NF", "PA"], ["OQ", "IR", "FD", "PA"])]
    chain = Chain(plans, 10)
    pairs = {pair for plan in plans for pair in zip(plan.steps, plan.steps[1:], strict=False)}
    drawn = [chain.draw(Random(seed)) for seed in range(600)]
    assert {pair for plan in drawn for pair in zip(plan.steps, plan.steps[1:], strict=False)} == pairs
    assert {plan.steps[-1].intents[0] for plan in drawn if len(plan.steps) < 10} == {"PF", "PA"}
    share = sum(plan.steps[1].intents == ("PA",) for plan in drawn) / 600
    assert share == pytest.approx(2 / 3, abs=0.06), "two of three plans go on with PA"
    assert max(len(plan.steps) for plan in drawn) > 4, "some go round by NF"
    assert all(len(chain.draw(Random(seed)).steps) >= 2 for seed in range(50))
    assert all(len(Chain(plans, 3).draw(Random(seed)).steps) <= 3 for seed in range(50))


def test_copies_are_drawn_evenly() -> None:
    plans = [made(["OQ", "PA"], "x"), made(["OQ", "IR"], "x")]
    drawn = Counter(Copied(plans).draw(Random(seed)) for seed in range(400))
    assert set(drawn) == set(plans)
    assert min(drawn.values()) > 150
