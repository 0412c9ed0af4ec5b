"""Utterances one by one: none empty, too short, said before, declined, or with words of its instruction or a label."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from synthesis.dialogue import Dialogue, Turn
from synthesis.intents.labels import AGENT, EMPTY_HANDED, INTENTS, ROLES
from synthesis.intents.seeding import declined
from synthesis.words import ngrams, words


@dataclass(frozen=True, slots=True)
class Said:
    """Keeps dialogues of which every utterance says something, in `shortest` words or more (choice).

    One with the intent GG, JK or O may be shorter and, as emojis are no words, have none at all.
    """

    name: ClassVar[str] = "said"
    shortest: int = 2

    async def __call__(self, dialogue: Dialogue) -> str | None:
        for number, turn in enumerate(dialogue.turns, 1):
            if not turn.text.strip():
                return f"empty utterance: turn {number}"
            count = len(words(turn.text))
            if count < self.shortest and EMPTY_HANDED.isdisjoint(turn.intents):
                return f"short utterance: {count} words, turn {number}"
        return None


@dataclass(frozen=True, slots=True)
class Repeated:
    """Keeps dialogues in which no utterance is another again, nor from `same` on (ROUGE-L F) the one before it.

    Compared as words, so that case and marks do not tell them apart; those without words are compared as they are.
    """

    name: ClassVar[str] = "repeated"
    same: float = 0.9

    async def __call__(self, dialogue: Dialogue) -> str | None:
        seen: dict[tuple[str, ...], int] = {}
        before: tuple[str, ...] = ()
        for number, turn in enumerate(dialogue.turns, 1):
            spoken = tuple(words(turn.text)) or (turn.text.strip(),)
            if spoken in seen:
                return f"repeated utterance: turn {number} is turn {seen[spoken]} again"
            if before and (near := rouge_l(before, spoken)) >= self.same:
                return f"nearly repeated utterance: turn {number}, ROUGE-L {near:.2f} to the one before"
            seen[spoken] = number
            before = spoken
        return None


def rouge_l(one: Sequence[str], other: Sequence[str]) -> float:
    """ROUGE-L F of two texts as words: twice their longest common subsequence through both lengths."""
    from rapidfuzz.distance import LCSseq

    return 2 * LCSseq.similarity(one, other) / (len(one) + len(other)) if one or other else 0.0


_LABELS = sorted({*ROLES, *(label for it in INTENTS.values() for label in (it.user_label, it.agent_label))})
_LABEL = re.compile(rf"(?:^|[\n.!?:]\s*)[*_(\[]*(?i:{'|'.join(map(re.escape, _LABELS))})[*_)\]]*\s*[:：]")
_BARE = re.compile(r"(?:^|[\n.!?]\s+)(?P<label>(?P<role>User|Agent)\s+(?P<next>\d(?!\d)|[^\W\d_]+))")
_COMPOUNDS = """account activity adoption agent and authentication base based behavior behaviour centered centric click
comment commission community consent contract control created data defined demand design documentation education
engagement error expectation experience facing fee feedback forum friendliness friendly generated group guide
guideline handbook help here id input interaction interface journey licence license login manual menu mode model name
need network number opinion or password permission persona policy portal preference privacy privilege profile program
query question rating registration report requirement research review rights role satisfaction script session setting
software space specific story study submitted support survey test testing tool traffic training trust ui use
video""".split()
"""Words that go after "User" or "Agent" in good English, nouns in the singular; the list is ours (choice)."""
_AFTER = {*_COMPOUNDS, *(f"{word}s" for word in _COMPOUNDS), *(f"{word[:-1]}ies" for word in _COMPOUNDS)}
_CODE = re.compile(rf"\[(?:{'|'.join(INTENTS)})(?:[\s_+,]+(?:{'|'.join(INTENTS)}))*\]")


@dataclass(frozen=True, slots=True)
class Leaked:
    """Keeps dialogues in which nobody speaks a label ("Agent:", "[FD NF]") or `run` words of an instruction on end.

    A role without its colon is a label too where a sentence begins, for nobody talks like that of one user or agent
    ("User encoura."), but in a compound ("User reviews say") or a name ("Agent Smith is"), or to call somebody
    ("Agent, please").

    Instructions are those of the turn's intents, and the one that the dialogue's goal has for it under "instructions".
    """

    name: ClassVar[str] = "leaked"
    run: int = 6

    async def __call__(self, dialogue: Dialogue) -> str | None:
        for number, turn in enumerate(dialogue.turns, 1):
            label = _LABEL.search(turn.text) or _CODE.search(turn.text)
            if label:
                return f"leaked label: {label[0].strip()!r}, turn {number}"
            if bare := bare_role(turn.text):
                return f"leaked label: {bare!r} without a colon, turn {number}"
            said = set(ngrams(words(turn.text), self.run))
            for told in _instructions(turn, dialogue.goal or {}, number):
                both = said.intersection(ngrams(words(told), self.run))
                if both:
                    return f"leaked instruction: {' '.join(min(both))!r}, turn {number}"
        return None


def bare_role(text: str) -> str | None:
    """The first role in `text` that stands where a sentence begins, with the word after it, and is no good English."""
    for found in _BARE.finditer(text):
        named = found["role"] == AGENT and found["next"][0].isupper()
        if not named and found["next"].casefold() not in _AFTER:
            return found["label"]
    return None


def _instructions(turn: Turn, goal: Mapping[str, object], number: int) -> list[str]:
    """What the speaker of a turn was told, or would have been."""
    told = [INTENTS[code].instruction(turn.speaker) for code in turn.intents if code in INTENTS]
    given = goal.get("instructions")
    return [*told, str(given[number - 1])] if isinstance(given, list | tuple) and number <= len(given) else told


@dataclass(frozen=True, slots=True)
class OptOut:
    """Keeps dialogues whose document is no N/A and in which nobody but a turn with the intent O declines to speak."""

    name: ClassVar[str] = "opt-out"

    async def __call__(self, dialogue: Dialogue) -> str | None:
        if dialogue.document is not None and declined(dialogue.document):
            return "declined document: opens with N/A"
        for number, turn in enumerate(dialogue.turns, 1):
            if "O" not in turn.intents and declined(turn.text):
                return f"declined utterance: turn {number} opens with N/A"
        return None
