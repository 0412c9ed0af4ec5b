"""Databases: tables out of files and dialogues, and what lookups find in them."""

from __future__ import annotations

import json
import re
from collections import Counter
from itertools import combinations, product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthesis.dialogue import Dialogue, Lookup, Turn
from synthesis.errors import UserError
from synthesis.task_oriented import ontology
from synthesis.task_oriented.database import Database, alike
from synthesis.task_oriented.ontology import Domain, Ontology, Slot
from synthesis.task_oriented.times import DAY, clock, minutes

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT.parent / "shared" / "data"
OURS = ROOT / "synthesis/recipes/luas_ontology"

SCHEMA = Ontology(
    (
        Domain(
            "inn",
            "",
            (
                Slot("inn", "area", "", ("north", "south", "old harbour")),
                Slot("inn", "parking", "", ("free", "no", "yes")),
                Slot("inn", "name", ""),
                Slot("inn", "bookday", "", ("monday",), booking=True),
            ),
            ("phone", "price", "entrancefee"),
            books=True,
            named="name",
        ),
        Domain("coach", "", (Slot("coach", "leaveat", ""), Slot("coach", "arriveby", "")), ("coachid",)),
        Domain("cab", "", (Slot("cab", "destination", ""),), ("type", "phone"), books=True, inventory=False),
        Domain("ward", "", (Slot("ward", "department", ""),)),
    )
)

INNS = [
    {
        "Name": "The Old Anchor",
        "area": "old harbuor",
        "parking": "yes",
        "phone": "?",
        "price": {"single": "40", "double": "60"},
    },
    {"name": "rosa's rest", "area": "north", "parking": "no", "entrance fee": "2 pounds", "location": [52.1, 0.1]},
    {"name": "rest and be thankful", "area": "north", "parking": "yes", "phone": 1632960001, "bar": None},
]
COACHES = [
    {"coachID": "C1", "leaveAt": "09:00", "arriveBy": "10:00"},
    {"coachID": "C2", "leaveAt": "12:30", "arriveBy": "13:30"},
    {"coachID": "C2", "leaveAt": "23:40", "arriveBy": "24:40"},
]
CABS = [{"taxi_colors": ["red"], "taxi_types": ["estate"], "taxi_phone": ["^07700900[0-9]{3}$"]}]


def made(folder: Path, **tables: Any) -> Database:
    (folder / "schema.json").write_text("[]")
    (folder / "db").mkdir(exist_ok=True)
    for name, rows in tables.items():
        (folder / "db" / f"{name}_db.json").write_text(json.dumps(rows))
    return Database.read(folder, SCHEMA)


@pytest.fixture
def town(tmp_path: Path) -> Database:
    return made(tmp_path, inn=INNS, coach=COACHES, cab=CABS)


def names(found: list[Any]) -> list[str]:
    return [row["name"] for row in found]


# ---- reading --------------------------------------------------------------------------------------------------------


def test_rows_are_read_as_the_schema_names_them(town: Database) -> None:
    anchor, rosas, thankful = town.rows("inn")
    assert anchor == {
        "id": "0",
        "name": "The Old Anchor",
        "area": "old harbour",  # one slip of the pen
        "parking": "yes",
        "price": "double 60 pounds, single 40 pounds",
    }
    assert (rosas["entrancefee"], "location" in rosas) == ("2 pounds", False)
    assert (thankful["phone"], "bar" in thankful) == ("1632960001", False)
    assert [(row["id"], row["coachid"], row["arriveby"]) for row in town.rows("coach")] == [
        ("0", "C1", "10:00"),
        ("1", "C2", "13:30"),
        ("2", "C2", "00:40"),
    ]


def test_ids_of_the_file_are_kept_where_each_is_its_own(tmp_path: Path) -> None:
    assert [row["id"] for row in made(tmp_path, ward=[{"id": 7}, {"id": 9}]).rows("ward")] == ["7", "9"]
    assert [row["id"] for row in made(tmp_path, ward=[{"id": 7}, {"id": 7}]).rows("ward")] == ["0", "1"]


