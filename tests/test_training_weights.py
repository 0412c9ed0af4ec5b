"""Weights of tokens: by task, by example, of what is only read and of what an answer takes up from its prompt."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from synthesis.errors import UserError
from training.data import IGNORED, Encoded
from training.packing import batches
from training.weights import Weights, mentioned


def example(given: Sequence[int], written: Sequence[int], task: str = "talk", weight: float = 1.0) -> Encoded:
    return Encoded(task, [*given, *written], [0] * len(given) + [1] * len(written), weight=weight)


def counted(examples: Sequence[Encoded], weights: Weights) -> list[float]:
    """The weights of all tokens that count, of one row, in order of size."""
    made = batches(examples, [32], 32, 0, weights)
    assert len(made) == 1
    row = zip(made[0]["labels"][0], made[0]["weights"][0], strict=True)
    return sorted(weight for label, weight in row if label != IGNORED)


def test_weights_of_tasks_have_a_mean_of_one_over_covered_tokens() -> None:
    both = [example([1], [2] * 6), example([1], [2] * 2, "verdict")]
    # six tokens of weight 1 and two of weight 5: a mean of 2 before scaling
    assert counted(both, Weights({"verdict": 5.0})) == pytest.approx([0.5] * 6 + [2.5] * 2)


def test_weights_of_examples_have_a_mean_of_one_over_covered_tokens() -> None:
    both = [example([1], [2] * 6), example([1], [2] * 2, weight=5.0)]
    assert counted(both, Weights()) == pytest.approx([0.5] * 6 + [2.5] * 2)


def test_what_is_only_read_counts_with_a_weight_of_its_own() -> None:
    both = [example([1] * 6, [2, 2]), example([1], [2, 2])]
    # four written tokens and five read ones, the first of both following nothing: (4 + 5 / 4) / 9
    mean = 5.25 / 9
    assert counted(both, Weights(read=0.25)) == pytest.approx([0.25 / mean] * 5 + [1 / mean] * 4)


def test_what_an_answer_takes_up_from_its_prompt_counts_more_where_it_does_so_first() -> None:
    asked = example([1, 7, 8, 9], [2, 8, 2, 8, 7, 1])
    assert mentioned(asked, frozenset()) == [5, 8, 9]
    assert mentioned(asked, frozenset({1, 2})) == [5, 8]
    assert mentioned(Encoded("", [1, 7, 8, 9, 7], [0, 1, 1, 0, 1]), frozenset()) == [], "not given before"
    assert mentioned(Encoded("", [1, 7, 3, 9, 7], [0, 0, 1, 0, 1]), frozenset()) == [4]
    recited = example([1, 7, 8, 3, 9, 2], [7, 8, 3, 9, 1])
    assert mentioned(recited, frozenset({1, 3})) == [6, 9], "8 follows 7 as it did, 9 a common one"
    assert mentioned(recited, frozenset()) == [6, 10]
    # 1 stands in every prompt and is common; 2 in none. Of 40 answers one takes up two tokens: (40 * 6 + 2 * 3) / 240
    many = [asked, *(example([1, at + 10], [2] * 6) for at in range(39))]
    scaled = Weights(mentions={"talk": 4.0}).scaled(many)
    one = 240 / 246
    assert scaled.by_token(asked)[4:] == pytest.approx([one, 4 * one, one, one, 4 * one, one])
    assert scaled.by_token(many[1])[2:] == pytest.approx([one] * 6)


def test_mentions_reach_the_batches() -> None:
    asked = example([1, 7, 8], [2, 8, 7])
    # the given tokens stand in one prompt each and are common in none; of six written ones two count four times
    assert counted([asked, example([3, 4], [5, 5, 5])], Weights(mentions={"talk": 4.0})) == pytest.approx(
        [6 / 12] * 4 + [24 / 12] * 2
    )


def test_mentions_and_what_is_only_read_have_one_mean() -> None:
    many = [example([1, 5, at + 10], [at + 10, 2], weight=2.0) for at in range(30)]
    scaled = Weights({"talk": 3.0}, read=0.5, mentions={"talk": 2.0}).scaled(many)
    weights = [
        w for one in many for w, label in zip(scaled.by_token(one), scaled.labels(one), strict=True) if label >= 0
    ]
    assert sum(weights) / len(weights) == pytest.approx(1.0)
    assert weights[:4] == pytest.approx([0.5 / scaled.mean] * 2 + [12 / scaled.mean, 6 / scaled.mean])


def test_mentions_of_unknown_tasks_and_by_no_number_are_refused() -> None:
    with pytest.raises(UserError, match=r"mention_weights name \['other'\], of which .*; there are \['talk'\]"):
        Weights(mentions={"other": 2.0}).scaled([example([1], [2])])
    assert Weights(mentions={"other": 2.0, "talk": 1.0}).scaled([example([1], [2])]).mean == 1.0, "as other weights"
    for wrong in (0, -1.0, "two", True, float("nan"), float("inf")):
        with pytest.raises(UserError, match="is a positive number"):
            Weights(mentions={"talk": wrong}).scaled([example([1], [2])])  # type: ignore[dict-item]
