"""Few-shots: dialogues with summaries in the form of DialogSum or SAMSum, and which of them a prompt shows.

DialogSum: `dialogue` (lines that open with #Person1#: or #Person2#:), `summary`, `topic`, `id` or `fname`. SAMSum: the
same without topic, lines that open with first names. As .jsonl, .csv, or .json (one array). Use training splits: what
is shown to the model must not come back in a test.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from synthesis import reading
from synthesis.dialogue import Dialogue
from synthesis.errors import UserError
from synthesis.storage import read_rows
from synthesis.words import words

NUMBERED = ("#Person1#", "#Person2#")
_LABEL = re.compile(r"^\s*(#Person\d+#|[^\s:#][^:]{0,40}?)\s*:", re.MULTILINE)
EXPECTED = (
    "expected the keys 'dialogue' (lines that open with '#Person1#:' as in DialogSum, or with names as in SAMSum) and "
    "'summary', and if you like 'topic' and 'id'"
)

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class FewShots:
    """Dialogues of two speakers with `summary`, shortest first; `numbered`: all by #Person1# and #Person2#."""

    dialogues: tuple[Dialogue, ...]
    numbered: bool


def load(path: Path) -> FewShots:
    """The few-shots of a file; those that are not of two speakers are left out and counted.

    Raises UserError naming the place and the expected keys for another form, and for a file with none of two speakers.
    """
    found: dict[str, Dialogue] = {}
    others = 0
    for number, (where, row) in enumerate(read_rows(path, "few-shots"), 1):
        dialogue = _dialogue(row, where, f"{path.stem}-{number}")
        if dialogue is None:
            others += 1
        elif dialogue.id in found:
            raise UserError(f"{where}: a second few-shot with the id {dialogue.id!r}")
        else:
            found[dialogue.id] = dialogue
    if not found:
        raise UserError(f"few-shots {path}: none of its {others} dialogues is one of two speakers; {EXPECTED}")
    if others:
        log.info("few-shots: %d read, %d left out that are not of two speakers", len(found), others)
    ordered = sorted(found.values(), key=lambda each: (len(words(each.text())), each.id))
    return FewShots(tuple(ordered), all(set(each.speakers) == set(NUMBERED) for each in found.values()))


def _dialogue(row: Any, where: str, id_: str) -> Dialogue | None:
    """A row as a dialogue; None when it has not two speakers."""
    if not isinstance(row, dict) or not {"dialogue", "summary"} <= set(row):
        names = sorted(map(str, row)) if isinstance(row, dict) else type(row).__name__
        raise UserError(f"{where}: has {names}; {EXPECTED}")
    said, summary, topic = row["dialogue"], row["summary"], row.get("topic") or None
    for key, text in (("dialogue", said), ("summary", summary), ("topic", topic or "none")):
        if not isinstance(text, str) or not words(text):
            raise UserError(f"{where}: {key!r} is {str(text)[:60]!r}; {EXPECTED}")
    labels = list(dict.fromkeys(_LABEL.findall(said)))
    if not labels:
        raise UserError(f"{where}: no line of its 'dialogue' opens with a speaker; {EXPECTED}")
    if len(labels) != 2:
        return None
    turns = reading.transcript(said, labels).turns
    name = row.get("id") or row.get("fname") or id_
    return Dialogue(str(name), turns, topic=topic, summary=" ".join(summary.split()))


def chosen(ordered: Sequence[Dialogue], count: int, rng: Random) -> list[Dialogue]:
    """`count` of dialogues `ordered` by length (all, if they are fewer), one of each of as many bands, shuffled.

    A topic does not come twice where its band has another.
    """
    count = min(count, len(ordered))
    drawn: list[Dialogue] = []
    for at in range(count):
        band = ordered[at * len(ordered) // count : (at + 1) * len(ordered) // count]
        shown = {each.topic for each in drawn if each.topic}
        drawn.append(rng.choice([each for each in band if each.topic not in shown] or band))
    rng.shuffle(drawn)
    return drawn
