"""What lies on disk so that memory does not grow: sorted rows, and a round's dialogues as a sequence and by id."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthesis.dialogue import Dialogue, Turn, to_json
from synthesis.kept import ById, Chained, Kept, by_id
from synthesis.outcomes import Round, Shard, Writer, part
from synthesis.sorting import Sorting

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)


@settings(max_examples=40)
@given(st.lists(TEXT, max_size=30), st.integers(1, 9))
def test_rows_come_out_sorted(tmp_path_factory: pytest.TempPathFactory, ids: list[str], chunk: int) -> None:
    with Sorting(tmp_path_factory.mktemp("sorting"), chunk=chunk) as rows:
        for number, id_ in enumerate(ids):
            rows.add({"id": id_, "content": number})
        found = list(rows)
    assert [row["id"] for row in found] == sorted(ids)
    assert sorted(row["content"] for row in found) == list(range(len(ids)))
    assert all(ids[row["content"]] == row["id"] for row in found)


def dialogue(id_: str) -> Dialogue:
    return Dialogue(id_, (Turn("A", f"I am {id_}, naïvely."), Turn("B", "So?")))


def written(folder: Path, count: int, shards: int = 2) -> Round:
    """A round in which every third is dropped and one is dropped in comparison."""
    for index in range(shards):
        with Writer(part(folder, 1, Shard(index, shards))) as writer:
            places = list(enumerate(range(index, count, shards)))
            Random(1).shuffle(places)
            for place, number in places:
                row = {"id": f"d{number:05}", "stages": []}
                kept = {"outcome": "kept", "dialogue": to_json(dialogue(row["id"]))}
                writer.add(place, row | (kept if number % 3 else {"outcome": "dropped", "stage": "x", "reason": "y"}))
    return Round(folder, 1, shards, {"d00004": ("near", "near: of d00002")})


def test_a_round_as_a_sequence_and_by_id(tmp_path: Path) -> None:
    each = written(tmp_path, 60)
    kept = Kept(each)
    wanted = [dialogue(f"d{number:05}") for number in range(60) if number % 3 and number != 4]
    assert list(kept) == wanted
    assert len(kept) == len(wanted)
    assert kept[-1] == wanted[-1]
    assert kept[2:5] == tuple(wanted[2:5])
    with pytest.raises(IndexError):
        kept[len(wanted)]
    named = by_id(kept)
    assert isinstance(named, ById)
    assert list(named) == [one.id for one in wanted]
    assert all(named[one.id] == one for one in wanted)
    assert named.get("d00004") is None
    assert "d00003" not in named
    assert by_id(wanted) == {one.id: one for one in wanted}
    both = Chained(wanted[:2], kept)
    assert list(both) == [*wanted[:2], *wanted]
    assert both[1:4] == (wanted[1], *wanted[:2])
    assert Random(3).sample(both, 5) == Random(3).sample((*wanted[:2], *wanted), 5)


def test_a_round_takes_some_bytes_a_dialogue(tmp_path: Path) -> None:
    each = written(tmp_path, 6000)
    tracemalloc.start()
    kept = Kept(each)
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 60 * len(kept)


def test_a_writer_wants_one_outcome_for_each_place(tmp_path: Path) -> None:
    path = part(tmp_path, 1, Shard())
    with pytest.raises(ValueError, match="no outcome at place 0"), Writer(path) as writer:
        writer.add(1, {"id": "a", "outcome": "kept"})
    with Writer(path) as writer:
        writer.add(0, {"id": "a", "outcome": "kept"})
        with pytest.raises(ValueError, match="a second outcome of 'b'"):
            writer.add(0, {"id": "b", "outcome": "kept"})
    assert path.read_text() == '{"id": "a", "outcome": "kept"}\n'
