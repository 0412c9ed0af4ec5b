"""Examples read, tokenised, checked and packed.

An example is a row with `prompt` and `completion`, both lists of chat messages; the loss covers what the chat
template marks as generated. Packing puts several examples into a row of fixed length; positions start again with each
example, from which transformers derives a mask that keeps them apart (with SDPA or eager attention, on any device).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

from synthesis.errors import UserError
from synthesis.storage import read_jsonl

if TYPE_CHECKING:
    import torch
    from datasets import Dataset
    from transformers import PreTrainedTokenizerBase

IGNORED = -100


@dataclass(frozen=True, slots=True)
class Encoded:
    """Token ids of one example and, as long, True where the loss counts; `prompted`: it has tokens before those."""

    task: str
    ids: tuple[int, ...]
    mask: tuple[bool, ...]
    prompted: bool = True
    source: str = ""


@dataclass(frozen=True, slots=True)
class MaskReport:
    """What the loss covers: `covered` of `tokens` in `examples`, and one example with the covered part marked."""

    examples: int
    tokens: int
    covered: int
    sample: str

    def __str__(self) -> str:
        share = self.covered / self.tokens if self.tokens else 0.0
        head = f"loss covers {self.covered:,} of {self.tokens:,} tokens ({share:.1%}) in {self.examples:,} examples"
        return f"{head}; for example, covered part in >>> <<<:\n{self.sample}"


def read_examples(path: Path) -> list[dict[str, Any]]:
    """Rows of a JSONL file. Raises UserError with the line for anything that is not a prompt and a completion."""
    if not path.is_file():
        raise UserError(f"{path} is not a file of examples; make one with python -m training.embedded_data")
    rows = []
    for where, row in read_jsonl(path, "examples"):
        if not isinstance(row, dict) or not {"prompt", "completion"} <= row.keys():
            raise UserError(f"{where}: expected an object with prompt and completion, got {str(row)[:60]!r}")
        rows.append(row)
    return rows


def encode(rows: Sequence[dict[str, Any]], tokenizer: PreTrainedTokenizerBase, longest: int) -> list[Encoded]:
    """Token ids and loss mask of each example by the tokenizer's chat template; those above `longest` are left out."""
    encoded = []
    for row in rows:
        tokens = tokenizer.apply_chat_template(
            [*row["prompt"], *row["completion"]], return_dict=True, return_assistant_tokens_mask=True
        )
        mask = tuple(bool(covered) for covered in tokens["assistant_masks"])
        if len(mask) <= longest:
            ids = tuple(tokens["input_ids"])
            encoded.append(Encoded(row.get("task", ""), ids, mask, bool(row["prompt"]), row.get("source", "")))
    return encoded


def mask_report(examples: Sequence[Encoded], tokenizer: PreTrainedTokenizerBase) -> MaskReport:
    """What the loss covers. Raises UserError for a mask that covers nothing, or a prompt from end to end."""
    for number, example in enumerate(examples):
        if not any(example.mask):
            raise UserError(
                f"the loss mask of example {number} covers none of its {len(example.ids)} tokens; does the chat "
                "template mark the assistant's message with {% generation %}, and is its completion not empty?"
            )
        if example.prompted and all(example.mask[1:]):
            raise UserError(
                f"the loss mask of example {number} covers all of its {len(example.ids)} tokens although it has a "
                "prompt; the chat template's {% generation %} must stand around the assistant's message only"
            )
    if not examples:
        raise UserError("no examples to train on: the file is empty or every example is longer than the context")
    tokens = sum(len(example.ids) for example in examples)
    covered = sum(sum(example.mask) for example in examples)
    return MaskReport(len(examples), tokens, covered, _marked(examples[0], tokenizer))


def _marked(example: Encoded, tokenizer: PreTrainedTokenizerBase) -> str:
    """The example as text with >>> and <<< around what the loss covers."""
    text, before = "", False
    cuts = [at for at in range(1, len(example.ids)) if example.mask[at] != example.mask[at - 1]]
    for start, end in zip([0, *cuts], [*cuts, len(example.ids)], strict=True):
        before = example.mask[start]
        piece = str(tokenizer.decode(example.ids[start:end]))
        text += f">>>{piece}<<<" if before else piece
    return text


