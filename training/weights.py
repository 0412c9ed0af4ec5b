"""Weights: how much each token of an example counts in the loss."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from synthesis.errors import UserError
from training.data import IGNORED, Encoded

COMMON = 0.05
"""Share of a task's prompts beyond which a token that stands in them is common."""


@dataclass(frozen=True, slots=True)
class Weights:
    """How much each token counts: `tasks`: by task where the loss covers it, 1 for those not named, times the
    example's own weight; `read`: where the loss does not, 0 for not.

    `mentions`: by task how many times as much a token counts that the answer takes up from what was given, where it
    does so first (see `mentioned`). Nothing but such tokens tells whether an answer is about its prompt, and they are
    few: of a persona chat's one in twenty. `common`: by task the tokens that say nothing, such as those of
    the instructions. `mean`: what all weights are divided by.
    """

    tasks: Mapping[str, float] = field(default_factory=dict)
    read: float = 0.0
    mentions: Mapping[str, float] = field(default_factory=dict)
    common: Mapping[str, frozenset[int]] = field(default_factory=dict)
    mean: float = 1.0

    def scaled(self, examples: Sequence[Encoded]) -> Weights:
        """The same with a mean of 1 over all tokens of the examples that count, and with what is common in those.

        Raises UserError for `mentions` of tasks none of which has an example, and for what is no positive number.
        """
        tasks = {example.task for example in examples}
        if self.mentions and tasks.isdisjoint(self.mentions):
            named = sorted(self.mentions)
            raise UserError(f"mention_weights name {named}, of which there is no example; there are {sorted(tasks)}")
        wrong = {task: times for task, times in self.mentions.items() if not _positive(times)}
        if wrong:
            raise UserError(f"mention_weights: {wrong}: how many times as much is a positive number")
        common = {task: _common([one for one in examples if one.task == task]) for task in self.mentions}
        known = replace(self, common=common, mean=1.0)
        sums = [known._sums(example) for example in examples]
        return replace(known, mean=sum(total for total, _ in sums) / max(1, sum(count for _, count in sums)))

    def labels(self, example: Encoded) -> list[int]:
        """Token ids, IGNORED where they do not count; the first of an example follows nothing of its own."""
        counts = [bool(on or (self.read and at)) for at, on in enumerate(example.mask)]
        return [one if on else IGNORED for one, on in zip(example.ids, counts, strict=True)]

    def by_token(self, example: Encoded) -> list[float]:
        """A weight for each token."""
        written, read = self._written(example) / self.mean, self.read / self.mean
        made = [written if on else read for on in example.mask] if self.read else [written] * len(example.mask)
        for at in self._mentioned(example):
            made[at] *= self.mentions[example.task]
        return made

    def _sums(self, example: Encoded) -> tuple[float, int]:
        """The sum of the weights of the tokens that count, and their number."""
        written = sum(example.mask)
        read = len(example.ids) - 1 - written if self.read else 0
        more = len(self._mentioned(example)) * (self.mentions.get(example.task, 1.0) - 1.0)
        return (written + more) * self._written(example) + read * self.read, written + read

    def _written(self, example: Encoded) -> float:
        return self.tasks.get(example.task, 1.0) * example.weight

    def _mentioned(self, example: Encoded) -> list[int]:
        """Places of the tokens that `mentions` is about."""
        return mentioned(example, self.common[example.task]) if example.task in self.common else []


def mentioned(example: Encoded, common: frozenset[int]) -> list[int]:
    """Places where the answer has a token that was given before, for the first time; none of the `common` ones.

    Nor one that follows another as it did there: what is taken up should not be recited.
    """
    told: set[int] = set()
    left: set[int] = set()
    runs: set[tuple[int, int]] = set()
    places, before = [], -1
    for at, (one, on) in enumerate(zip(example.ids, example.mask, strict=True)):
        if on and one in left:
            left.discard(one)
            if before not in told or (before, one) not in runs:
                places.append(at)
        elif not on:
            runs.add((before, one))
            if one not in common and one not in told:
                told.add(one)
                left.add(one)
        before = one
    return places


def _common(examples: Sequence[Encoded]) -> frozenset[int]:
    """Tokens that stand in more than COMMON of what was given, and in that of more than one."""
    found: Counter[int] = Counter()
    for example in examples:
        found.update({one for one, on in zip(example.ids, example.mask, strict=True) if not on})
    return frozenset(one for one, count in found.items() if count > max(1, COMMON * len(examples)))


def _positive(value: object) -> bool:
    """Whether it is a number above 0; true and false are none."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value) and value > 0
