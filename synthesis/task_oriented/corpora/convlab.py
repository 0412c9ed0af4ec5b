"""ConvLab's unified form: dialogues.json with acts by kind and nested states.

Zhu et al. 2023, arXiv 2211.17148 (ConvLab-3).

Names with blanks lose them ("book day" is bookday), as in MultiWOZ 2.2. Other values that are right too stand after
a `|`. What is booked, what a database gave, and the corpus's own goal are not read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from synthesis.dialogue import Dialogue
from synthesis.errors import UserError
from synthesis.grounded.shape import listed, object_at, text_at
from synthesis.task_oriented.acts import Act
from synthesis.task_oriented.corpora import act_names
from synthesis.task_oriented.corpora.files import SPLITS
from synthesis.task_oriented.corpora.said import Said, turns
from synthesis.task_oriented.state import SYSTEM, USER, joined, slot_name, split

Row = Mapping[str, Any]
_SPEAKERS = {"user": USER, "system": SYSTEM}
_KINDS = ("categorical", "non-categorical", "binary")


def dialogues(rows: list[Any], place: str, told: Counter[str]) -> Iterator[tuple[str, Dialogue, str | None]]:
    """Place, dialogue and split of each row."""
    for number, each in enumerate(rows):
        where = f"{place}[{number}]"
        row = object_at(each, where)
        said = [_said(turn, f"{where}.turns[{at}]", told) for at, turn in enumerate(listed(row, "turns", where))]
        corpus = row.get("dataset")
        source = f"{corpus}, as ConvLab has it" if isinstance(corpus, str) and corpus else "ConvLab"
        made = Dialogue(text_at(row, "dialogue_id", where), turns(said), source=source)
        yield where, made, SPLITS.get(str(row.get("data_split")))


def _said(value: Any, where: str, told: Counter[str]) -> Said:
    row = object_at(value, where)
    speaker = _SPEAKERS.get(text_at(row, "speaker", where))
    if speaker is None:
        raise UserError(f"{where}.speaker: got {row['speaker']!r}, expected user or system")
    by_kind = object_at(row.get("dialogue_acts", {}), f"{where}.dialogue_acts")
    acts = tuple(_acts(by_kind, speaker, f"{where}.dialogue_acts", told))
    state = _state(row, where) if speaker == USER else None
    return Said(speaker, text_at(row, "utterance", where), acts, state)


def _acts(by_kind: Row, speaker: str, where: str, told: Counter[str]) -> Iterator[Act]:
    for kind in _KINDS:
        for each in listed(by_kind, kind, where) if kind in by_kind else []:
            act = object_at(each, f"{where}.{kind}")
            domain, intent, slot = (_name(act, key, f"{where}.{kind}") for key in ("domain", "intent", "slot"))
            yield from act_names.named((domain, intent, slot, str(act.get("value") or "")), speaker, told)


def _state(row: Row, where: str) -> dict[str, str]:
    state: dict[str, str] = {}
    for domain, slots in object_at(row.get("state"), f"{where}.state").items():
        for slot, raw in object_at(slots, f"{where}.state.{domain}").items():
            if not isinstance(raw, str):
                raise UserError(f"{where}.state.{domain}.{slot}: got {str(raw)[:60]!r}, expected a text")
            value = joined(split(raw))
            if value:
                state[slot_name("".join(domain.split()), "".join(slot.split()))] = value
    return state


def _name(act: Row, key: str, where: str) -> str:
    return "".join(text_at(act, key, where).split())
