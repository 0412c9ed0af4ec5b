"""Simulated conversations over many seeds: what holds of every one by construction, whatever is read of it."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from synthesis.dialogue import Lookup
from synthesis.recipe import Dropped
from synthesis.task_oriented.database import Database
from synthesis.task_oriented.goal_drawing import Drawing, from_database
from synthesis.task_oriented.goals import Goal, Wish
from synthesis.task_oriented.machine import Conversation
from synthesis.task_oriented.ontology import Ontology, read
from synthesis.task_oriented.policy import Policy
from synthesis.task_oriented.state import DONTCARE, SYSTEM, USER, domain_of, slot_name
from synthesis.task_oriented.steps import SYSTEM_KINDS, USER_KINDS, Step, believed
from tests.toy_town import steps, town

DATA = Path(__file__).parents[2] / "shared" / "data"
SHIPPED = Path(__file__).parents[1] / "synthesis" / "recipes" / "luas_ontology"


def drawn(ontology: Ontology, database: Database, rng: Random) -> Goal:
    """A goal of some domains, made up of rows and not always to be satisfied."""
    domains = rng.sample(ontology.domains, rng.randint(1, 3))
    wishes = []
    for domain in sorted(domains, key=lambda each: not each.inventory):
        rows = database.rows(domain.name)
        row = rng.choice(rows) if rows else {slot.name: rng.choice(("09:15", "old mill")) for slot in domain.slots}
        inform = {slot.name: row[slot.name] for slot in domain.search if slot.name in row and rng.random() < 0.6}
        inform |= {slot: DONTCARE for slot in inform if rng.random() < 0.1}
        book = {slot.name: rng.choice(slot.values or ("11:45",)) for slot in domain.booking if rng.random() < 0.7}
        fail = {
            slot: rng.choice(rows)[slot] for slot in inform if rows and inform[slot] != DONTCARE and rng.random() < 0.1
        }
        request = tuple(rng.sample(domain.properties, rng.randint(0, min(2, len(domain.properties)))))
        wishes.append(Wish(domain.name, inform, book, request, fail))
    return Goal(tuple(wishes))


def held(made: list[Step], conversation: Conversation, ontology: Ontology, database: Database, policy: Policy) -> None:
    """What holds of every conversation."""
    assert [step.speaker for step in made] == [USER, SYSTEM] * (len(made) // 2)
    assert made[-1].acts[-1].act == "bye"
    state: dict[str, str] = {}
    offered: set[str] = set()
    for step in made:
        if step.speaker == USER:
            assert step.kind in USER_KINDS
            assert step.acts
            state = believed(state, step.acts, ontology.slots)
            assert step.state == state
            assert all(state[other] == state[slot_name(step.domain, slot)] for slot, other in step.refers.items())
            assert all(domain_of(other) != step.domain for other in step.refers.values())
            assert set(taken(step, "select")) <= offered | {""}, "only what the last search has"
            continue
        assert step.kind in SYSTEM_KINDS
        assert step.state is None
        if step.lookup is not None:
            answered(step, step.lookup, state, ontology, database, policy)
            found = database.lookup(step.domain, step.lookup.constraints)
            offered = {row.get(ontology.domain(step.domain).named, "") for row in found}
    assert conversation.state == state


def taken(step: Step, act: str) -> list[str]:
    """Slots or, of a selection, values of the acts of that kind."""
    return [each.value if act == "select" else each.slot for each in step.acts if each.act == act]


def answered(
    step: Step, lookup: Lookup, state: dict[str, str], ontology: Ontology, database: Database, policy: Policy
) -> None:
    """What holds of every answer: looked up with the state, named from what came back."""
    domain = ontology.domain(step.domain)
    assert lookup.constraints == {slot.name: state[slot.full] for slot in domain.search if slot.full in state}
    rows = database.lookup(step.domain, lookup.constraints)
    assert lookup.count == len(rows)
    assert len(lookup.rows) <= policy.shown
    assert all(row in rows for row in lookup.rows)
    told = [
        act for act in step.acts if act.act in ("inform", "recommend", "booked") and act.slot not in ("count", "ref")
    ]
    if told and told[0].slot:
        assert any(all(row[act.slot] == act.value for act in told if act.slot) for row in lookup.rows)
    if step.kind in ("report", "recommend"):
        fixed = {slot for slot, value in lookup.constraints.items() if value != DONTCARE} - {domain.named}
        assert not fixed & set(taken(step, "inform")), "nobody is told what they have said"
    assert not {"leaveat", "arriveby"} <= set(taken(step, "request"))
    assert step.kind != "refuse" or domain.inventory


@pytest.mark.parametrize("where", ["shipped", "toy"])
def test_states_follow_from_what_is_told_and_agents_name_what_they_found(tmp_path: Path, where: str) -> None:
    ontology, database = town(tmp_path) if where == "toy" else _read(SHIPPED)
    policy, seen = Policy(), set()
    for seed in range(400):
        goal = drawn(ontology, database, Random(f"goal {seed}"))
        conversation = Conversation(goal, ontology, database, policy, Random(seed))
        made = list(steps(conversation))
        held(made, conversation, ontology, database, policy)
        seen.update((step.speaker, step.kind) for step in made)
        again = Conversation(goal, ontology, database, policy, Random(seed))
        assert seed % 20 or list(steps(again)) == made, "the same seed, the same conversation"
    assert seen == {(USER, kind) for kind in USER_KINDS} | {(SYSTEM, kind) for kind in SYSTEM_KINDS}


@pytest.mark.parametrize("folder", [SHIPPED, DATA / "multiwoz", DATA / "sgd" / "dev"], ids=lambda path: path.name)
def test_goals_drawn_from_rows_are_reached_in_full(folder: Path) -> None:
    if not folder.is_dir():
        pytest.skip(f"{folder} is not here")
    ontology, database = _read(folder)
    reached = 0
    for seed in range(60):
        goal = from_database(ontology, database, Random(seed), Drawing())
        conversation = Conversation(goal, ontology, database, Policy(), Random(seed))
        try:
            made = list(steps(conversation))
        except Dropped:  # a service that wants many slots, asked for one by one
            continue
        held(made, conversation, ontology, database, Policy())
        assert not set(goal.state) - set(conversation.state), "all that is wanted is told"
        reached += 1
    assert reached >= 55


def _read(folder: Path) -> tuple[Ontology, Database]:
    ontology = read(folder)
    return ontology, Database.read(folder, ontology)


def test_noise_from_an_extractor_ends_in_a_conversation_or_a_reason(tmp_path: Path) -> None:
    ontology, database = town(tmp_path)
    ends = set()
    for seed in range(150):
        rng = Random(seed)
        wishes = (
            Wish("eatery", {"food": "irish"}, {"bookday": "friday"}, ("address",)),
            Wish("sight", {"area": "south"}),
        )
        conversation = Conversation(Goal(wishes), ontology, database, Policy(), Random(seed))
        ends.add(muddled(conversation, rng))
    assert ends == {"over", "cap"}


def muddled(conversation: Conversation, rng: Random) -> str:
    """How a conversation ends in which both sides are read wrong now and then."""
    noise = {
        "eatery-food": "turkish",
        "eatery-name": "no such place",
        "sight-area": "up",
        "x": "y",
        "cab-arriveby": "",
    }
    try:
        while (step := conversation.user()) is not None:
            assert step.state is not None
            kept = {name: value for name, value in step.state.items() if rng.random() < 0.8}
            extra = rng.choice(list(noise))
            conversation.heard(kept | ({extra: noise[extra]} if rng.random() < 0.2 else {}))
            conversation.agent()
            conversation.said(rng.choice((None, None, "", "no such place")), rng.choice((None, None, False, True)))
    except Dropped as dropped:
        return dropped.reason.partition(":")[0]
    return "over"
