"""Filter: keep a dialogue, or say why not.

A filter is a frozen dataclass with a `name` and one method that returns None (keep) or the reason for dropping. The
reason's first word up to a colon is what the funnel counts, the rest is detail for whoever reads `dropped.jsonl`:
"placeholder: '[name]' in turn 3". `Across` compares dialogues with one another; it runs once, over sorted ids, when
a round is complete, so concurrency, shards and resume cannot change what it keeps.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar, Protocol, runtime_checkable

from synthesis.dialogue import Dialogue


class Filter(Protocol):
    """Judges a dialogue by itself."""

    name: ClassVar[str]

    async def __call__(self, dialogue: Dialogue) -> str | None: ...


@runtime_checkable
class Across(Protocol):
    """Judges all dialogues of a round together, given in the order of their ids: id to reason, for those to drop."""

    name: ClassVar[str]

    def across(self, dialogues: Iterable[Dialogue]) -> Mapping[str, str]: ...


async def first_reason(filters: Sequence[Filter], dialogue: Dialogue) -> tuple[str, str] | None:
    """Name and reason of the first filter that drops `dialogue`; None when all keep it. Cheap ones go first."""
    for judge in filters:
        reason = await judge(dialogue)
        if reason is not None:
            return judge.name, reason
    return None
