"""Files and datasets of dialogues: every form, what is mended, put aside or refused, and where."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from builders.build import build
from synthesis.dialogue import Dialogue, Persona, Turn, to_json
from synthesis.dialogue_files import SPC_COLUMNS, Dialogues, load
from synthesis.errors import UserError
from tests.run_folder import forty, run_folder

HELLO = (Turn("A", "Hello!"), Turn("B", "Hi there"))
TURNS = [{"speaker": "A", "text": "Hello!"}, {"speaker": "B", "text": "Hi there"}]


def csv_text(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    stream = io.StringIO()
    csv.writer(stream).writerows([header, *rows])
    return stream.getvalue()


def written(path: Path, *rows: Any) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def turns(source: Path | str) -> list[tuple[Turn, ...]]:
    """The turns of every dialogue, once the quick way has given the same texts."""
    read = Dialogues(str(source))
    dialogues = list(read)
    assert [list(each) for each in read.texts()] == [[turn.text for turn in each.turns] for each in dialogues]
    return [each.turns for each in dialogues]


# ---- forms ----------------------------------------------------------------------------------------------------------


def test_published_dialogues(tmp_path: Path) -> None:
    path = tmp_path / "published.csv"
    rows = [
        ["I ski.", "I swim.\nI sing.", text] for text in ("User 1: Hi!\nUser 2: Hello!", "", "*User 1:* A\nUser 2: B")
    ]
    path.write_text(csv_text(SPC_COLUMNS, rows), newline="")
    loaded = load(path)
    assert [dialogue.id for dialogue in loaded.dialogues] == ["published-1", "published-3"]
    assert loaded.dialogues[0].personas[1].traits == ("I swim.", "I sing.")
    assert loaded.issues == {"starred label": 1}
    assert list(loaded.quarantined) == [f"{path}:6"]
    read = Dialogues(str(path))
    assert list(read.texts()) == [["Hi!", "Hello!"], ["A", "B"]]
    assert (read.issues, list(read.quarantined)) == (loaded.issues, list(loaded.quarantined))


def test_ours(tmp_path: Path) -> None:
    dialogues = [Dialogue("a", HELLO, (Persona("p", ("I ski.",)),), topic="snow"), Dialogue("b", HELLO[:1])]
    path = written(tmp_path / "d.jsonl", *map(to_json, dialogues))
    assert list(Dialogues(str(path))) == dialogues
    assert turns(path) == [HELLO, HELLO[:1]]


def test_human_scores(tmp_path: Path) -> None:
    row = {"id": "a", "turns": TURNS, "personas": [["I ski."], []], "document": "Snow.", "scores": {"fluent": [3, 4]}}
    (found,) = Dialogues(str(written(tmp_path / "human.jsonl", row)))
    assert (found.turns, found.document) == (HELLO, "Snow.")
    assert [each.traits for each in found.personas] == [("I ski.",), ()]


@pytest.mark.parametrize("suffix", ["jsonl", "json", "csv"])
def test_dialogsum_and_samsum(tmp_path: Path, suffix: str) -> None:
    rows = [
        {"id": "train_0", "dialogue": "#Person1#: Hello!\n#Person2#:Hi there", "summary": "They greet.", "topic": "t"},
        {"id": "13818513", "dialogue": "Amanda: I baked :)\r\nSee https://example.org\r\nTom O'Hara: 10:30?\r\n"},
        {"fname": "dev_1", "dialogue": "A: one\nA: two\nB:\nC: three", "summary": ""},
    ]
    path = tmp_path / f"d.{suffix}"
    if suffix == "jsonl":
        written(path, *rows)
    elif suffix == "json":
        path.write_text(json.dumps(rows))
    else:
        path.write_text(csv_text(["id", "dialogue"], [[row.get("id", "dev_1"), row["dialogue"]] for row in rows]))
    assert turns(path) == [
        (Turn("#Person1#", "Hello!"), Turn("#Person2#", "Hi there")),
        (Turn("Amanda", "I baked :) See https://example.org"), Turn("Tom O'Hara", "10:30?")),
        (Turn("A", "one"), Turn("A", "two"), Turn("C", "three")),
    ]
    loaded = load(path)
    assert [each.id for each in loaded.dialogues] == ["train_0", "13818513", "dev_1"]
    assert loaded.dialogues[0].topic == ("t" if suffix != "csv" else None)
    assert loaded.issues == {"continued line": 1, "empty turn": 1}


def test_chat_messages(tmp_path: Path) -> None:
    path = written(
        tmp_path / "chat.jsonl",
        {
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": [{"type": "text", "text": "Hello!"}, {"type": "image", "url": "x"}]},
                {"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]},
                {"role": "tool", "content": "42"},
                {"role": "assistant", "content": "Hi there"},
            ],
            "source": "x",
        },
        {"conversations": [{"from": "human", "value": "Hello!"}, {"from": "gpt", "value": "Hi there"}], "id": 7},
        {"conversations": [{"role": "user", "content": "Hello!"}]},
        {"messages": [{"role": "system", "content": "Nobody spoke."}]},
    )
    assert turns(path) == [
        (Turn("user", "Hello!"), Turn("assistant", "Hi there")),
        (Turn("human", "Hello!"), Turn("gpt", "Hi there")),
        (Turn("user", "Hello!"),),
    ]
    loaded = load(path)
    assert [each.id for each in loaded.dialogues] == ["chat-1", "7", "chat-3"]
    assert loaded.quarantined == {f"{path}:4": "no message of a speaker in messages"}


# ---- datasets -------------------------------------------------------------------------------------------------------


def test_parquet(tmp_path: Path) -> None:
    rows = [{"id": str(at), "turns": TURNS, "persona_1": "I ski.", "persona_2": "I swim.", "n": at} for at in range(9)]
    path = tmp_path / "d.parquet"
    pl.DataFrame(rows).write_parquet(path)
    assert turns(path) == [HELLO] * 9
    first = next(iter(Dialogues(str(path))))
    assert [each.traits for each in first.personas] == [("I ski.",), ("I swim.",)]


def test_the_folder_of_a_dataset(tmp_path: Path) -> None:
    for split, count in (("train", 3), ("test", 2)):
        (tmp_path / split).mkdir()
        rows = [{"messages": [{"role": "user", "content": f"{split} {at}"}]} for at in range(count)]
        pl.DataFrame(rows).write_parquet(tmp_path / split / "0.parquet")
    listed = "".join(f"  - {{split: {split}, path: {split}/*.parquet}}\n" for split in ("train", "test"))
    (tmp_path / "README.md").write_text(f"---\nconfigs:\n- config_name: chats\n  data_files:\n{listed}---\n")
    assert len(turns(tmp_path)) == 5
    assert [each[0].text for each in turns(f"{tmp_path}:chats:test")] == ["test 0", "test 1"]
    assert len(turns(f"{tmp_path}::train")) == 3
    with pytest.raises(UserError, match=r"cannot be loaded as a dataset, config talks: .*give NAME:config:split"):
        list(Dialogues(f"{tmp_path}:talks"))


def test_what_we_build_is_read_back(tmp_path: Path) -> None:
    built = build(run_folder(tmp_path / "run"), tmp_path / "dist")
    dialogues = {each.id: each for each in forty()}
    read = list(Dialogues(str(built.folder)))
    assert {each.id for each in read} == dialogues.keys()
    for each in read:
        made = dialogues[each.id]
        assert (each.text(), each.topic) == (made.text(), made.topic)
        assert [persona.traits for persona in each.personas] == [persona.traits for persona in made.personas]
    assert len(turns(f"{built.folder}:messages")) >= len(dialogues)


# ---- what is refused ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("d.txt", "Hi!", r"d\.txt: expected a \.jsonl, .*Hub id"),
        ("none.jsonl", None, r"none\.jsonl: no such file"),
        ("none.csv", None, r"none\.csv: no such file"),
        ("none.parquet", None, r"none\.parquet: no such file"),
        ("d.parquet", "Hi!", "not Parquet that can be read"),
        ("d.jsonl", "", "the file is empty"),
        (
            "d.jsonl",
            '{"turns": [{"speaker": "A", "text": "x"}], "id": "a"}\n{"id": "b"}\n',
            r"d\.jsonl:2: got an object",
        ),
        ("d.jsonl", '{"id": "a"}', r"d\.jsonl:1: got an object with the keys \['id'\]; expected one of: .*ShareGPT"),
        ("d.jsonl", "[1]", r"d\.jsonl:1: got '\[1\]'; expected one of"),
        ("d.jsonl", '{"id": "a", "turns": [], "topci": "x"}', r"d\.jsonl:1: .*unknown fields \['topci'\]"),
        ("d.jsonl", '{"id": "a", "turns": [{"speaker": "A", "text": 5}]}', r"d\.jsonl:1\.turns\[0\]\.text: got '5'"),
        ("d.jsonl", '{"id": "a", "turns": 3}', r"d\.jsonl:1\.turns: expected a list"),
        ("d.jsonl", '{"dialogue": ["A: x"]}', r"d\.jsonl:1\.dialogue: got .*expected a text"),
        ("d.jsonl", '{"dialogue": "nobody speaks"}', r"no usable dialogue in it; quarantined: .*d\.jsonl:1"),
        ("d.jsonl", '{"messages": "x"}', r"d\.jsonl:1\.messages: got 'x', expected a list of messages"),
        (
            "d.jsonl",
            '{"messages": [{"role": "user"}]}',
            r"d\.jsonl:1\.messages\[0\]: got .*expected \{role, content\}",
        ),
        ("d.json", '{"dialogue": "A: x"}', "got dict, expected a list of rows"),
        ("d.csv", "conversation\nHi!", r"d\.csv:2: got an object with the keys \['conversation'\]"),
        ("d.csv", "dialogue\n", r"no rows below the header \['dialogue'\]"),
        ("d.csv", "", "the file is empty"),
        ("d.csv", csv_text(SPC_COLUMNS, [["I ski.", "I swim.", "Hi!"]]), "no usable dialogue"),
    ],
)
def test_bad_files_of_dialogues_are_named(tmp_path: Path, name: str, content: str | None, says: str) -> None:
    if content is not None:
        (tmp_path / name).write_text(content)
    for way in (Dialogues.__iter__, Dialogues.texts):
        with pytest.raises(UserError, match=says):
            list(way(Dialogues(str(tmp_path / name))))


def test_bytes_that_are_not_utf8_are_placed(tmp_path: Path) -> None:
    row = b'{"dialogue": "A: x"}\n'
    (tmp_path / "d.jsonl").write_bytes(row + b'{"dialogue": "A: Z\xfcrich"}\n')
    with pytest.raises(UserError, match=rf"not UTF-8 \(byte {len(row) + 18}\)"):
        list(Dialogues(str(tmp_path / "d.jsonl")))
    (tmp_path / "d.csv").write_bytes(b"dialogue\nA: Z\xfcrich\n")
    with pytest.raises(UserError, match=r"not UTF-8 \(byte 13\)"):
        list(Dialogues(str(tmp_path / "d.csv")))
