"""Forms of corpora told apart, ConvLab's and our own, what is refused, and the published data where it is at hand."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthesis.dialogue import Dialogue, Lookup, Turn, from_json, to_json
from synthesis.errors import UserError
from synthesis.task_oriented import flat, goals
from synthesis.task_oriented.acts import parse
from synthesis.task_oriented.corpora.files import split_of
from synthesis.task_oriented.corpora.reading import read, split
from synthesis.task_oriented.state import SYSTEM, USER, tracked
from tests.corpus_files import written
from tests.test_corpora_frames import MUL1
from tests.test_corpora_frames import SGD as SGD_TALK
from tests.test_corpora_multiwoz import STAY

Row = dict[str, Any]
DATA = Path(__file__).resolve().parents[2] / "shared/data"

OURS = Dialogue(
    "luas-1",
    (
        Turn(USER, "Hello.", acts=("general-greet",), state={}, domain="hotel"),
        Turn(SYSTEM, "Where?", acts=("hotel-request(area)",), domain="hotel"),
        Turn(USER, "North.", acts=("hotel-inform(area=north)",), state={"hotel-area": "north|west"}, domain="hotel"),
        Turn(SYSTEM, "The Sty.", domain="hotel", lookup=Lookup("hotel", {"area": "north"}, 1, ({"name": "the sty"},))),
    ),
    goal={"domains": {"hotel": {"inform": {"area": "north"}}}},
)


# ---- ConvLab --------------------------------------------------------------------------------------------------------


def convlab_turn(speaker: str, text: str, state: Row | None = None, *acts: tuple[str, str, str, str]) -> Row:
    listed = [dict(zip(("intent", "domain", "slot", "value"), act, strict=True)) for act in acts]
    row = {"speaker": speaker, "utterance": text, "dialogue_acts": {"categorical": [], "binary": listed}}
    return row if state is None else row | {"state": state}


CONVLAB = {
    "dataset": "multiwoz21",
    "data_split": "validation",
    "dialogue_id": "multiwoz21-validation-0",
    "turns": [
        convlab_turn(
            "user",
            "A dear hotel for two.",
            {"hotel": {"price range": "expensive", "book people": "2", "area": ""}, "train": {"leave at": ""}},
            ("inform", "hotel", "price range", "expensive"),
            ("request", "hotel", "entrance fee", ""),
        ),
        convlab_turn(
            "system",
            "Ten of them.",
            None,
            ("inform", "hotel", "choice", "10"),
            ("reqmore", "general", "", ""),
            ("offerbook", "hotel", "", ""),
        ),
    ],
}


def test_convlab(tmp_path: Path) -> None:
    (found,) = read(written(tmp_path / "dialogues.json", [CONVLAB]))
    assert (found.source, split(found)) == ("multiwoz21, as ConvLab has it: dialogues.json", "validation")
    assert tracked(found) == [(0, {"hotel-pricerange": "expensive", "hotel-bookpeople": "2"})]
    assert [turn.acts for turn in found.turns] == [
        ("hotel-inform(pricerange=expensive)", "hotel-request(entrancefee)"),
        ("hotel-inform(count=10)",),
    ]
    assert [turn.domain for turn in found.turns] == ["hotel", "hotel"]


@pytest.mark.parametrize(
    ("turn", "complaint"),
    [
        (convlab_turn("user", "Hi"), r"turns\[1\]\.state: got 'None', expected an object"),
        (convlab_turn("user", "Hi", {"hotel": {"area": 3}}), r"state\.hotel\.area: got '3', expected a text"),
        (convlab_turn("bot", "Hi"), r"speaker: got 'bot', expected user or system"),
    ],
)
def test_a_broken_turn_of_convlab_is_named(turn: Row, complaint: str, tmp_path: Path) -> None:
    rows = [CONVLAB | {"turns": [*CONVLAB["turns"][:1], turn]}]
    with pytest.raises(UserError, match=complaint):
        read(written(tmp_path / "a.json", rows))


# ---- our own --------------------------------------------------------------------------------------------------------


def table_row(dialogue: Dialogue) -> Row:
    assert dialogue.goal is not None
    return {
        "id": dialogue.id,
        "turns": [flat.turn_cells(turn) for turn in dialogue.turns],
        "domains": ["hotel"],
        "goal": flat.goal_cells(goals.from_json(dialogue.goal)),
        "persona": None,
        "notes": [],
        "model": "somebody",
    }


def test_our_own_in_every_form(tmp_path: Path) -> None:
    import datasets

    other = dataclasses.replace(OURS, id="luas-2", notes=("split: test",))
    lines = "".join(json.dumps(to_json(each)) + "\n" for each in (OURS, other))
    run = written(tmp_path / "run" / "dialogues.jsonl", lines)
    listed = written(tmp_path / "some.json", [to_json(OURS), to_json(other)])
    assert read(run) == read(run.parent) == (OURS, other)
    assert [dataclasses.replace(each, source=None) for each in read(listed)] == [OURS, other]
    assert [split(each) for each in read(run)] == [None, "test"]
    data = tmp_path / "dist" / "data"
    data.mkdir(parents=True)
    for name in ("train", "test"):
        rows = [table_row(dataclasses.replace(OURS, id=f"luas-{name}"))]
        datasets.Dataset.from_list(rows).to_parquet(data / f"{name}-00000-of-00001.parquet")
    assert list(read(tmp_path / "dist")) == [
        dataclasses.replace(OURS, id=f"luas-{name}", notes=(f"split: {name}",)) for name in ("train", "test")
    ]
    (bare,) = read(data / "test-00000-of-00001.parquet")
    assert (bare.turns, bare.goal) == (OURS.turns, OURS.goal)


def test_another_speaker_and_a_turn_without_state_are_refused(tmp_path: Path) -> None:
    bot = dataclasses.replace(OURS, turns=(Turn("Bot", "Hi"),))
    with pytest.raises(UserError, match=r"dialogues\.jsonl:1: speaker 'Bot'; expected User or System"):
        read(written(tmp_path / "dialogues.jsonl", json.dumps(to_json(bot))))
    mute = dataclasses.replace(OURS, turns=(Turn(USER, "Hi"),))
    with pytest.raises(UserError, match="dialogue luas-1: turn 0 of the user has no state"):
        read(written(tmp_path / "dialogues.jsonl", json.dumps(to_json(mute))))


# ---- what is refused ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("a.json", [], "got a list of nothing; expected MultiWOZ 2.2 or SGD"),
        ("a.json", 3, "got a int of nothing"),
        ("a.json", {"a": {"b": 1}}, r"got a dict of \['b'\]; expected MultiWOZ"),
        ("a.json", [{"service_name": "hotel", "slots": []}], r"got a list of \['service_name', 'slots'\]"),
        ("a.json", [{"dialogue_id": "x", "turns": []}], r"got a list of \['dialogue_id', 'turns'\]"),
        ("a.json", "{", "a.json: not JSON"),
        ("a.json", " ", "the file is empty"),
        ("a.txt", "x", r"a\.txt: expected MultiWOZ 2.2 or SGD"),
        ("a.json", [CONVLAB, CONVLAB], r"the id 'multiwoz21-validation-0' was at .*a.json\[0\] already"),
    ],
)
def test_other_sources_are_refused_by_name(name: str, content: Any, complaint: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=complaint):
        read(written(tmp_path / name, content))


PLAIN = st.recursive(
    st.none() | st.integers(-3, 3) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)
WHOLE = {
    "frames": [MUL1, SGD_TALK],
    "log": {"SNG1.json": {"log": STAY}},
    "convlab": [CONVLAB],
    "ours": [to_json(OURS)],
}


def paths(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The way to every node of plain JSON but the root."""
    nodes = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [way for key, inner in nodes for way in ((*at, key), *paths(inner, (*at, key)))]


