"""Penalties, warping and choice, on rows small enough to work out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthesis.server.sampling import Row, Sampler, Sampling, warp


def row(*shares: float) -> Row:
    """Logits of these probabilities, with maximum 0."""
    logits = np.log(np.array(shares, dtype=np.float32))
    highest: Row = logits - logits.max()
    return highest


def kept(scores: Row) -> list[int]:
    return np.flatnonzero(np.isfinite(scores)).tolist()


def test_top_k_keeps_ties() -> None:
    assert kept(warp(row(0.4, 0.3, 0.2, 0.1), Sampling(top_k=2))) == [0, 1]
    assert kept(warp(row(0.4, 0.2, 0.2, 0.2), Sampling(top_k=2))) == [0, 1, 2, 3]
    assert kept(warp(row(0.4, 0.6), Sampling(top_k=100))) == [0, 1]


def test_top_p_keeps_the_fewest_that_reach_it() -> None:
    shares = row(0.5, 0.25, 0.15, 0.1)
    assert kept(warp(shares, Sampling(top_p=0.45))) == [0]
    assert kept(warp(shares, Sampling(top_p=0.7))) == [0, 1]
    assert kept(warp(shares, Sampling(top_p=0.95))) == [0, 1, 2, 3]


def test_typical_p_prefers_expected_surprise() -> None:
    shares = (0.6, 0.3, 0.1)
    entropy = -sum(share * math.log(share) for share in shares)
    nearest = min(range(3), key=lambda place: abs(-math.log(shares[place]) - entropy))
    assert nearest == 1
    assert kept(warp(row(*shares), Sampling(typical_p=0.2))) == [nearest]
    assert kept(warp(row(*shares), Sampling(typical_p=0.99))) == [0, 1, 2]


def test_temperature_scales_and_never_overflows() -> None:
    assert warp(row(0.5, 0.25), Sampling(temperature=2.0))[1] == pytest.approx(math.log(0.5) / 2)
    cold = Sampler(Sampling(sample=True, temperature=1e-45), [0], 2)
    assert cold.choose(row(0.25, 0.5), None, 0).token == 1


def test_repetition_penalty_covers_prompt_and_output() -> None:
    sampler = Sampler(Sampling(repetition_penalty=2.0), [0], 3)
    logits = np.array([2.0, 1.5, -1.0], dtype=np.float32)
    assert sampler.choose(logits.copy(), None, 0).token == 1  # 2.0 / 2 loses to 1.5
    choice = sampler.choose(logits.copy(), None, 3)  # now 1.0, 0.75, -1.0
    assert choice.token == 0
    assert choice.top[0][1] - choice.top[1][1] == pytest.approx(0.25)


def test_frequency_penalty_is_the_share_of_the_text() -> None:
    sampler = Sampler(Sampling(frequency_penalty=2.0), [0, 0, 0, 1], 2)
    choice = sampler.choose(np.array([1.0, 0.2], dtype=np.float32), None, 2)
    assert choice.token == 1  # 1.0 - 2 * 3/4 = -0.5 against 0.2 - 2 * 1/4 = -0.3
    assert choice.top[0][1] - choice.top[1][1] == pytest.approx(0.2)


def test_logprobs_are_taken_after_warping() -> None:
    choice = Sampler(Sampling(sample=True, top_k=1), [0], 3).choose(row(0.2, 0.5, 0.3), None, 3)
    assert (choice.token, choice.logprob, choice.top) == (1, 0.0, ((1, 0.0),))
    plain = Sampler(Sampling(), [0], 3).choose(row(0.2, 0.5, 0.3), None, 2)
    assert [number for number, _ in plain.top] == [1, 2]
    assert [value for _, value in plain.top] == pytest.approx([math.log(0.5), math.log(0.3)])


def test_a_mask_leaves_only_what_it_allows() -> None:
    choice = Sampler(Sampling(), [0], 3).choose(row(0.2, 0.5, 0.3), np.array([True, False, True]), 0)
    assert choice.token == 2
    assert choice.logprob == pytest.approx(math.log(0.6))


def test_draws_follow_the_distribution_and_the_seed() -> None:
    def draws(seed: int) -> list[int]:
        sampler = Sampler(Sampling(sample=True, seed=seed), [0], 3)
        return [sampler.choose(row(0.2, 0.5, 0.3), None, 0).token for _ in range(3000)]

    first = draws(5)
    assert first == draws(5)
    assert first != draws(6)
    assert np.bincount(first) / 3000 == pytest.approx([0.2, 0.5, 0.3], abs=0.03)


def test_a_watermark_favours_half_of_the_vocabulary() -> None:
    even = np.zeros(100, dtype=np.float32)
    choice = Sampler(Sampling(watermark=True), [3], 100).choose(even.copy(), None, 100)
    assert sorted(round(value - choice.top[-1][1], 3) for _, value in choice.top) == [0.0] * 50 + [2.0] * 50


@given(
    st.lists(st.floats(-50, 50, width=32), min_size=1, max_size=40),
    st.integers(0, 2**64 - 1),
    st.builds(
        Sampling,
        sample=st.just(True),
        temperature=st.none() | st.floats(1e-6, 1e6),
        top_k=st.none() | st.integers(1, 60),
        top_p=st.none() | st.floats(0.001, 0.999),
        typical_p=st.none() | st.floats(0.001, 0.999),
        repetition_penalty=st.none() | st.floats(0.1, 10),
        frequency_penalty=st.none() | st.floats(-2, 2),
    ),
)
def test_any_settings_choose_a_possible_token(logits: list[float], seed: int, settings: Sampling) -> None:
    from dataclasses import replace

    sampler = Sampler(replace(settings, seed=seed), [0], len(logits))
    for _ in range(3):
        choice = sampler.choose(np.array(logits, dtype=np.float32), None, 5)
        assert 0 <= choice.token < len(logits)
        assert math.isfinite(choice.logprob)
        assert choice.logprob <= 1e-4
        assert choice.top


def test_numbers_that_are_none_are_told() -> None:
    with pytest.raises(ValueError, match="not finite"):
        Sampler(Sampling(), [0], 2).choose(np.array([np.nan, 1.0], dtype=np.float32), None, 0)
