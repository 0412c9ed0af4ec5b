"""Weighing: a conversation judged by how likely the critics' model finds it, for models too small to judge in words.

The conversation is weighed as the reply to the call that it was written for: against the same call with the profiles
exchanged, and against the same turns in another order. No verdict is asked for and none has to be read; the endpoint
has to tell the log-probabilities of prompts. Where who judges is who wrote, this tells exchanged profiles and jumbled
turns, and hardly what the model itself is mistaken about.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from random import Random

from synthesis import likelihood
from synthesis.asking import together
from synthesis.critics import Ranking
from synthesis.dialogue import Dialogue, transcript
from synthesis.engine import Engine, Request

Call = Callable[[Dialogue], Request]
"""The generator's call for a dialogue's personas, names and setting; it shows none of the turns."""


async def fault(engine: Engine, call: Call, dialogue: Dialogue, rng: Random) -> tuple[str, str] | None:
    """Critic and reason for dropping a dialogue of two personas, None for one that passes. Raises ReadingError."""
    margin = await faithfulness(engine, call, dialogue)
    if margin < 0:
        return "faithfulness", f"likelier with the profiles exchanged, by {-margin:.3f} nats a token"
    margin = await coherency(engine, call, dialogue, rng)
    if margin < 0:
        return "coherency", f"likelier with its turns in another order, by {-margin:.3f} nats a token"
    return None


async def faithfulness(engine: Engine, call: Call, dialogue: Dialogue) -> float:
    """By how many nats a token the conversation is likelier than if each user had the other's attributes."""
    first, second = dialogue.personas
    exchanged = (
        dataclasses.replace(first, traits=second.traits),
        dataclasses.replace(second, traits=first.traits),
    )
    other = dataclasses.replace(dialogue, personas=exchanged)
    return await _margin(engine, "faithfulness", (call(dialogue), dialogue), (call(other), dialogue))


async def coherency(engine: Engine, call: Call, dialogue: Dialogue, rng: Random) -> float:
    """By how many nats a token the conversation is likelier than one of its texts in an order drawn by `rng`."""
    texts = rng.sample([turn.text for turn in dialogue.turns], len(dialogue.turns))
    turns = tuple(dataclasses.replace(turn, text=text) for turn, text in zip(dialogue.turns, texts, strict=True))
    request = call(dialogue)
    return await _margin(
        engine, "coherency", (request, dialogue), (request, dataclasses.replace(dialogue, turns=turns))
    )


async def rank(engine: Engine, call: Call, candidates: Sequence[Dialogue]) -> Ranking:
    """The candidate that is the most its own profiles': whose faithfulness is highest, the first of equals."""
    margins = await together(faithfulness(engine, call, candidate) for candidate in candidates)
    best = max(range(len(candidates)), key=lambda at: margins[at])
    return Ranking(best, tuple(float(at == best) for at in range(len(candidates))), 0, ballots=1)


async def _margin(engine: Engine, stage: str, own: tuple[Request, Dialogue], other: tuple[Request, Dialogue]) -> float:
    """Log-probability of a conversation as the reply to a call less that of another, by the tokens of the first."""
    mine, others = await together(
        likelihood.replied(engine, request.messages, transcript(said.turns), stage, said.id)
        for request, said in (own, other)
    )
    return (mine.logprob - others.logprob) / mine.tokens
