"""Courtesy: two who go on thanking each other and saying goodbye, with nothing else to say."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

from synthesis.dialogue import Dialogue
from synthesis.words import STOP_WORDS, words

_COURTEOUS = frozenset(
    """appreciate bye care cheers day else enjoy evening farewell fine glad good goodbye great happy help hope kind
    lovely luck nice night perfect pleased pleasure problem safe set soon thank thankful thanks today tomorrow trip
    visit welcome wish wishes wonderful""".split()
)


@dataclass(frozen=True, slots=True)
class Courtesy:
    """Keeps dialogues in which fewer than `turns` turns in a row say nothing but courtesies."""

    name: ClassVar[str] = "courtesy"
    turns: int = 5

    async def __call__(self, dialogue: Dialogue) -> str | None:
        run = 0
        for number, turn in enumerate(dialogue.turns, 1):
            run = run + 1 if courteous(turn.text) else 0
            if run >= self.turns:
                return f"courtesy loop: {run} turns in a row, turn {number}"
        return None


def courteous(text: str) -> bool:
    """Whether a text thanks, wishes well or says goodbye, and has no word that does anything else."""
    said = set(words(text))
    return bool(said & _COURTEOUS) and not said - _COURTEOUS - STOP_WORDS and not re.search(r"\d", text)
