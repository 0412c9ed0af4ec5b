"""First try: persona chat for held-out profiles, each dialogue written once, beside what people said.

The recipe spc writes it in its preset `laptop`, prompt, sampling and filters as they are, with one candidate and no
second try; it is stopped where its critics begin, so that what gets there has passed every filter of hygiene.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from synthesis import reading
from synthesis.asking import together
from synthesis.dialogue import Dialogue, Turn
from synthesis.engine import CRITIC, Engine, Reply, Request
from synthesis.errors import Failure, ReadingError
from synthesis.filter import first_reason
from synthesis.metrics.identification import ProfileIdentification
from synthesis.metrics.lexical import Lexical
from synthesis.metrics.overlap import SelfBleu
from synthesis.recipe import Dropped, Pool, Seed, rng_for
from synthesis.recipes.spc import Spc
from synthesis.words import words
from training.bootstrap import interval
from training.embedded.spc import shipped
from training.scores.held_out import Part

RECIPE = Spc(**{**Spc.presets["laptop"], "candidates": 1, "resamples": 0})


@dataclass(frozen=True, slots=True)
class Try:
    """What came of a part's profiles. `dialogue`: None where no turns can be read; `reason`: the filter's, or None."""

    part: Part
    dialogue: Dialogue | None
    reason: str | None


class _Judged(Failure):
    """The critics' turn has come."""


class _Once:
    """An engine for one dialogue: keeps what the generator wrote and ends where a critic is asked."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.text = ""

    async def __call__(self, request: Request) -> Reply:
        if request.role == CRITIC:
            raise _Judged(f"{request.stage}: no critic is asked here")
        reply = await self._engine(request)
        self.text = reply.text
        return reply


async def written(engine: Engine, parts: Sequence[Part], seed: int) -> list[Try]:
    """A dialogue for the profiles of each part. Raises EngineError."""
    pool = RECIPE.pool(())
    return await together(_tried(engine, part, pool, seed) for part in parts)


async def _tried(engine: Engine, part: Part, pool: Pool, seed: int) -> Try:
    rng, once, reason = rng_for(seed, part.id), _Once(engine), None
    content = {
        "traits": [list(side) for side in part.profiles],
        "names": rng.sample(shipped("spc_names.txt"), 2),
        "setting": rng.choice(shipped("spc_settings.txt")),
    }
    try:
        await RECIPE.dialogue(Seed(part.id, content), pool, once, rng)
    except _Judged:
        pass
    except Dropped as error:
        reason = f"{error.stage}: {error.reason}"
    return Try(part, _read(part, once.text), reason)


def _read(part: Part, text: str) -> Dialogue | None:
    try:
        return part.dialogue(reading.transcript(text).turns)
    except ReadingError:
        return None


async def facts(tries: Sequence[Try], seed: int) -> dict[str, Any]:
    """Hygiene, identification and variety of what was written, and of people's talk on the same profiles."""
    people = [Try(part, part.dialogue(), await _reason(part.dialogue())) for part in (each.part for each in tries)]
    model = [each.dialogue for each in tries if each.dialogue]
    human = [each.part.dialogue() for each in tries if each.dialogue]
    pairs = [alike(one, other) for one, other in zip(model, human, strict=True)]
    return {
        "model": hygiene(tries, seed) | _spoken(model, [one for one, _ in pairs], seed),
        "human": hygiene(people, seed) | _spoken(human, [other for _, other in pairs], seed),
    }


async def _reason(dialogue: Dialogue) -> str | None:
    async def nobody(request: Request) -> Reply:
        raise TypeError(f"{request.stage}: hygiene asks nobody")

    found = await first_reason(RECIPE.filters(nobody), dialogue)
    return found and f"{found[0]}: {found[1]}"


def hygiene(tries: Sequence[Try], seed: int) -> dict[str, Any]:
    """Dialogues, those without turns to read, the share that no filter drops with its interval, and the reasons."""
    passed = interval([[float(each.reason is None)] for each in tries], seed)
    reasons = Counter(each.reason.partition(":")[0] for each in tries if each.reason)
    return {
        "dialogues": len(tries),
        "unreadable": sum(each.dialogue is None for each in tries),
        "hygiene": {"value": passed.value, "low": passed.low, "high": passed.high},
        "dropped": dict(reasons.most_common()),
    }


def _spoken(dialogues: Sequence[Dialogue], cut: Sequence[Dialogue], seed: int) -> dict[str, Any]:
    """Identification over whole dialogues; variety over those that were cut to the same lengths."""
    lexical, found = Lexical()(cut), ProfileIdentification(seed=seed)(dialogues)
    return {
        "identification": found | _ends(found, seed),
        "distinct_2": lexical.get("distinct_2"),
        "self_bleu": SelfBleu(seed=seed)(cut).get("self_bleu"),
        "words": lexical.get("words"),
    }


def _ends(found: Mapping[str, float], seed: int) -> dict[str, float]:
    """The interval of an accuracy, over speakers drawn again."""
    if not found:
        return {}
    speakers = int(found["profile_speakers"])
    right = round(found["profile_accuracy"] * speakers)
    ends = interval([*[[1.0]] * right, *[[0.0]] * (speakers - right)], seed)
    return {"profile_accuracy_low": ends.low, "profile_accuracy_high": ends.high}


def alike(one: Dialogue, other: Dialogue) -> tuple[Dialogue, Dialogue]:
    """Both cut to as many words as the shorter one has: variety compares at equal lengths only."""
    least = min(_length(one), _length(other))
    return _first(one, least), _first(other, least)


def _length(dialogue: Dialogue) -> int:
    return sum(len(words(turn.text)) for turn in dialogue.turns)


def _first(dialogue: Dialogue, count: int) -> Dialogue:
    """The first so many words of a dialogue, turn by turn."""
    turns: list[Turn] = []
    for turn in dialogue.turns:
        said = words(turn.text)[:count]
        count -= len(said)
        if said:
            turns.append(dataclasses.replace(turn, text=" ".join(said)))
    return dataclasses.replace(dialogue, turns=tuple(turns))
