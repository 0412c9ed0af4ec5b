"""Turns, lists, verdicts and JSON read out of a reply. What cannot be read raises ReadingError, nothing is guessed.

The transcript reader survives what language models and the published Synthetic-Persona-Chat files contain: starred
labels (`*User 1:*`, `* * User 2: * *`), stage directions, `* * *` separators, utterances over several lines, one
speaker twice in a row. Each survival is listed in `issues`, so a filter can still be strict.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from synthesis.dialogue import Turn
from synthesis.errors import ReadingError

USERS = ("User 1", "User 2")
_SEPARATOR = re.compile(r"^[\s*_=~–—-]+$")
_STAGE = re.compile(r"^\s*[\[(*][^\])*]*[\])*]\s*$")


@dataclass(frozen=True, slots=True)
class Transcript:
    """Turns as read, and what had to be mended: kinds of `issues` in order of appearance, without repeats."""

    turns: tuple[Turn, ...]
    issues: tuple[str, ...]


def transcript(text: str, labels: Sequence[str] = USERS) -> Transcript:
    """The turns of `text`, each line opened by one of `labels` and a colon (also "：").

    A line without label continues the turn before it; text before the first label is dropped as an issue; turns of
    one speaker in a row are merged. Raises ReadingError when fewer than two speakers speak.
    """
    names = {_plain(label): label for label in labels}
    pattern = re.compile(
        r"^([\s*_#>-]*)("
        + "|".join(re.escape(label).replace(r"\ ", r"\s*") for label in labels)
        + r")([\s*_]*)[:：](.*)$",
        re.IGNORECASE,
    )
    spoken: list[tuple[str, str]] = []
    issues: dict[str, None] = {}
    for line in text.splitlines():
        match = pattern.match(line)
        if match:
            before, label, after, said = match.groups()
            issues |= dict.fromkeys(["starred label"] if _stars(before + after) else [])
            spoken.append((names[_plain(label)], _unstarred(said.strip(), _stars(before) - _stars(after))))
        elif line.strip():
            kind = _odd_line(line, bool(spoken))
            issues[kind] = None
            if kind == "continued line":
                spoken[-1] = (spoken[-1][0], f"{spoken[-1][1]} {line.strip()}".strip())
    turns = _merge(spoken, issues)
    if len({turn.speaker for turn in turns}) < 2:
        raise ReadingError(f"expected turns of {' and '.join(labels)}, found {len(turns)} from fewer than two", text)
    return Transcript(turns, tuple(issues))


def _plain(label: str) -> str:
    return re.sub(r"\s+", "", label).lower()


def _stars(text: str) -> int:
    return len(re.findall(r"[*_]", text))


def _unstarred(text: str, opened: int) -> str:
    """`text` without the stars that close those `opened` before its label: in front of the text, or else behind it.

    Stars that are the text's own ("*waves* Hello") stay.
    """
    if opened <= 0 or not text.strip("*_ "):
        return text if text.strip("*_ ") else ""
    closing = rf"(?:[*_]\s*){{1,{opened}}}"
    front = re.sub(rf"^{closing}", "", text)
    return front.strip() if front != text else re.sub(rf"(?:\s*[*_]){{1,{opened}}}$", "", text)


def _odd_line(line: str, begun: bool) -> str:
    """What a line without a label is."""
    if _SEPARATOR.match(line):
        return "separator"
    if not begun:
        return "preamble"
    return "stage direction" if _STAGE.match(line) else "continued line"


def _merge(spoken: Sequence[tuple[str, str]], issues: dict[str, None]) -> tuple[Turn, ...]:
    """Turns without empty ones, runs of one speaker joined by a space."""
    turns: list[Turn] = []
    for speaker, text in spoken:
        if not text:
            issues["empty turn"] = None
        elif turns and turns[-1].speaker == speaker:
            issues["same speaker twice"] = None
            turns[-1] = Turn(speaker, f"{turns[-1].text} {text}")
        else:
            turns.append(Turn(speaker, text))
    return tuple(turns)


_BULLET = re.compile(r"^\s*(?:[-*•–]|\(?\d{1,3}[.):](?!\d))\s*")
_QUOTED = re.compile(r"""^(?:"([^"]*)"|“([^“”]*)”)$""")


def items(text: str) -> list[str]:
    """The entries of a list, one a line, bullets and numbers taken off. Raises ReadingError when there is none."""
    entries = [_BULLET.sub("", line).strip() for line in text.splitlines()]
    found = [said for entry in entries if (said := _QUOTED.sub(r"\1\2", entry).strip())]
    if not found:
        raise ReadingError("expected a list, one entry a line, got an empty reply", text)
    return found


def sentence(text: str) -> str:
    """The first line of a reply as one entry. Raises ReadingError on an empty reply."""
    return items(text)[0]


_YES_NO = re.compile(r"^\W*(?:answer\W+)?(yes|no)\b", re.IGNORECASE)


def verdict(text: str) -> bool:
    """True for a reply that opens with yes, False for no. Raises ReadingError for anything else."""
    match = _YES_NO.match(text)
    if not match:
        raise ReadingError(f"expected a reply that opens with Yes or No, got {text[:60]!r}", text)
    return match[1].lower() == "yes"


def choice(text: str, options: Sequence[str]) -> str:
    """The option that a reply opens with, after words such as "Conversation" or "Answer:"."""
    body = re.sub(r"^\W*(?:(?:the|answer|conversation|option|is|user)\W+)*", "", text.strip(), flags=re.IGNORECASE)
    for option in options:
        if re.match(rf"{re.escape(option)}\b", body, re.IGNORECASE):
            return option
    raise ReadingError(f"expected a reply that opens with one of {list(options)}, got {text[:60]!r}", text)


def json_value(text: str) -> Any:
    """The first JSON object or array in a reply, prose and code fences around it ignored."""
    decoder = json.JSONDecoder()
    for match in re.finditer(r"[{\[]", text):
        try:
            return decoder.raw_decode(text, match.start())[0]
        except (ValueError, RecursionError):
            continue
    raise ReadingError(f"expected JSON, got {text[:60]!r}", text)


def json_verdict(text: str, key: str) -> bool:
    """True for "yes" under `key` of a JSON object, False for "no". Raises ReadingError for anything else."""
    value = json_value(text)
    said = value.get(key) if isinstance(value, dict) else None
    if said not in ("yes", "no"):
        raise ReadingError(f'expected "yes" or "no" under {key!r}, got {text[:80]!r}', text)
    return bool(said == "yes")
