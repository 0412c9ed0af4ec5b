"""Belief states measured: `python -m training.evaluate dst --gold FILE --pred FILE --scorer NAME`.

The scorers are the field's five, and a number means nothing without the name of its scorer. Several may be named;
each gets its tables and its place in result.json.
"""

from __future__ import annotations

import argparse
from importlib.metadata import version
from pathlib import Path

from synthesis.flag_types import whole
from synthesis.run import VERSION
from synthesis.storage import write_json
from training.rows import digest
from training.tracking.counting import States
from training.tracking.report import to_json, told
from training.tracking.scorers import SCORERS, score, scorer
from training.tracking.states import read_gold, read_predictions


def flags(one: argparse.ArgumentParser) -> None:
    """Which states, by which scorer."""
    add = one.add_argument
    add("--gold", required=True, metavar="SOURCE", help="true states: JSONL of dialogue_id, turn, state; or a corpus")
    add("--pred", required=True, type=Path, metavar="FILE", help="predicted states: JSONL of dialogue_id, turn, state")
    add("--scorer", required=True, nargs="+", choices=SCORERS, metavar="NAME", help=f"of {', '.join(SCORERS)}")
    add("--fuzzy", action="store_true", help="mwz22_official as SGD has it: open slots agree by degrees")
    add("--ontology", type=Path, metavar="DIR", help="folder with schema.json (default: the slots of MultiWOZ)")
    add("--seed", type=whole, default=0, metavar="S", help="of the bootstrap (default: 0)")
    add("--out", type=Path, metavar="DIR", help="folder for result.json (default: runs/evaluate)")


def dst(flags: argparse.Namespace) -> None:
    """Prints the tables of each scorer and leaves result.json in --out.

    Raises UserError for states that cannot be read or do not belong together, and for --fuzzy where there is none.
    """
    from synthesis.task_oriented.ontology import read

    for name in flags.scorer:
        scorer(name, flags.fuzzy)
    ontology = read(flags.ontology) if flags.ontology else None
    gold = read_gold(flags.gold)
    predicted = read_predictions(flags.pred, gold)
    found = [
        to_json(score(name, gold, predicted.states, ontology, flags.fuzzy), predicted, flags.seed)
        for name in dict.fromkeys(flags.scorer)
    ]
    out: Path = flags.out or Path("runs/evaluate")
    result = {
        "task": "dst",
        "gold": {"source": flags.gold, "turns": len(gold), "sha256": fingerprint(gold)},
        "predictions": str(flags.pred),
        "ontology": str(flags.ontology) if flags.ontology else None,
        "scores": {each["scorer"]: each for each in found},
        "versions": {"parley": VERSION, "rapidfuzz": version("rapidfuzz")},
    }
    write_json(out / "result.json", result)
    print("\n\n".join(map(told, found)))


def fingerprint(states: States) -> str:
    """SHA-256 over turns and their states, in hexadecimal: equal where the same is asked, in whatever order."""
    return digest(
        text
        for (dialogue, turn), state in sorted(states.items())
        for text in (dialogue, str(turn), *(f"{slot}={state[slot]}" for slot in sorted(state)))
    )