def test_domains_without_a_file_cannot_be_looked_up(town: Database) -> None:
    assert town.domains == ("inn", "coach", "cab")
    with pytest.raises(
        UserError, match=re.escape("nothing can be looked up in ward: the database has no db/ward_db.json")
    ):
        town.lookup("ward", {})
    with pytest.raises(UserError, match="no domain 'zoo' in the ontology"):
        town.rows("zoo")


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ({}, "no database: neither db/<domain>_db.json nor dialogues"),
        ({"inn": []}, "inn_db.json: the table is empty"),
        ({"inn": "rows"}, "inn_db.json: expected a list of objects"),
        ({"inn": [["a"]]}, "inn_db.json: expected a list of objects"),
        ({"inn": [{"area": "west"}]}, "inn_db.json[0].area: got 'west', which is none of the slot's values"),
        ({"inn": [{"parking": "y"}]}, "inn_db.json[0].parking: got 'y'"),
        (
            {"coach": [{"leaveAt": "09:00"}, {"leaveAt": "early"}]},
            "coach_db.json[1].leaveat: got 'early', expected a time",
        ),
        ({"cab": [{"taxi_colors": ["red"]}]}, "cab_db.json: expected 'taxi_types' with a list of texts, got None"),
        ({"cab": [CABS[0] | {"taxi_phone": [".*"]}]}, "cab_db.json: phone pattern '.*'"),
    ],
)
def test_a_broken_database_is_refused(tmp_path: Path, tables: Any, message: str) -> None:
    with pytest.raises(UserError, match=re.escape(message)):
        made(tmp_path, **tables)


# ---- lookups --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("constraints", "found"),
    [
        ({}, [0, 1, 2]),
        ({"area": "North"}, [1, 2]),
        ({"area": "north", "parking": "yes"}, [2]),
        ({"area": "south"}, []),
        ({"area": "south|old harbour"}, [0]),
        ({"area": "dontcare", "parking": "free"}, [0, 2]),
        ({"area": "north", "bookday": "monday"}, [1, 2]),
        ({"area": "north", "parking": ""}, [1, 2]),
        ({"entrancefee": "2 pounds"}, [1]),
        ({"phone": "1"}, []),
        ({"name": "the old anchor"}, [0]),
        ({"name": "old anchor"}, [0]),
        ({"name": "rosas rest"}, [1]),
        ({"name": "rosas rest", "parking": "yes"}, []),
        ({"name": "the thankful inn"}, [2]),
        ({"name": "the ritz"}, []),
    ],
)
def test_what_holds_is_found(town: Database, constraints: dict[str, str], found: list[int]) -> None:
    assert [int(row["id"]) for row in town.lookup("inn", constraints)] == found


def test_an_unknown_slot_is_refused(town: Database) -> None:
    with pytest.raises(
        UserError, match="lookup in inn: no slot or property 'pool'; it has area, parking, name, bookday"
    ):
        town.lookup("inn", {"pool": "yes"})


@pytest.mark.parametrize(
    ("constraints", "found"),
    [
        ({"leaveat": "09:00"}, ["0"]),
        ({"leaveat": "9 am"}, ["0"]),
        ({"leaveat": "10:00"}, ["0", "1"]),  # an hour before, two and a half after
        ({"leaveat": "10:01"}, ["1"]),
        ({"leaveat": "09:29"}, ["0"]),  # three hours and a minute to the next
        ({"leaveat": "16:00"}, []),
        ({"leaveat": "00:30"}, ["2"]),  # fifty minutes before, and yesterday
        ({"leaveat": "22:00"}, ["2"]),
        ({"arriveby": "22:30"}, ["2"]),  # 00:40 is 130 minutes later
        ({"arriveby": "24:40"}, ["2"]),
        ({"leaveat": "12:00", "arriveby": "10:00"}, []),
        ({"leaveat": "10:00", "arriveby": "10:00"}, ["0"]),
        ({"leaveat": "09:00|12:30"}, ["0", "1"]),
        ({"leaveat": "soon"}, []),
    ],
)
def test_a_time_stands_for_those_near_it(town: Database, constraints: dict[str, str], found: list[str]) -> None:
    assert [row["id"] for row in town.lookup("coach", constraints)] == found


def test_an_exact_time_counts_among_what_holds_otherwise(town: Database, tmp_path: Path) -> None:
    """09:00 is there, yet not with the other slot: then those near it are taken."""
    known = made(tmp_path, coach=[*COACHES, {"coachID": "C9", "leaveAt": "09:20"}])
    assert [row["id"] for row in known.lookup("coach", {"coachid": "c9", "leaveat": "09:00"})] == ["3"]


