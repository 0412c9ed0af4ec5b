"""Rows to learn from: chat, prompt and completion, plain text; columns, templates, masks, weights."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthesis.errors import UserError
from tests.tiny_model import make_tiny_model
from training.data import Encoded, fitting, shared
from training.examples import Columns, Example, encode, fingerprint, marked_template, read
from training.packing import batches, keeps_apart
from training.rows import digest, drawn, rows
from training.weights import Weights

UNMARKED = (
    "{% for message in messages %}[{{ message['role'] }}]{{ message['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}[assistant]{% endif %}"
)


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    from training.models import train_tokenizer

    return train_tokenizer(["Document: a red boat.\nUser: What colour?\nSystem: red\n"], 300, 128)


def one(row: Any, **columns: Any) -> Example:
    return read([("rows.jsonl:1", row)], Columns(**columns))[0]


def learned(tokenizer: Any, row: Any, **columns: Any) -> str:
    """What the loss covers, as text."""
    (made,) = encode([one(row, **columns)], tokenizer)
    return str(tokenizer.decode([token for token, on in zip(made.ids, made.mask, strict=True) if on]))


def said(*pairs: tuple[str, str]) -> list[dict[str, str]]:
    return [{"role": role, "content": content} for role, content in pairs]


# What is learned of a row


def test_a_plain_completion_is_learned_to_its_end_and_joined_as_it_is(tokenizer: Any) -> None:
    row = {"prompt": "Document: a boat.\n\n", "completion": "User: What?\nSystem: red\n"}
    assert learned(tokenizer, row) == "User: What?\nSystem: red\n</s>"
    (made,) = encode([one(row)], tokenizer)
    assert tokenizer.decode(made.ids) == row["prompt"] + row["completion"] + "</s>"
    assert made.prompted


def test_named_columns_have_a_line_break_between_them_or_what_is_asked_for(tokenizer: Any) -> None:
    row = {"input": "what colour?", "target": "red"}
    names = {"prompt": "input", "completion": "target"}
    assert one(row, **names).prompt == "what colour?\n"
    assert one(row, **names, separator=" => ").prompt == "what colour? => "
    assert one(row, **names, separator="").prompt == "what colour?"
    assert one({"prompt": "a", "completion": "b"}, separator="|").prompt == "a|"
    assert learned(tokenizer, row, **names) == "red</s>"


def test_no_token_reaches_over_the_border(tokenizer: Any) -> None:
    """Whoever goes on from a prompt has it in tokens already, also where one token would hold its end and more."""
    whole = tokenizer("System")["input_ids"]
    assert len(whole) < len(tokenizer("Sys")["input_ids"]) + len(tokenizer("tem")["input_ids"])
    (made,) = encode([one({"prompt": "Sys", "completion": "tem"})], tokenizer)
    assert list(made.ids[: made.mask.index(True)]) == tokenizer("Sys")["input_ids"]
    assert learned(tokenizer, {"prompt": "Sys", "completion": "tem"}) == "tem</s>"


@given(st.text(min_size=1, max_size=40), st.text(min_size=1, max_size=40).filter(str.strip))
def test_any_plain_text_comes_back_and_only_the_completion_is_learned(prompt: str, completion: str) -> None:
    from training.models import train_tokenizer

    tokenizer = _ANY.setdefault("one", train_tokenizer(["some words"], 300, 128))
    for special in tokenizer.all_special_tokens:
        if special in prompt + completion:
            return
    assert learned(tokenizer, {"prompt": prompt, "completion": completion}) == completion + "</s>"


_ANY: dict[str, Any] = {}


def test_of_text_everything_is_learned_but_its_first_token(tokenizer: Any) -> None:
    (made,) = encode([one({"text": "red boat"})], tokenizer)
    assert made.mask == (False, *[True] * (len(made.ids) - 1))
    assert not made.prompted


def test_of_messages_every_answer_is_learned_and_of_a_prompt_none(tokenizer: Any) -> None:
    talk = said(("user", "What?"), ("assistant", "red"), ("user", "And?"), ("assistant", "boat"))
    assert learned(tokenizer, {"messages": talk}) == "red</s>boat</s>"
    assert learned(tokenizer, {"prompt": talk[:3], "completion": talk[3:]}) == "boat</s>"


def test_a_template_without_marks_is_read_by_what_stands_before_and_after(tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(make_tiny_model(tmp_path, chat_template=UNMARKED))
    assert marked_template(tokenizer) is None
    talk = said(("user", "Tea?"), ("assistant", "Yes."), ("user", "Snow?"), ("assistant", "No."))
    assert learned(tokenizer, {"messages": talk}) == "Yes.\nNo.\n"
    assert learned(tokenizer, {"prompt": talk[:3], "completion": talk[3:]}) == "No.\n"


def test_a_known_template_without_marks_is_taken_as_trl_marks_it(tmp_path: Path) -> None:
    from transformers import AutoTokenizer
    from trl.chat_template_utils import qwen2_5_chat_template

    folder = make_tiny_model(tmp_path, chat_template=qwen2_5_chat_template)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert "generation" in str(marked_template(tokenizer))
    assert learned(tokenizer, {"messages": said(("user", "Tea?"), ("assistant", "Yes."))}) == "\nYes.<|im_end|>\n"


def test_a_template_that_hides_answers_is_refused(tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    hiding = "{{ messages | length }}{% for message in messages %}{{ message['content'] }}{% endfor %}"
    tokenizer = AutoTokenizer.from_pretrained(make_tiny_model(tmp_path, chat_template=hiding))
    with pytest.raises(UserError, match=r"rows.jsonl:1: the chat template does not mark.*--chat_template_path"):
        learned(tokenizer, {"messages": said(("user", "Tea?"), ("assistant", "Yes."))})


def test_a_template_whose_marks_leave_out_the_end_is_refused(tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    endless = (
        "{% for message in messages %}{{ message['role'] }}: {% if message['role'] == 'assistant' %}{% generation %}"
        "{{ message['content'] }}{% endgeneration %}{% else %}{{ message['content'] }}{% endif %}{{ eos_token }}"
        "{% endfor %}"
    )
    tokenizer = AutoTokenizer.from_pretrained(make_tiny_model(tmp_path, chat_template=endless))
    with pytest.raises(UserError, match="would never learn to stop"):
        learned(tokenizer, {"messages": said(("user", "Tea?"), ("assistant", "Yes."))})


def test_chat_without_a_template_and_roles_it_refuses_are_told(tmp_path: Path, tokenizer: Any) -> None:
    from transformers import AutoTokenizer

    bare = AutoTokenizer.from_pretrained(make_tiny_model(tmp_path, chat_template=None))
    with pytest.raises(UserError, match=r"no chat template: give one with --chat_template_path"):
        learned(bare, {"messages": said(("user", "Tea?"), ("assistant", "Yes."))})
    assert learned(bare, {"prompt": "Tea? ", "completion": "Yes."}) == "Yes.<|im_end|>"
    with pytest.raises(UserError, match=r"rows.jsonl:1: the chat template does not take these messages: .*critic"):
        learned(tokenizer, {"messages": said(("critic", "Tea?"), ("assistant", "Yes."))})


# What is no example


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (["a"], r"expected an object .* got \['a'\]"),
        ({"prompt": "a", "completion": " "}, r"expected text in 'completion', got ' '"),
        ({"prompt": "a", "completion": [{"role": "assistant", "content": "b"}]}, r"chat messages .* in 'prompt'"),
        ({"prompt": [], "completion": []}, r"'completion' has no message"),
        ({"messages": []}, r"'messages' is empty"),
        ({"messages": [{"role": "user"}]}, r"expected chat messages with role and content in 'messages'"),
        ({"text": 3}, r"expected text in 'text', got 3"),
        ({"question": "a"}, r"the row has \['question'\]; name its columns with --prompt_column"),
        ({"text": "a", "weight": 0}, r"expected a weight above 0, got 0"),
        ({"text": "a", "weight": True}, r"expected a weight above 0, got True"),
        ({"text": "a", "weight": float("nan")}, r"expected a weight above 0, got nan"),
    ],
)
def test_a_row_that_is_no_example_is_named(row: Any, words: str) -> None:
    with pytest.raises(UserError, match=r"^rows\.jsonl:1: .*" + words):
        one(row)


def test_named_columns_must_be_there() -> None:
    with pytest.raises(UserError, match=r"expected input and target.*has \['text'\]"):
        one({"text": "a", "target": None}, prompt="input", completion="target")


def test_empty_columns_of_a_dataset_count_as_none() -> None:
    assert one({"prompt": None, "completion": None, "messages": None, "text": "a"}).completion == "a"


def test_rows_of_a_dataset_folder_come_by_config_and_split(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    (tmp_path / "set").mkdir()
    for name in ("train", "validation"):
        lines = [json.dumps({"input": f"{name} {number}", "target": "red"}) + "\n" for number in range(2)]
        (tmp_path / "set" / f"{name}.jsonl").write_text("".join(lines))
    found = read(rows(str(tmp_path / "set"), split="validation"), Columns("input", "target"))
    assert [example.prompt for example in found] == ["validation 0\n", "validation 1\n"]
    assert found[1].where.endswith("validation row 1")


def test_fingerprints_tell_what_is_said_where_the_prompt_ends_and_what_it_weighs() -> None:
    talk = said(("user", "a"), ("assistant", "b"), ("assistant", "c"))
    made = [
        {"messages": talk},
        {"prompt": talk[:1], "completion": talk[1:]},
        {"prompt": "ab", "completion": "c"},
        {"prompt": "a", "completion": "bc"},
        {"text": "abc"},
        {"text": "abc", "weight": 0.5},
        {"text": "abc", "weight": 2},
    ]
    assert fingerprint([one({"text": "abc", "weight": 1})]) == fingerprint([one({"text": "abc"})])
    assert len({fingerprint([one(row)]) for row in made}) == len(made)
    assert digest(["ab", "c"]) != digest(["a", "bc"])


def test_drawn_keeps_order_and_refuses_more_than_there_is() -> None:
    assert drawn(range(9), 9, 3) == list(range(9))
    assert drawn(range(9), 4, 3) == sorted(drawn(range(9), 4, 3))
    with pytest.raises(UserError, match="asked for 10 examples of the data, there are 9"):
        drawn(range(9), 10, 0)


# Lengths, weights, rows


def encoded(size: int, weight: float = 1.0) -> Encoded:
    return Encoded("", tuple(range(7, 7 + size)), (False,) + (True,) * (size - 1), weight=weight)


def test_examples_that_are_too_long_are_counted_and_never_all() -> None:
    kept, words = fitting([encoded(5), encoded(9), encoded(12)], 8)
    assert [len(example.ids) for example in kept] == [5]
    assert words == "2 of 3 examples are longer than 8 tokens and left out; the longest has 12"
    assert fitting([encoded(5)], 8) == ([encoded(5)], "")
    with pytest.raises(UserError, match=r"none of 2 examples fits into 8 tokens, the shortest has 9"):
        fitting([encoded(9), encoded(12)], 8)


def test_a_task_gives_its_share_of_examples_always_the_same_ones() -> None:
    made = [Encoded(task, (at,), (True,)) for at in range(1000) for task in ("few", "none", "all")]
    kept = shared(made, {"few": 0.3, "none": 0}, 1)
    counts = Counter(example.task for example in kept)
    assert counts["all"] == 1000
    assert counts["none"] == 0
    assert 250 < counts["few"] < 350
    assert kept == shared(made, {"few": 0.3, "none": 0}, 1) != shared(made, {"few": 0.3, "none": 0}, 2)
    assert shared(made, {}, 1) == made
    with pytest.raises(UserError, match="shares name other, of which there is no example"):
        shared(made, {"other": 0.5}, 1)
    for wrong in (1.5, "0,5"):
        with pytest.raises(UserError, match="a share is a number between 0 and 1"):
            shared(made, {"few": wrong}, 1)  # type: ignore[dict-item]


def test_unpacked_every_example_has_a_row_to_itself() -> None:
    made = batches([encoded(3) for _ in range(5)], [16], 48, 0, Weights(), packed=False)
    assert sorted(len(step["input_ids"]) for step in made) == [2, 3]
    assert {len(row) for step in made for row in step["input_ids"]} == {3}


def test_models_that_take_no_notice_of_positions_are_found_out() -> None:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM, OPTConfig, OPTForCausalLM

    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "vocab_size": 64}
    llama = LlamaForCausalLM(LlamaConfig(**sizes, intermediate_size=16))
    assert keeps_apart(llama)
    assert keeps_apart(llama.to(torch.bfloat16))
    assert not keeps_apart(OPTForCausalLM(OPTConfig(**sizes, ffn_dim=16, word_embed_proj_dim=16, pad_token_id=1)))
