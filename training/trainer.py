"""The trainer of causal models: ready-made batches, weights, optionally Muon; and the loss by task afterwards."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch.utils.data import DataLoader
from transformers import PreTrainedModel, TrainerCallback
from trl import SFTTrainer

from training.cross_entropy import summed_cross_entropy
from training.data import IGNORED, Encoded
from training.guards import Guarded
from training.muon import MuonAdamW
from training.packing import batches, collate
from training.weights import Weights


class StopAt(TrainerCallback):  # type: ignore[misc]
    """Ends training at a step before the schedule's end, for a model that another run goes on with."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_end(self, args: Any, state: Any, control: Any, **more: Any) -> Any:
        """Called by the trainer after every step."""
        if self.step and state.global_step >= self.step:
            control.should_training_stop = control.should_save = True
        return control


class Trainer(Guarded, SFTTrainer):  # type: ignore[misc]
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

        Weighted while training from `weights_from` on; evaluation is never weighted.
        """
        labels = _next(inputs["labels"])
        weights = (labels != IGNORED).float()
        count = weights.sum() if num_items_in_batch is None else num_items_in_batch
        if model.training and self.state.global_step >= self.args.weights_from:
            weights[:, :-1] *= inputs["weights"][:, 1:]
        read = ("input_ids", "position_ids") if self.args.pack else ("input_ids",)
        outputs = model(**{name: inputs[name] for name in read}, use_cache=False)
        loss = summed_cross_entropy(outputs.logits, labels, weights) / count
        if self.args.average_tokens_across_devices and num_items_in_batch is not None:
            loss = loss * self.accelerator.num_processes
        return (loss, outputs) if return_outputs else loss


def _next(labels: torch.Tensor) -> torch.Tensor:
    """What each token has to predict: the label of the one behind it, IGNORED for the last; (rows, length) both."""
    return torch.nn.functional.pad(labels[:, 1:], (0, 1), value=IGNORED)


def task_losses(model: PreTrainedModel, examples: Sequence[Encoded], args: Any, pad: int) -> dict[str, Any]:
    """Mean loss per covered token and the number of these tokens, over all examples and by task."""
    sums: dict[str, float] = defaultdict(float)
    counts: Counter[str] = Counter()
    model.eval()
    for task in sorted({example.task for example in examples}):
        chosen = [example for example in examples if example.task == task]
        made = batches(chosen, args.row_lengths, args.step_tokens, 0, Weights(), packed=args.pack)
        for batch in DataLoader(made, batch_size=1, collate_fn=partial(collate, pad=pad)):
            inputs = {key: value.to(model.device) for key, value in batch.items()}
            labels = _next(inputs.pop("labels"))
            del inputs["weights"]
            if not args.pack:
                del inputs["position_ids"]
            with torch.no_grad(), torch.autocast(model.device.type, torch.bfloat16, enabled=args.bf16):
                logits = model(**inputs, use_cache=False).logits
            covered = (labels != IGNORED).float()
            sums[task] += summed_cross_entropy(logits, labels, covered).item()
            counts[task] += int(covered.sum())
    total = sum(sums.values()) / sum(counts.values())
    by_task = {task: {"loss_per_token": sums[task] / counts[task], "tokens": counts[task]} for task in sorted(counts)}
    return {"loss_per_token": total, "perplexity": float(torch.tensor(total).exp()), "by_task": by_task}
