"""The embedded model's training: tokens in one file, sessions, and both parts one after another."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from synthesis.errors import UserError
from training import tokens
from training.data import Encoded
from training.embedded.train import PARTS, Training
from training.models import SIZES, Shape, new_model, train_tokenizer

FLAGS = (
    "--use_cpu", "true", "--bf16", "false", "--threads", "1", "--row_lengths", "64", "128", "--step_tokens", "128",
    "--max_steps", "4", "--dataloader_num_workers", "0", "--logging_steps", "1", "--eval_strategy", "no",
    "--lr_scheduler_type", "constant", "--warmup_steps", "0", "--dataloader_pin_memory", "false",
)  # fmt: skip


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return train_tokenizer(["User 1: Hello, I like green tea.", "What do you like?"], 300, 128)


def chat(number: int) -> dict[str, Any]:
    asked = [{"role": "user", "content": f"Hello {number}?"}]
    return {
        "task": "spc.generate" if number % 2 else "drills.recall",
        "source": "own",
        "prompt": asked,
        "completion": [{"role": "assistant", "content": f"I like tea {number}."}],
    }


def rows(folder: Path, name: str, count: int = 40) -> Path:
    path = folder / f"{name}.jsonl"
    made = [chat(number) for number in range(count - 1)] + [{"task": "text", "source": "own", "text": "I like tea."}]
    path.write_text("".join(json.dumps(row) + "\n" for row in made))
    return path


# Tokens


def test_tokens_come_back_in_their_order(tmp_path: Path, tokenizer: Any) -> None:
    made = tokens.encoded(rows(tmp_path, "x", 9), tokenizer)
    tokens.save(tmp_path / "x.npz", made, tokenizer)
    back = tokens.load(tmp_path / "x.npz", tokenizer)
    for one, other in zip(made, back, strict=True):
        assert (list(one.ids), list(one.mask)) == (list(other.ids), list(other.mask))
        assert (one.task, one.source, one.weight, one.prompted) == (
            other.task,
            other.source,
            other.weight,
            other.prompted,
        )
    assert [one.prompted for one in back] == [True] * 8 + [False]
    assert back[0].where == "x.npz, example 0"


def test_tokens_belong_to_their_tokenizer(tmp_path: Path, tokenizer: Any) -> None:
    tokens.save(tmp_path / "x.npz", tokens.encoded(rows(tmp_path, "x", 3), tokenizer), tokenizer)
    with pytest.raises(UserError, match="another tokenizer's"):
        tokens.load(tmp_path / "x.npz", train_tokenizer(["Other words altogether"], 290, 128))


@pytest.mark.parametrize("content", [b"", b"PK nonsense", b"{}"])
def test_what_is_no_file_of_tokens_is_named(tmp_path: Path, tokenizer: Any, content: bytes) -> None:
    (tmp_path / "x.npz").write_bytes(content)
    with pytest.raises(UserError, match="make it anew"):
        tokens.load(tmp_path / "x.npz", tokenizer)


def test_a_loss_in_several_parts_is_refused(tmp_path: Path, tokenizer: Any) -> None:
    split = Encoded("a", (3, 4, 5), (True, False, True), where="file:1")
    with pytest.raises(UserError, match="file:1: its loss covers several parts"):
        tokens.save(tmp_path / "x.npz", [split], tokenizer)


# Both parts


@pytest.fixture
def data(tmp_path: Path, tokenizer: Any) -> Path:
    folder = tmp_path / "data"
    tokenizer.save_pretrained(folder / "tokenizer")
    for name in (f"{part}.{half}" for part in PARTS for half in ("train", "eval")):
        tokens.save(folder / f"{name}.npz", tokens.encoded(rows(tmp_path, name), tokenizer), tokenizer)
    (folder / "facts.json").write_text(json.dumps({"data": [{"source": "own", "licence": "Apache-2.0"}]}))
    return folder


@pytest.fixture
def start(tmp_path: Path, tokenizer: Any) -> Path:
    new_model(tokenizer, Shape(len(tokenizer), 32, 1, 2, 48, 128), 0).save_pretrained(tmp_path / "out" / "start")
    tokenizer.save_pretrained(tmp_path / "out" / "start")
    (tmp_path / "out" / "start" / "untrained.json").write_text("{}")
    return tmp_path / "out"


def part(data: Path, out: Path, minutes: float) -> Path:
    """The first part, in this process."""
    from training.sft import main

    module, *arguments = Training(data, "large", out, FLAGS).command("text", out / "start", minutes)
    assert module == "training.sft"
    main(arguments)
    return out / "text"


def test_a_part_that_was_stopped_goes_on_to_the_same_weights(tmp_path: Path, data: Path, start: Path) -> None:
    import shutil

    import torch
    from safetensors.torch import load_file

    threads = torch.get_num_threads()
    shutil.copytree(start, tmp_path / "other")
    stopped = part(data, start, 1e-9)  # after the first step, at a checkpoint
    assert [path.name for path in stopped.glob("checkpoint-*")] == ["checkpoint-1"]
    assert not (stopped / "facts.json").exists()
    again, whole = part(data, start, 0.0), part(data, tmp_path / "other", 0.0)
    facts = json.loads((again / "facts.json").read_text())
    assert facts["steps"] == 4
    assert [point["step"] for point in facts["curve"]] == [1, 2, 3, 4]
    assert facts["data"][0]["tokens"] > 0
    assert {task["name"] for task in facts["tasks"]} == {"spc.generate", "drills.recall", "text"}
    first, second = (load_file(folder / "model.safetensors") for folder in (again, whole))
    assert all(first[name].equal(second[name]) for name in first)
    torch.set_num_threads(threads)


def test_a_training_that_is_told_to_stop_leaves_nothing_behind() -> None:
    said = "import os, time; print(os.getpid(), flush=True); time.sleep(60)"
    code = f"""
