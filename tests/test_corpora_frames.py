"""MultiWOZ 2.2 and SGD: frames, lists of values, multi-frame turns, acts in a file of their own, service calls."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from synthesis.errors import UserError
from synthesis.task_oriented.corpora.reading import read, split
from synthesis.task_oriented.state import SYSTEM, USER, tracked
from tests.corpus_files import written

Row = dict[str, Any]


def frame(service: str, intent: str = "NONE", actions: Any = (), **values: list[str]) -> Row:
    """A user's frame; slots are written as MultiWOZ has them where the service has no number."""
    slots = {slot if "_" in service else f"{service}-{slot}": value for slot, value in values.items()}
    state = {"active_intent": intent, "requested_slots": [], "slot_values": slots}
    return {"service": service, "slots": [], "actions": list(actions), "state": state}


def user(text: str, *frames: Row, **more: Any) -> Row:
    return {"speaker": "USER", "utterance": text, "frames": list(frames), **more}


def system(text: str, *frames: Row, **more: Any) -> Row:
    return {"speaker": "SYSTEM", "utterance": text, "frames": list(frames), **more}


def dialogue(*turns: Row, id: str = "MUL1.json", services: Any = ("hotel",)) -> Row:
    return {"dialogue_id": id, "services": list(services), "turns": list(turns)}


MUL1 = dialogue(
    user(
        "A dear hotel.",
        frame("hotel", "find_hotel", pricerange=["expensive"]),
        frame("taxi"),
        frame("bus"),
        turn_id="0",
    ),
    system("Which area?", turn_id="1"),
    user(
        "Any. And a taxi after 02:30.",
        frame("hotel", "find_hotel", pricerange=["expensive"], area=["dontcare"], stars=[""]),
        frame("taxi", "book_taxi", leaveat=["02:45", "after 02:30"]),
        turn_id="2",
    ),
    system(
        "Done.", {"service": "hotel", "slots": [{"slot": "hotel-name", "copy_from": "taxi-departure"}]}, turn_id="3"
    ),
    user("No, no hotel.", frame("hotel"), frame("taxi", leaveat=["02:45", "after 02:30"]), turn_id="4", unknown="x"),
)


def test_lists_of_values_several_frames_and_slots_that_go(tmp_path: Path) -> None:
    (found,) = read(written(tmp_path / "train" / "dialogues_001.json", [MUL1 | {"filename": "x"}]))
    assert (found.id, split(found), found.source) == ("MUL1.json", "train", "MultiWOZ 2.2: dialogues_001.json")
    taxi = {"taxi-leaveat": "02:45|after 02:30"}
    assert tracked(found) == [
        (0, {"hotel-pricerange": "expensive"}),
        (2, {"hotel-pricerange": "expensive", "hotel-area": "dontcare", **taxi}),
        (4, taxi),
    ]
    assert [turn.domain for turn in found.turns] == ["hotel", "hotel", "hotel", "hotel", "hotel"]
    assert [turn.speaker for turn in found.turns] == [USER, SYSTEM, USER, SYSTEM, USER]  # it ends with the user


def test_a_dialogue_about_no_service(tmp_path: Path) -> None:
    """The active intent tells the domain where there are neither acts nor slots."""
    row = dialogue(
        user("The police?", frame("police", "find_police"), frame("hotel")), system("Parkside."), services=()
    )
    (found,) = read(written(tmp_path / "examples.json", [row]))
    assert [turn.domain for turn in found.turns] == ["police", "police"]
    assert (tracked(found), split(found)) == ([(0, {})], None)


def test_acts_stand_in_a_file_of_their_own(tmp_path: Path) -> None:
    """The domain of a user's turn is that of the acts of the answer."""
    acts = {
        "MUL1.json": {
            "0": {"dialog_act": {"Hotel-Inform": [["pricerange", "expensive"]]}, "span_info": []},
            "1": {"dialog_act": {"Hotel-Request": [["area", "?"]]}},
            "3": {"dialog_act": {"Taxi-Inform": [["type", "red seat"]], "general-reqmore": [["none", "none"]]}},
        }
    }
    written(tmp_path / "dialog_acts.json", acts)
    path = written(tmp_path / "test" / "dialogues_002.json", [MUL1])
    for source in (tmp_path, path):
        (found,) = read(source)
        assert [turn.acts for turn in found.turns] == [
            ("hotel-inform(pricerange=expensive)",),
            ("hotel-request(area)",),
            (),
            ("taxi-inform(type=red seat)",),
            (),
        ]
        assert [turn.domain for turn in found.turns] == ["hotel", "hotel", "taxi", "taxi", "hotel"]
        assert split(found) == "test"


def test_all_files_of_a_folder_are_read_in_order(tmp_path: Path) -> None:
    for part, name, id in (("train", "002", "b"), ("train", "001", "a"), ("dev", "001", "c")):
        written(tmp_path / part / f"dialogues_{name}.json", [dialogue(user("Hi", frame("hotel")), id=id)])
    written(tmp_path / "schema.json", [{"service_name": "hotel"}])
    written(tmp_path / "db" / "hotel_db.json", [{"name": "x"}])
    found = read(tmp_path)
    assert [(each.id, split(each)) for each in found] == [("c", "validation"), ("a", "train"), ("b", "train")]


