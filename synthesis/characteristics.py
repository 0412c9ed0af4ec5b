"""Characteristics of a conversation: the ten of arXiv 2409.19020, and what their values are dealt from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from random import Random

from synthesis.errors import UserError
from synthesis.storage import parse, read_text
from synthesis.words import words

NAMES = {
    "age and gender": "how old the two are, and of which gender",
    "familiarity": "how well they know each other",
    "emotional states": "how each of them feels",
    "formality": "how formally they speak",
    "duration": "how long they talk",
    "medium": "by which means they talk",
    "topic": "what they talk about",
    "location": "where they are",
    "agreement or disagreement": "whether they are of one mind",
    "natural features": "fillers, pauses, slang and the like",
}
"""The ten, and what each says. The topic is the dialogue's own; values of the other nine may be dealt."""

DEALT = tuple(name for name in NAMES if name != "topic")


def listed(values: Mapping[str, str]) -> str:
    """Names with what is said of them, a bullet each."""
    return "\n".join(f"- {name}: {value}" for name, value in values.items())


Distributions = Mapping[str, Mapping[str, float]]


def distributions(path: Path) -> Distributions:
    """Value to weight for each of the nine, from a JSON file.

    Raises UserError naming a characteristic that is missing or unknown, or a value without a weight above 0.
    """
    given = parse(read_text(path, "characteristics"), str(path))
    if not isinstance(given, dict) or set(given) != set(DEALT):
        names = sorted(given) if isinstance(given, dict) else type(given).__name__
        raise UserError(f"characteristics {path}: has {names}; expected an object with the keys {list(DEALT)}")
    for name, weights in given.items():
        if not isinstance(weights, dict) or not weights:
            raise UserError(f"characteristics {path}: {name!r} needs an object of values and their weights")
        for value, weight in weights.items():
            number = isinstance(weight, (int, float)) and not isinstance(weight, bool)
            if not words(value) or not number or not 0 < weight < float("inf"):
                raise UserError(f"characteristics {path}: {name!r}, {value!r}: {weight!r} is no weight above 0")
    return given


def dealt(given: Distributions, n: int, rng: Random) -> list[dict[str, str]]:
    """Values for `n` conversations: each value as often as its weight says, to within one, in random order."""
    decks = {name: _deck(given[name], n, rng) for name in DEALT}
    return [{name: decks[name][at] for name in DEALT} for at in range(n)]


def _deck(weights: Mapping[str, float], n: int, rng: Random) -> list[str]:
    """`n` values; the shares' fractions are given to as many places as are left, by systematic sampling."""
    total, start = sum(weights.values()), rng.random()
    edges, passed = [], 0.0
    for value, weight in weights.items():
        passed += weight
        edges.append((value, passed / total * n))
    deck = [next((value for value, edge in edges if at + start < edge), edges[-1][0]) for at in range(n)]
    rng.shuffle(deck)
    return deck
