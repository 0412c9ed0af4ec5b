"""Known: texts taken so far, to tell new ones from known; by sentence vectors, or by ROUGE-L."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

from synthesis.encoder import encode
from synthesis.words import words

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Taking(Protocol):
    """Takes in what is new."""

    def add(self, candidates: Sequence[str], most: int | None = None) -> list[str]:
        """The candidates that were new to everything before them and so taken in, at most `most` of them."""
        ...


class Known:
    """Texts and their vectors; a text is new below a cosine of `same` to all of them."""

    def __init__(self, texts: Sequence[str], encoder: str, same: float) -> None:
        self.texts = list(texts)
        self._encoder, self._same = encoder, same
        self._room = encode(self.texts, encoder)

    @property
    def vectors(self) -> NDArray[np.float32]:
        """Unit vectors of all texts, shape (n, d)."""
        return self._room[: len(self.texts)]

    def add(self, candidates: Sequence[str], most: int | None = None) -> list[str]:
        """As `Taking.add`."""
        import numpy as np

        taken: list[str] = []
        for text, vector in zip(candidates, encode(candidates, self._encoder), strict=True):
            if most is not None and len(taken) >= most:
                break
            if not self.texts or float(np.max(self.vectors @ vector)) < self._same:
                self._append(text, vector)
                taken.append(text)
        return taken

    def _append(self, text: str, vector: NDArray[np.float32]) -> None:
        """Room is doubled when it is used up, so that a long list is not copied for every text."""
        import numpy as np

        if len(self.texts) == len(self._room) or not self.texts:
            room = np.zeros((2 * len(self.texts) + 16, len(vector)), dtype=np.float32)
            if self.texts:
                room[: len(self.texts)] = self._room
            self._room = room
        self._room[len(self.texts)] = vector
        self.texts.append(text)


class Worded:
    """Texts; one is new when its ROUGE-L F (no stemmer) is below `same` against every one of them.

    Greedy and in order, as in arXiv 2409.19020; words are those of `synthesis.words`, so that no script goes unread.
    """

    def __init__(self, same: float) -> None:
        from rouge_score.rouge_scorer import RougeScorer

        self.texts: list[str] = []
        self._same = same
        self._scorer: Any = RougeScorer(["rougeL"], tokenizer=_Words())

    def add(self, candidates: Sequence[str], most: int | None = None) -> list[str]:
        """As `Taking.add`."""
        taken: list[str] = []
        for text in candidates:
            if most is not None and len(taken) >= most:
                break
            if all(self._scorer.score(old, text)["rougeL"].fmeasure < self._same for old in self.texts):
                self.texts.append(text)
                taken.append(text)
        return taken


class _Words:
    """The tokenizer as rouge-score asks for it."""

    def tokenize(self, text: str) -> list[str]:
        return words(text)
