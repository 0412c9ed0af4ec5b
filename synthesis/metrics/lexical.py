"""Sizes and variety of words: turns, words, vocabulary, and distinct-n over all dialogues."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import polars as pl

from synthesis.dialogue import Dialogue
from synthesis.spoken import MOST_WORDS, Spoken, counted, texts_of

SPREAD = ("mean", "median", "min", "max")


@dataclass(frozen=True, slots=True)
class Sizes:
    """Of one batch: turns of each dialogue, words of each turn and dialogue, and the different n-grams by n."""

    turns: pl.Series
    turn_words: pl.Series
    dialogue_words: pl.Series
    different: Mapping[int, pl.Series]
    grams: Mapping[int, int]
    last_word: int


@dataclass(frozen=True, slots=True)
class Lexical:
    """Counts of dialogues, turns and words with their spread, size of the vocabulary, and distinct-1, -2, -3.

    Formula: distinct-n = different n-grams / all n-grams, over all dialogues; words are lower-cased runs of letters
    and digits (`synthesis.words`), n-grams lie inside one turn. A dialogue without turns is not counted.

    Source: Li et al. 2016 (arXiv 1510.03055), who divide by the number of words instead.

    Known defects: distinct-n falls as a dataset grows, because words recur, so that only datasets of one size compare;
    nonsense is most distinct of all. Beyond two million different words distinct-3 is absent.

    Example: the one dialogue "I like my dog. My dog barks" / "Dogs bark a lot" has 11 words, of which "my" and "dog"
    come twice: distinct-1 = 9/11. Of its 6 + 3 2-grams only "my dog" comes twice: distinct-2 = 8/9.
    """

    about: ClassVar[Mapping[str, str]] = {
        "dialogues": "dialogues; from 0",
        "turns": "turns in all; from 0",
        "words": "words in all turns; from 0",
        "vocabulary": "different words, lower-cased; from 0, higher is more varied",
        **{f"turns_per_dialogue_{each}": f"turns of a dialogue, {each}; from 0" for each in SPREAD},
        **{f"words_per_turn_{each}": f"words of a turn, {each}; from 0" for each in SPREAD},
        **{f"words_per_dialogue_{each}": f"words of a dialogue, {each}; from 0" for each in SPREAD},
        **{f"distinct_{n}": f"different {n}-grams / all {n}-grams; 0 to 1, higher is more varied" for n in (1, 2, 3)},
    }

    def __call__(self, dialogues: Iterable[Dialogue]) -> dict[str, float]:
        return counted([self], texts_of(dialogues))

    def count(self, batch: Spoken) -> Sizes:
        each = batch.turns.group_by("dialogue").agg(turns=pl.len(), words=pl.col("words").sum())
        grams = {n: batch.ngrams(n)["key"] for n in (1, 2, 3)}
        last = batch.words["word"].max()
        return Sizes(
            each["turns"],
            batch.turns["words"],
            each["words"],
            {n: keys.unique() for n, keys in grams.items()},
            {n: keys.len() for n, keys in grams.items()},
            last if isinstance(last, int) else -1,
        )

    def total(self, counts: Sequence[Sizes]) -> dict[str, float]:
        turns, turn_words, dialogue_words = (
            pl.concat([getattr(each, name) for each in counts]) for name in ("turns", "turn_words", "dialogue_words")
        )
        different = {n: pl.concat([each.different[n] for each in counts]).n_unique() for n in (1, 2, 3)}
        grams = {n: sum(each.grams[n] for each in counts) for n in (1, 2, 3)}
        if max(each.last_word for each in counts) >= MOST_WORDS:
            del grams[3]
        return {
            "dialogues": turns.len(),
            "turns": turn_words.len(),
            "words": grams[1],
            "vocabulary": different[1],
            **_spread("turns_per_dialogue", turns),
            **_spread("words_per_turn", turn_words),
            **_spread("words_per_dialogue", dialogue_words),
            **{f"distinct_{n}": different[n] / all_ for n, all_ in grams.items() if all_},
        }


def _spread(name: str, counts: pl.Series) -> dict[str, float]:
    row = (
        counts.to_frame("n")
        .select(mean=pl.col("n").mean(), median=pl.col("n").median(), min=pl.col("n").min(), max=pl.col("n").max())
        .row(0, named=True)
    )
    return {f"{name}_{each}": row[each] for each in SPREAD}
