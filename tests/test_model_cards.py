"""Cards of fine-tuned and evaluated models: kinds, bases, runs before, results for the Hub's index, no local path."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard
from hypothesis import given
from hypothesis import strategies as st

from cards.__main__ import main, read_facts
from cards.card import model_card
from cards.model import head
from cards.places import is_local, name_of, public
from tests.test_cards import MODEL

DATA = {"data": "org/autoconv", "config": "student", "split": "train", "source": "input", "pairs": 4000}
RESULT: dict[str, Any] = {
    "task": "qa",
    "model": "student",
    "test": {"data": "org/quac", "config": "", "split": "test", "examples": 300},
    "scores": {"f1": 0.3125, "em": 0.1, "heq_q": 0.2, "by_type": {"who": 0.5}, "human_f1": None},
    "counted": {"f1": 300, "em": 299},
    "latency": {"median": 0.02},
    "settings": {"rules": "quac", "window": 3},
}


def tuned(**changes: Any) -> dict[str, Any]:
    return MODEL | {"base": "org/Big-1B", "relation": "finetune", "data": [DATA]} | changes


def put(folder: Path, facts: dict[str, Any], **files: dict[str, Any]) -> Path:
    """facts.json in a model's folder, with other JSON files beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in {"facts": facts, **files}.items():
        (folder / f"{name}.json").write_text(json.dumps(content))
    return folder / "facts.json"


def nameless(facts: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in facts.items() if key != "name"}


def test_the_hub_reads_results_base_and_data(tmp_path: Path) -> None:
    path = tmp_path / "README.md"
    path.write_text(model_card(tuned(results=[RESULT])), encoding="utf-8")
    data = ModelCard.load(path).data
    said = data.to_dict()
    assert (said["base_model"], said["base_model_relation"]) == ("org/Big-1B", "finetune")
    assert (said["license"], said["datasets"]) == ("unknown", ["org/autoconv"])
    assert data.eval_results is not None
    assert [
        (one.task_type, one.dataset_type, one.dataset_split, one.metric_type, one.metric_name, one.metric_value)
        for one in data.eval_results
    ] == [
        ("question-answering", "org/quac", "test", "f1", "f1 (quac)", 0.3125),
        ("question-answering", "org/quac", "test", "exact_match", "em (quac)", 0.1),
        ("question-answering", "org/quac", "test", "heq", "heq_q (quac)", 0.2),
        ("question-answering", "org/quac", "test", "by_type_who", "by_type who (quac)", 0.5),
    ]
    text = path.read_text(encoding="utf-8")
    for line in (
        "### qa on org/quac test",
        "| f1 | 0.312 | 300 |",
        "| human_f1 | – | – |",
        "| latency median | 0.02 | |",
        "300 examples; settings: rules quac, window 3.",
        "| org/autoconv student train | 4,000 |",
        "It started from `org/Big-1B`.",
    ):
        assert f"{line}\n" in text or f"{line} " in text, line


def test_a_choice_by_held_out_examples_is_told_beside_results() -> None:
    chosen = MODEL["hyperparameters"] | {"early_stopping_patience": 2}
    told = "was chosen by the loss on held-out examples"
    assert told in model_card(tuned(results=[RESULT], hyperparameters=chosen))
    assert told not in model_card(tuned(results=[RESULT]))
    assert told not in model_card(tuned(results=[RESULT], hyperparameters=chosen | {"early_stopping_patience": 0}))


def test_each_kind_is_loaded_in_its_own_way() -> None:
    adapter = tuned(relation="adapter", lora={"r": 16, "target_modules": ["k", "q"]}, parameters=1_100_000_000)
    said, text = head(adapter), model_card(adapter)
    assert (said["library_name"], said["pipeline_tag"]) == ("peft", "text-generation")
    assert 'AutoModelForCausalLM.from_pretrained("org/Big-1B")' in text
    assert 'PeftModel.from_pretrained(base, "parley-embedded")' in text
    assert "| LoRA target_modules | k, q |" in text
    assert "very small" not in text

    pairs = tuned(encoder_decoder=True, context=None)
    said, text = head(pairs), model_card(pairs)
    assert (said["library_name"], said.get("pipeline_tag")) == ("transformers", None)
    assert 'AutoModelForSeq2SeqLM.from_pretrained("parley-embedded")' in text
    assert "| context | – |" in text
    assert "expect no more of it than the evaluation shows" in text

    assert head(MODEL) == {
        "license": "apache-2.0",
        "language": ["en"],
        "library_name": "transformers",
        "pipeline_tag": "text-generation",
        "tags": ["parley", "dialogue", "synthetic-data"],
    }
    with pytest.raises(ValueError, match="relation to the base is 'cousin'"):
        head(tuned(relation="cousin"))


def test_a_classifier_is_not_taken_for_a_model_that_writes(tmp_path: Path) -> None:
    source = put(tmp_path / "intents", tuned(), config={"architectures": ["ModernBertForSequenceClassification"]})
    with pytest.raises(ValueError, match=r"config.json: a classifier, .* in result.json"):
        read_facts(source)


