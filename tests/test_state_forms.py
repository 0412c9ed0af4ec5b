"""MultiWOZ 2.2's and SGD's forms: by hand, and what was written read back by the reader of these corpora."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from builders.__main__ import main
from builders.luas import OWN
from builders.schema_forms import multiwoz_schema, sgd_schema
from builders.state_forms import Span, framed, multiwoz, multiwoz_acts, services, sgd, spans
from synthesis.dialogue import Dialogue, Turn
from synthesis.errors import BuildError
from synthesis.task_oriented.corpora import reading
from synthesis.task_oriented.ontology import Domain, Ontology, Slot, read
from synthesis.task_oriented.state import SYSTEM, USER
from tests.task_talks import BOOKED, forty, talk, task_run, turns

DATA = Path(__file__).resolve().parents[1].parent / "shared" / "data"
OTHERWISE: dict[str, dict[str, str | None]] = {
    "multiwoz": {
        "hotel-select(name=the lamp inn)": "hotel-recommend(name=the lamp inn)",
        "hotel-book": "hotel-booked",
        "taxi-book": "taxi-booked",
    },
    "sgd": {
        "general-greet": None,
    },
}
"""Acts that a form, or its reader, knows only as another, or not at all."""


# ---- by hand --------------------------------------------------------------------------------------------------------


def test_a_span_is_a_whole_word_in_any_case_and_of_one_slot() -> None:
    values = {"bookpeople": "2", "bookday": "friday", "bookstay": "2", "stars": "4", "area": "nor"}
    assert list(spans("2 people, 2 nights from Friday; No. 24 up north", values)) == [
        Span("bookpeople", 0, 1),
        Span("bookday", 24, 30),
        Span("bookstay", 10, 11),
    ]


def test_frames_by_hand() -> None:
    made = [frames for _, _, frames in framed(talk())]
    (first,) = made[0]
    assert (first.domain, first.intent, first.values) == (
        "hotel",
        "find_hotel",
        {"area": ("west",), "parking": ("yes", "free")},
    )
    assert first.spans == (Span("area", 22, 26),)
    assert made[4][0].requested == ("phone",)
    assert made[6][0].intent == "book_hotel"
    hotel, taxi = made[8]
    assert (hotel.intent, taxi.intent) == ("NONE", "book_taxi")
    assert hotel.values == {name.partition("-")[2]: tuple(value.split("|")) for name, value in BOOKED.items()}
    assert [frame.domain for frame in made[9]] == ["taxi"]
    assert [str(act) for act in made[10][1].acts] == ["general-thank", "general-bye"]
    assert services(talk()) == ["hotel", "taxi"]


def test_a_turn_of_multiwoz_by_hand() -> None:
    row = multiwoz(talk())
    assert row["dialogue_id"] == "luas-1"
    assert row["services"] == ["hotel", "taxi"]
    assert row["turns"][2] == {
        "turn_id": "2",
        "speaker": "USER",
        "utterance": "The North then. I do not mind how many stars.",
        "frames": [
            {
                "service": "hotel",
                "actions": [],
                "slots": [{"slot": "hotel-area", "value": "North", "start": 4, "exclusive_end": 9}],
                "state": {
                    "active_intent": "find_hotel",
                    "requested_slots": [],
                    "slot_values": {
                        "hotel-area": ["north"],
                        "hotel-stars": ["dontcare"],
                        "hotel-parking": ["yes", "free"],
                    },
                },
            }
        ],
    }
    assert "state" not in row["turns"][3]["frames"][0]
    acts = multiwoz_acts(talk())
    assert acts["3"] == {
        "dialog_act": {"Hotel-Inform": [["choice", "3"]], "Hotel-Recommend": [["name", "the lamp inn"]]},
        "span_info": [["Hotel-Recommend", "name", "The Lamp Inn", 19, 31]],
    }
    assert acts["4"]["dialog_act"]["Hotel-Request"] == [["phone", "?"]]
    assert acts["7"]["dialog_act"] == {"Hotel-NoBook": [["none", "none"]]}
    assert acts["10"]["dialog_act"] == {"general-thank": [["none", "none"]], "general-bye": [["none", "none"]]}


def test_a_turn_of_sgd_by_hand() -> None:
    row = sgd(talk())
    (frame,) = row["turns"][3]["frames"]
    assert frame["service_call"] == {"method": "find_hotel", "parameters": {"area": "north", "parking": "yes"}}
    assert frame["service_results"][0]["name"] == "the lamp inn"
    assert [(each["act"], each["slot"], each["values"]) for each in frame["actions"]] == [
        ("INFORM_COUNT", "count", ["3"]),
        ("OFFER", "name", ["the lamp inn"]),
    ]
    assert frame["slots"] == [{"slot": "name", "start": 19, "exclusive_end": 31}]
    booking = row["turns"][6]["frames"][0]
    assert booking["actions"][0] == {"act": "AFFIRM_INTENT", "slot": "", "values": [], "canonical_values": []}
    assert booking["state"]["slot_values"]["bookpeople"] == ["2"]
    assert row["turns"][1]["frames"][0]["service_results"] == []


def test_what_is_no_dialogue_with_states_is_refused() -> None:
    first, *rest = turns()
    for changed, complaint in (
        (dataclasses.replace(first, state=None), "it has no state"),
        (dataclasses.replace(first, speaker="Ada"), "the speaker 'Ada'"),
        (dataclasses.replace(first, acts=("find me a hotel",)), "expected domain-act"),
    ):
        with pytest.raises(BuildError, match=f"luas-1, turn 0: .*{complaint}"):
            list(framed(talk(turns=(changed, *rest))))
    greeting = talk(turns=(Turn(USER, "Hi!", acts=("general-greet",), state={}), Turn(SYSTEM, "Hi!")))
    assert [turn["frames"] for turn in multiwoz(greeting)["turns"]] == [[], []]


# ---- schemas --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("schema", [multiwoz_schema, sgd_schema])
def test_a_schema_reads_back(schema: Any, tmp_path: Path) -> None:
    for ontology in (read(OWN), _museum()):
        (tmp_path / "schema.json").write_text(json.dumps(schema(ontology)), encoding="utf-8")
        assert read(tmp_path) == ontology


def _museum() -> Ontology:
    """Slots that are required, of a search and of a booking."""
    slots = (
        Slot("museum", "city", "where it is", required=True),
        Slot("museum", "name", "what it is called"),
        Slot("museum", "bookday", "day of the visit", ("monday", "tuesday"), booking=True, required=True),
    )
    return Ontology((Domain("museum", "old things", slots, ("phone",), books=True, named="name"),))


# ---- folders --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["multiwoz", "sgd"])
def test_what_was_written_reads_back(form: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = task_run(tmp_path / "run")
    assert main([form, str(run), "--out", str(tmp_path / form)]) == 0
    assert capsys.readouterr().out == f"{tmp_path / form}: 32 train, 4 dev, 4 test\n"
    read_back = {dialogue.id: dialogue for dialogue in reading.read(tmp_path / form)}
    assert sorted(read_back) == [dialogue.id for dialogue in forty()]
    for dialogue in forty():
        _alike(read_back[dialogue.id], dialogue, form)


def _alike(found: Dialogue, made: Dialogue, form: str) -> None:
    assert len(found.turns) == len(made.turns)
    for turn, told in zip(found.turns, made.turns, strict=True):
        assert (turn.speaker, turn.text, turn.state, turn.domain) == (
            told.speaker,
            told.text,
            told.state,
            told.domain,
        )
        acts = {
            OTHERWISE[form].get(act, act.replace("nooffer", "refuse") if form == "sgd" else act) for act in told.acts
        }
        assert set(turn.acts) == acts - {None}
        if form == "sgd" and told.lookup:
            assert turn.lookup
            assert turn.lookup.constraints == told.lookup.constraints
            assert turn.lookup.rows == told.lookup.rows


def test_a_converted_corpus_converts_to_itself(tmp_path: Path) -> None:
    once = [multiwoz(dialogue) for dialogue in forty()]
    (tmp_path / "dialogues_001.json").write_text(json.dumps(once), encoding="utf-8")
    again = [multiwoz(dialogue) for dialogue in reading.read(tmp_path)]
    for one, other in zip(once, again, strict=True):
        for turn, back in zip(one["turns"], other["turns"], strict=True):
            states = [frame["state"]["slot_values"] for frame in turn["frames"] if "state" in frame]
            assert states == [frame["state"]["slot_values"] for frame in back["frames"] if "state" in frame]


def test_what_cannot_be_exported_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    strange = talk(turns=(Turn(USER, "An owl.", state={"zoo-animal": "owl"}), Turn(SYSTEM, "No.")))
    run = task_run(tmp_path / "run", [strange])
    assert main(["sgd", str(run), "--out", str(tmp_path / "sgd")]) == 2
    assert "dialogue luas-1: its states have 'zoo-animal'" in capsys.readouterr().err
    assert not (tmp_path / "sgd").exists()
    assert main(["sgd", str(run), "--out", str(tmp_path / "run")]) == 2
    assert "is there already" in capsys.readouterr().err
    assert main(["multiwoz", str(tmp_path), "--out", str(tmp_path / "out")]) == 2


@pytest.mark.skipif(not (DATA / "multiwoz").is_dir(), reason="MultiWOZ is not beside the repository")
def test_real_dialogues_keep_their_states(tmp_path: Path) -> None:
    real = reading.read(DATA / "multiwoz" / "original_examples.json")
    (tmp_path / "dialogues_001.json").write_text(json.dumps([multiwoz(each) for each in real]), encoding="utf-8")
    found = reading.read(tmp_path)
    for one, other in zip(real, found, strict=True):
        assert [(turn.text, turn.state) for turn in one.turns] == [(turn.text, turn.state) for turn in other.turns]
