"""Likelihood: how likely a text is to a model, whole or after another, by the log-probabilities of a prompt.

A text is sent as it stands, with `decoder_input_details` and one token to write (which nobody reads), and comes back
as tokens with log-probabilities. No chat template is applied, except by `replied`: a chat model scores the plain text,
without the markers between turns that it was trained on, so scores of chat models and base models do not compare.

Where a continuation begins is told by token ids and not by token texts, since the texts of single tokens need not add
up to the prompt: SentencePiece drops a leading space from each, and each part of a torn character is U+FFFD. The
context is sent alone as well; the tokens that both texts begin with are the context's, and

    log P(continuation | context) = log P(context + continuation) - log P(context)

in which these cancel. Mostly that is the sum over the tokens that are left. Where a token straddles the boundary (the
context's end is cut differently when more follows), the context's own last tokens are subtracted; the result is then
a difference between two ways of cutting, which may even be a little above 0, and tokens are counted from the
straddling one on. A continuation that begins with a space, after a context that ends without one, does not straddle
in any tokenizer that splits words at spaces.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

from synthesis.asking import needing, together
from synthesis.engine import CRITIC, Engine, Message, Request, Token
from synthesis.errors import ReadingError


@dataclass(frozen=True, slots=True)
class Likelihood:
    """`logprob`: natural logarithm of a text's probability; `tokens`: how many it spreads over, at least one."""

    logprob: float
    tokens: int

    @property
    def loss(self) -> float:
        """Mean negative log-probability, in nats a token."""
        return -self.logprob / self.tokens


async def read(engine: Engine, text: str, stage: str, thread: str) -> tuple[Token, ...]:
    """The tokens of `text` with their log-probabilities.

    `stage` names the metric, `thread` the dialogue. Raises Unsupported, naming metric and flag or dialect, where an
    endpoint does not tell them.
    """
    return await _prefill(engine, Request(stage, 1, prompt=text), thread)


def whole(tokens: Sequence[Token]) -> Likelihood:
    """A text by itself: all of its tokens but the first, which has nothing before it."""
    return _spread(_logprob(tokens[1:]), len(tokens) - 1, tokens)


def after(context: Sequence[Token], both: Sequence[Token]) -> Likelihood:
    """What follows `context` in `both`, which are the tokens of the context alone and of context and continuation."""
    same = itertools.takewhile(lambda pair: pair[0].id == pair[1].id, zip(context, both, strict=False))
    shared = sum(1 for _ in same)
    return _spread(_logprob(both[shared:]) - _logprob(context[shared:]), len(both) - shared, both)


async def continuations(
    engine: Engine, context: str, texts: Sequence[str], stage: str, thread: str
) -> list[Likelihood]:
    """How likely each of `texts` is straight after `context`: a request for each, and one for the context alone."""
    wanted = [context, *(context + text for text in texts)]
    alone, *followed = await together(read(engine, text, stage, thread) for text in wanted)
    return [after(alone, both) for both in followed]


async def replied(engine: Engine, prompt: Sequence[Message], said: str, stage: str, thread: str) -> Likelihood:
    """How likely one reply is; see `replies`."""
    (found,) = await replies(engine, prompt, [said], stage, thread)
    return found


async def replies(
    engine: Engine, prompt: Sequence[Message], texts: Sequence[str], stage: str, thread: str
) -> list[Likelihood]:
    """How likely each of `texts` is as the reply to `prompt` in the model's own chat form.

    That is the chat with the reply begun, less the chat before, which is asked for once. Raises ContextOverflow,
    ReadingError for a reply without tokens, and Unsupported, naming `stage`, where an endpoint does not tell prompts'
    tokens.
    """
    chats: list[tuple[Message, ...]] = [tuple(prompt), *((*prompt, ("assistant", text)) for text in texts)]
    before, *both = await together(_prefill(engine, Request(stage, 1, messages=chat), thread) for chat in chats)
    return [after(before, each) for each in both]


async def _prefill(engine: Engine, request: Request, thread: str) -> tuple[Token, ...]:
    """The tokens of what is asked, with their log-probabilities."""
    asked = dataclasses.replace(request, decoder_input_details=True, role=CRITIC, conversation=thread)
    with needing(request.stage, "prompt log-probabilities"):
        reply = await engine(asked)
    return reply.prefill


def _logprob(tokens: Sequence[Token]) -> float:
    for token in tokens:
        if token.logprob is None or not math.isfinite(token.logprob):
            raise ReadingError(
                f"token {token.text!r} of a prompt has log-probability {token.logprob}; only a text's first token may "
                "lack one, and no context may be empty",
                _joined(tokens),
            )
    return math.fsum(token.logprob for token in tokens if token.logprob is not None)


def _spread(logprob: float, tokens: int, text: Sequence[Token]) -> Likelihood:
    if tokens < 1:
        raise ReadingError("expected at least one token to score, got none", _joined(text))
    return Likelihood(logprob, tokens)


def _joined(tokens: Sequence[Token]) -> str:
    return "".join(token.text for token in tokens)
