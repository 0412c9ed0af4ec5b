"""Intents: a judge who has not seen the plan finds in every utterance what was wanted there: critic or classifier."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from string import Template
from typing import ClassVar, Literal

from synthesis.asking import ask, together
from synthesis.dialogue import Dialogue, transcript
from synthesis.engine import CRITIC, Engine, Request
from synthesis.errors import ReadingError, UserError
from synthesis.filter import Filter
from synthesis.intents import classifier
from synthesis.intents.labels import INTENTS

FOUND = Template("""In a conversation between a user who looks for information and an agent, an utterance can have \
these intents:
$intents

What was said before:
$before

The utterance:
$utterance

Which intents does the utterance have? Answer with their codes alone, separated by commas.""")

BEFORE = 3
"""Utterances that the critic sees before the one in question (choice)."""

Wanted = Literal["none", "any", "all"]
By = Literal["judge", "classifier"]

_CODE = re.compile(rf"\b(?:{'|'.join(INTENTS)})\b")


@dataclass(frozen=True, slots=True)
class Consistent:
    """Keeps dialogues in which the critic finds, turn by turn, `any` or `all` of the intents that were wanted.

    It may find more besides. The critic knows the other turns' words and nobody's labels. An answer without a code is
    an error.
    """

    name: ClassVar[str] = "intents"
    engine: Engine
    wanted: Literal["any", "all"] = "any"

    async def __call__(self, dialogue: Dialogue) -> str | None:
        found = await together(self._found(dialogue, at) for at in range(len(dialogue.turns)))
        return _other(dialogue, found, self.wanted)

    async def _found(self, dialogue: Dialogue, at: int) -> set[str]:
        text = FOUND.substitute(
            intents="\n".join(f"{intent.code}: {intent.meaning}" for intent in INTENTS.values()),
            before=transcript(dialogue.turns[max(0, at - BEFORE) : at]) or "(nothing)",
            utterance=transcript([dialogue.turns[at]]),
        )
        request = Request("intents", 24, messages=(("user", text),), role=CRITIC)
        return await ask(self.engine, request, codes, Random(f"{dialogue.id}:{at}"))


@dataclass(frozen=True, slots=True)
class Classified:
    """Keeps dialogues in which a trained classifier gives, turn by turn, `any` or `all` of the intents wanted.

    `folder`: where training.classifier left it. It may give more besides. Intents that it never learned are not held
    against a turn: one that wanted no others passes.
    """

    name: ClassVar[str] = "intents"
    folder: str
    wanted: Literal["any", "all"] = "any"

    async def __call__(self, dialogue: Dialogue) -> str | None:
        found = await classifier.given(self.folder, dialogue.turns)
        return _other(dialogue, found, self.wanted, classifier.settings(self.folder).labels)


def consistent(engine: Engine, wanted: Wanted, by: By, folder: Path | None) -> tuple[Filter, ...]:
    """The filter that a recipe's fields `consistency`, `by` and `classifier` ask for; none for "none"."""
    if wanted == "none":
        return ()
    return (Classified(str(folder), wanted),) if by == "classifier" and folder else (Consistent(engine, wanted),)


def settled(recipe: str, wanted: Wanted, by: By, folder: Path | None) -> None:
    """Raises UserError where these three fields do not go together: nothing of them is to be without effect."""
    if by == "classifier" and folder is None:
        raise UserError(f"recipe {recipe}: by classifier needs --classifier, a folder that training.classifier made")
    if folder is not None and (by != "classifier" or wanted == "none"):
        raise UserError(
            f"recipe {recipe}: classifier {folder} would not be asked: give --by classifier, and --consistency any or "
            f"all (they are {by} and {wanted})"
        )


def usable(folder: Path | None) -> None:
    """Raises UserError for a classifier that cannot be used."""
    if folder is not None:
        classifier.check(str(folder))


def _other(
    dialogue: Dialogue,
    found: Sequence[Collection[str]],
    wanted: Literal["any", "all"],
    known: Collection[str] = INTENTS,
) -> str | None:
    """The first turn that lacks what was wanted of it, as far as it is `known` to the judge."""
    for number, (turn, codes) in enumerate(zip(dialogue.turns, found, strict=True), 1):
        asked = set(turn.intents) & set(known)
        missing = asked - set(codes)
        if missing and (wanted == "all" or missing == asked):
            return f"other intents: turn {number} has {_told(codes)}, expected {wanted} of {_told(turn.intents)}"
    return None


def codes(text: str) -> set[str]:
    """The intents that a reply names by their codes. Raises ReadingError when there is none."""
    found = set(_CODE.findall(text))
    if not found:
        raise ReadingError(f"expected codes of intents such as FD, NF, got {text[:60]!r}", text)
    return found


def _told(codes: Collection[str]) -> str:
    return "+".join(sorted(codes))
