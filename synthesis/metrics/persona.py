"""Personas in use: how much of each profile its own speaker voices, how much is recited, how much the other claims.

The measures are those that the published Synthetic-Persona-Chat files can be held against: there about half of the
attributes leave no content word in their speaker's turns, and about 8 % are recited whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from synthesis.dialogue import Dialogue, Persona
from synthesis.metric import Level, judged
from synthesis.words import content_words, ngrams, words

_FIRST_PERSON = frozenset({"i", "i'm", "i've", "i'd", "i'll", "my", "mine", "me"})


@dataclass(frozen=True, slots=True)
class Side:
    """One speaker of a dialogue with their persona: what they say, and what the others say, turn by turn."""

    speaker: str
    persona: Persona
    own: tuple[str, ...]
    others: tuple[str, ...]


def sides(dialogue: Dialogue, level: Level = "dialogue") -> list[Side]:
    """The sides of a dialogue, of which a level "turn" leaves the last speaker's with that one turn.

    None where `Dialogue.profiles` has none.
    """
    turns = [dialogue.turns[at] for at in judged(dialogue, level)]
    present = {turn.speaker for turn in turns}
    return [
        Side(
            speaker,
            persona,
            tuple(turn.text for turn in turns if turn.speaker == speaker),
            tuple(turn.text for turn in turns if turn.speaker != speaker),
        )
        for speaker, persona in dialogue.profiles.items()
        if speaker in present
    ]


@dataclass(frozen=True, slots=True)
class _Attribute:
    """An attribute in its dialogue: shares (0 to 1) of its content words said by owner and others, and what it met."""

    own: float
    others: float
    copied: bool
    verbatim: bool
    claimed: bool


@dataclass(frozen=True, slots=True)
class PersonaUse:
    """Coverage, overlap, recital and cross-talk of persona attributes, over all attributes of all dialogues.

    Of an attribute with the content words A, whose owner says the content words O and the others P: covered when A
    and O meet; overlap |A∩O|/|A|; swapped when |A∩P| > |A∩O|; copied when `run` of its words in a row (all, when it
    is shorter) are said by its owner within one turn, verbatim when all of them are. Cross-talk: another speaker says
    at least `voiced` of A, and two words of it, in one turn in the first person, and A and O do not meet. Each number
    is a share of all attributes that have content words; dialogues with another number of speakers than of personas,
    or whose personas have no speaker of their own, are left out. As a scorer at level "turn" it looks at the last turn
    and its speaker's persona only.

    Source: the measures of our own reading of Synthetic-Persona-Chat (arXiv 2312.10007). Known defects: words, not
    meaning: a paraphrase counts as unused, an accidental word as use, and a denial as use; coverage has no optimum at
    1, for people do not recite all that is true of them.

    Example: "I have a dog." and "I never learned how to swim." belong to a speaker who says "My dogs keep me awake,
    and I never learned how to swim.": both covered, overlap 1, one of two copied and verbatim.
    """

    about: ClassVar[Mapping[str, str]] = {
        "persona_attributes": "attributes measured, counted once a dialogue",
        "persona_coverage": "attributes of which the owner says at least one content word; 0 to 1, higher is better",
        "persona_overlap": "content words of an attribute that its owner says, mean; 0 to 1, higher shows more",
        "persona_copied": "attributes with four words in a row recited by their owner; 0 to 1, lower is better",
        "persona_verbatim": "attributes that their owner recites whole, word for word; 0 to 1, lower is better",
        "persona_swapped": "attributes that the other speaker voices more than the owner; 0 to 1, lower is better",
        "persona_cross_talk": "attributes that the other speaker claims and the owner never; 0 to 1, lower is better",
    }
    run: int = 4
    voiced: float = 0.6
    level: Level = "dialogue"

    def __call__(self, dialogues: Iterable[Dialogue]) -> dict[str, float]:
        count = 0
        covered = copied = verbatim = swapped = claimed = 0
        overlap = 0.0
        for dialogue in dialogues:
            for side in sides(dialogue, self.level):
                for attribute in self._attributes(side):
                    count += 1
                    covered += attribute.own > 0
                    overlap += attribute.own
                    copied += attribute.copied
                    verbatim += attribute.verbatim
                    swapped += attribute.others > attribute.own
                    claimed += attribute.claimed
        if not count:
            return {}
        found = {
            "persona_attributes": count,
            "persona_coverage": covered / count,
            "persona_overlap": overlap / count,
            "persona_copied": copied / count,
            "persona_verbatim": verbatim / count,
        }
        if self.level == "turn":  # one turn has one speaker
            return found
        return found | {"persona_swapped": swapped / count, "persona_cross_talk": claimed / count}

    async def score(self, dialogue: Dialogue) -> dict[str, float]:
        """The numbers of one dialogue."""
        return self([dialogue])

    def _attributes(self, side: Side) -> Iterator[_Attribute]:
        spoken = [words(text) for text in side.own]
        own, others = content_words(" ".join(side.own)), content_words(" ".join(side.others))
        claims = [content_words(text) for text in side.others if not _FIRST_PERSON.isdisjoint(words(text))]
        for trait in side.persona.traits:
            carried, tokens = content_words(trait), words(trait)
            if not carried:
                continue
            claimed = any(len(carried & claim) >= max(2, self.voiced * len(carried)) for claim in claims)
            yield _Attribute(
                own=len(carried & own) / len(carried),
                others=len(carried & others) / len(carried),
                copied=_recited(tokens, min(self.run, len(tokens)), spoken),
                verbatim=_recited(tokens, len(tokens), spoken),
                claimed=claimed and not carried & own,
            )


def _recited(tokens: Sequence[str], length: int, spoken: Iterable[Sequence[str]]) -> bool:
    runs = set(ngrams(tokens, length))
    return any(not runs.isdisjoint(ngrams(utterance, length)) for utterance in spoken)
