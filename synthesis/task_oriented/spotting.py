"""What words of an utterance say by themselves: times, numbers with their nouns, days, yes and no, "I don't mind".

Everything works on plain text: lower-cased, apostrophes straightened, runs of white space one space (`plain`). Words
that ask ("what is the phone number?") tell nothing, so sentences that only ask are left out by `telling`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")

SPELLINGS = {
    "centre": ("center", "city centre", "city center", "town centre", "downtown", "central"),
    "cheap": ("inexpensive", "budget", "affordable", "cheaply priced", "low-priced"),
    "moderate": ("moderately priced", "moderately-priced", "mid-range", "mid range", "reasonably priced"),
    "expensive": ("upscale", "high-end", "high end", "pricey"),
    "guesthouse": ("guest house", "guest-house"),
    "concerthall": ("concert hall",),
    "nightclub": ("night club",),
    "swimmingpool": ("swimming pool", "pool"),
    "multiple sports": ("multiple sports", "sports venue", "sports", "sporting"),
    "theatre": ("theater",),
    "architecture": ("architectural",),
    "boat": ("boating",),
}
"""Other spellings of values, that people use."""

_NUMBER = rf"(\d+|{'|'.join(NUMBERS)})"
_NOUNS = {
    "people": (
        rf"\b{_NUMBER} (?:other )?(?:people|persons?|guests?|diners?|adults?|of us|seats?|tickets?|travell?ers?)\b",
        rf"\b(?:party|group|table|reservation|booking|room|tickets) (?:of|for) {_NUMBER}\b(?! nights?| days?|:)",
        rf"\bfor {_NUMBER}(?= on\b| at\b| from\b|,|[.?!]|$)",
        rf"\bpeople (?:is|to|will be) {_NUMBER}\b",
    ),
    "stay": (rf"\b{_NUMBER} (?:nights?|days?)\b", rf"\bnights (?:is|to|will be) {_NUMBER}\b"),
    "stars": (rf"\b{_NUMBER}[- ]stars?\b", rf"\bstars? (?:rating )?(?:of|is) {_NUMBER}\b"),
}
_ALONE = re.compile(
    r"\b(?:just|only) (?:for )?(?:me|myself)\b|\bby myself\b|\bon my own\b|\b(?:i am|i'm) (?:going )?alone\b"
)
_CARELESS = re.compile(
    r"\b(?:do|does|would)(?:n't| not) (?:really |particularly )?(?:care|matter|mind)\b|\bsurprise me\b|\bwhatever\b"
    r"|\bno (?:particular )?preference\b|\bdo(?:n't| not) have (?:a|any) preference\b|\bnot picky\b"
    r"|\bany\b[\w\s]*\b(?:is|are|will|would)(?: be)? (?:fine|ok|okay|good|do|work)\b|\b(?:will|would) do\b.*\bany\b"
    r"|\beither (?:is|would|one)\b"
)
_ASKING = re.compile(
    r"\b(?:what|which) (?:is|are|was)\b|\bwhat's\b|\btell me\b|\bi'd like to know\b|\bgive me (?:the|their|its)\b"
    r"|\b(?:may|could|can) i (?:have|get) (?:the|their|its)\b|\bdo you have (?:the|their|its|an? (?:address|phone))\b"
    r"|^(?:does|do|is|are) (?:it|they|that)\b"
)
_NEGATIVE = re.compile(r"\b(?:no|not|without|need not|leave out|do without)\b|n't\b")


def plain(text: str) -> str:
    """`text` as everything here reads it; "does n't", as corpora write it, is one word again."""
    joined = " ".join(text.lower().replace("’", "'").replace("`", "'").split())
    return re.sub(r" (n't|'(?:s|d|ll|re|ve|m))\b", r"\1", joined)


def sentences(text: str) -> list[str]:
    """Sentences; a full stop inside a time or a name with an initial does not end one."""
    return [part.strip() for part in re.split(r"(?<=[?!])\s+|(?<=\w\w)\.\s+|(?<=\d)\.\s+|;\s*", text) if part.strip()]


def clauses(sentence: str) -> list[str]:
    """Parts between commas, "and", "but", "with" and "that has"."""
    parts = re.split(r",\s*|\b(?:and|but|with|that has)\b", sentence)
    return [part for part in parts if part.strip()]


def telling(text: str) -> str:
    """`text` without sentences that only ask for a property."""
    return ". ".join(each for each in sentences(text) if not asks(each))


def asks(sentence: str) -> bool:
    """Whether a sentence asks for a property, and not for something to be found."""
    found = _ASKING.search(sentence)
    return found is not None and not re.search(r"\bfind\b|\blooking for\b|\bi need\b", sentence)


def careless(clause: str) -> bool:
    """Whether a clause says that something does not matter."""
    return _CARELESS.search(clause) is not None


def negative(clause: str) -> bool:
    """Whether a clause says no."""
    return _NEGATIVE.search(clause) is not None


def number(text: str) -> str:
    """Digits of a number word, or of digits."""
    return str(NUMBERS.index(text)) if text in NUMBERS else str(int(text))


def counted(text: str, what: str) -> str | None:
    """The number that stands with the nouns of "people", "stay" or "stars"; None where there is none."""
    for pattern in _NOUNS[what]:
        found = re.search(pattern, text)
        if found:
            return number(found[1])
    return "1" if what == "people" and _ALONE.search(text) else None


def bare(text: str) -> str | None:
    """The only number of a short answer."""
    found = re.findall(rf"(?<![:\w]){_NUMBER}(?![:\w])", text)
    return number(found[0]) if len(found) == 1 else None


def days(text: str) -> list[str]:
    """Days of the week in the order of naming."""
    return [found[0] for found in re.finditer(rf"\b(?:{'|'.join(DAYS)})\b", text)]


_STRONG = re.compile(r"(arriv|get(?:ting)? (?:me |us )?(?:there|in)\b|be there|get to\b)|(leav|depart|pick|set off)")
_WEAK = re.compile(r"(\bby\b|\bbefore\b|no later)|(\bafter\b|\bfrom\b|later than|earliest)")


def leaving_or_arriving(before: str) -> str | None:
    """Which of the two the words in front of a time speak of: "leaveat" or "arriveby"; None where they do not say."""
    for pattern in (_STRONG, _WEAK):
        found = list(pattern.finditer(before))
        if found:
            return "arriveby" if found[-1][1] else "leaveat"
    return None


def either(values: Iterable[str]) -> str:
    """A pattern that matches whole values, the longest first, a plural s allowed. Never matches where there are
    none."""
    escaped = sorted({re.escape(value) for value in values if value}, key=lambda value: (-len(value), value))
    return rf"(?<!\w)({'|'.join(escaped)})(?:s|'s)?(?!\w)" if escaped else r"(?!)"
