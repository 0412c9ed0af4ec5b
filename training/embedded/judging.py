"""Drills for verdicts: of every trait it is told who says it, instead of a verdict over the whole by a single word.

A critic's verdict is one word for some hundred that are read, far too little for a small model to learn from what it
hangs on. Here a conversation has several, and each says where it applies.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from synthesis.reading import USERS
from training.embedded.persona_chat import Kept, Pair, lines
from training.embedded.statements import ABSENT, overlap, told_alone

LONGEST = 12
"""Turns of a conversation."""


def owners(part: Kept, spare: Sequence[str], rng: Random) -> Pair | None:
    """A conversation and what both of its users are like, mingled: who tells what. None where too little is told."""
    profiles, turns = part[0], part[1][: rng.choice((4, 6, 8, LONGEST))]
    marked = [
        (trait, f"{USERS[user]}:")
        for user, traits in enumerate(profiles)
        for trait in traits
        if told_alone(trait, turns[user::2], turns[1 - user :: 2])
    ]
    if not marked:
        return None
    silent = [*profiles[0], *profiles[1], *rng.sample(list(spare), 2)]
    marked += [(trait, "nobody") for trait in silent if overlap(trait, turns) <= ABSENT][: len(marked) + 1]
    rng.shuffle(marked)
    listed = "\n".join(f"{number}. {trait}" for number, (trait, _) in enumerate(marked, 1))
    told = "\n".join(f"{number} {owner}" for number, (_, owner) in enumerate(marked, 1))
    return f"{lines(turns)}\n\nWho tells this?\n{listed}", told
