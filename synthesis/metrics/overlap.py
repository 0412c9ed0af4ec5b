"""Overlap between dialogues: how much each resembles the one, or the many, that it resembles most."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import ClassVar

from synthesis.dialogue import Dialogue
from synthesis.sample import drawn
from synthesis.words import words

PUBLISHED = 200
"""So many dialogues, the first ones, are what the published measurements look at."""


@dataclass(frozen=True, slots=True)
class RougeL:
    """How much each dialogue has in common with its nearest other: as published, and of a sample of any size.

    Formula: the mean over dialogues of the maximum over others of ROUGE-L F = 2 LCS / (a + b), where LCS is the length
    of the longest common subsequence of the two dialogues' words and a, b are their numbers of words; words are those
    of the package rouge-score with its stemmer. Published: over the first 200 dialogues, with speakers' labels.
    Nearest: over `sample` dialogues drawn by `seed` (None: all, exactly), utterances only. A dialogue without words is
    not compared.

    Source: DiaSynth (arXiv 2409.19020) and its code. The package's own loop over 200 dialogues takes minutes; the
    subsequence is found by RapidFuzz, bit by bit, and the value is the package's.

    Known defects: rises with the number of dialogues compared, so that only equal sizes compare; labels add to it;
    the first 200 of a file that is sorted by topic are not a sample; word order counts, so a paraphrase is far away.
    The package's words are runs of a to z and digits: other scripts have none, so that there is no number, but for the
    published one where labels are in Latin letters, which then is about these alone.

    Example: "I like old dogs" and "I like dogs": common "i like dog", F = 2 * 3 / (4 + 3) = 6/7, for both.
    """

    about: ClassVar[Mapping[str, str]] = {
        "rouge_l_published": "ROUGE-L F to the nearest of the first 200, mean; 0 to 1, lower is more varied",
        "rouge_l_nearest": "ROUGE-L F to the nearest other of the sample, mean; 0 to 1, lower is more varied",
    }
    sample: int | None = 500
    seed: int = 0

    def __call__(self, dialogues: Iterable[Dialogue]) -> dict[str, float]:
        ahead, rest = itertools.tee(dialogues)
        first = [dialogue.text() for dialogue in itertools.islice(ahead, PUBLISHED)]
        del ahead  # else every dialogue would be kept for it
        sampled = [_utterances(dialogue) for dialogue in drawn(rest, self.sample, self.seed)]
        found = {"rouge_l_published": nearest_rouge_l(first), "rouge_l_nearest": nearest_rouge_l(sampled)}
        return {name: value for name, value in found.items() if value is not None}


def nearest_rouge_l(texts: Sequence[str]) -> float | None:
    """Mean over those of `texts` that have words of the largest ROUGE-L F to any other; None for fewer than two."""
    import numpy as np
    from rapidfuzz.distance import LCSseq
    from rapidfuzz.process import cdist

    tokens = [found for text in texts if (found := _stems(text))]
    if len(tokens) < 2:
        return None
    lengths = np.array([len(each) for each in tokens])
    total = 0.0
    for at, each in enumerate(tokens):
        common = cdist([each], tokens, scorer=LCSseq.similarity, dtype=np.int32)[0]
        shares = 2 * common / (lengths + len(each))
        shares[at] = 0
        total += float(shares.max())
    return total / len(tokens)


def _stems(text: str) -> list[str]:
    from rouge_score.tokenize import tokenize

    found: list[str] = tokenize(text, _stemmer())
    return found


@cache
def _stemmer() -> _Stemmer:
    return _Stemmer()


class _Stemmer:
    """The stemmer that rouge-score uses, each word stemmed once."""

    def __init__(self) -> None:
        from nltk.stem.porter import PorterStemmer

        self.stem = cache(PorterStemmer().stem)


@dataclass(frozen=True, slots=True)
class SelfBleu:
    """How well each dialogue can be pieced together from others.

    Formula: the mean over `sample` dialogues, drawn by `seed`, of BLEU-4 of the dialogue against all others of the
    sample as its references, by 100. Words are those of `synthesis.words`, utterances run together; sacrebleu's
    sentence BLEU with effective order (a dialogue below four words counts its shorter n-grams only) and its
    exponential smoothing of n-grams without a match.

    Source: Zhu et al. 2018 (Texygen, arXiv 1802.01886).

    Known defects: rises with the number and length of the references, so that only equal samples compare; common
    phrases make short, ordinary dialogues score high; smoothing keeps it above 0 where nothing is shared.

    Example: "a b c d e" against "a b c d f": 4 of 5 words, 3 of 4 2-grams, 2 of 3 3-grams, 1 of 2 4-grams match, the
    lengths are equal: (4/5 * 3/4 * 2/3 * 1/2) ** (1/4) = 0.2 ** 0.25 = 0.669, and the other way alike.
    """

    about: ClassVar[Mapping[str, str]] = {
        "self_bleu": "BLEU-4 of a dialogue against the others of the sample, mean; 0 to 1, lower is more varied",
    }
    sample: int = 100
    seed: int = 0

    def __call__(self, dialogues: Iterable[Dialogue]) -> dict[str, float]:
        from sacrebleu.metrics.bleu import BLEU

        bleu = BLEU(tokenize="none", effective_order=True, smooth_method="exp")
        texts = [" ".join(words(_utterances(each))) for each in drawn(dialogues, self.sample, self.seed)]
        if len(texts) < 2:
            return {}
        scores = [
            bleu.sentence_score(text, [*texts[:at], *texts[at + 1 :]]).score / 100 for at, text in enumerate(texts)
        ]
        return {"self_bleu": sum(scores) / len(scores)}


def _utterances(dialogue: Dialogue) -> str:
    return "\n".join(turn.text for turn in dialogue.turns)
