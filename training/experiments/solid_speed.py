"""solid-speed: what does a kept dialogue cost turn by turn, and what in one step? Both on the same server, in one run.

solid writes dialogues to learn from; training.one_step and training.sft make of them a one-step model (unless --tuned
brings one). Then, for each seed, three runs with the same subjects and plans, one after the other, each on a server
started for it with the same flags: solid; solid-rl with the same weights, held to the plan by a grammar; solid-rl with
the trained weights and no grammar, so that replies that cannot be read show. Every step is a public command; what is
done is not done again, but a run that is timed and was stopped starts anew.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from synthesis.embedded_model import SHIPPED
from synthesis.errors import UserError
from synthesis.flag_types import positive
from training.command import told
from training.speed import Cost, cost
from training.speed_report import GRAMMAR, SOLID, TUNED, write
from training.steps import Step, claim, done

FREE = ("out", "report")
"""Flags that a run may be gone on with differently: they leave what was measured as it is."""
MATERIAL_SEED = 1000
"""Of the run that is learned from; the timed ones have seeds from 0."""


def steps(flags: argparse.Namespace) -> Iterator[Step]:
    """All commands, in order; each is asked for when those before it have been done."""
    out: Path = flags.out
    base = ("--endpoint", flags.endpoint) if flags.endpoint else ("--model", flags.model)
    trained = (
        ("--endpoint", flags.tuned_endpoint) if flags.endpoint else ("--model", flags.tuned or str(out / "tuned"))
    )
    if not (flags.endpoint or flags.tuned):
        yield Step("write-material", _synth(flags, "solid", base, MATERIAL_SEED, flags.material, "material"))
        rows, held = str(out / "rows.jsonl"), str(out / "held-out.jsonl")
        aside = ("--held-out", "0.1", "--eval-out", held)
        made = ("training.one_step", str(out / "material"), "--out", rows, "--quality", "none", *aside)
        yield Step("rows", made)
        learned = ("--train_data", rows, "--eval_data", held, "--num_train_epochs", str(flags.epochs), "--seed", "0")
        start = ("--model_name_or_path", str(SHIPPED) if flags.model == "embedded" else flags.model)
        where = ("--output_dir", str(out / "tuned"))
        yield Step("train", ("training.sft", "--config", flags.training, *start, *learned, *where))
    kinds = {
        SOLID: ("solid", base, ()),
        GRAMMAR: ("solid_rl", base, ("--grammar", "true", "--quality", "")),
        TUNED: ("solid_rl", trained, ("--grammar", "false", "--quality", flags.tag)),
    }
    for seed in range(flags.seeds):
        for name, (recipe, server, fields) in kinds.items():
            folder = f"{name}-{seed}"
            yield Step(folder, _synth(flags, recipe, server, seed, flags.n, folder, fields), out / folder)


def _synth(
    flags: argparse.Namespace,
    recipe: str,
    server: Sequence[str],
    seed: int,
    n: int,
    folder: str,
    fields: Sequence[str] = (),
) -> tuple[str, ...]:
    where = ("--preset", flags.preset, "--seed", str(seed), "--out", str(flags.out / folder))
    return ("synthesis", recipe, *server, *where, "--n", str(n), "--in-flight", str(flags.in_flight), *fields)


def parser() -> argparse.ArgumentParser:
    """The flags; --quick changes what is not given."""
    made = argparse.ArgumentParser("make experiment NAME=solid-speed", description=__doc__, allow_abbrev=False)
    add = made.add_argument
    add("--quick", action="store_true", help="everything once and little of it, to see that it works")
    add("--model", default="embedded", metavar="MODEL", help="folder or Hub id (default: the embedded model)")
    add("--tuned", metavar="MODEL", help="a one-step model of the same shape (default: trained here)")
    add("--endpoint", metavar="URL", help="a server that has the model, instead of the embedded one")
    add("--tuned-endpoint", metavar="URL", help="with --endpoint: its like, with a one-step model of the same shape")
    add("--tag", default="", help="tag of quality that --tuned learned under, such as good (default: none)")
    add("--preset", help="of both recipes (default: laptop; with --endpoint: improved)")
    add("--training", default="training/solid_rl_small.yaml", metavar="YAML", help="default: solid_rl_small.yaml")
    add("--material", type=positive, metavar="N", help="dialogues to try for training (default: 2000; quick: 24)")
    add("--epochs", type=positive, metavar="N", help="of training (default: 3; quick: 1)")
    add("--n", type=positive, metavar="N", help="dialogues to try in a timed run (default: 60; quick: 6)")
    add("--seeds", type=positive, metavar="N", help="timed runs of each kind (default: 3; quick: 1)")
    add("--in-flight", type=positive, default=32, metavar="N", help="dialogues side by side (default: 32)")
    add("--out", type=Path, default=Path("runs/solid-speed"), metavar="DIR", help="default: runs/solid-speed")
    add("--report", type=Path, metavar="FILE.md", help="default: docs/experiments/solid-speed.md; quick: in --out")
    return made


def main(argv: Sequence[str] | None = None) -> None:
    """The whole experiment. Raises Failure when a step fails."""
    flags = parser().parse_args(argv)
    for name, usual, quick in (("material", 2000, 24), ("epochs", 3, 1), ("n", 60, 6), ("seeds", 3, 1)):
        if getattr(flags, name) is None:
            setattr(flags, name, quick if flags.quick else usual)
    if bool(flags.endpoint) != bool(flags.tuned_endpoint):
        raise UserError("--endpoint and --tuned-endpoint go together: what is compared needs the same kind of server")
    flags.preset = flags.preset or ("improved" if flags.endpoint else "laptop")
    plan = {name: value for name, value in vars(flags).items() if name not in FREE}
    claim(flags.out, plan)
    for step in steps(flags):
        done(step, flags.out)
    report = flags.report or (flags.out if flags.quick else Path("docs/experiments")) / "solid-speed.md"
    write(measured(flags), plan, report)
    print(f"{report} is written")


def measured(flags: argparse.Namespace) -> dict[str, list[Cost]]:
    """By kind of run its cost for each seed."""
    return {
        name: [cost(flags.out / f"{name}-{seed}") for seed in range(flags.seeds)] for name in (SOLID, GRAMMAR, TUNED)
    }


if __name__ == "__main__":
    sys.exit(told(main))
