"""Personas in use: how much of each profile its own speaker voices, and how much is copied word for word.

The measures are those that the published Synthetic-Persona-Chat files can be held against: there about half of the
attributes leave no content word in their speaker's turns, and about 8 % are recited.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar

from synthesis.dialogue import Dialogue, Persona
from synthesis.words import content_words, ngrams, words


@dataclass(frozen=True, slots=True)
class _Attribute:
    """An attribute in its dialogue: shares (0 to 1) of its content words said by owner and others, and recital."""

    own: float
    others: float
    copied: bool


@dataclass(frozen=True, slots=True)
class PersonaUse:
    """Coverage, overlap, copying and swapping of persona attributes, over all attributes of all dialogues.

    Personas belong to speakers in the order of the speakers' names; dialogues with another number of speakers than of
    personas, and attributes without content words, are left out. `run`: words in a row that count as recited (the
    whole attribute, when it is shorter), within one turn.

    Source: our own reading of Synthetic-Persona-Chat (arXiv 2312.10007). Known defects: words, not meaning.

    Example: "I have a dog." belongs to a speaker who says "My dogs bark.": covered, overlap 1, not copied.
    """

    about: ClassVar[Mapping[str, str]] = {
        "persona_attributes": "attributes measured, counted once a dialogue",
        "persona_coverage": "attributes of which the owner says at least one content word; 0 to 1, higher is better",
        "persona_overlap": "content words of an attribute that its owner says, mean; 0 to 1, higher shows more",
        "persona_copied": "attributes with four words in a row recited by their owner; 0 to 1, lower is better",
        "persona_swapped": "attributes that the other speaker voices more than the owner; 0 to 1, lower is better",
    }
    run: int = 4

    def __call__(self, dialogues: Iterable[Dialogue]) -> dict[str, float]:
        count = 0
        covered = copied = swapped = 0
        overlap = 0.0
        for dialogue in dialogues:
            for attribute in self._attributes(dialogue):
                count += 1
                covered += attribute.own > 0
                copied += attribute.copied
                swapped += attribute.others > attribute.own
                overlap += attribute.own
        if not count:
            return {}
        return {
            "persona_attributes": count,
            "persona_coverage": covered / count,
            "persona_overlap": overlap / count,
            "persona_copied": copied / count,
            "persona_swapped": swapped / count,
        }

    def _attributes(self, dialogue: Dialogue) -> Iterator[_Attribute]:
        speakers = sorted(dialogue.speakers)
        if len(speakers) != len(dialogue.personas):
            return
        for persona, speaker in zip(dialogue.personas, speakers, strict=True):
            yield from self._of(persona, speaker, dialogue)

    def _of(self, persona: Persona, speaker: str, dialogue: Dialogue) -> Iterator[_Attribute]:
        spoken = [words(turn.text) for turn in dialogue.turns if turn.speaker == speaker]
        own = content_words(" ".join(turn.text for turn in dialogue.turns if turn.speaker == speaker))
        others = content_words(" ".join(turn.text for turn in dialogue.turns if turn.speaker != speaker))
        for trait in persona.traits:
            carried, tokens = content_words(trait), words(trait)
            if not carried:
                continue
            length = min(self.run, len(tokens))
            runs = set(ngrams(tokens, length))
            copied = any(not runs.isdisjoint(ngrams(utterance, length)) for utterance in spoken)
            yield _Attribute(len(carried & own) / len(carried), len(carried & others) / len(carried), copied)