def test_a_ride_is_made_up_and_stays(town: Database) -> None:
    (ride,) = town.lookup("cab", {"destination": "the pier"})
    assert ride["type"] == "red estate"
    assert re.fullmatch(r"07700900\d{3}", ride["phone"])
    assert town.lookup("cab", {"destination": "The Pier"}) == [ride]
    assert len({town.lookup("cab", {"destination": str(n)})[0]["phone"] for n in range(50)}) > 40
    assert town.rows("cab") == ()
    assert town.names("cab") == ()


def test_names(town: Database) -> None:
    assert town.names("inn") == ("The Old Anchor", "rosa's rest", "rest and be thankful")
    assert town.names("coach") == ()


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("the river room", "river room"),
        ("river", "river room"),
        ("River Room Wellowmere", "river room"),
        ("pizza place north", "pizza place north"),
        ("pizza place", "pizza place south"),  # of those that go on as it does, the nearer in length
        ("pizza by the sun", "a place in the sun"),  # one has sun, two have pizza
        ("some place", ""),  # four have place
        ("curry", ""),
        ("the", ""),
        ("", ""),
    ],
)
def test_names_that_are_alike(name: str, found: str) -> None:
    known = ["river room", "pizza place northern", "pizza place south", "quiet place", "a place in the sun"]
    assert alike(name, [*known, "pizza place north"] if name == "pizza place north" else known) == found


@given(st.text(max_size=20), st.lists(st.text(max_size=20), max_size=6))
def test_what_is_alike_is_one_of_them(name: str, known: list[str]) -> None:
    assert alike(name, known) in {"", *known}


# ---- rows out of dialogues ------------------------------------------------------------------------------------------


def test_rows_out_of_lookups() -> None:
    rows = (
        {"name": "rosa's rest", "area": "north", "bookday": "monday", "id": "12"},
        {"name": "rosa's rest", "area": "north", "bookday": "sunday"},
        {"name": "the old anchor", "phone": "?"},
    )
    whole = {"name": "the old anchor", "area": "south"}
    turns = (
        Turn("System", "Three.", lookup=Lookup("inn", {}, 3, rows)),
        Turn("User", "And?"),
        Turn("System", "One.", lookup=Lookup("inn", {"area": "south"}, 1, (whole,))),
        Turn("System", "At nine.", lookup=Lookup("coach", {}, 1, ({"leaveat": "9:00", "coachid": "C1"},))),
    )
    found = Database.from_results(SCHEMA, [Dialogue("d", turns)])
    assert found.domains == ("inn", "coach")
    assert found.rows("inn") == (
        {"name": "rosa's rest", "area": "north", "id": "0"},
        {"name": "the old anchor", "area": "south", "id": "1"},
    ), "a row once, without what was booked, and without those that say less"
    assert names(found.lookup("inn", {"area": "south"})) == ["the old anchor"]
    assert len(found.lookup("coach", {"leaveat": "09:00"})) == 1
    with pytest.raises(UserError, match="the dialogues: no database"):
        Database.from_results(SCHEMA, [Dialogue("d", (Turn("User", "Hello."),))])


def test_the_dialogues_beside_an_sgd_schema(tmp_path: Path) -> None:
    (tmp_path / "schema.json").write_text("[]")
    frame = {"service": "inn", "service_results": [{"name": "The Gate", "area": "north"}]}
    dialogues = [{"turns": [{"frames": [{"service": "inn"}, frame]}, {"frames": []}]}]
    (tmp_path / "dialogues_001.json").write_text(json.dumps(dialogues))
    assert names(Database.read(tmp_path, SCHEMA).lookup("inn", {"name": "gate"})) == ["The Gate"]
    (tmp_path / "dialogues_002.json").write_text(json.dumps([{"frames": []}]))
    with pytest.raises(UserError, match=r"dialogues_002.json: not dialogues in the form of SGD: KeyError\('turns'\)"):
        Database.read(tmp_path, SCHEMA)


# ---- the town that we ship ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ours() -> Database:
    return Database.read(OURS, ontology.read(OURS))


def test_our_town_is_large_enough(ours: Database) -> None:
    sizes = {name: len(ours.rows(name)) for name in ours.domains}
    assert set(sizes) == {"restaurant", "hotel", "attraction", "train", "taxi"}
    assert min(sizes["restaurant"], sizes["hotel"], sizes["attraction"]) >= 40
    assert sizes["train"] >= 120


