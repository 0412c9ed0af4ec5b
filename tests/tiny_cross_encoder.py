"""A cross-encoder of a few weights, made in a folder at test time, that judges a pair by the words in it.

    folder = make_cross_encoder(tmp_path / "nli", contradicting=["hate"], entailing=["ski"])

A pair with a contradicting word is a contradiction, one with an entailing word and no such is an entailment, any other
is neutral: one attention head takes the mean of all words, on which the classifier looks.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
LABELS = ("entailment", "neutral", "contradiction")
WIDTH = 8


def make_cross_encoder(
    folder: Path, contradicting: Sequence[str], entailing: Sequence[str], labels: Sequence[str] = LABELS
) -> Path:
    """Write the model and return its folder. Words are lower-case; every other word is unknown to it."""
    import torch
    from transformers import BertConfig, BertForSequenceClassification, BertTokenizerFast

    vocabulary = [*SPECIAL, *contradicting, *entailing]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join(vocabulary), encoding="utf-8")
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=WIDTH,
        num_hidden_layers=1,
        num_attention_heads=1,
        intermediate_size=WIDTH,
        max_position_embeddings=64,
        id2label=dict(enumerate(labels)),
        label2id={name: at for at, name in enumerate(labels)},
    )
    model = BertForSequenceClassification(config)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "LayerNorm" not in name:
                weight.zero_()
        words = model.bert.embeddings.word_embeddings.weight
        words[:, 0] = 1.0  # LayerNorm wants something that stands out
        for at, word in enumerate(vocabulary):
            words[at, 1] = float(word in contradicting)
            words[at, 2] = float(word in entailing)
        layer = model.bert.encoder.layer[0]
        for square in (layer.attention.self.value, layer.attention.output.dense, model.bert.pooler.dense):
            square.weight.copy_(torch.eye(WIDTH))
        # the columns are entailment, neutral and contradiction; a word that is absent leaves its place below -0.3
        model.classifier.weight[2, 1], model.classifier.weight[0, 2] = 400.0, 200.0
        model.classifier.bias.copy_(torch.tensor([200 * 0.34, 0.0, 400 * 0.34]))
    model.save_pretrained(folder)
    BertTokenizerFast(vocab=str(folder / "vocab.txt")).save_pretrained(folder)
    return folder
