"""Near-duplicates across a run: MinHash over word 3-grams; of each pair the one with the smaller id stays.

Broder 1997; signatures are datasketch's. Runs over dialogues in the order of their ids, so the same
dialogues give the same survivors whatever order they were made in.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar

from synthesis.dialogue import Dialogue
from synthesis.signatures import Signatures
from synthesis.words import ngrams, words

_ROWS = 4  # of a band: at a similarity of 0.6 a pair of 64 permutations is proposed with a chance of 0.89


@dataclass(frozen=True, slots=True)
class NearDuplicates:
    """Drops a dialogue whose estimated Jaccard similarity to an earlier one is at least `threshold`."""

    name: ClassVar[str] = "near-duplicates"
    threshold: float = 0.6
    permutations: int = 64

    def across(self, dialogues: Iterable[Dialogue]) -> Mapping[str, str]:
        ids: list[str] = []
        with Signatures(self.permutations, _ROWS) as signatures:
            for dialogue in dialogues:
                ids.append(dialogue.id)
                signatures.add(" ".join(gram).encode() for gram in _shingles(dialogue))
            found = signatures.twins(self.threshold)
            return {ids[place]: f"near-duplicate: of {ids[twin]}" for place, twin in found}


def _shingles(dialogue: Dialogue) -> set[tuple[str, ...]]:
    spoken = words(" ".join(turn.text for turn in dialogue.turns))
    return set(ngrams(spoken, min(3, len(spoken)))) if spoken else {("",)}


@dataclass(frozen=True, slots=True)
class StockOpeners:
    """Drops a dialogue that opens word for word like others already do, beyond `share` of all and at least `least`."""

    name: ClassVar[str] = "stock-openers"
    share: float = 0.1
    least: int = 3

    def across(self, dialogues: Iterable[Dialogue]) -> Mapping[str, str]:
        opened = [(dialogue.id, " ".join(words(dialogue.turns[0].text))) for dialogue in dialogues]
        room = max(self.least, int(self.share * len(opened)))
        seen: Counter[str] = Counter()
        dropped: dict[str, str] = {}
        for id_, opener in opened:
            seen[opener] += 1
            if seen[opener] > room:
                dropped[id_] = f"stock opener: {opener!r}, {room} others kept"
        return dropped
