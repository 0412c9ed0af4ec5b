"""What the simulated agent answers: asks back, reports, recommends, tells properties, books or refuses.

It looks things up with what the state says, and offers no row that the lookup did not return.
"""

from __future__ import annotations

import string
from collections.abc import Sequence

from synthesis.dialogue import Lookup
from synthesis.task_oriented.acts import GENERAL, Act
from synthesis.task_oriented.progress import Progress, Scene
from synthesis.task_oriented.state import SYSTEM
from synthesis.task_oriented.steps import (
    ANSWER,
    BOOK,
    CHAT,
    INQUIRE,
    INQUIRE_PROPERTIES,
    RECOMMEND,
    REFUSE,
    REPORT,
    Step,
)
from synthesis.task_oriented.tables import TIMES, Row

REFERENCE = 8
"""Characters of a booking's reference [LUAS]."""

LONGEST = 40
"""Characters that a property may have to be told unasked (choice): opening hours of a week are not."""

ASKED_FOR = ("phone", "postcode")
"""In the names of properties that nobody tells unasked (choice)."""


def answer(scene: Scene, talk: Progress, heard: Step) -> Step:
    """The agent's answer to what the user was to say in `heard`."""
    _search(scene, talk)
    talk.asked = ()
    if talk.empty:
        return _reply(talk, REPORT, [Act(talk.domain.name, "nooffer")])
    if talk.offered is not None and talk.taken:
        return _act(scene, talk)
    if talk.offered is not None and heard.kind == INQUIRE_PROPERTIES:
        return _tell(talk, [act.slot for act in heard.acts if act.act == "request"])
    if scene.recommendation and len(talk.rows or ()) > 1:
        return _recommend(scene, talk)
    if askable := _askable(scene, talk):
        return _inquire(talk, scene.rng.sample(askable, scene.rng.randint(1, len(askable))))
    if not talk.domain.inventory:
        return _act(scene, talk)
    return _results(scene, talk)


def small_talk(domain: str, last: bool) -> Step:
    """Answers a user who is done: with goodbye, or by asking what else there is."""
    return Step(SYSTEM, domain, CHAT, (Act(GENERAL, "bye" if last else "reqmore"),))


def _search(scene: Scene, talk: Progress) -> None:
    name = talk.domain.name
    constraints = {slot.name: scene.state[slot.full] for slot in talk.domain.search if slot.full in scene.state}
    talk.found(constraints, scene.database.lookup(name, constraints) if name in scene.database.domains else ())


def _reply(talk: Progress, kind: str, acts: Sequence[Act], rows: Sequence[Row] = ()) -> Step:
    lookup = Lookup(talk.domain.name, dict(talk.constraints), len(talk.rows or ()), tuple(rows))
    return Step(SYSTEM, talk.domain.name, kind, tuple(acts), None, lookup)


# ---- asking back ----------------------------------------------------------------------------------------------------


def _askable(scene: Scene, talk: Progress) -> list[str]:
    """Slots that the user has and was not asked for: those a search needs, else some where there are many results.

    For a ride all of them: there is nothing else to find out. Of leaving and arriving one at a time.
    """
    untold = [slot for slot in talk.untold(talk.wanted, scene.state) if slot not in talk.inquired]
    needed = [slot.name for slot in talk.domain.search if slot.required and slot.name in untold]
    if needed or (talk.domain.inventory and len(talk.rows or ()) <= scene.policy.many):
        return needed
    unnamed = [slot for slot in untold if slot != talk.domain.named]
    left_out = set([slot for slot in unnamed if slot in TIMES][1:])
    if talk.domain.inventory:
        left_out |= set(scene.rng.sample(unnamed, min(scene.rng.randint(0, 2), len(unnamed))))
    return [slot for slot in unnamed if slot not in left_out]


def _inquire(talk: Progress, slots: Sequence[str]) -> Step:
    talk.asked = tuple(slots)
    talk.inquired.update(slots)
    return _reply(talk, INQUIRE, [Act(talk.domain.name, "request", slot) for slot in slots])


