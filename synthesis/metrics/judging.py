"""Judging: what a judge is shown of a dialogue, and how a verdict is read from its first token's probabilities."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection, Sequence

from synthesis.asking import needing
from synthesis.dialogue import Dialogue, transcript
from synthesis.engine import Engine, Request, Token
from synthesis.errors import ReadingError
from synthesis.metric import Level

_SPACE = " \t\r\n\u2581\u0120\u010a"  # some servers tell a token as its vocabulary writes it, spaces as marks


def shown(dialogue: Dialogue, level: Level) -> str:
    """The dialogue under headings: what is `given`, then what is said; at level "turn" the last turn stands apart."""
    if level == "dialogue":
        return f"{given(dialogue)}Conversation:\n{dialogue.text()}"
    before = f"Conversation so far:\n{transcript(dialogue.turns[:-1])}\n\n" if dialogue.turns[:-1] else ""
    return f"{given(dialogue)}{before}Reply:\n{transcript(dialogue.turns[-1:])}"


def given(dialogue: Dialogue) -> str:
    """What stands above the conversation: document and profiles under headings, where there are any."""
    profiles = "\n".join(f"{speaker}: {' '.join(each.traits)}" for speaker, each in dialogue.profiles.items())
    blocks = {"Document": dialogue.document, "Profiles": profiles}
    return "".join(f"{heading}:\n{text}\n\n" for heading, text in blocks.items() if text)


def before(dialogue: Dialogue, at: int) -> str:
    """What was said before turn `at`."""
    return transcript(dialogue.turns[:at]) or "(nothing was said before)"


async def first_token(engine: Engine, request: Request, n: int) -> tuple[Token, ...]:
    """The `n` likeliest first tokens of the reply, greedy and therefore with the model's own probabilities."""
    asked = dataclasses.replace(request, max_new_tokens=1, top_n_tokens=n)
    with needing(request.stage, "top_n_tokens"):
        reply = await engine(asked)
    if not reply.top_tokens:
        raise ReadingError(f"{request.stage}: expected the likeliest first tokens, got none", reply.text)
    return reply.top_tokens[0]


def masses(tokens: Sequence[Token], words: Collection[str]) -> dict[str, float]:
    """Probability of each of `words` as a first token; casing and leading space aside, so "Yes" and " yes" add up.

    A word that is not among `tokens` has 0, which is wrong by at most the probability of the least likely of them
    for each of its spellings. Raises ReadingError for a token without a log-probability.
    """
    found = dict.fromkeys(words, 0.0)
    for token in tokens:
        word = token.text.strip(_SPACE).lower()
        if word not in found:
            continue
        if token.logprob is None:
            raise ReadingError(f"token {token.text!r} has no log-probability", token.text)
        found[word] += math.exp(token.logprob)
    return found


def enough(found: Collection[float], least: float, stage: str, tokens: Sequence[Token], advice: str) -> float:
    """The share of probability on the wanted words; below `least` what was asked is not what is answered: raises."""
    share = sum(found)
    if share < least or not share:
        likeliest = ", ".join(repr(token.text) for token in tokens)
        raise ReadingError(
            f"{stage}: {share:.2g} of the probability is on the scale, expected at least {least:g}; "
            f"the likeliest first tokens are {likeliest}. {advice}",
            likeliest,
        )
    return share
