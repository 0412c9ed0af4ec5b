"""Length: utterances that say something and stop in time."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import ClassVar

from synthesis.dialogue import Dialogue
from synthesis.words import per_word, words


@dataclass(frozen=True, slots=True)
class Length:
    """Keeps dialogues whose utterances have 1 to `longest` words and whose mean utterance has at least `mean`."""

    name: ClassVar[str] = "length"
    longest: int = 80
    mean: float = 3.0

    async def __call__(self, dialogue: Dialogue) -> str | None:
        spoken = [words(turn.text) for turn in dialogue.turns]
        counts = [len(each) for each in spoken]
        if not counts or min(counts) == 0:
            return f"empty utterance: turn {counts.index(0) + 1 if counts else 0}"
        size = per_word(list(itertools.chain.from_iterable(spoken)))
        if max(counts) > self.longest * size:
            return f"long utterance: {max(counts)} words, turn {counts.index(max(counts)) + 1}"
        if sum(counts) / len(counts) < self.mean * size:
            return f"short utterances: {sum(counts) / len(counts):.1f} words on average, expected {self.mean * size:g}"
        return None
