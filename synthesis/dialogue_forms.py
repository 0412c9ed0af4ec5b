"""Forms of a dialogue in a file: what a row looks like in each, and the dialogue read out of it.

A form fits a row by the row's keys. A row whose values are not what its form has is the user's mistake (UserError);
one that has the form, but no conversation in it, raises ReadingError and is put aside by whoever reads the file.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from synthesis import reading
from synthesis.dialogue import Dialogue, Persona, Turn, from_json
from synthesis.errors import ReadingError, UserError
from synthesis.task_oriented.flat import goal_json, turn_json

Row = Mapping[str, Any]
SPC_COLUMNS = ("user 1 personas", "user 2 personas", "Best Generated Conversation")
_PROFILES = (("user_1_persona", "user_2_persona"), ("persona_1", "persona_2"))
_TOPICS = ("topic", "subtopic", "setting")
_UNSPOKEN = frozenset({"system", "developer", "tool", "function", "observation"})
_LABEL = re.compile(r"^\s*(?:(#\w+#)\s*:|([^\s:][^:]{0,39}?)\s*:(?=\s|$))\s*(.*)$")
_OURS = frozenset(field.name for field in dataclasses.fields(Dialogue))
_JUDGED = {"id", "turns", "personas", "document"}


@dataclass(frozen=True, slots=True)
class Read:
    """A dialogue, and the kinds of issues that were mended in reading it."""

    dialogue: Dialogue
    issues: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Form:
    """How rows with all of `keys` are read, given a name for the dialogue and the row's place.

    `texts`: only what was said, from the same rows, quickly; None where the row is not quite what it should be, which
    `read` then says properly.
    """

    told: str
    keys: tuple[str, ...]
    read: Callable[[Row, str, str], Read]
    texts: Callable[[Row], Sequence[str] | None] = lambda row: None


def form_of(row: Any, where: str, forms: Sequence[Form]) -> Form:
    """The form that fits `row`. Raises UserError that says what the row has and what was expected."""
    if isinstance(row, Mapping):
        for form in forms:
            if row.keys() >= set(form.keys):
                return form
    got = f"an object with the keys {sorted(row)}" if isinstance(row, Mapping) else f"{str(row)[:60]!r}"
    expected = "; ".join(form.told for form in forms)
    raise UserError(f"{where}: got {got}; expected one of: {expected}")


# ---- turns ----------------------------------------------------------------------------------------------------------


def _ours(row: Row, name: str, where: str) -> Read:
    return Read(from_json(dict(row), where))


def _judged(row: Row, name: str, where: str) -> Read:
    """A row of human scores, without the scores; its personas are lists of sentences."""
    personas = [_persona(name, side, traits, where) for side, traits in enumerate(row.get("personas") or (), 1)]
    kept = {key: value for key, value in row.items() if key in _JUDGED - {"personas"}}
    dialogue = from_json(kept, where)
    return Read(Dialogue(dialogue.id, dialogue.turns, tuple(personas), document=dialogue.document))


def _table(row: Row, name: str, where: str) -> Read:
    """A row of a dataset that we built: whatever else its columns hold, turns and profiles have known names."""
    cells = row["turns"]
    told_turns = list(map(turn_json, cells)) if isinstance(cells, list) else cells
    turns = from_json({"id": name, "turns": told_turns}, where).turns
    profiles = next((pair for pair in _PROFILES if all(row.get(column) for column in pair)), ())
    personas = tuple(_persona(name, side, row[column], where) for side, column in enumerate(profiles, 1))
    topic = next((row[column] for column in _TOPICS if isinstance(row.get(column), str)), None)
    document = row.get("document")
    notes = tuple(row["notes"]) if isinstance(row.get("notes"), list) else ()
    told = document if isinstance(document, str) else None
    goal = goal_json(row.get("goal"), row.get("persona"))
    return Read(Dialogue(_named(row, name), turns, personas, topic, told, goal, notes=notes))


def _persona(name: str, side: int, traits: Any, where: str) -> Persona:
    sentences = [traits] if isinstance(traits, str) else traits
    if not isinstance(sentences, list) or not all(isinstance(each, str) for each in sentences):
        raise UserError(f"{where}: persona {side}: got {str(traits)[:60]!r}, expected a list of sentences")
    return Persona(f"{name}-{side}", tuple(sentences))


def _named(row: Row, name: str) -> str:
    given = row.get("id", row.get("fname"))
    return str(given) if isinstance(given, (str, int)) and given != "" else name


def _our_texts(row: Row) -> Sequence[str] | None:
    return _turn_texts(row) if row.keys() <= _OURS else None


def _turn_texts(row: Row) -> Sequence[str] | None:
    try:
        texts = [turn["text"] for turn in row["turns"]]
    except (TypeError, KeyError):
        return None
    return texts if all(type(text) is str for text in texts) else None


# ---- chats ----------------------------------------------------------------------------------------------------------


def _chat(key: str) -> Callable[[Row, str, str], Read]:
    def read(row: Row, name: str, where: str) -> Read:
        if not isinstance(row[key], list):
            raise UserError(f"{where}.{key}: got {str(row[key])[:60]!r}, expected a list of messages")
        messages = [_message(each, f"{where}.{key}[{at}]") for at, each in enumerate(row[key])]
        turns = tuple(Turn(who, text) for who, text in messages if who not in _UNSPOKEN and text)
        if not turns:
            raise ReadingError(f"no message of a speaker in {key}", str(row[key]))
        return Read(Dialogue(_named(row, name), turns))

    return read


def _message(each: Any, where: str) -> tuple[str, str]:
    """Who speaks, and the text; "" for a message that only calls a tool."""
    message = each if isinstance(each, Mapping) else {}
    speaker, said = ("from", "value") if "from" in message else ("role", "content")
    who, text = message.get(speaker), message.get(said)
    if isinstance(text, list):  # parts, of which only the texts were spoken
        text = " ".join(part["text"] for part in text if isinstance(part, Mapping) and type(part.get("text")) is str)
    if text is None and message.get("tool_calls"):
        text = ""
    if not isinstance(who, str) or not isinstance(text, str):
        raise UserError(f"{where}: got {str(each)[:60]!r}, expected {{role, content}} or {{from, value}} with texts")
    return who, text


# ---- texts with labels ----------------------------------------------------------------------------------------------


def _labelled(row: Row, name: str, where: str) -> Read:
    """A text with a label a line: `#Person1#: Hello!` (DialogSum) or `Amanda: hi` (SAMSum)."""
    text = row["dialogue"]
    if not isinstance(text, str):
        raise UserError(f"{where}.dialogue: got {str(text)[:60]!r}, expected a text, `Name: utterance` a line")
    turns, issues = _labelled_turns(text)
    topic = row.get("topic")
    return Read(Dialogue(_named(row, name), turns, topic=topic if isinstance(topic, str) else None), issues)


def _labelled_turns(text: str) -> tuple[tuple[Turn, ...], tuple[str, ...]]:
    """Turns as they stand, also of one speaker in a row; a line without label goes on with the turn before it."""
    spoken: list[Turn] = []
    issues: dict[str, None] = {}
    for line in filter(str.strip, text.splitlines()):
        match = _LABEL.match(line)
        if match:
            spoken.append(Turn(match[1] or match[2], match[3].strip()))
        elif spoken:
            issues["continued line"] = None
            spoken[-1] = Turn(spoken[-1].speaker, f"{spoken[-1].text} {line.strip()}".strip())
        else:
            issues["preamble"] = None
    turns = tuple(turn for turn in spoken if turn.text)
    if len(turns) < len(spoken):
        issues["empty turn"] = None
    if not turns:
        raise ReadingError("expected lines of the form `Name: utterance`, found none", text)
    return turns, tuple(issues)


def _published(row: Row, name: str, where: str) -> Read:
    """Profiles as lines, the conversation as labelled lines; `reading.transcript` says what is mended."""
    read = reading.transcript(row[SPC_COLUMNS[2]])
    personas = tuple(
        Persona(f"{name}-{side}", tuple(filter(None, map(str.strip, row[column].splitlines()))))
        for side, column in enumerate(SPC_COLUMNS[:2], 1)
    )
    return Read(Dialogue(name, read.turns, personas), read.issues)


_CHATS = (
    Form("chat messages: messages [{role, content}]", ("messages",), _chat("messages")),
    Form("ShareGPT: conversations [{from, value}]", ("conversations",), _chat("conversations")),
)
_LABELLED = (
    Form("DialogSum or SAMSum: dialogue, a text with `Name: utterance` lines", ("dialogue",), _labelled),
    Form(f"published Synthetic-Persona-Chat: {', '.join(SPC_COLUMNS)}", SPC_COLUMNS, _published),
)
ROWS = (
    Form("ours, scored by a run: id, turns, scores, origin", ("id", "turns", "scores", "origin"), _ours, _our_texts),
    Form("human scores: id, turns, scores, personas?, document?", ("id", "turns", "scores"), _judged, _turn_texts),
    Form("ours: id, turns [{speaker, text}] and what else a dialogue has", ("id", "turns"), _ours, _our_texts),
    *_CHATS,
    *_LABELLED,
)
"""Forms of JSON and CSV rows, the narrower first."""
TABLES = (
    Form("a dataset of ours: turns [{speaker, text}], and profiles", ("turns",), _table, _turn_texts),
    *_CHATS,
    *_LABELLED,
)
"""Forms of rows of datasets and Parquet files, which may have any further columns."""
