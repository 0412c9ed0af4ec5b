"""The table of a file in the published Synthetic-Persona-Chat form: what is in its cells as they stand, unmended.

The figures are those by which the published files are known, and by which it shows what reading them has to survive.
"""

from __future__ import annotations

import itertools
import re
import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from synthesis import reading
from synthesis.dialogue_forms import SPC_COLUMNS
from synthesis.errors import ReadingError
from synthesis.words import content_words, words

ABOUT: Mapping[str, str] = {
    "rows": "rows",
    "profiles_of_4": "profiles with four attributes",
    "profiles_of_5": "profiles with five attributes",
    "attributes": "attributes of all profiles",
    "attributes_distinct": "different attributes",
    "base_personas": "groups of attributes that meet in some profile, directly or through others",
    "profiles_distinct": "different profiles",
    "profiles_distinct_sets": "different profiles, order aside",
    "words_per_attribute_mean": "words of an attribute, split at white space, mean",
    "words_per_attribute_min": "the same, fewest",
    "words_per_attribute_max": "the same, most",
    "utterances_mean": "labelled lines of a conversation that has any, mean",
    "utterances_median": "the same, median",
    "utterances_max": "the same, most",
    "words_per_utterance_mean": "words of a labelled line, split at white space, mean",
    "words_per_utterance_max": "the same, most",
    "words_per_conversation_mean": "words of a conversation without labels, mean",
    "labelled": "rows with a line that opens strictly `User 1:` or `User 2:`",
    "opened_by_user_1": "of these, rows in which User 1 comes first",
    "placeholders": "rows with a placeholder such as [name] or (name)",
    "placeholders_or_labels": "rows with a placeholder or a spoken `User 1`",
    "strict": "rows in which every line is strictly labelled and the users take turns",
    "clean": "strict rows without placeholder, spoken label, or a user who says the same four times",
    "same_speaker_twice": "rows in which one user has two labelled lines running",
    "blank_lines": "rows with a blank line in the conversation",
    "overlap_mean": "long words of an attribute that its own user says in one utterance, the most, mean share",
    "overlap_none": "attributes of which their own user says no long word, share",
    "verbatim": "attributes that their own user says word for word in one turn, share",
    "voiced_by_other": "attributes of which the other user says at least half the content words, their own less",
}

_LABEL = re.compile(r"^User ([12]): ?(.*)$", re.MULTILINE)
_PLACEHOLDER = re.compile(r"\[(?=[^\]\n]*(?:name|user))[^\]\n]{1,40}\]|\([^)\n]*name[^)\n]*\)", re.IGNORECASE)
_SPOKEN_LABEL = re.compile(r"user ?[12]", re.IGNORECASE)
_LOOP = 4


@dataclass(frozen=True, slots=True)
class _Conversation:
    """A cell of the conversation column: `said`, user and text of its labelled lines; `bare`, all without labels."""

    lines: Sequence[str]
    said: Sequence[tuple[str, str]]
    bare: str

    @property
    def twice(self) -> bool:
        return any(first[0] == second[0] for first, second in itertools.pairwise(self.said))

    @property
    def strict(self) -> bool:
        return len(self.said) == len(self.lines) > 0 and not self.twice

    @property
    def placeholder(self) -> bool:
        return _PLACEHOLDER.search(self.bare) is not None

    @property
    def label(self) -> bool:
        return _SPOKEN_LABEL.search(self.bare) is not None

    @property
    def looped(self) -> bool:
        said = Counter((user, tuple(words(text))) for user, text in self.said)
        return max(said.values(), default=0) >= _LOOP


def spc_table(rows: Iterable[Mapping[str, str]]) -> dict[str, float]:
    """The numbers of `ABOUT` for the rows of such a file; absent where there is nothing to count."""
    rows = list(rows)
    profiles = [_lines(row[column]) for row in rows for column in SPC_COLUMNS[:2]]
    found = {"rows": len(rows), **_of_profiles(profiles), **_of_conversations([row[SPC_COLUMNS[2]] for row in rows])}
    return found | _of_overlap(rows)


def _lines(cell: str) -> tuple[str, ...]:
    return tuple(line for line in map(str.strip, cell.splitlines()) if line)


