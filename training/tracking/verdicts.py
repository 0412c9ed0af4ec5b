"""What a scorer says of one slot in one turn, and how alike two values are.

The field's scripts use fuzzywuzzy, whose ratios are whole numbers; ours come from rapidfuzz (pinned in
constraints.txt) and are rounded the same way. The two libraries look for the best part of a longer text
differently and disagree on some pairs, so a score near a threshold can differ from what the script would say.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Verdict:
    """One slot that gold or prediction holds. `match`: from 0 to 1, how far the two agree; 0 where one is absent."""

    slot: str
    gold: bool
    predicted: bool
    match: float = 0.0


Verdicts = tuple[Verdict, ...]


def verdicts(
    gold: Mapping[str, str], predicted: Mapping[str, str], match: Callable[[str, str, str], float]
) -> Verdicts:
    """Of every slot that either holds, by name. `match` takes the slot, the gold value and the predicted one."""
    made = []
    for name in sorted(gold.keys() | predicted.keys()):
        both = name in gold and name in predicted
        made.append(
            Verdict(name, name in gold, name in predicted, match(name, gold[name], predicted[name]) if both else 0.0)
        )
    return tuple(made)


@functools.lru_cache(maxsize=65536)  # the same few values are compared over and over
def partial_ratio(one: str, other: str) -> int:
    """How well the shorter text fits the best part of the longer, 0 to 100: 100 for "1" and "10"."""
    from rapidfuzz import fuzz

    return round(fuzz.partial_ratio(one, other))


@functools.lru_cache(maxsize=65536)
def token_sort_ratio(one: str, other: str) -> int:
    """How alike two texts are with their words in alphabetical order, 0 to 100; case and punctuation do not count."""
    from rapidfuzz import fuzz, utils

    return round(fuzz.token_sort_ratio(one, other, processor=utils.default_process))
