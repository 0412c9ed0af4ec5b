"""autoconv-loop: does a student gain from conversations that a teacher, trained on n human ones, has written?

For each n and seed, a cell: n human conversations are drawn; the teacher (the embedded model) learns them and writes
about documents without any; a student from scratch learns the n alone, or first what the teacher wrote; all answer
held-out questions. For the middle n also with the filter off, and with answers by nucleus sampling. Every step is a
public command in a process of its own, and what is done is not done again: the same command goes on after a kill.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from synthesis.dialogue import to_json
from synthesis.embedded_model import SHIPPED
from synthesis.flag_types import positive
from synthesis.storage import write_jsonl
from training import material, pages, worlds
from training.command import told
from training.loop_report import write
from training.loop_results import ALONE, LOOP, NUCLEUS, TEACHER, UNFILTERED, kept, read
from training.models import UNTRAINED, Shape, fresh
from training.steps import Step, claim, done

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data" / "medquad"
STUDENT = Shape(hidden=128, layers=4, heads=4, intermediate=352)
"""1.3M parameters with the embedded model's tokenizer; a choice, so that all is done in time on two cores."""

SYNTH = ("--preset", "laptop", "--candidates", "1")
KEEP = ("--diversity", "5", "--grounded", "words", "--floor", "0.2")
TAKE_ALL = ("--diversity", "none", "--grounded", "none", "--repeat", "1", "--fewest-turns", "1")
SAMPLED = ("--answer-temperature", "1.0", "--answer-top-p", "0.95")
FREE = ("out", "jobs", "report")
"""Flags that a run may be gone on with differently: they leave what was measured as it is."""


@dataclass(frozen=True, slots=True)
class Size:
    """How much of everything."""

    n: tuple[int, ...] = (10, 50, 100)
    seeds: tuple[int, ...] = (0, 1, 2)
    test: int = 60
    documents: int = 180
    pretrain_epochs: int = 3
    epochs: int = 10


QUICK = Size((10,), (0,), 8, 16, 1, 4)


@dataclass(frozen=True, slots=True)
class Cell:
    """`n` human conversations drawn by `seed`, and the folder for all that is made of them."""

    n: int
    seed: int
    out: Path

    @property
    def folder(self) -> Path:
        return self.out / f"n{self.n}-seed{self.seed}"

    def at(self, name: str) -> str:
        """A path in the folder."""
        return str(self.folder / name)

    @property
    def data(self) -> Path:
        return self.out / "data"

    def steps(self, size: Size) -> Iterator[Step]:
        """All commands, in order; each is asked for when those before it have been done."""
        yield self._examples("teacher", "human.jsonl", "teacher", held_out=True)
        yield self._sft("autoconv_teacher_small", TEACHER, str(SHIPPED), "teacher", size.epochs)
        yield self._examples("student", "human.jsonl", "questions", held_out=True)
        yield from self._student(ALONE, str(self.out / f"start{self.seed}"), size)
        yield self._synth("synthetic", size, KEEP)
        yield from self._pretrained(LOOP, "synthetic", size)
        if self.n == middle(size):
            yield self._synth("unfiltered", size, TAKE_ALL)
            yield from self._pretrained(UNFILTERED, "unfiltered", size)
            yield self._synth(NUCLEUS, size, (*TAKE_ALL, *SAMPLED))
        yield from self._evaluated(TEACHER, "teacher")

    def _pretrained(self, name: str, synthetic: str, size: Size) -> Iterator[Step]:
        """Both stages, once the conversations are there; the second alone when none was kept."""
        start = str(self.out / f"start{self.seed}")
        if kept(self.folder / synthetic):
            yield self._examples("student", synthetic, synthetic)
            yield self._sft("autoconv_student_small_pretrain", f"{name}-first", start, synthetic, size.pretrain_epochs)
            start = self.at(f"{name}-first")
        yield from self._student(name, start, size)

    def _student(self, name: str, start: str, size: Size) -> Iterator[Step]:
        yield self._sft("autoconv_student_small_finetune", name, start, "questions", size.epochs)
        yield from self._evaluated(name, "student")

    def _examples(self, whose: str, source: str, name: str, *, held_out: bool = False) -> Step:
        aside = ("--held-out", "0.1", "--eval-out", self.at(f"{name}-held-out.jsonl")) if held_out else ()
        fit = ("--tokenizer", str(SHIPPED), "--longest", "960", "--seed", str(self.seed))
        made = ("training.conversations", whose, self.at(source), "--out", self.at(f"{name}.jsonl"), *aside, *fit)
        return Step(f"examples-{name}", made)

    def _sft(self, config: str, name: str, start: str, data: str, epochs: int) -> Step:
        arguments = [
            "training.sft", "--config", f"training/{config}.yaml", "--model_name_or_path", start,
            "--train_data", self.at(f"{data}.jsonl"), "--output_dir", self.at(name), "--seed", str(self.seed),
            "--num_train_epochs", str(epochs), "--train_config", "", "--prompt_column", "prompt",
            "--completion_column", "completion",
        ]  # fmt: skip
        if name.endswith("-first"):  # steps are too few for the schedule of a larger pre-training
            arguments += ["--lr_scheduler_type", "linear", "--lr_scheduler_kwargs", "{}"]
        else:
            arguments += ["--eval_data", self.at(f"{data}-held-out.jsonl")]
        return Step(f"train-{name}", tuple(arguments))

    def _synth(self, name: str, size: Size, fields: Sequence[str]) -> Step:
        return Step(f"write-{name}", (
            "synthesis", "autoconv", *SYNTH, *fields, "--model", self.at(TEACHER), "--human", self.at("human.jsonl"),
            "--documents", str(self.data / "documents.jsonl"), "--exclude", str(self.data / "test.jsonl"),
            "--n", str(size.documents), "--seed", str(self.seed), "--threads", "1", "--out", self.at(name),
        ))  # fmt: skip

    def _evaluated(self, name: str, form: str) -> Iterator[Step]:
        """Answers are written once and judged by both rules."""
        common = ("--data", str(self.data / "test.jsonl"))
        squad, quac = self.at(f"{name}-squad"), self.at(f"{name}-quac")
        asked = ("--model", self.at(name), "--form", form, "--rules", "squad", "--out", squad)
        yield Step(f"ask-{name}", ("training.evaluate", "qa", *asked, *common))
        judged = ("--pred", f"{squad}/predictions.jsonl", "--rules", "quac", "--out", quac)
        yield Step(f"judge-{name}", ("training.evaluate", "qa", *judged, *common))


