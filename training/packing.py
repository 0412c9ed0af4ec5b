"""Packing: examples put into rows of fixed length, and rows into whole training steps.

Positions start again with each example of a row, from which transformers derives a mask that keeps them apart (with
SDPA or eager attention, on any device) for most models; `keeps_apart` tries it, because some take no notice.
"""

from __future__ import annotations

import inspect
from bisect import bisect_left, insort
from collections.abc import Mapping, Sequence
from itertools import pairwise
from random import Random
from typing import TYPE_CHECKING, Any

from synthesis.errors import UserError
from training.data import IGNORED, Encoded
from training.weights import Weights

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


GROUP = 4096
"""Examples among which a row's are chosen."""


def pack(
    sizes: Mapping[int, int], length: int, rng: Random, fillers: Mapping[int, int] | None = None
) -> list[list[int]]:
    """Rows of at most `length` tokens, best fit decreasing within random groups of GROUP examples.

    `sizes`: tokens by example; every one is in exactly one row. `fillers`: others, which are put where there is room,
    but open no row. Raises UserError for an example longer than `length`.
    """
    fillers = fillers or {}
    longest = max(sizes.values(), default=0)
    if longest > length:
        raise UserError(f"an example of {longest} tokens does not fit a row of {length}: leave it out or raise it")
    order, more = list(sizes), list(fillers)
    rng.shuffle(order)
    rng.shuffle(more)
    starts = range(0, len(order), GROUP)
    share = -(-len(more) // max(1, len(starts)))
    rows: list[list[int]] = []
    for number, start in enumerate(starts):
        rooms: list[tuple[int, int]] = []  # what is left of each row of the group, and its number, in order
        wanted = sorted(order[start : start + GROUP], key=lambda example: -sizes[example])
        extra = sorted(more[number * share : (number + 1) * share], key=lambda example: -fillers[example])
        for example in (*wanted, *extra):
            size = sizes.get(example) or fillers[example]
            at = bisect_left(rooms, (size, 0))
            if at < len(rooms):
                room, row = rooms.pop(at)
            elif example in sizes:
                room, row = length, len(rows)
                rows.append([])
            else:
                continue
            rows[row].append(example)
            insort(rooms, (room - size, row))
    return rows


def batches(
    examples: Sequence[Encoded],
    lengths: Sequence[int],
    tokens: int,
    seed: int,
    weights: Weights,
    *,
    packed: bool = True,
    processes: int = 1,
) -> Dataset:
    """Batches of about `tokens` tokens: each holds rows of one of `lengths`, in random order.

    Short examples go into short rows, where attention costs less, or into what is left of longer ones; not `packed`,
    each has a row to itself. `weights` are scaled to a mean of 1 over all tokens that count. So many `processes` as
    take a step together take batches that follow each other: those have rows of one length, or the others would wait
    for the one with the longest. Columns: length, and by row, without padding, input_ids, labels, position_ids and
    weights. Raises UserError for weights that fit no example.
    """
    from datasets import Dataset, Features, List, Value

    rng = Random(seed)
    groups: list[list[tuple[int, list[list[int]]]]] = []
    left = {at: len(one.ids) for at, one in enumerate(examples) if len(one.ids) <= max(lengths)}
    counted = weights.scaled(examples)
    for length, shorter in pairwise([*sorted(lengths, reverse=True), 0]):
        sizes = {at: size for at, size in left.items() if size > shorter}
        others = {at: size for at, size in left.items() if size <= shorter}
        rows = pack(sizes, length, rng, others) if packed else [[at] for at in sizes]
        taken_in = {at for row in rows for at in row}
        left = {at: size for at, size in others.items() if at not in taken_in}
        rng.shuffle(rows)
        size = max(1, tokens // length)
        taken = [(length, rows[at : at + size]) for at in range(0, len(rows), size)]
        groups += [taken[at : at + processes] for at in range(0, len(taken), processes)]
    rng.shuffle(groups)
    groups.sort(key=len, reverse=True)  # whole ones first: after an incomplete one no step would have one length
    made = [batch for group in groups for batch in group]

    def assembled(chosen: Mapping[str, Sequence[Any]]) -> dict[str, list[Any]]:
        """The tokens of some batches, put together when they are wanted: all at once they would take gigabytes."""
        pairs = zip(chosen["length"], chosen["rows"], strict=True)
        batch = [_batch([[examples[at] for at in row] for row in rows], length, counted) for length, rows in pairs]
        return {name: [one[name] for one in batch] for name in ("length", *FIELDS)}

    columns = {"length": Value("int32"), "rows": List(List(Value("int32")))}
    plan = {"length": [length for length, _ in made], "rows": [rows for _, rows in made]}
    return Dataset.from_dict(plan, features=Features(columns)).with_transform(assembled)


FIELDS = ("input_ids", "labels", "position_ids", "weights")


def _batch(rows: Sequence[Sequence[Encoded]], length: int, counted: Weights) -> dict[str, Any]:
    return {
        "length": length,
        "input_ids": [[one for e in row for one in e.ids] for row in rows],
        "labels": [[one for e in row for one in counted.labels(e)] for row in rows],
        "position_ids": [[at for e in row for at in range(len(e.ids))] for row in rows],
        "weights": [[one for e in row for one in counted.by_token(e)] for row in rows],
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