from training.embedded import train
train.stoppable()
train._run(["timeit", "-n", "1", "-r", "1", {said!r}])
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()  # the command
        child = int(process.stdout.readline())
        process.terminate()
        assert process.wait(20) == 128 + signal.SIGTERM
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)


@pytest.mark.timeout(400)
def test_parts_follow_each_other_and_are_not_trained_twice(data: Path, start: Path) -> None:
    import shutil

    training = Training(data, "large", start, FLAGS)
    training.check()
    shutil.copytree(start / "start", start / "text")  # as if the first part were done
    (start / "text" / "facts.json").write_text("{}")
    training.check()
    with pytest.raises(UserError, match="in size small"):
        Training(data, "small", start, FLAGS).check()
    assert training.run()
    facts = json.loads((start / "calls" / "facts.json").read_text())
    assert facts["steps"] == 4
    assert not list((start / "text").glob("checkpoint-*"))
    training.check()
    assert training.run()  # nothing is left to do
    (data / "calls.eval.npz").write_bytes(b"of another corpus")
    with pytest.raises(UserError, match="was not trained on"):
        training.check()
    (start / "data.json").unlink()
    with pytest.raises(UserError, match="does not say so"):
        training.check()


def test_a_part_without_the_one_before_it_is_not_taken_for_a_training(data: Path, start: Path) -> None:
    (start / "calls").mkdir()
    (start / "calls" / "facts.json").write_text("{}")
    with pytest.raises(UserError, match="has calls, but not text before it"):
        Training(data, "large", start, FLAGS).check()


def test_data_that_lack_a_file_are_named(tmp_path: Path, data: Path) -> None:
    (data / "calls.eval.npz").unlink()
    with pytest.raises(UserError, match=r"lacks calls\.eval\.npz"):
        Training(data, "small", tmp_path / "out").check()


def test_the_small_model_is_trained_by_two_processes(tmp_path: Path) -> None:
    command = Training(tmp_path, "small", tmp_path).command("calls", tmp_path / "text", 0.0)
    assert command[:4] == ("torch.distributed.run", "--standalone", "--nproc_per_node", "2")
    assert "training.sft" in command
    config = Path(command[command.index("--config") + 1])
    assert config.name == "embedded_small_calls.yaml"
    assert config.is_file()


def test_sizes_are_those_that_the_weights_may_have(tokenizer: Any) -> None:
    """Embeddings twice, and a layer's queries, keys, values, output, feed-forward and norms."""
    for name, parameters in (("small", 12_774_080), ("large", 26_746_368)):
        shape = SIZES[name]
        assert shape.kv_heads
        assert shape.head_dim
        wide, narrow = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
        layer = shape.hidden * (2 * wide + 2 * narrow + 3 * shape.intermediate + 2)
        assert (2 * shape.vocabulary + 1) * shape.hidden + shape.layers * layer == parameters <= 30_000_000
        assert 2 * parameters <= 64 << 20
        assert shape.hidden % shape.heads == 0