def _of_profiles(profiles: Sequence[tuple[str, ...]]) -> dict[str, float]:
    attributes = [attribute for profile in profiles for attribute in profile]
    sizes = Counter(map(len, profiles))
    return {
        "profiles_of_4": sizes[4],
        "profiles_of_5": sizes[5],
        "attributes": len(attributes),
        "attributes_distinct": len(set(attributes)),
        "base_personas": _groups(profiles),
        "profiles_distinct": len(set(profiles)),
        "profiles_distinct_sets": len(set(map(frozenset, profiles))),
        **_spread("words_per_attribute", [len(each.split()) for each in attributes], ("mean", "min", "max")),
    }


def _groups(profiles: Iterable[Sequence[str]]) -> int:
    """How many groups there are when the attributes of a profile belong together."""
    group: dict[str, set[str]] = {}
    for profile in profiles:
        joined = set(profile).union(*(group[each] for each in profile if each in group))
        group |= dict.fromkeys(joined, joined)
    return len({id(each) for each in group.values()})


def _of_conversations(cells: Iterable[str]) -> dict[str, float]:
    read = [_conversation(cell.replace("\r\n", "\n")) for cell in cells]
    labelled = [each for each in read if each.said]
    utterances = [len(text.split()) for each in labelled for _, text in each.said]
    clean = [each for each in read if each.strict and not (each.placeholder or each.label or each.looped)]
    return {
        **_spread("utterances", [len(each.said) for each in labelled], ("mean", "median", "max")),
        **_spread("words_per_utterance", utterances, ("mean", "max")),
        **_spread("words_per_conversation", [len(each.bare.split()) for each in read], ("mean",)),
        "labelled": len(labelled),
        "opened_by_user_1": sum(each.said[0][0] == "1" for each in labelled),
        "placeholders": sum(each.placeholder for each in read),
        "placeholders_or_labels": sum(each.placeholder or each.label for each in read),
        "strict": sum(each.strict for each in read),
        "clean": len(clean),
        "same_speaker_twice": sum(each.twice for each in read),
        "blank_lines": sum(not all(map(str.strip, each.lines)) for each in read),
    }


def _conversation(cell: str) -> _Conversation:
    said = [(match[1], match[2].strip()) for match in _LABEL.finditer(cell)]
    return _Conversation(cell.split("\n") if cell else (), said, _LABEL.sub(r"\2", cell))


def _of_overlap(rows: Iterable[Mapping[str, str]]) -> dict[str, float]:
    """How attributes and turns meet, in the rows that can be read as a conversation of two.

    What a long word is, and that one utterance counts, was found by trying: so the table gives the figures known of
    the published file.
    """
    shares: list[float] = []
    verbatim = other = count = 0
    for row in rows:
        try:
            turns = reading.transcript(row[SPC_COLUMNS[2]]).turns
        except ReadingError:
            continue  # such rows are listed as put aside by whoever reads the file
        spoken = {user: " ".join(turn.text for turn in turns if turn.speaker == user) for user in reading.USERS}
        carried = {user: content_words(text) for user, text in spoken.items()}
        said = {user: [f" {' '.join(words(t.text))} " for t in turns if t.speaker == user] for user in reading.USERS}
        longest = {user: [_long_words(t.text) for t in turns if t.speaker == user] for user in reading.USERS}
        for user, column, rival in zip(reading.USERS, SPC_COLUMNS, reversed(reading.USERS), strict=False):
            for attribute in _lines(row[column]):
                if long := _long_words(attribute):
                    shares.append(max((len(long & each) / len(long) for each in longest[user]), default=0.0))
                meant = content_words(attribute)
                if not meant:
                    continue
                count += 1
                shared = {side: len(meant & carried[side]) / len(meant) for side in (user, rival)}
                other += shared[user] < 0.5 <= shared[rival]
                verbatim += any(f" {' '.join(words(attribute))} " in text for text in said[user])
    found: dict[str, float] = {}
    if shares:
        found |= {"overlap_mean": sum(shares) / len(shares), "overlap_none": shares.count(0.0) / len(shares)}
    if count:
        found |= {"verbatim": verbatim / count, "voiced_by_other": other}
    return found


def _long_words(text: str) -> frozenset[str]:
    """Words of four letters and more that are no stop words of scikit-learn's English list."""
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

    return frozenset(word for word in _LONG.findall(text.lower()) if word not in ENGLISH_STOP_WORDS)


_LONG = re.compile(r"[a-z']{4,}")


def _spread(name: str, values: Sequence[int], which: Sequence[str]) -> dict[str, float]:
    if not values:
        return {}
    told = {
        "mean": statistics.mean(values),
        "median": statistics.median(values),
        "min": min(values),
        "max": max(values),
    }
    return {f"{name}_{each}": float(told[each]) for each in which}