@given(st.data(), st.sampled_from(sorted(WHOLE)))
def test_a_damaged_corpus_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, data: Any, form: str) -> None:
    """Whatever stands at any one place: nothing but UserError comes of it, and every turn of the user has a state."""
    content = json.loads(json.dumps(WHOLE[form]))
    *way, last = data.draw(st.sampled_from(paths(content)))
    node = content
    for key in way:
        node = node[key]
    node[last] = data.draw(PLAIN)
    path = written(tmp_path_factory.getbasetemp() / f"damaged-{form}.json", content)
    with contextlib.suppress(UserError):
        for dialogue in read(path):
            assert all(isinstance(value, str) for _, state in tracked(dialogue) for value in state.values())
            assert from_json(to_json(dialogue)) == dialogue


def test_missing_sources_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere\.json: no such file"):
        read(tmp_path / "nowhere.json")
    with pytest.raises(UserError, match="no file of dialogues in it"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("place", "name"),
    [
        ("mwz/dev/dialogues_001.json", "validation"),
        ("mwz/train/dialogues_001.json", "train"),
        ("a.zip/MULTIWOZ2.1/val.json", "validation"),
        ("test_dials.json", "test"),
        ("dialogues-test-00000.json", "test"),
        ("contest/latest.json", None),
        ("test_runs/data.json", None),
        ("data.json", None),
    ],
)
def test_names_that_tell_a_split(place: str, name: str | None) -> None:
    assert split_of(place) == name


