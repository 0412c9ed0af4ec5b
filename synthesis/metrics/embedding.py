"""Diversity by meaning: how far dialogues are apart as sentence vectors, and how many different ones there are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from synthesis.dialogue import Dialogue
from synthesis.encoder import OFFLINE, encode
from synthesis.sample import drawn

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class EmbeddingDiversity:
    """Distance of each dialogue to its nearest other, and the effective number of dialogues, by sentence vectors.

    Formula: with unit vectors x of `sample` dialogues drawn by `seed` (None: all), each `speaker: utterance` a line:
    nearest cosine = mean over i of max over j != i of x_i . x_j; distance = 1 - nearest cosine. Vendi score = exp of
    the entropy -Σ l log l of the eigenvalues l of K / n, where K_ij = x_i . x_j; it says how many entirely different
    dialogues would be as diverse.

    Source: the mean maximum cosine of DiaSynth's code (arXiv 2409.19020; there over the first 200, by the same
    encoder); Friedman and Dieng 2023 (arXiv 2210.02410) for Vendi.

    Known defects: the encoder reads the first 256 word pieces only; the nearest cosine rises and the Vendi score grows
    with the number of dialogues, so that only equal samples compare; unrelated English texts still have cosines above
    0, so that the Vendi score stays far below their number; what the encoder does not tell apart is no diversity here.

    Example: vectors (1, 0), (1, 0), (0, 1): largest cosines 1, 1, 0, mean 2/3, distance 1/3. K / 3 has the eigenvalues
    2/3, 1/3, 0, with the entropy 0.6365: Vendi score 1.89.
    """

    about: ClassVar[Mapping[str, str]] = {
        "embedding_distance": "1 - cosine to the nearest other dialogue, mean; 0 to 2, higher is more varied",
        "embedding_nearest_cosine": "cosine to the nearest other dialogue, mean; -1 to 1, lower is more varied",
        "vendi_score": "effective number of different dialogues in the sample; 1 to the sample's size, "
        "higher is more varied",
    }
    encoder: str = OFFLINE
    sample: int | None = 200
    seed: int = 0

    def __call__(self, dialogues: Iterable[Dialogue]) -> dict[str, float]:
        texts = [dialogue.text() for dialogue in drawn(dialogues, self.sample, self.seed)]
        if len(texts) < 2:
            return {}
        return diversity(encode(texts, self.encoder))


def diversity(vectors: NDArray[np.float32]) -> dict[str, float]:
    """The numbers of at least two unit vectors, shape (n, d)."""
    import numpy as np

    exact = vectors.astype(np.float64)
    exact /= np.linalg.norm(exact, axis=1, keepdims=True)
    nearest = np.empty(len(exact))
    for start in range(0, len(exact), _ROWS):
        cosines = exact[start : start + _ROWS] @ exact.T
        rows = np.arange(len(cosines))
        cosines[rows, start + rows] = -np.inf
        nearest[start : start + _ROWS] = cosines.max(axis=1)
    shorter = exact.T @ exact if exact.shape[1] < len(exact) else exact @ exact.T  # the same eigenvalues but for zeros
    shares = np.linalg.eigvalsh(shorter / len(exact))
    shares = shares[shares > 1e-12]
    return {
        "embedding_distance": float(1 - nearest.mean()),
        "embedding_nearest_cosine": float(nearest.mean()),
        "vendi_score": float(np.exp(-(shares * np.log(shares)).sum())),
    }


_ROWS = 1024
