"""Belief states: what the user wants so far, as `domain-slot` to value.

A state is cumulative: it holds after its user turn, and a slot that nobody spoke of is absent. Several values that
are all right are written in one string, a `|` between them, the first one being the annotators' first. A slot that
the user does not care about has `DONTCARE`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from synthesis.dialogue import Dialogue
from synthesis.errors import UserError

USER, SYSTEM = "User", "System"
"""The two who talk: who wants something, and who has the database."""

DONTCARE = "dontcare"

BETWEEN = "|"

State = Mapping[str, str]


def slot_name(domain: str, slot: str) -> str:
    """`domain-slot`."""
    return f"{domain}-{slot}"


def domain_of(name: str) -> str:
    """The domain of a `domain-slot`; "" where there is none."""
    domain, dash, _ = name.partition("-")
    return domain if dash else ""


def joined(values: Iterable[str]) -> str:
    """Values that are all right, as one; each once, in order, empty ones left out."""
    return BETWEEN.join(dict.fromkeys(value.strip() for value in values if value.strip()))


def split(value: str) -> tuple[str, ...]:
    """The values that are right where a state has `value`."""
    return tuple(part.strip() for part in value.split(BETWEEN) if part.strip())


def first_values(state: State) -> dict[str, str]:
    """The same state with the first value of each slot alone."""
    return {name: split(value)[0] for name, value in state.items() if split(value)}


def tracked(dialogue: Dialogue) -> list[tuple[int, State]]:
    """Of each user turn its number in the dialogue, from 0, and its state. Raises UserError where one has none."""
    turns = [(number, turn) for number, turn in enumerate(dialogue.turns) if turn.speaker == USER]
    missing = [number for number, turn in turns if turn.state is None]
    if missing:
        raise UserError(f"dialogue {dialogue.id}: turn {missing[0]} of the user has no state")
    return [(number, turn.state) for number, turn in turns if turn.state is not None]
