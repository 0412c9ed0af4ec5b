"""FED: how readily a model would answer a dialogue with praise or with a complaint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Literal

from synthesis import likelihood
from synthesis.asking import together
from synthesis.dialogue import Dialogue, Turn
from synthesis.engine import Engine
from synthesis.errors import UserError
from synthesis.metric import Level


@dataclass(frozen=True, slots=True)
class Followups:
    """What a partner would say who finds the quality (`positive`), or misses it (`negative`); not both empty."""

    positive: tuple[str, ...] = ()
    negative: tuple[str, ...] = ()


DIALOGUE = {
    "coherent": Followups(
        negative=(
            "Hold on, I have lost the thread.",
            "None of this hangs together.",
            "How did we get here from there?",
        ),
    ),
    "error_recovery": Followups(
        negative=(
            "I already told you that was wrong.",
            "You still have not put that mistake right.",
            "We are stuck in the same mix-up again.",
        ),
    ),
    "consistent": Followups(
        negative=(
            "A minute ago you said the opposite.",
            "Your story is different every time.",
            "Those two things cannot both be true.",
        ),
    ),
    "diverse": Followups(
        negative=(
            "That is the third time I hear this from you.",
            "Have you nothing else to tell?",
            "All your answers sound alike.",
        ),
    ),
    "depth": Followups(
        negative=(
            "We have barely scratched the surface.",
            "You never get past the obvious.",
            "Is there no more to it than that?",
        ),
    ),
    "likeable": Followups(
        positive=("It is lovely to talk with you.", "You are good company.", "I could chat with you for hours."),
        negative=("You are rather tiresome.", "I would like to leave it at that.", "There was no need to be rude."),
    ),
    "understanding": Followups(
        negative=(
            "That is not what I meant.",
            "You have missed my point entirely.",
            "I was speaking of something else.",
        ),
    ),
    "flexible": Followups(
        positive=(
            "Thanks for going along with that.",
            "You took that in your stride.",
            "I am glad that you are open to it.",
        ),
        negative=(
            "You will not let go of your own subject.",
            "Nothing I bring up ever moves you.",
            "You just carry on as before.",
        ),
    ),
    "informative": Followups(
        positive=("I learned a lot from that.", "That is just what I needed to know.", "I had no idea, good to hear."),
        negative=("That tells me nothing.", "Now I know no more than before.", "Could you be any more vague?"),
    ),
    "inquisitive": Followups(
        positive=("Thank you for asking about me.", "What a good question.", "You are curious, I like to be asked."),
        negative=(
            "You have not asked me a single thing.",
            "Would you not like to hear about me?",
            "You show no interest in my side.",
        ),
    ),
}
"""Qualities of a whole dialogue. Six have negative follow-ups only, as published."""

TURN = {
    "interesting": Followups(
        positive=("I would love to hear more of that.", "How fascinating!", "Now you have made me curious."),
        negative=("That is rather dull.", "I could not care less about that.", "You are putting me to sleep."),
    ),
    "engaging": Followups(
        positive=("Do go on!", "I have so much to say to that.", "Let me tell you what I think of it."),
        negative=("I do not know what to say to that.", "Well, that ends our talk.", "Fine. Goodbye then."),
    ),
    "specific": Followups(
        positive=("Thanks for being so exact.", "Those details help.", "That answers precisely what I asked."),
        negative=("You could say that about anything.", "Could you give me an example?", "That is very general."),
    ),
    "relevant": Followups(
        negative=(
            "What has that to do with it?",
            "That is beside the point.",
            "You are off the subject.",
        ),
    ),
    "correct": Followups(
        negative=("That is simply false.", "You have got your facts wrong.", "No, it is not like that at all."),
    ),
    "semantically_appropriate": Followups(
        negative=("Nobody would say such a thing here.", "What an odd thing to answer.", "That does not fit at all."),
    ),
    "understandable": Followups(
        negative=("Sorry, what do you mean?", "I cannot follow you.", "Can you put that more clearly?"),
    ),
    "fluent": Followups(
        negative=("That is not even a sentence.", "Your words are all in a jumble.", "Your grammar has gone wrong."),
    ),
}
"""Qualities of the last turn. Five have negative follow-ups only."""


@dataclass(frozen=True, slots=True)
class Fed:
    """Loss of the follow-ups that a flaw would draw, minus loss of those that the quality would draw, by quality.

    Formula: mean over negative follow-ups of loss(f) - mean over positive follow-ups of loss(f), where a side without
    follow-ups counts 0. The follow-up is said by whoever's turn it is. Form "conditional" (default): loss(f) is the
    mean negative log-probability of the follow-up's tokens given the dialogue. Form "published": of all tokens of
    dialogue and follow-up. Range: any number with both sides, above 0 with negatives alone; nats a token. Higher is
    better. Level "turn" asks for the qualities of the last turn, "dialogue" for those of the whole. One request for
    each different follow-up (42 or 33), and one more for the dialogue alone when conditional.

    Source: Mehri and Eskenazi 2020, arXiv 2006.12719. Their follow-ups carry no licence; these are our own, for the
    same qualities (give others as `followups`), and any model stands where they have DialoGPT: scores do not compare
    with published ones, only with those of the same model and follow-ups.

    Known defects: as published, a quality without positives is the loss of the dialogue itself with a few tokens
    added; six of ten are so for dialogues and five of eight for turns, they correlate with each other almost fully and
    with length besides, and say nothing of quality. Conditional, they still say how unexpected a complaint is, without
    a counterweight: 0 means nothing there, and two such qualities do not compare. Measured on 24 published
    Synthetic-Persona-Chat dialogues with the embedded model: the six correlate at .9996 or more with each other and at
    .997 with the dialogue's loss as published; conditional, at -.06 to -.29 with that loss, but at -.5 to -.7 with the
    number of tokens, so compare dialogues of a length. Chat models see plain text (see
    `synthesis.likelihood`).

    Example: follow-ups "Good." and "Bad.", whose two tokens have log-probabilities -1, -2 and -2, -4 after a dialogue
    of three scored tokens with -1 each. Conditional: (2 + 4) / 2 - (1 + 2) / 2 = 1.5. Published:
    (3 + 6) / 5 - (3 + 3) / 5 = 0.6.
    """

    engine: Engine
    level: Level = "dialogue"
    form: Literal["conditional", "published"] = "conditional"
    followups: Mapping[str, Followups] | None = None

    def __post_init__(self) -> None:
        empty = [quality for quality, each in self._sets.items() if not each.positive and not each.negative]
        if empty:
            raise UserError(f"fed: quality {empty[0]!r} has no follow-ups; give it positive or negative ones")

    @property
    def about(self) -> Mapping[str, str]:
        return {self._name(quality): self._meaning(each) for quality, each in self._sets.items()}

    async def score(self, dialogue: Dialogue) -> dict[str, float]:
        """A number for each quality; none for a dialogue without turns."""
        if not dialogue.turns:
            return {}
        texts = tuple(dict.fromkeys(text for each in self._sets.values() for text in (*each.positive, *each.negative)))
        loss = dict(zip(texts, await self._losses(dialogue, texts), strict=True))
        return {
            self._name(quality): _mean(loss, each.negative) - _mean(loss, each.positive)
            for quality, each in self._sets.items()
        }

    async def _losses(self, dialogue: Dialogue, texts: Sequence[str]) -> list[float]:
        context = f"{dialogue.text()}\n{next_speaker(dialogue.turns)}:"
        spaced = [f" {text}" for text in texts]
        if self.form == "conditional":
            found = await likelihood.continuations(self.engine, context, spaced, "fed", dialogue.id)
            return [each.loss for each in found]
        read = await together(likelihood.read(self.engine, context + text, "fed", dialogue.id) for text in spaced)
        return [likelihood.whole(tokens).loss for tokens in read]

    @property
    def _sets(self) -> Mapping[str, Followups]:
        if self.followups is not None:
            return self.followups
        return DIALOGUE if self.level == "dialogue" else TURN

    def _name(self, quality: str) -> str:
        return f"fed_{quality}" if self.form == "conditional" else f"fed_published_{quality}"

    def _meaning(self, sides: Followups) -> str:
        if sides.positive and sides.negative:
            return "loss of complaints minus loss of praise, nats a token; any number, higher is better"
        side = "complaints" if sides.negative else "praise, negated"
        if self.form == "published":
            return f"loss of the dialogue with {side}: nearly the dialogue's own loss, no measure of quality (defect)"
        return f"loss of {side} alone, nats a token; above 0 for complaints, higher is better, no natural zero"


def next_speaker(turns: Sequence[Turn]) -> str:
    """Who speaks next: whoever spoke last before the last speaker; the same again when nobody else has."""
    last = turns[-1].speaker
    return next((turn.speaker for turn in reversed(turns) if turn.speaker != last), last)


def _mean(loss: Mapping[str, float], texts: Sequence[str]) -> float:
    return fmean(loss[text] for text in texts) if texts else 0.0
