"""Steps that experiments with trackers share: public commands, each in a process of its own.

Trackers of some million parameters read the state before and the last two turns and write what the last turn changes:
a sixth of the tokens that whole dialogues and whole states would take.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from synthesis.embedded_model import SHIPPED
from training.steps import Step, done

TURNS = 2
LONGEST = 512
"""Tokens of an example: one of two turns and a full state has up to about 330 (measured on MultiWOZ 2.1)."""

RATES = ("--matrix_rate", "0.02", "--learning_rate", "0.004")
STEP = 1024
"""Tokens of a batch: small ones, for 50 dialogues are 60,000 tokens."""

REPLY = 100
"""Tokens of a change, at most: one turn has up to about 60."""

SCORERS = ("trade_exact", "luas_lenient")
SHAPE = ("--form", "delta", "--turns", str(TURNS))


@dataclass(frozen=True, slots=True)
class Chain:
    """Steps that need each other's results; marks and logs are in `folder`/steps."""

    folder: Path
    steps: Iterable[Step]

    def run(self) -> None:
        """Does what has not been done."""
        for step in self.steps:
            done(step, self.folder)


@dataclass(frozen=True, slots=True)
class Commands:
    """What is the same for all trackers of an experiment: ontology, test dialogues, held to a grammar or not."""

    ontology: Path
    test: Path
    grammar: bool = False

    def write(self, name: str, run: Path, fields: Iterable[str]) -> Step:
        """Recipe luas writes dialogues into a run folder, by the embedded model and without a grain of real data."""
        fixed = ("--preset", "laptop", "--ontology", str(self.ontology), "--goals", "db", "--threads", "1")
        return Step(name, ("synthesis", "luas", *fixed, *fields, "--out", str(run)))

    def examples(self, name: str, source: Path, rows: Path) -> Step:
        """Dialogues as examples."""
        fit = ("--tokenizer", str(SHIPPED), "--max-length", str(LONGEST))
        where = ("--ontology", str(self.ontology), "--out", str(rows))
        return Step(name, ("training.tracking.examples", str(source), *where, *SHAPE, *fit))

    def train(self, name: str, stage: int, start: str, rows: Path, model: Path, epochs: int, seed: int) -> Step:
        """A model's first training (`stage` 1), on generated or real dialogues, or its second, at lower rates.

        The first one's are twice its file's, those of the shipped model's own training: on MultiWOZ 2.1's validation
        split, with them and small batches, the loss fell three times as fast by tokens as at the second's (one trial).

        No early stopping: dialogues put aside to stop by would be real ones that the smallest sizes do not have.
        """
        return Step(name, (
            "training.sft", "--config", f"training/luas_small_stage{stage}.yaml", "--model_name_or_path", start,
            "--train_data", str(rows), "--output_dir", str(model), "--seed", str(seed), "--num_train_epochs",
            str(epochs), "--step_tokens", str(STEP), "--eval_strategy", "no",
            "--early_stopping_patience", "0", "--save_strategy", "no", *(RATES if stage == 1 else ()),
        ))  # fmt: skip

    def predict(self, condition: str, model: Path, folder: Path) -> Iterator[Step]:
        """The test dialogues' states by a model, scored."""
        predictions = folder / f"{condition}.jsonl"
        yield Step(f"predict-{condition}", (
            "training.tracking.predict", "--data", str(self.test), "--ontology", str(self.ontology),
            "--model", str(model), "--out", str(predictions), *SHAPE, "--max-new-tokens", str(REPLY),
            "--max-length", str(LONGEST + REPLY), *(("--grammar",) if self.grammar else ()),
        ))  # fmt: skip
        yield self.score(condition, folder)

    def baseline(self, kind: str, folder: Path) -> Iterator[Step]:
        """States without learning, scored."""
        where = ("--data", str(self.test), "--ontology", str(self.ontology), "--out", str(folder / f"{kind}.jsonl"))
        yield Step(f"predict-{kind}", ("training.tracking.baseline", kind, *where))
        yield self.score(kind, folder)

    def score(self, condition: str, folder: Path) -> Step:
        """Predictions against the test dialogues, by both scorers."""
        files = ("--gold", str(self.test), "--pred", str(folder / f"{condition}.jsonl"))
        how = ("--scorer", *SCORERS, "--ontology", str(self.ontology))
        return Step(
            f"score-{condition}",
            ("training.evaluate", "dst", *files, *how, "--out", str(folder / f"{condition}-scores")),
        )


class Bench:
    """Chains done side by side, as many at a time as there are jobs; what waits is given up when one fails."""

    def __init__(self, jobs: int) -> None:
        self._pool = ThreadPoolExecutor(jobs)
        self._begun: list[Future[None]] = []

    def begin(self, chain: Chain) -> Future[None]:
        """Takes its turn after those begun before."""
        self._begun.append(self._pool.submit(chain.run))
        return self._begun[-1]

    def __enter__(self) -> Bench:
        return self

    def __exit__(self, *failed: object) -> None:
        try:
            if not failed[0]:
                for each in self._begun:
                    each.result()
        finally:
            self._pool.shutdown(cancel_futures=True)
