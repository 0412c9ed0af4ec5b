"""Steps of a simulated conversation: what one turn is to do, before anybody has put it into words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from synthesis.dialogue import Lookup
from synthesis.task_oriented.acts import Act
from synthesis.task_oriented.state import State, slot_name

OPENER, INFORM, UPDATE, CHAT = "opener", "inform", "update", "chat"
ASK_RECOMMENDATION, INQUIRE_PROPERTIES, ASK_ACTION = "ask_recommendation", "inquire_properties", "ask_action"
USER_KINDS = (OPENER, INFORM, UPDATE, ASK_RECOMMENDATION, INQUIRE_PROPERTIES, ASK_ACTION, CHAT)
"""What a turn of the user is: a domain without a slot yet, telling some, telling others after an empty search, wanting
one of many named, asking for properties of one, taking it (and booking it), goodbye."""

INQUIRE, REPORT, RECOMMEND, ANSWER, BOOK, REFUSE = "inquire", "report", "recommend", "answer", "book", "refuse"
SYSTEM_KINDS = (INQUIRE, REPORT, RECOMMEND, ANSWER, BOOK, REFUSE, CHAT)
"""What a turn of the agent is: asking for slots, saying how many results there are or naming the only one, naming one
of many, telling properties, the action done (where nothing is booked: an address), the booking refused, small talk."""

ENDS = (BOOK, REFUSE, CHAT)
"""Turns of the agent that end a domain."""


@dataclass(frozen=True, slots=True)
class Step:
    """What a turn is to do.

    `acts`: what must be said, or what may be. `state`: of a user's turn, the belief state when that is said.
    `lookup`: of an agent's turn, what was asked of the database, and the rows that may be named. `refers`: slots told
    here to the earlier `domain-slot` of the same value that is to be referred to, the value itself left out.
    """

    speaker: str
    domain: str
    kind: str
    acts: tuple[Act, ...]
    state: State | None = None
    lookup: Lookup | None = None
    refers: Mapping[str, str] = field(default_factory=dict)


def believed(state: State, acts: Iterable[Act], slots: Iterable[str]) -> dict[str, str]:
    """The belief state after a user who held `state` has said `acts`: with what was told, and the name of what was
    taken. `slots`: those that are tracked, as `domain-slot`."""
    said = {
        slot_name(act.domain, act.slot): act.value for act in acts if act.act in ("inform", "select") and act.value
    }
    return dict(state) | {name: said[name] for name in slots if name in said}
