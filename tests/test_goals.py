"""Goals: their JSON, how they are drawn from rows, what is asked for in vain, rides, and those of real dialogues."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthesis.dialogue import Dialogue, Turn
from synthesis.errors import UserError
from synthesis.task_oriented import ontology
from synthesis.task_oriented.database import Database
from synthesis.task_oriented.goals import corpus as goal_corpus
from synthesis.task_oriented.goals.drawing import Drawing, from_database, perturbed, satisfied
from synthesis.task_oriented.goals.goal import Goal, Wish, from_json
from synthesis.task_oriented.goals.rides import places, ride, wired
from synthesis.task_oriented.ontology import Ontology
from synthesis.task_oriented.state import DONTCARE, SYSTEM, USER
from tests.corpus_files import written

TOWN = Path(ontology.__file__).parents[1] / "recipes/luas_ontology"
DATA = Path(__file__).resolve().parents[2] / "shared/data"
FIVE = {"restaurant", "hotel", "attraction", "train", "taxi"}


@pytest.fixture(scope="module")
def town() -> tuple[Ontology, Database]:
    found = ontology.read(TOWN)
    return found, Database.read(TOWN, found)


@pytest.fixture(scope="module")
def goals(town: tuple[Ontology, Database]) -> list[Goal]:
    return [from_database(*town, Random(number), Drawing()) for number in range(600)]


# ---- the record -----------------------------------------------------------------------------------------------------

STAY = Wish("hotel", {"area": "north", "stars": DONTCARE}, {"bookday": "monday"}, ("phone",), {"area": "south"})
GOAL = Goal((Wish("taxi", {"departure": "ely"}), STAY), "a nurse")


def test_json_keeps_the_order_and_leaves_out_what_is_empty() -> None:
    row = GOAL.to_json()
    assert list(row["domains"]) == ["taxi", "hotel"] == list(GOAL.domains)
    assert row == {
        "domains": {
            "taxi": {"inform": {"departure": "ely"}},
            "hotel": {
                "inform": {"area": "north", "stars": "dontcare"},
                "book": {"bookday": "monday"},
                "request": ["phone"],
                "fail": {"area": "south"},
            },
        },
        "persona": "a nurse",
    }
    assert from_json(row) == GOAL
    assert GOAL.state == {
        "taxi-departure": "ely",
        "hotel-area": "north",
        "hotel-stars": "dontcare",
        "hotel-bookday": "monday",
    }
    assert GOAL.of("hotel") is STAY


@pytest.mark.parametrize(
    ("row", "complaint"),
    [
        (None, "goal: got 'None', expected an object with domains"),
        ({"domains": {}}, "expected an object with domains"),
        ({"domains": {"a": {}}, "mood": 1}, "expected an object with domains"),
        ({"domains": {"a": {}}, "persona": 3}, r"goal\.persona: got '3', expected a text"),
        ({"domains": {"a": []}}, r"goal\.domains\.a: got .* expected an object with inform, book"),
        ({"domains": {"a": {"wish": {}}}}, r"goal\.domains\.a: got"),
        ({"domains": {"a": {"inform": {"b": 3}}}}, r"goal\.domains\.a\.inform: got"),
        ({"domains": {"a": {"request": "phone"}}}, r"goal\.domains\.a\.request: got 'phone', expected a list"),
        ({"domains": {"a": {"fail": {"b": "c"}}}}, r"goal\.domains\.a\.fail: 'b' is not in inform"),
    ],
)
def test_other_json_is_refused_by_name(row: Any, complaint: str) -> None:
    with pytest.raises(UserError, match=complaint):
        from_json(row)


VALUES = st.dictionaries(st.text(min_size=1), st.text(), max_size=3)
WISHES = st.builds(Wish, st.text(min_size=1), VALUES, VALUES, st.lists(st.text(), max_size=2).map(tuple))


@given(st.lists(WISHES, min_size=1, max_size=3, unique_by=lambda wish: wish.domain), st.none() | st.text(min_size=1))
def test_json_reads_back_equal(wishes: list[Wish], persona: str | None) -> None:
    goal = Goal(tuple(wishes), persona)
    assert from_json(goal.to_json()) == goal


# ---- drawn from rows ------------------------------------------------------------------------------------------------


def test_the_same_seed_draws_the_same_goal(town: tuple[Ontology, Database], goals: list[Goal]) -> None:
    assert [from_database(*town, Random(number), Drawing()) for number in range(30)] == goals[:30]
    assert len({str(goal.to_json()) for goal in goals}) > 0.98 * len(goals)


def test_every_goal_is_legal_and_something_satisfies_it(town: tuple[Ontology, Database], goals: list[Goal]) -> None:
    found, database = town
    for goal in goals:
        assert found.legal(goal.state) == goal.state
        assert len(set(goal.domains)) == len(goal.domains) >= 1
        assert "taxi" not in goal.domains[:-1]  # it comes last
        satisfied(goal, database)
        for wish in goal.wishes:
            domain = found.domain(wish.domain)
            assert wish.inform
            assert set(wish.inform.values()) != {DONTCARE}
            assert set(wish.inform) <= {slot.name for slot in domain.search}
            assert set(wish.book) <= {slot.name for slot in domain.booking}
            assert set(wish.request) <= set(domain.properties)
            assert not {"leaveat", "arriveby"} <= set(wish.inform) or wish.domain == "taxi"
            if "name" in wish.inform:
                assert set(wish.inform) == {"name"}  # who knows the name asks for nothing else


def test_domains_come_in_the_published_combinations(goals: list[Goal]) -> None:
    """817 of 6,535 are a hotel alone, 739 a sight and a train: one in eight, one in nine."""
    counts = Counter(frozenset(goal.domains) for goal in goals)
    assert set().union(*counts) == FIVE
    assert counts[frozenset({"hotel"})] / len(goals) == pytest.approx(817 / 6535, abs=0.04)
    assert counts[frozenset({"attraction", "train"})] / len(goals) == pytest.approx(739 / 6535, abs=0.04)
    assert all(len(names) < 3 for names in counts if "taxi" not in names)


def test_chances(goals: list[Goal]) -> None:
    """Of what is published, within what 600 goals allow."""
    hotels = [wish for goal in goals for wish in goal.wishes if wish.domain == "hotel"]
    share = sum("name" in wish.inform for wish in hotels) / len(hotels)
    assert share == pytest.approx(0.2, abs=0.08)
    assert sum(not wish.book for wish in hotels) / len(hotels) == pytest.approx(0.15, abs=0.08)
    both = [goal for goal in goals if sum("bookday" in wish.book for wish in goal.wishes) == 2]
    same = sum(len({wish.book["bookday"] for wish in goal.wishes if "bookday" in wish.book}) == 1 for goal in both)
    assert same / len(both) == pytest.approx(0.4 + 0.6 / 7, abs=0.2)
    assert any(DONTCARE in wish.inform.values() for wish in hotels)
    vain = [wish for goal in goals for wish in goal.wishes if wish.fail]
    assert 0.04 < len(vain) / sum(len(goal.wishes) for goal in goals) < 0.14


def test_bookings_share_day_and_people_when_they_must(town: tuple[Ontology, Database]) -> None:
    together = Drawing(share_day=1.0, share_people=1.0, unbooked=0.0, unbooked_train=0.0)
    apart = replace(together, share_day=0.0, share_people=0.0)

    def different(settings: Drawing, slot: str) -> int:
        drawn = [from_database(*town, Random(number), settings) for number in range(200)]
        return sum(len({wish.book[slot] for wish in goal.wishes if slot in wish.book}) > 1 for goal in drawn)

    assert different(together, "bookday") == different(together, "bookpeople") == 0
    assert different(apart, "bookday") > 5
    assert different(apart, "bookpeople") > 20


def test_a_train_is_asked_for_near_a_time_that_there_is(town: tuple[Ontology, Database]) -> None:
    from synthesis.task_oriented import times

    database = town[1]
    for number in range(60):
        (wish,) = from_database(*town, Random(number), Drawing(only=("train",), dontcare=0.0)).wishes
        assert not {"leaveat", "arriveby"} <= set(wish.inform)
        for slot in {"leaveat", "arriveby"} & set(wish.inform):
            asked = times.minutes(wish.inform[slot])
            rest = {name: value for name, value in wish.inform.items() if name != slot}
            shown = [times.minutes(row[slot]) for row in database.lookup("train", rest)]
            assert asked is not None
            assert any(time is not None and -10 <= (asked - time + 720) % 1440 - 720 <= 9 for time in shown)


def test_only_some_domains(town: tuple[Ontology, Database]) -> None:
    drawn = [from_database(*town, Random(number), Drawing(only=("hotel", "taxi"))) for number in range(80)]
    assert {frozenset(goal.domains) for goal in drawn} <= {
        frozenset(d) for d in (["hotel"], ["taxi"], ["hotel", "taxi"])
    }
    assert all(
        from_database(*town, Random(number), Drawing(only=("attraction",))).domains == ("attraction",)
        for number in range(20)
    )


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        (Drawing(dontcare=1.5), "goals: dontcare is 1.5, a chance"),
        (Drawing(vain=-0.1), "goals: vain is -0.1"),
        (Drawing(most=0), "most is 0"),
        (Drawing(only=("spa",)), "no domain 'spa' in the ontology"),
    ],
)
def test_settings_are_checked(settings: Drawing, complaint: str, town: tuple[Ontology, Database]) -> None:
    Drawing().check(*town)
    with pytest.raises(UserError, match=complaint):
        settings.check(*town)


# ---- asked for in vain, and wishes that nothing satisfies -----------------------------------------------------------


def test_what_is_asked_for_in_vain_leads_to_nothing(town: tuple[Ontology, Database], goals: list[Goal]) -> None:
    found, database = town
    sure = [perturbed(replace_fails(goal), found, database, Random(number), 1.0) for number, goal in enumerate(goals)]
    vain = [wish for goal in sure for wish in goal.wishes if wish.fail]
    assert len(vain) > 300
    for wish in vain:
        ((slot, value),) = wish.fail.items()
        assert value not in (wish.inform[slot], DONTCARE)
        assert wish.inform[slot] != DONTCARE
        assert not database.lookup(wish.domain, {**wish.inform, **wish.fail})
        assert database.lookup(wish.domain, wish.inform)
    assert {wish.domain for wish in vain} == FIVE - {"taxi"}
    assert [perturbed(goal, found, database, Random(1), 0.0) for goal in goals] == goals


def replace_fails(goal: Goal) -> Goal:
    return replace(goal, wishes=tuple(replace(wish, fail={}) for wish in goal.wishes))


def test_a_wish_that_no_row_satisfies_is_named(town: tuple[Ontology, Database]) -> None:
    wish = Wish("restaurant", {"food": "lunar", "area": "north"})
    with pytest.raises(UserError, match="no row of restaurant has food=lunar, area=north"):
        satisfied(Goal((wish,)), town[1])


# ---- rides ----------------------------------------------------------------------------------------------------------

STATION = Wish("train", {"departure": "ostley", "destination": "stannick", "leaveat": "10:00"})
TABLE = Wish("restaurant", {"food": "thai"}, {"booktime": "19:15"})
RIDE = Wish("taxi", {"departure": "a", "destination": "b", "leaveat": "08:00"})


def ends(wish: Wish) -> dict[str, str]:
    return {slot: wish.inform[slot] for slot in ("departure", "destination")}


def test_rides_lead_from_trains_and_to_them_in_time(town: tuple[Ontology, Database]) -> None:
    made = [wired(RIDE, [STATION], {}, town[0], Random(number)).inform for number in range(20)]
    there = {"departure": "a", "destination": "ostley", "arriveby": "10:00"}
    away = {"departure": "stannick", "destination": "b", "leaveat": "08:00"}  # nobody knows when it arrives
    assert all(inform in (there, away) for inform in made)
    assert there in made
    assert away in made


def test_rides_lead_to_tables_in_time(town: tuple[Ontology, Database]) -> None:
    made = [
        wired(RIDE, [TABLE], {"restaurant": {"name": "siam"}}, town[0], Random(number)).inform for number in range(20)
    ]
    there = {"departure": "a", "destination": "siam", "arriveby": "19:15"}
    away = {"departure": "siam", "destination": "b", "leaveat": "08:00"}
    assert all(inform in (there, away) for inform in made)
    assert there in made
    assert away in made


def test_rides_lead_from_one_venue_to_the_other(town: tuple[Ontology, Database]) -> None:
    rows = {"restaurant": {"name": "siam"}, "hotel": {"name": "the sty"}}
    for number in range(20):
        inform = wired(RIDE, [TABLE, Wish("hotel", {"area": "north"})], rows, town[0], Random(number)).inform
        assert {inform["departure"], inform["destination"]} == {"siam", "the sty"}
        assert ("arriveby" in inform) == (inform["destination"] == "siam")


def test_a_ride_without_anything_before_it(town: tuple[Ontology, Database]) -> None:
    found, database = town
    anywhere = places(found, database)
    assert len(anywhere) > 100
    drawn = [ride(found.domain("taxi"), anywhere, Random(number), 0.1) for number in range(300)]
    assert all(wish.inform["departure"] != wish.inform["destination"] for wish in drawn)
    assert all(set(ends(wish).values()) <= set(anywhere) for wish in drawn)
    both = [wish for wish in drawn if {"leaveat", "arriveby"} <= set(wish.inform)]
    assert len(both) / len(drawn) == pytest.approx(0.1, abs=0.06)
    assert all(wish.inform["leaveat"] < wish.inform["arriveby"] for wish in both)
    assert wired(drawn[0], [], {}, found, Random(0)) == drawn[0]
    with pytest.raises(UserError, match="taxi needs two places, and the database names 1"):
        ride(found.domain("taxi"), ["here"], Random(0), 0.1)


# ---- other ontologies -----------------------------------------------------------------------------------------------


def clinic(folder: Path) -> tuple[Ontology, Database]:
    """A domain of SGD's form: a search with a slot that it needs, a booking whose slots have no lists."""
    slots = [
        {"name": name, "description": "", "is_categorical": bool(values), "possible_values": values}
        for name, values in {
            "city": [],
            "kind": ["eyes", "teeth", "ears"],
            "doctor_name": [],
            "visit_date": [],
            "visit_time": [],
            "number_of_people": [],
            "complaint": [],
            "phone": [],
        }.items()
    ]
    booked = ["doctor_name", "visit_date", "visit_time", "number_of_people", "complaint"]
    intents = [
        {
            **{"name": "Find", "is_transactional": False, "required_slots": ["city"], "optional_slots": {"kind": "x"}},
            "result_slots": ["city", "kind", "doctor_name", "phone"],
        },
        {"name": "Book", "is_transactional": True, "required_slots": booked, "optional_slots": {}},
    ]
    schema = [{"service_name": "Clinic_1", "description": "", "slots": slots, "intents": intents}]
    written(folder / "schema.json", schema)
    rows = [
        {"city": "Reno", "kind": "eyes", "doctor_name": "Ada Ek", "phone": "1"},
        {"city": "Reno", "kind": "teeth", "doctor_name": "Bo Um", "phone": "2"},
        {"city": "Elko", "kind": "eyes", "doctor_name": "Cy Oh", "phone": "3"},
    ]
    written(folder / "db" / "Clinic_1_db.json", rows)
    found = ontology.read(folder)
    return found, Database.read(folder, found)


