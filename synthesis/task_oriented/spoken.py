"""Names of domains and slots as people say them: "Hotels_1" is hotels, "number_of_rooms" number of rooms."""

from __future__ import annotations

import re


def words_of(name: str) -> str:
    """A name of a schema in words: no underscores, no number behind it, capitals inside it begin a word."""
    parts = re.sub(r"_\d+$", "", name).replace("_", " ").replace("-", " ")
    return " ".join(re.sub(r"(?<=[a-z])(?=[A-Z])", " ", parts).lower().split())


def slot_words(name: str) -> str:
    """A slot's name in words; those of MultiWOZ, which are written together, are taken apart; "has" goes."""
    return _TOGETHER.get(name) or words_of(name).removeprefix("has ").removeprefix("is ")


def singular(words: str) -> str:
    """`words` without the s of a plural."""
    return words[:-1] if words.endswith("s") and not words.endswith(("ss", "us")) else words


_TOGETHER = {
    "pricerange": "price range",
    "bookday": "day",
    "bookpeople": "number of people",
    "bookstay": "number of nights",
    "booktime": "time",
    "leaveat": "departure time",
    "arriveby": "arrival time",
    "entrancefee": "entrance fee",
    "openhours": "opening hours",
    "trainid": "train ID",
    "ref": "reference number",
    "phone": "phone number",
    "duration": "travel time",
}


def titled(text: str) -> str:
    """A name as it is written: capitals but for small words inside it."""
    words = text.split()
    return " ".join(
        word if number and word in _SMALL else word[:1].upper() + word[1:] for number, word in enumerate(words)
    )


_SMALL = frozenset(("a", "an", "and", "at", "by", "for", "in", "of", "on", "the", "to"))
