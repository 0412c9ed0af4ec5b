"""Critics by likelihood: conversations scored by log-likelihood ratios, for models too small to judge in words.

A conversation is scored as the reply to its generator's call (without the exemplars that may have stood in it): by how
much is it likelier than under the same call with the profiles exchanged, and than the same turns in another order. No
verdict is asked for and none has to be read; the endpoint of the critics' model has to tell log-probabilities of
prompts. Where who judges is who wrote, this finds exchanged profiles and jumbled turns, and hardly what the model
itself is mistaken about. That the sign decides, and that the first ratio alone ranks candidates, are choices of ours.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from synthesis import likelihood
from synthesis.asking import together
from synthesis.critics import Ranking
from synthesis.dialogue import Dialogue, transcript
from synthesis.engine import Engine, Request
from synthesis.errors import ContextOverflow, Unsupported
from synthesis.likelihood import Likelihood

Call = Callable[[Dialogue], Request]
"""The generator's call for a dialogue's personas, names and setting; it shows none of the turns."""


@dataclass(frozen=True, slots=True)
class Ratios:
    """Log-likelihood ratios of a conversation, in nats a token; below 0 its corruption is the likelier one.

    `faithfulness`: against each user having the other's attributes; `coherency`: against another order of its texts.
    """

    faithfulness: float
    coherency: float


async def supported(engine: Engine) -> None:
    """Raises Unsupported, naming the flag that helps, where the critics' endpoint does not tell what is needed."""
    try:
        await likelihood.read(engine, "Hello there.", "faithfulness", "probe")
    except Unsupported as error:
        raise Unsupported(f"{error}; --verdicts words asks the critics in words") from error


async def criticised(engine: Engine, call: Call, dialogue: Dialogue, rng: Random) -> tuple[str, str] | None:
    """Critic and reason for dropping a dialogue of two personas, None for one that passes. Raises ReadingError."""
    try:
        found = await ratios(engine, call, dialogue, rng)
    except ContextOverflow as error:
        return "verdict", f"the conversation does not fit the context of the critics' model: {error}"
    if found.faithfulness < 0:
        return "faithfulness", f"likelier with the profiles exchanged, by {-found.faithfulness:.3f} nats a token"
    if found.coherency < 0:
        return "coherency", f"likelier with its turns in another order, by {-found.coherency:.3f} nats a token"
    return None


async def ratios(engine: Engine, call: Call, dialogue: Dialogue, rng: Random) -> Ratios:
    """Both ratios of a dialogue of two personas; the other order is drawn by `rng`.

    Raises ContextOverflow, ReadingError, and Unsupported.
    """
    (own, shuffled), (exchanged,) = await together(
        [
            _likelihoods(engine, "faithfulness", call(dialogue), dialogue, _shuffled(dialogue, rng)),
            _likelihoods(engine, "faithfulness", call(_exchanged(dialogue)), dialogue),
        ]
    )
    return Ratios((own.logprob - exchanged.logprob) / own.tokens, (own.logprob - shuffled.logprob) / own.tokens)


async def rank(engine: Engine, call: Call, candidates: Sequence[Dialogue]) -> Ranking:
    """The candidate with the highest ratio of faithfulness; of equals the last. It has the one ballot."""
    if len(candidates) == 1:
        return Ranking(0, (1.0,), 0, ballots=1)
    found = await together(_faithfulness(engine, call, candidate) for candidate in candidates)
    best = max(range(len(candidates)), key=lambda at: (found[at], at))
    return Ranking(best, tuple(float(at == best) for at in range(len(candidates))), 0, ballots=1)


async def _faithfulness(engine: Engine, call: Call, dialogue: Dialogue) -> float:
    (own,), (exchanged,) = await together(
        _likelihoods(engine, "faithfulness", call(each), dialogue) for each in (dialogue, _exchanged(dialogue))
    )
    return (own.logprob - exchanged.logprob) / own.tokens


async def _likelihoods(engine: Engine, stage: str, request: Request, *said: Dialogue) -> list[Likelihood]:
    """How likely the turns of each are as the reply to `request`."""
    texts = [transcript(each.turns) for each in said]
    return await likelihood.replies(engine, request.messages, texts, stage, said[0].id)


def _exchanged(dialogue: Dialogue) -> Dialogue:
    """The dialogue with each persona's attributes given to the other; names stay."""
    first, second = dialogue.personas
    personas = (
        dataclasses.replace(first, traits=second.traits),
        dataclasses.replace(second, traits=first.traits),
    )
    return dataclasses.replace(dialogue, personas=personas)


def _shuffled(dialogue: Dialogue, rng: Random) -> Dialogue:
    """The dialogue with its texts in another order, speakers still taking turns."""
    own = [turn.text for turn in dialogue.turns]
    drawn = rng.sample(own, len(own))
    texts = drawn if drawn != own else own[1:] + own[:1]
    turns = (dataclasses.replace(turn, text=text) for turn, text in zip(dialogue.turns, texts, strict=True))
    return dataclasses.replace(dialogue, turns=tuple(turns))