def test_any_ontology_will_do(tmp_path: Path) -> None:
    found, database = clinic(tmp_path)
    drawn = [from_database(found, database, Random(number), Drawing()) for number in range(200)]
    wishes = [goal.of("Clinic_1") for goal in drawn]
    assert all(wish.inform["city"] in ("Reno", "Elko") for wish in wishes)  # required: never dropped, never dontcare
    booked = [wish.book for wish in wishes if wish.book]
    assert all(set(book) == {"visit_date", "visit_time", "number_of_people"} for book in booked)
    assert all(book["visit_date"].endswith("day") for book in booked)
    assert all("09:00" <= book["visit_time"] <= "21:00" for book in booked)
    assert {book["number_of_people"] for book in booked} == {str(number) for number in range(1, 9)}
    assert {value for wish in wishes for value in wish.fail.values()} <= {"eyes", "teeth", "ears"}
    assert any(wish.fail for wish in wishes)
    assert {name for wish in wishes for name in wish.request} == {"phone"}


@pytest.mark.skipif(not (DATA / "sgd").is_dir(), reason="needs ../shared/data/sgd")
def test_goals_from_the_results_of_sgd() -> None:
    found = ontology.read(DATA / "sgd" / "dev")
    database = Database.read(DATA / "sgd" / "dev", found)
    drawn = [from_database(found, database, Random(number), Drawing()) for number in range(100)]
    assert {name for goal in drawn for name in goal.domains} == set(database.domains)
    assert {len(goal.domains) for goal in drawn} == {1, 2, 3}


