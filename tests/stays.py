"""Stays: who is inside a server of a test, and the largest company that each of them had."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class Stays:
    """`inside`: how many there are now; `companies`: for each that left the most that were inside with it, itself too.

    Unlike the time that all of them take, these do not depend on how fast the machine is just now.
    """

    def __init__(self) -> None:
        self._most: dict[int, int] = {}
        self._came = 0
        self.companies: list[int] = []

    @property
    def inside(self) -> int:
        return len(self._most)

    @contextmanager
    def stay(self) -> Iterator[None]:
        """While the block runs, there is one more."""
        self._came = mine = self._came + 1
        self._most[mine] = 0
        self._most = {each: max(most, len(self._most)) for each, most in self._most.items()}
        try:
            yield
        finally:
            self.companies.append(self._most.pop(mine))
