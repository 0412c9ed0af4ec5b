"""Guesses at what comes next, from where the text has said the same before (prompt lookup decoding, Saxena 2023).

Names, traits, keys of JSON and whole sentences come again. Guessed tokens are read in one pass with the newest one,
over keys and values that are read anyway, and one counts only if it is what is chosen from the logits before it. So
no text changes; it comes in fewer passes.
"""

from __future__ import annotations

from collections.abc import Sequence

GRAM = 3  # tokens that must have stood together before: with two, guesses at sampled text fail half as often again
MOST = 3  # guessed tokens in a pass: each costs a row of every layer, and further ones seldom come true (choice)


class Lookup:
    """Where each run of GRAM tokens of one growing text was last followed by something."""

    def __init__(self) -> None:
        self._after: dict[tuple[int, ...], int] = {}
        self._known = GRAM

    def guess(self, tokens: Sequence[int], most: int) -> list[int]:
        """At most `most` tokens that followed the last GRAM ones before; a text that runs in a circle goes on so.

        `tokens` is the text of the last call with more at its end.
        """
        for end in range(self._known, len(tokens)):
            self._after[tuple(tokens[end - GRAM : end])] = end
        self._known = max(self._known, len(tokens))
        start = self._after.get(tuple(tokens[-GRAM:]))
        if start is None:
            return []
        circle = tokens[start:]
        return [circle[step % len(circle)] for step in range(most)]
