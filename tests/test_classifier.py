"""Intent prediction: what is read, four settings, resumption, the baseline, evaluation, and what is refused."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from synthesis.dialogue import Turn
from synthesis.errors import UserError
from synthesis.intents.classifier import decided, given
from synthesis.intents.labels import INTENTS
from tests.intent_material import dialogue, write_dialogues
from tests.tiny_seq2seq import make_tiny_seq2seq
from training import evaluate
from training.encoders import Reading, encode, load, loaded
from training.intent_baseline import Baseline, fit, words
from training.intent_evaluation import floor, likelihoods
from training.intent_files import Utterance, label_set, read
from training.intent_sampling import COMBINATIONS, Splits

pytestmark = pytest.mark.usefixtures("one_thread")

READING = Reading(3, 64)


@pytest.fixture
def data(tmp_path: Path) -> list[str]:
    """Flags that name human and synthetic utterances."""
    human = write_dialogues(tmp_path / "human.jsonl", 60)
    synthetic = write_dialogues(tmp_path / "synthetic.jsonl", 60, 100)
    return ["--human", str(human), "--synthetic", str(synthetic)]


def train(data: list[str], out: Path, *more: str) -> dict[str, Any]:
    from training.classifier import main

    main([
        "--config", "training/intents.yaml", *data, "--output_dir", str(out), "--num_train_epochs", "1",
        "--max_length", "64", "--logging_steps", "1", "--warmup_steps", "0", *more,
    ])  # fmt: skip
    result: dict[str, Any] = json.loads((out / "result.json").read_text())
    return result


# What is read


def test_the_current_utterance_comes_first_and_the_oldest_context_is_cut() -> None:
    utterance = Utterance(("User: a", "Agent: b", "User: c", "Agent: d"), "e", ("OQ",), "x", "User")
    assert Reading(3).texts(utterance) == ("User: e", "Agent: d\nUser: c\nAgent: b")
    assert Reading(0).texts(utterance) == ("User: e", "")
    _, tokenizer = load("scratch", ("OQ", "PA"), [utterance], READING, 0)
    (made,) = encode([utterance], tokenizer, Reading(3, 15), ("OQ", "PA"))
    assert made["labels"] == [1.0, 0.0]
    assert len(made["input_ids"]) == 15
    assert tokenizer.decode(made["input_ids"]) == "<cls> user: e<sep> agent: d\nuser: c\nagent<sep>"


# The baseline


def test_words_of_the_baseline_tell_now_from_before() -> None:
    found = words(Utterance(("User: Hi",), "What size?", ("IR",), "x", "Agent"), READING)
    assert found == [
        "role=Agent", "agent", "what", "size", "?", "agent what", "what size", "size ?", "before=user", "before=hi",
    ]  # fmt: skip


def test_the_baseline_learns_is_saved_and_bears_labels_that_never_change(tmp_path: Path) -> None:
    known = read(str(write_dialogues(tmp_path / "a.jsonl", 30)))
    base = fit(known, ("FD", "NF", "OQ", "PA", "XX"), READING)
    likely = base.probabilities(known, READING)
    truth = np.array([[label in each.labels for label in base.labels] for each in known])
    assert ((likely > 0.5) == truth).mean() > 0.97
    assert likely[:, 4].max() < 0.02  # never seen
    base.save(tmp_path)
    assert np.array_equal(Baseline.load(tmp_path).probabilities(known, READING), likely)
    questions = [each for each in known if each.labels == ("OQ",)]
    assert fit(questions, ("OQ",), READING).probabilities(questions, READING).min() > 0.9
    with pytest.raises(UserError, match=r"training\.classifier made"):
        Baseline.load(tmp_path / "none")


# Training


def test_the_floor_is_the_commonest_label_set_by_hand() -> None:
    made = [Utterance((), "x", labels, "d", "User") for labels in (("PA",), ("PA",), ("FD", "NF"), ("OQ",))]
    found = floor(made[:3], made[1:])
    assert found["labels"] == ("PA",)
    assert found["scores"]["accuracy"] == pytest.approx(1 / 3)
    assert (found["scores"]["precision"], found["scores"]["recall"]) == (pytest.approx(1 / 3), pytest.approx(1 / 4))


def test_a_classifier_is_trained_tested_and_evaluated_again(data: list[str], tmp_path: Path) -> None:
    out = tmp_path / "out"
    found = train(data, out, "--num_train_epochs", "8", "--setting", "human")
    human = read(data[1])
    facts = json.loads((out / "facts.json").read_text())
    assert found["test"]["source"] == data[1]
    assert found["training"]["examples"]["human"] + found["test"]["utterances"] < len(human)
    assert found["training"]["label_distance"] is None
    assert facts["curve"][-1]["loss"] < 0.7 * facts["curve"][0]["loss"]
    assert facts["evaluation"]["encoder"]["scores"] == found["encoder"]["scores"]
    assert facts["tasks"][0]["examples"] == found["training"]["examples"]["human"]
    assert found["baseline"]["scores"]["f1"] > 0.9
    assert 0 < found["floor"]["scores"]["precision"] < 0.5
    assert found["encoder"]["threshold"] in (0.2, 0.3, 0.4, 0.5, 0.6, 0.7)
    assert sum(row["support"] for row in found["encoder"]["by_label"]) >= found["test"]["utterances"]

    evaluate.main(["intents", "--model", str(out), "--data", data[3], "--out", str(tmp_path / "again")])
    again = json.loads((tmp_path / "again" / "result.json").read_text())
    assert again["test"]["utterances"] == len(read(data[3]))
    assert again["training"] == found["training"]
    assert again["baseline"]["threshold"] == found["baseline"]["threshold"]
    model, tokenizer = loaded(str(out), READING)
    one, all_ = (likelihoods(model, tokenizer, human[:7], READING, batch=size) for size in (1, 7))
    assert one == pytest.approx(all_, abs=1e-5)  # neither order nor padding matters

    first = dialogue(0)
    turns = [Turn(turn["speaker"], turn["text"], tuple(turn["intents"])) for turn in first["turns"]]
    judged = asyncio.run(given(str(out), turns))  # as synthesis judges: the same texts, the tuned threshold
    likely = likelihoods(model, tokenizer, [each for each in human if each.dialogue == first["id"]], READING)
    assert judged == decided(likely, label_set(human), found["encoder"]["threshold"])


def test_synthetic_sees_no_human_label_and_is_tested_on_human_ones(data: list[str], tmp_path: Path) -> None:
    from training.classifier import Arguments, material

    args = Arguments(output_dir=str(tmp_path), human=data[1], synthetic=data[3], setting="synthetic", size=50)
    found = material(args)
    made = {each.dialogue for each in read(data[3])}
    assert [(name, len(part)) for name, part in found.stages] == [("synthetic", 50)]
    assert {each.dialogue for each in found.train} | {each.dialogue for each in found.validation} <= made
    assert not {each.dialogue for each in found.test} & made
    assert found.apart is not None
    assert 0 < found.apart < 0.5
    args.sampling = "matched"
    matched = material(args)
    assert matched.apart is not None
    assert matched.apart < found.apart


def test_both_are_mixed_and_one_after_the_other_are_stages_that_resume(data: list[str], tmp_path: Path) -> None:
    from safetensors.torch import load_file

    both = train(data, tmp_path / "both", "--setting", "both", "--size", "40", "--human_size", "30")
    assert both["training"]["examples"] == {"both": 70}
    whole, again = tmp_path / "whole", tmp_path / "again"
    more = ("--setting", "synthetic-then-human", "--size", "64", "--human_size", "64", "--num_train_epochs", "2")
    found = train(data, whole, *more)
    assert found["training"]["examples"] == {"synthetic": 64, "human": 64}
    facts = json.loads((whole / "facts.json").read_text())
    assert [point["step"] for point in facts["curve"]] == list(range(1, 9))
    # killed in the middle of the second stage: the first stands, the second has a checkpoint
    shutil.copytree(whole / "synthetic", again / "synthetic")
    marked = (again / "synthetic" / "model.safetensors").stat().st_mtime_ns
    train(data, again, *more)
    assert (again / "synthetic" / "model.safetensors").stat().st_mtime_ns == marked
    first, second = (load_file(folder / "model.safetensors") for folder in (whole, again))
    assert all(first[name].equal(second[name]) for name in first)


def test_checkpoints_of_another_training_are_not_gone_on_from(data: list[str], tmp_path: Path) -> None:
    """Neither in the stage that was under way nor in one whose model stands."""
    out = tmp_path / "out"
    more = ("--setting", "synthetic-then-human", "--size", "32", "--human_size", "32")
    found = train(data, out, *more)
    assert train(data, out, *more)["training"] == found["training"], "the same again goes on, with nothing left to do"
    for change, name in (
        (("--human_size", "16"), "examples"),
        (("--size", "16"), "examples"),
        (("--seed", "7"), "seed"),
    ):
        with pytest.raises(UserError, match=f"synthetic holds checkpoints of a training with another .*{name}"):
            train(data, out, *more, *change)
    shutil.rmtree(out / "synthetic")
    with pytest.raises(UserError, match="out holds checkpoints of a training with another examples"):
        train(data, out, *more, "--human_size", "16")
    assert json.loads((out / "result.json").read_text())["training"] == found["training"]


def test_any_encoder_can_be_trained(data: list[str], tmp_path: Path) -> None:
    folder = make_tiny_seq2seq(tmp_path / "bert", "bert")
    found = train(data, tmp_path / "out", "--model_name_or_path", str(folder), "--max_steps", "2")
    assert found["training"]["base"] == str(folder)
    assert loaded(str(tmp_path / "out"), READING)[0].config.id2label[0] == "FD"


def _labelled(*labels: str) -> Utterance:
    return Utterance((), "x", labels, "d", "User")


def test_what_is_common_is_learned_from_the_training_part_alone(tmp_path: Path) -> None:
    from training.classifier import Arguments, prepared

    pairs = [(one, other) for one in INTENTS for other in INTENTS if one < other]
    assert len(pairs) > COMBINATIONS
    learned = [_labelled(*labels) for labels in pairs[:COMBINATIONS]] * 2
    tested = [_labelled(*pairs[-1])] * 100
    args = Arguments(output_dir=str(tmp_path), combinations=True, drop_fillers=False)
    found = prepared(args, Splits(learned, [], tested))
    assert found.train == learned
    assert all(len(each.labels) == 1 for each in found.test)


def test_preprocessing_and_a_test_set_of_its_own(data: list[str], tmp_path: Path) -> None:
    test = write_dialogues(tmp_path / "test.jsonl", 6, 300)
    more = ("--test", str(test), "--combinations", "true", "--drop_fillers", "true", "--mapping", "mantis")
    found = train(data, tmp_path / "out", *more, "--max_steps", "1")
    assert found["test"]["source"] == str(test)
    assert found["test"]["utterances"] == 26
    assert found["training"]["combinations"] is True


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (("--setting", "humans"), "--setting humans: unknown; choose from human, synthetic"),
        (("--sampling", "fair"), "choose from random, balanced, matched"),
        (("--setting", "both", "--synthetic", ""), "--setting both with --sampling random needs --synthetic DATA"),
        (("--setting", "synthetic", "--sampling", "matched", "--human", ""), "needs --human DATA"),
        (("--setting", "synthetic", "--size", "9999"), "asked for 9999 utterances"),
        (("--model_name_or_path", "no/such-encoder-here"), "cannot be loaded"),
    ],
)
def test_what_cannot_be_is_refused(
    data: list[str], tmp_path: Path, more: tuple[str, ...], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(UserError, match=words):
        train(data, tmp_path / "out", *more)


def test_labels_that_have_none_in_common_cannot_be_tested(data: list[str], tmp_path: Path) -> None:
    row = {"id": "a", "role": "User", "context": [], "utterance": "Thanks!", "labels": ["GG"]}
    (tmp_path / "test.jsonl").write_text(json.dumps(row))
    with pytest.raises(UserError, match="nothing to test: the test utterances have the labels GG, the model knows FD"):
        train(data, tmp_path / "out", "--test", str(tmp_path / "test.jsonl"), "--max_steps", "1")


def test_an_encoder_needs_room_and_a_folder_of_another_kind_is_named(tmp_path: Path) -> None:
    folder = make_tiny_seq2seq(tmp_path / "bert", "bert")
    with pytest.raises(UserError, match="positions for 64 tokens, --max_length is 128"):
        loaded(str(folder), Reading(), ("OQ", "PA"))
    data = write_dialogues(tmp_path / "a.jsonl", 1)
    with pytest.raises(UserError, match=r"no intents\.json in it"):
        evaluate.main(["intents", "--model", str(folder), "--data", str(data)])
