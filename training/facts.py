"""The facts of a training run: what a model card needs to say, as plain JSON."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from synthesis.run import VERSION
from synthesis.storage import parse, read_text
from training.data import Encoded
from training.models import UNTRAINED

HYPERPARAMETERS = (
    "learning_rate", "matrix_rate", "adam_beta1", "adam_beta2", "weight_decay", "max_grad_norm", "lr_scheduler_type",
    "lr_scheduler_kwargs", "warmup_steps", "num_train_epochs", "max_steps", "stop_at", "early_stopping_patience",
    "gradient_accumulation_steps", "step_tokens", "row_lengths", "pack", "max_train_samples", "shares",
    "weights", "weights_from", "read_weight", "mention_weights", "seed", "bf16",
)  # fmt: skip
LORA = ("r", "lora_alpha", "lora_dropout", "target_modules", "use_rslora", "use_dora")
ORIGIN = ("base", "relation")
SHAPE = ("model_type", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")
PACKAGES = ("torch", "transformers", "trl", "peft", "tokenizers", "accelerate")
Join = Callable[[Sequence[int]], int]
COUNTS: Mapping[str, Mapping[str, Join]] = {
    "data": {"tokens": sum, "dialogues": max},
    "tasks": {"examples": sum, "tokens": sum, "target_tokens": sum},
}
"""What becomes of the counts of several runs."""


def tasks(examples: Sequence[Encoded]) -> list[dict[str, Any]]:
    """Examples, tokens and trained tokens by task, most trained tokens first."""
    counts = Counter(example.task for example in examples)
    tokens: Counter[str] = Counter()
    targets: Counter[str] = Counter()
    for example in examples:
        tokens[example.task] += len(example.ids)
        targets[example.task] += sum(example.mask)
    return [
        {"name": task, "examples": counts[task], "tokens": tokens[task], "target_tokens": target}
        for task, target in targets.most_common()
    ]


def sources(known: Sequence[Mapping[str, Any]], examples: Sequence[Encoded]) -> list[dict[str, Any]]:
    """What is known of each source with the tokens of its examples."""
    tokens: Counter[str] = Counter()
    for example in examples:
        tokens[example.source] += len(example.ids)
    return [{**source, "tokens": tokens[source["source"]]} for source in known]


def curve(history: Sequence[Mapping[str, Any]]) -> list[dict[str, float]]:
    """Loss and evaluation loss by step from a trainer's log history."""
    points: dict[int, dict[str, float]] = {}
    for entry in history:
        kept = {key: float(entry[key]) for key in ("loss", "eval_loss") if key in entry}
        if kept:
            points.setdefault(int(entry["step"]), {}).update(kept)
    return [{"step": step, **points[step]} for step in sorted(points)]


def hardware(trainer: Any) -> str:
    """Devices of the run in words, without the machine's name."""
    count, kind = trainer.args.world_size, trainer.model.device.type
    import torch

    if kind != "cpu":
        return f"{count} x {torch.cuda.get_device_name() if kind == 'cuda' else kind}"
    return f"{count * torch.get_num_threads()} CPU threads ({torch.backends.cpu.get_cpu_capability()}), no accelerator"


def context(config: Any, side: str = "encoder") -> int | None:
    """The longest text that a model has positions for, in tokens; None where positions are relative, as in T5.

    `side`: "encoder" or "decoder", for those models that have more on one side.
    """
    names = (f"max_{side}_position_embeddings", "max_position_embeddings")
    return next((int(getattr(config, name)) for name in names if getattr(config, name, None) is not None), None)


def run_facts(trainer: Any, command: Sequence[str], hyperparameters: Sequence[str], tokens: int) -> dict[str, Any]:
    """What there is to say of any finished run, its interrupted parts included.

    `command`: module and arguments; `hyperparameters`: names of the trainer's arguments; `tokens`: of all examples,
    seen once an epoch.
    """
    args, config = trainer.args, trainer.model.config
    steps = trainer.state.global_step
    at_once = args.per_device_train_batch_size * args.world_size * args.gradient_accumulation_steps
    per_epoch = max(1.0, len(trainer.train_dataset) / at_once)
    return {
        "parameters": trainer.model.num_parameters(),
        "architecture": {key: getattr(config, key) for key in SHAPE if getattr(config, key, None) is not None},
        "vocabulary": config.vocab_size,
        "context": context(config),
        "hyperparameters": {key: getattr(args, key) for key in hyperparameters} | {"processes": args.world_size},
        "steps": steps,
        **({"best_step": trainer.state.best_global_step} if args.load_best_model_at_end else {}),
        "epochs": round(steps / per_epoch, 3),
        "tokens_seen": round(tokens * steps / per_epoch),
        "seconds": round(max(entry.get("seconds", 0.0) for entry in trainer.state.log_history)),
        "hardware": hardware(trainer),
        "curve": curve(trainer.state.log_history),
        "versions": {
            "parley": VERSION,
            "python": sys.version.split()[0],
            **{package: version(package) for package in PACKAGES},
        },
        "command": " ".join(["python -m", *command]),
    }


