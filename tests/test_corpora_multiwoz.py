"""MultiWOZ 2.1 and 2.4, and what TRADE makes of them: states beside the answer, odd values, archives, splits."""

from __future__ import annotations

import json
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthesis.errors import UserError
from synthesis.task_oriented.corpora.multiwoz21 import value_of
from synthesis.task_oriented.corpora.reading import read, split
from synthesis.task_oriented.state import SYSTEM, USER, tracked
from tests.corpus_files import written

Row = dict[str, Any]


def user(text: str, **acts: list[list[str]]) -> Row:
    return {
        "text": text,
        "metadata": {},
        "dialog_act": {name.replace("_", "-"): pairs for name, pairs in acts.items()},
    }


def system(text: str, metadata: Row, **acts: list[list[str]]) -> Row:
    return user(text, **acts) | {"metadata": metadata}


def hotel(book: Row | None = None, **semi: str) -> Row:
    """A block as the release has it: empty slots in three spellings, what was booked beside what is wanted."""
    empty = {"name": "not mentioned", "area": "", "stars": "none"}
    return {"book": {"booked": [], "people": "", **(book or {})}, "semi": empty | semi}


STAY = [
    user("A room up north , please .", Hotel_Inform=[["Area", "north"], ["none", "none"]]),
    system(
        "Which price ?",
        {"hotel": hotel(area="north", parking="do n't care")},
        Hotel_Request=[["Price", "?"]],
        general_greet=[["none", "none"]],
    ),
    user("Any . Two of us on the 05:30 pm train from Ely or Wisbech ."),
    system(
        "Booked !",
        {
            "hotel": hotel({"people": "2", "booked": [{"name": "the sty", "reference": "A1"}]}, area="north"),
            "train": {"semi": {"leaveAt": "05:30 pm", "departure": "ely|wisbech"}, "book": {"ticket": "1"}},
        },
        Booking_Book=[["Ref", "A1"]],
        Booking_Inform=[["none", "none"]],
    ),
    user("Bye .", general_bye=[["none", "none"]]),
    system(
        "Bye .", {"hotel": hotel(area="north", name="the sty"), "taxi": {"semi": {}}}, general_bye=[["none", "none"]]
    ),
]


def test_states_stand_beside_the_answer(tmp_path: Path) -> None:
    (dialogue,) = read(written(tmp_path / "data.json", {"SNG1.json": {"goal": {}, "log": STAY}}))
    assert (dialogue.id, dialogue.source, dialogue.notes) == ("SNG1.json", "MultiWOZ 2.1/2.4: data.json", ())
    assert [turn.speaker for turn in dialogue.turns] == [USER, SYSTEM] * 3
    assert tracked(dialogue) == [
        (0, {"hotel-area": "north", "hotel-parking": "dontcare"}),
        (
            2,
            {
                "hotel-area": "north",
                "hotel-bookpeople": "2",
                "train-leaveat": "05:30 pm",
                "train-departure": "ely|wisbech",
            },
        ),
        (4, {"hotel-area": "north", "hotel-name": "the sty"}),  # what went is gone
    ]


