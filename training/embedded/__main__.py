"""Builds the embedded model's material: `python -m training.embedded --corpus FILE --out DIR`.

Reads a corpus of dialogues (JSONL.gz: source, messages, cond), what lies beside it (see friends.py) and what ships
with the recipes, and writes `text` (plain text and drills) and `calls` (examples of every call of every recipe), each
as .train.jsonl and .eval.jsonl, and facts.json: what is learned from, by source and task, and of which corpus. 2 % of
the dialogues are held out; of those with two profiles it is twice as much, as one of two held-out profiles suffices.
The same files and seed give the same bytes.

Learned rows take from no dialogue that is held out, nor do they repeat its long sentences (see apart.py). Two things
are weaker. Of two given profiles one is held out, and single traits come again (see talks.named). And spc's calls
about single traits and queries are held out by trait and by prompt: their held-out rows are new prompts, not new
sentences.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any

from synthesis.errors import UserError
from synthesis.storage import parse, read_text, sha256, write_json, write_jsonl
from training.command import told
from training.embedded import apart, autoconv, corpus, diasynth, drills, friends, luas, plain, solid, spc
from training.embedded.corpus import Corpus
from training.embedded.row import Row, fitting, held_out

LICENCES = {
    "spc": "CC-BY-4.0", "self_dialogue": "BSD-3-Clause", "topical_chat": "CDLA-Sharing-1.0", "sgd": "CC-BY-SA-4.0",
    "star": "MIT", "taskmaster4": "CC-BY-4.0", "woz": "Apache-2.0", "camrest": "CC-BY-4.0", "crd3": "CC-BY-SA-4.0",
    "dstc11_track5": "CDLA-Sharing-1.0", "medquad": "CC-BY-4.0", "qmsum": "MIT", "qmsum_qa": "MIT", "gsm8k": "MIT",
    "mts_dialog": "CC-BY-4.0", "aci_bench": "CC-BY-4.0", "multiwoz": "MIT",
    **dict.fromkeys(("seeds", "worlds", "town"), "Apache-2.0"),
    "outlines": "Apache-2.0, CC-BY-4.0, CC-BY-SA-4.0, CC-BY-3.0, MIT",
    "entities": "Apache-2.0, CC-BY-4.0, MIT",
}  # fmt: skip
"""By source. Outlines are ours and medquad's, sgd's, clinc150's and qmsum's; entities ours, medquad's, multiwoz's."""

BESIDE = ("medquad", "entities", "qmsum", "sgd", "multiwoz")
"""Sources that are read from folders beside the corpus too, where they have other ids."""

STATEMENTS = 20000
"""Statements of the corpus that are assigned to queries (choice)."""

DRILLS = 9000
"""Of each kind among the text (choice): 18 % of its tokens."""

OF_TRAITS = [f"spc.{call}" for call in (*spc.SENTENCES, *spc.QUERIES)]
"""Tasks whose keys are single traits or numbers, not dialogues."""

FEWER = 6000
"""Of each kind among the calls (choice): what was learned is kept."""


def text_rows(given: Corpus, rng: Random, scale: float) -> Iterator[Row]:
    """Plain text and drills."""
    found = list(plain.rows(given.told, rng))
    yield from found
    yield from _drilled(given, round(DRILLS * scale), rng)


def _drilled(given: Corpus, count: int, rng: Random) -> Iterator[Row]:
    """`count` drills of each kind, over documents and talks."""
    passages = [(source, each.id, each.document or "") for source, each in given.grounded]
    passages += [(talk.source, talk.id, " ".join(talk.turns)) for talk in given.casual]
    yield from drills.rows(passages, given.casual, spc.shipped("spc_names.txt"), count, rng)


def call_rows(given: Corpus, rng: Random, scale: float, dropped: Counter[str]) -> Iterator[Row]:
    """Examples of every call of every recipe, and drills. `dropped`: counts what their filters refuse."""
    learned = [talk for talk in given.casual if not held_out(talk.id)]
    known = spc.answers(learned, round(STATEMENTS * scale), rng)
    yield from spc.rows(given.casual, known, rng, scale, dropped)
    summaries = [("qmsum", each.id, each.said, each.answer) for each in given.minutes]
    yield from diasynth.rows(given.casual, given.outlines, given.casts, summaries, rng, scale, dropped)
    yield from solid.rows(corpus.seeking(given, rng, scale), given.entities, rng, scale, dropped)
    yield from autoconv.rows(given.grounded, rng, dropped)
    yield from luas.rows(given.friends, rng, scale, dropped)
    yield from _drilled(given, round(FEWER * scale), rng)


def write(rows: list[Row], folder: Path, name: str, rng: Random) -> None:
    """The rows in random order, those held out in a file of their own."""
    kept = fitting(rows)
    rng.shuffle(kept)
    for part, wanted in (("train", False), ("eval", True)):
        write_jsonl(folder / f"{name}.{part}.jsonl", (row.json() for row in kept if row.held_out == wanted))


def facts(rows: list[Row], dropped: Counter[str], absent: list[str], digest: str) -> dict[str, Any]:
    """What is learned from, by source and task; what was left out. `digest`: the corpus'."""
    fit = fitting(rows)
    learned = [row for row in fit if not row.held_out]
    pieces = {(row.source, row.key) for row in learned if row.task not in OF_TRAITS}
    dialogues = Counter(source for source, _ in pieces)
    return {
        "data": [
            {"source": source, "licence": LICENCES.get(source, "unknown"), "dialogues": dialogues[source]}
            for source, _ in Counter(row.source for row in learned).most_common()
        ],
        "corpus": digest,
        "tasks": dict(Counter(row.task for row in learned).most_common()),
        "too_long": len(rows) - len(fit),
        "dropped": dict(dropped.most_common()),
        "absent": absent,
    }


