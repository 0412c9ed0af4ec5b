"""MultiWOZ 2.2's and SGD's forms of a dialogue with belief states, for readers that know only these.

A turn of the user has a frame for every domain that has come up so far, a turn of the system for those that it is
about. A span is where a value stands in the words literally; a value in other words has none.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from synthesis.dialogue import Dialogue, Json, Lookup, Turn
from synthesis.errors import BuildError, UserError
from synthesis.task_oriented.acts import GENERAL, Act, parse
from synthesis.task_oriented.state import SYSTEM, USER, State, domain_of, first_values, slot_name, split

COUNT = "count"
"""The slot of acts that tell how many results there are. No schema has it."""
RIDES = "taxi"
"""The domain in which nothing is looked for: all one can do is book."""
NO_INTENT = "NONE"

_MULTIWOZ = {
    (USER, "book"): "Book",
    (SYSTEM, "booked"): "Book",
    (SYSTEM, "refuse"): "NoBook",
    (SYSTEM, "nooffer"): "NoOffer",
}
"""Acts whose name there is not ours with a capital letter."""
_SGD = {
    (USER, "book"): "AFFIRM_INTENT",
    (USER, "recommend"): "REQUEST_ALTS",
    (SYSTEM, "recommend"): "OFFER",
    (SYSTEM, "nooffer"): "NOTIFY_FAILURE",
    (SYSTEM, "refuse"): "NOTIFY_FAILURE",
    (SYSTEM, "booked"): "NOTIFY_SUCCESS",
    (SYSTEM, "reqmore"): "REQ_MORE",
    (USER, "thank"): "THANK_YOU",
    (SYSTEM, "thank"): "THANK_YOU",
    (USER, "bye"): "GOODBYE",
    (SYSTEM, "bye"): "GOODBYE",
}
"""Acts whose name there is not ours in capitals."""


@dataclass(frozen=True, slots=True)
class Span:
    """Where a slot's value stands in an utterance: first character, and one after the last."""

    slot: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Frame:
    """One domain in one turn, slots without it. `intent`, `requested` and `values` are of the user's turns alone."""

    domain: str
    acts: tuple[Act, ...]
    spans: tuple[Span, ...]
    intent: str = NO_INTENT
    requested: tuple[str, ...] = ()
    values: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


# ---- frames ---------------------------------------------------------------------------------------------------------


def framed(dialogue: Dialogue) -> Iterator[tuple[Turn, tuple[Act, ...], list[Frame]]]:
    """Each turn with its acts and its frames. Raises BuildError for other speakers and a user's turn without state."""
    seen: dict[str, None] = {}
    booked: set[str] = set()
    active, before = "", dict[str, str]()
    for number, turn in enumerate(dialogue.turns):
        acts = _acts(dialogue, number)
        named = [turn.domain or "", *(act.domain for act in acts)]
        active = next((name for name in named if name not in ("", GENERAL)), active)
        here = dict.fromkeys([active, *named, *map(domain_of, turn.state or ())])
        seen |= {name: None for name in here if name not in ("", GENERAL)}
        if turn.speaker == USER:
            state = turn.state or {}
            booked |= {act.domain for act in acts if act.act == "book"}
            booked |= {domain_of(name) for name in state if name.partition("-")[2].startswith("book")}
            changed = {name: value for name, value in first_values(state).items() if before.get(name) != value}
            before = first_values(state)
            frames = [_frame(turn, name, acts, changed, active, booked) for name in seen]
        else:
            about = {act.domain for act in acts} | ({turn.lookup.domain} if turn.lookup else set()) | {active}
            frames = [_frame(turn, name, acts, {}, active, booked) for name in seen if name in about]
        yield turn, acts, frames


def _acts(dialogue: Dialogue, number: int) -> tuple[Act, ...]:
    turn = dialogue.turns[number]
    if turn.speaker not in (USER, SYSTEM) or (turn.speaker == USER and turn.state is None):
        told = "no state" if turn.speaker == USER else f"the speaker {turn.speaker!r}"
        raise BuildError(
            f"dialogue {dialogue.id}, turn {number}: expected {USER} with a state, or {SYSTEM}; it has {told}"
        )
    try:
        return tuple(map(parse, turn.acts))
    except UserError as error:
        raise BuildError(f"dialogue {dialogue.id}, turn {number}: {error}") from error


def _frame(turn: Turn, domain: str, acts: Iterable[Act], changed: State, active: str, booked: set[str]) -> Frame:
    """The frame of `domain`; acts of no domain belong to the active one."""
    mine = tuple(act for act in acts if act.domain == domain or (act.domain == GENERAL and domain == active))
    told = {act.slot: act.value for act in mine if act.value and act.slot != COUNT}
    told |= {name.partition("-")[2]: value for name, value in changed.items() if domain_of(name) == domain}
    frame = Frame(domain, mine, tuple(spans(turn.text, told)))
    if turn.speaker == SYSTEM:
        return frame
    state = turn.state or {}
    return dataclasses.replace(
        frame,
        intent=intent(domain, books=domain == RIDES or domain in booked) if domain == active else NO_INTENT,
        requested=tuple(act.slot for act in mine if act.act == "request" and act.slot),
        values={name.partition("-")[2]: split(value) for name, value in state.items() if domain_of(name) == domain},
    )


def intent(domain: str, books: bool) -> str:
    """An intent of a domain, as the schemas name it."""
    return f"{'book' if books else 'find'}_{domain}"


