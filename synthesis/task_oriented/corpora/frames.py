"""MultiWOZ 2.2's and SGD's JSON: turns with a frame for each service, states in the user's frames.

Zang et al. 2020, arXiv 2007.12720; Rastogi et al. 2020, arXiv 1909.05855.

A value is a list of spellings that are all right; they are joined by `|` in their order. A service without a frame in
a turn keeps its state: SGD has frames for the services of the turn alone. Spans and what they copy from say where a
value was told, not what the state is: they are not read. The acts of MultiWOZ 2.2 stand in a file of their own, by
dialogue and turn; those of SGD in the frames. A service call and its results become the lookup of the system's turn;
where it is not told what was called, neither is what was found.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from synthesis.dialogue import Dialogue, Lookup
from synthesis.errors import UserError
from synthesis.grounded.shape import listed, object_at, text_at
from synthesis.task_oriented.acts import Act
from synthesis.task_oriented.corpora import act_names
from synthesis.task_oriented.corpora.said import Said, turns
from synthesis.task_oriented.state import SYSTEM, USER, domain_of, joined, slot_name

Row = Mapping[str, Any]
_SPEAKERS = {"USER": USER, "SYSTEM": SYSTEM}
_OF_SGD = re.compile(r".+_\d+")


def dialogues(rows: list[Any], place: str, acts: Row, told: Counter[str]) -> Iterator[tuple[str, Dialogue]]:
    """Place and dialogue of each row. `acts`: what dialog_acts.json holds, by dialogue and turn, {} without it."""
    for number, each in enumerate(rows):
        where = f"{place}[{number}]"
        row = object_at(each, where)
        name = text_at(row, "dialogue_id", where)
        yield where, Dialogue(name, turns(_said(row, _acts_of(acts, name), where, told)), source=_corpus(row, where))


def _corpus(row: Row, where: str) -> str:
    """SGD numbers its services: Hotels_1. A dialogue of MultiWOZ may be about none."""
    services = [str(service) for service in listed(row, "services", where)]
    return "SGD" if services and all(_OF_SGD.fullmatch(service) for service in services) else "MultiWOZ 2.2"


def _acts_of(acts: Row, name: str) -> Row:
    return object_at(acts.get(name, {}), f"dialog_acts.json[{name!r}]")


def _said(row: Row, acts: Row, where: str, told: Counter[str]) -> list[Said]:
    said: list[Said] = []
    states: dict[str, dict[str, str]] = {}
    for number, each in enumerate(listed(row, "turns", where)):
        at = f"{where}.turns[{number}]"
        turn = object_at(each, at)
        speaker = _SPEAKERS.get(text_at(turn, "speaker", at))
        if speaker is None:
            raise UserError(f"{at}.speaker: got {turn['speaker']!r}, expected USER or SYSTEM")
        frames = [object_at(frame, f"{at}.frames") for frame in listed(turn, "frames", at)]
        done = _acts(acts.get(str(turn.get("turn_id", number))), frames, speaker, at, told)
        text = text_at(turn, "utterance", at)
        if speaker == SYSTEM:
            said.append(Said(SYSTEM, text, done, lookup=_lookup(frames, at, told)))
            continue
        states |= {text_at(frame, "service", at): _state(frame, at) for frame in frames}
        whole = {name: value for state in states.values() for name, value in state.items()}
        said.append(Said(USER, text, done, whole, _active(frames)))
    return said


def _acts(beside: Any, frames: list[Row], speaker: str, at: str, told: Counter[str]) -> tuple[Act, ...]:
    if beside is not None:
        entry = object_at(beside, f"{at}: dialog_acts.json")
        return act_names.multiwoz(entry.get("dialog_act", {}), speaker, f"{at}: dialog_acts.json", told)
    return tuple(
        act
        for frame in frames
        for act in act_names.sgd(text_at(frame, "service", at), _actions(frame, at), speaker, at, told)
    )


def _actions(frame: Row, at: str) -> list[Any]:
    return listed(frame, "actions", at) if "actions" in frame else []


def _state(frame: Row, at: str) -> dict[str, str]:
    """The state that a frame has, by `domain-slot`: MultiWOZ writes the service into the slot, SGD does not."""
    service = text_at(frame, "service", at)
    place = f"{at}: state of {service}"
    values = object_at(object_at(frame.get("state"), place).get("slot_values"), f"{place}.slot_values")
    return {
        slot if domain_of(slot) == service else slot_name(service, slot): value
        for slot in values
        if (value := joined(map(str, listed(values, slot, place))))
    }


def _active(frames: list[Row]) -> tuple[str, ...]:
    """Services with an intent."""
    intents = ((str(frame["service"]), frame["state"].get("active_intent") or "NONE") for frame in frames)
    return tuple(service for service, intent in intents if intent != "NONE")


def _lookup(frames: list[Row], at: str, told: Counter[str]) -> Lookup | None:
    """What was called and found; of several calls in one turn the first one."""
    calls = [frame for frame in frames if frame.get("service_call")]
    if not calls:
        return None
    told["service call beyond a turn's first left out"] += len(calls) - 1
    place = f"{at}.service_call"
    asked = object_at(object_at(calls[0]["service_call"], place).get("parameters"), f"{place}.parameters")
    found = listed(calls[0], "service_results", at) if "service_results" in calls[0] else []
    rows = [object_at(row, f"{at}.service_results") for row in found]
    return Lookup(
        text_at(calls[0], "service", at),
        {slot: str(value) for slot, value in asked.items()},
        len(rows),
        tuple({slot: str(value) for slot, value in row.items()} for row in rows),
    )
