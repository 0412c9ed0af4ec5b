"""luas-replace: can generated dialogues of one domain stand in for people's?

Trackers learn the same dialogues of people three times: as they are, with all exchanges about one domain taken out,
and with generated dialogues about this domain put in their place. All are asked about dialogues of people, by their
own states. Every step is a public command in a process of its own, and what is done is not done again: the same
command goes on after a kill.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from synthesis.task_oriented import ontology
from training.command import told
from training.steps import Step, claim
from training.tracking import replace_report
from training.tracking.commands import SCORERS, Bench, Chain, Commands
from training.tracking.material import Divided, add_flags, divided, human, planned, report_path, start
from training.tracking.replace_report import REAL, REMOVED, REPLACED
from training.tracking.results import Gold, Place

NAME = "luas-replace"


@dataclass(frozen=True, slots=True)
class Size:
    """How much of everything. `most`: real dialogues at most; `test`: dialogues; `standins`: in place of people's."""

    seeds: tuple[int, ...] = (0, 1, 2)
    most: int | None = None
    test: int = 100
    generated: int = 400
    epochs: int = 1
    standins: int = 600


QUICK = Size((0,), 16, 10, 10, 1, 40)


@dataclass(frozen=True, slots=True)
class Cells:
    """All chains of steps, and where their results are."""

    out: Path
    commands: Commands
    data: Divided
    size: Size
    domain: str
    student: str

    def generated(self) -> Chain:
        """Generated dialogues of the domain alone."""
        fields = ("--n", str(self.size.generated), "--domains", self.domain)
        return Chain(self.out, [self.commands.write("write-generated", self.out / "generated", fields)])

    def tracker(self, condition: str, seed: int) -> Chain:
        """A tracker from its dialogues to its scores."""
        return Chain(self.folder(condition, seed), self._tracker(condition, seed))

    def folder(self, condition: str, seed: int) -> Path:
        """For all of a tracker."""
        return self.out / f"{condition}-seed{seed}"

    def _tracker(self, condition: str, seed: int) -> Iterator[Step]:
        folder = self.folder(condition, seed)
        dialogues, rows = self.data.learned(self.data.every, seed), folder / "rows.jsonl"
        if condition != REAL:
            made = folder / "dialogues.jsonl"
            yield self._replaced(condition, dialogues, made, seed)
            dialogues = made
        yield self.commands.examples("examples", dialogues, rows)
        begin, model = start(self.student, seed, self.out), folder / "model"
        yield self.commands.train("train", 1, begin, rows, model, self.size.epochs, seed)
        yield from self.commands.predict(condition, model, folder)

    def _replaced(self, condition: str, real: Path, made: Path, seed: int) -> Step:
        put = ("--generated", str(self.out / "generated")) if condition == REPLACED else ()
        where = ("--domain", self.domain, "--ontology", str(self.commands.ontology), "--out", str(made))
        arguments = ("training.tracking.replacement", "--real", str(real), *put, *where, "--seed", str(seed))
        return Step("replace", arguments)

    def run(self, jobs: int) -> None:
        """Everything. Raises Failure when a step fails."""
        with Bench(jobs) as bench:
            written = bench.begin(self.generated())
            for condition in (REAL, REMOVED):
                for seed in self.size.seeds:
                    bench.begin(self.tracker(condition, seed))
            written.result()
            for seed in self.size.seeds:
                bench.begin(self.tracker(REPLACED, seed))

    def places(self) -> list[Place]:
        """Where predictions are."""
        return [
            Place(condition, self.data.every, seed, self.folder(condition, seed))
            for condition in (REAL, REPLACED, REMOVED)
            for seed in self.size.seeds
        ]


def parser() -> argparse.ArgumentParser:
    """The flags."""
    made = argparse.ArgumentParser(f"make experiment NAME={NAME}", description=__doc__, allow_abbrev=False)
    made.add_argument("--domain", default="hotel", metavar="D", help="what is replaced (default: hotel)")
    add_flags(made, NAME)
    return made


def main(argv: Sequence[str] | None = None) -> None:
    """The whole experiment and its report. Raises Failure when a step fails."""
    flags = parser().parse_args(argv)
    size = QUICK if flags.quick else Size()
    size = dataclasses.replace(size, generated=flags.dialogues or size.generated, most=flags.most or size.most)
    schema = ontology.read(flags.ontology)
    domain = schema.domain(flags.domain).name
    plan = planned(flags, size)
    claim(flags.out, plan)
    source = human(flags.human, flags.out, flags.ontology, size.standins)
    data = divided(source, flags.out / "data", size.test, size.most, (), size.seeds)
    cells = Cells(flags.out, Commands(flags.ontology, data.test, flags.grammar), data, size, domain, flags.student)
    cells.run(flags.jobs)
    report = report_path(flags, NAME)
    found = replace_report.read(cells.places(), SCORERS, Gold.read(data.test, schema), domain, flags.out)
    replace_report.write(found, plan, report)
    print(f"{report} is written")


if __name__ == "__main__":
    sys.exit(told(main))
