"""Exchanges: a turn of the user with the system's turns after it, and the states before and after it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from synthesis.dialogue import Dialogue, Turn
from synthesis.task_oriented.acts import GENERAL, parse
from synthesis.task_oriented.state import USER, State, domain_of
from synthesis.task_oriented.state_form import Change


@dataclass(frozen=True, slots=True)
class Exchange:
    """`turns`: one of the user and those of the system that follow; without the former where the system begins."""

    turns: tuple[Turn, ...]
    before: State
    after: State

    @property
    def users(self) -> int:
        """How many turns of the user it has: one, or none."""
        return sum(turn.speaker == USER for turn in self.turns)

    @property
    def texts(self) -> tuple[str, ...]:
        """What is said."""
        return tuple(turn.text for turn in self.turns)

    @property
    def general(self) -> bool:
        """Nothing but greetings, thanks and goodbyes: its acts say so, and the state stays."""
        acts = [parse(act).domain for turn in self.turns for act in turn.acts]
        return bool(acts) and set(acts) == {GENERAL} and self.before == self.after

    def about(self, domain: str) -> bool:
        """Whether one of its turns is about `domain`, and it is more than thanks."""
        return not self.general and any(turn.domain == domain for turn in self.turns)

    def change(self) -> Change:
        """What it changes in the state, all values of a slot told; None where the slot goes."""
        gone: dict[str, str | None] = {name: None for name in self.before if name not in self.after}
        return gone | {name: value for name, value in self.after.items() if self.before.get(name) != value}


def exchanges(dialogue: Dialogue) -> list[Exchange]:
    """All turns of the dialogue in order. Every turn of the user has to have its state."""
    made: list[Exchange] = []
    state: State = {}
    for turns in _grouped(dialogue.turns):
        after = turns[0].state if turns[0].speaker == USER else state
        made.append(Exchange(turns, state, after or {}))
        state = after or {}
    return made


def _grouped(turns: Sequence[Turn]) -> Iterator[tuple[Turn, ...]]:
    group: list[Turn] = []
    for turn in turns:
        if turn.speaker == USER and group:
            yield tuple(group)
            group = []
        group.append(turn)
    if group:
        yield tuple(group)


def core(parts: Sequence[Exchange]) -> list[Exchange]:
    """The exchanges without greeting and closing: without the general ones at either end."""
    own = [at for at, part in enumerate(parts) if not part.general]
    return list(parts[own[0] : own[-1] + 1]) if own else []


def alone(dialogue: Dialogue, domain: str) -> bool:
    """Whether a dialogue is about `domain` and no other: its turns, and all slots of its states."""
    about = {turn.domain for turn in dialogue.turns} - {None, GENERAL}
    slots = {domain_of(name) for turn in dialogue.turns for name in turn.state or ()}
    return about == {domain} and slots == {domain}
