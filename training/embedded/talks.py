"""Conversations for the embedded model: read from the corpus, cleaned, cut to length and given two profiles.

Corpora without profiles get them from what the speakers say of themselves, by rule, preferably outside the part of
the conversation that is kept: the recipe rejects conversations that copy their profiles.
"""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections import Counter
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from synthesis.errors import UserError
from training.embedded.hobbies import TOPICS
from training.embedded.row import SAME, share
from training.embedded.statements import (
    RUN,
    clean,
    content,
    longest_copy,
    overlap,
    rephrased,
    sentences,
    shown,
    statement,
)

LOW, HIGH = 8, 16  # turns of a kept conversation
MAX_COPY = RUN - 1  # words of a trait in a row that its user may say


@dataclass(frozen=True, slots=True)
class Talk:
    """A cleaned conversation: `turns` alternate between user 0 (who opens) and user 1; `facts` are traits by user.

    `facts` hold more than a profile needs; `topic` is the corpus' own label or "".
    """

    id: str
    source: str
    turns: tuple[str, ...]
    facts: tuple[tuple[str, ...], tuple[str, ...]]
    topic: str = ""

    def of(self, user: int) -> tuple[str, ...]:
        """The turns of one user."""
        return self.turns[user::2]


@dataclass(frozen=True, slots=True)
class Told:
    """A dialogue as the corpus has it: `messages` of speaker and text; `condition`: what else is known of it."""

    id: str
    source: str
    messages: tuple[tuple[str, str], ...]
    condition: dict[str, Any]


def told(path: Path) -> Iterator[Told]:
    """The dialogues of a corpus file (JSONL.gz: source, messages, cond), in order; ids as in `named`.

    Raises UserError for a file of another kind.
    """
    if not path.is_file():
        raise UserError(f"--corpus {path} is not a file; give a JSONL.gz of dialogues with source and messages")
    try:
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            for number, line in enumerate(lines):
                row = json.loads(line)
                messages = tuple((str(speaker), str(text)) for speaker, text in row["messages"])
                condition = row.get("cond") or {}
                yield Told(named(row["source"], number, condition), row["source"], messages, condition)
    except (gzip.BadGzipFile, EOFError, ValueError, KeyError) as error:
        raise UserError(
            f"--corpus {path}: not gzipped JSONL of dialogues with source and messages: {error}"
        ) from error


def named(source: str, number: int, condition: dict[str, Any]) -> str:
    """The id of a dialogue: its source and line number, before which stands a profile where it has two.

    Profiles come again with others in other dialogues. One in fifty is held out, with all dialogues of either user's:
    nothing learned has it, though it may have the other user's profile, and single traits.
    """
    if "persona_1" not in condition:
        return f"{source}-{number}"
    profiles = ["\n".join(sorted(condition[f"persona_{user}"])) for user in (1, 2)]
    first = min((f"{source}-{zlib.crc32(each.encode()):08x}" for each in profiles), key=share)
    return f"{first}{SAME}{number}"


def talks(given: Iterable[Told], sources: Sequence[str], names: Sequence[str]) -> Iterator[Talk]:
    """The casual conversations among those `given`: of these sources, by two speakers, long and clean enough."""
    for each in given:
        talk = _talk(each, names) if each.source in sources else None
        if talk:
            yield talk


def _talk(given: Told, names: Sequence[str]) -> Talk | None:
    turns = _alternating(given.messages, Random(given.id), names)
    turns = _unlooped(turns or ())
    if len(turns) < LOW or max(len(turn.split()) for turn in turns) > 60:
        return None
    if "persona_1" in given.condition:
        traits = [[clean(trait) for trait in given.condition[f"persona_{user}"]] for user in (1, 2)]
        facts = [tuple(trait for trait in side if trait) for side in traits]
        return Talk(given.id, given.source, turns, (facts[0], facts[1]))
    said = [tuple(dict.fromkeys(f for t in turns[u::2] for s in sentences(t) if (f := statement(s)))) for u in (0, 1)]
    return Talk(given.id, given.source, turns, (said[0], said[1]), given.condition.get("topic") or "")


def _unlooped(turns: Sequence[str]) -> tuple[str, ...]:
    """The turns before one of more than four words comes again, or any turn comes the third time."""
    seen: Counter[str] = Counter()
    for at, turn in enumerate(turns):
        seen[turn] += 1
        if seen[turn] > (1 if len(turn.split()) > 4 else 2):
            return tuple(turns[:at])
    return tuple(turns)


_PLACEHOLDER = re.compile(
    r"[\[(<{]\s*(?:your |my |insert )?(?:(?:first |user )?name|user ?[12](?:'s)?(?: name)?)\s*[12]?\s*[\])>}]"
    r"|\bUser [12](?:'s name)?\b",
    re.IGNORECASE,
)
_OWN_NAME = re.compile(r"(?:\bI'm|\bI am|\b[Mm]y name is|\b[Mm]y name's)\s*$")


