"""Supervised fine-tuning: `python -m training.sft --config training/embedded.yaml`.

Examples are prompts and completions as chat messages (JSONL); the loss covers the completions. trl's SFTTrainer does
the training: the model of `model_name_or_path` is trained whole or, with `use_peft`, through LoRA. A killed run goes
on from its last checkpoint with the same command. On a machine without accelerator set use_cpu.
"""

from __future__ import annotations

import json
import sys
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, TrainerCallback
from transformers.trainer_utils import get_last_checkpoint
from trl import ModelConfig, SFTConfig, SFTTrainer, TrlParser, get_peft_config

from training.clock import Clock
from training.command import told
from training.data import IGNORED, Encoded, batches, collate, encode, mask_report, read_examples
from training.facts import sft_facts
from training.muon import MuonAdamW


@dataclass
class SftArguments(SFTConfig):  # type: ignore[misc]
    """trl's arguments and ours."""

    train_file: str = field(default="", metadata={"help": "Examples to train on, JSONL."})
    eval_file: str = field(default="", metadata={"help": "Held-out examples, JSONL; empty: no evaluation."})
    row_lengths: list[int] = field(default_factory=lambda: [512, 1024], metadata={"help": "Lengths of packed rows."})
    step_tokens: int = field(default=4608, metadata={"help": "Tokens, padding included, of a step on one device."})
    eval_examples: int = field(default=0, metadata={"help": "Held-out examples used while training; 0: all."})
    matrix_rate: float = field(default=0.0, metadata={"help": "Muon's rate for hidden matrices; 0: AdamW for all."})
    weights: dict[str, Any] = field(
        default_factory=dict, metadata={"help": "Weight of a covered token by task; 1 for tasks not named."}
    )
    weights_from: int = field(default=0, metadata={"help": "First step with weights; before, all tokens count alike."})
    stop_at: int = field(
        default=0,
        metadata={"help": "Step at which to stop although the schedule goes on to max_steps; 0: run it out."},
    )
    threads: int = field(default=0, metadata={"help": "CPU threads; 0: as torch decides."})
    facts_file: str = field(default="", metadata={"help": "Facts of the data, copied into the run's facts.json."})


