"""States without learning, to hold trackers against: `python -m training.tracking.baseline KIND --data SOURCE ...`.

`empty` says nothing of any turn: it is right as long as the user has said nothing either. `rules` reads each turn by
the rules that check LUAS's generated dialogues (`synthesis.task_oriented.speech.extraction`) and adds what it read to
the state that it had. Both write what training.tracking.predict writes.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from synthesis.dialogue import Dialogue
from synthesis.storage import write_jsonl
from synthesis.task_oriented import ontology
from synthesis.task_oriented.corpora.reading import read
from synthesis.task_oriented.database import Database
from synthesis.task_oriented.speech.extraction import Rules
from synthesis.task_oriented.state import State, tracked
from training.command import told
from training.tracking.states import to_row

KINDS = ("empty", "rules")
Stated = Iterator[tuple[int, State]]
"""Of each user turn its number and the state after it."""


def empty(dialogue: Dialogue) -> Stated:
    """Nothing, whatever is said."""
    return ((number, {}) for number, _ in tracked(dialogue))


def ruled(dialogue: Dialogue, rules: Rules) -> Stated:
    """What the rules read so far, their own states going before."""
    state: dict[str, str] = {}
    domain: str | None = None
    for number, _ in tracked(dialogue):
        found = rules.read(dialogue.turns[number].text, dialogue.turns[:number], state, domain)
        state, domain = {**state, **found.told}, found.domain
        yield number, state


def parser() -> argparse.ArgumentParser:
    """The flags."""
    made = argparse.ArgumentParser("python -m training.tracking.baseline", description=__doc__, allow_abbrev=False)
    add = made.add_argument
    add("kind", choices=KINDS, help="who tells the states")
    add("--data", required=True, metavar="SOURCE", help="dialogues: corpus, run folder, file or dataset")
    add("--ontology", type=Path, required=True, metavar="DIR", help="folder with schema.json and db, for the rules")
    add("--out", type=Path, required=True, metavar="FILE", help="JSONL to write")
    return made


def main(argv: Sequence[str] | None = None) -> None:
    flags = parser().parse_args(argv)
    schema = ontology.read(flags.ontology)
    rules = Rules(schema, Database.read(flags.ontology, schema)) if flags.kind == "rules" else None
    dialogues = read(flags.data)
    rows = [
        to_row((dialogue.id, number), state)
        for dialogue in dialogues
        for number, state in (ruled(dialogue, rules) if rules else empty(dialogue))
    ]
    write_jsonl(flags.out, rows)
    print(f"{flags.out}: {len(rows)} states of {len(dialogues)} dialogues, {flags.kind}")


if __name__ == "__main__":
    sys.exit(told(main))
