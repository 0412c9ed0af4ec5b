"""Metric: a question asked of a whole dataset, answered with named numbers.

A metric reads the dialogues once, in order, and may be called again on others. A number that cannot be had (no such
dialogues, nothing to divide by) is absent from the answer; it is never a zero.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

from synthesis.dialogue import Dialogue


class Metric(Protocol):
    """Numbers about dialogues. `about`: what each number means, its range, and which direction is better."""

    @property
    def about(self) -> Mapping[str, str]: ...

    def __call__(self, dialogues: Iterable[Dialogue]) -> dict[str, float]: ...