class StopAt(TrainerCallback):  # type: ignore[misc]
    """Ends training at a step before the schedule's end, for a model that another run goes on with."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_end(self, args: Any, state: Any, control: Any, **more: Any) -> Any:
        """Called by the trainer after every step."""
        if self.step and state.global_step >= self.step:
            control.should_training_stop = control.should_save = True
        return control


class Trainer(SFTTrainer):  # type: ignore[misc]
    """SFTTrainer for ready-made batches, optionally with Muon."""

    optimizer: torch.optim.Optimizer | None

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        """Muon for hidden matrices if `matrix_rate` asks for it."""
        if self.optimizer is None and self.args.matrix_rate:
            betas = (self.args.adam_beta1, self.args.adam_beta2)
            self.optimizer = MuonAdamW(
                self.model, self.args.matrix_rate, self.args.learning_rate, betas, self.args.weight_decay
            )
        return super().create_optimizer(model) if self.optimizer is None else self.optimizer

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """Negative log-likelihood of the covered tokens alone; trl's also measures entropy, dear on a CPU.

        Weighted by task while training from `weights_from` on; evaluation is never weighted.
        """
        labels = inputs["labels"][:, 1:]
        covered = labels != IGNORED
        outputs = model(**{name: inputs[name] for name in ("input_ids", "position_ids")}, use_cache=False)
        logits = outputs.logits[:, :-1][covered].float()
        losses = torch.nn.functional.cross_entropy(logits, labels[covered], reduction="none")
        if model.training and self.state.global_step >= self.args.weights_from:
            losses = losses * inputs["weights"][:, 1:][covered]
        loss = losses.sum() / (covered.sum() if num_items_in_batch is None else num_items_in_batch)
        if self.args.average_tokens_across_devices and num_items_in_batch is not None:
            loss = loss * self.accelerator.num_processes
        return (loss, outputs) if return_outputs else loss


def task_losses(model: PreTrainedModel, examples: list[Encoded], args: SftArguments, pad: int) -> dict[str, Any]:
    """Mean loss per covered token and the number of these tokens, over all examples and by task."""
    sums: dict[str, float] = defaultdict(float)
    counts: Counter[str] = Counter()
    model.eval()
    for task in sorted({example.task for example in examples}):
        made = batches(
            [example for example in examples if example.task == task], args.row_lengths, args.step_tokens, 0, {}
        )
        for batch in DataLoader(made, batch_size=1, collate_fn=partial(collate, pad=pad)):
            inputs = {key: value.to(model.device) for key, value in batch.items()}
            labels = inputs.pop("labels")[:, 1:]
            del inputs["weights"]
            with torch.no_grad(), torch.autocast(model.device.type, torch.bfloat16, enabled=args.bf16):
                logits = model(**inputs, use_cache=False).logits[:, :-1]
            covered = labels != IGNORED
            sums[task] += torch.nn.functional.cross_entropy(
                logits[covered].float(), labels[covered], reduction="sum"
            ).item()
            counts[task] += int(covered.sum())
    total = sum(sums.values()) / sum(counts.values())
    by_task = {task: {"loss_per_token": sums[task] / counts[task], "tokens": counts[task]} for task in sorted(counts)}
    return {"loss_per_token": total, "perplexity": float(torch.tensor(total).exp()), "by_task": by_task}


def main(argv: Sequence[str] | None = None) -> None:
    parser = TrlParser((SftArguments, ModelConfig))
    args, model_args = parser.parse_args_and_config(list(argv) if argv is not None else None)
    if args.threads:
        torch.set_num_threads(args.threads)
    args.remove_unused_columns = False
    args.dataset_kwargs = {"skip_prepare_dataset": True}

    # Model and tokenizer
    tokenizer = AutoTokenizer.from_pretrained(model_args.model_name_or_path)
    model = AutoModelForCausalLM.from_pretrained(model_args.model_name_or_path, dtype=torch.float32)

    # Data: tokenised, checked, packed
    train = encode(read_examples(Path(args.train_file)), tokenizer, max(args.row_lengths))
    report = mask_report(train, tokenizer)
    held_out = encode(read_examples(Path(args.eval_file)), tokenizer, max(args.row_lengths)) if args.eval_file else []
    watched = held_out[: args.eval_examples or None]
    steps = batches(train, args.row_lengths, args.step_tokens, args.seed, args.weights)
    if args.process_index == 0:
        print(report)
        print(f"{len(steps)} batches of {args.step_tokens} tokens from {len(train)} examples")

    # Training
    trainer = Trainer(
        model=model,
        args=args,
        train_dataset=steps,
        eval_dataset=batches(watched, args.row_lengths, args.step_tokens, args.seed, {}) if watched else None,
        data_collator=partial(collate, pad=tokenizer.pad_token_id),
        processing_class=tokenizer,
        peft_config=get_peft_config(model_args),
        callbacks=[StopAt(args.stop_at), Clock()],
    )
    last = get_last_checkpoint(args.output_dir) if Path(args.output_dir).is_dir() else None
    trainer.train(resume_from_checkpoint=last)
    trainer.save_model()
    if not trainer.is_world_process_zero():
        return

    # Evaluation on everything held out, and the facts of the run
    evaluation = task_losses(trainer.model, held_out, args, tokenizer.pad_token_id) if held_out else {}
    facts = sft_facts(trainer, train, evaluation)
    (Path(args.output_dir) / "facts.json").write_text(json.dumps(facts, indent=1), encoding="utf-8")
    print(json.dumps(evaluation, indent=1))


if __name__ == "__main__":
    sys.exit(told(main))