def test_a_base_that_was_trained_here_is_told_and_led_back_to_its_own(tmp_path: Path) -> None:
    put(tmp_path / "pretrained", nameless(tuned(parameters=9_000_000)))
    human = {"data": str(tmp_path / "human.jsonl"), "rows": 50, "sha256": "ab" * 32}
    facts = nameless(tuned(base=str(tmp_path / "pretrained"), data=[human]))
    facts["command"] = f"python -m training.sft --output_dir {tmp_path}/student --train_data={tmp_path}/human.jsonl"
    source = put(tmp_path / "student", facts, config={"is_encoder_decoder": True})
    read = read_facts(source)
    text = model_card(read)
    assert (read["name"], read["base"], read["encoder_decoder"]) == ("student", "pretrained", True)
    assert head(read)["base_model"] == "org/Big-1B"
    assert head(read)["datasets"] == ["org/autoconv"]
    assert "`pretrained`, from `org/Big-1B`: 2,000 steps" in text
    assert "| human.jsonl | 50 | abababababab |" in text
    assert "--output_dir student --train_data=human.jsonl" in text
    assert str(tmp_path) not in text
    assert str(tmp_path) not in json.dumps(read)


def test_a_base_from_nowhere_is_named_and_no_more(tmp_path: Path) -> None:
    adapter = nameless(tuned(base=str(tmp_path / "gone")))
    del adapter["relation"]
    facts = read_facts(put(tmp_path / "teacher", adapter, adapter_config={"task_type": "CAUSAL_LM"}))
    assert (facts["base"], facts["relation"]) == ("gone", "adapter")
    assert "base_model" not in head(facts)
    assert head(facts)["license"] == "unknown"


def test_a_model_that_started_from_itself_is_read_once(tmp_path: Path) -> None:
    source = put(tmp_path / "loop", nameless(tuned(base=str(tmp_path / "loop"))))
    assert read_facts(source)["earlier"] == []


@pytest.mark.parametrize(
    ("result", "said"),
    [
        ({**RESULT, "model": "runs/another"}, "is about runs/another, not about student"),
        ({key: value for key, value in RESULT.items() if key != "scores"}, "lacks scores"),
        ({**RESULT, "test": {}}, r"lacks test\.data"),
        ({**RESULT, "scores": {"f1": None}}, "no score that is a number"),
    ],
)
def test_a_result_that_does_not_fit_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], result: dict[str, Any], said: str
) -> None:
    source = put(tmp_path / "student", nameless(tuned()), result=result)
    flags = ["--result", str(tmp_path / "student/result.json"), "--out", str(tmp_path / "README.md")]
    assert main(["model", str(source), *flags]) == 2
    assert re.search(said, capsys.readouterr().err)
    assert not (tmp_path / "README.md").exists()


def test_the_command_takes_a_result_a_name_and_a_licence(tmp_path: Path) -> None:
    result = RESULT | {"model": str(tmp_path / "student")}
    source = put(tmp_path / "student", nameless(tuned(evaluation={})), result=result)
    out = tmp_path / "out" / "README.md"
    flags = ["--result", str(tmp_path / "student/result.json"), "--name", "quac-student", "--license", "mit"]
    assert main(["model", str(source), *flags, "--out", str(out)]) == 0
    data = ModelCard.load(out).data
    assert (data.license, data.model_name) == ("mit", "quac-student")
    assert "`mit` for the weights." in out.read_text(encoding="utf-8")
    assert str(tmp_path) not in out.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("place", "name"),
    [
        ("org/name", "org/name"),
        ("gpt2", "gpt2"),
        ("runs/teacher", "teacher"),
        ("dist/autoconv", "autoconv"),
        ("./org/name", "name"),
        ("/home/me/models/x/", "x"),
        ("~/models/x", "x"),
        ("org/rows.jsonl", "rows.jsonl"),
        ("a/b/c", "c"),
    ],
)
def test_places_are_told_by_id_or_by_name(place: str, name: str) -> None:
    assert name_of(place) == name
    assert is_local(place) == (place != name)


def test_what_exists_here_is_no_hub_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert not is_local("models/base")
    (tmp_path / "models/base").mkdir(parents=True)
    assert is_local("models/base")


def test_paths_inside_texts_are_cut_to_their_names() -> None:
    said = "torchrun --config /home/me/a.yaml --out=/data/runs/x 'C:\\me\\b' https://host/a/b org/name 1/2/3 ~/k/l"
    assert public({"a": [said, 3]}) == {
        "a": ["torchrun --config a.yaml --out=x 'b' https://host/a/b org/name 1/2/3 l", 3]
    }


SEGMENT = st.text("abcdefgh._-", min_size=1, max_size=8)


@given(st.lists(SEGMENT, min_size=2, max_size=5), st.sampled_from([" ", "=", '"', "'", ","]))
def test_no_absolute_path_is_left(parts: list[str], before: str) -> None:
    assert public(f"x{before}/{'/'.join(parts)}") == f"x{before}{parts[-1]}"
