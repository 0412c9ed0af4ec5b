"""Copying: an utterance that recites a persona attribute instead of living it, and attributes of the wrong speaker."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from synthesis.dialogue import Dialogue, Persona
from synthesis.words import content_words, ngrams, per_word, words


@dataclass(frozen=True, slots=True)
class Copying:
    """Keeps dialogues in which at most `share` of all attributes are recited.

    An attribute counts as recited when `run` of its words in a row (or all of them, if it has fewer) are spoken.
    """

    name: ClassVar[str] = "copying"
    run: int = 6
    share: float = 0.3

    async def __call__(self, dialogue: Dialogue) -> str | None:
        spoken = [words(turn.text) for turn in dialogue.turns]
        traits = [trait for persona in dialogue.personas for trait in persona.traits]
        recited = [trait for trait in traits if self._recited(words(trait), spoken)]
        if traits and len(recited) / len(traits) > self.share:
            return f"recited attributes: {len(recited)} of {len(traits)}, such as {recited[0]!r}"
        return None

    def _recited(self, trait: list[str], spoken: list[list[str]]) -> bool:
        length = min(self.run * per_word(trait), len(trait))
        runs = set(ngrams(trait, length))
        return length > 0 and any(not runs.isdisjoint(ngrams(utterance, length)) for utterance in spoken)


@dataclass(frozen=True, slots=True)
class CrossTalk:
    """Keeps dialogues in which at most `most` attributes are voiced by the other speaker and not by their own.

    Voiced means that the speaker's words in the first person contain at least `overlap` of the attribute's content
    words and the owner's words contain none. Needs one persona a speaker, in the order of the speakers' names.
    """

    name: ClassVar[str] = "cross-talk"
    overlap: float = 0.6
    most: int = 0

    async def __call__(self, dialogue: Dialogue) -> str | None:
        if len(dialogue.personas) != 2 or len(dialogue.speakers) != 2:
            return None
        first, second = sorted(dialogue.speakers)
        swapped = [
            *self._swapped(dialogue, dialogue.personas[0], first, second),
            *self._swapped(dialogue, dialogue.personas[1], second, first),
        ]
        return f"swapped persona: {swapped[0]!r}" if len(swapped) > self.most else None

    def _swapped(self, dialogue: Dialogue, persona: Persona, owner: str, other: str) -> list[str]:
        own = content_words(" ".join(turn.text for turn in dialogue.turns if turn.speaker == owner))
        claims = [
            content_words(turn.text)
            for turn in dialogue.turns
            if turn.speaker == other and not {"i", "i'm", "i've", "my"}.isdisjoint(words(turn.text))
        ]
        found = []
        for trait in persona.traits:
            wanted = content_words(trait)
            voiced = any(len(wanted & claim) >= self.overlap * len(wanted) for claim in claims)
            if len(wanted) >= 2 and voiced and not wanted & own:
                found.append(trait)
        return found


@dataclass(frozen=True, slots=True)
class Coverage:
    """Keeps dialogues in which each speaker voices at least `least` attributes: `overlap` of its content words."""

    name: ClassVar[str] = "coverage"
    least: int = 1
    overlap: float = 0.3

    async def __call__(self, dialogue: Dialogue) -> str | None:
        for persona, speaker in zip(dialogue.personas, sorted(dialogue.speakers), strict=False):
            spoken = content_words(" ".join(turn.text for turn in dialogue.turns if turn.speaker == speaker))
            wanted = [content_words(trait) for trait in persona.traits]
            voiced = sum(len(carried & spoken) >= max(1, self.overlap * len(carried)) for carried in wanted)
            if voiced < self.least:
                return f"uncovered persona: {speaker} voices {voiced} attributes, expected {self.least}"
        return None
