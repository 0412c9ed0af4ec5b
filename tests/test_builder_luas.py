"""The dataset of luas: its configs, its card, and the slots and acts that the card counts."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from datasets import load_dataset
from huggingface_hub import DatasetCard

from builders.__main__ import main
from builders.build import Built, build
from builders.luas import OWN, chats, dialogues, family, multiwoz_rows, sgd_rows, tracking
from builders.states import counted, distance
from synthesis.dialogue import Dialogue, Turn, to_json
from synthesis.dialogue_files import Dialogues
from synthesis.errors import BuildError, UserError
from synthesis.task_oriented.corpora import reading
from synthesis.task_oriented.ontology import read
from synthesis.task_oriented.state import SYSTEM, USER, tracked
from synthesis.task_oriented.state_form import Form
from tests.task_talks import FIELDS, INN, forty, talk, task_run


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    folder = tmp_path_factory.mktemp("luas")
    (folder / "people.jsonl").write_text(json.dumps(to_json(_person())) + "\n", encoding="utf-8")
    return build(task_run(folder / "run"), folder / "dist", reference=str(folder / "people.jsonl"))


def _person() -> Dialogue:
    """A dialogue to hold the others against: one turn of the user, two slots of which one is a place to eat."""
    said = (
        Turn(
            USER,
            "Food in the north, and a bus.",
            acts=("restaurant-inform(area=north)",),
            state={"restaurant-area": "north", "bus-day": "monday"},
            domain="restaurant",
        ),
        Turn(SYSTEM, "Which food?", acts=("restaurant-request(food)",), domain="restaurant"),
    )
    return Dialogue("person-1", said)


def card_of(built: Built) -> str:
    """The card on one line."""
    return " ".join((built.folder / "README.md").read_text(encoding="utf-8").split())


# ---- rows -----------------------------------------------------------------------------------------------------------


def test_a_default_row_by_hand() -> None:
    (row,) = dialogues(talk())
    assert row["domains"] == ["hotel", "taxi"]
    assert row["turns"][3]["lookup"] == {
        "domain": "hotel",
        "constraints": [{"slot": "area", "value": "north"}, {"slot": "parking", "value": "yes"}],
        "count": 3,
        "rows": [[{"slot": slot, "value": value} for slot, value in INN.items()]],
    }
    assert row["turns"][0]["state"] == [
        {"slot": "hotel-area", "value": "west"},
        {"slot": "hotel-parking", "value": "yes|free"},
    ]
    assert (row["turns"][1]["state"], row["turns"][2]["lookup"]) == (None, None)
    assert row["goal"][0]["fail"] == [{"slot": "area", "value": "west"}]
    assert row["goal"][1] == {
        "domain": "taxi",
        "inform": [{"slot": "departure", "value": "the lamp inn"}, {"slot": "leaveat", "value": "10:15"}],
        "book": [],
        "fail": [],
        "request": [],
    }
    assert row["persona"] == "A teacher on a first visit."
    assert (row["model"], row["round"], row["requests"]) == ("teller", 1, 12)


def test_a_chat_shows_what_the_database_gave_before_the_assistant_names_it() -> None:
    (row,) = chats(talk())
    system, *said = row["messages"]
    assert "hotel, taxi" in system["content"]
    assert [message["role"] for message in said] == ["user", "assistant"] * 6
    assert said[2]["content"].endswith(
        "\n\n[hotel: 3 found; name the lamp inn, area north, parking yes, phone 01632960123]"
    )
    assert said[0]["content"].endswith("\n\n[hotel: 0 found]")
    assert said[4]["content"] == "That one. What is its phone number?"
    booked = dataclasses.replace(
        talk().turns[7], acts=("hotel-booked(name=the lamp inn)", "hotel-booked(ref=AB12CD34)")
    )
    (row,) = chats(talk(turns=(*talk().turns[:7], booked)))
    assert row["messages"][-2]["content"].endswith("from Friday.\n\n[hotel: booked, ref AB12CD34]")


def test_a_tracker_learns_from_a_row_a_turn_of_the_user() -> None:
    rows = list(tracking(talk()))
    assert [(row["turn"], row["domain"]) for row in rows] == [
        *((turn, "hotel") for turn in (0, 2, 4, 6)),
        (8, "taxi"),
        (10, "taxi"),
    ]
    assert rows[1]["history"] == [
        "User: Hello! A hotel in the west with free parking, please.",
        "System: There is none in the west, I am afraid.",
        "User: The North then. I do not mind how many stars.",
    ]
    assert rows[1]["target"] == '{"hotel":{"area":"north","stars":"dontcare","parking":"yes"}}'
    assert rows[1]["change"] == '{"hotel":{"area":"north","stars":"dontcare"}}'
    assert rows[5]["change"] == "{}"
    form = Form(read(OWN))
    for row, (_, state) in zip(rows, tracked(talk()), strict=True):
        assert row["target"] == form.target({}, state)
        assert {pair["slot"]: pair["value"] for pair in row["state"]} == state


def test_the_forms_of_others_have_lists_for_maps() -> None:
    (row,) = multiwoz_rows(talk())
    assert row["turns"][2]["frames"][0]["state"]["slot_values"][2] == {
        "slot": "hotel-parking",
        "values": ["yes", "free"],
    }
    assert row["turns"][3]["dialog_act"][0] == {"act": "Hotel-Inform", "slots": [{"slot": "choice", "value": "3"}]}
    (row,) = sgd_rows(talk())
    frame = row["turns"][3]["frames"][0]
    assert frame["state"] is None
    assert frame["service_call"]["parameters"][0] == {"slot": "area", "value": "north"}
    assert frame["service_results"][0][0] == {"slot": "name", "value": "the lamp inn"}


@pytest.mark.parametrize("rows", [dialogues, chats, tracking, multiwoz_rows, sgd_rows])
def test_every_config_refuses_what_has_no_states(rows: Any) -> None:
    without = tuple(dataclasses.replace(turn, state=None) for turn in talk().turns)
    with pytest.raises(BuildError, match="luas-1"):
        list(rows(talk(turns=without)))


def test_a_dialogue_without_a_goal_is_refused() -> None:
    with pytest.raises(BuildError, match=r"luas-1, goal: .*no dialogue about a task"):
        list(dialogues(talk(goal={"type": "Bird"})))


# ---- the dataset ----------------------------------------------------------------------------------------------------


def test_every_config_loads_with_what_was_made(built: Built, tmp_path: Path) -> None:
    assert list(built.rows) == ["default", "messages", "dst", "multiwoz", "sgd"]
    for config, rows in (
        ("default", dialogues),
        ("messages", chats),
        ("dst", tracking),
        ("multiwoz", multiwoz_rows),
        ("sgd", sgd_rows),
    ):
        made = sorted((row for dialogue in forty() for row in rows(dialogue)), key=str)
        loaded = load_dataset(str(built.folder), config, cache_dir=str(tmp_path))
        found = [{key: row[key] for key in made[0]} for split in loaded.values() for row in split]
        assert sorted(found, key=str) == [_filled(row, found[0]) for row in made]


def _filled(row: Any, like: Any) -> Any:
    """The row with its keys in the order of `like`, which is how a table gives them back."""
    return {key: row[key] for key in like}


def test_a_goal_is_in_one_split_whoever_has_it(built: Built, tmp_path: Path) -> None:
    other = talk(goal=talk().goal | {"persona": "Somebody else."})
    assert family(talk()) == family(other) != family(talk(goal=forty()[-1].goal))
    loaded = load_dataset(str(built.folder), cache_dir=str(tmp_path))
    homes: dict[str, set[str]] = {}
    for split, rows in loaded.items():
        for row in rows:
            homes.setdefault(str(row["goal"]), set()).add(split)
    assert len(homes) == 25
    assert all(len(splits) == 1 for splits in homes.values())
    assert set.union(*homes.values()) == {"train", "validation", "test"}


def test_readers_take_run_and_dataset_alike(built: Built) -> None:
    run = built.folder.parents[1] / "run"
    told = [dataclasses.replace(dialogue, origin=None) for dialogue in forty()]
    assert list(Dialogues(str(run / "dialogues.jsonl"))) == forty()
    assert sorted(Dialogues(str(built.folder)), key=lambda each: each.id) == told
    of_run = {dialogue.id: dialogue.turns for dialogue in reading.read(run)}
    assert {dialogue.id: dialogue.turns for dialogue in reading.read(built.folder)} == of_run


def test_a_dataset_gives_the_same_files_as_its_run(built: Built, tmp_path: Path) -> None:
    for source, out in ((built.folder.parents[1] / "run", "of_run"), (built.folder, "of_dataset")):
        assert main(["multiwoz", str(source), "--out", str(tmp_path / out)]) == 0
    assert _files(tmp_path / "of_run") == _files(tmp_path / "of_dataset")
    assert sorted(_files(tmp_path / "of_run")) == [
        "dev/dialogues_001.json",
        "dialog_acts.json",
        "schema.json",
        "test/dialogues_001.json",
        "train/dialogues_001.json",
    ]


def _files(folder: Path) -> Mapping[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.json")}


def test_the_card(built: Built) -> None:
    head = DatasetCard.load(built.folder / "README.md").data.to_dict()
    assert head["license"] == "cc-by-4.0"
    assert "dialogue-state-tracking" in head["tags"]
    card = card_of(built)
    for sentence in (
        "carry no licence: prompts, phrases, goals and dialogues are Parley's own",
        "a town that was made up for Parley",
        "the model said them in its own words",
        "| turns of the user | 190 | 1 |",
        "| 2 | 30 | 0.75 |",
        "| nothing | 40 | 0.4 |",
        "| `hotel-stars` | 150 | 0.789 | 0 | 30 | 1 | 1 |",
        "| `bus-day` | 0 | 0 | 1 | 0 | 0 | – |",
        "| System | request | 0 | 0 | 1 |",
        "here and in the reference",
        "(figures/slots.png)",
        "domains 0.857",
        "The town, its places, addresses and phone numbers were made up",
        "eprint = {2405.13037}",
    ):
        assert sentence in card, sentence
    for absent in ("phrases that ship", "contains rows of its database", "The reference has no states"):
        assert absent not in card
    assert (built.folder / "figures" / "slots.png").stat().st_size > 10_000


def test_phrases_and_the_data_of_others_are_said_plainly(tmp_path: Path) -> None:
    fields = FIELDS | {"ontology": "multiwoz sha256:0011223344556677", "wording": "phrases", "goals": "corpus"}
    run = task_run(
        tmp_path / "run", [talk()], preset="laptop", model="parley-embedded", fields=fields | {"corpus": "train.zip"}
    )
    built = build(run, tmp_path / "dist")
    card = card_of(built)
    assert card.startswith("--- license: unknown ")
    for sentence in (
        "**The words are phrases that ship with Parley**",
        "it chose among phrases",
        "the model chose each utterance among sentences put together of phrases",
        "**This dataset contains rows of its database** (`multiwoz sha256",
        "under the MIT licence",
        "CC BY-SA 4.0",
        "The goals are those of `train.zip`",
    ):
        assert sentence in card, sentence
    for absent in ("reference |", "a town that was made up", "The town, its places"):
        assert absent not in card


def test_the_published_way_and_unread_words_are_told_as_they_are(tmp_path: Path) -> None:
    for name, fields, said, unsaid in (
        ("paper", {"mode": "paper"}, "As published: the model spoke freely", "picked by the machine"),
        ("none", {"extractor": "none"}, "Nobody looked whether the words say them.", "had to read the same state"),
        ("rules", {"extractor": "rules"}, "Rules that know the ontology", "An extractor, a prompt"),
    ):
        run = task_run(tmp_path / name, [talk()], fields=FIELDS | fields)
        card = card_of(build(run, tmp_path / f"{name}-dist"))
        assert said in card
        assert unsaid not in card


def test_a_reference_must_have_states(tmp_path: Path) -> None:
    path = tmp_path / "chat.jsonl"
    path.write_text('{"id": "1", "turns": [{"speaker": "User", "text": "Hi"}]}\n', encoding="utf-8")
    with pytest.raises(UserError, match="has no state"):
        build(task_run(tmp_path / "run"), tmp_path / "dist", reference=str(path))


# ---- what the card counts -------------------------------------------------------------------------------------------


def test_counts_by_hand() -> None:
    found = counted([talk()], [_person()])
    assert (found["dialogues"], found["user_turns"]) == (1, 6)
    assert found["held"] == pytest.approx((2 + 3 + 4 + 7 + 9 + 9) / 6)
    assert found["told"] == pytest.approx((2 + 2 + 1 + 3 + 2 + 0) / 6)
    slots = {row["slot"]: row for row in found["slots"]}
    assert slots["hotel-area"] == {
        "slot": "hotel-area",
        "turns": 6,
        "share": 1.0,
        "told": 2,
        "values": 2,
        "dontcare": 0.0,
        "reference": 0.0,
    }
    assert (slots["hotel-stars"]["dontcare"], slots["bus-day"]["dontcare"]) == (1.0, None)
    assert [row["slot"] for row in found["slots"]][:2] == ["bus-day", "hotel-area"]
    acts = {(row["speaker"], row["act"]): row["share"] for row in found["acts"]}
    assert acts[USER, "book"] == pytest.approx(2 / 16)
    assert acts[SYSTEM, "bye"] == pytest.approx(1 / 7)
    assert [row["count"] for row in found["lookups"]] == [1, 1, 1]
    assert found["breadth"] == [{"domains": 2, "count": 1, "share": 1.0}]
    assert found["beside"]["distances"]["slots"] == pytest.approx(1)
    assert found["beside"]["distances"]["user acts"] == pytest.approx(1 - 9 / 16)


def test_a_distance_is_half_of_what_differs() -> None:
    assert distance({"a": 1, "b": 3}, {"a": 2, "b": 2}) == 0.25
    assert distance({"a": 2}, {"a": 9}) == 0
    assert distance({"a": 1}, {"b": 1}) == 1
    assert (distance({}, {}), distance({}, {"a": 1})) == (0, 1)


def test_no_reference_leaves_nothing_beside() -> None:
    assert "beside" not in counted([talk()])
    assert "beside" not in counted([talk()], [Dialogue("chat", (Turn("Ada", "Hi"),))])
