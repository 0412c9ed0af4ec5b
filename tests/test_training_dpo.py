"""The preference script whole: it learns to prefer, through LoRA and without, goes on after a kill, and tells all."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from synthesis.errors import Failure, UserError
from synthesis.storage import write_jsonl
from tests import small_training
from tests.small_training import LORA, PEFT
from tests.tiny_model import make_tiny_model
from training.data import Encoded
from training.dpo import main, paired

pytestmark = [pytest.mark.usefixtures("one_thread"), PEFT]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model and pairs: the chosen thanks, the rejected complains."""
    make_tiny_model(tmp_path / "start")
    write_jsonl(tmp_path / "train.jsonl", pairs(12))
    write_jsonl(tmp_path / "eval.jsonl", pairs(4))
    return tmp_path


def pairs(count: int) -> list[dict[str, Any]]:
    def said(role: str, text: str) -> list[dict[str, str]]:
        return [{"role": role, "content": text}]

    return [
        {
            "prompt": said("user", f"Plan {at}:\n1. User | GG"),
            "chosen": said("assistant", "1. User [GG]: Thanks, that was wonderful!"),
            "rejected": said("assistant", f"1. User [GG]: No, {at} is no use."),
        }
        for at in range(count)
    ]


def run(folder: Path, out: str = "run", **more: Any) -> dict[str, Any]:
    """Trains; the facts."""
    own = {"learning_rate": 0.003, "per_device_train_batch_size": 4, "report_to": "none"}
    return small_training.facts(main, small_training.flags(folder, out, **own | more))


@pytest.mark.parametrize("how", [{}, LORA], ids=["whole", "lora"])
def test_it_learns_to_prefer_without_flags_for_a_cpu(folder: Path, how: dict[str, Any]) -> None:
    facts = run(folder, eval_data=folder / "eval.jsonl", max_steps=-1, num_train_epochs=3, **how)
    assert facts["curve"][0]["loss"] == pytest.approx(0.6931, abs=0.002), "ln 2: policy and reference are one"
    assert facts["curve"][-1]["loss"] < 0.6
    assert facts["evaluation"]["rewards/accuracies"] == 1.0
    assert facts["evaluation"]["rewards/margins"] > 0
    assert facts["relation"] == ("adapter" if how else "finetune")
    assert ("lora" in facts) == bool(how)
    assert facts["base"] == str(folder / "start")
    assert facts["data"][0]["rows"] == facts["tasks"][0]["examples"] == 12
    assert facts["tasks"][0]["name"] == "prompt to chosen, by preference"
    assert facts["hyperparameters"]["beta"] == 0.1
    assert facts["epochs"] == 3
    assert facts["command"].startswith("python -m training.dpo --model_name_or_path")


def test_a_killed_run_goes_on_as_if_it_had_not_been(folder: Path) -> None:
    from safetensors.torch import load_file

    whole = run(folder, "whole")
    shutil.copytree(folder / "whole" / "checkpoint-2", folder / "again" / "checkpoint-2")
    again = run(folder, "again")
    first, second = (load_file(folder / name / "model.safetensors") for name in ("whole", "again"))
    assert all(first[name].equal(second[name]) for name in first)
    assert [point["step"] for point in again["curve"]] == [point["step"] for point in whole["curve"]] == [1, 2, 3, 4]


def test_checkpoints_of_another_training_are_not_gone_on_from(folder: Path) -> None:
    facts = run(folder)
    assert run(folder)["data"] == facts["data"], "the same again goes on, with nothing left to do"
    write_jsonl(folder / "train.jsonl", pairs(10))
    with pytest.raises(
        UserError, match="run holds checkpoints of a training with another examples: remove the folder"
    ):
        run(folder)
    swapped = [row | {"chosen": row["rejected"], "rejected": row["chosen"]} for row in pairs(12)]
    write_jsonl(folder / "train.jsonl", swapped)
    with pytest.raises(UserError, match="another examples"):
        run(folder)
    assert json.loads((folder / "run" / "facts.json").read_text())["data"] == facts["data"]


def test_plain_text_is_taken_as_well(folder: Path) -> None:
    plain = [{name: row[name][0]["content"] for name in row} for row in pairs(8)]
    write_jsonl(folder / "train.jsonl", plain)
    assert run(folder)["tasks"][0]["examples"] == 8


def test_numbers_that_are_none_stop_it(folder: Path) -> None:
    with pytest.raises(Failure, match="training stopped"):
        run(folder, learning_rate=1e30, max_grad_norm=0, max_steps=8)


def test_pairs_are_split_where_the_loss_begins_and_ends() -> None:
    def encoded(ids: tuple[int, ...], mask: str) -> Encoded:
        return Encoded("", ids, tuple(sign == "x" for sign in mask), where="file:1")

    one, other = encoded((1, 2, 3, 4, 9), "..xx."), encoded((1, 2, 7), "..x")
    row = {"prompt_ids": [1, 2], "chosen_ids": [3, 4], "rejected_ids": [7]}
    assert paired([one], [other], 4) == ([row], "")
    long = encoded((1, 2, 3, 4, 5), "..xxx")
    assert paired([one, long], [other, other], 4) == ([row], "1 of 2 pairs are longer than 4 tokens and left out")
    with pytest.raises(UserError, match="1 of 1 pairs are longer than 4 tokens and left out: raise --max_length"):
        paired([long], [other], 4)
    with pytest.raises(UserError, match="file:1: the chat template writes the prompt otherwise"):
        paired([one], [encoded((1, 8, 7), "..x")], 9)


SAME = pairs(1)[0] | {"rejected": pairs(1)[0]["chosen"]}
BAD: dict[str, tuple[list[Any], dict[str, Any], str]] = {
    "no rejected": ([{"prompt": "a", "chosen": "b"}], {}, r"train.jsonl:1: expected .* there is no rejected"),
    "no object": (["text"], {}, "there is no prompt, chosen, rejected"),
    "the same": ([SAME], {}, "chosen and rejected are the same text"),
    "mixed": (
        [{"prompt": "a", "chosen": "b", "rejected": [{"role": "assistant", "content": "c"}]}],
        {},
        "are both chat or both text",
    ),
    "too long": (pairs(1), {"max_length": 8}, "1 of 1 pairs are longer than 8 tokens"),
    "no model": (pairs(1), {"model_name_or_path": "/nowhere/at/all"}, "cannot be loaded"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input(name: str, folder: Path) -> None:
    rows, flags, message = BAD[name]
    write_jsonl(folder / "train.jsonl", rows)
    with pytest.raises(UserError, match=message):
        run(folder, **flags)


def test_an_adapter_is_to_be_merged_first(folder: Path) -> None:
    run(folder, "adapter", max_steps=1, **LORA)
    with pytest.raises(UserError, match="holds a LoRA adapter: merge it first"):
        run(folder, "more", model_name_or_path=folder / "adapter")