# ---- real dialogues -------------------------------------------------------------------------------------------------


def said(state: dict[str, str], *acts: str) -> tuple[Turn, Turn]:
    return Turn(USER, "x", acts=acts, state=state), Turn(SYSTEM, "y")


def dialogue(*turns: tuple[Turn, Turn], id: str = "d1", notes: tuple[str, ...] = ()) -> Dialogue:
    return Dialogue(id, tuple(turn for pair in turns for turn in pair), notes=notes, source="MultiWOZ 2.4: data.json")


def test_the_final_state_is_the_goal(town: tuple[Ontology, Database]) -> None:
    real = dialogue(
        said({"train-day": "friday", "taxi-departure": "the sty"}),
        said({"train-day": "friday", "hotel-area": "north"}, "hotel-request(phone)", "hotel-request(ref)"),
        said(
            {
                "hotel-area": "north|west",
                "hotel-stars": "dontcare",
                "hotel-name": "the sty",
                "hotel-bookpeople": "2",
                "train-day": "monday",
                "taxi-departure": "the sty",
            },
            "hotel-request(phone)",
        ),
    )
    goal = goal_corpus.from_dialogue(real, town[0])
    assert goal == Goal(  # rides come last, whenever they came up
        (
            Wish("train", {"day": "monday"}),
            Wish("hotel", {"area": "north", "stars": "dontcare"}, {"bookpeople": "2"}, ("phone",)),
            Wish("taxi", {"departure": "the sty"}),
        )
    )


