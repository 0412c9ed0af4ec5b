"""The acts of MultiWOZ and SGD in our names; those that we have no name for are counted, never guessed.

Without a name of ours are MultiWOZ's offers to book (OfferBook, Booking-Inform without a slot), welcome and reqmore,
and SGD's confirmations, affirmations, negations, intents told and offered, and reqmore. A system that lets choose
between several (Select) recommends them; who asks SGD for alternatives asks for a recommendation.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from synthesis.errors import UserError
from synthesis.grounded.shape import listed, object_at, text_at
from synthesis.task_oriented.acts import GENERAL, Act
from synthesis.task_oriented.corpora.said import BOOKING
from synthesis.task_oriented.state import SYSTEM, USER

MULTIWOZ = {
    USER: {name: name for name in ("inform", "request", "select", "book", "recommend", "thank", "bye", "greet")},
    SYSTEM: {
        **{name: name for name in ("inform", "request", "recommend", "nooffer", "thank", "bye", "greet")},
        **{"select": "recommend", "book": "booked", "offerbooked": "booked", "nobook": "refuse"},
    },
}
"""MultiWOZ's acts by who speaks; that the user has acts beyond informing and asking is ours, who write that form."""

SGD = {
    USER: {
        **{"INFORM": "inform", "REQUEST": "request", "SELECT": "select", "REQUEST_ALTS": "recommend"},
        **{"AFFIRM_INTENT": "book", "THANK_YOU": "thank", "GOODBYE": "bye"},
    },
    SYSTEM: {
        **{"INFORM": "inform", "INFORM_COUNT": "inform", "REQUEST": "request", "OFFER": "recommend"},
        **{"NOTIFY_SUCCESS": "booked", "NOTIFY_FAILURE": "refuse", "THANK_YOU": "thank", "GOODBYE": "bye"},
    },
}
"""SGD's acts by who speaks."""

_SLOTS = {
    **{"Addr": "address", "Post": "postcode", "Price": "pricerange", "Fee": "entrancefee", "Open": "openhours"},
    **{"Dest": "destination", "Depart": "departure", "Leave": "leaveat", "Arrive": "arriveby", "Id": "trainid"},
    **{"Ticket": "price", "Car": "type", "Choice": "count", "choice": "count"},
    **{"Day": "bookday", "People": "bookpeople", "Stay": "bookstay", "Time": "booktime"},
}
"""MultiWOZ 2.1's short names, which begin with a capital letter; 2.2 writes them out."""

_OF_TRAIN = {"Day": "day", "Time": "duration", "Price": "price"}
_NO_SLOT = ("", "none")
_NO_VALUE = ("", "none", "?")
_UNNAMED = "act without a name of ours left out"


def multiwoz(annotation: Any, speaker: str, where: str, told: Counter[str]) -> tuple[Act, ...]:
    """Acts of MultiWOZ's `{"Hotel-Inform": [["Area", "north"]]}`; a text says that there is no annotation."""
    if isinstance(annotation, str):
        told["turn without annotation of acts"] += 1
        return ()
    return tuple(_multiwoz(object_at(annotation, where), speaker, where, told))


def _multiwoz(annotation: Mapping[str, Any], speaker: str, where: str, told: Counter[str]) -> Iterator[Act]:
    for name in annotation:
        domain, dash, kind = name.lower().partition("-")
        for pair in listed(annotation, name, where):
            if not (
                dash and isinstance(pair, list) and len(pair) == 2 and all(isinstance(part, str) for part in pair)
            ):
                raise UserError(f"{where}.{name}: got {str(pair)[:60]!r}, expected pairs of slot and value")
            slot, value = (part.strip() for part in pair)
            yield from named((domain, kind, slot.replace(" ", ""), value), speaker, told)


def named(written: tuple[str, str, str, str], speaker: str, told: Counter[str]) -> Iterator[Act]:
    """One act of MultiWOZ (domain and act in lower case, slot, value) in our names, if it has one."""
    domain, kind, slot, value = written
    act = MULTIWOZ[speaker].get(kind)
    bare = slot.lower() in _NO_SLOT
    if act is None or (domain == BOOKING and kind == "inform" and bare):
        told[f"{_UNNAMED}: {domain}-{kind}"] += 1
    elif domain == GENERAL or bare:
        yield Act(domain, act)
    else:
        of_train = _OF_TRAIN.get(slot) if domain == "train" else None
        yield Act(domain, act, of_train or _SLOTS.get(slot, slot.lower()), "" if value.lower() in _NO_VALUE else value)


def sgd(service: str, actions: list[Any], speaker: str, where: str, told: Counter[str]) -> tuple[Act, ...]:
    """Acts of SGD's `actions` in a frame of `service`; an act with several values comes once for each."""
    return tuple(
        act
        for at, action in enumerate(actions)
        for act in _sgd(service, action, speaker, f"{where}.actions[{at}]", told)
    )


def _sgd(service: str, action: Any, speaker: str, where: str, told: Counter[str]) -> Iterator[Act]:
    row = object_at(action, where)
    kind = text_at(row, "act", where)
    act = SGD[speaker].get(kind)
    if act is None:
        told[f"{_UNNAMED}: {kind.lower()}"] += 1
        return
    slot = text_at(row, "slot", where).removeprefix(f"{service}-")
    domain = GENERAL if act in ("thank", "bye") else service
    values = [str(value) for value in listed(row, "values", where)] if slot else []
    yield from (Act(domain, act, slot, value) for value in values or [""])
