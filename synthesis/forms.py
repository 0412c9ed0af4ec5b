"""Forms of a reply: tags and brackets, or JSON; each as words for the prompt, as a grammar, and as what reads it.

The prompt always says the form in words, so that a dialect without grammars is asked for the same; the reader takes
nothing on trust, so that one which ignores them is found out.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from synthesis import reading
from synthesis.dialogue import Turn
from synthesis.engine import Grammar
from synthesis.errors import ReadingError
from synthesis.words import words

TEXT = 800
"""Characters of a text that a grammar allows: without a bound a small model may never close a quote."""

THOUGHTS = 5
"""Reasoning may be so many texts long."""


def turn_pairs(low: int, high: int) -> tuple[int, int, bool]:
    """Fewest and most pairs of turns in `low` to `high` turns, and whether a single turn has to follow them."""
    most = high // 2
    return min(-(-low // 2), most), most, low == high and high % 2 == 1


class Written(NamedTuple):
    """A conversation as it was read, and the reasoning that came before it."""

    turns: tuple[Turn, ...]
    reasoning: str | None


@dataclass(frozen=True, slots=True)
class Form:
    """`kind` "tags" is the published one (arXiv 2409.19020), "json" one object. `held`: by a grammar, too.

    `longest`: characters that the grammar allows a turn, an entry of a list or a text.
    """

    kind: Literal["tags", "json"]
    held: bool
    longest: int = TEXT

    def _grammar(self, properties: dict[str, Any], pattern: str) -> Grammar | None:
        if not self.held:
            return None
        if self.kind == "tags":
            return Grammar("regex", pattern)
        names = list(properties)
        return Grammar(
            "json", {"type": "object", "properties": properties, "required": names, "additionalProperties": False}
        )

    # ---- lists ------------------------------------------------------------------------------------------------------

    def spelled(self, key: str, entries: Sequence[str]) -> str:
        """A list as the reply should write it."""
        listed = json.dumps(list(entries), ensure_ascii=False)
        return listed if self.kind == "tags" else f'{{"{key}": {listed}}}'

    def list_grammar(self, key: str, count: int) -> Grammar | None:
        """Holds a reply to a list of `count` texts."""
        properties = {key: {"type": "array", "items": _text(self.longest), "minItems": count, "maxItems": count}}
        entry = rf'"[^"\n]{{1,{self.longest}}}"'
        return self._grammar(properties, rf"\[{entry}(, {entry}){{{count - 1}}}\]")

    def read_list(self, key: str, text: str) -> list[str]:
        """The texts of a list, white space straightened, each once; entries that say nothing are left out.

        Raises ReadingError when there is no list, or nothing in it.
        """
        value = _bracketed(text) if self.kind == "tags" else _member(reading.json_value(text), key, text)
        if not isinstance(value, list):
            raise ReadingError(f"expected a list of {key}, got {text[:80]!r}", text)
        entries = [" ".join(entry.split()) for entry in value if isinstance(entry, str)]
        found = list(dict.fromkeys(entry for entry in entries if words(entry)))
        if not found:
            raise ReadingError(f"expected {key}, got a list without any", text)
        return found

    # ---- conversations ----------------------------------------------------------------------------------------------

    def conversation_words(self, speakers: Sequence[str], reasoned: bool) -> str:
        """How the reply should look."""
        first, second = speakers
        if self.kind == "json":
            turns = ", ".join(f'{{"speaker": "{name}", "text": "..."}}' for name in speakers)
            reasoning = '"reasoning": "...", ' if reasoned else ""
            return f'{{{reasoning}"dialogue": [{turns}, ...]}}'
        reasoning = "<cot>\n...\n</cot>\n" if reasoned else ""
        return f"{reasoning}<dialogue>\n{first}: ...\n{second}: ...\n...\n</dialogue>"

    def conversation_grammar(self, speakers: Sequence[str], reasoned: bool, low: int, high: int) -> Grammar | None:
        """Holds a reply to a conversation of the two; in tags, the first opens and they take turns."""
        turn = {
            "type": "object",
            "properties": {"speaker": {"enum": list(speakers)}, "text": _text(self.longest)},
            "required": ["speaker", "text"],
            "additionalProperties": False,
        }
        turns = {"type": "array", "items": turn, "minItems": low, "maxItems": high}
        properties = {"reasoning": _text(THOUGHTS * self.longest)} if reasoned else {}
        line = rf": [^\s<][^<\n]{{0,{self.longest - 1}}}\n"
        opens, answers = (re.escape(name) + line for name in speakers)
        least, most, odd = turn_pairs(low, high)
        pattern = rf"<dialogue>\n({opens}{answers}){{{least},{most}}}{opens if odd else ''}</dialogue>"
        thought = rf"<cot>\n[^<]{{1,{THOUGHTS * self.longest}}}</cot>\n" if reasoned else ""
        return self._grammar({**properties, "dialogue": turns}, thought + pattern)

    def read_conversation(self, text: str, speakers: Sequence[str], reasoned: bool) -> Written:
        """Turns and reasoning; runs of one speaker are joined.

        Raises ReadingError for a missing part, an empty one, a third speaker, and for fewer than two.
        """
        if self.kind == "json":
            value = reading.json_value(text)
            said = _labelled(_member(value, "dialogue", text), text)
            thought = _member(value, "reasoning", text) if reasoned else None
        else:
            said, thought = _between("dialogue", text), _between("cot", text) if reasoned else None
        if reasoned and not (isinstance(thought, str) and words(thought)):
            raise ReadingError("expected the reasoning before the dialogue, got none", text)
        _no_strangers(said, speakers, text)
        turns = reading.transcript(said, speakers).turns
        return Written(turns, thought.strip() if thought else None)

    # ---- plain texts ------------------------------------------------------------------------------------------------

    def text_words(self, key: str) -> str:
        """How the reply should look."""
        return f'{{"{key}": "..."}}' if self.kind == "json" else f"the {key} alone"

    def text_grammar(self, key: str) -> Grammar | None:
        """Holds a reply to one text; in tags, to one line that ends in a full stop."""
        return self._grammar({key: _text(self.longest)}, r"[^\s<][^<\n]{10,160}[.]")

    def read_text(self, key: str, text: str) -> str:
        """The text, on one line. Raises ReadingError when there is none."""
        value = _member(reading.json_value(text), key, text) if self.kind == "json" else text
        if not isinstance(value, str) or not words(value):
            raise ReadingError(f"expected a {key}, got {text[:80]!r}", text)
        return re.sub(rf"^\W*{key}\s*[:：]\s*", "", " ".join(value.split()), flags=re.IGNORECASE)


def _text(longest: int) -> dict[str, Any]:
    return {"type": "string", "minLength": 1, "maxLength": longest}


def _member(value: Any, key: str, text: str) -> Any:
    if not isinstance(value, dict) or key not in value:
        raise ReadingError(f"expected a JSON object with {key!r}, got {text[:80]!r}", text)
    return value[key]


def _bracketed(text: str) -> Any:
    """The list from the first bracket to the first that closes it, quoted as in Python or in JSON."""
    found = re.search(r"\[.*?\]", text, re.DOTALL)
    try:
        return ast.literal_eval(found[0]) if found else None
    except (ValueError, SyntaxError, MemoryError, RecursionError) as error:
        raise ReadingError(f"expected a list in brackets, got {text[:80]!r}", text) from error


def _between(tag: str, text: str) -> str:
    """What stands between a tag and its end, the first time."""
    found = re.search(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL | re.IGNORECASE)
    if not found:
        raise ReadingError(f"expected <{tag}> and </{tag}>, got {text[:80]!r}", text)
    return found[1]


def _labelled(turns: Any, text: str) -> str:
    """JSON turns as labelled lines. Line breaks inside an utterance become spaces."""
    if not isinstance(turns, list):
        raise ReadingError(f"expected a list of turns, got {text[:80]!r}", text)
    lines = []
    for turn in turns:
        if (
            not isinstance(turn, dict)
            or not isinstance(turn.get("speaker"), str)
            or not isinstance(turn.get("text"), str)
        ):
            raise ReadingError(f"expected turns with speaker and text, got {str(turn)[:80]!r}", text)
        lines.append(f"{turn['speaker'].strip()}: {' '.join(turn['text'].split())}")
    return "\n".join(lines)


_LABEL = re.compile(r"^[\s*_>-]*(#?[^\W\d_][\w .'’-]{0,30}#?)[\s*_]*[:：]")


def _no_strangers(said: str, speakers: Sequence[str], text: str) -> None:
    known = {name.strip("# ").casefold() for name in speakers}
    for line in said.splitlines():
        label = _LABEL.match(line)
        if label and label[1].strip("# ").casefold() not in known:
            raise ReadingError(f"expected {' and '.join(speakers)} alone, but {label[1]!r} speaks", text)