# ---- the published data ---------------------------------------------------------------------------------------------

MULTIWOZ, SGD = DATA / "multiwoz", DATA / "sgd"
published = pytest.mark.skipif(not (MULTIWOZ.is_dir() and SGD.is_dir()), reason="needs ../shared/data/{multiwoz,sgd}")


def counted(found: tuple[Dialogue, ...]) -> tuple[int, int, int]:
    """Dialogues, turns of users, filled slots; everything survives JSON, and acts can be read."""
    states = [state for dialogue in found for _, state in tracked(dialogue)]
    assert all(parse(act) for dialogue in found for turn in dialogue.turns for act in turn.acts)
    assert from_json(json.loads(json.dumps(to_json(found[0])))) == found[0]
    return len(found), len(states), sum(map(len, states))


@published
@pytest.mark.timeout(60)
def test_the_validation_split_of_multiwoz_21() -> None:
    found = read(MULTIWOZ / "val.json.zip")
    assert counted(found) == (999, 7365, 41012)
    values = Counter(value for dialogue in found for _, state in tracked(dialogue) for value in state.values())
    assert values["dontcare"] == 775
    assert sum(count for value, count in values.items() if "|" in value) == 19
    assert {split(dialogue) for dialogue in found} == {"validation"}
    names = {name for dialogue in found for _, state in tracked(dialogue) for name in state}
    assert len(names) == 31  # the 30 tracked slots and hospital-department
    first = found[0]
    assert (first.id, len(first.turns)) == ("PMUL1635", 18)
    assert tracked(first)[1] == (
        2,
        {"hotel-area": "east", "hotel-parking": "yes", "hotel-stars": "4", "hotel-internet": "yes"},
    )


@published
def test_the_five_dialogues_of_multiwoz_22() -> None:
    found = read(MULTIWOZ / "original_examples.json")
    assert counted(found) == (5, 23, 89)
    taxi = {dialogue.id: dialogue for dialogue in found}["SNG1161.json"]
    assert tracked(taxi)[1][1] == {
        "taxi-departure": "jesus college",
        "taxi-destination": "norwich train station",
        "taxi-leaveat": "02:45|after 02:30",
    }


@published
def test_the_ten_dialogues_of_convlab() -> None:
    found = read(MULTIWOZ / "dummy_data.json")
    assert counted(found) == (10, 60, 257)
    assert {split(dialogue) for dialogue in found} == {"train"}


@published
def test_two_files_of_sgd() -> None:
    found = read(SGD / "dev")
    assert counted(found) == (196, 1324, 4881)
    lookups = [turn.lookup for dialogue in found for turn in dialogue.turns if turn.lookup]
    assert len(lookups) == 343
    assert sum(lookup.count for lookup in lookups) == sum(len(lookup.rows) for lookup in lookups)
    assert {split(dialogue) for dialogue in found} == {"validation"}
