"""One row of logits to one token: penalties, warping, choice, in TGI's order and with TGI's formulas.

Everything works on one sequence's row in numpy, so a choice depends on that row and the sequence's own random stream
and on nothing else. Order: watermark, repetition penalty, frequency penalty, grammar, temperature, top-k, top-p,
typical-p. Tokens of equal weight at a cut stay together, so the result never hangs on how a sort breaks ties.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Generator

Row = NDArray[np.float32]
GREEN_SHARE, GREEN_BONUS, GREEN_KEY = 0.5, 2.0, 15485863  # Kirchenbauer et al. 2023, with TGI's defaults


@dataclass(frozen=True, slots=True)
class Sampling:
    """How to choose; None is off. Penalties: 1 and 0 are off."""

    sample: bool = False
    seed: int = 0
    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    typical_p: float | None = None
    repetition_penalty: float | None = None
    frequency_penalty: float | None = None
    watermark: bool = False


@dataclass(frozen=True, slots=True)
class Choice:
    """The chosen id, its log-probability after warping, and the likeliest (id, log-probability) pairs asked for."""

    token: int
    logprob: float
    top: tuple[tuple[int, float], ...]


class Sampler:
    """One sequence's choices; remembers the tokens seen (prompt and output) and owns its random stream."""

    def __init__(self, settings: Sampling, prompt: list[int], vocabulary: int) -> None:
        self._settings = settings
        self._stream = np.random.PCG64(settings.seed)
        self._counts: Row | None = None
        self._length, self._last = len(prompt), prompt[-1]
        self._green: Generator | None = None
        if settings.repetition_penalty or settings.frequency_penalty:
            self._counts = np.bincount(prompt, minlength=vocabulary).astype(np.float32)

    def choose(self, logits: Row, allowed: NDArray[np.bool_] | None, top: int) -> Choice:
        """Choose from a row of `logits` (overwritten); raises ValueError when the row holds no usable number."""
        with np.errstate(over="ignore"):  # a penalty may be as large as numbers go
            scores = self._penalised(logits)
        if allowed is not None:
            scores[~allowed] = -np.inf
        highest = scores.max()
        if not np.isfinite(highest):
            raise ValueError("the model's logits are not finite")
        scores -= highest
        if self._settings.sample:
            scores = warp(scores, self._settings)
        weights = np.exp(scores)
        token = self._draw(weights) if self._settings.sample else int(scores.argmax())
        logprobs = scores - np.float32(np.log(weights.sum(dtype=np.float64)))
        self._remember(token)
        return Choice(token, float(logprobs[token]), _likeliest(logprobs, top))

    def _penalised(self, scores: Row) -> Row:
        settings = self._settings
        if settings.watermark:
            scores[self._green_list(len(scores))] += GREEN_BONUS
        if self._counts is not None and settings.repetition_penalty:
            seen = self._counts > 0
            old = scores[seen]
            scores[seen] = np.where(old < 0, old * settings.repetition_penalty, old / settings.repetition_penalty)
        if self._counts is not None and settings.frequency_penalty:
            scores -= np.float32(settings.frequency_penalty) * self._counts / np.float32(self._length)
        return scores

    def _green_list(self, vocabulary: int) -> NDArray[np.int64]:
        """The half of the vocabulary that the last token favours."""
        import torch

        self._green = self._green or torch.Generator()
        self._green.manual_seed(GREEN_KEY * self._last)
        drawn = torch.randperm(vocabulary, generator=self._green)[: int(vocabulary * GREEN_SHARE)]
        green: NDArray[np.int64] = drawn.numpy()
        return green

    def _draw(self, weights: Row) -> int:
        """Inverse transform of one uniform number with 53 bits."""
        possible = np.flatnonzero(weights)
        cumulative = np.cumsum(weights[possible], dtype=np.float64)
        point = (int(self._stream.random_raw()) >> 11) * 2.0**-53 * cumulative[-1]
        place = int(np.searchsorted(cumulative, point, side="right"))
        return int(possible[min(place, len(possible) - 1)])

    def _remember(self, token: int) -> None:
        self._last = token
        self._length += 1
        if self._counts is not None:
            self._counts[token] += 1


def warp(scores: Row, settings: Sampling) -> Row:
    """Temperature, top-k, top-p and typical-p on a row whose maximum is 0; what is cut becomes -inf."""
    if settings.temperature is not None:
        with np.errstate(over="ignore"):
            scores = scores / np.float32(max(settings.temperature, 1e-30))
    if settings.top_k is not None and settings.top_k < len(scores):
        least = np.partition(scores, -settings.top_k)[-settings.top_k]
        scores = np.where(scores < least, -np.inf, scores)
    if settings.top_p is not None:
        scores = _nucleus(scores, settings.top_p)
    if settings.typical_p is not None:
        scores = _typical(scores, settings.typical_p)
    return scores.astype(np.float32, copy=False)


def _probabilities(scores: Row) -> NDArray[np.float64]:
    weights = np.exp(scores, dtype=np.float64)
    shares: NDArray[np.float64] = weights / weights.sum()
    return shares


def _nucleus(scores: Row, mass: float) -> Row:
    """The fewest likeliest tokens that reach `mass` (Holtzman et al. 2020)."""
    probabilities = _probabilities(scores)
    # all tokens below this share weigh less than 1 - mass together, so none of them is needed
    falling = np.sort(probabilities[probabilities >= (1 - mass) / len(probabilities)])[::-1]
    place = int(np.searchsorted(np.cumsum(falling), mass))
    least = falling[min(place, len(falling) - 1)]
    kept: Row = np.where(probabilities < least, np.float32(-np.inf), scores)
    return kept


def _typical(scores: Row, mass: float) -> Row:
    """The tokens whose surprise is nearest the expected one, up to `mass` (Meister et al. 2023)."""
    probabilities = _probabilities(scores)
    possible = probabilities > 0
    surprise = np.full(len(scores), np.inf)
    surprise[possible] = -np.log(probabilities[possible])
    expected = float((probabilities[possible] * surprise[possible]).sum())
    distance = np.abs(surprise - expected)
    order = np.argsort(distance, kind="stable")
    place = int(np.searchsorted(np.cumsum(probabilities[order]), mass))
    furthest = distance[order[min(place, len(order) - 1)]]
    kept: Row = np.where(possible & (distance <= furthest), scores, np.float32(-np.inf))
    return kept


def _likeliest(logprobs: Row, count: int) -> tuple[tuple[int, float], ...]:
    """The `count` likeliest tokens that can be chosen at all, likeliest first, equal ones by id."""
    if not count:
        return ()
    count = min(count, len(logprobs))
    near = np.flatnonzero(logprobs >= np.partition(logprobs, -count)[-count])
    order = near[np.argsort(-logprobs[near], kind="stable")][:count]
    return tuple((int(token), float(logprobs[token])) for token in order if np.isfinite(logprobs[token]))
