"""Packing: examples put into rows of fixed length, and rows into whole training steps.

Positions start again with each example of a row, from which transformers derives a mask that keeps them apart (with
SDPA or eager attention, on any device) for most models; `keeps_apart` tries it, because some take no notice.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from random import Random
from typing import TYPE_CHECKING, Any

from synthesis.errors import UserError
from training.data import IGNORED, Encoded

if TYPE_CHECKING:
    import torch
    from datasets import Dataset
    from transformers import PreTrainedModel


def keeps_apart(model: PreTrainedModel) -> bool:
    """Whether tokens that come after others in a row, at positions that start again, see nothing of those."""
    import torch

    if "position_ids" not in inspect.signature(model.forward).parameters:
        return False
    ids = torch.arange(3, 21, device=model.device) % min(model.config.vocab_size, 1000)
    rows = torch.stack([torch.cat([ids[:6], ids[12:]]), torch.cat([ids[6:12], ids[12:]])])  # what comes first differs
    positions = torch.arange(6, device=model.device).repeat(2).expand(2, 12)
    training = model.training
    model.eval()
    with torch.no_grad():
        one, other = model(rows, position_ids=positions, use_cache=False).logits[:, 6:].float()
    model.train(training)
    return bool((one - other).abs().max() <= 1e-5 * one.abs().max())


def pack(sizes: Mapping[int, int], length: int, rng: Random) -> list[list[int]]:
    """Rows of at most `length` tokens, best fit decreasing within random groups of 4,096 examples.

    `sizes`: tokens by example. Every example is in exactly one row. Raises UserError for one longer than `length`.
    """
    order = list(sizes)
    rng.shuffle(order)
    rows: list[list[int]] = []
    for start in range(0, len(order), 4096):
        open_rows: dict[int, list[list[int]]] = {}  # by room left
        for example in sorted(order[start : start + 4096], key=lambda example: -sizes[example]):
            size = sizes[example]
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
    examples: Sequence[Encoded],
    lengths: Sequence[int],
    tokens: int,
    seed: int,
    weights: Mapping[str, float],
    *,
    packed: bool = True,
) -> Dataset:
    """Whole training steps of about `tokens` tokens: each holds rows of one of `lengths`, in random order.

    Short examples go into short rows, where attention costs less; not `packed`, each has a row to itself. `weights`:
    by task, how much a covered token counts, 1 for tasks not named; this times the example's own weight is scaled to
    a mean of 1 over all covered tokens. Columns: length, and by row, without padding,
    input_ids, labels, position_ids and weights.
    """
    from datasets import Dataset, Features, List, Value

    rng = Random(seed)
    made: list[tuple[int, list[list[int]]]] = []
    lower = 0
    counts = [(sum(example.mask), weights.get(example.task, 1.0) * example.weight) for example in examples]
    mean = sum(count * weight for count, weight in counts) / max(1, sum(count for count, _ in counts))
    for length in sorted(lengths):
        sizes = {at: len(one.ids) for at, one in enumerate(examples) if lower < len(one.ids) <= length}
        rows = pack(sizes, length, rng) if packed else [[at] for at in sizes]
        rng.shuffle(rows)
        size = max(1, tokens // length)
        made += [(length, rows[at : at + size]) for at in range(0, len(rows), size)]
        lower = length
    rng.shuffle(made)

    def assembled(chosen: Mapping[str, Sequence[Any]]) -> dict[str, list[Any]]:
        """The tokens of some batches, put together when they are wanted: all at once they would take gigabytes."""
        pairs = zip(chosen["length"], chosen["rows"], strict=True)
        batch = [
            _batch([[examples[at] for at in row] for row in rows], length, weights, mean) for length, rows in pairs
        ]
        return {name: [one[name] for one in batch] for name in ("length", *FIELDS)}

    columns = {"length": Value("int32"), "rows": List(List(Value("int32")))}
    plan = {"length": [length for length, _ in made], "rows": [rows for _, rows in made]}
    return Dataset.from_dict(plan, features=Features(columns)).with_transform(assembled)


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
        "weights": [[weights.get(e.task, 1.0) * e.weight / mean for e in row for _ in e.ids] for row in rows],
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
