"""Summary: it is there, shorter than what it sums up, and speaks of nobody else."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

from synthesis.dialogue import Dialogue
from synthesis.words import words

_NUMBERED = re.compile(r"#Person\d+#|\bUser \d\b")
_NAME = re.compile(r"(?<![.!?:] )(?<!^)\b[A-Z][a-z]+\b")
_TAG = re.compile(r"</?[a-z]+>|\[[^\]]{1,40}\]|\{[^}]{1,40}\}")


@dataclass(frozen=True, slots=True)
class Summary:
    """Keeps dialogues with a summary of fewer words than they have, that names only who speaks or is spoken of.

    Labels such as #Person3# must be speakers; a name of `names` inside a sentence must occur in the dialogue.
    """

    name: ClassVar[str] = "summary"
    names: frozenset[str] = frozenset()

    async def __call__(self, dialogue: Dialogue) -> str | None:
        summary = dialogue.summary or ""
        short, whole = len(words(summary)), sum(len(words(turn.text)) for turn in dialogue.turns)
        if not short:
            return "no summary: it is empty"
        if short >= whole:
            return f"long summary: {short} words of a dialogue of {whole}"
        tag = _TAG.search(summary)
        if tag:
            return f"leaked form: {tag[0]!r} in the summary"
        said = dialogue.text()
        strangers = [label for label in _NUMBERED.findall(summary) if label not in dialogue.speakers]
        strangers += [name for name in _NAME.findall(summary) if name in self.names and name not in said]
        return f"stranger: {strangers[0]!r} is in the summary, not in the dialogue" if strangers else None
