"""Examples for trackers: `python -m training.tracking.examples SOURCE --ontology DIR --out ROWS.jsonl`.

SOURCE is whatever `synthesis.task_oriented.corpora.reading` reads: a corpus with belief states, a run, a dataset. Each
turn of the user becomes a row of prompt and completion for training.sft: the dialogue up to it is read, the state
after it is learned, or with --form delta what it changes in the state before. Where a row has more than --max-length
tokens the oldest turns go, never the target. Slots that the ontology does not track are left out of the states.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from synthesis.dialogue import Dialogue, to_json
from synthesis.errors import UserError
from synthesis.flag_types import positive, share, whole
from synthesis.storage import dump, write_json, write_jsonl
from synthesis.task_oriented.corpora.reading import read
from synthesis.task_oriented.state_form import Form
from training.command import told
from training.conversations import Count, named, token_count
from training.rows import digest
from training.tracking.parts import parted
from training.tracking.prompts import FORMS, Asked, asked, fitted, form_of, unknown

TASK = "dialogue state tracking"
"""What a model card says a model is meant for that learned from these rows."""

LONGEST = 1536
Row = dict[str, Any]


@dataclass(slots=True)
class Examples:
    """Makes rows out of dialogues, and counts what it had to cut or leave out.

    `count`: tokens of a text, None to cut nothing; `longest`: tokens of prompt, target and the end, at most;
    `last`: turns of the dialogue in a prompt, at most; None: all.
    """

    form: Form
    count: Count | None = None
    longest: int = LONGEST
    last: int | None = None
    counted: Counter[str] = field(default_factory=Counter)

    def rows(self, dialogue: Dialogue, source: str) -> Iterator[Row]:
        """A row for each turn of the user; none for one whose last word does not fit beside its target."""
        for turn in asked(dialogue, self.form.ontology, self.last):
            target = self.form.target(turn.before, turn.after)
            prompt = self._prompt(turn, target)
            if prompt is not None:
                about = {"task": TASK, "source": source, "dialogue_id": turn.dialogue, "turn": turn.number}
                yield {"prompt": prompt, "completion": target, **about}

    def _prompt(self, turn: Asked, target: str) -> str | None:
        prompt = self.form.prompt(turn.turns, turn.before)
        if self.count is None:
            return prompt.text()
        count, room = self.count, self.longest - self.count(target) - 1  # one for the end
        found = fitted(prompt, lambda text: count(text) <= room)
        if found is None:
            self.counted["turns longer than the longest example, left out"] += 1
            return None
        self.counted["histories cut"] += bool(found.turns)
        self.counted["turns cut off histories"] += found.turns
        self.counted["last turns cut"] += bool(found.words)
        return found.text


def parser() -> argparse.ArgumentParser:
    """The flags."""
    made = argparse.ArgumentParser("python -m training.tracking.examples", description=__doc__, allow_abbrev=False)
    add = made.add_argument
    add("source", metavar="SOURCE", help="corpus, run folder, file of dialogues, or dataset as folder:config:split")
    add("--ontology", type=Path, required=True, metavar="DIR", help="folder with schema.json")
    add("--out", type=Path, required=True, metavar="FILE", help="JSONL to write")
    add("--form", choices=FORMS, default=FORMS[0], help="what is learned (default: cumulative, the whole state)")
    add("--schema", action="store_true", help="slots, what they mean and their values stand in the prompt")
    add("--tokenizer", metavar="M", help="folder or Hub id whose tokens --max-length counts; without: nothing is cut")
    add("--max-length", type=positive, metavar="N", help=f"tokens of prompt, target and end (default: {LONGEST})")
    add("--turns", type=positive, metavar="N", help="the last N turns in a prompt, not all (for a delta form)")
    add("--dialogues", type=positive, metavar="N", help="so many, by --seed: 50 are among the 100 of the same seed")
    add("--seed", type=whole, default=0, metavar="S", help="of that choice (default: 0)")
    add("--held-out", type=share, default=0.0, metavar="X", help="share of the dialogues to put aside for --eval-out")
    add("--eval-out", type=Path, metavar="FILE", help="JSONL with the examples of these")
    add("--test", type=share, default=0.0, metavar="X", help="share of the dialogues, none of those, for --test-out")
    add("--test-out", type=Path, metavar="FILE", help="JSONL with these dialogues as they are, for predictions")
    add("--facts", type=Path, metavar="FILE", help="what went in, for the card (default: beside --out)")
    return made


def main(argv: Sequence[str] | None = None) -> None:
    flags = parser().parse_args(argv)
    _check(flags)
    form = form_of(flags.form, flags.ontology, flags.schema)
    dialogues = read(flags.source)
    _worth_it(dialogues, form, flags)
    parts = parted(dialogues, flags.held_out, flags.test, flags.dialogues, flags.seed)
    count = token_count(flags.tokenizer, 0) if flags.tokenizer else None
    make = Examples(form, count, flags.max_length or LONGEST, flags.turns)
    source = named(flags.source)
    learned = [row for dialogue in parts.learned for row in make.rows(dialogue, source)]
    aside = [row for dialogue in parts.held_out for row in make.rows(dialogue, source)]
    strange = unknown((*parts.learned, *parts.held_out), form.ontology)
    make.counted["values of slots that the ontology lacks, left out"] += sum(strange.values())
    for path, made in ((flags.out, learned), (flags.eval_out, aside)):
        if path and not made:
            raise UserError(f"{path}: no example is left of {flags.source}: {_words(make.counted)}")
        if path:
            write_jsonl(path, made)
    if flags.test_out:
        write_jsonl(flags.test_out, map(to_json, parts.test))
    data = {"source": source, "dialogues": len(parts.learned), "examples": len(learned)}
    facts = {
        "data": [data | {"sha256": digest(map(dump, learned))}],
        **{"form": flags.form, "schema": flags.schema, "turns": flags.turns, "seed": flags.seed},
        **{"held_out": len(parts.held_out), "test": len(parts.test)},
        "counted": +make.counted,
        "slots_left_out": strange,
    }
    write_json(flags.facts or flags.out.with_suffix(".facts.json"), facts)
    print(f"{flags.out}: {len(learned)} examples of {len(parts.learned)} dialogues; {_words(make.counted)}")


def _check(flags: argparse.Namespace) -> None:
    """Raises UserError for flags that say nothing together."""
    if bool(flags.held_out) != bool(flags.eval_out) or bool(flags.test) != bool(flags.test_out):
        raise UserError(
            "--held-out X goes with --eval-out FILE, and --test X with --test-out FILE: what is put aside has to be "
            "written somewhere"
        )
    if flags.max_length and not flags.tokenizer:
        raise UserError("--max-length counts tokens and needs the model's: give --tokenizer M")


def _worth_it(dialogues: Sequence[Dialogue], form: Form, flags: argparse.Namespace) -> None:
    """Raises UserError where there is nothing to learn: no turn of the user, or no state with a slot."""
    turns = [turn for dialogue in dialogues for turn in asked(dialogue, form.ontology)]
    if not turns:
        raise UserError(f"{flags.source}: no turn of the user in {len(dialogues)} dialogues, so nothing to learn")
    if not any(turn.after for turn in turns):
        has = ", ".join(unknown(dialogues, form.ontology)) or "no slots at all"
        raise UserError(
            f"{flags.source}: no state of its {len(turns)} turns has a slot of the ontology {flags.ontology}, they "
            f"have {has}; give the ontology that belongs to the dialogues"
        )


def _words(counted: Counter[str]) -> str:
    return ", ".join(f"{number} {what}" for what, number in counted.items() if number) or "nothing was left out or cut"


if __name__ == "__main__":
    sys.exit(told(main))
