"""Metric and Scorer: questions asked of a whole dataset, or of one dialogue, answered with named numbers.

A number that cannot be had (no such dialogues, nothing to divide by, no profile to look for) is absent from the
answer; it is never a zero. `about` says of each number what it means, its range, and which direction is better; the
class says the formula, the source, known defects, and a worked example, which is also its test.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, Protocol

from synthesis.asking import together
from synthesis.dialogue import Dialogue
from synthesis.errors import Failure, Quarantined, ReadingError, RequestRefused, Unsupported

Level = Literal["turn", "dialogue"]
"""What a number about one dialogue is about: its last turn in the light of those before, or all of it."""


def judged(dialogue: Dialogue, level: Level, speaker: str | None = None) -> list[int]:
    """Places of the turns to judge: the last one or all, and of these only `speaker`'s where one is named."""
    first = len(dialogue.turns) - 1 if level == "turn" else 0
    return [at for at, turn in enumerate(dialogue.turns) if at >= first and speaker in (None, turn.speaker)]


class Metric(Protocol):
    """Numbers about dialogues. It reads them once, in order, and may be called again on others."""

    @property
    def about(self) -> Mapping[str, str]: ...

    def __call__(self, dialogues: Iterable[Dialogue]) -> dict[str, float]: ...


class Scorer(Protocol):
    """Numbers about one dialogue, or about its last turn in the light of those before; may ask an engine.

    One that also has `over(scores)` says with it what the scores of all dialogues tell together.
    """

    @property
    def about(self) -> Mapping[str, str]: ...

    async def score(self, dialogue: Dialogue) -> dict[str, float]:
        """Raises ReadingError for a verdict that cannot be read, EngineError for one that cannot be had."""
        ...


async def scored(
    scorer: Scorer, dialogues: Iterable[Dialogue], at_a_time: int = 64, unread: list[Failure] | None = None
) -> list[dict[str, float]]:
    """What `scorer` says of each dialogue, in order; `at_a_time` of them side by side.

    `unread`: takes the errors of verdicts that cannot be read and of requests that are refused or fail for good (a
    dialogue beyond the context, say), whose dialogues then have no numbers; without it the first of them is raised.
    Raises other EngineErrors in any case.
    """

    async def score(dialogue: Dialogue) -> dict[str, float]:
        try:
            return await scorer.score(dialogue)
        except (ReadingError, RequestRefused, Quarantined) as error:
            if unread is None:
                raise
            unread.append(error)
            return {}

    found: list[dict[str, float]] = []
    waiting = iter(dialogues)
    while batch := list(itertools.islice(waiting, at_a_time)):
        found += await together(map(score, batch))
    return found


async def tried(scorer: Scorer, dialogues: Sequence[Dialogue]) -> tuple[list[dict[str, float]], Failure | None]:
    """What `scorer` says of each dialogue, and why of some, or of all, it has no numbers.

    Raises EngineError for an endpoint that is gone.
    """
    unread: list[Failure] = []
    try:
        found = await scored(scorer, dialogues, unread=unread)
    except Unsupported as error:
        return [{} for _ in dialogues], error
    told = f"{len(unread)} of {len(dialogues)} dialogues could not be judged: {unread[0]}" if unread else ""
    return found, Failure(told) if told else None


def averaged(scores: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """The mean of each number over the dialogues that have it."""
    values: defaultdict[str, list[float]] = defaultdict(list)
    for each in scores:
        for name, value in each.items():
            values[name].append(value)
    return {name: sum(found) / len(found) for name, found in values.items()}
