"""Placeholders and labels that a speaker would never say: "[name]", "(your city)", "User 1", "as an AI"."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

from synthesis.dialogue import Dialogue

_KINDS = {
    "placeholder": re.compile(
        r"\[[^\]]{1,40}\]|<[a-z][^>]{0,40}>|\{[^}]{1,40}\}|_{3,}|"
        r"\((?:your |my |insert |user |his |her )?(?:first |last )?"
        r"(?:name|city|town|country|place|age|job|company|date)"
        r"[^)]{0,20}\)",
        re.IGNORECASE,
    ),
    "spoken label": re.compile(r"\b(?:user|speaker|person|persona|agent)[ _]?(?:1|2|one|two)\b", re.IGNORECASE),
    "model speech": re.compile(
        r"\bas an? (?:ai|artificial|language model|assistant)\b|\blanguage model\b|\bmy (?:profile|persona) says\b",
        re.IGNORECASE,
    ),
}


@dataclass(frozen=True, slots=True)
class Placeholders:
    """Keeps dialogues without template slots, spoken speaker labels or the model speaking of itself."""

    name: ClassVar[str] = "placeholders"

    async def __call__(self, dialogue: Dialogue) -> str | None:
        for number, turn in enumerate(dialogue.turns, 1):
            for kind, pattern in _KINDS.items():
                match = pattern.search(turn.text)
                if match:
                    return f"{kind}: {match[0]!r}, turn {number}"
        return None
