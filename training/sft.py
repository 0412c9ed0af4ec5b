"""Supervised fine-tuning: `python -m training.sft --config training/autoconv_teacher.yaml --output_dir DIR ...`.

Examples are chat, prompt and completion, or plain text (see examples.py), of a file, a dataset folder or the Hub; the
loss covers what the model is to say, and what it is given only with a `read_weight`. trl's SFTTrainer does the
training: the model of `model_name_or_path` is trained whole or, with `use_peft`, through LoRA. A killed run goes on
from its last checkpoint with the same command. A CPU needs no flags; `accelerate launch -m training.sft` goes by its
config.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import broadcast_object_list
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer
from trl import ModelConfig, SFTConfig, get_peft_config

from synthesis.errors import UserError
from synthesis.storage import read_text, sha256, write_json
from training import attention, tokens
from training.clock import Clock, Session
from training.command import told
from training.data import Encoded, fitting, mask_report, shared
from training.examples import Columns, encode, fingerprint, read
from training.facts import context, sft_facts
from training.guards import goes_on
from training.packing import batches, collate, keeps_apart
from training.rows import digest, drawn, rows
from training.settings import check_reporters, fit_machine, keep_best, parsed, save_memory, stopping
from training.trainer import StopAt, Trainer, task_losses
from training.weights import Weights


@dataclass
class SftArguments(SFTConfig):  # type: ignore[misc]
    """trl's arguments and ours."""

    train_data: str = field(
        default="",
        metadata={
            "help": "Examples: a .jsonl or .npz file, a dataset folder or a Hub id.",
            "aliases": ["--train_file"],
        },
    )
    train_config: str = field(default="", metadata={"help": "Config of the dataset; empty: its default."})
    train_split: str = field(default="train", metadata={"help": "Split of the dataset, or several: a+b."})
    eval_data: str = field(
        default="",
        metadata={"help": "Held-out examples, of the same config; empty: no evaluation.", "aliases": ["--eval_file"]},
    )
    eval_split: str = field(default="validation", metadata={"help": "Split of the held-out dataset."})
    prompt_column: str = field(default="prompt", metadata={"help": "Column that is read."})
    completion_column: str = field(default="completion", metadata={"help": "Column that is to be written."})
    separator: str | None = field(
        default=None,
        metadata={"help": "Between a plain prompt and its completion; unset: a line break if the columns are named."},
    )
    max_train_samples: int = field(
        default=0, metadata={"help": "Train on so many examples, drawn by the seed, not on all; 0: all."}
    )
    pack: bool = field(default=True, metadata={"help": "Several examples in a row, which do not see each other."})
    row_lengths: list[int] = field(default_factory=lambda: [512, 1024], metadata={"help": "Lengths of rows."})
    step_tokens: int = field(default=4608, metadata={"help": "Tokens, padding included, of a batch on one device."})
    per_device_train_batch_size: int = field(default=1, metadata={"help": "Such batches at once; leave it at 1."})
    per_device_eval_batch_size: int = field(default=1, metadata={"help": "Such batches at once; leave it at 1."})
    eval_examples: int = field(default=0, metadata={"help": "Held-out examples used while training; 0: all."})
    early_stopping_patience: int = field(
        default=0,
        metadata={"help": "Evaluations without a lower loss after which to stop, keeping the best; 0: never."},
    )
    gradient_checkpointing: bool | None = field(
        default=None, metadata={"help": "Compute activations twice to save memory; unset: with an accelerator only."}
    )
    ddp_find_unused_parameters: bool | None = field(
        default=False, metadata={"help": "Look for weights that a batch did not use; a causal model has none."}
    )
    matrix_rate: float = field(default=0.0, metadata={"help": "Muon's rate for hidden matrices; 0: AdamW for all."})
    shares: dict[str, Any] = field(
        default_factory=dict,
        metadata={"help": "Share of a task's examples to learn from, by the seed, 1 for others; in --config's YAML."},
    )
    weights: dict[str, Any] = field(
        default_factory=dict, metadata={"help": "Weight of a covered token by task, 1 for others; in --config's YAML."}
    )
    read_weight: float = field(
        default=0.0,
        metadata={"help": "Weight of a token that is only read, as a prompt's; 0: the loss leaves it out."},
    )
    mention_weights: dict[str, Any] = field(
        default_factory=dict,
        metadata={
            "help": "By task, how many times as much a token counts that the answer takes up from its prompt: where "
            "it first occurs, unless it is recited or many prompts have it; 1 for others; in --config's YAML."
        },
    )
    weights_from: int = field(default=0, metadata={"help": "First step with weights; before, all tokens count alike."})
    stop_at: int = field(
        default=0,
        metadata={"help": "Step at which to stop although the schedule goes on to max_steps; 0: run it out."},
    )
    max_minutes: float = field(
        default=0.0, metadata={"help": "Stop at a checkpoint after so many minutes, to go on another time; 0: never."}
    )
    save_minutes: float = field(
        default=0.0, metadata={"help": "A checkpoint every so many minutes, besides save_strategy's; 0: none."}
    )
    threads: int = field(default=0, metadata={"help": "CPU threads; 0: as torch decides."})
    facts_file: str = field(default="", metadata={"help": "Facts of the data, copied into the run's facts.json."})

    def __post_init__(self) -> None:
        if self.packing:
            raise UserError("--packing is another way of trl's; ours is on, and --pack false turns it off")
        save_memory(self)
        fit_machine(self)
        keep_best(self)
        check_reporters(self)
        super().__post_init__()
        if self.world_size > 1:
            self.train_sampling_strategy = "sequential"  # batches that belong together stay so; their order is drawn


