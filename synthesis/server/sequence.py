"""One running generation: what it has read and written, and when it ends.

It belongs to the decoding thread. What it has to tell, it puts into `news`, which the scheduler carries to the event
loop after each step.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from synthesis.server.lookup import Lookup
from synthesis.server.protocol import FinishReason, Refused, Result, Step, Token
from synthesis.server.sampling import Row, Sampler, Sampling
from synthesis.server.text import Growing, Stops, Tokenizer

if TYPE_CHECKING:
    from torch import Tensor

    from synthesis.server.grammar import Guide

News = Step | Result | Refused


@dataclass(frozen=True, slots=True)
class Order:
    """A validated request, ready for the scheduler. `budget`: most tokens to write; `top`: likeliest tokens shown."""

    prompt: tuple[int, ...]
    budget: int
    sampling: Sampling
    stops: tuple[str, ...] = ()
    guide: Guide | None = None
    top: int = 0
    prefill_details: bool = False
    stream: bool = False
    adapter: int = 0


class Generation:
    """An order under way; its place in the scheduler's list is its slot in the cache."""

    def __init__(self, order: Order, tokenizer: Tokenizer, deliver: Callable[[Sequence[News]], None]) -> None:
        self.order, self.deliver = order, deliver
        self.tokens = list(order.prompt)
        self.news: list[News] = []
        self.cancelled = False
        self.finished = False
        self.silent = True  # nothing has been handed out yet
        self.began = 0.0
        self._born = time.monotonic()
        self._tokenizer = tokenizer
        self._sampler = Sampler(order.sampling, list(order.prompt), tokenizer.vocabulary)
        self._growing = Growing(tokenizer, order.prompt)
        self._stops = Stops(order.stops)
        self._lookup = Lookup()
        self._steps: list[Step] = []
        self._prefill: tuple[Token, ...] = ()

    def queue_time(self) -> float:
        """Seconds between arrival and the first computation."""
        return self.began - self._born

    def read(self, logits: Tensor, start: int) -> None:
        """Take the logits of the prompt's positions from `start`, [tokens, vocabulary], for its details.

        The last position of the whole prompt speaks of no token in it.
        """
        import torch

        prompt = self.order.prompt
        told = prompt[start + 1 : start + 1 + len(logits)]
        logprobs = torch.log_softmax(logits[: len(told)], -1).gather(1, torch.tensor(told, dtype=torch.int64)[:, None])
        first = () if start else (self._token(prompt[0], None),)
        tokens = (self._token(number, value) for number, value in zip(told, logprobs[:, 0].tolist(), strict=True))
        self._prefill = (*self._prefill, *first, *tokens)

    def _token(self, number: int, logprob: float | None, text: str | None = None) -> Token:
        written = self._tokenizer.token(number) if text is None else text
        return Token(number, written, logprob, number in self._tokenizer.specials)

    def guess(self, most: int) -> list[int]:
        """At most `most` tokens that may come next, and never the last of the budget: nothing follows it."""
        left = min(most, self.order.budget - len(self._steps) - 1)
        return self._lookup.guess(self.tokens, left) if left > 0 else []

    def follow(self, guesses: Sequence[int], logits: Sequence[Row]) -> None:
        """Choose from each row of logits in turn, as long as what is chosen was guessed."""
        for guessed, row in zip((*guesses, None), logits, strict=True):
            self.step(row)
            if self.finished or self.tokens[-1] != guessed:
                break

    def step(self, logits: Row) -> None:
        """Choose the next token from a row of logits (overwritten); a failure ends this generation alone."""
        try:
            self._advance(logits)
        except ValueError as error:
            self.fail(Refused("generation", f"Request failed during generation: {error}"))

    def fail(self, reason: Refused) -> None:
        self.finished = True
        self.news.append(reason)

    def _advance(self, logits: Row) -> None:
        order = self.order
        allowed = order.guide.allowed(len(logits)) if order.guide else None
        choice = self._sampler.choose(logits, allowed, order.top)
        self.tokens.append(choice.token)
        if order.guide:
            order.guide.accept(choice.token)
        index = len(self._steps) + 1
        ends = index >= order.budget or choice.token in self._tokenizer.eos
        text = self._growing.add(choice.token, last=ends)
        beyond = self._stops.add(text) if self._stops else None
        top = tuple(self._token(number, value) for number, value in choice.top)
        step = Step(index, self._token(choice.token, choice.logprob, text), top)
        self._steps.append(step)
        if index >= order.budget:
            self._finish("length", beyond)
        elif choice.token in self._tokenizer.eos:
            self._finish("eos_token", beyond)
        elif beyond is not None:
            self._finish("stop_sequence", beyond)
        elif order.stream:
            self.news.append(step)  # the last step travels inside the result

    def _finish(self, reason: FinishReason, beyond: int | None) -> None:
        """End; `beyond` characters after a stop string are dropped, so that the text ends with it."""
        self.finished = True
        text = self._written()
        if beyond and not self._steps[-1].token.special:
            text = text[: len(text) - beyond]
        self.news.append(
            Result(
                text=text,
                steps=tuple(self._steps),
                prefill=self._prefill,
                finish_reason=reason,
                seed=self.order.sampling.seed if self.order.sampling.sample else None,
                input_length=len(self.order.prompt),
                queue_time=self.queue_time(),
                inference_time=time.monotonic() - self.began,
            )
        )

    def _written(self) -> str:
        """The output as text, without special tokens, as it continues the prompt's last token."""
        start = len(self.order.prompt) - 1
        before = self._tokenizer.decode(self.tokens[start : start + 1], skip_specials=True)
        return self._tokenizer.decode(self.tokens[start:], skip_specials=True)[len(before) :]