def test_searches_in_our_town_find_none_one_and_many(ours: Database) -> None:
    for name in ("restaurant", "hotel", "attraction"):
        slots = [slot for slot in ours.ontology.domain(name).search if slot.values]
        counts = Counter(
            min(2, len(ours.lookup(name, {one.name: left, other.name: right})))
            for one, other in combinations(slots, 2)
            for left, right in product(one.values, other.values)
        )
        assert min(counts[hits] for hits in (0, 1, 2)) >= 5, (name, counts)


def test_our_trains_run_by_the_timetable(ours: Database) -> None:
    for train in ours.rows("train"):
        leave, arrive = minutes(train["leaveat"]), minutes(train["arriveby"])
        assert leave is not None
        assert arrive is not None
        assert train["duration"] == f"{(arrive - leave) % DAY} minutes"
        assert clock(leave) == train["leaveat"]
        assert "wellowmere" in (train["departure"], train["destination"])
    assert len(ours.names("train")) == len(ours.rows("train"))


def test_our_phone_numbers_are_nobodys(ours: Database) -> None:
    """Numbers that the British regulator keeps for fiction: 01632 960000 to 960999, 07700 900000 to 900999."""
    phones = [
        row["phone"] for name in ("restaurant", "hotel", "attraction") for row in ours.rows(name) if "phone" in row
    ]
    assert all(re.fullmatch(r"01632960\d{3}", phone) for phone in phones)
    assert len(set(phones)) == len(phones)
    (ride,) = ours.lookup("taxi", {"departure": "the regal", "destination": "fernbank"})
    assert re.fullmatch(r"07700900\d{3}", ride["phone"])


def test_our_names_say_nothing_else(ours: Database) -> None:
    """No name holds a value of a slot, a town or another name: whoever finds it in a text has found the name."""
    values = {value for slot in ours.ontology.slots.values() for value in slot.values}
    found = [name for domain in ("restaurant", "hotel", "attraction") for name in ours.names(domain)]
    assert len(set(found)) == len(found)
    for name in found:
        others = (values | set(found)) - {name}
        assert not [other for other in others if re.search(rf"\b{re.escape(other)}\b", name)], name
        assert name == name.lower()


# ---- the data at hand -----------------------------------------------------------------------------------------------


@pytest.mark.skipif(not (DATA / "multiwoz").is_dir(), reason="needs ../shared/data/multiwoz")
def test_multiwoz() -> None:
    known = Database.read(DATA / "multiwoz", ontology.read(DATA / "multiwoz"))
    sizes = {name: len(known.rows(name)) for name in known.domains}
    assert sizes == {
        **{"attraction": 79, "hotel": 33, "restaurant": 110, "train": 2828},
        **{"hospital": 66, "police": 1, "taxi": 0},
    }
    assert len(known.names("train")) == 2462
    assert len(known.lookup("attraction", {"type": "multiple sports"})) == 1, "misspelt in the file"
    assert all(minutes(row["arriveby"]) is not None and row["arriveby"] < "24:00" for row in known.rows("train"))
    late = {"departure": "cambridge", "destination": "ely", "day": "monday", "leaveat": "23:30"}
    assert [row["leaveat"] for row in known.lookup("train", late)] == ["23:50"]
    asked = {"arriveby": "13:00", "departure": "ely", "destination": "cambridge", "day": "sunday"}
    by_hand = [
        row
        for row in known.rows("train")
        if (row["departure"], row["destination"], row["day"]) == ("ely", "cambridge", "sunday")
        and "12:00" <= row["arriveby"] <= "16:00"
    ]
    assert by_hand
    assert known.lookup("train", asked) == by_hand
    assert names(known.lookup("hotel", {"name": "rosas bed and breakfast"})) == ["rosa's bed and breakfast"]
    assert names(known.lookup("hotel", {"name": "belfry"})) == ["the cambridge belfry"]
    assert sum("phone" in row for row in known.rows("restaurant")) == 107
    assert "entrancefee" not in known.lookup("attraction", {"name": "adc theatre"})[0]


@pytest.mark.skipif(not (DATA / "sgd").is_dir(), reason="needs ../shared/data/sgd")
def test_sgd() -> None:
    known = Database.read(DATA / "sgd", ontology.read(DATA / "sgd"))
    assert set(known.domains) == {"Events_1", "Flights_3", "Restaurants_2", "RideSharing_1"}
    assert len(known.rows("Restaurants_2")) == len(known.names("Restaurants_2")) == 22
    (sino,) = known.lookup("Restaurants_2", {"restaurant_name": "sino", "location": "san jose", "time": "11:30"})
    assert sino["phone_number"] == "408-247-8880"
