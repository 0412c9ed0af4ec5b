"""Encoder-decoders: pairs, labels, batches, training, resumption, generation."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthesis.errors import Failure, UserError
from tests.tiny_model import make_tiny_model
from tests.tiny_seq2seq import make_tiny_seq2seq, rows, tiny_tokenizer, write
from training.generation import Decoding, device, generate
from training.pairs import Lengths, Origin, Pair, collator, cut, encode, fingerprint, label_report, sample

pytestmark = pytest.mark.usefixtures("one_thread")

SHORT = Lengths(64, 32)


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return tiny_tokenizer()


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    return {kind: make_tiny_seq2seq(folder / kind, kind) for kind in ("bart", "t5", "led")}


# Pairs


def test_pairs_of_a_file_come_in_order_with_their_place(tmp_path: Path) -> None:
    path = write(tmp_path / "train.jsonl", rows(3))
    pairs = Origin(str(path)).read()
    assert [pair.target for pair in pairs] == ["Ada likes tea.", "Bo likes chess.", "Cleo likes bread."]
    assert pairs[1].where == f"{path}:2"


def test_splits_of_a_folder_are_joined_and_columns_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    for name, start in (("train", 0), ("validation", 10), ("test", 20)):
        made = [{"text": row["dialogue"], "short": row["summary"]} for row in rows(2, start)]
        write(tmp_path / "set" / f"{name}.jsonl", made)
    origin = Origin(str(tmp_path / "set"), split="validation+test", source="text", target="short")
    assert [pair.source.split("number ")[1][:2] for pair in origin.read()] == ["10", "11", "20", "21"]
    with pytest.raises(UserError, match=r"set, split 'dev': cannot be loaded"):
        Origin(str(tmp_path / "set"), split="dev").read()
    (tmp_path / "set" / "test.jsonl").write_text("{")
    with pytest.raises(UserError, match="cannot be loaded"):
        origin.read()


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"dialogue": "Hi."}, r"pairs\.jsonl:2: expected a column 'summary', got \['dialogue'\]"),
        ({"dialogue": "Hi.", "summary": " "}, r"pairs\.jsonl:2: expected text in 'summary', got ' '"),
        ({"dialogue": None, "summary": "A."}, r"pairs\.jsonl:2: expected text in 'dialogue', got None"),
        (["Hi."], r"pairs\.jsonl:2: expected a column 'dialogue'"),
    ],
)
def test_a_row_that_is_no_pair_is_named(tmp_path: Path, row: Any, words: str) -> None:
    with pytest.raises(UserError, match=words):
        Origin(str(write(tmp_path / "pairs.jsonl", [*rows(1), row]))).read()


def test_data_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        Origin(str(tmp_path / "none.jsonl")).read()
    with pytest.raises(UserError, match="cannot be loaded"):
        Origin(str(tmp_path / "none")).read()


def test_fingerprint_tells_texts_orders_and_boundaries_apart() -> None:
    one, other = Pair("ab", "c", "x"), Pair("a", "bc", "x")
    prints = [fingerprint(pairs) for pairs in ([one], [other], [one, other], [other, one])]
    assert len(set(prints)) == 4
    assert fingerprint([one]) == fingerprint([Pair("ab", "c", "elsewhere")])


@given(st.integers(1, 40), st.integers(0, 5), st.data())
def test_a_sample_has_its_size_keeps_the_order_and_follows_the_seed(count: int, seed: int, data: Any) -> None:
    pairs = [Pair(str(number), "t", "w") for number in range(count)]
    size = data.draw(st.integers(1, count))
    drawn = sample(pairs, size, seed)
    places = [int(pair.source) for pair in drawn]
    assert len(drawn) == size
    assert places == sorted(set(places))
    assert drawn == sample(pairs, size, seed)


def test_a_sample_of_more_than_there_is_is_refused() -> None:
    with pytest.raises(UserError, match=r"asked for 3 pairs .* there are 2"):
        sample([Pair("a", "b", "w")] * 2, 3, 0)


# Labels and batches


def test_report_counts_labels_by_hand_and_shows_them(tokenizer: Any) -> None:
    pairs = [Pair("Hi Ada", "Ada likes tea.", "a"), Pair("Hi Bo", "Bo", "b")]
    encoded = encode(pairs, tokenizer, SHORT, "sum: ")
    assert tokenizer.decode(encoded[0]["input_ids"]) == "<s>sum: Hi Ada</s>"
    report = label_report(pairs, encoded, tokenizer)
    written = sum(len(tokenizer(text, add_special_tokens=False)["input_ids"]) + 2 for text in ("Ada likes tea.", "Bo"))
    read = sum(len(tokenizer(text)["input_ids"]) for text in ("sum: Hi Ada", "sum: Hi Bo"))
    assert (report.examples, report.covered, report.tokens) == (2, written, written + read)
    assert report.sample == "<s>sum: Hi Ada</s>>>><s>Ada likes tea.</s><<<"


def test_texts_are_cut_before_their_end_mark(tokenizer: Any) -> None:
    pairs = [Pair("x" * 90, "y" * 90, "a"), Pair("x", "y", "b")]
    encoded = encode(pairs, tokenizer, SHORT)
    assert [len(encoded[0][name]) for name in ("input_ids", "labels")] == [64, 32]
    assert encoded[0]["labels"][-1] == tokenizer.eos_token_id
    assert cut(encoded, SHORT) == "1 sources reach 64 tokens and 1 targets 32; the rest is cut"


def test_labels_that_teach_nothing_are_refused(tokenizer: Any) -> None:
    pairs = [Pair("Hi", "Ada", "here:1")]
    with pytest.raises(UserError, match="here:1: the labels hold no text"):
        label_report(pairs, [{"input_ids": [0, 5, 2], "labels": [0, 2]}], tokenizer)
    with pytest.raises(UserError, match="never learn to stop"):
        label_report(pairs, [{"input_ids": [0, 5, 2], "labels": [0, 5, 6]}], tokenizer)


def test_labels_are_padded_with_what_the_loss_ignores(models: dict[str, Path], tokenizer: Any) -> None:
    from transformers import AutoModelForSeq2SeqLM

    features = [
        {"input_ids": [0, 7, 8, 2], "attention_mask": [1, 1, 1, 1], "labels": [0, 9, 2]},
        {"input_ids": [0, 2], "attention_mask": [1, 1], "labels": [2]},
    ]
    batch = collator(tokenizer, AutoModelForSeq2SeqLM.from_pretrained(models["bart"]))(features)
    assert batch["labels"].tolist() == [[0, 9, 2], [2, -100, -100]]
    assert batch["input_ids"].tolist() == [[0, 7, 8, 2], [0, 2, 1, 1]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1, 1], [1, 1, 0, 0]]
    assert "global_attention_mask" not in batch
    led = collator(tokenizer, AutoModelForSeq2SeqLM.from_pretrained(models["led"]))(features)
    assert led["global_attention_mask"].tolist() == [[1, 0, 0, 0], [1, 0, 0, 0]]


# Training


def train(model: Path, data: Path, out: Path, *more: str) -> dict[str, Any]:
    from training.seq2seq import main

    main([
        "--config", "training/summarise.yaml", "--model_name_or_path", str(model), "--train_data", str(data),
        "--output_dir", str(out), "--max_source_length", "64", "--max_target_length", "32", "--warmup_steps", "0",
        "--learning_rate", "0.01", "--logging_steps", "1", *more,
    ])  # fmt: skip
    facts: dict[str, Any] = json.loads((out / "facts.json").read_text())
    return facts


def test_training_lowers_the_loss_and_a_killed_run_goes_on_to_the_same_weights(
    models: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from safetensors.torch import load_file

    data = write(tmp_path / "train.jsonl", rows(64))
    more = ("--max_train_samples", "48", "--save_total_limit", "3", "--seed", "3")
    facts = train(models["bart"], data, tmp_path / "whole", *more)
    assert "48 of 64 pairs" in capsys.readouterr().out
    assert facts["steps"] == 6  # two epochs of 48 pairs, 8 x 2 a step
    assert facts["epochs"] == 2
    assert facts["command"].startswith("python -m training.seq2seq --config training/summarise.yaml")
    losses = [point["loss"] for point in facts["curve"]]
    assert losses[0] == pytest.approx(math.log(len(tiny_tokenizer())), rel=0.05)  # not summed over accumulated batches
    assert losses[-1] < 0.9 * losses[0]
    assert facts["hyperparameters"]["weight_decay"] == 0.01
    assert (facts["seed"], facts["tasks"][0]["examples"], facts["context"]) == (3, 48, 128)
    assert facts["data"][0] == {
        "data": str(data), "config": "", "split": "train", "source": "dialogue", "target": "summary", "pairs": 64,
        "sha256": fingerprint(sample(Origin(str(data)).read(), 48, 3)),
    }  # fmt: skip
    shutil.copytree(tmp_path / "whole" / "checkpoint-3", tmp_path / "again" / "checkpoint-3")
    again = train(models["bart"], data, tmp_path / "again", *more)
    assert [point["step"] for point in again["curve"]] == [1, 2, 3, 4, 5, 6]
    first, second = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "again"))
    assert all(first[name].equal(second[name]) for name in first)


@pytest.mark.parametrize("kind", ["t5", "led"])
def test_the_other_kinds_train_and_write(models: dict[str, Path], tmp_path: Path, kind: str) -> None:
    from training.seq2seq import load

    data = write(tmp_path / "train.jsonl", rows(8))
    facts = train(models[kind], data, tmp_path / "out", "--max_steps", "2", "--per_device_train_batch_size", "4")
    assert facts["curve"][-1]["loss"] < facts["curve"][0]["loss"]
    assert facts["context"] == (128 if kind == "led" else None)
    model, tokenizer = load(str(tmp_path / "out"), Lengths(64, 24))
    assert len(generate(model, tokenizer, ["Hi Ada", "Hi"], Decoding(2, 3, 8), batch=2, longest=64)) == 2


def test_training_stops_early_and_keeps_the_best(models: dict[str, Path], tmp_path: Path) -> None:
    """The held-out pairs want something else, so that what is learned soon does not help them."""
    data = write(tmp_path / "train.jsonl", rows(16))
    held = [{**row, "summary": "#Person2# is the best, yes!"} for row in rows(4, 40)]
    more = ("--eval_data", str(write(tmp_path / "held.jsonl", held)), "--early_stopping_patience", "2")
    rates = ("--learning_rate", "0.02", "--num_train_epochs", "60", "--warmup_steps", "0")
    facts = train(models["bart"], data, tmp_path / "out", *more, *rates)
    losses = {point["step"]: point["eval_loss"] for point in facts["curve"] if "eval_loss" in point}
    assert facts["epochs"] < 60
    assert losses[facts["best_step"]] == min(losses.values())


def test_a_loss_that_is_no_number_stops(
    models: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from training.seq2seq import Trainer

    whole = Trainer.compute_loss
    monkeypatch.setattr(Trainer, "compute_loss", lambda self, *given, **named: whole(self, *given, **named) * math.nan)
    with pytest.raises(Failure, match="the loss is nan at step 1; there was no checkpoint yet"):
        train(models["bart"], write(tmp_path / "train.jsonl", rows(16)), tmp_path / "out")
    assert not (tmp_path / "out" / "model.safetensors").exists()


def test_models_that_cannot_be_trained_so_are_refused(models: dict[str, Path], tmp_path: Path) -> None:
    from training.seq2seq import load

    with pytest.raises(UserError, match="llama is no encoder-decoder"):
        load(str(make_tiny_model(tmp_path / "llama")), SHORT)
    with pytest.raises(UserError, match="encoder positions for 128 tokens, sources may have 1024"):
        load(str(models["bart"]), Lengths())
    with pytest.raises(UserError, match="decoder positions for 64 tokens, targets may have 128"):
        load(str(models["led"]), Lengths(64, 128))
    with pytest.raises(UserError, match="cannot be loaded"):
        load(str(tmp_path / "none"), SHORT)


# Generation


def test_texts_are_written_in_order_whatever_the_batch(models: dict[str, Path]) -> None:
    from training.seq2seq import load

    model, tokenizer = load(str(models["bart"]), SHORT)
    for weights in model.parameters():
        weights.data.mul_(10)  # as they are, what is read hardly shows in what is written
    sources = [row["dialogue"] * (1 + number % 3) for number, row in enumerate(rows(5))]
    how = Decoding(beams=2, min_length=5, max_length=12)
    alone = [generate(model, tokenizer, [source], how, batch=1, longest=64)[0] for source in sources]
    assert generate(model, tokenizer, sources, how, batch=2, longest=64) == alone
    assert len(set(alone)) > 1


def test_the_least_and_most_tokens_are_kept(models: dict[str, Path]) -> None:
    from training.seq2seq import load

    model, tokenizer = load(str(models["bart"]), SHORT)
    (text,) = generate(model, tokenizer, ["Hi Ada"], Decoding(2, 10, 14), batch=1, longest=64)
    assert 8 <= len(tokenizer(text, add_special_tokens=False)["input_ids"]) <= 14


def test_an_accelerator_that_torch_was_built_for_but_is_not_there_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    def current(check_available: bool = False) -> torch.device | None:
        return None if check_available else torch.device("cuda")

    monkeypatch.setattr(torch.accelerator, "current_accelerator", current)
    assert device() == torch.device("cpu")
