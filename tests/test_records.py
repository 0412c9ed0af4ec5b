"""Records as JSON and files on disk: there and back, refused by name, whole or not at all."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthesis.dialogue import Dialogue, Lookup, Origin, Persona, Rejected, Stage, Turn, from_json, messages, to_json
from synthesis.errors import StorageError, UserError
from synthesis.outcomes import Round, Shard, Writer, part
from synthesis.storage import dump, read_jsonl, read_text, write_json, write_jsonl
from synthesis.under_way import files

ROOT = Path(__file__).resolve().parents[1]

texts = st.text(st.characters(exclude_categories=("Cs",)), max_size=12)
maybe_texts = st.none() | texts
lists = st.lists(texts, max_size=3).map(tuple)
numbers = st.integers(0, 10**9)
plain = st.recursive(
    st.none() | st.booleans() | numbers | texts, lambda inner: st.dictionaries(texts, inner, max_size=2)
)
maps = st.dictionaries(texts, texts, max_size=2)
lookups = st.builds(Lookup, texts, maps, numbers, st.lists(maps, max_size=2).map(tuple))
turns = st.builds(
    Turn,
    texts,
    texts,
    lists,
    lists,
    st.none() | maps,
    maybe_texts,
    st.none() | lookups,
    maybe_texts,
    st.none() | st.tuples(numbers, numbers),
    lists,
    st.none() | st.floats(-99, 0),
)
some_turns = st.lists(turns, max_size=3).map(tuple)
rejected = st.builds(Rejected, some_turns, texts, st.floats(0, 5), st.integers(0, 5))
stages = st.builds(Stage, texts, texts, numbers, numbers, numbers, st.dictionaries(texts, plain, max_size=2))
origins = st.builds(
    Origin,
    texts,
    texts,
    texts,
    maybe_texts,
    texts,
    numbers,
    st.integers(1, 9),
    st.lists(stages, max_size=2).map(tuple),
)
dialogues = st.builds(
    Dialogue,
    texts,
    some_turns,
    st.lists(st.builds(Persona, texts, lists, maybe_texts), max_size=2).map(tuple),
    maybe_texts,
    maybe_texts,
    st.none() | st.dictionaries(texts, plain, max_size=2),
    maybe_texts,
    st.none() | st.dictionaries(texts, texts, max_size=2),
    maybe_texts,
    maybe_texts,
    lists,
    maybe_texts,
    st.none() | st.dictionaries(texts, st.floats(0, 1), max_size=2),
    st.lists(rejected, max_size=2).map(tuple),
    lists,
    st.none() | origins,
)
TWO = Dialogue("d", (Turn("User 1", "Hi!"), Turn("User 2", "Hello!")))


@given(dialogues)
def test_a_dialogue_comes_back_from_its_json(dialogue: Dialogue) -> None:
    assert from_json(json.loads(dump(to_json(dialogue)))) == dialogue


def test_empty_fields_stay_out_of_the_file() -> None:
    assert to_json(TWO) == {
        "id": "d",
        "turns": [{"speaker": "User 1", "text": "Hi!"}, {"speaker": "User 2", "text": "Hello!"}],
    }


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"mood": "good"}, r"f:3: not a Dialogue: unknown fields \['mood'\], missing fields \[\]"),
        (
            {"turns": [{"speaker": "A"}]},
            r"f:3\.turns\[0\]: not a Turn: unknown fields \[\], missing fields \['text'\]",
        ),
        ({"turns": [{"speaker": "A", "text": 5}]}, r"f:3\.turns\[0\]\.text: got '5', expected str"),
        ({"turns": "Hi!"}, r"f:3\.turns: expected a list, got str"),
        ({"turns": None}, r"f:3\.turns: got 'None', expected tuple"),
        ({"turns": ["Hi!"]}, r"f:3\.turns\[0\]: expected an object for Turn, got str"),
        ({"id": 7}, r"f:3\.id: got '7', expected str"),
        ({"personas": [{"id": "p", "traits": "I ski."}]}, r"f:3\.personas\[0\]\.traits: got 'I ski\.'"),
        ({"notes": ["a", 1]}, r"f:3\.notes: got"),
        ({"origin": []}, r"f:3\.origin: expected an object for Origin, got list"),
    ],
)
def test_what_is_no_dialogue_is_refused_by_name(change: dict[str, Any], says: str) -> None:
    with pytest.raises(UserError, match=says):
        from_json({**to_json(TWO), **change}, "f:3")


def test_what_lacks_a_field_is_refused_by_name() -> None:
    with pytest.raises(UserError, match=r"missing fields \['id', 'turns'\]"):
        from_json({})


def test_chat_messages() -> None:
    assert messages(TWO.turns, "User 2", "Be kind.") == [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "Hi!"},
        {"role": "assistant", "content": "Hello!"},
    ]


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("records") / "rows.jsonl"


@given(rows=st.lists(st.dictionaries(texts, texts, max_size=2), min_size=1, max_size=4))
def test_json_lines_come_back_whatever_they_hold(scratch: Path, rows: list[Any]) -> None:
    scratch.write_text("".join(dump(row) + "\n" for row in rows), encoding="utf-8", newline="")
    assert [row for _, row in read_jsonl(scratch, "rows")] == rows


def test_a_line_separator_inside_a_string_ends_no_line(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    write_jsonl(path, [{"text": "one\u2028two\x85three"}, {"text": "four"}])
    assert [(where.rpartition(":")[2], row["text"]) for where, row in read_jsonl(path, "rows")] == [
        ("1", "one\u2028two\x85three"),
        ("2", "four"),
    ]


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    write_jsonl(path, [{"old": True}])

    def rows() -> Iterator[dict[str, bool]]:
        yield {"new": True}
        raise LookupError("no more")

    with pytest.raises(LookupError):
        write_jsonl(path, rows())
    assert path.read_text() == '{"old": true}\n'
    assert [each.name for each in tmp_path.iterdir()] == ["rows.jsonl"]


def test_a_folder_that_cannot_be_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError, match=r"file/run\.json: cannot write: .*choose another folder"):
        write_json(tmp_path / "file" / "run.json", {})
    with pytest.raises(StorageError, match="cannot write"), Writer(tmp_path / "file" / "rows.jsonl"):
        pass


@pytest.mark.parametrize("kind", ["jsonl", "writer"])
def test_a_full_disk_is_a_storage_error_and_leaves_nothing_half_written(tmp_path: Path, kind: str) -> None:
    command = [sys.executable, "-m", "tests.full_disk_worker", str(tmp_path), kind]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 1, ended.stderr
    assert ended.stderr.startswith("StorageError: "), ended.stderr
    assert "File too large; free space or choose another folder" in ended.stderr
    assert set(tmp_path.iterdir()) <= set(files(tmp_path / "rows.jsonl"))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "list .*: no such file"),
        (b"", "the file is empty"),
        (b" \n\n", "the file is empty"),
        ("Zürich".encode("latin-1"), r"not UTF-8 \(byte 1\); convert it, for example with iconv"),
    ],
)
def test_text_that_cannot_be_read(tmp_path: Path, content: bytes | None, says: str) -> None:
    path = tmp_path / "list.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=says):
        read_text(path, "list")


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot read: Is a directory"):
        read_text(tmp_path, "list")


@pytest.mark.parametrize(
    ("line", "says"),
    [("{", "not JSON"), ("[" * 100_000, "beyond what can be read"), ("9" * 5000, "beyond what can be read")],
)
def test_a_line_that_is_not_json_is_named(tmp_path: Path, line: str, says: str) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(f'{{"fine": 1}}\n\n{line}\n')
    with pytest.raises(UserError, match=rf"rows\.jsonl:3: .*{says}"):
        list(read_jsonl(path, "rows"))


# ---- outcomes -------------------------------------------------------------------------------------------------------


def kept(id_: str) -> dict[str, Any]:
    stage = to_json(Stage("generation", "generator", 3, 30, 12, {}))
    return {"id": id_, "outcome": "kept", "dialogue": to_json(Dialogue(id_, TWO.turns)), "stages": [stage]}


def lost(id_: str) -> dict[str, Any]:
    return {"id": id_, "outcome": "dropped", "stage": "length", "reason": "r", "attempts": 1, "raw": "", "stages": []}


def test_outcomes_come_in_any_order_and_lie_sorted(tmp_path: Path) -> None:
    path = part(tmp_path, 1, Shard())
    with Writer(path) as writer:
        for place, id_ in ((2, "c"), (0, "a"), (1, "b")):
            writer.add(place, lost(id_))
        assert not path.exists()
    assert [row["id"] for _, row in read_jsonl(path, "outcomes")] == ["a", "b", "c"]
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_outcomes_of_a_round_that_broke_off_leave_no_file_of_theirs(tmp_path: Path) -> None:
    path = part(tmp_path, 1, Shard())
    with contextlib.suppress(LookupError), Writer(path) as writer:
        writer.add(0, lost("a"))
        raise LookupError
    assert set(path.parent.iterdir()) == set(files(path))


def test_a_second_outcome_of_a_seed_is_refused(tmp_path: Path) -> None:
    with Writer(tmp_path / "1.jsonl") as writer:
        writer.add(0, lost("a"))
        with pytest.raises(ValueError, match="a second outcome of 'a'"):
            writer.add(0, lost("a"))


def test_a_round_merges_its_shards_and_what_comparison_dropped(tmp_path: Path) -> None:
    for index, ids in enumerate((("a", "d"), ("b", "c"))):
        with Writer(part(tmp_path, 2, Shard(index, 2))) as writer:
            for place, id_ in enumerate(ids):
                writer.add(place, kept(id_))
    found = Round(tmp_path, 2, 2, {"c": ("near-duplicates", "near-duplicate: of a")})
    assert [dialogue.id for dialogue in found.kept()] == ["a", "b", "d"]
    dropped = [row for row in found.rows() if row["outcome"] == "dropped"]
    assert [(row["id"], row["stage"], row["attempts"]) for row in dropped] == [("c", "near-duplicates", 3)]
    assert dropped[0]["raw"] == "User 1: Hi!\nUser 2: Hello!"


@pytest.mark.parametrize("text", ["4/4", "-1/4", "1", "a/b", "1/0", ""])
def test_no_shard(text: str) -> None:
    with pytest.raises(UserError, match=r"expected I/N with 0 <= I < N"):
        Shard.parse(text)


def test_shard() -> None:
    assert str(Shard.parse("3/4")) == "3-of-4"
