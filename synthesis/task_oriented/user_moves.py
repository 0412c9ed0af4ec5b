"""What the simulated user does next: tells, changes, asks for a recommendation or a property, takes and books.

Each function gives a step of the talk that goes on, and notes in it what the user was let tell.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from synthesis.task_oriented import reveal
from synthesis.task_oriented.acts import GENERAL, Act
from synthesis.task_oriented.ontology import Slot
from synthesis.task_oriented.progress import Progress, Scene
from synthesis.task_oriented.references import rebound, referents
from synthesis.task_oriented.state import DONTCARE, USER, slot_name
from synthesis.task_oriented.steps import (
    ASK_ACTION,
    ASK_RECOMMENDATION,
    CHAT,
    INFORM,
    INQUIRE_PROPERTIES,
    OPENER,
    UPDATE,
    Step,
    believed,
)

MOST = 2
"""Properties that one turn asks for [LUAS: one or two]."""


def enter(scene: Scene, talk: Progress) -> None:
    """Begins a domain. Where nothing is chosen (a ride), the goal follows what was chosen before."""
    if not talk.domain.inventory:
        planned = {
            slot_name(each.domain.name, slot): value for each in scene.before for slot, value in each.planned.items()
        }
        venues = [each.domain.name for each in scene.before if each.domain.inventory]
        names = {name: scene.database.names(name) for name in venues}
        talk.wanted = rebound(talk.wanted, planned, scene.state, names, scene.ontology)


def wish(scene: Scene, talk: Progress) -> Step | None:
    """What the user wants of the agent now; None where nothing leads anywhere any more."""
    if talk.empty:
        return _update(scene, talk)
    if talk.taken:
        return _take(scene, talk)
    untold = talk.untold(talk.wanted, scene.state)
    if talk.offered is not None and (talk.recommended or not untold):
        return _question(scene, talk) or _take(scene, talk)
    if untold or talk.exchange == 0:
        return _inform(scene, talk, untold)
    if talk.domain.inventory:
        return _turn(scene, talk, ASK_RECOMMENDATION, [Act(talk.domain.name, "recommend")])
    return _take(scene, talk)


def goodbye(scene: Scene) -> Step:
    """The end."""
    return Step(USER, GENERAL, CHAT, (Act(GENERAL, "thank"), Act(GENERAL, "bye")), dict(scene.state))


# ---- telling and changing -------------------------------------------------------------------------------------------


def _inform(scene: Scene, talk: Progress, untold: Mapping[str, str]) -> Step:
    name = talk.domain.name
    told = reveal.told(untold, talk.asked, talk.domain, talk.exchange, scene.policy, scene.rng)
    talk.revealed.update(told)
    acts = _informs(name, {slot: value for slot, value in untold.items() if slot in talk.revealed})
    kind = INFORM if acts else OPENER
    if talk.exchange == 0 and not talk.domain.inventory and talk.domain.books:
        acts = [Act(name, "book"), *acts]
    chooses = talk.domain.inventory and talk.domain.named not in talk.wanted
    if chooses and acts and talk.revealed >= set(talk.wanted) and scene.rng.random() < scene.policy.recommend_early:
        acts.append(Act(name, "recommend"))
    return _turn(scene, talk, kind, acts or [Act(name, "inform")])


def _update(scene: Scene, talk: Progress) -> Step | None:
    """Other values after a search without results: what the goal means in truth, else what leads somewhere."""
    held = {slot.name: scene.state.get(slot.full) for slot in talk.domain.search}
    meant = {slot: value for slot, value in talk.meant.items() if held[slot] == talk.wanted[slot]}
    changes = meant or (_another(scene, talk) if talk.updates > 0 else {})
    if not changes:
        return None
    talk.updates -= 0 if meant else 1
    talk.meant = {slot: value for slot, value in talk.meant.items() if slot not in changes}
    talk.wanted = talk.wanted | changes
    talk.revealed.update(changes)
    return _turn(scene, talk, UPDATE, _informs(talk.domain.name, changes))


def _another(scene: Scene, talk: Progress) -> dict[str, str]:
    """One told slot and another value of it, one that rows have and that leads to results; nothing where none does."""
    held = {slot: scene.state[slot.full] for slot in talk.domain.search if slot.full in scene.state}
    others = {
        slot.name: [each for each in _values(scene, slot) if each != value]
        for slot, value in held.items()
        if value != DONTCARE and slot.name != talk.domain.named and not reveal.is_time(slot.name)
    }
    changeable = [name for name, values in others.items() if values]
    constraints = {slot.name: value for slot, value in held.items()}
    for _ in range(scene.policy.tries if changeable else 0):
        slot = scene.rng.choice(changeable)
        value = scene.rng.choice(others[slot])
        if scene.database.lookup(talk.domain.name, constraints | {slot: value}):
            return {slot: value}
    return {}


def _values(scene: Scene, slot: Slot) -> list[str]:
    """What rows have in a slot, as the ontology spells it."""
    found = {row[slot.name] for row in scene.database.rows(slot.domain) if slot.name in row}
    listed = {value.casefold(): value for value in slot.values}
    return sorted({listed[each.casefold()] for each in found if each.casefold() in listed} if listed else found)


# ---- asking and taking ----------------------------------------------------------------------------------------------


def _question(scene: Scene, talk: Progress) -> Step | None:
    """Asks for one or two properties of what is offered, those of the goal first; None where enough is known."""
    row = talk.offered or {}
    open_ones = [
        name
        for name in talk.domain.properties
        if name in row and name not in talk.answered and name != talk.domain.named
    ]
    goal = [name for name in talk.requests if name in open_ones]
    if not open_ones or not (goal or talk.questions > 0):
        return None
    talk.questions -= 1
    asked = goal[:MOST] or scene.rng.sample(open_ones, min(scene.rng.randint(1, MOST), len(open_ones)))
    talk.answered.update(asked)
    acts = [*_selects(talk), *(Act(talk.domain.name, "request", slot) for slot in asked)]
    return _turn(scene, talk, INQUIRE_PROPERTIES, acts)


def _take(scene: Scene, talk: Progress) -> Step:
    """Takes what is offered, and has it booked where the goal wants that."""
    name, first = talk.domain.name, not talk.taken
    talk.taken = True
    acts = _selects(talk)
    if talk.books:
        untold = talk.untold(talk.needed, scene.state)
        talk.revealed.update(reveal.bookings(list(untold), talk.asked, talk.exchange, scene.policy, scene.rng))
        informs = _informs(name, {slot: value for slot, value in untold.items() if slot in talk.revealed})
        acts += [Act(name, "book"), *informs] if first or not informs else informs
    elif talk.declines:
        acts.append(Act(GENERAL, "thank"))
        if scene.last:
            acts.append(Act(GENERAL, "bye"))
    return _turn(scene, talk, ASK_ACTION, acts or [Act(name, "select")])


def _selects(talk: Progress) -> list[Act]:
    """The act by which the user takes what is offered or asks about it, the first time."""
    if talk.offered is None or talk.selected:
        return []
    talk.selected = True
    return [
        Act(talk.domain.name, "select", talk.domain.named, talk.name) if talk.name else Act(talk.domain.name, "select")
    ]


def _informs(domain: str, values: Mapping[str, str]) -> list[Act]:
    return [Act(domain, "inform", slot, value) for slot, value in values.items()]


def _turn(scene: Scene, talk: Progress, kind: str, acts: Sequence[Act]) -> Step:
    """A turn of the user; the very first may greet."""
    name = talk.domain.name
    likely = scene.policy.coreference if talk.domain.inventory else 1.0
    before = [each.domain.name for each in scene.before]
    refers = {}
    for act in acts:
        told = act.act == "inform" and act.value
        found = referents(name, act.slot, act.value, scene.state, before, scene.ontology) if told else []
        if found and scene.rng.random() < likely:
            refers[act.slot] = scene.rng.choice(found)
    if scene.at == 0 and talk.exchange == 0 and scene.rng.random() < scene.policy.greet:
        acts = [Act(GENERAL, "greet"), *acts]
    return Step(USER, name, kind, tuple(acts), believed(scene.state, acts, scene.tracked), None, refers)
