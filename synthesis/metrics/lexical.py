"""Sizes and variety: turns, words, and distinct-n over all dialogues.

distinct-n = different n-grams / all n-grams, over lower-cased words, n-grams inside one turn only; after Li et al.
2016 (arXiv 1510.03055, which divides by the number of words instead). It falls as a dataset grows, so that only
datasets of a size compare.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar

import polars as pl

from synthesis.dialogue import Dialogue
from synthesis.words import words

_SPREAD = ("mean", "median", "min", "max")
_MOST_WORDS = 1 << 21  # three word numbers share one signed 64-bit key


@dataclass(frozen=True, slots=True)
class Lexical:
    """Counts of dialogues, turns and words with their spread, size of the vocabulary, and distinct-1, -2, -3.

    Words are those of `synthesis.words`. A distinct-n without any n-gram, or beyond two million different words, is
    absent; so is everything when there are no dialogues.
    """

    about: ClassVar[Mapping[str, str]] = {
        "dialogues": "dialogues",
        "turns": "turns in all",
        "words": "words in all turns",
        "vocabulary": "different words, lower-cased",
        **{f"turns_per_dialogue_{each}": f"turns of a dialogue, {each}" for each in _SPREAD},
        **{f"words_per_turn_{each}": f"words of a turn, {each}" for each in _SPREAD},
        **{f"words_per_dialogue_{each}": f"words of a dialogue, {each}" for each in _SPREAD},
        **{f"distinct_{n}": f"different {n}-grams / all {n}-grams; 0 to 1, higher is more varied" for n in (1, 2, 3)},
    }

    def __call__(self, dialogues: Iterable[Dialogue]) -> dict[str, float]:
        numbers: dict[str, int] = {}
        turn_of, word, turn_words, dialogue_of = array("q"), array("q"), array("q"), array("q")
        for index, dialogue in enumerate(dialogues):
            for turn in dialogue.turns:
                spoken = words(turn.text)
                turn_of.extend([len(turn_words)] * len(spoken))
                word.extend([numbers.setdefault(each, len(numbers)) for each in spoken])
                turn_words.append(len(spoken))
                dialogue_of.append(index)
        if not turn_words:
            return {}
        turns = pl.DataFrame({"dialogue": dialogue_of, "words": turn_words})
        each = turns.group_by("dialogue").agg(turns=pl.len(), words=pl.col("words").sum())
        return {
            "dialogues": each.height,
            "turns": turns.height,
            "words": len(word),
            "vocabulary": len(numbers),
            **_spread("turns_per_dialogue", each["turns"]),
            **_spread("words_per_turn", turns["words"]),
            **_spread("words_per_dialogue", each["words"]),
            **_distinct(pl.DataFrame({"turn": turn_of, "word": word}), len(numbers)),
        }


def _spread(name: str, counts: pl.Series) -> dict[str, float]:
    row = (
        counts.to_frame("n")
        .select(mean=pl.col("n").mean(), median=pl.col("n").median(), min=pl.col("n").min(), max=pl.col("n").max())
        .row(0, named=True)
    )
    return {f"{name}_{each}": row[each] for each in _SPREAD}


def _distinct(table: pl.DataFrame, vocabulary: int) -> dict[str, float]:
    if vocabulary >= _MOST_WORDS:
        return {}
    found = {}
    for n in (1, 2, 3):
        key = pl.sum_horizontal(pl.col("word").shift(back) * vocabulary**back for back in range(n))
        grams = table.select(key.filter(pl.col("turn") == pl.col("turn").shift(n - 1)))["word"]
        if grams.len():
            found[f"distinct_{n}"] = grams.n_unique() / grams.len()
    return found
