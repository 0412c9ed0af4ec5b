"""Trivial baselines: length, content words, and overlap with what was there. A metric that they match says no more."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from synthesis.dialogue import Dialogue
from synthesis.metric import Level, judged
from synthesis.words import content_words, words


@dataclass(frozen=True, slots=True)
class Baselines:
    """Three numbers that know nothing of quality, for every metric to be held against.

    Of the judged turns, which are the last or all: words in all; content words, the different ones of each turn added
    up; and the share of a turn's content words that stand in the document or, without one, in the turns before it,
    mean over the judged turns that have content words and something to overlap with.

    Source: a choice; length alone rivals published metrics on many sets of human scores. Known defects: they have no
    direction of their own: only the size of their correlation counts.

    Example: "Do you like ferries?" answered by "Ferries? I sailed on ferries for years.": the last turn has 7 words
    and the 3 content words ferr, sail and year, of which 1/3 were there before.
    """

    about: ClassVar[Mapping[str, str]] = {
        "length": "words of the judged turns; from 0, no direction",
        "content_words": "different content words of each judged turn, added up; from 0, no direction",
        "overlap": "content words found in the document, or else in the turns before; 0 to 1, no direction",
    }
    level: Level

    async def score(self, dialogue: Dialogue) -> dict[str, float]:
        """No error."""
        places = judged(dialogue, self.level)
        carried = [content_words(turn.text) for turn in dialogue.turns]
        document = content_words(dialogue.document) if dialogue.document else None
        overlaps = []
        for at in places:
            there = set().union(*carried[:at]) if document is None else document
            if there and carried[at]:
                overlaps.append(len(carried[at] & there) / len(carried[at]))
        found: dict[str, float] = {
            "length": sum(len(words(dialogue.turns[at].text)) for at in places),
            "content_words": sum(len(carried[at]) for at in places),
        }
        return found | ({"overlap": sum(overlaps) / len(overlaps)} if overlaps else {})
