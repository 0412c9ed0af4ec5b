"""luas-dst: what are generated dialogues worth to a state tracker, by how many real ones it learns after them?

Dialogues of people are parted by id into a test and the rest. A tracker learns n of the rest alone, or first what
recipe luas generated from the same schema and database, goals included, without a look at them. Both read their real
dialogues as often and are asked about the test, by their own states; so is the tracker that learned nothing real, and
beside them stand the empty state and the rules that check the recipe's dialogues. Every step is a public command in a
process of its own, and what is done is not done again: the same command goes on after a kill.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

from synthesis.task_oriented import ontology
from training.command import told
from training.steps import Step, claim
from training.tracking import dst_report
from training.tracking.commands import SCORERS, Bench, Chain, Commands
from training.tracking.dst_report import BOTH, EMPTY, GENERATED, REAL, RULES
from training.tracking.material import Divided, add_flags, divided, human, planned, report_path, start
from training.tracking.results import Gold, Place

NAME = "luas-dst"


@dataclass(frozen=True, slots=True)
class Size:
    """How much of everything.

    `epochs`: over n real dialogues, for each of `real` and for all of them; smaller sets are read more often.
    `most`: all is at most so many. `test`: dialogues. `standins`: in place of people's, where these lack.

    What it costs on MultiWOZ 2.1's validation split: an example has 166 tokens, n dialogues have 7.4 n. Two conditions
    and three seeds of 50, 100, 200 and 899 dialogues, so often, are 13.3 million tokens, the first stages 3.8 million.
    The shipped model reads 2,050 tokens a second and thread in training, one of 1.3M parameters about 7,000 (an
    estimate from its size). With 27 predictions and 120 processes that is about 85 minutes of one thread.
    """

    real: tuple[int, ...] = (50, 100, 200)
    epochs: tuple[int, ...] = (4, 3, 2, 1)
    seeds: tuple[int, ...] = (0, 1, 2)
    most: int | None = None
    test: int = 100
    generated: int = 450
    generated_epochs: int = 2
    standins: int = 400


QUICK = Size((8,), (1, 1), (0,), 16, 10, 16, 1, 40)


@dataclass(frozen=True, slots=True)
class Cells:
    """All chains of steps, and where their results are."""

    out: Path
    commands: Commands
    data: Divided
    size: Size
    student: str

    def generated(self) -> Chain:
        """The generated dialogues and their examples."""
        run, n = self.out / "generated", str(self.size.generated)
        return Chain(self.out, [
            self.commands.write("write-generated", run, ("--n", n)),
            self.commands.examples("examples-generated", run, self.out / "generated.jsonl"),
        ])  # fmt: skip

    def baselines(self) -> Chain:
        """What needs no learning."""
        return Chain(self.out, [step for kind in (EMPTY, RULES) for step in self.commands.baseline(kind, self.out)])

    def first(self, seed: int) -> Chain:
        """The first stage, which serves all n, and its predictions."""
        return Chain(self.folder(0, seed), self._first(seed))

    def real(self, n: int, seed: int) -> Chain:
        """n real dialogues alone."""
        return Chain(self.folder(n, seed), self._second(REAL, n, seed, start(self.student, seed, self.out)))

    def both(self, n: int, seed: int) -> Chain:
        """The same after the first stage; the examples are there."""
        folder = self.folder(n, seed)
        return Chain(folder, self._second(BOTH, n, seed, str(self.folder(0, seed) / f"model-{GENERATED}")))

    def folder(self, n: int, seed: int) -> Path:
        """Of n real dialogues; 0 is the first stage's."""
        return self.out / f"n{n}-seed{seed}"

    def _first(self, seed: int) -> Iterator[Step]:
        folder = self.folder(0, seed)
        model, begin = folder / f"model-{GENERATED}", start(self.student, seed, self.out)
        epochs = self.size.generated_epochs
        yield self.commands.train(f"train-{GENERATED}", 1, begin, self.out / "generated.jsonl", model, epochs, seed)
        yield from self.commands.predict(GENERATED, model, folder)

    def _second(self, condition: str, n: int, seed: int, begin: str) -> Iterator[Step]:
        folder = self.folder(n, seed)
        rows, model = folder / "real-rows.jsonl", folder / f"model-{condition}"
        epochs = dict(zip(self.n, self.size.epochs, strict=True))[n]
        if condition == REAL:
            yield self.commands.examples("examples-real", self.data.learned(n, seed), rows)
        stage = 1 if condition == REAL else 2
        yield self.commands.train(f"train-{condition}", stage, begin, rows, model, epochs, seed)
        yield from self.commands.predict(condition, model, folder)

    @property
    def n(self) -> tuple[int, ...]:
        """All sizes, the smallest first."""
        return (*self.size.real, self.data.every)

    def run(self, jobs: int) -> None:
        """Everything, the longest first. Raises Failure when a step fails."""
        with Bench(jobs) as bench:
            written = bench.begin(self.generated())
            alone = {(n, seed): bench.begin(self.real(n, seed)) for n in self.n[::-1] for seed in self.size.seeds}
            bench.begin(self.baselines())
            written.result()
            stages = {seed: bench.begin(self.first(seed)) for seed in self.size.seeds}
            for n in self.n[::-1]:
                for seed, stage in stages.items():
                    _all_done(stage, alone[n, seed])
                    bench.begin(self.both(n, seed))

    def places(self) -> list[Place]:
        """Where predictions are."""
        found = [Place(kind, 0, 0, self.out) for kind in (EMPTY, RULES)]
        found += [Place(GENERATED, 0, seed, self.folder(0, seed)) for seed in self.size.seeds]
        return found + [
            Place(condition, n, seed, self.folder(n, seed))
            for n in self.n
            for condition in (REAL, BOTH)
            for seed in self.size.seeds
        ]


def _all_done(*begun: Future[None]) -> None:
    for each in begun:
        each.result()


def parser() -> argparse.ArgumentParser:
    """The flags."""
    made = argparse.ArgumentParser(f"make experiment NAME={NAME}", description=__doc__, allow_abbrev=False)
    add_flags(made, NAME)
    return made


def main(argv: Sequence[str] | None = None) -> None:
    """The whole experiment and its report. Raises Failure when a step fails."""
    flags = parser().parse_args(argv)
    size = QUICK if flags.quick else Size()
    size = dataclasses.replace(size, generated=flags.dialogues or size.generated, most=flags.most or size.most)
    plan = planned(flags, size)
    claim(flags.out, plan)
    source = human(flags.human, flags.out, flags.ontology, size.standins)
    data = divided(source, flags.out / "data", size.test, size.most, size.real, size.seeds)
    cells = Cells(flags.out, Commands(flags.ontology, data.test, flags.grammar), data, size, flags.student)
    cells.run(flags.jobs)
    gold = Gold.read(data.test, ontology.read(flags.ontology))
    report = report_path(flags, NAME)
    dst_report.write(dst_report.read(cells.places(), SCORERS, gold, flags.out), plan, report)
    print(f"{report} is written")


if __name__ == "__main__":
    sys.exit(told(main))
