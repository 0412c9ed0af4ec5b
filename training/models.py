"""Models from scratch: a small Llama and its own byte-level BPE tokenizer with a chat template.

`python -m training.models --data FILE.jsonl --out DIR` trains the tokenizer on the examples and writes it with a
freshly initialised model, so that `training.sft` starts from a folder whatever the model's origin.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from synthesis.errors import UserError
from synthesis.reading import USERS
from synthesis.storage import write_json
from training.command import told
from training.examples import read
from training.induction import build_in
from training.rows import rows

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

BOS, EOS, PAD = "<s>", "</s>", "<pad>"
SYSTEM, USER, ASSISTANT = "<|system|>", "<|user|>", "<|assistant|>"
UNTRAINED = "untrained.json"
"""Stands beside a model whose weights are random: what is trained from it has no base."""

SPECIAL = (PAD, BOS, EOS, SYSTEM, USER, ASSISTANT)

# Only an assistant's message ends with </s>: the role marks tell where the others end. The generation marks say which
# tokens the loss covers.
CHAT_TEMPLATE = (
    "{{- bos_token }}"
    "{%- for message in messages %}"
    "{%- if message['role'] not in ['system', 'user', 'assistant'] %}"
    "{{- raise_exception('roles are system, user and assistant, not ' + message['role']) }}"
    "{%- endif %}"
    "{{- '<|' + message['role'] + '|>' }}"
    "{%- if message['role'] == 'assistant' %}"
    "{% generation %}{{- message['content'] + eos_token }}{% endgeneration %}"
    "{%- else %}{{- message['content'] }}{%- endif %}"
    "{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|assistant|>' }}{%- endif %}"
)


@dataclass(frozen=True, slots=True)
class Shape:
    """Sizes of a Llama; the defaults are those of the first embedded model.

    `theta`: the rotary base. `kv_heads` None: as many as heads; `head_dim` None: the heads share the hidden size.
    """

    vocabulary: int = 4096
    hidden: int = 256
    layers: int = 6
    heads: int = 4
    intermediate: int = 704
    context: int = 1024
    theta: float = 1e4
    kv_heads: int | None = None
    head_dim: int | None = None


SIZES = {
    "small": Shape(8192, 320, 7, 4, 864, 1024, 1e6, kv_heads=2, head_dim=64),
    "large": Shape(8192, 512, 7, 8, 1280, 1024, 1e6, kv_heads=2, head_dim=64),
}
"""The embedded model's: 12.8M parameters for CPUs, 26.7M for one GPU.

Few keys and values: reading them is most of a step of the server. Slow rotation: the circuit for copying keeps in it
which token it looks for."""


LABELS = tuple(f"{user}:" for user in USERS)


def train_tokenizer(texts: Iterable[str], vocabulary: int, context: int) -> PreTrainedTokenizerFast:
    """A byte-level BPE with digits apart, special tokens first, speakers' labels whole, and the chat template.

    A label is said at every turn: as one token it is short, and what a user says next stands right behind it.
    """
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary - len(LABELS),
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator((_unlabelled(text) for text in texts), trainer)
    tokenizer.add_tokens([AddedToken(label, normalized=False) for label in LABELS])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=BOS,
        eos_token=EOS,
        pad_token=PAD,
        additional_special_tokens=[SYSTEM, USER, ASSISTANT],
        chat_template=CHAT_TEMPLATE,
        model_max_length=context,
        clean_up_tokenization_spaces=False,
    )


def _unlabelled(text: str) -> str:
    for label in LABELS:
        text = text.replace(label, "")
    return text


def new_model(tokenizer: PreTrainedTokenizerFast, shape: Shape, seed: int) -> LlamaForCausalLM:
    """A Llama with random weights but for a circuit that copies, and the tokenizer's special ids."""
    import torch
    from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM

    ids = {
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=shape.hidden,
        intermediate_size=shape.intermediate,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads,
        head_dim=shape.head_dim,
        max_position_embeddings=shape.context,
        rope_parameters={"rope_type": "default", "rope_theta": shape.theta},
        tie_word_embeddings=False,
        **ids,
    )
    torch.manual_seed(seed)
    model = LlamaForCausalLM(config)
    build_in(model, seed)
    model.generation_config = GenerationConfig(**ids, do_sample=True, temperature=0.7, top_p=0.9)
    return model


def fresh(tokenizer: Path, shape: Shape, seed: int, out: Path) -> int:
    """Writes a model with random weights and the tokenizer of a folder; its number of parameters.

    `shape` takes its vocabulary from the tokenizer.
    """
    from transformers import AutoTokenizer

    given = AutoTokenizer.from_pretrained(tokenizer)
    return _write(new_model(given, shape, seed), given, seed, out)


def _write(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, seed: int, out: Path) -> int:
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)
    parameters = int(model.num_parameters())
    write_json(out / UNTRAINED, {"seed": seed, "parameters": parameters})
    return parameters


def _texts(path: Path, most: int) -> Iterator[str]:
    """What all examples of a file say, or at most `most` of them, from all over the file."""
    found = read(rows(str(path)))
    chosen = found[:: max(1, -(-len(found) // most))] if most else found
    yield from (text for example in chosen for text in example.texts())


def main() -> None:
    parser = argparse.ArgumentParser(description="Train a tokenizer and write it with a fresh model.")
    whence = parser.add_mutually_exclusive_group(required=True)
    whence.add_argument("--data", type=Path, nargs="+", help="examples, JSONL as training.sft takes them")
    whence.add_argument("--tokenizer", type=Path, help="folder with a tokenizer, instead of training one")
    parser.add_argument("--out", type=Path, required=True, help="folder for model and tokenizer")
    parser.add_argument("--size", choices=SIZES, help="the embedded model's; default: that of its first")
    parser.add_argument("--vocabulary", type=int, help="size of a new vocabulary; default: the size's")
    parser.add_argument("--examples", type=int, default=0, help="learn a vocabulary from so many of a file; 0: all")
    parser.add_argument("--bare", action="store_true", help="with --data: write the tokenizer alone")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    shape = SIZES.get(given.size, Shape())
    shape = replace(shape, vocabulary=given.vocabulary or shape.vocabulary)
    least = 256 + len(SPECIAL) + len(LABELS)
    if shape.vocabulary < least:
        raise UserError(f"--vocabulary {shape.vocabulary} is too small: bytes and special tokens alone take {least}")
    if given.tokenizer:
        parameters = fresh(given.tokenizer, shape, given.seed, given.out)
    else:
        texts = (text for path in given.data for text in _texts(path, given.examples))
        tokenizer = train_tokenizer(texts, shape.vocabulary, shape.context)
        if given.bare:
            tokenizer.save_pretrained(given.out)
            print(f"{given.out}: {len(tokenizer):,} tokens")
            return
        parameters = _write(new_model(tokenizer, shape, given.seed), tokenizer, given.seed, given.out)
    print(f"{given.out}: {parameters:,} parameters")


if __name__ == "__main__":
    sys.exit(told(main))
