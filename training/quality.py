"""Quality of dialogues by their length: a weight for each, and a tag under which a model learns it.

SOLID-RL (arXiv 2402.11633) trains on dialogues of mixed quality, told apart by length; how, is not published. All here
is choice. Lengths are words, compared among dialogues of as many turns only. `bucket`: each such group is split at its
median, one half is good, the other poor and of little weight. `exp`: the weight falls off with the relative distance
from the length that is wanted, exp(-rate |l - l0| / l0), without tags. `none`: all alike. Weights have a mean of 1.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, inf
from pathlib import Path
from statistics import fmean, median
from typing import Literal, get_args

from synthesis.dialogue import Dialogue
from synthesis.dialogue_files import Dialogues
from synthesis.errors import UserError
from synthesis.intents.one_step import GOOD, POOR
from synthesis.storage import parse, read_text
from synthesis.words import words
from training.intent_files import read

Method = Literal["bucket", "exp", "none"]
Direction = Literal["human", "short", "long"]
METHODS: tuple[Method, ...] = get_args(Method)
DIRECTIONS: tuple[Direction, ...] = get_args(Direction)


@dataclass(frozen=True, slots=True)
class Quality:
    """Of one dialogue. `tag`: what its prompt says of it, nothing if empty."""

    weight: float
    tag: str = ""


@dataclass(frozen=True, slots=True)
class Rule:
    """How quality goes by length.

    `direction`: which length is wanted, people's (`human`, words an utterance), the shortest or the longest of the
    group. `poor`: weight of a poor dialogue where a good one has 1 (bucket). `rate`: of the fall (exp).
    """

    method: Method = "bucket"
    direction: Direction = "human"
    human: float | None = None
    poor: float = 0.1
    rate: float = 1.0

    def __post_init__(self) -> None:
        if self.method != "none" and self.direction == "human" and not (self.human and self.human > 0):
            raise UserError(
                "quality by the length that people write needs that length: give dialogues of people with --human, or "
                "their words an utterance with --human-words; or go by --direction short or long"
            )
        if not 0 < self.poor <= 1 or not 0 < self.rate < inf:
            raise UserError(f"poor weight {self.poor} and rate {self.rate}: expected 0 < poor <= 1 and rate > 0")


def quality(dialogues: Sequence[Dialogue], rule: Rule) -> list[Quality]:
    """Of each dialogue, in their order; the weights' mean is 1."""
    made = [Quality(1.0)] * len(dialogues)
    if rule.method == "none" or not dialogues:
        return made
    groups: dict[int, list[int]] = defaultdict(list)
    for at, dialogue in enumerate(dialogues):
        groups[len(dialogue.turns)].append(at)
    judge = _bucket if rule.method == "bucket" else _exp
    for turns, members in groups.items():
        lengths = [length(dialogues[at]) for at in members]
        for at, found in zip(members, judge(lengths, turns, rule), strict=True):
            made[at] = found
    mean = fmean(each.weight for each in made)
    if not mean:
        raise UserError(
            f"quality: all dialogues are so far from {rule.human} words an utterance that none weighs anything; see "
            f"whether that is people's length, or lower --rate {rule.rate}"
        )
    return [Quality(each.weight / mean, each.tag) for each in made]


def length(dialogue: Dialogue) -> int:
    """Words of all its utterances."""
    return sum(len(words(turn.text)) for turn in dialogue.turns)


def human_mean(source: str) -> float:
    """Words an utterance in a file or dataset of dialogues, or in a release with intents, such as MSDialog-Intent.

    Of a release it is those of the labelled utterances. Raises UserError where there is none.
    """
    if _is_release(source):
        counts = [len(words(each.text)) for each in read(source)]
    else:
        counts = [len(words(text)) for texts in Dialogues(source).texts() for text in texts]
    if not any(counts):
        raise UserError(f"dialogues {source}: nobody says a word")
    return fmean(counts)


def _is_release(source: str) -> bool:
    """Whether it is one JSON object, as the releases of the field are; our dialogues are rows."""
    path = Path(source)
    return path.suffix == ".json" and path.is_file() and isinstance(parse(read_text(path, "dialogues"), source), dict)


def _bucket(lengths: Sequence[int], turns: int, rule: Rule) -> list[Quality]:
    """Good and poor of one group. All are good where all are equally long, for then nothing tells them apart."""
    if min(lengths) == max(lengths):
        return [Quality(1.0, GOOD)] * len(lengths)
    middle = median(lengths)
    above = [one > middle for one in lengths]
    if not any(above):  # more than half have the greatest length
        above = [one == middle for one in lengths]
    wanted = _longer(lengths, above, turns, rule)
    return [Quality(1.0, GOOD) if one == wanted else Quality(rule.poor, POOR) for one in above]


def _longer(lengths: Sequence[int], above: Sequence[bool], turns: int, rule: Rule) -> bool:
    """Whether the longer half is the good one; of two as near to people's length it is the shorter."""
    if rule.direction != "human" or rule.human is None:
        return rule.direction == "long"
    distances = [
        abs(fmean(one for one, up in zip(lengths, above, strict=True) if up == half) - rule.human * turns)
        for half in (False, True)
    ]
    return distances[1] < distances[0]


def _exp(lengths: Sequence[int], turns: int, rule: Rule) -> list[Quality]:
    ends = {"short": min(lengths), "long": max(lengths), "human": (rule.human or 0.0) * turns}
    wanted = max(1.0, ends[rule.direction])
    return [Quality(exp(-rule.rate * abs(one - wanted) / wanted)) for one in lengths]
