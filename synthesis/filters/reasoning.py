"""Reasoning: what a model thought or how it was told to answer, spoken aloud by a speaker."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

from synthesis.dialogue import Dialogue
from synthesis.words import ngrams, per_word, words

_TAG = re.compile(
    r"</?\s*(?:cot|dialogue|think(?:ing)?|reasoning|summary)\s*>|\"(?:reasoning|dialogue|speaker)\"\s*:", re.I
)


@dataclass(frozen=True, slots=True)
class Reasoning:
    """Keeps dialogues whose turns hold no tag of the reply's form, and no `run` words in a row of the reasoning."""

    name: ClassVar[str] = "reasoning"
    run: int = 10

    async def __call__(self, dialogue: Dialogue) -> str | None:
        thought = words(dialogue.reasoning or "")
        length = self.run * per_word(thought)
        known = set(ngrams(thought, length))
        for number, turn in enumerate(dialogue.turns, 1):
            tag = _TAG.search(turn.text)
            if tag:
                return f"leaked tag: {tag[0]!r}, turn {number}"
            aloud = next((gram for gram in ngrams(words(turn.text), length) if gram in known), None)
            if aloud:
                return f"leaked reasoning: {' '.join(aloud)!r}, turn {number}"
        return None