def load_tokenizer(name: str, chat_template: str | None) -> Any:
    """The tokenizer, with a chat template of the user's if there is one, an end of sequence and something to pad with.

    Raises UserError when it has no end of sequence: a model trained without it would never stop.
    """
    try:
        tokenizer = AutoTokenizer.from_pretrained(name)
    except (OSError, ValueError) as error:
        raise UserError(f"model {name!r}: no tokenizer to be had: {error}; give a folder or Hub id") from error
    if chat_template:
        tokenizer.chat_template = read_text(Path(chat_template), "chat template")
    if tokenizer.eos_token_id is None:
        raise UserError(
            f"{name}: its tokenizer has no end-of-sequence token, so the model could not learn to stop; name one in "
            "tokenizer_config.json (eos_token)"
        )
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.unk_token or tokenizer.eos_token
        print(f"{name}: its tokenizer has no pad token; {tokenizer.pad_token} pads, outside the loss")
    return tokenizer


def load_model(args: ModelConfig) -> Any:
    """The causal model. Raises UserError for what is none, cannot be loaded, or is asked for in a way that we lack."""
    name = args.model_name_or_path
    if not name:
        raise UserError("name the model to start from with --model_name_or_path: a folder or Hub id")
    if args.load_in_4bit or args.load_in_8bit:
        raise UserError("--load_in_4bit and --load_in_8bit are not supported; use --use_peft true --dtype bfloat16")
    if args.attn_implementation not in (None, "sdpa", "eager"):
        raise UserError(
            f"--attn_implementation {args.attn_implementation} would let examples of a row see each other: take sdpa"
        )
    try:
        config = AutoConfig.from_pretrained(name, revision=args.model_revision)
        if config.is_encoder_decoder:
            raise UserError(f"{name}: {config.model_type} is an encoder-decoder; training.seq2seq trains those")
        return AutoModelForCausalLM.from_pretrained(
            name, revision=args.model_revision, dtype=args.dtype, attn_implementation=args.attn_implementation
        )
    except (OSError, ValueError) as error:
        raise UserError(
            f"model {name!r}: cannot be loaded: {error}; give a causal model's folder or Hub id"
        ) from error


@dataclass
class Data:
    """Examples as tokens, those that fit; `read` is the number of all, and their digest."""

    examples: list[Encoded]
    read: tuple[int, str]


def read_data(args: SftArguments, source: str, split: str, model: Any, tokenizer: Any, most: int = 0) -> Data:
    """The examples of a source: rows, which become tokens, or a file of tokens. `most`: draw so many; 0: all."""

    def chosen(found: list[Any]) -> list[Any]:
        return drawn(found, most, args.seed) if most else found

    if source.endswith(tokens.SUFFIX):
        made = chosen(tokens.load(Path(source), tokenizer))
        mark = digest([sha256(Path(source), "tokens"), str(most)])
        return Data(prepared(made, model, args), (len(made), mark))
    columns = Columns(args.prompt_column, args.completion_column, args.separator)
    with args.main_process_first(desc="reading examples"):
        found = chosen(read(rows(source, args.train_config, split), columns))
    return Data(prepared(encode(found, tokenizer), model, args), (len(found), fingerprint(found)))