def _apart(given: Corpus, parts: dict[str, list[Row]], dropped: Counter[str]) -> dict[str, list[Row]]:
    """The parts without learned rows that repeat what is held out."""
    every = [row for rows in parts.values() for row in rows]
    said = [text for each in given.told if held_out(each.id) for _, text in each.messages]
    said += [row.answer for row in every if row.source in BESIDE and row.held_out]
    held = apart.own(every, said)
    kept = {name: apart.apart(rows, held) for name, rows in parts.items()}
    dropped.update({f"{name}: repeats what is held out": len(parts[name]) - len(kept[name]) for name in parts})
    return kept


def made(already: Sequence[Path], digest: str) -> bool:
    """Whether one of these facts.json is there. Raises UserError where it is that of another corpus' material."""
    there = [path for path in already if path.is_file()]
    for path in there:
        if parse(read_text(path, "facts"), str(path)).get("corpus") != digest:
            raise UserError(
                f"{path}: made of another corpus than the one given, or before corpora were noted; remove "
                f"{path.parent} to make it anew, or give no corpus to train on what is there"
            )
    return bool(there)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--corpus", type=Path, required=True, help="JSONL.gz of dialogues")
    parser.add_argument("--beside", type=Path, help="folder with qmsum, medquad, ... (default: the one above it)")
    parser.add_argument("--out", type=Path, required=True, help="folder for the material and facts.json")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--scale", type=float, default=1.0, help="share of the usual numbers of examples")
    parser.add_argument(
        "--unless", type=Path, nargs="+", default=[], help="facts.json of this corpus: where one is, nothing is made"
    )
    given = parser.parse_args()
    digest = sha256(given.corpus, "--corpus")
    if made(given.unless, digest):
        return
    rng, dropped = Random(given.seed), Counter[str]()
    beside = given.beside or given.corpus.resolve().parent.parent
    found = corpus.read(given.corpus, beside, rng, given.scale)
    texts = list(text_rows(found, rng, given.scale))
    calls = list(call_rows(found, rng, given.scale, dropped))
    parts = _apart(found, {"text": texts, "calls": calls}, dropped)
    for name, rows in parts.items():
        write(rows, given.out, name, rng)
    whole = facts([row for rows in parts.values() for row in rows], dropped, friends.absent(beside), digest)
    write_json(given.out / "facts.json", whole)
    print(json.dumps(whole, indent=1))


if __name__ == "__main__":
    sys.exit(told(main))
