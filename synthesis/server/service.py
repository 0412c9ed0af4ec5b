"""Between the routes and the decoding thread: permits, orders, best-of, and what is counted.

A generation holds its permit from arrival until its answer is out or its client has gone; without a free permit the
answer is "overloaded", at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import AsyncIterator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial

from synthesis.server.grammar import Grammars, Guide
from synthesis.server.metrics import Metrics
from synthesis.server.protocol import GenerateRequest, Grammar, Refused, Result, Step, invalid
from synthesis.server.scheduler import Scheduler
from synthesis.server.sequence import Generation, News, Order
from synthesis.server.template import ChatTemplate
from synthesis.server.text import Tokenizer
from synthesis.server.validation import Limits, check_budget, check_parameters, sampling

LONG_TEXT = 20_000  # characters; more are tokenized beside the event loop
FAILURE_LABELS = {"incomplete_generation": "incomplete"}


class Run:
    """Generations under way, numbered as their requests. `validation_time` in seconds."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.validation_time = 0.0
        self._news: deque[tuple[int, News]] = deque()
        self._come = asyncio.Event()

    def deliver(self, place: int, news: Sequence[News]) -> None:
        self._news.extend((place, one) for one in news)
        self._come.set()

    @property
    def idle(self) -> bool:
        """Whether there is nothing to tell for now."""
        return not self._news

    async def next(self) -> tuple[int, Step | Result]:
        """The next step or end of any of them; raises Refused when one failed."""
        while self.idle:
            self._come.clear()
            await self._come.wait()
        place, news = self._news.popleft()
        if isinstance(news, Refused):
            raise news
        return place, news

    async def results(self) -> list[Result]:
        """All ends, in the order of the requests."""
        done: dict[int, Result] = {}
        while len(done) < self.count:
            place, news = await self.next()
            if isinstance(news, Result):
                done[place] = news
        return [done[place] for place in range(self.count)]


@dataclass(frozen=True, slots=True)
class Nature:
    """What is served, and how: the values of /info. `path`: how the model computes; `adapters` by name, 1, 2, ..."""

    model: str
    sha: str
    dtype: str
    device: str
    path: str
    reuse: bool
    adapters: tuple[str, ...] = ()


class Service:
    """A loaded model that answers."""

    def __init__(
        self,
        nature: Nature,
        limits: Limits,
        tokenizer: Tokenizer,
        template: ChatTemplate,
        scheduler: Scheduler,
        metrics: Metrics,
    ) -> None:
        self.nature, self.limits = nature, limits
        self.tokenizer, self.template, self.scheduler, self.metrics = tokenizer, template, scheduler, metrics
        self._grammars = Grammars(tokenizer)
        self._compiler = ThreadPoolExecutor(
            1, "grammars"
        )  # a thread goes on when the client that it works for is gone
        self._permits = limits.max_concurrent_requests
        self.leaving = False
        self._quiet = asyncio.Event()
        self._quiet.set()

    @contextlib.asynccontextmanager
    async def run(self, requests: Sequence[GenerateRequest]) -> AsyncIterator[Run]:
        """Start requests, one permit each; whatever still runs at the end of the block is cancelled."""
        if self.leaving:  # told to end while the body was still on its way
            raise Refused("healthcheck", "unhealthy")
        generations: list[Generation] = []
        self.metrics.count("tgi_request_count")
        began = time.monotonic()
        try:
            with self._permitted(len(requests)):
                try:
                    orders = [await self._order(request) for request in requests]
                    run = Run(len(orders))
                    run.validation_time = time.monotonic() - began
                    self.metrics.observe("tgi_request_validation_duration", run.validation_time)
                    for place, order in enumerate(orders):
                        generations.append(self.scheduler.submit(order, partial(run.deliver, place)))
                    yield run
                finally:
                    for generation in generations:
                        self.scheduler.cancel(generation)
        except Refused as refused:
            self.metrics.count("tgi_request_failure", err=FAILURE_LABELS.get(refused.kind, refused.kind))
            raise
        except (asyncio.CancelledError, ConnectionError):
            self.metrics.count("tgi_request_failure", err="dropped")
            raise

    @contextlib.contextmanager
    def _permitted(self, count: int) -> Iterator[None]:
        if count > self._permits:
            raise Refused("overloaded", "Model is overloaded")
        self._permits -= count
        self._quiet.clear()
        try:
            yield
        finally:
            self._permits += count
            if self.permits == self.limits.max_concurrent_requests:
                self._quiet.set()

    @property
    def permits(self) -> int:
        """Permits that are free."""
        return self._permits

    async def quiet(self) -> None:
        """Wait until no request is under way."""
        await self._quiet.wait()

    async def _order(self, request: GenerateRequest) -> Order:
        """Validate; raises Refused with the first broken rule."""
        check_parameters(request, self.limits)
        given = request.parameters
        ids = await self._encode(request)
        if given.truncate is not None:
            ids = ids[-given.truncate :]
        if not ids:
            raise invalid("`inputs` cannot be empty")
        budget = check_budget(given, len(ids), self.limits)
        guide = None if given.grammar is None else await self._guide(given.grammar)
        return Order(
            prompt=tuple(ids),
            budget=budget,
            sampling=sampling(given),
            stops=given.stop,
            guide=guide,
            top=given.top_n_tokens or 0,
            prefill_details=given.decoder_input_details,
            stream=request.stream,
            adapter=self.adapter(given.adapter_id),
        )

    async def _guide(self, grammar: Grammar) -> Guide | None:
        """The grammar's guide; new grammars wait for each other, known ones for none of them."""
        text = await asyncio.to_thread(self._grammars.source, grammar)
        compiled = partial(self._grammars.compile, text, grammar.kind)
        return self._grammars.guide(text) or await asyncio.get_running_loop().run_in_executor(self._compiler, compiled)

    def adapter(self, name: str | None) -> int:
        """The number of an adapter; of a name that is none, the base's, as TGI has it."""
        return self.nature.adapters.index(name) + 1 if name in self.nature.adapters else 0

    async def _encode(self, request: GenerateRequest) -> list[int]:
        encode = partial(self.tokenizer.encode, request.inputs, specials=request.specials)
        return await asyncio.to_thread(encode) if len(request.inputs) > LONG_TEXT else encode()

    async def answer(self, request: GenerateRequest) -> tuple[Result, float]:
        """The result of a request that is not streamed, and the seconds its validation took.

        With `best_of`, the run with the highest mean log-probability wins and carries the others.
        """
        copies = [request] * max(1, min(request.parameters.best_of or 1, self.limits.max_best_of + 1))
        began = time.monotonic()
        async with self.run(copies) as run:
            ranked = sorted(await run.results(), key=lambda one: one.mean_logprob, reverse=True)
        result = replace(ranked[0], others=tuple(ranked[1:]))
        self.succeeded(result, time.monotonic() - began, request)
        return result, run.validation_time

    def succeeded(self, result: Result, taken: float, request: GenerateRequest) -> None:
        """Count an answer that took so many seconds from arrival."""
        seen = self.metrics.observe
        self.metrics.count("tgi_request_success")
        seen("tgi_request_duration", taken)
        seen("tgi_request_queue_duration", result.queue_time)
        seen("tgi_request_inference_duration", result.inference_time)
        seen("tgi_request_mean_time_per_token_duration", result.inference_time / max(1, len(result.steps)))
        seen("tgi_request_generated_tokens", len(result.steps))
        seen("tgi_request_input_length", result.input_length)
        seen("tgi_request_max_new_tokens", request.parameters.max_new_tokens or self.limits.max_total_tokens)
