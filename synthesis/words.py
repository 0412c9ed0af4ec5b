"""Words of a text, as filters and metrics count them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")

STOP_WORDS = frozenset(
    """a about after again all also always am an and another any anything are as at away back be because been before
    being but by came can can't come could did didn't do does doesn't doing don't done down each even ever every few
    first for from get give go goes going gone good got great had has have haven't having he hello her here hers hey hi
    him his how i i'd i'll i'm i've if in into is isn't it it's its just know let let's like lot lots love made make
    makes making many me might mine more most much must my myself near never new no nor not nothing now of off oh ok
    okay on once one only or other our out over own people quite really said same say see she should since so some
    something still such sure take than that that's the their them then there there's these they they're thing things
    think this those though through time to together too two under until up us use used usually very want wants was
    wasn't way we we're well went were what what's when where which while who why will with without won't work would
    yeah yes yet you you'd you'll you're you've your yours""".split()
)


def words(text: str) -> list[str]:
    """Lower-cased words: runs of letters and digits, apostrophes inside a word kept and straightened."""
    return [word.replace("’", "'") for word in _WORD.findall(text.lower())]


def content_words(text: str) -> set[str]:
    """Words that carry the subject: no stop words, and a crude stem so that "dogs" and "dog" meet."""
    return {stem(word) for word in words(text) if word not in STOP_WORDS and len(word) > 1}


_SENTENCE_END = re.compile(r"(?<=[.!?…])(?<!\bMr\.)(?<!\bMrs\.)(?<!\bMs\.)(?<!\bDr\.)(?<!\bSt\.)\s+|\s*\n\s*")


def sentences(text: str) -> list[str]:
    """Sentences of a text, split after closing marks and at line breaks; titles such as "Dr." close nothing."""
    return [part.strip() for part in _SENTENCE_END.split(text) if part.strip()]


def stem(word: str) -> str:
    """`word` without the commonest English endings; equal stems, not right stems, are the aim."""
    word = word.split("'")[0]
    for ending in ("ing", "ies", "ed", "es", "s", "e", "y"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word[: -len(ending)]
    return word


def ngrams(tokens: Sequence[str], n: int) -> Iterator[tuple[str, ...]]:
    """Every run of `n` tokens, in order."""
    return zip(*(tokens[start:] for start in range(n)), strict=False)