def test_acts_and_domains(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"):
        (dialogue,) = read(written(tmp_path / "data.json", {"SNG1": {"log": STAY}}))
    assert [turn.acts for turn in dialogue.turns] == [
        ("hotel-inform(area=north)", "hotel-inform"),
        ("hotel-request(pricerange)", "general-greet"),
        (),
        ("hotel-booked(ref=A1)",),  # a booking is one of what the turn is about
        ("general-bye",),
        ("general-bye",),
    ]
    assert [turn.domain for turn in dialogue.turns] == ["hotel"] * 6
    assert "booking-inform': 1" in caplog.text
    assert "stray slot train.book.ticket left out': 1" in caplog.text


@pytest.mark.parametrize(
    ("name", "slot", "act"),
    [
        ("Hotel-Inform", "Price", "hotel-inform(pricerange=x)"),
        ("hotel-inform", "price", "hotel-inform(price=x)"),  # 2.2 writes names out
        ("Hotel-Inform", "Day", "hotel-inform(bookday=x)"),
        ("Train-Inform", "Day", "train-inform(day=x)"),
        ("Train-Inform", "Time", "train-inform(duration=x)"),
        ("Train-OfferBooked", "Ticket", "train-booked(price=x)"),
        ("Restaurant-NoOffer", "Food", "restaurant-nooffer(food=x)"),
        ("Hotel-Select", "Choice", "hotel-recommend(count=x)"),
        ("Booking-NoBook", "Time", "taxi-refuse(booktime=x)"),
        ("Taxi-Inform", "Car", "taxi-inform(type=x)"),
        ("general-bye", "none", "general-bye"),
    ],
)
def test_names_of_acts_and_slots(name: str, slot: str, act: str, tmp_path: Path) -> None:
    answer = {"text": "y", "metadata": {"taxi": {}}, "dialog_act": {name: [[slot, "x"]]}}
    log = [user("x", Taxi_Inform=[["none", "none"]]), answer]
    (dialogue,) = read(written(tmp_path / "data.json", {"a": {"log": log}}))
    assert dialogue.turns[1].acts == (act,)


def test_the_slots_that_change_tell_the_domain_where_acts_do_not(tmp_path: Path) -> None:
    log = [
        user("A room ."),
        system("Sure .", {"hotel": hotel(area="north")}),
        user("And a train from Ely ."),
        system("Sure .", {"hotel": hotel(area="north"), "train": {"semi": {"departure": "ely"}}}),
        user("Thanks ."),
        system("Bye .", {"hotel": hotel(area="north"), "train": {"semi": {"departure": "ely"}}}),
    ]
    (dialogue,) = read(written(tmp_path / "data.json", {"a": {"log": log}}))
    assert [turn.domain for turn in dialogue.turns] == ["hotel", "hotel", "train", "train", "train", "train"]


def test_of_several_domains_in_the_answer_the_one_that_was_spoken_of_goes_first(tmp_path: Path) -> None:
    log = [
        user("A train , after the hotel .", Train_Inform=[["none", "none"]]),
        system("Hm .", {"hotel": hotel()}, Hotel_Inform=[["Area", "north"]], Train_Request=[["Day", "?"]]),
    ]
    (dialogue,) = read(written(tmp_path / "data.json", {"a": {"log": log}}))
    assert [turn.domain for turn in dialogue.turns] == ["train", "train"]
    assert dialogue.turns[1].acts == ("hotel-inform(area=north)", "train-request(day)")


def test_a_log_that_does_not_alternate(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Nobody answers the last turn: its state is unknown. Two turns in a row are one, for they have one state."""
    log = [
        system("Hello !", {"hotel": hotel()}),
        user("A room ."),
        user("Up north ."),
        system("Sure .", {"hotel": hotel(area="north")}),
        user("Thanks ."),
    ]
    with caplog.at_level("INFO"):
        (dialogue,) = read(written(tmp_path / "data.json", {"a": {"log": log}}))
    assert [(turn.speaker, turn.text) for turn in dialogue.turns] == [
        (SYSTEM, "Hello !"),
        (USER, "A room . Up north ."),
        (SYSTEM, "Sure ."),
    ]
    assert tracked(dialogue) == [(1, {"hotel-area": "north"})]
    assert "turns of the user in a row made one': 1" in caplog.text
    assert "left out': 1" in caplog.text


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        ("", ""),
        ("not mentioned", ""),
        ("none", ""),
        ("None ", ""),
        ("dont care", "dontcare"),
        ("do not care", "dontcare"),
        ("don't care", "dontcare"),
        ("any", "any"),  # a scorer may take it for dontcare; the release does not say so
        ("hotel|guesthouse", "hotel|guesthouse"),
        ("17:30>16:30", "17:30|16:30"),
        ("centre<north<centre", "centre|north"),
        ("none|yes", "yes"),
        (["cheap", "moderate"], "cheap|moderate"),
        ("5:45pm", "5:45pm"),
        ("after lunch", "after lunch"),
    ],
)
def test_values(raw: Any, value: str) -> None:
    assert value_of(raw, "here", Counter()) == value


def test_an_alternative_that_says_nothing_is_counted() -> None:
    told: Counter[str] = Counter()
    assert value_of("none|yes", "here", told) == "yes"
    assert told == {"alternative that says nothing left out": 1}


@given(st.one_of(st.text(), st.lists(st.text(), max_size=3)))
def test_any_text_is_a_value_or_none(raw: Any) -> None:
    value = value_of(raw, "here", Counter())
    assert not set("<>") & set(value)
    assert value_of(value, "here", Counter()) == value


@pytest.mark.parametrize("raw", [3, None, {"a": 1}, [1]])
def test_what_is_no_text_is_refused_by_name(raw: Any) -> None:
    with pytest.raises(UserError, match=r"here: got .* expected a text"):
        value_of(raw, "here", Counter())


@pytest.mark.parametrize(
    ("log", "complaint"),
    [
        ("no", r"'a'\]\.log: got 'no', expected a list"),
        ([3], r"log\[0\]: got '3', expected an object"),
        ([{"metadata": {}}, system("", {"hotel": hotel()})], r"log\[0\]\.text"),
        ([user("Hi"), system("", {"hotel": 3})], r"metadata\.hotel: got '3', expected an object"),
        ([user("Hi", A_b=[["x"]]), system("", {"hotel": {}})], r"dialog_act\.A-b: got .* expected pairs"),
    ],
)
def test_a_broken_log_is_named(log: Any, complaint: str, tmp_path: Path) -> None:
    path = written(tmp_path / "data.json", {"a": {"log": log}, "b": {"log": STAY}})
    if log == "no":
        path = written(tmp_path / "data.json", {"b": {"log": STAY}, "a": {"log": log}})
    with pytest.raises(UserError, match=complaint):
        read(path)


# ---- archives and splits --------------------------------------------------------------------------------------------


def archive(path: Path, **members: Any) -> Path:
    with zipfile.ZipFile(path, "w") as made:
        for name, content in members.items():
            text = content if isinstance(content, str) else json.dumps(content)
            made.writestr(f"MULTIWOZ2.4/{name}.json", text)
        made.writestr("__MACOSX/MULTIWOZ2.4/data.json", "not JSON")
    return path


def test_an_archive_tells_splits_by_its_lists(tmp_path: Path) -> None:
    content = {name: {"log": STAY} for name in ("A.json", "B.json", "C.json")}
    lists = {"valListFile": "B.json\n", "testListFile": "C\n", "ontology": {"hotel-area": []}}
    found = read(archive(tmp_path / "mwz24.zip", data=content, **lists))
    assert {dialogue.id: split(dialogue) for dialogue in found} == {
        "A.json": "train",
        "B.json": "validation",
        "C.json": "test",
    }
    assert found[1].notes == ("split: validation",)


@pytest.mark.parametrize(
    ("name", "known"),
    [("val.json", "validation"), ("test.json", "test"), ("train.json", "train"), ("data.json", None)],
)
def test_a_file_name_tells_the_split(name: str, known: str | None, tmp_path: Path) -> None:
    (dialogue,) = read(written(tmp_path / name, {"a": {"log": STAY}}))
    assert split(dialogue) == known


def test_without_both_lists_nobody_is_of_the_training_split(tmp_path: Path) -> None:
    archive(tmp_path / "a.zip", data={"A": {"log": STAY}, "B": {"log": STAY}}, testListFile="B")
    assert [split(dialogue) for dialogue in read(tmp_path / "a.zip")] == [None, "test"]


def test_broken_archives_are_named(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(b"PK no")
    with pytest.raises(UserError, match=r"a\.zip: not a zip archive"):
        read(tmp_path / "a.zip")
    with pytest.raises(UserError, match=r"b\.zip: no such file"):
        read(tmp_path / "b.zip")
    with pytest.raises(UserError, match=r"no file of dialogues in it; expected dialogues_001\.json"):
        read(archive(tmp_path / "c.zip", ontology={}))


# ---- TRADE ----------------------------------------------------------------------------------------------------------


def test_trade_has_the_state_after_each_exchange(tmp_path: Path) -> None:
    dialogue = [
        {
            "system_transcript": "",
            "transcript": "a room for two",
            "turn_idx": 0,
            "belief_state": [{"slots": [["hotel-book people", "2"]], "act": "inform"}],
            "domain": "hotel",
        },
        {
            "system_transcript": "where ?",
            "transcript": "north or west",
            "turn_idx": 1,
            "belief_state": [
                {"slots": [["hotel-book people", "2"]], "act": "inform"},
                {"slots": [["hotel-area", "north<west"]], "act": "inform"},
                {"slots": [["hotel-stars", "none"]], "act": "inform"},
            ],
            "domain": "hotel",
        },
    ]
    rows = [{"dialogue_idx": "MUL1.json", "domains": ["hotel"], "dialogue": dialogue}]
    (read_back,) = read(written(tmp_path / "dev_dials.json", rows))
    assert [(turn.speaker, turn.domain) for turn in read_back.turns] == [
        (USER, "hotel"),
        (SYSTEM, "hotel"),
        (USER, "hotel"),
    ]
    assert tracked(read_back) == [
        (0, {"hotel-bookpeople": "2"}),
        (2, {"hotel-bookpeople": "2", "hotel-area": "north|west"}),
    ]
    assert split(read_back) == "validation"
