"""What experiments with trackers are given: flags, people's dialogues parted by id, and the student to start from.

Where there are no dialogues of people, dialogues of the recipe itself stand for them: of another seed, whose users
refer back, begin vaguely and ask in vain more often. What comes out then says that the machinery works, and nothing
about people's dialogues.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from synthesis.dialogue import to_json
from synthesis.embedded_model import SHIPPED
from synthesis.flag_types import positive
from synthesis.storage import write_jsonl
from synthesis.task_oriented.corpora.reading import read
from training.models import UNTRAINED, Shape, fresh
from training.tracking.commands import Chain, Commands
from training.tracking.parts import parted

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data" / "multiwoz"
CORPUS = SHARED / "val.json.zip"
TOWN = Path(__file__).resolve().parents[2] / "synthesis" / "recipes" / "luas_ontology"
OTHER = ("--seed", "1000", "--coreference", "0.5", "--opener", "0.3", "--vain", "0.3")
"""How stand-ins for people's dialogues differ from generated ones."""

SMALL = Shape(hidden=128, layers=4, heads=4, intermediate=352)
"""1.3M parameters, from scratch, with the embedded model's tokenizer."""


FREE = ("out", "jobs", "report")
"""Flags that a run may be gone on with differently: they leave what was measured as it is."""


def add_flags(made: argparse.ArgumentParser, name: str) -> None:
    """The flags that both experiments have."""
    add = made.add_argument
    add("--quick", action="store_true", help="everything once and little of it, to see that it works")
    add("--human", metavar="SOURCE", default=str(CORPUS) if CORPUS.is_file() else None,
        help="dialogues of people with states (default: MultiWOZ 2.1's validation split where it is, else the "
        "recipe's own stand for them)")  # fmt: skip
    add("--ontology", type=Path, metavar="DIR", default=SHARED if CORPUS.is_file() else TOWN,
        help="their schema and database (default: MultiWOZ's beside the split, else our own town's)")  # fmt: skip
    add("--student", choices=("embedded", "scratch"), default="scratch",
        help="what learns: the shipped model of 5.9M parameters, or one of 1.3M without any training, which learns "
        "four times as many tokens in the same time (default: scratch)")  # fmt: skip
    add("--dialogues", type=positive, metavar="N", help="generated dialogues to ask for (default: as the size is)")
    add(
        "--most",
        type=positive,
        metavar="N",
        help="learn no more than N real dialogues, for want of time (default: all)",
    )
    add("--grammar", action="store_true", help="replies are held to the ontology's slots and closed lists")
    add("--jobs", type=positive, default=2, metavar="N", help="commands at a time, a thread each (default: 2)")
    add("--out", type=Path, default=Path("runs") / name, metavar="DIR", help=f"default: runs/{name}")
    add("--report", type=Path, metavar="FILE.md", help=f"default: docs/experiments/{name}.md; quick: in --out")


def planned(flags: argparse.Namespace, size: Any) -> dict[str, Any]:
    """What the results in --out depend on: the flags, and the experiment's `size`, a dataclass."""
    given = {name: value for name, value in vars(flags).items() if name not in FREE}
    plan = given | {"ontology": str(flags.ontology)} | dataclasses.asdict(size)
    return {name: list(value) if isinstance(value, tuple) else value for name, value in plan.items()}


def report_path(flags: argparse.Namespace, name: str) -> Path:
    """Where the report goes; a quick one is no document."""
    return Path(flags.report or (flags.out if flags.quick else Path("docs/experiments")) / f"{name}.md")


@dataclass(frozen=True, slots=True)
class Divided:
    """Files of dialogues: the test's, and by size and seed what is learned; `every`: how many there are to learn."""

    folder: Path
    every: int

    @property
    def test(self) -> Path:
        return self.folder / "test.jsonl"

    def learned(self, n: int, seed: int) -> Path:
        """`n` dialogues drawn by the seed; the fewer are among the more."""
        return self.folder / f"real-{n}-{seed}.jsonl"


def human(given: str | None, out: Path, ontology: Path, n: int) -> str:
    """The source of people's dialogues; without one the recipe's stand-ins, made here."""
    if given is not None:
        return given
    run = out / "stand-ins"
    Chain(out, [Commands(ontology, run).write("write-standins", run, ("--n", str(n), *OTHER))]).run()
    return str(run)


def divided(
    source: str, folder: Path, test: int, most: int | None, sizes: Sequence[int], seeds: Sequence[int]
) -> Divided:
    """Parts the dialogues by id: `test` of them, and to learn `sizes` of the others and all of these, or `most`.

    Raises UserError for fewer dialogues than the largest size and the test need.
    """
    dialogues = read(source)
    share = test / len(dialogues)
    rest = len(parted(dialogues, 0.0, share, None, 0).learned)
    made = Divided(folder, rest if most is None else min(rest, most))
    for seed in seeds:
        for n in (*sizes, made.every):
            parts = parted(dialogues, 0.0, share, n, seed)
            write_jsonl(made.learned(n, seed), map(to_json, parts.learned))
            write_jsonl(made.test, map(to_json, parts.test))
    return made


def start(student: str, seed: int, out: Path) -> str:
    """The model that a seed's training begins with."""
    if student == "embedded":
        return str(SHIPPED)
    folder = out / f"start{seed}"
    if not (folder / UNTRAINED).is_file():
        fresh(SHIPPED, SMALL, seed, folder)
    return str(folder)
