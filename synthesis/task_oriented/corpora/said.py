"""What a corpus says of each turn, and the turns made of it: the domain of every turn, found by one rule for all.

A turn of the user is about the domain of the acts of the system turn that follows. Acts that are general or about a
booking name none; then its own acts tell, then the slots that change, then what the annotators name, then the turn
before. A turn of the system is about the domain of its own acts, or else that of the turn before. Where acts name
several domains, the one that the turn before, or what the user says, is about goes first.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from synthesis.dialogue import Lookup, Turn
from synthesis.task_oriented.acts import GENERAL, Act, written
from synthesis.task_oriented.state import SYSTEM, USER, State, domain_of

BOOKING = "booking"
"""The domain of acts about a booking of MultiWOZ, whatever is booked: that of the turn is put for it."""


@dataclass(frozen=True, slots=True)
class Said:
    """One turn as a corpus has it. `domains`: those that its annotators name for it, other than by acts and slots."""

    speaker: str
    text: str
    acts: tuple[Act, ...] = ()
    state: State | None = None
    domains: tuple[str, ...] = ()
    lookup: Lookup | None = None


def turns(said: Sequence[Said]) -> tuple[Turn, ...]:
    """The turns in order, each with its domain, as long as any is known."""
    made: list[Turn] = []
    domain: str | None = None
    state: State = {}
    for number, each in enumerate(said):
        if each.speaker == USER:
            after = said[number + 1 : number + 2]
            domain = _of_user(each, after[0] if after else None, state, domain)
            state = each.state or {}
        else:
            domain = _first(_named(each.acts), (domain,)) or domain
        made.append(_turn(each, domain))
    return tuple(made)


def _of_user(each: Said, after: Said | None, before: State, domain: str | None) -> str | None:
    own = _named(each.acts) or _changed(before, each.state or {}) or list(each.domains)
    answered = _named(after.acts) if after is not None and after.speaker == SYSTEM else []
    return _first(answered, own) or _first(own, (domain,)) or domain


def _named(acts: Iterable[Act]) -> list[str]:
    return list(dict.fromkeys(act.domain for act in acts if act.domain not in (GENERAL, BOOKING)))


def _changed(before: State, after: State) -> list[str]:
    """Domains of the slots that came, changed or went."""
    names = (name for name in (*after, *before) if after.get(name) != before.get(name))
    return list(dict.fromkeys(domain_of(name) for name in names))


def _first(domains: Sequence[str], sooner: Iterable[str | None]) -> str | None:
    """The first of `domains` that is among those that go first, or else the first."""
    return next((domain for domain in sooner if domain in domains), domains[0] if domains else None)


def _turn(each: Said, domain: str | None) -> Turn:
    acts = tuple(replace(act, domain=domain) if act.domain == BOOKING and domain else act for act in each.acts)
    return Turn(each.speaker, each.text, acts=written(acts), state=each.state, domain=domain, lookup=each.lookup)