def origin(name: str, adapter: bool = False) -> dict[str, Any]:
    """Base and relation to it, for a model that was trained from `name`; nothing for one from scratch."""
    if (Path(name) / UNTRAINED).is_file():
        return {}
    return {"base": name, "relation": "adapter" if adapter else "finetune"}


def lora(model: Any) -> dict[str, Any]:
    """The settings of an adapter and the number of weights trained in it."""
    config = model.peft_config["default"]
    values = {name: getattr(config, name) for name in LORA}
    targets = values["target_modules"]
    kinds = [targets] if isinstance(targets, str) else targets  # by their place in the model, layer after layer
    values["target_modules"] = sorted({kind.rpartition(".")[2] for kind in kinds})
    return values | {"trained_parameters": sum(p.numel() for p in model.parameters() if p.requires_grad)}


def sft_facts(
    trainer: Any,
    model_args: Any,
    command: Sequence[str],
    read: tuple[int, str],
    trained: Sequence[Encoded],
    evaluation: Mapping[str, Any],
) -> dict[str, Any]:
    """Everything about a finished run of `training.sft`.

    `read`: number and digest of the examples; `trained`: those that were not too long.

    The data are what `facts_file` says of them; without it, their place, number and digest.
    """
    args = trainer.args
    tokens = sum(len(example.ids) for example in trained)
    facts = run_facts(trainer, command, HYPERPARAMETERS, tokens)
    if args.facts_file:
        data = sources(parse(read_text(Path(args.facts_file), "facts"), args.facts_file)["data"], trained)
    else:
        place = {"data": args.train_data, "config": args.train_config, "split": args.train_split}
        data = [{**place, "rows": read[0], "sha256": read[1], "tokens": tokens}]
    optimizer = {"optimizer": "Muon and AdamW" if args.matrix_rate else "AdamW"}
    return {
        **facts,
        **origin(model_args.model_name_or_path, model_args.use_peft),
        **({"lora": lora(trainer.model)} if model_args.use_peft else {}),
        "data": data,
        "tasks": tasks(trained),
        "hyperparameters": facts["hyperparameters"] | optimizer,
        "evaluation": dict(evaluation),
    }


def lineage(model: str) -> dict[str, Any]:
    """What `model` started from and was trained on, by its facts.json; a model without was not trained here."""
    path = Path(model) / "facts.json"
    if not path.is_file():
        return {"base": model, "training": None}
    facts = parse(read_text(path, "facts"), str(path))
    examples = sum(task["examples"] for task in facts["tasks"])
    seed = facts.get("seed", facts["hyperparameters"].get("seed"))
    about = {"seed": seed, "examples": examples, "data": facts["data"]}
    return {"base": facts.get("base"), "training": about}


def joined(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Facts of a model trained by several runs after each other: the last run's, with steps, time and curve of all.

    `command` has one line a run; data and tasks are those of all runs, hyper-parameters and evaluation the last run's.
    What the first one started from is the model's base; without it the model is from scratch.
    """
    before, points = 0, []
    for run in runs:
        points += [{**point, "step": point["step"] + before} for point in run["curve"]]
        before += run["steps"]
    sums = {key: sum(run[key] for run in runs) for key in ("steps", "tokens_seen", "seconds")}
    start = {key: runs[0][key] for key in ORIGIN if key in runs[0]}
    last = {key: value for key, value in runs[-1].items() if key not in ORIGIN}
    learned = {
        part: _merged([row for run in runs for row in run[part]], numbers)
        for part, numbers in COUNTS.items()
        if all(part in run for run in runs)
    }
    return {**last, **start, **sums, **learned, "curve": points, "command": "\n".join(run["command"] for run in runs)}


def _merged(rows: Sequence[Mapping[str, Any]], counts: Mapping[str, Join]) -> list[dict[str, Any]]:
    """The rows that differ in more than `counts`, each with the counts of those that do not, joined; a file's once.

    A source that had grown, or shrunk, before a later run has the dialogues of its largest time.
    """
    found: dict[str, dict[str, Any]] = {}
    for row in rows:
        rest = {key: value for key, value in row.items() if key not in counts}
        about = json.dumps([rest, [key for key in counts if key in row]], sort_keys=True)
        if about not in found:
            found[about] = dict(row)
        elif "sha256" not in row:
            found[about] |= {key: join((found[about][key], row[key])) for key, join in counts.items() if key in row}
    return list(found.values())
