"""Near-duplicates across a run: MinHash over word 3-grams; of each pair the one with the smaller id stays.

Broder 1997; signatures and the index are datasketch's. Runs over dialogues in the order of their ids, so the same
dialogues give the same survivors whatever order they were made in.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar

from synthesis.dialogue import Dialogue
from synthesis.words import ngrams, words

_RECALL = (0.1, 0.9)  # the index proposes too many rather than too few; the signatures decide


@dataclass(frozen=True, slots=True)
class NearDuplicates:
    """Drops a dialogue whose estimated Jaccard similarity to an earlier one is at least `threshold`."""

    name: ClassVar[str] = "near-duplicates"
    threshold: float = 0.6
    permutations: int = 64

    def across(self, dialogues: Iterable[Dialogue]) -> Mapping[str, str]:
        from datasketch import MinHash, MinHashLSH

        index = MinHashLSH(threshold=self.threshold, num_perm=self.permutations, weights=_RECALL)
        kept: dict[str, MinHash] = {}
        dropped: dict[str, str] = {}
        for dialogue in dialogues:
            signature = MinHash(num_perm=self.permutations, seed=1)
            signature.update_batch([" ".join(gram).encode() for gram in _shingles(dialogue)])
            near = sorted(index.query(signature))
            twin = next((id_ for id_ in near if kept[id_].jaccard(signature) >= self.threshold), None)
            if twin is not None:
                dropped[dialogue.id] = f"near-duplicate: of {twin}"
            else:
                kept[dialogue.id] = signature
                index.insert(dialogue.id, signature, check_duplication=False)
        return dropped


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
