"""Slots, acts, domains and lookups counted for a card, and held against those of a reference corpus."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from synthesis.dialogue import Dialogue, Turn
from synthesis.task_oriented.acts import parse
from synthesis.task_oriented.state import DONTCARE, SYSTEM, USER, State, domain_of, first_values

LOOKUPS = ("nothing", "one row", "several rows")


@dataclass(slots=True)
class Tally:
    """Counts over dialogues. `turns`, `told`: of a slot, user turns whose state has it, and those that change it."""

    dialogues: int = 0
    user_turns: int = 0
    turns: Counter[str] = field(default_factory=Counter)
    told: Counter[str] = field(default_factory=Counter)
    dontcare: Counter[str] = field(default_factory=Counter)
    values: dict[str, set[str]] = field(default_factory=dict)
    acts: dict[str, Counter[str]] = field(default_factory=lambda: {USER: Counter(), SYSTEM: Counter()})
    domains: Counter[str] = field(default_factory=Counter)
    breadth: Counter[int] = field(default_factory=Counter)
    lookups: Counter[str] = field(default_factory=Counter)

    def add(self, dialogue: Dialogue) -> None:
        """Count a dialogue. Raises UserError for an act that is not written as one."""
        self.dialogues += 1
        before: State = {}
        for turn in dialogue.turns:
            self._turn(turn)
            if turn.state is not None:
                before = self._state(before, first_values(turn.state))
        here = {domain_of(name) for turn in dialogue.turns for name in turn.state or ()}
        self.domains.update(here)
        self.breadth[len(here)] += 1

    def _turn(self, turn: Turn) -> None:
        if turn.speaker in self.acts:
            self.acts[turn.speaker].update(parse(act).act for act in turn.acts)
        if turn.lookup is not None:
            self.lookups[LOOKUPS[min(turn.lookup.count, 2)]] += 1

    def _state(self, before: State, state: State) -> State:
        self.user_turns += 1
        self.turns.update(state.keys())
        for name, value in state.items():
            self.values.setdefault(name, set()).add(value)
            self.told[name] += before.get(name) != value
            self.dontcare[name] += before.get(name) != value == DONTCARE
        return state


def counted(dialogues: Iterable[Dialogue], reference: Iterable[Dialogue] | None = None) -> dict[str, Any]:
    """The counts as JSON, those of a reference beside where it has states.

    dialogues, user_turns; held, told: mean number of slots in a state, and of those that a turn of the user sets or
    changes; slots [{slot, turns, share (of user turns), told, values (different ones), dontcare (share of told)}];
    acts [{speaker, act, count, share (of the speaker's)}]; breadth [{domains, count, share}]; lookups [{found, count,
    share}]. With a reference, `reference` in each of slots and acts is its share, and `beside` has its dialogues,
    user_turns, held, told, and `distances` {slots, user acts, system acts, domains}.
    """
    own, other = _tally(dialogues), _tally(reference or ())
    beside = other if other.user_turns else None
    found = {
        **_heads(own),
        "slots": _slots(own, beside),
        "acts": [row for speaker in (USER, SYSTEM) for row in _acts(own, beside, speaker)],
        "breadth": [
            {"domains": size, "count": count, "share": count / own.dialogues}
            for size, count in sorted(own.breadth.items())
        ],
        "lookups": [
            {"found": name, "count": own.lookups[name], "share": own.lookups[name] / (own.lookups.total() or 1)}
            for name in LOOKUPS
        ],
    }
    return found | ({"beside": _heads(beside) | {"distances": distances(own, beside)}} if beside else {})


def distances(one: Tally, other: Tally) -> dict[str, float]:
    """Total variation between two corpora, 0 (alike) to 1 (nothing in common): half the sum of differing shares."""
    return {
        "slots": distance(one.turns, other.turns),
        "user acts": distance(one.acts[USER], other.acts[USER]),
        "system acts": distance(one.acts[SYSTEM], other.acts[SYSTEM]),
        "domains": distance(one.domains, other.domains),
    }


def distance(one: Mapping[str, int], other: Mapping[str, int]) -> float:
    """Total variation of two counts; 1 where only one of them has any, 0 where neither has."""
    mine, theirs = sum(one.values()), sum(other.values())
    if not mine or not theirs:
        return float(bool(mine) != bool(theirs))
    return sum(abs(one.get(key, 0) / mine - other.get(key, 0) / theirs) for key in {*one, *other}) / 2


def _tally(dialogues: Iterable[Dialogue]) -> Tally:
    tally = Tally()
    for dialogue in dialogues:
        tally.add(dialogue)
    return tally


def _heads(tally: Tally) -> dict[str, Any]:
    turns = tally.user_turns or 1
    return {
        "dialogues": tally.dialogues,
        "user_turns": tally.user_turns,
        "held": tally.turns.total() / turns,
        "told": tally.told.total() / turns,
    }


def _slots(own: Tally, other: Tally | None) -> list[dict[str, Any]]:
    """By domain, in a domain the most frequent first."""
    names = {*own.turns, *(other.turns if other else ())}
    return [
        {
            "slot": name,
            "turns": own.turns[name],
            "share": own.turns[name] / (own.user_turns or 1),
            "told": own.told[name],
            "values": len(own.values.get(name, ())),
            "dontcare": own.dontcare[name] / own.told[name] if own.told[name] else None,
            **({"reference": other.turns[name] / other.user_turns} if other else {}),
        }
        for name in sorted(names, key=lambda name: (domain_of(name), -own.turns[name], name))
    ]


def _acts(own: Tally, other: Tally | None, speaker: str) -> list[dict[str, Any]]:
    mine, theirs = own.acts[speaker], other.acts[speaker] if other else Counter[str]()
    return [
        {
            "speaker": speaker,
            "act": act,
            "count": mine[act],
            "share": mine[act] / (mine.total() or 1),
            **({"reference": theirs[act] / (theirs.total() or 1)} if other else {}),
        }
        for act in sorted({*mine, *theirs}, key=lambda act: (-mine[act], act))
    ]
