"""Goals from real dialogues: their final belief states, as the paper has it (arXiv 2405.13037), of training dialogues.

A dialogue of a validation or test split is refused: what is made of its goal would be known to whom it tests. A name
that came up in the dialogue is the outcome of a choice, not a wish; only one that the user asked for at once, in the
first state that has the domain, is kept (choice; the released code keeps all and lets no other name come up). What the
user asked for, by the acts, becomes the properties to request.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable

from synthesis.dialogue import Dialogue
from synthesis.errors import UserError
from synthesis.task_oriented.acts import parse
from synthesis.task_oriented.corpora.reading import split
from synthesis.task_oriented.database import Database
from synthesis.task_oriented.goal_drawing import satisfied
from synthesis.task_oriented.goals import Goal, Wish
from synthesis.task_oriented.ontology import Domain, Ontology
from synthesis.task_oriented.state import USER, State, domain_of, first_values, tracked

log = logging.getLogger(__name__)

_HELD_OUT = ("validation", "test")


def from_dialogues(dialogues: Iterable[Dialogue], ontology: Ontology, database: Database) -> list[tuple[str, Goal]]:
    """Id and goal of each dialogue that has one; how many have none, and why, is logged.

    Left out are dialogues with an empty final state, with slots, values or domains that the ontology or the database
    does not have, and with wishes that no row satisfies. Raises UserError for a dialogue of a validation or test
    split, and where no goal is left.
    """
    goals: list[tuple[str, Goal]] = []
    left_out: Counter[str] = Counter()
    for dialogue in dialogues:
        goal = from_dialogue(dialogue, ontology)
        if goal is None:
            left_out["empty final state"] += 1
        else:
            try:
                _known(goal, ontology, database)
                satisfied(goal, database)
                goals.append((dialogue.id, goal))
            except UserError as error:
                left_out[str(error)] += 1
    first = dict(left_out.most_common(3))
    if not goals:
        raise UserError(f"goals: none of {left_out.total()} dialogues gives one: {first}; give others, or mode db")
    log.info("goals: %d of %d dialogues; left out, for example: %s", len(goals), len(goals) + left_out.total(), first)
    return goals


def from_dialogue(dialogue: Dialogue, ontology: Ontology) -> Goal | None:
    """The goal of a dialogue, domains in the order in which they came up; None where the final state is empty.

    Values stand as the dialogue has them, the first of several. Raises UserError for a dialogue of a validation or
    test split, and for one with a user's turn that has no state.
    """
    held_out = split(dialogue)
    if held_out in _HELD_OUT:
        raise UserError(
            f"goals: dialogue {dialogue.id} ({dialogue.source or 'no source'}) is of the {held_out} split; goals may "
            "come of training dialogues alone: give the file of those"
        )
    states = [first_values(state) for _, state in tracked(dialogue)]
    final = states[-1] if states else {}
    order = dict.fromkeys(domain_of(name) for state in states for name in state)
    here = [domain for domain in order if any(domain_of(name) == domain for name in final)]
    requests = _requests(dialogue)
    known = {domain.name: domain for domain in ontology.domains}
    wishes = [_wish(known.get(name, Domain(name, "", ())), states, requests) for name in here]
    return Goal(tuple(wishes)) if wishes else None


def _wish(domain: Domain, states: list[dict[str, str]], requests: dict[str, list[str]]) -> Wish:
    booking = {slot.name for slot in domain.booking}
    final = _of(states[-1], domain.name)
    inform = {slot: value for slot, value in final.items() if slot not in booking}
    first = next(state for state in (_of(state, domain.name) for state in states) if state)
    chosen = {slot: value for slot, value in inform.items() if slot != domain.named}
    if domain.named in inform and domain.named not in first and chosen:
        inform = chosen
    book = {slot: value for slot, value in final.items() if slot in booking}
    asked = [name for name in requests.get(domain.name, []) if name in domain.properties]
    return Wish(domain.name, inform, book, tuple(asked))


def _of(state: State, domain: str) -> dict[str, str]:
    """The slots of one domain, without it."""
    return {name.partition("-")[2]: value for name, value in state.items() if domain_of(name) == domain}


def _requests(dialogue: Dialogue) -> dict[str, list[str]]:
    """What the user asked to be told, by domain, each once, in order."""
    found: dict[str, dict[str, None]] = {}
    for act in (parse(text) for turn in dialogue.turns if turn.speaker == USER for text in turn.acts):
        if act.act == "request" and act.slot:
            found.setdefault(act.domain, {})[act.slot] = None
    return {domain: list(names) for domain, names in found.items()}


def _known(goal: Goal, ontology: Ontology, database: Database) -> None:
    """Raises UserError for a domain, slot or value that cannot be looked up."""
    for wish in goal.wishes:
        if wish.domain not in database.domains:
            raise UserError(f"goal: nothing can be looked up in {wish.domain}")
    ontology.legal(goal.state)
