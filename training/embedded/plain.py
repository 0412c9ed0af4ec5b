"""Plain text to learn the language from: the corpus' dialogues as transcripts, casual ones oftener than others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random

from training.embedded.friends import plain
from training.embedded.row import Row
from training.embedded.talks import Told

SHARES = {
    "self_dialogue": 1.0, "spc": 3.0, "topical_chat": 2.0, "star": 1.0, "taskmaster4": 1.0, "woz": 1.0,
    "camrest": 1.0, "dstc11_track5": 1.0, "sgd": 0.35, "mts_dialog": 1.0, "aci_bench": 1.0, "qmsum_qa": 1.0,
    "qmsum": 0.2, "medquad": 0.2, "gsm8k": 0.1, "crd3": 0.06,
}  # fmt: skip
"""How often a dialogue of a source is taken, on average (choice): casual talk up, role-play and articles down."""

WINDOW = 3200
"""Characters of a row."""


def rows(given: Sequence[Told], rng: Random) -> Iterator[Row]:
    """Transcripts of the dialogues, the long ones in parts. Sources that are not named in `SHARES` are taken once."""
    for each in given:
        share = SHARES.get(each.source, 1.0)
        for _ in range(int(share) + (rng.random() < share % 1)):
            yield from (Row("text", each.source, each.id, "", part) for part in _parts(each) if part)


def _parts(given: Told) -> Iterator[str]:
    """The transcript in parts of at most about `WINDOW` characters, cut between turns."""
    speakers = list(dict.fromkeys(speaker for speaker, _ in given.messages))
    two = len(speakers) == 2 and given.source in ("spc", "self_dialogue", "topical_chat")
    labels = {name: f"User {at + 1}" if two else name.capitalize() for at, name in enumerate(speakers)}
    part = ""
    for speaker, raw in given.messages:
        line = f"{labels[speaker]}: {plain(raw)[:WINDOW]}"
        if part and len(part) + len(line) > WINDOW:
            yield part
            part = ""
        part += f"\n{line}" if part else line
    yield part
