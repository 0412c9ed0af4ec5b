"""MultiWOZ 2.1's and 2.4's JSON (2.0's as well): a log of turns, the state after a user turn beside the answer to it.

Budzianowski et al. 2018, arXiv 1810.00278; Eric et al. 2020, arXiv 1907.01669; Ye et al. 2022, arXiv 2104.00773.

Turns of the system have `metadata`, those of the user have none: that tells who speaks. Two turns of the user in a row
are one turn, for there is one state after both; where nobody answers the last turn of the user, its state is unknown
and the turn is left out. Other values that are right too stand after `|`, `<` or `>`; a slot is absent where it is
empty, "not mentioned" or "none". A booking's slots are called as in MultiWOZ 2.2: people of `book` is bookpeople.
`booked`, what was booked in the end, is no slot of a state, and `ticket` never belonged there.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from synthesis.dialogue import Dialogue
from synthesis.errors import UserError
from synthesis.grounded.shape import listed, object_at, text_at
from synthesis.task_oriented.acts import Act
from synthesis.task_oriented.corpora import act_names
from synthesis.task_oriented.corpora.said import Said, turns
from synthesis.task_oriented.state import DONTCARE, SYSTEM, USER, joined, slot_name

Row = Mapping[str, Any]
_EMPTY = frozenset({"", "not mentioned", "none"})
_DONTCARE = frozenset({"dontcare", "dont care", "don't care", "do n't care", "do not care", "does not care"})
_STRAY = frozenset({"booked", "ticket"})
_ALTERNATIVES = re.compile(r"[|<>]")


def dialogues(content: Row, place: str, told: Counter[str]) -> Iterator[tuple[str, Dialogue]]:
    """Place and dialogue of each entry, by its id."""
    for name, entry in content.items():
        where = f"{place}[{name!r}]"
        log = listed(object_at(entry, where), "log", where)
        yield where, Dialogue(name, turns(_said(log, where, told)), source="MultiWOZ 2.1/2.4")


def _said(log: list[Any], where: str, told: Counter[str]) -> list[Said]:
    entries = [(object_at(entry, f"{where}.log[{at}]"), f"{where}.log[{at}]") for at, entry in enumerate(log)]
    sides = [list(side) for _, side in itertools.groupby(entries, key=lambda entry: bool(entry[0].get("metadata")))]
    said: list[Said] = []
    for number, side in enumerate(sides):
        if side[0][0].get("metadata"):
            said += [Said(SYSTEM, text_at(entry, "text", at), _acts(entry, SYSTEM, at, told)) for entry, at in side]
        elif number + 1 < len(sides):
            state = _state(*sides[number + 1][0], told)
            said.append(_of_user(side, state, told))
        else:
            told["turn of the user that nobody answers: its state is unknown, left out"] += len(side)
    return said


def _of_user(side: Sequence[tuple[Row, str]], state: dict[str, str], told: Counter[str]) -> Said:
    told["turns of the user in a row made one"] += len(side) - 1
    text = " ".join(text_at(entry, "text", at) for entry, at in side)
    return Said(USER, text, tuple(act for entry, at in side for act in _acts(entry, USER, at, told)), state)


def _acts(entry: Row, speaker: str, at: str, told: Counter[str]) -> tuple[Act, ...]:
    return act_names.multiwoz(entry.get("dialog_act", {}), speaker, f"{at}.dialog_act", told)


def _state(entry: Row, at: str, told: Counter[str]) -> dict[str, str]:
    state: dict[str, str] = {}
    for domain, block in object_at(entry["metadata"], f"{at}.metadata").items():
        place = f"{at}.metadata.{domain}"
        parts = object_at(block, place)
        for part, prefix in (("semi", ""), ("book", "book")):
            for slot, raw in object_at(parts.get(part, {}), f"{place}.{part}").items():
                value = "" if slot == "booked" else value_of(raw, f"{place}.{part}.{slot}", told)
                if slot in _STRAY:
                    told[f"stray slot {domain}.{part}.{slot} left out"] += bool(value)
                elif value:
                    state[slot_name(domain, prefix + slot.lower().replace(" ", ""))] = value
    return state


def value_of(raw: Any, where: str, told: Counter[str]) -> str:
    """A value of these releases as a state holds it; "" where the slot is empty."""
    values = raw if isinstance(raw, list) else [raw]
    if not all(isinstance(value, str) for value in values):
        raise UserError(f"{where}: got {str(raw)[:60]!r}, expected a text")
    parts = [part.strip() for value in values for part in _ALTERNATIVES.split(value)]
    filled = [DONTCARE if part.lower() in _DONTCARE else part for part in parts if part.lower() not in _EMPTY]
    if filled and len(filled) < len(parts):
        told["alternative that says nothing left out"] += 1
    return joined(filled)