def may_pack(model: Any, args: SftArguments) -> bool:
    """Whether packing is wanted and the model keeps packed examples apart, as the first process finds."""
    apart = [args.process_index == 0 and keeps_apart(model)]  # the others may hold no weights yet, with FSDP
    broadcast_object_list(apart)
    if args.pack and not apart[0] and args.process_index == 0:
        print(f"{model.config.model_type} would let packed examples see each other: each has a row to itself")
    return args.pack and apart[0]


def prepared(examples: Sequence[Encoded], model: Any, args: SftArguments) -> list[Encoded]:
    """The examples but those longer than the longest row or the model's context, which are told of."""
    longest = max(args.row_lengths)
    kept, left_out = fitting(examples, min(longest, context(model.config) or longest))
    if left_out and args.process_index == 0:
        print(left_out)
    return kept


def main(argv: Sequence[str] | None = None) -> None:
    given = sys.argv[1:] if argv is None else list(argv)
    args, model_args = parsed((SftArguments, ModelConfig), given)
    if args.threads:
        torch.set_num_threads(args.threads)
    args.remove_unused_columns = False
    args.dataset_kwargs = {"skip_prepare_dataset": True}
    if model_args.use_peft and model_args.lora_target_modules is None:
        model_args.lora_target_modules = "all-linear"

    # Model and tokenizer; the latter has the chat template, so that trl need not set it
    model = load_model(model_args)
    if args.use_cpu and args.bf16 and model_args.attn_implementation is None and attention.fits(model):
        attention.use(model)
    tokenizer = load_tokenizer(model_args.model_name_or_path, args.chat_template_path)
    args.chat_template_path = None

    # Data: read, tokenised, checked, packed
    data = read_data(args, args.train_data, args.train_split, model, tokenizer, args.max_train_samples)
    train = shared(data.examples, args.shares, args.seed)
    learned = digest([data.read[1], json.dumps(args.shares, sort_keys=True)]) if args.shares else data.read[1]
    report = mask_report(train, tokenizer)
    held_out = read_data(args, args.eval_data, args.eval_split, model, tokenizer).examples if args.eval_data else []
    watched = held_out[: args.eval_examples or None]
    args.pack = may_pack(model, args)
    shape = (args.row_lengths, args.step_tokens, args.seed)
    weights = Weights(args.weights, args.read_weight, args.mention_weights)
    steps = batches(train, *shape, weights, packed=args.pack, processes=args.world_size)
    if args.process_index == 0:
        print(report)
        print(f"{len(steps)} batches of {args.step_tokens} tokens from {len(train)} examples")

    # Training
    session = Session(args.max_minutes, args.save_minutes)
    trainer = Trainer(
        model=model,
        args=args,
        train_dataset=steps,
        eval_dataset=batches(watched, *shape, Weights(), packed=args.pack) if watched else None,
        data_collator=partial(collate, pad=tokenizer.pad_token_id),
        processing_class=tokenizer,
        peft_config=get_peft_config(model_args),
        callbacks=[StopAt(args.stop_at), Clock(), session, *stopping(args)],
    )
    trainer.train(resume_from_checkpoint=goes_on(args, str(model_args.model_name_or_path), learned))
    if session.over:
        print(f"stopped after {args.max_minutes:g} minutes at a checkpoint; the same command goes on from there")
        return
    trainer.save_model()

    # Evaluation on everything held out, by all processes as each may hold a part of the model; the facts of the run
    evaluation = task_losses(trainer.model, held_out, args, tokenizer.pad_token_id) if held_out else {}
    if not trainer.is_world_process_zero():
        return
    facts = sft_facts(trainer, model_args, ["training.sft", *given], data.read, train, evaluation)
    write_json(Path(args.output_dir) / "facts.json", facts)
    print(json.dumps(evaluation, indent=1))


if __name__ == "__main__":
    sys.exit(told(main))