# ---- telling what there is ------------------------------------------------------------------------------------------


def _results(scene: Scene, talk: Progress) -> Step:
    """How many there are; the only one; or one of many, unasked, once all is told."""
    rows = talk.rows or ()
    if len(rows) == 1:
        talk.offer(rows[0], False)
        return _reply(talk, REPORT, _describes(scene, talk, "inform"), rows)
    told = not talk.untold(talk.wanted, scene.state)
    if told and scene.rng.random() < scene.policy.recommend_unasked:
        return _recommend(scene, talk)
    return _reply(talk, REPORT, [Act(talk.domain.name, "inform", "count", str(len(rows)))], _some(scene, talk))


def _recommend(scene: Scene, talk: Progress) -> Step:
    talk.offer(scene.rng.choice(list(talk.rows or ())), True)
    return _reply(talk, RECOMMEND, _describes(scene, talk, "recommend"), _some(scene, talk))


def _some(scene: Scene, talk: Progress) -> list[Row]:
    """As many rows as an agent is shown, what is offered first."""
    ours = [] if talk.offered is None else [talk.offered]
    others = [row for row in talk.rows or () if row is not talk.offered]
    return ours + scene.rng.sample(others, min(scene.policy.shown - len(ours), len(others)))


def _describes(scene: Scene, talk: Progress, act: str) -> list[Act]:
    """What is offered: its name, and some properties that the user has neither fixed nor means to ask for."""
    name, row = talk.domain.name, talk.offered or {}
    told = {*talk.constraints, *talk.requests, talk.domain.named}
    slots = [*(slot.name for slot in talk.domain.search), *talk.domain.properties]
    free = [slot for slot in slots if slot not in told and not any(part in slot for part in ASKED_FOR)]
    short = [slot for slot in free if slot in row and len(row[slot]) <= LONGEST]
    least = 0 if talk.name else 1
    count = scene.rng.randint(least, max(least, scene.policy.details))
    drawn = scene.rng.sample(short, min(count, len(short)))
    talk.answered.update(drawn)
    names = [Act(name, act, talk.domain.named, talk.name)] if talk.name else [Act(name, act)]
    return names + [Act(name, "inform", slot, row[slot]) for slot in short if slot in drawn]


def _tell(talk: Progress, properties: Sequence[str]) -> Step:
    row = talk.offered or {}
    acts = [Act(talk.domain.name, "inform", slot, row[slot]) for slot in properties if slot in row]
    return _reply(talk, ANSWER, acts, [row])


# ---- acting ---------------------------------------------------------------------------------------------------------


def _act(scene: Scene, talk: Progress) -> Step:
    """Books what was taken, refuses it, or, where there is nothing to book, tells where it is."""
    name = talk.domain.name
    rows = [talk.offered] if talk.offered is not None else list(talk.rows or ())[:1]
    missing = talk.untold(talk.needed, scene.state)
    if talk.books and missing:
        return _inquire(talk, list(missing))
    if talk.books and talk.domain.inventory and talk.refused:
        return _reply(talk, REFUSE, [Act(name, "refuse")], rows)
    row = rows[0] if rows else {}
    told = [Act(name, "inform", slot, row[slot]) for slot in _contact(talk) if slot in row]
    if not talk.books and (talk.declines or not told):
        return _reply(talk, CHAT, [Act(GENERAL, "reqmore")])
    if not talk.books:
        return _reply(talk, BOOK, told, rows)
    if told and not talk.domain.inventory:
        return _reply(talk, BOOK, [Act(name, "booked"), *told], rows)
    reference = "".join(scene.rng.choices(string.ascii_uppercase + string.digits, k=REFERENCE))
    return _reply(talk, BOOK, [Act(name, "booked", "ref", reference)], rows)


def _contact(talk: Progress) -> list[str]:
    """Properties by which one gets there and which the user does not know yet; of a ride, all."""
    unknown = [slot for slot in talk.domain.properties if slot not in talk.answered]
    return [slot for slot in unknown if not talk.domain.inventory or "address" in slot or "phone" in slot]