def spans(text: str, values: Mapping[str, str]) -> Iterator[Span]:
    """Where values stand in `text` as whole words, whatever the case; a place is given to one slot only."""
    taken: set[int] = set()
    for slot, value in values.items():
        found = re.finditer(rf"(?<!\w){re.escape(value)}(?!\w)", text, re.IGNORECASE)
        place = next((each for each in found if each.start() not in taken), None)
        if place:
            taken.add(place.start())
            yield Span(slot, place.start(), place.end())


def services(dialogue: Dialogue) -> list[str]:
    """The domains that come up, in that order."""
    return list(dict.fromkeys(frame.domain for _, _, frames in framed(dialogue) for frame in frames))


# ---- MultiWOZ 2.2 ---------------------------------------------------------------------------------------------------


def multiwoz(dialogue: Dialogue) -> Json:
    """A dialogue of MultiWOZ 2.2, without its acts. Slot names have the domain; values are lists."""
    turns = [
        {
            "turn_id": str(number),
            "speaker": turn.speaker.upper(),
            "utterance": turn.text,
            "frames": [_multiwoz_frame(turn, frame) for frame in frames],
        }
        for number, (turn, _, frames) in enumerate(framed(dialogue))
    ]
    return {"dialogue_id": dialogue.id, "services": services(dialogue), "turns": turns}


def _multiwoz_frame(turn: Turn, frame: Frame) -> Json:
    made: Json = {
        "service": frame.domain,
        "actions": [],
        "slots": [
            {
                "slot": slot_name(frame.domain, span.slot),
                "value": turn.text[span.start : span.end],
                "start": span.start,
                "exclusive_end": span.end,
            }
            for span in frame.spans
        ],
    }
    if turn.speaker == USER:
        made["state"] = {
            "active_intent": frame.intent,
            "requested_slots": [slot_name(frame.domain, slot) for slot in frame.requested],
            "slot_values": {slot_name(frame.domain, slot): list(values) for slot, values in frame.values.items()},
        }
    return made


def multiwoz_acts(dialogue: Dialogue) -> Json:
    """What dialog_acts.json says of a dialogue: of each turn its acts, and the spans of what they tell."""
    return {
        str(number): _dialog_act(turn, acts, frames) for number, (turn, acts, frames) in enumerate(framed(dialogue))
    }


def _dialog_act(turn: Turn, acts: Iterable[Act], frames: Iterable[Frame]) -> Json:
    told: dict[str, list[list[str]]] = {}
    places = {(frame.domain, span.slot): span for frame in frames for span in frame.spans}
    found: list[list[Any]] = []
    for act in acts:
        name, slot, value = _multiwoz_act(act, turn.speaker)
        told.setdefault(name, []).append([slot, value])
        span = places.get((act.domain, act.slot)) if act.value else None
        if span and turn.text[span.start : span.end].casefold() == act.value.casefold():
            found.append([name, slot, turn.text[span.start : span.end], span.start, span.end])
    return {"dialog_act": told, "span_info": found}


def _multiwoz_act(act: Act, speaker: str) -> tuple[str, str, str]:
    """Name, slot and value of an act, as MultiWOZ writes them: "none" for nothing, "?" for what is asked."""
    if act.domain == GENERAL:
        return f"{GENERAL}-{act.act}", act.slot or "none", act.value or "none"
    name = f"{act.domain.capitalize()}-{_MULTIWOZ.get((speaker, act.act), act.act.capitalize())}"
    slot = "choice" if act.slot == COUNT else act.slot
    return name, slot or "none", act.value or ("?" if act.act == "request" and slot else "none")


# ---- SGD ------------------------------------------------------------------------------------------------------------


def sgd(dialogue: Dialogue) -> Json:
    """A dialogue of SGD: slots without the domain, actions in the frames, what was looked up beside them."""
    turns = [
        {
            "speaker": turn.speaker.upper(),
            "utterance": turn.text,
            "frames": [_sgd_frame(turn, frame) for frame in frames],
        }
        for turn, _, frames in framed(dialogue)
    ]
    return {"dialogue_id": dialogue.id, "services": services(dialogue), "turns": turns}


def _sgd_frame(turn: Turn, frame: Frame) -> Json:
    made: Json = {
        "service": frame.domain,
        "slots": [{"slot": span.slot, "start": span.start, "exclusive_end": span.end} for span in frame.spans],
        "actions": [_action(act, turn.speaker) for act in frame.acts],
    }
    if turn.speaker == USER:
        made["state"] = {
            "active_intent": frame.intent,
            "requested_slots": list(frame.requested),
            "slot_values": {slot: list(values) for slot, values in frame.values.items()},
        }
    elif turn.lookup and turn.lookup.domain == frame.domain:
        made |= _called(turn.lookup)
    return made


def _called(lookup: Lookup) -> Json:
    return {
        "service_call": {
            "method": intent(lookup.domain, books=lookup.domain == RIDES),
            "parameters": dict(lookup.constraints),
        },
        "service_results": [dict(row) for row in lookup.rows],
    }


def _action(act: Act, speaker: str) -> Json:
    name, slot, value = _SGD.get((speaker, act.act), act.act.upper()), act.slot, act.value
    if act.act == "inform" and slot == COUNT:
        name = "INFORM_COUNT"
    if name == "AFFIRM_INTENT" and slot:
        name = "INFORM"
    values = [value] if value else []
    return {"act": name, "slot": slot, "values": values, "canonical_values": values}
