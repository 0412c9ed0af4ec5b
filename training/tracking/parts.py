"""Parts of a corpus by the ids of its dialogues: put aside, and subsets of which the smaller is in the larger.

What is put aside goes by the ids alone, so that it is the same for every seed and every size; what is learned from is
a beginning of the seed's order.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from synthesis.dialogue import Dialogue
from synthesis.errors import UserError


@dataclass(frozen=True, slots=True)
class Parts:
    """What is learned from, what training is stopped by, what a model is tested on; each in the corpus's order."""

    learned: tuple[Dialogue, ...]
    held_out: tuple[Dialogue, ...]
    test: tuple[Dialogue, ...]


def parted(dialogues: Sequence[Dialogue], held_out: float, test: float, size: int | None, seed: int) -> Parts:
    """Shares of all dialogues put aside, at least one for a share above 0, and `size` of the rest, or all of it.

    Raises UserError where fewer are left than are asked for, or none.
    """
    every = [dialogue.id for dialogue in dialogues]
    by_id = _ordered(every, "")
    tests = max(1, round(test * len(every))) if test else 0
    held = max(1, round(held_out * len(every))) if held_out else 0
    rest = _ordered(by_id[tests + held :], str(seed))
    wanted = len(rest) if size is None else size
    if not rest or wanted > len(rest):
        raise UserError(
            f"asked for {size or 'any'} dialogues to learn from: of {len(every)}, {tests} are for a test and {held} "
            f"held out, so that {len(rest)} are left; ask for fewer or give more"
        )
    chosen = (set(rest[:wanted]), set(by_id[tests : tests + held]), set(by_id[:tests]))
    return Parts(*(tuple(dialogue for dialogue in dialogues if dialogue.id in part) for part in chosen))


def _ordered(ids: Sequence[str], salt: str) -> list[str]:
    """The ids in an order that is chance's, and the same wherever the same ids are."""
    return sorted(ids, key=lambda each: hashlib.sha256(f"{salt}:{each}".encode()).digest())
