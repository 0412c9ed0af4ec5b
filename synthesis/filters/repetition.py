"""Repetition: loops of one utterance, and one utterance that goes round in itself."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import dataclass
from typing import ClassVar

from synthesis.dialogue import Dialogue
from synthesis.words import ngrams, per_word, words


@dataclass(frozen=True, slots=True)
class Repetition:
    """Keeps dialogues in which no utterance of `words` words or more comes `times` times.

    An utterance whose 3-grams are to more than half repeats of each other is a loop as well, and so is a run of
    `phrase` words that comes in `turns` turns or more.
    """

    name: ClassVar[str] = "repetition"
    times: int = 2
    words: int = 4
    phrase: int = 5
    turns: int = 3

    async def __call__(self, dialogue: Dialogue) -> str | None:
        spoken = [tuple(words(turn.text)) for turn in dialogue.turns]
        size = per_word(list(itertools.chain.from_iterable(spoken)))
        said = Counter(utterance for utterance in spoken if len(utterance) >= self.words * size)
        for utterance, count in said.most_common(1):
            if count >= self.times:
                return f"repeated utterance: {' '.join(utterance)!r}, {count} times"
        for number, utterance in enumerate(spoken, 1):
            grams = list(ngrams(utterance, 3))
            if len(grams) >= 6 and len(set(grams)) < len(grams) / 2:
                return f"looping utterance: turn {number}"
        length = self.phrase * size
        # dict.fromkeys and not a set: of equally common phrases the first spoken is named, in every process
        phrases = Counter(gram for utterance in spoken for gram in dict.fromkeys(ngrams(utterance, length)))
        for phrase, count in phrases.most_common(1):
            if count >= self.turns:
                return f"repeated phrase: {' '.join(phrase)!r}, in {count} turns"
        return None
