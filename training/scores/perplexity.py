"""Perplexity: how well a model foresees held-out dialogues, by source, in two forms.

`text`: a dialogue as a plain transcript, all of it. `persona chat`: a talk as the answer to the recipe spc's request
for it, which is how the recipe needs it; only the answer counts. Perplexity is per token, so that models with other
vocabularies do not compare; bits per character do. Log-probabilities come from the endpoint (`decoder_input_details`).
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Awaitable, Iterable, Sequence
from dataclasses import dataclass
from random import Random

from synthesis import likelihood
from synthesis.asking import together
from synthesis.engine import Engine
from synthesis.errors import ContextOverflow
from synthesis.likelihood import Likelihood
from training.embedded import persona_chat, plain
from training.embedded.spc import shipped
from training.embedded.talks import Told
from training.scores.held_out import Part

LONGEST = 1800
"""Characters of a transcript (choice): so that a context of 1,024 tokens holds it under a vocabulary of 4,096."""

STAGE = "perplexity"


@dataclass(frozen=True, slots=True)
class Measured:
    """A text of some characters, and how likely it is; None where the context does not hold it."""

    source: str
    characters: int
    found: Likelihood | None


async def of_text(engine: Engine, given: Sequence[Told], most: int, seed: int) -> list[Measured]:
    """Of transcripts, at most so many from each source, one of each dialogue."""
    by_source: defaultdict[str, dict[str, str]] = defaultdict(dict)
    for row in plain.rows(given, Random(f"text:{seed}")):
        by_source[row.source].setdefault(row.key, _cut(row.answer))
    chosen = [
        (source, texts[key])
        for source, texts in sorted(by_source.items())
        for key in Random(f"text:{seed}:{source}").sample(sorted(texts), min(most, len(texts)))
    ]
    return await together(_measured(source, text, _whole(engine, text)) for source, text in chosen if text)


async def of_chat(engine: Engine, parts: Iterable[Part], seed: int) -> list[Measured]:
    """Of talks as answers to the generator's prompt in the improved form, without exemplars."""
    names, settings = shipped("spc_names.txt"), shipped("spc_settings.txt")
    asked = []
    for part in parts:
        kept = ([list(side) for side in part.profiles], part.turns)
        first, second = kept[0]
        pair = persona_chat.generate(((first, second), part.turns), [], names, settings, Random(f"chat:{part.id}"))
        asked.append((part.source, *pair))
    return await together(
        _measured(source, answer, likelihood.replied(engine, (("user", prompt),), answer, STAGE, ""))
        for source, prompt, answer in asked
    )


async def _whole(engine: Engine, text: str) -> Likelihood:
    return likelihood.whole(await likelihood.read(engine, text, STAGE, ""))


async def _measured(source: str, text: str, found: Awaitable[Likelihood]) -> Measured:
    try:
        return Measured(source, len(text), await found)
    except ContextOverflow:
        return Measured(source, len(text), None)


def _cut(text: str) -> str:
    """The first lines that are no longer than LONGEST together; none where the first alone is."""
    kept = text[: LONGEST + 1]
    return kept if len(kept) <= LONGEST else kept.rpartition("\n")[0]


def facts(measured: Sequence[Measured]) -> dict[str, dict[str, float | None]]:
    """By source and over all: perplexity, bits per character, texts, tokens, and texts that were too long."""
    by_source: defaultdict[str, list[Measured]] = defaultdict(list)
    for each in measured:
        by_source[each.source].append(each)
    return {source: _sums(found) for source, found in [*sorted(by_source.items()), ("all", list(measured))]}


def _sums(measured: Sequence[Measured]) -> dict[str, float | None]:
    found = [(each, each.found) for each in measured if each.found]
    tokens, nats = sum(text.tokens for _, text in found), -sum(text.logprob for _, text in found)
    characters = sum(each.characters for each, _ in found)
    return {
        "perplexity": math.exp(nats / tokens) if tokens else None,
        "bits_per_character": nats / math.log(2) / characters if characters else None,
        "texts": len(found),
        "tokens": tokens,
        "too_long": len(measured) - len(found),
    }
