"""What TRADE's create_data.py makes of MultiWOZ: train_dials.json, dev_dials.json, test_dials.json.

Wu et al. 2019, arXiv 1905.08743.

An entry is what the system says, what the user says then, and the state after it: the dialogue ends with the user,
for what the system says last is gone. Acts are not read: without the act only slots are left of them. Values are
written as in MultiWOZ 2.1.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from synthesis.dialogue import Dialogue
from synthesis.errors import UserError
from synthesis.grounded.shape import listed, object_at, text_at
from synthesis.task_oriented.corpora.multiwoz21 import value_of
from synthesis.task_oriented.corpora.said import Said, turns
from synthesis.task_oriented.state import SYSTEM, USER

Row = Mapping[str, Any]


def dialogues(rows: list[Any], place: str, told: Counter[str]) -> Iterator[tuple[str, Dialogue]]:
    """Place and dialogue of each row."""
    for number, each in enumerate(rows):
        where = f"{place}[{number}]"
        row = object_at(each, where)
        said = list(_said(row, where, told))
        yield where, Dialogue(text_at(row, "dialogue_idx", where), turns(said), source="MultiWOZ, as TRADE has it")


def _said(row: Row, where: str, told: Counter[str]) -> Iterator[Said]:
    for number, each in enumerate(listed(row, "dialogue", where)):
        at = f"{where}.dialogue[{number}]"
        turn = object_at(each, at)
        before = text_at(turn, "system_transcript", at)
        if before.strip():
            yield Said(SYSTEM, before)
        domain = turn.get("domain")
        domains = (domain,) if isinstance(domain, str) and domain else ()
        yield Said(USER, text_at(turn, "transcript", at), (), _state(turn, at, told), domains)


def _state(turn: Row, at: str, told: Counter[str]) -> dict[str, str]:
    state: dict[str, str] = {}
    for number, belief in enumerate(listed(turn, "belief_state", at)):
        place = f"{at}.belief_state[{number}]"
        for pair in listed(object_at(belief, place), "slots", place):
            if not (isinstance(pair, list) and len(pair) == 2 and isinstance(pair[0], str)):
                raise UserError(f"{place}.slots: got {str(pair)[:60]!r}, expected a pair of slot and value")
            value = value_of(pair[1], f"{place}.slots", told)
            if value:
                state[pair[0].lower().replace(" ", "")] = value
    return state
