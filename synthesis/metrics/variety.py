"""Variety within and between dialogues: what comes again, and how dialogues open and close."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import polars as pl

from synthesis.dialogue import Dialogue
from synthesis.spoken import MOST_WORDS, Spoken, counted, texts_of


@dataclass(frozen=True, slots=True)
class Recurrence:
    """Of one batch: sum of the shares of repeated 3-grams, dialogues with any 3-gram, turns again, turns counted."""

    share: float
    dialogues: int
    again: int
    turns: int
    last_word: int


@dataclass(frozen=True, slots=True)
class Repetition:
    """What comes again within a dialogue: 3-grams, and whole utterances.

    Formula: repeated 3-grams = 1 - different 3-grams / all 3-grams of a dialogue, the mean over the dialogues that
    have one; 3-grams lie inside one turn and repeat across the dialogue's turns. Repeated turns = turns of `least`
    words or more whose words an earlier turn of the dialogue had said alike / turns of that length, over all
    dialogues.

    Source: the share of repeated n-grams is that of Welleck et al. 2020 (arXiv 1908.04319), who take 4-grams of one
    continuation; turns are short, hence 3. Repeated turns: our own, for the loops of published synthetic dialogues.

    Known defects: long dialogues repeat more; a name, a set phrase or a question taken up in the answer counts like a
    loop. Beyond two million different words the share of 3-grams is absent.

    Example: "I like my dog a lot" / "I like my dog too": 4 + 3 3-grams, of which "i like my" and "like my dog" come
    twice: 1 - 5/7. "See you there then" / "See you there, then!" / "Bye": the second of two turns of four words comes
    again: 1/2.
    """

    about: ClassVar[Mapping[str, str]] = {
        "repeated_3grams": "3-grams that come again in their dialogue, mean share; 0 to 1, lower is better",
        "repeated_turns": "turns of 4 words or more said before in their dialogue, share; 0 to 1, lower is better",
    }
    least: int = 4

    def __call__(self, dialogues: Iterable[Dialogue]) -> dict[str, float]:
        return counted([self], texts_of(dialogues))

    def count(self, batch: Spoken) -> Recurrence:
        grams = batch.ngrams(3).with_columns(pl.col("dialogue").set_sorted())
        share = 1 - pl.col("key").n_unique() / pl.len()
        each = grams.group_by("dialogue", maintain_order=True).agg(share=share)
        long = batch.turns.filter(pl.col("words") >= self.least).select("dialogue", "said")
        last = batch.words["word"].max()
        return Recurrence(
            float(each["share"].sum()),
            each.height,
            long.height - long.n_unique(),
            long.height,
            last if isinstance(last, int) else -1,
        )

    def total(self, counts: Sequence[Recurrence]) -> dict[str, float]:
        dialogues = sum(each.dialogues for each in counts)
        turns = sum(each.turns for each in counts)
        found = {}
        if dialogues and max(each.last_word for each in counts) < MOST_WORDS:
            found["repeated_3grams"] = sum(each.share for each in counts) / dialogues
        if turns:
            found["repeated_turns"] = sum(each.again for each in counts) / turns
        return found


@dataclass(frozen=True, slots=True)
class Openings:
    """How differently dialogues open and close.

    Formula: variety = different first (last) utterances / dialogues; most common = dialogues that open (close) with
    the commonest first (last) utterance / dialogues. Utterances are the same when their words are.

    Source: our own, for generators that open every dialogue alike.

    Known defects: variety falls as a dataset grows, so that only datasets of one size compare, and short greetings
    recur among people as well; hold it against human dialogue of the same kind.

    Example: three dialogues that open "Hi!", "hi" and "Hello": variety 2/3, most common 2/3.
    """

    about: ClassVar[Mapping[str, str]] = {
        "opening_variety": "different first utterances / dialogues; 0 to 1, higher is more varied",
        "opening_commonest": "dialogues with the commonest first utterance, share; 0 to 1, lower is more varied",
        "closing_variety": "different last utterances / dialogues; 0 to 1, higher is more varied",
        "closing_commonest": "dialogues with the commonest last utterance, share; 0 to 1, lower is more varied",
    }

    def __call__(self, dialogues: Iterable[Dialogue]) -> dict[str, float]:
        return counted([self], texts_of(dialogues))

    def count(self, batch: Spoken) -> Mapping[str, pl.DataFrame]:
        ends = batch.turns.group_by("dialogue", maintain_order=True).agg(
            opening=pl.col("said").first(), closing=pl.col("said").last()
        )
        return {end: ends.group_by(said=end).agg(n=pl.len()) for end in ("opening", "closing")}

    def total(self, counts: Sequence[Mapping[str, pl.DataFrame]]) -> dict[str, float]:
        found = {}
        for end in ("opening", "closing"):
            said = pl.concat([each[end] for each in counts]).group_by("said").agg(pl.col("n").sum())["n"].to_list()
            found[f"{end}_variety"] = len(said) / sum(said)
            found[f"{end}_commonest"] = max(said) / sum(said)
        return found