def test_turns_stand_in_the_order_of_the_corpus(tmp_path: Path) -> None:
    row = dialogue(
        system("Hello."),
        user("A hotel.", frame("hotel", area=["north"])),
        user("A cheap one.", frame("hotel", area=["north"], pricerange=["cheap"])),
    )
    (found,) = read(written(tmp_path / "a.json", [row]))
    assert [turn.speaker for turn in found.turns] == [SYSTEM, USER, USER]
    assert tracked(found) == [(1, {"hotel-area": "north"}), (2, {"hotel-area": "north", "hotel-pricerange": "cheap"})]
    assert [turn.domain for turn in found.turns] == [None, "hotel", "hotel"]


# ---- SGD ------------------------------------------------------------------------------------------------------------


def action(act: str, slot: str = "", *values: str) -> Row:
    return {"act": act, "slot": slot, "values": list(values), "canonical_values": list(values)}


SGD = dialogue(
    user("Eat in Reno?", frame("Food_1", "Find", [action("INFORM", "city", "Reno")], city=["Reno"])),
    system(
        "Two: try Joe's.",
        {
            "service": "Food_1",
            "slots": [],
            "actions": [action("OFFER", "name", "Joe's"), action("INFORM_COUNT", "count", "2"), action("REQ_MORE")],
            "service_call": {"method": "Find", "parameters": {"city": "Reno"}},
            "service_results": [{"name": "Joe's", "city": "Reno"}, {"name": "Moe's", "city": "Reno"}],
        },
    ),
    user(
        "That, at seven. And a ride.",
        frame("Food_1", "Book", [action("SELECT")], city=["Reno"], name=["Joe's", "Joe's Place"]),
        frame("Ride_1", "Ride", [action("REQUEST", "fare")], shared=["dontcare"]),
    ),
    system("OK.", {"service": "Ride_1", "slots": [], "actions": [action("REQUEST", "to", "home", "work")]}),
    user("Thanks!", frame("Ride_1", actions=[action("THANK_YOU")], shared=["dontcare"])),
    id="1_00000",
    services=("Food_1", "Ride_1"),
)


def test_sgd(tmp_path: Path) -> None:
    (found,) = read(written(tmp_path / "dev" / "dialogues_001.json", [SGD]))
    assert (found.source, split(found)) == ("SGD: dialogues_001.json", "validation")
    food = {"Food_1-city": "Reno", "Food_1-name": "Joe's|Joe's Place"}
    assert tracked(found) == [
        (0, {"Food_1-city": "Reno"}),
        (2, food | {"Ride_1-shared": "dontcare"}),
        (4, food | {"Ride_1-shared": "dontcare"}),  # a service without a frame keeps its state
    ]
    assert [turn.acts for turn in found.turns] == [
        ("Food_1-inform(city=Reno)",),
        ("Food_1-recommend(name=Joe's)", "Food_1-inform(count=2)"),
        ("Food_1-select", "Ride_1-request(fare)"),
        ("Ride_1-request(to=home)", "Ride_1-request(to=work)"),
        ("general-thank",),
    ]
    assert [turn.domain for turn in found.turns] == ["Food_1", "Food_1", "Ride_1", "Ride_1", "Ride_1"]


def test_a_service_call_becomes_the_lookup_of_the_answer(tmp_path: Path) -> None:
    (found,) = read(written(tmp_path / "dialogues_001.json", [SGD]))
    lookup = found.turns[1].lookup
    assert lookup is not None
    assert (lookup.domain, lookup.constraints, lookup.count) == ("Food_1", {"city": "Reno"}, 2)
    assert [row["name"] for row in lookup.rows] == ["Joe's", "Moe's"]
    assert all(turn.lookup is None for number, turn in enumerate(found.turns) if number != 1)


@pytest.mark.parametrize(
    ("turn", "complaint"),
    [
        (user("Hi", frame("a")) | {"speaker": "BOT"}, r"turns\[0\]\.speaker: got 'BOT', expected USER or SYSTEM"),
        (user("Hi", frame("a")) | {"utterance": 3}, r"turns\[0\]\.utterance: got '3', expected a text"),
        (user("Hi", {"service": "a"}), "state of a: got 'None', expected an object"),
        (user("Hi", frame("a") | {"state": {"slot_values": {"b": "c"}}}), "state of a.b: got 'c', expected a list"),
        (user("Hi", frame("a_1", actions=[{"slot": "x"}])), r"actions\[0\]\.act: got 'None'"),
        ({"speaker": "USER", "frames": {}}, r"frames: got '{}', expected a list"),
    ],
)
def test_a_broken_turn_is_named(turn: Row, complaint: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=complaint):
        read(written(tmp_path / "a.json", [dialogue(turn)]))


def test_broken_acts_beside_are_named(tmp_path: Path) -> None:
    path = written(tmp_path / "a.json", [MUL1])
    written(tmp_path / "dialog_acts.json", {"MUL1.json": {"0": {"dialog_act": {"Hotel-Inform": "north"}}}})
    with pytest.raises(UserError, match=r"dialog_acts.json.Hotel-Inform: got 'north', expected a list"):
        read(path)
    written(tmp_path / "dialog_acts.json", "{")
    with pytest.raises(UserError, match=r"dialog_acts.json: not JSON"):
        read(path)
    written(tmp_path / "dialog_acts.json", json.dumps([]))
    with pytest.raises(UserError, match="got a list, expected acts by dialogue and turn"):
        read(path)
