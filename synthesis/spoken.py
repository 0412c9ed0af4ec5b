"""Spoken: dialogues as tables of utterances and words, batch by batch, for numbers about very many of them.

The words are those of `synthesis.words`. Polars finds them in texts of the usual letters, signs and pictures, where
its Unicode tables and Python's agree; a text with anything else goes through `words` itself.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

import polars as pl

from synthesis.dialogue import Dialogue
from synthesis.words import words

BATCH = 8192
MOST_WORDS = 1 << 21
"""From so many different words on keys of 3-grams are ambiguous: three word numbers share one of 64 bits."""

_WORD = r"[\p{L}\p{N}]+(?:'[\p{L}\p{N}]+)*"
_USUAL = r"^[\x00-\u012f\u0131-\u02ff\u0370-\u03a2\u03a4-\u0482\u2000-\u20cf\u2100-\u2bff\U0001f000-\U0001faff]*$"
"""Latin, Greek and Cyrillic without combining marks, and but for two letters: İ gets a mark in lower case, and what Σ
becomes depends on its neighbours."""


@dataclass(frozen=True, slots=True)
class Spoken:
    """Some of the dialogues.

    `turns`, a row a turn: `dialogue` (number from 0 among all), `words` (how many), `said` (the words in a row,
    lower-cased). `words`, a row a word, in order: `dialogue`, `turn` (number within the batch), `word` (its number
    among all words of all batches).
    """

    turns: pl.DataFrame
    words: pl.DataFrame

    def ngrams(self, n: int) -> pl.DataFrame:
        """`dialogue` and `key` of each run of `n` words (1 to 3) inside a turn; equal runs have equal keys.

        Keys of 3-grams hold for words below `MOST_WORDS` only.
        """
        bits = 21 if n == 3 else 32
        key = pl.sum_horizontal(pl.col("word").cast(pl.UInt64).shift(back) * (1 << bits * back) for back in range(n))
        inside = pl.col("turn") == pl.col("turn").shift(n - 1)
        return self.words.lazy().with_columns(key=key).filter(inside).select("dialogue", "key").collect()


class Count(Protocol):
    """Numbers about dialogues that are counted in batches and added up at the end."""

    def count(self, batch: Spoken) -> Any: ...

    def total(self, counts: Sequence[Any]) -> dict[str, float]: ...


def counted(metrics: Sequence[Count], texts: Iterable[Sequence[str]], size: int = BATCH) -> dict[str, float]:
    """The numbers of all `metrics` about dialogues, given as the texts of their turns, read and tokenised once."""
    counts: list[list[Any]] = [[] for _ in metrics]
    for batch in spoken(texts, size):
        for metric, found in zip(metrics, counts, strict=True):
            found.append(metric.count(batch))
    return {
        name: value
        for metric, found in zip(metrics, counts, strict=True)
        if found
        for name, value in metric.total(found).items()
    }


def texts_of(dialogues: Iterable[Dialogue]) -> Iterator[list[str]]:
    """What was said in each dialogue."""
    return ([turn.text for turn in dialogue.turns] for dialogue in dialogues)


def spoken(texts: Iterable[Sequence[str]], size: int = BATCH) -> Iterator[Spoken]:
    """`size` dialogues at a time, the next being read while one is in use; those without a turn are left out."""
    numbers = pl.Categorical(pl.Categories.random())
    held = pl.Series(dtype=numbers)  # the numbering, which is forgotten when no series is left that has it
    tables = _read(texts, size)
    with ThreadPoolExecutor(1) as ahead:
        coming = ahead.submit(next, tables, None)
        while (table := coming.result()) is not None:
            coming = ahead.submit(next, tables, None)
            yield Spoken(
                table.select("dialogue", words=pl.col("found").list.len(), said=pl.col("found").list.join(" ")),
                table.select("dialogue", "found", turn=pl.int_range(pl.len(), dtype=pl.UInt32))
                .filter(pl.col("found").list.len() > 0)
                .explode("found")
                .select("dialogue", "turn", word=pl.col("found").cast(held.dtype).to_physical()),
            )


def _read(texts: Iterable[Sequence[str]], size: int) -> Iterator[pl.DataFrame]:
    """`dialogue` and the words `found` of each turn, `size` dialogues at a time."""
    waiting = (each for each in texts if each)
    begun = 0
    while batch := list(itertools.islice(waiting, size)):
        dialogue = pl.int_range(begun, begun + len(batch), dtype=pl.UInt32, eager=True)
        said = _column(list(itertools.chain.from_iterable(batch)))
        yield pl.DataFrame(
            {"dialogue": dialogue.repeat_by(pl.Series(map(len, batch))).explode(), "found": word_lists(said)}
        )
        begun += len(batch)


def _column(texts: Sequence[str]) -> pl.Series:
    try:
        return pl.Series(texts, dtype=pl.String)
    except UnicodeEncodeError:  # half a character somewhere, which is part of no word
        return pl.Series([text.encode("utf-8", "replace").decode() for text in texts], dtype=pl.String)


def word_lists(texts: pl.Series) -> pl.Series:
    """`words` of each text."""
    usual = texts.str.contains(_USUAL)
    straight = texts.filter(usual).str.to_lowercase().str.replace_all("’", "'", literal=True)
    found = straight.str.extract_all(_WORD)
    if usual.all():
        return found
    rest = pl.Series([words(text) for text in texts.filter(~usual)], dtype=pl.List(pl.String))
    order = pl.concat([usual.arg_true(), (~usual).arg_true()])
    return pl.concat([found.alias(""), rest]).gather(order.arg_sort())
