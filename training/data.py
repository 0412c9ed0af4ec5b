"""Examples as a model gets them: token ids and what the loss covers of them, checked before anything is trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

from synthesis.errors import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

IGNORED = -100


@dataclass(frozen=True, slots=True)
class Encoded:
    """Token ids of one example and, as long, true or 1 where the loss counts; `prompted`: it has tokens before those.

    `weight`: how much its tokens count; `where`: its place in the data.
    """

    task: str
    ids: Sequence[int]
    mask: Sequence[int]
    prompted: bool = True
    source: str = ""
    weight: float = 1.0
    where: str = ""


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


def fitting(examples: Sequence[Encoded], longest: int) -> tuple[list[Encoded], str]:
    """The examples of at most `longest` tokens, and in words how many are longer; no words when none is.

    Raises UserError when none is left.
    """
    kept = [example for example in examples if len(example.ids) <= longest]
    sizes = [len(example.ids) for example in examples if len(example.ids) > longest]
    if sizes and not kept:
        raise UserError(
            f"none of {len(sizes)} examples fits into {longest} tokens, the shortest has {min(sizes)}: raise "
            "--row_lengths if the model's context allows it, or shorten the examples"
        )
    left_out = f"{len(sizes)} of {len(examples)} examples are longer than {longest} tokens and left out; "
    return kept, f"{left_out}the longest has {max(sizes)}" if sizes else ""


def shared(examples: Sequence[Encoded], shares: Mapping[str, float], seed: int) -> list[Encoded]:
    """Of each task about its share of the examples, drawn by the seed; all of those that are not named.

    Raises UserError for a task that no example has, and for a share that is none.
    """
    unknown = sorted(shares.keys() - {example.task for example in examples})
    if unknown:
        raise UserError(f"shares name {', '.join(unknown)}, of which there is no example")
    wrong = {
        task: share for task, share in shares.items() if not (isinstance(share, (int, float)) and 0 <= share <= 1)
    }
    if wrong:
        raise UserError(f"shares: {wrong}: a share is a number between 0 and 1")
    rng = Random(seed)
    return [example for example in examples if rng.random() < shares.get(example.task, 1.0)]


def mask_report(examples: Sequence[Encoded], tokenizer: PreTrainedTokenizerBase) -> MaskReport:
    """What the loss covers. Raises UserError for a mask that covers nothing, or a prompt from end to end."""
    for number, example in enumerate(examples):
        where = example.where or f"example {number}"
        if not any(example.mask):
            raise UserError(
                f"the loss mask of {where} covers none of its {len(example.ids)} tokens; does the chat "
                "template mark the assistant's message with {% generation %}, and is its completion not empty?"
            )
        if example.prompted and all(example.mask[1:]):
            raise UserError(
                f"the loss mask of {where} covers all of its {len(example.ids)} tokens although it has a "
                "prompt; the chat template's {% generation %} must stand around the assistant's message only"
            )
    if not examples:
        raise UserError("no examples to train on: give data with at least one")
    tokens = sum(len(example.ids) for example in examples)
    covered = sum(sum(example.mask) for example in examples)
    return MaskReport(len(examples), tokens, covered, _marked(examples[0], tokenizer))


def _marked(example: Encoded, tokenizer: PreTrainedTokenizerBase) -> str:
    """The example as text with >>> and <<< around what the loss covers."""
    text, before = "", False
    cuts = [at for at in range(1, len(example.ids)) if example.mask[at] != example.mask[at - 1]]
    for start, end in zip([0, *cuts], [*cuts, len(example.ids)], strict=True):
        before = bool(example.mask[start])
        piece = str(tokenizer.decode(list(example.ids[start:end])))
        text += f">>>{piece}<<<" if before else piece
    return text
