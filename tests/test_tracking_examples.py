"""Examples for trackers: rows by hand, what is cut, parts of a corpus, what is refused, what is learned."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthesis.dialogue import Dialogue, Turn, to_json
from synthesis.errors import UserError
from synthesis.task_oriented.state import USER
from synthesis.task_oriented.state_form import Prompt
from synthesis.task_oriented.state_form import read as read_state
from tests.tiny_model import make_tiny_model
from tests.tracked_talks import HOTEL, MULTIWOZ, TOWN, talk, written
from training.conversations import token_count
from training.examples import encode
from training.examples import read as read_examples
from training.rows import rows as rows_of
from training.tracking.examples import main
from training.tracking.parts import parted
from training.tracking.prompts import fitted

TALKS = tuple(talk(f"t-{number}", ("hotel", "North.", "Fine.", {"hotel-area": "north"})) for number in range(20))


def made(folder: Path, *dialogues: Dialogue, flags: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    source = written(folder / "talks.jsonl", *dialogues)
    main([source, "--ontology", str(TOWN), "--out", str(folder / "rows.jsonl"), *flags])
    return lines(folder / "rows.jsonl")


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def facts(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "rows.facts.json").read_text())
    return found


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(make_tiny_model(tmp_path_factory.mktemp("model")))


def test_every_turn_of_the_user_is_a_row_with_its_history_and_its_state(tmp_path: Path) -> None:
    rows = made(tmp_path, HOTEL)
    assert [row["turn"] for row in rows] == [0, 2, 4, 6]
    assert [row["completion"] for row in rows] == [
        '{"hotel":{"area":"north"}}',
        '{"hotel":{"area":"north","name":"the mill"}}',
        *['{"hotel":{"area":"north","name":"the mill"},"taxi":{"destination":"the mill","arriveby":"09:00"}}'] * 2,
    ]
    assert rows[1] == {
        "prompt": "Write what the user wants after the last turn, as JSON: domain, slot, value.\n"
        "User: A hotel in the north.\nSystem: The Mill.\nUser: Book it.\nState:\n",
        "completion": '{"hotel":{"area":"north","name":"the mill"}}',
        "task": "dialogue state tracking",
        "source": "talks.jsonl",
        "dialogue_id": "real-1",
        "turn": 2,
    }
    assert facts(tmp_path)["data"][0]["examples"] == 4
    assert facts(tmp_path)["counted"] == {}


def test_a_delta_is_learned_after_the_state_before(tmp_path: Path) -> None:
    gone = talk("t", ("hotel", "North.", "No.", {"hotel-area": "north"}), ("hotel", "Any.", "A.", {"hotel-area": ""}))
    rows = made(tmp_path, gone, flags=("--form", "delta", "--schema"))
    assert [row["completion"] for row in rows] == ['{"hotel":{"area":"north"}}', '{"hotel":{"area":null}}']
    assert rows[1]["prompt"].endswith('\nUser: Any.\nState: {"hotel":{"area":"north"}}\nChange:\n')
    assert "\n- area: " in rows[1]["prompt"]


def test_slots_that_the_ontology_lacks_are_left_out_and_counted(tmp_path: Path) -> None:
    both = talk("t", ("hospital", "Help.", "Here.", {"hospital-department": "eyes", "hotel-area": "north"}))
    assert [row["completion"] for row in made(tmp_path, both)] == ['{"hotel":{"area":"north"}}']
    assert facts(tmp_path)["slots_left_out"] == {"hospital-department": 1}
    assert facts(tmp_path)["counted"] == {"values of slots that the ontology lacks, left out": 1}


def test_the_oldest_turns_go_and_never_the_target(tmp_path: Path, tokenizer: str) -> None:
    whole = made(tmp_path, HOTEL)
    count = token_count(tokenizer, 0)
    sizes = [count(row["prompt"]) + count(row["completion"]) + 1 for row in whole]
    longest = sizes[2] - 1
    cut = made(tmp_path, HOTEL, flags=("--tokenizer", tokenizer, "--max-length", str(longest)))
    assert [row["completion"] for row in cut] == [row["completion"] for row in whole]
    assert [row["prompt"] == old["prompt"] for row, old in zip(cut, whole, strict=True)] == [True, True, False, False]
    assert all(count(row["prompt"]) + count(row["completion"]) < longest for row in cut)
    assert cut[2]["prompt"].endswith("\nSystem: Done.\nUser: A taxi there by 9:00.\nState:\n")
    assert "A hotel in the north" not in cut[2]["prompt"]
    assert facts(tmp_path)["counted"]["histories cut"] == 2
    with pytest.raises(UserError, match=r"no example is left.*4 turns longer than the longest example"):
        made(tmp_path, HOTEL, flags=("--tokenizer", tokenizer, "--max-length", "30"))


words = st.lists(st.sampled_from(["a", "bb", "ccc"]), min_size=1, max_size=6).map(" ".join)


@given(st.lists(words.map("User: {}".format), min_size=1, max_size=8), st.integers(0, 60))
def test_as_much_as_fits_is_kept_from_the_end(said: list[str], room: int) -> None:
    prompt = Prompt("Task", tuple(said), "State:")
    found = fitted(prompt, lambda text: len(text.split()) <= room)
    if found is None:
        assert room < 4  # task, speaker, one word, "State:"
        return
    assert len(found.text.split()) <= room
    assert found.text.startswith("Task\n")
    assert found.text.endswith("\nState:\n")
    kept = found.text.splitlines()[1:-1]
    if not found.words:
        assert kept == said[found.turns :]
        assert not found.turns or len(prompt.text(found.turns - 1).split()) > room  # no more would fit
    else:
        assert (len(kept), found.turns) == (1, len(said) - 1)
        assert kept[0].split()[1:] == said[-1].split()[1 + found.words :]
        assert len(found.text.split()) == room


def test_the_smaller_subset_is_in_the_larger_and_what_is_put_aside_is_the_same() -> None:
    parts = {size: parted(TALKS, 0.1, 0.2, size, seed=7) for size in (3, 6, 12, None)}
    learned = {size: {each.id for each in part.learned} for size, part in parts.items()}
    assert learned[3] < learned[6] < learned[12] < learned[None]
    assert [len(ids) for ids in learned.values()] == [3, 6, 12, 14]
    others = parted(TALKS, 0.1, 0.2, 12, seed=8)
    assert {each.id for each in others.learned} != learned[12]
    for part in (*parts.values(), others):
        assert (part.held_out, part.test) == (parts[3].held_out, parts[3].test)
        assert len({each.id for each in (*part.learned, *part.held_out, *part.test)}) == len(part.learned) + 6
    assert [each.id for each in parts[None].learned] == [each.id for each in TALKS if each.id in learned[None]]
    with pytest.raises(UserError, match=r"asked for 15 .* 14 are left"):
        parted(TALKS, 0.1, 0.2, 15, 0)


def test_what_is_put_aside_is_written_and_not_learned(tmp_path: Path) -> None:
    held, test = tmp_path / "held.jsonl", tmp_path / "test.jsonl"
    flags = ("--held-out", "0.1", "--eval-out", str(held), "--test", "0.2", "--test-out", str(test))
    rows = made(tmp_path, *TALKS, flags=(*flags, "--dialogues", "5"))
    ids = [{row["dialogue_id"] for row in each} for each in (rows, lines(held))] + [{row["id"] for row in lines(test)}]
    assert [len(each) for each in ids] == [5, 2, 4]
    assert len(ids[0] | ids[1] | ids[2]) == 11
    assert lines(test) == [to_json(each) for each in TALKS if each.id in ids[2]]


@pytest.mark.parametrize(
    ("dialogue", "flags", "said"),
    [
        (Dialogue("t", ()), (), "no turn of the user"),
        (talk("t", ("hotel", "Hi.", "Hello.", {})), (), r"no state of its 1 turns .* they have no slots at all"),
        (talk("t", ("zoo", "Cats.", "Yes.", {"zoo-animal": "cat"})), (), "they have zoo-animal; give the ontology"),
        (Dialogue("t", (Turn(USER, "Hi."),)), (), "turn 0 of the user has no state"),
        (HOTEL, ("--held-out", "0.1"), "--eval-out"),
        (HOTEL, ("--max-length", "100"), "give --tokenizer"),
        (HOTEL, ("--dialogues", "2"), "1 are left"),
        (HOTEL, ("--test", "0.5", "--test-out", "x"), "0 are left"),
    ],
)
def test_what_cannot_be_learned_is_refused(
    tmp_path: Path, dialogue: Dialogue, flags: tuple[str, ...], said: str
) -> None:
    with pytest.raises(UserError, match=said):
        made(tmp_path, dialogue, flags=flags)
    assert not (tmp_path / "rows.jsonl").exists()


def test_what_was_converted_converts_to_the_same(tmp_path: Path) -> None:
    """States read back out of the targets, put into the dialogue, make the same rows."""
    rows = made(tmp_path, HOTEL)
    states = {row["turn"]: read_state(row["completion"]) for row in rows}
    turns = (replace(turn, state=states.get(number)) for number, turn in enumerate(HOTEL.turns))
    again = tmp_path / "again"
    again.mkdir()
    assert made(again, replace(HOTEL, turns=tuple(turns))) == rows
    assert (again / "rows.jsonl").read_bytes() == (tmp_path / "rows.jsonl").read_bytes()


def test_the_loss_covers_the_target_and_its_end_alone(tmp_path: Path, tokenizer: str) -> None:
    from transformers import AutoTokenizer

    rows = made(tmp_path, HOTEL)
    reads = AutoTokenizer.from_pretrained(tokenizer)
    encoded = encode(read_examples(rows_of(str(tmp_path / "rows.jsonl"))), reads)
    for row, example in zip(rows, encoded, strict=True):
        learned = [token for token, covered in zip(example.ids, example.mask, strict=True) if covered]
        assert reads.decode(learned[:-1]) == row["completion"]
        assert learned[-1] == reads.eos_token_id
        assert token_count(tokenizer, 0)(row["prompt"]) + len(learned) == len(example.ids)


@pytest.mark.skipif(not MULTIWOZ.is_dir(), reason="needs ../shared/data/multiwoz")
def test_no_turn_of_multiwoz_is_lost(tmp_path: Path) -> None:
    out = tmp_path / "rows.jsonl"
    main([str(MULTIWOZ / "val.json.zip"), "--ontology", str(MULTIWOZ), "--out", str(out)])
    assert (len(lines(out)), facts(tmp_path)["counted"]) == (7365, {})
