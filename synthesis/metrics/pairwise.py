"""Pairwise: which of two dialogues a judge prefers, asked in both orders, and how much the order decides."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from random import Random
from typing import ClassVar, Literal

from synthesis import reading
from synthesis.asking import ask, together
from synthesis.critics import BETTER
from synthesis.dialogue import Dialogue
from synthesis.engine import CRITIC, Engine
from synthesis.errors import UserError
from synthesis.personas import GREEDY, chat
from synthesis.recipe import fork, rng_for
from synthesis.words import words

POLICY = "is the better one: more natural, more coherent and more interesting, whatever its length"

Place = Literal["1", "2"]


@dataclass(frozen=True, slots=True)
class Pairwise:
    """Win, tie or loss of a dialogue against its opponent, `others[dialogue.id]`.

    Formula: the judge sees the two in both orders. The same dialogue preferred twice is a win (1, 0, 0) or a loss
    (0, 0, 1); one preference each is a tie (0, 1, 0). Means over dialogues are the rates; they add up to 1, higher
    wins are better. A dialogue without opponent has no numbers. `pairwise_first` is the share of the two answers that
    name the dialogue shown first, and `position_bias` sums up over dialogues how much the order decides. Words of both
    sides stand beside, and whether a win or loss went to the longer one: judges favour length, so rates of datasets
    whose lengths differ are no fair comparison unless `pairwise_longer` is near 0.5.

    Source: order swap as Zheng et al. 2023, arXiv 2306.05685, have it; the question is ours, see `policy`.

    Known defects: prefers longer text and what the judging model would write itself; a tie is a judge without a
    view and a judge that goes by position alike. Rates are not corrected for length.

    Example: answers "1" to (A, B) and "2" to (B, A): A wins, first .5. Answers "1" and "1": a tie, first 1.
    """

    about: ClassVar[Mapping[str, str]] = {
        "pairwise_win": "preferred to its opponent in both orders; 0 to 1, higher is better",
        "pairwise_tie": "preferred in one order only; 0 to 1",
        "pairwise_loss": "opponent preferred in both orders; 0 to 1, lower is better",
        "pairwise_first": "answers that name the dialogue shown first; 0 to 1, 0.5 is fair",
        "pairwise_longer": "wins and losses that went to the side with more words; 0 to 1, 0.5 is fair",
        "pairwise_words": "words of the dialogue",
        "pairwise_words_other": "words of its opponent",
        "pairwise_bias": "ties in which the first place was preferred, not the second; 0 to 1, 0.5 is fair",
        "pairwise_bias_low": "lower end of its 95% interval",
        "pairwise_bias_high": "upper end of its 95% interval",
    }
    engine: Engine
    others: Mapping[str, Dialogue]
    policy: str = POLICY

    async def score(self, dialogue: Dialogue) -> dict[str, float]:
        """The pair's numbers; none without an opponent. Raises ReadingError for an answer that names neither."""
        other = self.others.get(dialogue.id)
        if other is None:
            return {}
        rng = rng_for(0, dialogue.id)
        shown_first, shown_second = await together(
            self._preferred(pair, dialogue.id, fork(rng)) for pair in ((dialogue, other), (other, dialogue))
        )
        won = (shown_first == "1") + (shown_second == "2")
        sizes = [sum(len(words(turn.text)) for turn in each.turns) for each in (dialogue, other)]
        scores = {
            "pairwise_win": float(won == 2),
            "pairwise_tie": float(won == 1),
            "pairwise_loss": float(won == 0),
            "pairwise_first": ((shown_first == "1") + (shown_second == "1")) / 2,
            "pairwise_words": float(sizes[0]),
            "pairwise_words_other": float(sizes[1]),
        }
        if won != 1 and sizes[0] != sizes[1]:
            scores["pairwise_longer"] = float((won == 2) == (sizes[0] > sizes[1]))
        return scores

    def over(self, scores: Iterable[Mapping[str, float]]) -> dict[str, float]:
        """What all pairs together say of the judge."""
        return position_bias(scores)

    async def _preferred(self, pair: tuple[Dialogue, Dialogue], thread: str, rng: Random) -> str:
        first, second = (each.text() for each in pair)
        request = chat(
            "pairwise",
            BETTER,
            GREEDY,
            4,
            role=CRITIC,
            thread=thread,
            policy=self.policy,
            first=first,
            second=second,
        )
        return await ask(self.engine, request, lambda text: reading.choice(text, ("1", "2")), rng)


def opponents(dialogues: Iterable[Dialogue]) -> dict[str, Dialogue]:
    """Dialogues by id, to play against those of another file. Raises UserError for an id that comes twice."""
    found: dict[str, Dialogue] = {}
    for dialogue in dialogues:
        if dialogue.id in found:
            raise UserError(f"pairwise: id {dialogue.id!r} comes twice; give a file in which ids are unique")
        found[dialogue.id] = dialogue
    return found


def position_bias(scores: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """Share of ties in which the first place won both times, with its exact (Clopper-Pearson) 95 % interval.

    A win or a loss names first and second place once each, whatever the judge's bias, so that only ties tell; there
    each pair is one draw. Empty when there are no ties.
    """
    from scipy.stats import binomtest

    ties = [each["pairwise_first"] for each in scores if each.get("pairwise_tie")]
    if not ties:
        return {}
    test = binomtest(sum(first == 1 for first in ties), len(ties))
    low, high = test.proportion_ci(0.95, method="exact")
    return {
        "pairwise_bias": float(test.statistic),
        "pairwise_bias_low": float(low),
        "pairwise_bias_high": float(high),
    }