def test_a_name_that_was_asked_for_is_kept_and_one_that_came_up_is_not(town: tuple[Ontology, Database]) -> None:
    asked = dialogue(said({"hotel-name": "the sty"}), said({"hotel-name": "the sty", "hotel-area": "north"}))
    came = dialogue(said({"hotel-area": "north"}), said({"hotel-name": "the sty", "hotel-area": "north"}))
    alone = dialogue(said({"hotel-bookday": "monday"}), said({"hotel-name": "the sty", "hotel-bookday": "monday"}))
    kept = [goal_corpus.from_dialogue(each, town[0]) for each in (asked, came, alone)]
    assert [goal and dict(goal.of("hotel").inform) for goal in kept] == [
        {"name": "the sty", "area": "north"},
        {"area": "north"},
        {"name": "the sty"},
    ]


@pytest.mark.parametrize("held_out", ["validation", "test"])
def test_a_dialogue_that_is_held_out_is_refused(held_out: str, town: tuple[Ontology, Database]) -> None:
    real = dialogue(said({"hotel-area": "north"}), notes=(f"split: {held_out}",))
    with pytest.raises(UserError, match=rf"d1 \(MultiWOZ 2.4: data.json\) is of the {held_out} split"):
        goal_corpus.from_dialogues([real], *town)


def test_what_gives_no_goal_is_counted(town: tuple[Ontology, Database], caplog: pytest.LogCaptureFixture) -> None:
    empty = dialogue(said({"hotel-area": "north"}), said({}), id="empty", notes=("split: train",))
    states = ({"hotel-area": "north"}, {"hotel-area": "uphill"}, {"bus-day": "monday"}, {"restaurant-food": "lunar"})
    real = [dialogue(said(state), id=f"d{number}") for number, state in enumerate(states)]
    with caplog.at_level("INFO"):
        found = goal_corpus.from_dialogues([empty, *real], *town)
    assert [name for name, _ in found] == ["d0"]
    assert "goals: 1 of 5 dialogues" in caplog.text
    assert "'empty final state': 1" in caplog.text
    with pytest.raises(UserError, match=r"none of 3 dialogues gives one: .*uphill"):
        goal_corpus.from_dialogues(real[1:], *town)