def _alternating(messages: Sequence[Sequence[str]], rng: Random, names: Sequence[str]) -> tuple[str, ...] | None:
    """Turns of exactly two speakers, runs of one speaker joined, placeholder names filled in; None if unusable."""
    speakers = list(dict.fromkeys(speaker for speaker, _ in messages))
    if len(speakers) != 2:
        return None
    called = rng.sample(list(names), 2)
    turns: list[str] = []
    for speaker, raw in messages:
        user = speakers.index(speaker)
        text = clean(_named(raw, called[user], called[1 - user]))
        if text is None:
            return None
        if len(turns) % 2 == user:
            turns.append(text)
        else:
            turns[-1] = f"{turns[-1]} {text}"
    return tuple(turns)


def _named(text: str, own: str, other: str) -> str:
    """Placeholders such as [name] replaced: the speaker's own name after "I'm", the listener's elsewhere."""
    while match := _PLACEHOLDER.search(text):
        name = own if _OWN_NAME.search(text[: match.start()]) else other
        text = text[: match.start()] + name + text[match.end() :]
    return text


_CLOSING = re.compile(
    r"\b(?:bye|goodbye|(?:nice|great|good|fun) (?:talking|chatting|meeting|to meet|to talk)|take care|see you"
    r"|talk to you|have a (?:great|good|nice|wonderful)|good night|gotta go|have to go|catch you)\b",
    re.IGNORECASE,
)


def window(turns: Sequence[str], rng: Random, low: int = LOW, high: int = HIGH) -> tuple[str, ...]:
    """`low` to `high` turns from the start, with the conversation's own farewell as the end where it has one."""
    if len(turns) <= high:
        return tuple(turns)
    closing = next((at for at in range(low, len(turns)) if _CLOSING.search(turns[at])), None)
    if closing is not None and len(turns) - closing <= 4:
        farewell = turns[closing:]
        longest = min(high - len(farewell), closing)
        kept = rng.randint(low - len(farewell) + 1, longest)
        return (*turns[: kept - (kept - closing) % 2], *farewell)
    ends = [at for at in range(low, high + 1) if not turns[at - 1].endswith("?")]
    return tuple(turns[: rng.choice(ends[-5:]) if ends else high])


def profile(
    talk: Talk,
    user: int,
    kept: Sequence[str],
    spare: Sequence[str],
    taken: Sequence[str],
    common: Container[str],
    rng: Random,
) -> list[str] | None:
    """3 to 5 traits of a user for the part `kept`: what shows in it first, no long copies; None if too few.

    At most one trait of the profile is from `spare`, facts that have nothing to do with the conversation. `taken`:
    traits of the other user, which are not given twice; `common`: words that tell nothing.
    """
    said = kept[user::2]
    size = rng.choice((3, 4, 4, 5, 5) if talk.source == "spc" else (3, 3, 4, 4, 5))
    facts = [fact if talk.source == "spc" else rephrased(fact, rng) for fact in talk.facts[user]]
    fitting = [fact for fact in dict.fromkeys(facts) if longest_copy(fact, said) <= MAX_COPY or rng.random() < 0.15]
    fitting.sort(key=lambda fact: -overlap(fact, said) + 0.3 * rng.random())
    chosen = fitting[: size - (1 if rng.random() < 0.25 else 0)]
    if talk.source != "spc":
        chosen += shown(said, common, rng)[: min(rng.choice((1, 2, 2)), size - len(chosen))]
    if talk.topic in TOPICS and len(chosen) < size:
        known = [trait for trait in TOPICS[talk.topic] if trait not in taken]
        chosen += rng.sample(known, min(2, size - len(chosen), 2 - (len(chosen) > 1)))
    if len(chosen) == 2 or (len(chosen) < size and rng.random() < 0.5):
        chosen.append(rng.choice(spare))
    if len(chosen) < 3 or len({frozenset(content(trait)) for trait in chosen}) < len(chosen):
        return None
    rng.shuffle(chosen)
    return chosen


def frequent(material: Sequence[Talk], share: float = 0.03) -> frozenset[str]:
    """Words that occur in more than `share` of the conversations."""
    counts = Counter(word for talk in material for word in set(re.findall(r"\w+", " ".join(talk.turns))))
    return frozenset(word for word, count in counts.items() if count > share * len(material))


_GREETING = re.compile(r"^(?:hi|hey|hello)(?: there)?\b[!,.]*\s*", re.IGNORECASE)
_NAMING = re.compile(r"\b(I'm|I am|[Mm]y name is|[Nn]ame's) ([A-Z][a-z]+)(?=[,.!]|$)")


def introduced(turns: Sequence[str], names: Sequence[str], rng: Random) -> tuple[str, ...]:
    """Names said in the first turns made the given ones; now and then a greeting gets them where it had none."""
    turns = list(turns)
    spoken = {match[2]: names[at % 2] for at, turn in enumerate(turns[:4]) for match in _NAMING.finditer(turn)}
    if spoken:
        pattern = re.compile(r"\b(" + "|".join(map(re.escape, spoken)) + r")\b")
        return tuple(pattern.sub(lambda match: spoken[match[1]], turn) for turn in turns)
    if rng.random() < 0.35 and _GREETING.match(turns[0]):
        turns[0] = _GREETING.sub(lambda _: f"Hi, I'm {names[0]}. ", turns[0]).strip()
        reply = _GREETING.sub("", turns[1])
        turns[1] = f"Hi {names[0]}, I'm {names[1]}. {reply[:1].upper()}{reply[1:]}".strip()
    return tuple(turns)
