"""Training: masks, packing, optimizer, resumption."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import pytest

from synthesis.errors import BuildError, ParleyError, UserError
from training import attention
from training.command import told
from training.data import IGNORED, Encoded, mask_report
from training.examples import encode, read
from training.models import Shape, new_model, train_tokenizer
from training.packing import batches, collate, keeps_apart, pack
from training.rows import rows
from training.weights import Weights


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    texts = ["User 1: Hello there.\nUser 2: Hello to you, I like tea.", "What do you like? I like green tea."]
    return train_tokenizer(texts, 300, 128)


def example(prompt: str, answer: str) -> dict[str, Any]:
    return {
        "task": "talk",
        "source": "own",
        "prompt": [{"role": "user", "content": prompt}],
        "completion": [{"role": "assistant", "content": answer}],
    }


def encoded(size: int, task: str = "") -> Encoded:
    return Encoded(task, tuple(range(7, 7 + size)), (False,) + (True,) * (size - 1))


# Chat template and mask


def test_a_speakers_label_is_one_token_and_texts_come_back(tokenizer: Any) -> None:
    text = "- User 2: I am 21.\nUser 1: You?\nAsk User 1 twice."
    ids = tokenizer(text, add_special_tokens=False).input_ids
    labels = [tokenizer.decode([number]) for number in ids if len(tokenizer.decode([number])) == len("User 1:")]
    assert labels == ["User 2:", "User 1:"]
    assert tokenizer.decode(ids, skip_special_tokens=True) == text
    assert len(tokenizer) <= 300


def test_template_marks_the_answer_and_its_end_and_nothing_else(tokenizer: Any) -> None:
    (one,) = encode(read([("here", example("Hello?", "I like tea."))]), tokenizer)
    covered = [token for token, on in zip(one.ids, one.mask, strict=True) if on]
    assert tokenizer.decode(covered) == "I like tea.</s>"
    assert one.ids.count(tokenizer.bos_token_id) == 1
    assert one.ids[0] == tokenizer.bos_token_id


def test_generation_prompt_is_what_comes_before_the_answer(tokenizer: Any) -> None:
    user = {"role": "user", "content": "Hello?"}
    open_ended = tokenizer.apply_chat_template([user], tokenize=False, add_generation_prompt=True)
    whole = tokenizer.apply_chat_template([user, {"role": "assistant", "content": "Hi."}], tokenize=False)
    assert open_ended == "<s><|user|>Hello?<|assistant|>"
    assert whole == open_ended + "Hi.</s>"


def test_template_refuses_other_roles(tokenizer: Any) -> None:
    import jinja2

    with pytest.raises(jinja2.TemplateError, match="not critic"):
        tokenizer.apply_chat_template([{"role": "critic", "content": "x"}], tokenize=False)


def test_mask_report_counts_by_hand(tokenizer: Any) -> None:
    first = Encoded("a", (3, 4, 5, 6), (False, False, True, True))
    second = Encoded("b", (3, 4, 5), (False, False, True))
    report = mask_report([first, second], tokenizer)
    assert (report.examples, report.tokens, report.covered) == (2, 7, 3)
    assert "3 of 7 tokens (42.9%)" in str(report)
    assert report.sample.count(">>>") == report.sample.count("<<<") == 1


@pytest.mark.parametrize(
    ("mask", "words"), [((False,) * 3, "covers none of its 3"), ((True,) * 3, "covers all of its 3")]
)
def test_mask_that_covers_nothing_or_a_prompt_is_refused(tokenizer: Any, mask: Any, words: str) -> None:
    with pytest.raises(UserError, match=words):
        mask_report([Encoded("a", (3, 4, 5), mask)], tokenizer)


def test_mask_may_cover_everything_where_there_is_no_prompt(tokenizer: Any) -> None:
    assert mask_report([Encoded("a", (3, 4), (True, True), prompted=False)], tokenizer).covered == 2


def test_nothing_to_train_on_is_refused(tokenizer: Any) -> None:
    with pytest.raises(UserError, match="no examples"):
        mask_report([], tokenizer)


def test_rows_that_are_no_examples_are_named(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(example("a", "b")) + "\n" + '{"answer": "c"}\n')
    with pytest.raises(UserError, match=r"rows\.jsonl:2: expected prompt and completion.*has \['answer'\]"):
        read(rows(str(path)))


@pytest.mark.parametrize(("error", "status"), [(None, 0), (UserError("no such folder"), 2), (BuildError("full"), 1)])
def test_a_script_tells_mistakes_without_a_traceback(
    error: ParleyError | None, status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    def script() -> None:
        if error:
            raise error

    assert told(script) == status
    assert capsys.readouterr().err == (f"error: {error}\n" if error else "")


# Packing


def test_packing_keeps_every_example_once_and_fills_rows() -> None:
    sizes = [60, 40, 30, 30, 20, 20, 100, 10]
    rows = pack(dict(enumerate(sizes)), 100, Random(1))
    assert sorted(one for row in rows for one in row) == list(range(8))
    assert sorted(sum(sizes[one] for one in row) for row in rows) == [10, 100, 100, 100]


def test_what_is_left_of_long_rows_takes_short_examples() -> None:
    assert pack({0: 60, 1: 90}, 100, Random(0), {2: 40, 3: 11, 4: 10}) == [[1, 4], [0, 2]]
    sizes = [Random(0).randint(1, 100) for _ in range(3000)]
    made = batches([encoded(size) for size in sizes], [25, 50, 100], 100, 0, Weights())
    assert sorted(len(part) for part in _parts(made)) == sorted(sizes), "each once"
    assert sum(sizes) > 0.98 * 100 * len(made)
    unpacked = batches([encoded(size) for size in sizes], [25, 50, 100], 100, 0, Weights(), packed=False)
    assert sorted(len(row) for batch in unpacked for row in batch["input_ids"]) == sorted(sizes)


def _parts(made: Any) -> Iterator[list[int]]:
    for batch in made:
        for positions in batch["position_ids"]:
            starts = [at for at, position in enumerate(positions) if position == 0]
            yield from (positions[one:end] for one, end in pairwise([*starts, len(positions)]))


def test_packing_refuses_what_does_not_fit() -> None:
    with pytest.raises(UserError, match="101 tokens does not fit a row of 100"):
        pack({0: 101}, 100, Random(0))


def test_collate_pads_with_masked_tokens_of_a_document_of_their_own() -> None:
    item = {"length": 6, "input_ids": [[7, 8, 7]], "labels": [[IGNORED, 8, IGNORED]], "position_ids": [[0, 1, 0]]}
    item["weights"] = [[0.5, 0.5, 2.0]]
    tensors = {name: value.tolist() for name, value in collate([item], pad=0).items()}
    assert tensors["input_ids"] == [[7, 8, 7, 0, 0, 0]]
    assert tensors["labels"] == [[IGNORED, 8, IGNORED, IGNORED, IGNORED, IGNORED]]
    assert tensors["position_ids"] == [[0, 1, 0, 0, 1, 2]]
    assert tensors["weights"] == [[0.5, 0.5, 2.0, 0.0, 0.0, 0.0]]


def test_processes_that_take_a_step_together_have_rows_of_one_length() -> None:
    examples = [encoded(size, "talk") for size in [3] * 22 + [12] * 9]
    made = batches(examples, [4, 16], 16, 0, Weights(), processes=2)
    pairs = [tuple(made[at : at + 2]["length"]) for at in range(0, len(made), 2)]
    assert sorted(pairs[:-1]) == [(4, 4)] * 2 + [(16, 16)] * 4, "nine of the short ones stand in long rows"
    assert pairs[-1] == (16,)
    assert sum(len(row) for batch in made for row in batch["input_ids"]) == sum(len(one.ids) for one in examples)


def test_packed_examples_do_not_see_each_other(tokenizer: Any) -> None:
    import torch

    model = new_model(tokenizer, Shape(len(tokenizer), 32, 2, 2, 48, 128), 0).eval()
    first, second = torch.randint(7, 290, (1, 9)), torch.randint(7, 290, (1, 12))
    positions = torch.cat([torch.arange(9), torch.arange(12)])[None]
    with torch.no_grad():
        alone = model(second, use_cache=False).logits
        packed = model(torch.cat([first, second], 1), position_ids=positions, use_cache=False).logits[:, 9:]
    torch.testing.assert_close(packed, alone, atol=1e-5, rtol=1e-4)


def test_attention_by_products_is_that_of_torch_and_is_not_saved(tokenizer: Any, tmp_path: Path) -> None:
    import torch
    from transformers import AutoConfig

    torch.manual_seed(0)
    model = new_model(tokenizer, Shape(len(tokenizer), 32, 2, 4, 48, 128, kv_heads=2), 0)
    ids = torch.randint(7, 290, (2, 24))
    packed = {"input_ids": ids, "position_ids": torch.cat([torch.arange(9), torch.arange(15)]).repeat(2, 1)}

    def answer(given: dict[str, Any]) -> tuple[Any, list[Any]]:
        model.zero_grad()
        logits = model(**given, use_cache=False).logits
        logits.logsumexp(-1).sum().backward()
        return logits.detach(), [one.grad.clone() for one in model.parameters()]

    before = [answer(packed), answer({"input_ids": ids})]
    assert attention.fits(model)
    attention.use(model)
    assert keeps_apart(model)
    for (logits, slopes), (wanted, known) in zip([answer(packed), answer({"input_ids": ids})], before, strict=True):
        torch.testing.assert_close(logits, wanted, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(slopes, known, atol=1e-4, rtol=1e-3)
    model.save_pretrained(tmp_path)
    assert AutoConfig.from_pretrained(tmp_path)._attn_implementation in (None, "sdpa")


# Optimizer


def test_muon_takes_the_hidden_matrices_and_adamw_all_else(tokenizer: Any) -> None:
    from training.muon import MuonAdamW, split

    model = new_model(tokenizer, Shape(len(tokenizer), 32, 2, 2, 48, 128), 0)
    hidden, others = split(model)
    assert len(hidden) == 2 * 7  # four of attention and three of the MLP in each layer
    assert {tuple(p.shape) for p in others} == {(len(tokenizer), 32), (32,)}
    optimizer = MuonAdamW(model, 0.02, 0.004, (0.9, 0.95), 0.0)
    ids = [id(p) for group in optimizer.param_groups for p in group["params"]]
    assert sorted(ids) == sorted(id(p) for p in model.parameters())
    assert len(set(ids)) == len(ids)


def test_optimizer_state_comes_back(tokenizer: Any) -> None:
    import torch

    from training.muon import MuonAdamW

    def stepped(model: Any, optimizer: Any) -> None:
        model(torch.arange(7, 20)[None], labels=torch.arange(7, 20)[None]).loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    shape = Shape(len(tokenizer), 32, 1, 2, 48, 128)
    first = new_model(tokenizer, shape, 0)
    optimizer = MuonAdamW(first, 0.02, 0.004, (0.9, 0.95), 0.0)
    stepped(first, optimizer)
    second = new_model(tokenizer, shape, 1)
    second.load_state_dict(first.state_dict())
    other = MuonAdamW(second, 0.5, 0.5, (0.9, 0.95), 0.0)
    other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for model, its in ((first, optimizer), (second, other)):
        stepped(model, its)
    for one, two in zip(first.parameters(), second.parameters(), strict=True):
        torch.testing.assert_close(one, two)


# The training script


@pytest.fixture
def run_folder(tmp_path: Path, tokenizer: Any) -> Iterator[Path]:
    import torch

    threads = torch.get_num_threads()
    new_model(tokenizer, Shape(len(tokenizer), 32, 1, 2, 48, 128), 0).save_pretrained(tmp_path / "start")
    tokenizer.save_pretrained(tmp_path / "start")
    made = [example(f"Hello {number}?", f"I like tea {number}.") for number in range(40)]
    (tmp_path / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in made))
    (tmp_path / "eval.jsonl").write_text("".join(json.dumps(row) + "\n" for row in made[:5]))
    yield tmp_path
    torch.set_num_threads(threads)


def sft(folder: Path, out: str, *more: str) -> Path:
    from training.sft import main

    main([
        "--model_name_or_path", str(folder / "start"), "--train_file", str(folder / "train.jsonl"),
        "--eval_file", str(folder / "eval.jsonl"), "--output_dir", str(folder / out), "--row_lengths", "64", "128",
        "--step_tokens", "128", "--per_device_train_batch_size", "1", "--use_cpu", "true", "--bf16", "false",
        "--activation_checkpointing", "false", "--threads", "1", "--matrix_rate", "0.02", "--learning_rate", "0.01",
        "--max_steps", "6", "--save_steps", "3", "--logging_steps", "1", "--report_to", "none", "--disable_tqdm",
        "true", "--dataloader_pin_memory", "false", *more,
    ])  # fmt: skip
    return folder / out


def test_killed_run_goes_on_from_its_checkpoint_to_the_same_weights(run_folder: Path) -> None:
    import shutil

    from safetensors.torch import load_file

    whole = sft(run_folder, "whole")
    shutil.copytree(whole / "checkpoint-3", run_folder / "again" / "checkpoint-3")
    again = sft(run_folder, "again")
    facts = json.loads((again / "facts.json").read_text())
    assert facts["steps"] == 6
    assert facts["seconds"] >= 0
    assert facts["tokens_seen"] > 0
    assert [point["step"] for point in facts["curve"]] == [1, 2, 3, 4, 5, 6]
    assert facts["curve"][-1]["loss"] < facts["curve"][0]["loss"]
    first, second = (load_file(folder / "model.safetensors") for folder in (whole, again))
    assert all(first[name].equal(second[name]) for name in first)


def test_exported_model_is_small_and_plain(run_folder: Path) -> None:
    from transformers import AutoTokenizer

    from training.export import export

    out = run_folder / "out"
    with pytest.raises(UserError, match="has not finished"):
        export([run_folder / "start"], out, "tiny")
    export([sft(run_folder, "run")], out, "tiny")
    assert {file.suffix for file in out.iterdir()} == {".json", ".safetensors"}
    assert json.loads((out / "config.json").read_text())["dtype"] == "bfloat16"
    assert json.loads((out / "facts.json").read_text())["name"] == "tiny"
    user = [{"role": "user", "content": "Hi"}]
    assert AutoTokenizer.from_pretrained(out).apply_chat_template(user, tokenize=False) == "<s><|user|>Hi"