def middle(size: Size) -> int:
    """The n for which filter and decoding are compared."""
    return sorted(size.n)[len(size.n) // 2]


def prepare(flags: argparse.Namespace, size: Size) -> list[Cell]:
    """Material, students to start from and each cell's human conversations, the smaller n part of the larger."""
    most = max(size.n)
    if flags.source == "pages":
        found = pages.conversations(pages.read(flags.pages), 0)
    else:
        found = worlds.conversations(most + size.test + size.documents, 0)
    made = material.split(found, most, size.test, size.documents, 0)
    material.write(made, flags.out / "data")
    for seed in size.seeds:
        if not (flags.out / f"start{seed}" / UNTRAINED).is_file():
            fresh(SHIPPED, STUDENT, seed, flags.out / f"start{seed}")
    cells = [Cell(n, seed, flags.out) for n in sorted(size.n, reverse=True) for seed in size.seeds]
    for cell in cells:
        order = list(made.train)
        Random(f"human:{cell.seed}").shuffle(order)
        write_jsonl(cell.folder / "human.jsonl", map(to_json, order[: cell.n]))
    return cells


def planned(flags: argparse.Namespace, size: Size) -> dict[str, Any]:
    """What the results in --out depend on."""
    given = {name: str(value) for name, value in vars(flags).items() if name not in FREE}
    plan: dict[str, Any] = given | {name: getattr(size, name) for name in Size.__slots__}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in plan.items()}


def parser() -> argparse.ArgumentParser:
    """The flags."""
    made = argparse.ArgumentParser("make experiment NAME=autoconv-loop", description=__doc__, allow_abbrev=False)
    add = made.add_argument
    add("--quick", action="store_true", help="everything once and little of it, to see that it works")
    add("--source", choices=("pages", "worlds"), default="pages" if SHARED.is_dir() else "worlds",
        help="talk about medical pages, or about made-up subjects (default: pages where they are)")  # fmt: skip
    add("--pages", type=Path, default=SHARED, metavar="DIR", help="MedQuAD's XML (default: ../shared/data/medquad)")
    add("--jobs", type=positive, default=2, metavar="N", help="cells at a time, a thread each (default: 2)")
    add("--out", type=Path, default=Path("runs/autoconv-loop"), metavar="DIR", help="default: runs/autoconv-loop")
    add("--report", type=Path, metavar="FILE.md", help="default: docs/experiments/autoconv-loop.md; quick: in --out")
    return made


def main(argv: Sequence[str] | None = None) -> None:
    """The whole experiment. Raises Failure when a step fails."""
    flags = parser().parse_args(argv)
    size = QUICK if flags.quick else Size()
    plan = planned(flags, size)
    claim(flags.out, plan)
    cells = prepare(flags, size)

    def through(cell: Cell) -> None:
        for step in cell.steps(size):
            done(step, cell.folder)

    with ThreadPoolExecutor(flags.jobs) as pool:
        list(pool.map(through, cells))
    report = flags.report or (flags.out if flags.quick else Path("docs/experiments")) / "autoconv-loop.md"
    write(read([(cell.n, cell.seed, cell.folder) for cell in cells], middle(size)), plan, report)
    print(f"{report} is written")


if __name__ == "__main__":
    sys.exit(told(main))
