"""The jobs that ship: every YAML is understood by the script it is for, and a dataset's student config trains."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from trl import ModelConfig, TrlParser

from tests.tiny_model import make_tiny_model
from training.classifier import Arguments as IntentArguments
from training.dpo import DpoArguments
from training.seq2seq import Arguments
from training.sft import SftArguments, main

pytestmark = pytest.mark.usefixtures("one_thread")

TRAINING = Path(__file__).resolve().parents[1] / "training"
SEQ2SEQ = {"summarise", "autoconv_student_t5_pretrain", "autoconv_student_t5_finetune"}
JOBS = sorted(path.stem for path in TRAINING.glob("*.yaml") if path.stem != "fsdp")


def parsed(name: str, *flags: str) -> Any:
    causal = (DpoArguments if name.endswith("_dpo") else SftArguments, ModelConfig)
    kinds = (Arguments,) if name in SEQ2SEQ else (IntentArguments,) if name == "intents" else causal
    held_out = [] if name == "intents" else ["--eval_data", "held.jsonl"]  # the classifier holds out by itself
    given = ["--config", str(TRAINING / f"{name}.yaml"), *held_out, "--output_dir", "out", *flags]
    return TrlParser(kinds).parse_args_and_config(given)


@pytest.mark.parametrize("name", JOBS)
def test_a_job_is_understood_to_the_last_key(name: str) -> None:
    import yaml

    asked = yaml.safe_load((TRAINING / f"{name}.yaml").read_text())
    values: dict[str, Any] = {}
    for part in parsed(name):
        values |= vars(part)
    assert asked.keys() <= values.keys()
    assert values["report_to"] == []
    if asked.get("early_stopping_patience"):
        assert values["load_best_model_at_end"]
        assert values["save_strategy"] == values["eval_strategy"] == "epoch"


def test_the_numbers_of_autoconv_are_those_that_we_chose() -> None:
    args, model = parsed("autoconv_teacher")
    assert (model.use_peft, model.lora_r, args.learning_rate, args.num_train_epochs) == (True, 16, 1e-4, 10)
    assert args.step_tokens * args.gradient_accumulation_steps == 32 * 1024
    pretrain, finetune = (parsed(f"autoconv_student_{stage}")[0] for stage in ("pretrain", "finetune"))
    assert (pretrain.learning_rate, finetune.learning_rate, finetune.num_train_epochs) == (1e-4, 5e-5, 20)
    for stage, batch in (("pretrain", 64), ("finetune", 32)):
        (args,) = parsed(f"autoconv_student_t5_{stage}")
        assert args.per_device_train_batch_size * args.gradient_accumulation_steps == batch


def test_the_numbers_of_solid_rl_are_those_that_we_chose() -> None:
    for stage, epochs in (("sft", 3), ("mixed", 2)):
        args, model = parsed(f"solid_rl_{stage}")
        lora = (model.use_peft, model.lora_r, model.lora_alpha, model.lora_dropout)
        assert (lora, args.learning_rate, args.num_train_epochs) == ((True, 16, 32, 0.05), 2e-4, epochs)
        assert args.step_tokens * args.gradient_accumulation_steps == 64 * 512
        assert max(args.row_lengths) == 2048
    args, model = parsed("solid_rl_dpo")
    assert (model.lora_r, args.beta, args.learning_rate, args.num_train_epochs) == (16, 0.1, 5e-6, 1)
    assert args.per_device_train_batch_size * args.gradient_accumulation_steps == 32


def test_the_numbers_of_luas_are_the_papers_as_far_as_it_tells() -> None:
    for stage in (1, 2):
        args, model = parsed(f"luas_stage{stage}")
        assert (args.learning_rate, args.adam_beta1, args.adam_beta2) == (2e-5, 0.9, 0.999)
        assert (args.lr_scheduler_type, args.get_warmup_steps(1000)) == ("cosine", 30)
        assert (args.num_train_epochs, args.weight_decay, args.max_grad_norm) == (1, 0.0, 1.0)
        assert (max(args.row_lengths), 8 * args.step_tokens * args.gradient_accumulation_steps) == (1536, 64 * 384)
        assert not model.use_peft
        assert model.model_name_or_path == (None, "meta-llama/Llama-2-7b-hf")[stage == 1]
        assert (model.lora_r, model.lora_alpha, model.lora_target_modules) == (
            32,
            32,
            ["q_proj", "k_proj", "v_proj", "o_proj"],
        )
    first, second = (parsed(f"luas_small_stage{stage}")[0] for stage in (1, 2))
    assert first.matrix_rate > second.matrix_rate
    assert first.learning_rate > second.learning_rate


def test_flags_win_over_the_job() -> None:
    (args, model) = parsed("autoconv_teacher", "--learning_rate", "0.00001", "--use_peft", "false")
    assert (args.learning_rate, model.use_peft) == (1e-5, False)


def test_the_sharded_config_is_accelerates() -> None:
    from accelerate.commands.config.config_args import load_config_from_file

    config = load_config_from_file(str(TRAINING / "fsdp.yaml"))
    assert config.distributed_type == "FSDP"
    assert config.fsdp_config["fsdp_version"] == 2
    assert config.fsdp_config["fsdp_state_dict_type"] == "FULL_STATE_DICT"


def test_a_student_learns_straight_from_the_dataset_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By config, split and columns, as a built dataset has them."""
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    folder = tmp_path / "dist"
    for config, row in (("default", {"id": "1"}), ("student", {"input": r"what? \n (a) a boat.", "target": "red"})):
        (folder / config).mkdir(parents=True)
        (folder / config / "train.jsonl").write_text((json.dumps(row) + "\n") * 8)
    configs = "".join(
        f"- config_name: {name}\n  data_files:\n  - split: train\n    path: {name}/train.jsonl\n"
        for name in ("default", "student")
    )
    (folder / "README.md").write_text(f"---\nconfigs:\n{configs}---\n")
    job = str(TRAINING / "autoconv_student_small_pretrain.yaml")
    flags = ["--train_data", str(folder), "--max_steps", "1", "--output_dir", str(tmp_path / "run")]
    main(["--config", job, "--model_name_or_path", str(make_tiny_model(tmp_path / "start")), *flags])
    facts = json.loads((tmp_path / "run" / "facts.json").read_text())
    assert (facts["data"][0]["config"], facts["data"][0]["rows"]) == ("student", 8)
    assert facts["tasks"][0]["name"] == "input to target"
