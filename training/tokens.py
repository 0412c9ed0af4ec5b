"""Tokens: examples as token ids in one compressed file, ready to be trained on without the tokenizer's work.

    python -m training.tokens --data FILE.jsonl... --model DIR --out DIR

writes FILE.npz for each, with the tokenizer of the model's folder. 40M tokens take about 40 MB, so that material can
be carried where the corpus is not. `training.sft` takes such a file wherever it takes examples; it belongs to the
tokenizer that made it, whose digest is inside.
"""

from __future__ import annotations

import argparse
import sys
import zlib
from array import array
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile

from synthesis.errors import UserError
from synthesis.storage import disk
from training.command import told
from training.data import Encoded
from training.examples import Example, encode, read
from training.rows import digest, rows

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

SUFFIX = ".npz"
CHUNK = 10_000
"""Examples that are encoded at once."""


def save(path: Path, examples: Sequence[Encoded], tokenizer: PreTrainedTokenizerBase) -> None:
    """Writes examples of fewer than 65,536 different ids whose loss covers their last tokens alone.

    Raises UserError for others: a conversation in which several messages are learned has no place here.
    """
    import numpy as np

    largest = max((max(example.ids) for example in examples), default=0)
    if largest > 0xFFFF:
        raise UserError(f"{path}: token {largest} does not fit 16 bits: use a tokenizer of at most 65,536 tokens")
    order = sorted(range(len(examples)), key=lambda at: examples[at].task)  # alike beside alike, which packs better
    chosen = [examples[at] for at in order]
    tasks, sources = (sorted({getattr(one, name) for one in chosen}) for name in ("task", "source"))
    with disk(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(
            path,
            ids=np.concatenate([np.asarray(one.ids, np.uint16) for one in chosen] or [np.zeros(0, np.uint16)]),
            lengths=np.array([len(one.ids) for one in chosen], np.int32),
            given=np.array([_given(one) for one in chosen], np.int32),
            places=np.array(order, np.int32),
            task=np.array([tasks.index(one.task) for one in chosen], np.uint8),
            source=np.array([sources.index(one.source) for one in chosen], np.uint8),
            weight=np.array([one.weight for one in chosen], np.float32),
            tasks=np.array(tasks),
            sources=np.array(sources),
            tokenizer=np.array(mark(tokenizer)),
        )


def _given(example: Encoded) -> int:
    """Tokens before the first that is learned. Raises UserError when one after it is not."""
    given = list(example.mask).index(True) if any(example.mask) else len(example.mask)
    if not all(example.mask[given:]):
        raise UserError(f"{example.where}: its loss covers several parts; only prompt and completion can be packed")
    return given


def load(path: Path, tokenizer: PreTrainedTokenizerBase) -> list[Encoded]:
    """The examples of a file in the order in which they were given, two bytes a token.

    Raises UserError for a file of another kind, and for one that another tokenizer made.
    """
    import numpy as np

    try:
        with np.load(path, allow_pickle=False) as stored:
            found = {name: stored[name] for name in stored.files}
            made_by = str(found["tokenizer"])
    except (OSError, EOFError, ValueError, KeyError, BadZipFile, zlib.error) as error:
        raise UserError(f"{path}: no file that training.tokens wrote: {error}; make it anew") from error
    if made_by != mark(tokenizer):
        raise UserError(f"{path}: its tokens are another tokenizer's; make it anew with this model's")
    made = list(_examples(found, path))
    return [made[at] for at in np.argsort(found["places"]).tolist()]


def _examples(found: dict[str, Any], path: Path) -> Iterator[Encoded]:
    ids = array("H", found["ids"].tobytes())
    tasks, sources = found["tasks"].tolist(), found["sources"].tolist()
    numbers = (found[name].tolist() for name in ("lengths", "given", "places", "task", "source", "weight"))
    start = 0
    for length, given, place, task, source, weight in zip(*numbers, strict=True):
        mask = bytes(given) + b"\1" * (length - given)
        where = f"{path.name}, example {place}"
        yield Encoded(tasks[task], ids[start : start + length], mask, given > 1, sources[source], weight, where)
        start += length


def mark(tokenizer: PreTrainedTokenizerBase) -> str:
    """The digest of a tokenizer's vocabulary and chat template."""
    vocabulary = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
    return digest([*(token for token, _ in vocabulary), str(tokenizer.chat_template)])


def encoded(path: Path, tokenizer: PreTrainedTokenizerBase) -> list[Encoded]:
    """The examples of a file of rows as tokens, a part at a time so that little memory is needed."""
    examples: Iterator[Example] = iter(read(rows(str(path))))
    made: list[Encoded] = []
    while part := list(islice(examples, CHUNK)):
        made += (_small(one) for one in encode(part, tokenizer))
    return made


def _small(one: Encoded) -> Encoded:
    return Encoded(one.task, array("H", one.ids), bytes(one.mask), one.prompted, one.source, one.weight, one.where)


def main() -> None:
    parser = argparse.ArgumentParser(description="Turn examples into tokens, once for all.")
    parser.add_argument(
        "--data", type=Path, nargs="+", required=True, help="examples, JSONL as training.sft takes them"
    )
    parser.add_argument("--model", type=Path, required=True, help="folder with the tokenizer")
    parser.add_argument("--out", type=Path, required=True, help="folder for the .npz files")
    given = parser.parse_args()
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(given.model)
    for path in given.data:
        examples, out = encoded(path, tokenizer), given.out / f"{path.name.removesuffix('.jsonl')}{SUFFIX}"
        save(out, examples, tokenizer)
        tokens = sum(len(example.ids) for example in examples)
        print(
            f"{out}: {len(examples):,} examples, {tokens:,} tokens, {out.stat().st_size / 2**20:.1f} MiB", flush=True
        )


if __name__ == "__main__":
    sys.exit(told(main))
