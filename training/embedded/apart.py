"""Apart: learned rows that repeat what is held out are found by its long sentences, whatever they are called.

The same page or meeting stands in the corpus and in a folder beside it, under several ids, and some dialogues share
turns. Ids alone hold such material out in one place and teach it in another.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from training.embedded.row import Row

LONG = 56
"""Letters and digits from a sentence's start that tell whose it is (choice): about 70 characters of English."""

COMMON = 5
"""Learned dialogues that may have the same words; what more have is a set phrase, and nobody's own (choice)."""

_BREAKS = b'.!?:"\n'
_KEPT = b"abcdefghijklmnopqrstuvwxyz0123456789" + _BREAKS
_REST = bytes(set(range(256)) - set(_KEPT))
_LINES = bytes.maketrans(_BREAKS, b"\n" * len(_BREAKS))


def openings(text: str) -> Iterator[bytes]:
    """The first `LONG` letters and digits from each sentence's start on, over the sentences after it; none shorter."""
    parts = text.encode("ascii", "ignore").lower().translate(_LINES, _REST).split(b"\n")
    whole, at = b"".join(parts), 0
    for part in parts:
        if at + LONG > len(whole):
            return
        if part:
            yield whole[at : at + LONG]
        at += len(part)


def own(rows: Iterable[Row], said: Iterable[str]) -> frozenset[bytes]:
    """Openings that only what is held out should have: those of the lines that are `said` in it.

    Set phrases are left out, which more than `COMMON` learned dialogues have. `rows`: all, learned and held out.
    """
    lines = (line for text in said for line in text.splitlines())
    found: dict[bytes, set[str]] = {opening: set() for line in lines for opening in openings(line)}
    for row in rows:
        if not row.held_out:
            for opening in openings("\n".join(row.said)):
                if opening in found:
                    found[opening].add(row.key)
    return frozenset(opening for opening, keys in found.items() if len(keys) <= COMMON)


def apart(rows: Sequence[Row], held: frozenset[bytes]) -> list[Row]:
    """The rows without the learned ones that have one of the openings."""
    return [row for row in rows if row.held_out or held.isdisjoint(openings("\n".join(row.said)))]
