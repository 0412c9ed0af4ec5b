"""Turn structure: enough turns, not too many, two speakers taking turns, the right one first."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import ClassVar

from synthesis.dialogue import Dialogue


@dataclass(frozen=True, slots=True)
class Structure:
    """Keeps dialogues of `low` to `high` turns in which two speakers alternate and `first` opens (None: either)."""

    name: ClassVar[str] = "structure"
    low: int = 2
    high: int = 1000
    first: str | None = None

    async def __call__(self, dialogue: Dialogue) -> str | None:
        turns = dialogue.turns
        if len(dialogue.speakers) != 2:
            return f"speakers: {len(dialogue.speakers)} of them, expected 2"
        if not self.low <= len(turns) <= self.high:
            return f"turn count: {len(turns)}, expected {self.low} to {self.high}"
        if self.first is not None and turns[0].speaker != self.first:
            return f"opening speaker: {turns[0].speaker}, expected {self.first}"
        for number, (turn, following) in enumerate(itertools.pairwise(turns), 2):
            if turn.speaker == following.speaker:
                return f"alternation: {turn.speaker} speaks twice, turn {number}"
        return None
