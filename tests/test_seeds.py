"""Seeds of the user: every form of input, and every way to get it wrong."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from synthesis import seeds
from synthesis.errors import UserError

TEN = [f"I have {number} goats." for number in range(10)]


def csv_text(header: list[str], rows: list[list[str]]) -> str:
    stream = io.StringIO()
    csv.writer(stream).writerows([header, *rows])
    return stream.getvalue()


PAIRS = csv_text(
    ["user 1 personas", "user 2 personas", "Best Generated Conversation"],
    [["\n".join(TEN[:5]) + "\n\n", "\n".join(TEN[5:]), "User 1: Hi!\nUser 2: Hello!"]],
)

FORMS = {
    "lines.txt": "\n".join([*TEN, "", TEN[0]]),
    "windows.txt": "\ufeff" + "\r\n".join(TEN) + "\r\n",
    "strings.jsonl": "\n".join(map(json.dumps, TEN)),
    "objects.jsonl": "\n\n".join(json.dumps({"persona": text, "category": "goats"}) for text in TEN),
    "traits.jsonl": "\n".join(json.dumps({"id": at, "traits": TEN[at : at + 5]}) for at in (0, 5)),
    "lists.jsonl": json.dumps(TEN),
    "column.csv": csv_text(["id", "Attribute"], [[str(at), text] for at, text in enumerate(TEN)]),
    "UPPER.CSV": csv_text(["text"], [[text] for text in TEN]),
    "published.csv": PAIRS,
}


@pytest.mark.parametrize("name", FORMS)
def test_every_form_of_input(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text(FORMS[name], encoding="utf-8", newline="")
    assert seeds.attributes(path) == TEN


GOOD_LINES = "\n".join(TEN)
BAD = {
    "empty.txt": (b"", r"personas .*empty\.txt: the file is empty"),
    "blank.jsonl": (b"\n \n", r"the file is empty"),
    "latin.txt": ("I am from Zürich.\n".encode("latin-1") * 10, r"latin\.txt: not UTF-8 \(byte 11\); convert it"),
    "word.txt": (
        f"{GOOD_LINES}\nGoats\n".encode(),
        r"word\.txt:11: not a persona sentence: 'Goats'; expected 2 to 40",
    ),
    "long.txt": (f"{GOOD_LINES}\n{'very ' * 41}".encode(), r"long\.txt:11: not a persona sentence"),
    "few.txt": (b"I have a goat.\n", r"few\.txt: 1 attributes, expected at least 10"),
    "broken.jsonl": (b'"I have a goat."\n{"text": "I ski', r"broken\.jsonl:2: not JSON: Unterminated string"),
    "keys.jsonl": (b'{"name": "Ada"}', r"keys\.jsonl:1: has keys \['name'\]; expected one of \['text', 'persona'"),
    "number.jsonl": (b'"I have a goat."\n42', r"number\.jsonl:2: not a persona sentence: '42'"),
    "null.jsonl": (b'{"text": null}', r"null\.jsonl:1: not a persona sentence: 'None'"),
    "columns.csv": (b"id,name\r\n1,Ada\r\n", r"has columns \['id', 'name'\]; expected one of \['text', 'persona'"),
    "header.csv": (b"text,category\r\n", r"header\.csv: no rows below the header \['text', 'category'\]"),
    "cell.csv": (
        b"text\r\nI have a goat.\r\nGoats\r\n",
        r"cell\.csv:3, column 'text': not a persona sentence: 'Goats'",
    ),
    "gap.csv": (b"id,text\r\n1,\r\n", r"gap\.csv:2, column 'text': not a persona sentence: ''"),
    "comma.csv": (b"text\r\nI like cats, dogs, birds.\r\n", r"comma\.csv:2: more cells than the header has columns"),
    "quote.csv": (b'text\r\n"I like" cats\r\n', r"quote\.csv:2: not CSV"),
}


@pytest.mark.parametrize("name", BAD)
def test_every_bad_input_is_named(tmp_path: Path, name: str) -> None:
    content, says = BAD[name]
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(UserError, match=says):
        seeds.attributes(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"personas .*nowhere\.txt: no such file"):
        seeds.attributes(tmp_path / "nowhere.txt")


def test_lines(tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text(" Ada \n\nBo\n")
    assert seeds.lines(tmp_path / "names.txt") == ["Ada", "Bo"]
