"""Sample: some of very many dialogues, the same ones in whatever order they come; memory holds no more than these."""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Iterable

from synthesis.dialogue import Dialogue


def drawn(dialogues: Iterable[Dialogue], size: int | None, seed: int) -> list[Dialogue]:
    """`size` of the dialogues, in the order of hashes of seed, id and text; all of them, so ordered, for None."""
    placed = ((_place(dialogue, seed), dialogue) for dialogue in dialogues)
    first = sorted(placed, key=_first) if size is None else heapq.nsmallest(size, placed, key=_first)
    return [dialogue for _, dialogue in first]


def _first(placed: tuple[bytes, Dialogue]) -> bytes:
    return placed[0]


def _place(dialogue: Dialogue, seed: int) -> bytes:
    return hashlib.blake2b(
        f"{seed}:{dialogue.id}:{dialogue.text()}".encode("utf-8", "replace"), digest_size=16
    ).digest()
