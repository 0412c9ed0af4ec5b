"""Grounding: a dialogue is about what it was asked to be about."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from string import Template
from typing import ClassVar

from synthesis import reading
from synthesis.asking import ask
from synthesis.dialogue import Dialogue
from synthesis.encoder import encode
from synthesis.engine import CRITIC, Engine, Request
from synthesis.words import content_words

ABOUT = Template("""Conversation:
$conversation

Is this conversation about the following subject? Answer Yes or No.
Subject: $subject""")


@dataclass(frozen=True, slots=True)
class OnTopic:
    """Keeps dialogues that speak at least `share` of the subject's content words, or lie near it as sentence vectors.

    The subject is the subtopic, or else the topic; a dialogue without either is kept. `encoder` None leaves the words
    alone to decide. `cosine`: of the subject and the whole dialogue, the highest that drops it. At 0.15 all of
    diasynth's 14 shipped examples pass with their own topics, and about one in five with another's.
    """

    name: ClassVar[str] = "grounding"
    share: float = 0.5
    encoder: str | None = None
    cosine: float = 0.15

    async def __call__(self, dialogue: Dialogue) -> str | None:
        subject = dialogue.subtopic or dialogue.topic
        wanted = content_words(subject or "")
        if not subject or not wanted:
            return None
        spoken = content_words(" ".join(turn.text for turn in dialogue.turns))
        part = len(wanted & spoken) / len(wanted)
        if part >= self.share:
            return None
        if self.encoder is None:
            return f"off topic: {len(wanted & spoken)} of {len(wanted)} content words of {subject!r}"
        said = " ".join(turn.text for turn in dialogue.turns)
        one, other = encode([subject, said], self.encoder)
        near = float(one @ other)
        return None if near > self.cosine else f"off topic: cosine {near:.2f} to {subject!r}, expected {self.cosine:g}"


@dataclass(frozen=True, slots=True)
class Judged:
    """Keeps dialogues that the critic finds to be about their subject. A verdict that cannot be read is an error."""

    name: ClassVar[str] = "grounding"
    engine: Engine

    async def __call__(self, dialogue: Dialogue) -> str | None:
        subject = dialogue.subtopic or dialogue.topic
        if not subject:
            return None
        asked = ABOUT.substitute(conversation=dialogue.text(), subject=subject)
        request = Request("grounding", 8, messages=(("user", asked),), role=CRITIC, conversation=dialogue.id)
        about = await ask(self.engine, request, reading.verdict, Random(dialogue.id))
        return None if about else f"off topic: not about {subject!r}, says the critic"
