"""Names of entities out of a list that a model wrote: what is taken off a line, and which lines are no name."""

from __future__ import annotations

import re
import string
import unicodedata
from collections import Counter
from dataclasses import dataclass

from synthesis import reading
from synthesis.errors import ReadingError, UserError

_SMALL = frozenset("a an and as at by de der du for from in la le of on or the to van von with".split())
_REPEATED = re.compile(r"(\S)\1{3}")
_DECLINED = re.compile(r"n\s*/\s*a|none", re.IGNORECASE)
_SHORTENED = re.compile(r"\b(?:Bros|Co|Corp|Inc|Jr|Ltd|Sr|St)\.$")
"""Last words of names whose full stop ends no sentence."""
_GLOSS = re.compile(r"\s[-–—]\s.*")
"""What a list says of a name after a dash between blanks."""


@dataclass(frozen=True, slots=True)
class NameFilter:
    """Cleans a line of a list into a name, and says why it is none.

    `shortest`, `longest`: the longest word of a name has so many letters and digits; `most`: words of a name (choice,
    each). `released`: the rules of SOLID's released code instead, in its order. They demand 5 to 20 letters of every
    word, so that "Ada Lovelace" and "New York" are lost, and delete punctuation, so that "AC/DC" becomes "ACDC".
    """

    shortest: int = 2
    longest: int = 25
    most: int = 6
    released: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.shortest <= self.longest or self.most < 1:
            raise UserError(
                f"names: words of {self.shortest} to {self.longest} letters, at most {self.most} words; "
                "expected 1 <= shortest <= longest, and at least one word"
            )

    def clean(self, line: str) -> str:
        """The name on a line: bullet, number, quotes, gloss and loose marks off, spaces and case straightened."""
        if self.released:
            return line.strip().translate(str.maketrans("", "", string.punctuation))
        try:
            name = reading.sentence(line)
        except ReadingError:
            return ""
        name = _GLOSS.sub("", " ".join(unicodedata.normalize("NFC", name).split()))
        return _cased(name.strip(" ,;*_"))

    def reason(self, name: str) -> str | None:
        """Why a cleaned line is not taken for a name, or None."""
        return _released(name) if self.released else self._reason(name)

    def _reason(self, name: str) -> str | None:
        lengths = [sum(map(str.isalnum, word)) for word in name.split()]
        if not any(map(str.isalpha, name)):
            return "no letter"
        if _DECLINED.fullmatch(name):
            return "declined"
        if name.endswith((":", "?")) or (name.endswith(".") and len(lengths) > 3 and not _SHORTENED.search(name)):
            return "a sentence"
        if len(lengths) > self.most:
            return "too many words"
        if max(lengths) > self.longest:
            return "a word too long"
        if max(lengths) < self.shortest:
            return "too short"
        if _REPEATED.search(name):
            return "a repeated character"
        return None

    def names(self, text: str) -> tuple[list[str], Counter[str]]:
        """The names of a list, one a line and each once whatever its case; and reasons of all other lines, counted."""
        found: dict[str, str] = {}
        reasons: Counter[str] = Counter()
        for name in map(self.clean, filter(str.strip, text.splitlines())):
            reason = self.reason(name) or ("known" if name.casefold() in found else None)
            if reason:
                reasons[reason] += 1
            else:
                found[name.casefold()] = name
        return list(found.values()), reasons


def _released(name: str) -> str | None:
    """The rules of the released code, one after another."""
    words = name.split()
    if all(character.isdigit() or character.isspace() for character in name):
        return "digits alone"
    if sum(map(str.isdigit, name)) > 0.1 * len(name):
        return "too many digits"
    if len(set(name)) <= 3:
        return "too few characters"
    if name[0].isdigit():
        return "begins with a digit"
    if len(words) > 4:
        return "too many words"
    if any(not 5 <= len(word) <= 20 for word in words):
        return "a word of fewer than 5 or more than 20 characters"
    return None


def _cased(name: str) -> str:
    """`name` with capitals where it has none at all, and without where it has nothing else in long words."""
    words = name.split()
    shouted = name.isupper() and max(sum(map(str.isalpha, word)) for word in words) > 5
    if not (name.islower() or shouted):
        return name
    lowered = [word.lower() for word in words]
    return " ".join(
        word if number and word in _SMALL else word[:1].upper() + word[1:] for number, word in enumerate(lowered)
    )
