"""The training script whole: LoRA, epochs, early stopping, what stops it, and what it says of itself."""

from __future__ import annotations

import itertools
import json
import math
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from synthesis.errors import Failure, UserError
from synthesis.storage import write_jsonl
from tests import small_training
from tests.small_training import LORA, PEFT
from tests.tiny_model import make_tiny_model
from training.guards import last_checkpoint
from training.sft import load_tokenizer, main

ROOT = Path(__file__).resolve().parents[1]


pytestmark = [pytest.mark.usefixtures("one_thread"), PEFT]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model and examples: the answer follows from the question."""
    make_tiny_model(tmp_path / "start")
    write_jsonl(tmp_path / "train.jsonl", examples(24))
    write_jsonl(tmp_path / "eval.jsonl", examples(6))
    return tmp_path


def examples(count: int) -> list[dict[str, Any]]:
    things = ("tea", "bread", "snow", "music")
    return [
        {"prompt": f"Document: I like {thing} {at}.\n\n", "completion": f"User: What?\nSystem: {thing}\n"}
        for at, thing in enumerate(itertools.islice(itertools.cycle(things), count))
    ]


def flags(folder: Path, out: str = "run", **more: Any) -> list[str]:
    own = {"row_lengths": "64 128", "step_tokens": 256, "learning_rate": 0.01}
    return small_training.flags(folder, out, **own | more)


def run(folder: Path, out: str = "run", **more: Any) -> dict[str, Any]:
    """Trains; the facts."""
    return small_training.facts(main, flags(folder, out, **more))


def test_no_flags_are_needed_without_an_accelerator_and_the_facts_tell_all(folder: Path) -> None:
    facts = run(folder, eval_data=folder / "eval.jsonl", max_steps=-1, num_train_epochs=3)
    assert facts["base"] == str(folder / "start")
    assert facts["relation"] == "finetune"
    assert facts["epochs"] == 3
    assert facts["data"][0]["rows"] == 24
    assert facts["data"][0]["data"] == str(folder / "train.jsonl")
    assert len(facts["data"][0]["sha256"]) == 64
    assert facts["hyperparameters"]["num_train_epochs"] == 3
    assert "lora" not in facts
    assert facts["curve"][-1]["loss"] < facts["curve"][0]["loss"]
    assert facts["evaluation"]["loss_per_token"] > 0
    assert facts["command"].startswith("python -m training.sft --model_name_or_path")


def test_an_adapter_learns_goes_on_after_a_kill_and_is_told_as_one(folder: Path) -> None:
    from safetensors.torch import load_file

    facts = run(folder, "whole", **LORA)
    assert facts["relation"] == "adapter"
    assert facts["lora"]["r"] == 4
    assert facts["lora"]["target_modules"] == [f"{part}_proj" for part in ("down", "gate", "k", "o", "q", "up", "v")]
    assert 0 < facts["lora"]["trained_parameters"] < facts["parameters"] / 2
    assert facts["curve"][-1]["loss"] < facts["curve"][0]["loss"]
    shutil.copytree(folder / "whole" / "checkpoint-2", folder / "again" / "checkpoint-2")
    run(folder, "again", **LORA)
    first, second = (load_file(folder / name / "adapter_model.safetensors") for name in ("whole", "again"))
    assert all(first[name].equal(second[name]) for name in first)


def test_a_killed_process_goes_on_where_it_was(folder: Path) -> None:
    """Killed without a chance to clean up, in the middle of the run; the same command ends it."""
    command = [sys.executable, "-m", "training.sft", *flags(folder, max_steps=400, save_steps=3, **LORA)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    while last_checkpoint(folder / "run") is None and process.poll() is None:
        time.sleep(0.02)
    process.kill()
    process.communicate()
    reached = last_checkpoint(folder / "run")
    assert reached is not None
    step = int(reached.rpartition("-")[2])
    assert step < 400
    facts = run(folder, max_steps=400, save_steps=3, stop_at=step + 2, **LORA)
    assert facts["steps"] == step + 2
    assert [point["step"] for point in facts["curve"]] == list(range(1, step + 3))


def test_checkpoints_of_another_training_are_not_gone_on_from(folder: Path) -> None:
    facts = run(folder)
    assert run(folder)["data"] == facts["data"], "the same again goes on, with nothing left to do"
    with pytest.raises(UserError, match="run holds checkpoints of a training with another seed: remove the folder"):
        run(folder, seed=7)
    (folder / "half.yaml").write_text("shares: {prompt to completion: 0.5}\n")
    with pytest.raises(UserError, match="another examples"):
        run(folder, config=folder / "half.yaml")
    write_jsonl(folder / "train.jsonl", examples(20))
    with pytest.raises(UserError, match="another examples"):
        run(folder)
    shutil.copytree(folder / "run", folder / "taught")
    write_jsonl(folder / "train.jsonl", examples(24))
    with pytest.raises(UserError, match="another model"):
        run(folder, model_name_or_path=folder / "taught")
    assert json.loads((folder / "run" / "facts.json").read_text())["data"] == facts["data"]
    run(folder, "elsewhere", model_name_or_path=folder / "taught")


def test_half_a_checkpoint_is_passed_over(tmp_path: Path) -> None:
    assert last_checkpoint(tmp_path / "none") is None
    for step, state in ((2, "{}"), (10, "{}"), (12, None), (14, '{"epoch"')):
        (tmp_path / f"checkpoint-{step}").mkdir()
        if state is not None:
            (tmp_path / f"checkpoint-{step}" / "trainer_state.json").write_text(state)
    assert last_checkpoint(tmp_path) == str(tmp_path / "checkpoint-10")


def test_training_stops_early_and_keeps_the_best(folder: Path) -> None:
    """At this rate the loss on held-out examples soon rises."""
    held = [{**row, "completion": "User: Why?\nSystem: because of the cello\n"} for row in examples(6)]
    write_jsonl(folder / "eval.jsonl", held)
    facts = run(
        folder,
        eval_data=folder / "eval.jsonl",
        learning_rate=0.03,
        max_steps=-1,
        num_train_epochs=40,
        early_stopping_patience=2,
    )
    losses = {point["step"]: point["eval_loss"] for point in facts["curve"] if "eval_loss" in point}
    assert facts["epochs"] < 40
    assert losses[facts["best_step"]] == min(losses.values())
    assert facts["steps"] > facts["best_step"]
    assert facts["evaluation"]["loss_per_token"] == pytest.approx(min(losses.values()), rel=0.02)


def test_weights_of_rows_change_what_is_learned(folder: Path) -> None:
    """Two answers to one question, one of which counts a hundredfold."""
    same = {"prompt": "Document: a boat.\n\n", "completion": "System: red\n", "task": "heavy", "weight": 100}
    other = {**same, "completion": "System: blue\n", "task": "light", "weight": 1}
    write_jsonl(folder / "train.jsonl", [same, other] * 8)
    losses = run(folder, eval_data=folder / "train.jsonl", max_steps=12)["evaluation"]["by_task"]
    assert losses["heavy"]["loss_per_token"] < losses["light"]["loss_per_token"] / 2


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_no_number_stops_and_is_never_saved(
    folder: Path, value: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    from training.trainer import Trainer

    whole = Trainer.compute_loss

    def broken(self: Any, *given: Any, **named: Any) -> Any:
        return whole(self, *given, **named) * (value if self.state.global_step == 3 else 1.0)

    monkeypatch.setattr(Trainer, "compute_loss", broken)
    with pytest.raises(Failure, match=rf"the loss is {value} at step 4; the last good checkpoint is .*checkpoint-2\."):
        main(flags(folder, max_steps=6))
    assert sorted(path.name for path in (folder / "run").glob("checkpoint-*")) == ["checkpoint-2"]
    assert not (folder / "run" / "model.safetensors").exists()
    assert not (folder / "run" / "facts.json").exists()


def test_weights_that_are_no_numbers_are_never_saved(folder: Path) -> None:
    """An infinite rate breaks the weights in a step whose own loss was a number."""
    with pytest.raises(Failure, match=r"is no longer finite after step 1; there was no checkpoint yet"):
        main(flags(folder, learning_rate="inf", save_steps=1, max_steps=1))
    assert not list((folder / "run").glob("**/*.safetensors"))


def test_a_full_disk_is_named(folder: Path) -> None:
    """A file may grow to 100 kB, the model has more."""
    code = (
        "import resource, signal, sys\nfrom training.command import told\nfrom training.sft import main\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "sys.exit(told(lambda: main(sys.argv[1:])))\n"
    )
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code, *flags(folder)], capture_output=True, text=True, env=environment, cwd=folder
    )
    assert done.returncode == 1, done.stderr
    assert f"error: {folder / 'run'}" in done.stderr
    assert "cannot write" in done.stderr
    assert "Traceback" not in done.stderr


def test_what_torch_says_of_a_full_disk_is_told_and_other_errors_are_not(tmp_path: Path) -> None:
    from synthesis.errors import StorageError
    from training.guards import saving

    with pytest.raises(StorageError, match=f"{tmp_path}: cannot write"), saving(tmp_path):
        raise RuntimeError(
            "[enforce fail at inline_container.cc:862] . PytorchStreamWriter failed writing file data/3"
        )
    with pytest.raises(RuntimeError, match="CUDA"), saving(tmp_path):
        raise RuntimeError("CUDA error")


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"row_lengths": "8 16"}, r"none of 24 examples fits into 16 tokens"),
        ({"model_name_or_path": "nowhere/none"}, r"model 'nowhere/none': cannot be loaded"),
        ({"early_stopping_patience": 2}, r"name them with --eval_data"),
        ({"report_to": "trackio"}, r"--report_to trackio needs a package that is not here: pip install trackio"),
        ({"train_data": ""}, r"no examples to read: name a file"),
        ({"config": "none.yaml"}, r"the settings do not hold: .*none.yaml"),
        ({"learningrate": 1}, r"the settings do not hold: .*learningrate"),
        ({"packing": "true"}, r"--pack false turns it off"),
        ({"attn_implementation": "flash_attention_2"}, r"would let examples of a row see each other"),
        ({"load_in_4bit": "true"}, r"not supported; use --use_peft true"),
        ({"max_train_samples": 99}, r"asked for 99 examples of the data, there are 24"),
        ({"train_data": "none.jsonl"}, r"none.jsonl: no such file"),
    ],
)
def test_mistakes_are_told(folder: Path, more: dict[str, Any], words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(UserError, match=words):
        main(flags(folder, **more))
    assert not list((folder / "run").glob("checkpoint-*"))


def test_examples_that_are_too_long_are_told(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    long = {"prompt": "Document: " + "snow " * 200, "completion": "System: snow\n"}
    write_jsonl(folder / "train.jsonl", [*examples(5), long])
    facts = run(folder, max_steps=1)
    assert "1 of 6 examples are longer than 128 tokens and left out" in capsys.readouterr().out
    assert facts["tasks"][0]["examples"] == 5


def test_max_train_samples_draws_by_the_seed(folder: Path) -> None:
    one, two = (run(folder, f"run{at}", max_train_samples=6, max_steps=1)["data"][0] for at in range(2))
    other = run(folder, "other", max_train_samples=6, max_steps=1, seed=5)["data"][0]
    assert one["rows"] == 6
    assert one["sha256"] == two["sha256"] != other["sha256"]


def edited(folder: Path, **changes: Any) -> Path:
    path = folder / "tokenizer_config.json"
    config = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({key: value for key, value in config.items() if value is not None}))
    return folder


def test_a_missing_pad_token_is_stood_in_for_and_a_missing_end_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    start = make_tiny_model(tmp_path / "start")
    assert load_tokenizer(str(edited(start, pad_token=None)), None).pad_token == "<|im_end|>"
    assert "has no pad token; <|im_end|> pads" in capsys.readouterr().out
    with pytest.raises(UserError, match="no end-of-sequence token"):
        load_tokenizer(str(edited(start, eos_token=None)), None)


def test_a_base_without_pad_token_and_template_learns_chat_with_a_template_of_the_users(folder: Path) -> None:
    shutil.rmtree(folder / "start")
    edited(make_tiny_model(folder / "start", chat_template=None), pad_token=None)
    talk = [{"role": "user", "content": "Tea?"}, {"role": "assistant", "content": "Yes."}]
    write_jsonl(folder / "train.jsonl", [{"messages": talk}] * 4)
    with pytest.raises(UserError, match="--chat_template_path FILE"):
        main(flags(folder))
    template = folder / "own.jinja"
    template.write_text(
        "{% for message in messages %}{{ message['role'] }}: {% if message['role'] == 'assistant' %}"
        "{% generation %}{{ message['content'] + eos_token }}{% endgeneration %}"
        "{% else %}{{ message['content'] + '\\n' }}{% endif %}{% endfor %}"
    )
    run(folder, chat_template_path=template, max_steps=1)
    kept = load_tokenizer(str(folder / "run"), None)
    assert kept.apply_chat_template(talk, tokenize=False) == "user: Tea?\nassistant: Yes.<|im_end|>"


def test_a_model_that_takes_no_notice_of_positions_learns_unpacked(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """OPT, the paper's teacher; with LoRA, as its job has it."""
    import torch
    from transformers import OPTConfig, OPTForCausalLM

    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "ffn_dim": 64, "word_embed_proj_dim": 32, "num_hidden_layers": 2}
    special = {"bos_token_id": 1, "eos_token_id": 3, "pad_token_id": 0}
    config = OPTConfig(**sizes, **special, num_attention_heads=2, vocab_size=384, max_position_embeddings=100)
    for path in (folder / "start").glob("*.json"):
        if path.name not in ("tokenizer.json", "tokenizer_config.json"):
            path.unlink()
    OPTForCausalLM(config).save_pretrained(folder / "start")
    facts = run(folder, eval_data=folder / "eval.jsonl", **LORA)
    assert "opt would let packed examples see each other" in capsys.readouterr().out
    assert facts["hyperparameters"]["pack"] is False
    assert facts["curve"][-1]["loss"] < facts["curve"][0]["loss"]
    assert facts["context"] == 100


def test_a_model_from_scratch_has_no_base(folder: Path) -> None:
    from training import models

    made = [sys.executable, "--data", str(folder / "train.jsonl"), "--out", str(folder / "new"), "--vocabulary", "300"]
    held, sys.argv = sys.argv, made
    try:
        models.main()
    finally:
        sys.argv = held
    facts = run(folder, model_name_or_path=folder / "new", max_steps=1)
    assert not {"base", "relation"} & facts.keys()


def test_two_processes_train_one_model(folder: Path) -> None:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", "-m"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [*command, "training.sft", *flags(folder, **LORA)], capture_output=True, text=True, env=environment, cwd=folder
    )
    assert done.returncode == 0, done.stderr[-3000:]
    facts = json.loads((folder / "run" / "facts.json").read_text())
    assert facts["hyperparameters"]["processes"] == 2
    assert facts["curve"][-1]["loss"] < facts["curve"][0]["loss"]
