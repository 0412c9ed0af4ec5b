"""Models and predictions measured on questions about documents; what is refused, cut, missing and compared."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from synthesis.dialogue import Dialogue, Turn, to_json
from synthesis.errors import UserError
from synthesis.grounded.answers import NO_ANSWER, SYSTEM, USER
from tests.small_training import PEFT
from tests.tiny_model import make_tiny_model
from tests.tiny_seq2seq import make_tiny_seq2seq, write
from training import evaluate
from training.answering import Asked, Form, Reader, load, seconds, until
from training.conversations import read

pytestmark = pytest.mark.usefixtures("one_thread")

DOCUMENT = "The mill on Sand Hill was built in 1790 by Ann Lee. A fire took its roof in 1812. Swifts nest there."


def talk(name: str, *pairs: tuple[str, ...], document: str = DOCUMENT) -> Dialogue:
    turns = [
        turn
        for asked, answer, *more in pairs
        for turn in (Turn(USER, asked), Turn(SYSTEM, answer, references=tuple(more)))
    ]
    return Dialogue(name, tuple(turns), topic="The mill", document=document)


TALKS = (
    talk(
        "a", ("Who built it?", "Ann Lee", "by Ann Lee"), ("When?", "in 1790", "1790"), ("Why?", NO_ANSWER, NO_ANSWER)
    ),
    talk("b", ("What burnt?", "its roof", "the roof"), ("What nests there?", "Swifts", "Swifts nest there")),
    talk("c", ("How tall is it?", NO_ANSWER, "tall"), ("Where is it?", "Sand Hill", "purple")),
)
RIGHT = [(one.id, at, one.turns[at].text) for one in TALKS for at in range(1, len(one.turns), 2)]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    t5 = make_tiny_seq2seq(folder / "t5", "t5")
    return {"causal": make_tiny_model(folder / "causal"), "t5": t5}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write(tmp_path / "talks.jsonl", [to_json(one) for one in TALKS])


def answers(path: Path, *rows: tuple[Any, Any, Any]) -> Path:
    return write(path, [{"id": name, "turn": at, "answer": answer} for name, at, answer in rows])


def run(data: Path, out: Path, *more: str) -> dict[str, Any]:
    evaluate.main(["qa", "--data", str(data), "--out", str(out), *more])
    result: dict[str, Any] = json.loads((out / "result.json").read_text())
    return result


def rows(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "predictions.jsonl").read_text().splitlines()]


# Answers from elsewhere


def test_answers_of_a_file_by_hand(tmp_path: Path, data: Path) -> None:
    given = {(name, at): text for name, at, text in RIGHT} | {("a", 3): "1812", ("b", 3): "Swifts nest there"}
    pred = answers(tmp_path / "pred.jsonl", *((*key, text) for key, text in given.items()))
    result = run(data, tmp_path / "out", "--pred", str(pred), "--rules", "quac")
    # Of two references each is left out once: "Ann Lee" has 1 with one and 4/5 with the other, so .9; "its roof" 1 and
    # 2/3; "Swifts nest there" 1/2 and 1. On "Sand Hill" and "purple" people disagree: it does not count.
    assert result["scores"]["f1"] == pytest.approx((0.9 + 0 + 1 + 5 / 6 + 3 / 4 + 1) / 6)
    assert result["scores"]["unanswerable"] == 1
    assert result["scores"]["heq_q"] == pytest.approx(5 / 6)
    assert result["scores"]["heq_d"] == pytest.approx(2 / 3)
    assert result["counts"] == {
        "dialogues": 3, "questions": 7, "counted": 6, "left_out": 1, "unanswerable": 2,
        "documents_cut": 0, "too_long": 0, "missing": 0,
    }  # fmt: skip
    assert result["test"]["examples"] == 7
    low, high = (result["intervals"]["f1"][end] for end in ("low", "high"))
    assert low <= result["scores"]["f1"] <= high
    told = rows(tmp_path / "out")
    assert [(row["id"], row["turn"], row["answer"]) for row in told] == [(*key, text) for key, text in given.items()]
    assert told[6]["counted"] is False
    assert told[0]["references"] == ["Ann Lee", "by Ann Lee"]


def test_missing_answers_are_wrong_even_where_an_empty_one_is_right(
    tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pred = answers(tmp_path / "pred.jsonl", *(row for row in RIGHT if row[:2] not in {("a", 5), ("b", 1)}))
    result = run(data, tmp_path / "out", "--pred", str(pred), "--rules", "squad")
    # of seven right answers two are missing; "tall" is a reference to "How tall is it?", so that saying none is wrong
    assert result["scores"]["em"] == pytest.approx(4 / 7)
    assert result["counts"]["missing"] == 2
    assert "2 questions have no answer, which counts as wrong" in capsys.readouterr().out
    assert [row["id"] for row in rows(tmp_path / "out") if row.get("note") == "missing"] == ["a", "b"]
    assert rows(tmp_path / "out")[2]["answer"] is None


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (("a", 1, "Bo"), r"pred\.jsonl:8: a second answer to turn 1 of 'a'"),
        (("a", 2, "Bo"), "no question of the conversations has the id 'a' and its answer in turn 2"),
        (("z", 1, "Bo"), "the id 'z'"),
        (("a", "1", "Bo"), "expected an object with id, turn"),
        (("a", 1, 7), "expected an object with id, turn"),
    ],
)
def test_predictions_that_do_not_fit_are_refused(tmp_path: Path, data: Path, row: Any, words: str) -> None:
    pred = answers(tmp_path / "pred.jsonl", *RIGHT, row)
    with pytest.raises(UserError, match=words):
        run(data, tmp_path / "out", "--pred", str(pred), "--rules", "coqa")
    assert not (tmp_path / "out" / "result.json").exists()


def test_a_result_is_compared_with_another_in_pairs(tmp_path: Path, data: Path) -> None:
    pred = answers(tmp_path / "pred.jsonl", *RIGHT)
    worse = answers(tmp_path / "worse.jsonl", *((name, at, "purple") for name, at, _ in RIGHT))
    run(data, tmp_path / "worse", "--pred", str(worse), "--rules", "coqa")
    ours = run(data, tmp_path / "out", "--pred", str(pred), "--rules", "coqa", "--against", str(tmp_path / "worse"))
    gap = ours["against"]["differences"]["f1"]
    assert gap["value"] == pytest.approx(ours["scores"]["f1"] - ours["against"]["scores"]["f1"])
    assert gap["low"] > 0
    same = run(data, tmp_path / "same", "--pred", str(pred), "--rules", "coqa", "--against", str(tmp_path / "out"))
    assert same["against"]["differences"]["em"] == {"value": 0, "low": 0, "high": 0, "p": 1}
    with pytest.raises(UserError, match="by the same rules: rules coqa there, quac here"):
        run(data, tmp_path / "x", "--pred", str(pred), "--rules", "quac", "--against", str(tmp_path / "out"))
    with pytest.raises(UserError, match="not a result on the same questions"):
        run(data, tmp_path / "x", "--pred", str(pred), "--rules", "coqa", "--against", str(tmp_path / "out"),
            "--examples", "2")  # fmt: skip


def test_fewer_conversations_can_be_drawn_but_not_more(tmp_path: Path, data: Path) -> None:
    pred = answers(tmp_path / "pred.jsonl", *RIGHT)
    more = ("--pred", str(pred), "--rules", "coqa", "--examples")
    one, other = (run(data, tmp_path / "out", *more, "2", "--seed", "5")["test"] for _ in range(2))
    assert one == other
    with pytest.raises(UserError, match="asked for 4 conversations"):
        run(data, tmp_path / "out", *more, "4")


# Models


def test_a_causal_student_answers_the_same_alone_and_in_a_batch(
    tmp_path: Path, data: Path, models: dict[str, Path]
) -> None:
    more = ("--model", str(models["causal"]), "--rules", "squad", "--max-new-tokens", "8", "--latency-questions", "0")
    one = run(data, tmp_path / "one", *more, "--batch", "1")
    many = run(data, tmp_path / "many", *more, "--batch", "4")
    assert [row["answer"] for row in rows(tmp_path / "one")] == [row["answer"] for row in rows(tmp_path / "many")]
    assert one["scores"] == many["scores"]
    assert one["settings"] == {
        "rules": "squad", "form": "student", "window": 3, "history": "gold", "decoding": "greedy",
        "max_source_length": 504, "max_new_tokens": 8, "dtype": "float32",
    }  # fmt: skip
    assert one["parameters"] > 10_000
    assert one["latency"] is None


def test_a_teacher_answers_and_is_timed(tmp_path: Path, data: Path, models: dict[str, Path]) -> None:
    more = ("--model", str(models["causal"]), "--form", "teacher", "--rules", "quac", "--max-new-tokens", "4")
    result = run(data, tmp_path / "out", *more, "--latency-questions", "3")
    assert result["latency"]["questions"] == 3
    assert 0 < result["latency"]["median_seconds"] <= result["latency"]["p90_seconds"]
    assert result["latency"]["hardware"] == "1 CPU threads"


def test_an_encoder_decoder_is_a_student_and_no_teacher(tmp_path: Path, data: Path, models: dict[str, Path]) -> None:
    more = ("--model", str(models["t5"]), "--rules", "coqa", "--max-new-tokens", "5", "--latency-questions", "1")
    result = run(data, tmp_path / "out", *more)
    assert result["counts"]["questions"] == 7
    with pytest.raises(UserError, match="is an encoder-decoder, --form teacher"):
        run(data, tmp_path / "out", *more, "--form", "teacher")


def test_greedy_search_takes_the_likeliest_token_every_time(models: dict[str, Path]) -> None:
    import torch

    reader = load(str(models["causal"]), 400, 6)
    ids = list(reader.tokenizer("Where is it?")["input_ids"])
    for _ in range(6):
        with torch.no_grad():
            ids.append(int(reader.model(torch.tensor([ids])).logits[0, -1].argmax()))
    wanted = reader.tokenizer.decode(ids[-6:], skip_special_tokens=True)
    assert reader.write(["Where is it?"], (), 1) == [wanted]
    stop = wanted[2]
    assert reader.write(["Where is it?"], (stop,), 1) == [wanted[: wanted.index(stop)]]


def test_generation_stops_when_every_answer_has_ended(models: dict[str, Path]) -> None:
    reader = load(str(models["causal"]), 400, 40)
    (free,) = reader.write(["Where is it?"], (), 1)
    calls = []
    handle = reader.model.register_forward_hook(lambda *_: calls.append(1))
    reader.write(["Where is it?"], (free[1],), 1)
    handle.remove()
    assert len(calls) < 10


def test_a_document_is_cut_and_a_question_without_room_is_wrong(
    tmp_path: Path, models: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    long = talk("a", ("Who built it?", "Ann Lee"), document=DOCUMENT + " Nothing else is known of it." * 60)
    endless = talk("b", ("Who " * 600 + "built it?", "Ann Lee"))
    data = write(tmp_path / "talks.jsonl", [to_json(one) for one in (long, endless)])
    more = ("--model", str(models["causal"]), "--rules", "squad", "--max-new-tokens", "4", "--latency-questions", "1")
    result = run(data, tmp_path / "out", *more, "--max-source-length", "200")
    assert result["counts"]["documents_cut"] == 1
    assert result["counts"]["too_long"] == 1
    assert [row.get("note") for row in rows(tmp_path / "out")] == ["cut", "too long"]
    assert "1 questions were too long, which counts as wrong" in capsys.readouterr().out


def test_forms_put_the_question_with_its_own_history() -> None:
    one = TALKS[0]
    teacher = Form("teacher").put(one, 3, lambda text: True)
    assert teacher == Asked(
        f"Title: The mill\nDocument: {DOCUMENT}\n\nUser: Who built it?\nSystem: Ann Lee\nUser: When?\nSystem:"
    )
    student = Form("student", line=True).put(one, 3, lambda text: True)
    assert student.text == f"when? \\n q: who built it? a: ann lee \\n (the mill) {DOCUMENT.lower()}\n"
    assert Form("student").put(one, 3, lambda text: True).text == (student.text or "").removesuffix("\n")


def test_a_teacher_loses_the_end_of_a_document_and_a_student_what_is_not_asked_about() -> None:
    one = TALKS[1]
    teacher = Form("teacher").put(one, 3, lambda text: len(text) < 190)
    assert teacher.cut
    assert "built in 1790" in (teacher.text or "")
    assert "nest there." not in (teacher.text or "")
    student = Form("student").put(one, 3, lambda text: len(text) < 120)
    assert student == Asked(
        "what nests there? \\n q: what burnt? a: its roof \\n (the mill) a fire took its roof in 1812. "
        "swifts nest there.",
        cut=True,
    )
    assert Form("student").put(one, 3, lambda text: False) == Asked(None, cut=True)


@PEFT
def test_an_adapter_comes_with_its_base(tmp_path: Path, models: dict[str, Path]) -> None:
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    base = AutoModelForCausalLM.from_pretrained(models["causal"], dtype=torch.float32)
    torch.manual_seed(1)
    adapted = get_peft_model(base, LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False))
    adapted.save_pretrained(tmp_path / "adapter")
    ids = torch.tensor([[5, 9, 11, 20]])
    with torch.no_grad():
        wanted = adapted.eval()(ids).logits
    reader = load(str(tmp_path / "adapter"), 100, 4)
    with torch.no_grad():
        found = reader.model(ids).logits
    assert torch.allclose(found, wanted, atol=1e-4)
    plain = load(str(models["causal"]), 100, 4)
    with torch.no_grad():
        assert not torch.allclose(plain.model(ids).logits, wanted, atol=1e-2)


def test_models_that_cannot_answer_are_refused(tmp_path: Path, models: dict[str, Path]) -> None:
    with pytest.raises(UserError, match="cannot be loaded"):
        load(str(tmp_path / "none"), 100, 4)
    with pytest.raises(UserError, match="has positions for 512 tokens, an answer may have 600"):
        load(str(models["causal"]), 100, 600)


def test_seconds_skip_what_was_not_asked(models: dict[str, Path]) -> None:
    reader: Reader = load(str(models["causal"]), 100, 2)
    taken = seconds(reader, Form("student"), [Asked(None), Asked("a"), Asked("b"), Asked("c")], 2)
    assert len(taken) == 2


def test_an_answer_ends_at_the_first_stop() -> None:
    assert until(" Ann\nUser: Who", ("\n", "User:")) == " Ann"
    assert until("Ann User: Who\n", ("\n", "User:")) == "Ann "
    assert until("Ann", ("\n",)) == "Ann"


def test_conversations_are_read_as_they_were_written(data: Path) -> None:
    assert [(one.id, one.turns, one.document) for one in read(str(data))] == [
        (one.id, one.turns, one.document) for one in TALKS
    ]
