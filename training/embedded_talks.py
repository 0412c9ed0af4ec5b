"""Conversations for the embedded model: read from the corpus, cleaned, cut to length and given two profiles.

Corpora without profiles get them from what the speakers say of themselves, by rule, preferably outside the part of
the conversation that is kept: the recipe rejects conversations that copy their profiles.
"""

from __future__ import annotations

import gzip
import json
import re
from collections import Counter
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from synthesis.errors import UserError
from training.statements import clean, content, longest_copy, overlap, rephrased, sentences, shown, statement

LOW, HIGH = 8, 16  # turns of a kept conversation
MAX_COPY = 5  # words of a trait in a row that its user may say

TOPICS = {
    "music": (
        "I listen to music all day.",
        "I go to concerts a lot.",
        "My playlists are long.",
        "I always have headphones on.",
        "I find new bands every week.",
    ),
    "movies": (
        "I go to the cinema a lot.",
        "I watch a film most evenings.",
        "I talk about films all the time.",
        "I know a lot of actors by name.",
        "I spend my weekends watching films.",
    ),
    "nfl_football": (
        "I follow professional football.",
        "My Sundays belong to football.",
        "I never miss kickoff.",
        "I argue about quarterbacks for fun.",
        "I wear my team's jersey.",
    ),
    "disney": (
        "I grew up on animated films.",
        "I am a grown-up who watches cartoons.",
        "I know many Disney songs.",
        "I would like to see the theme parks.",
        "I cry at family films.",
    ),
    "star_wars": (
        "I am into space movies.",
        "I own a toy lightsaber.",
        "I am a science fiction fan.",
        "I dream of flying a spaceship.",
        "I know old space films by heart.",
    ),
    "thriller": (
        "I like films that keep me awake.",
        "I enjoy suspense.",
        "I watch a lot of thrillers.",
        "I like a twist at the end.",
        "I always guess who did it.",
    ),
    "pop": (
        "I listen to pop songs.",
        "I sing along to the radio.",
        "I keep up with the charts.",
        "I have a weak spot for catchy songs.",
        "I play pop in the car.",
    ),
    "rap_hiphop": (
        "I am into rap.",
        "I listen to hip hop on the way to work.",
        "I know a lot about rappers.",
        "I write rhymes in a notebook.",
        "I like music with a strong beat.",
    ),
    "rock": (
        "I am a rock fan.",
        "I like loud guitars.",
        "I collect rock records.",
        "I once played in a band.",
        "I go to rock festivals.",
    ),
    "beatles": (
        "I listen to old bands.",
        "I am a fan of British bands.",
        "I like music from the sixties.",
        "My parents gave me their old records.",
        "I can sing many old songs.",
    ),
    "lady_gaga": (
        "I follow pop stars.",
        "I like singers with wild costumes.",
        "I dance to pop music.",
        "I have seen big shows on stage.",
        "I like singers who surprise people.",
    ),
    "baseball": (
        "I watch baseball all summer.",
        "I am a baseball fan.",
        "I like going to the ballpark.",
        "I can talk about pitchers for hours.",
        "My family cheers for one ball club.",
    ),
    "basketball": (
        "I am a basketball fan.",
        "I watch basketball with friends.",
        "I shoot hoops at weekends.",
        "I follow the playoffs closely.",
        "I know the players of my team.",
    ),
    "action": (
        "I like action films.",
        "I enjoy car chases on screen.",
        "I am into spy stories.",
        "I enjoy films with stunts.",
        "I like heroes who never give up.",
    ),
    "comedy": (
        "I like to laugh.",
        "I watch a lot of comedies.",
        "I quote funny films.",
        "I am known for bad jokes.",
        "I cheer people up.",
    ),
    "horror": (
        "I am into scary films.",
        "I watch horror with the lights on.",
        "I like being frightened.",
        "I like ghost stories.",
        "I scare easily but keep watching.",
    ),
    "superhero": (
        "I read comic books.",
        "I am into superheroes.",
        "I see every superhero film.",
        "I have a favorite hero since I was a kid.",
        "I discuss comic book films with friends.",
    ),
    "harry_potter": (
        "I read fantasy books.",
        "I am into stories about wizards.",
        "I reread my favorite series.",
        "I would like to go to a school of magic.",
        "I own all the books of a long series.",
    ),
    "fast_furious": (
        "I am into fast cars.",
        "I like films with car races.",
        "I watch action series in order.",
        "I dream of owning a race car.",
        "I like loud engines.",
    ),
    "music_and_movies": (
        "I like films with good music.",
        "I collect soundtracks.",
        "I am into films and songs.",
        "I remember films by their songs.",
        "I go to concerts and to the cinema.",
    ),
    "fashion": (
        "I follow fashion.",
        "I spend a lot on clothes.",
        "I like to dress up.",
        "I like to shop with friends.",
        "My closet is too full.",
    ),
    "icehockey": (
        "I am a hockey fan.",
        "I watch hockey in the winter.",
        "I like fast sports on ice.",
        "I learned to skate as a child.",
        "I go to the rink to see games.",
    ),
}


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


def talks(path: Path, sources: Sequence[str], names: Sequence[str]) -> Iterator[Talk]:
    """Usable conversations of `sources` in the corpus file (JSONL.gz), in order; the id is source and line number."""
    if not path.is_file():
        raise UserError(f"--corpus {path} is not a file; give a JSONL.gz of dialogues with source and messages")
    try:
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            for number, line in enumerate(lines):
                row = json.loads(line)
                if row["source"] in sources:
                    talk = _talk(f"{row['source']}-{number}", row, names)
                    if talk:
                        yield talk
    except (gzip.BadGzipFile, EOFError, ValueError, KeyError) as error:
        raise UserError(
            f"--corpus {path}: not gzipped JSONL of dialogues with source and messages: {error}"
        ) from error


def _talk(name: str, row: dict[str, Any], names: Sequence[str]) -> Talk | None:
    turns = _alternating(row["messages"], Random(name), names)
    turns = _unlooped(turns or ())
    if len(turns) < LOW or max(len(turn.split()) for turn in turns) > 60:
        return None
    condition = row.get("cond") or {}
    if "persona_1" in condition:
        given = [[clean(trait) for trait in condition[f"persona_{user}"]] for user in (1, 2)]
        facts = [tuple(trait for trait in traits if trait) for traits in given]
        return Talk(name, row["source"], turns, (facts[0], facts[1]))
    said = [tuple(dict.fromkeys(f for t in turns[u::2] for s in sentences(t) if (f := statement(s)))) for u in (0, 1)]
    return Talk(name, row["source"], turns, (said[0], said[1]), condition.get("topic") or "")


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
