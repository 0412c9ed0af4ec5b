"""Drills for verdicts: every turn and every trait of a conversation is marked, not the whole by a single word.

A critic's verdict is one word for some hundred that are read, far too little for a small model to learn from what it
hangs on. Here a conversation has ten verdicts, and each says where it applies.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from random import Random

from training.embedded.persona_chat import Kept, Pair, lines
from training.embedded.statements import overlap

LONGEST = 12
"""Turns of a conversation."""

TOLD, ABSENT = 0.6, 0.2
"""Share of a trait's content words from which a speaker tells it, and up to which the other does not (choice)."""


def follows(turns: Sequence[str], other: Sequence[str], rng: Random) -> Pair:
    """A conversation with turns out of place or of another one; which turns answer the one before them."""
    said = list(enumerate(turns[:LONGEST]))
    foreign = [(-2 - 2 * at, turn) for at, turn in enumerate(other[:LONGEST])]  # no two of these are neighbours
    way = rng.choice(("none", "shuffled", "stretch", "foreign", "foreign", "pairs"))
    if way == "shuffled":
        rng.shuffle(said)
    elif way == "stretch":
        at, size = rng.randrange(len(said) - 3), rng.randint(3, 5)
        said[at : at + size] = rng.sample(said[at : at + size], len(said[at : at + size]))
    elif way == "pairs":
        pairs = [said[at : at + 2] for at in range(0, len(said), 2)]
        rng.shuffle(pairs)
        said = [turn for pair in pairs for turn in pair]
    elif way == "foreign":
        for at in rng.sample(range(len(said)), rng.randint(1, max(1, len(said) // 3))):
            if at < len(foreign):
                said[at] = foreign[at]
    marks = ["yes" if after == before + 1 else "no" for (before, _), (after, _) in pairwise(said)]
    told = "\n".join(f"{number} {mark}" for number, mark in enumerate(marks, 2))
    return f"{lines([turn for _, turn in said])}\n\nDoes each turn answer the one before it?", told


def owners(part: Kept, spare: Sequence[str], rng: Random) -> Pair | None:
    """A conversation and what both of its users are like, mingled: who tells what. None where too little is told."""
    profiles, turns = part[0], part[1][:LONGEST]
    marked = [
        (trait, f"User {user + 1}")
        for user, traits in enumerate(profiles)
        for trait in traits
        if overlap(trait, turns[user::2]) >= TOLD and overlap(trait, turns[1 - user :: 2]) <= ABSENT
    ]
    if not marked:
        return None
    silent = [*profiles[0], *profiles[1], *rng.sample(list(spare), 2)]
    marked += [(trait, "nobody") for trait in silent if overlap(trait, turns) <= ABSENT][: len(marked) + 1]
    rng.shuffle(marked)
    listed = "\n".join(f"{number}. {trait}" for number, (trait, _) in enumerate(marked, 1))
    told = "\n".join(f"{number} {owner}" for number, (_, owner) in enumerate(marked, 1))
    return f"{lines(turns)}\n\nWho tells this?\n{listed}", told