def pack(examples: Sequence[Encoded], length: int, rng: Random) -> list[list[Encoded]]:
    """Rows of at most `length` tokens, best fit decreasing within random groups of 4,096 examples.

    Every example is in exactly one row. Raises UserError for one that is longer than `length`.
    """
    order = list(examples)
    rng.shuffle(order)
    rows: list[list[Encoded]] = []
    for start in range(0, len(order), 4096):
        open_rows: dict[int, list[list[Encoded]]] = {}  # by room left
        for example in sorted(order[start : start + 4096], key=lambda example: -len(example.ids)):
            size = len(example.ids)
            if size > length:
                raise UserError(
                    f"an example of {size} tokens does not fit a row of {length}: leave it out or raise it"
                )
            room = min((room for room, held in open_rows.items() if room >= size and held), default=0)
            row = open_rows[room].pop() if room else []
            row.append(example)
            open_rows.setdefault((room or length) - size, []).append(row)
        rows += [row for held in open_rows.values() for row in held]
    return rows


def batches(
    examples: Sequence[Encoded], lengths: Sequence[int], tokens: int, seed: int, weights: Mapping[str, float]
) -> Dataset:
    """Whole training steps of about `tokens` tokens: each holds rows of one of `lengths`, in random order.

    Short examples go into short rows, where attention costs less. `weights`: by task, how much a covered token counts,
    1 for tasks not named; scaled to a mean of 1 over all covered tokens. Columns: length, and by row, without padding,
    input_ids, labels, position_ids and weights.
    """
    from datasets import Dataset, Features, List, Value

    rng = Random(seed)
    made = []
    lower = 0
    counts = [(sum(example.mask), weights.get(example.task, 1.0)) for example in examples]
    mean = sum(count * weight for count, weight in counts) / max(1, sum(count for count, _ in counts))
    for length in sorted(lengths):
        fitting = [example for example in examples if lower < len(example.ids) <= length]
        rows = pack(fitting, length, rng)
        rng.shuffle(rows)
        size = max(1, tokens // length)
        made += [_batch(rows[at : at + size], length, weights, mean) for at in range(0, len(rows), size)]
        lower = length
    rng.shuffle(made)
    whole, parts = List(List(Value("int32"))), List(List(Value("float32")))
    columns = {name: parts if name == "weights" else whole for name in FIELDS}
    return Dataset.from_list(made, features=Features({"length": Value("int32"), **columns}))


FIELDS = ("input_ids", "labels", "position_ids", "weights")


def _batch(
    rows: Sequence[Sequence[Encoded]], length: int, weights: Mapping[str, float], mean: float
) -> dict[str, Any]:
    labels = [[one if on else IGNORED for e in row for one, on in zip(e.ids, e.mask, strict=True)] for row in rows]
    return {
        "length": length,
        "input_ids": [[one for e in row for one in e.ids] for row in rows],
        "labels": labels,
        "position_ids": [[at for e in row for at in range(len(e.ids))] for row in rows],
        "weights": [[weights.get(e.task, 1.0) / mean for e in row for _ in e.ids] for row in rows],
    }


def collate(items: Sequence[dict[str, Any]], pad: int) -> dict[str, torch.Tensor]:
    """Tensors of FIELDS, each (rows, length); padding is a document of its own."""
    import torch

    length = max(item["length"] for item in items)
    columns: dict[str, list[list[float]]] = {name: [] for name in FIELDS}
    for item in items:
        for ids, labels, positions, weights in zip(*(item[name] for name in FIELDS), strict=True):
            rest = length - len(ids)
            columns["input_ids"].append(ids + [pad] * rest)
            columns["labels"].append(labels + [IGNORED] * rest)
            columns["position_ids"].append(positions + list(range(rest)))
            columns["weights"].append(weights + [0.0] * rest)
    return {name: torch.tensor(values) for name, values in columns.items()}
