"""Continuous batching: one thread that reads waiting prompts, steps all running sequences, and lets finished ones go.

Arrivals join at the next step and finished rows leave at once. Prompts that wait together are read in one forward
pass; one that begins like another in the same pass waits for the next, to find its beginning in the prefix cache. A
long prompt is read in pieces, one a step, in a slot aside: running sequences and short newcomers do not wait for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from synthesis.server.forward import Model, Room
from synthesis.server.metrics import Metrics
from synthesis.server.model import Part
from synthesis.server.prefix import BLOCK, Block, Key, PrefixCache
from synthesis.server.protocol import Refused
from synthesis.server.sequence import Generation, News, Order
from synthesis.server.text import Tokenizer

if TYPE_CHECKING:
    from torch import Tensor

HOLD = (
    0.05  # seconds that news of running sequences may wait for more: each handing out costs a write a client (choice)
)

Deliver = Callable[[Sequence[News]], None]


@dataclass(slots=True)
class Reading:
    """A prompt on its way into a slot: the blocks it reuses, and how many of its tokens have been read."""

    generation: Generation
    blocks: list[Block]
    place: int

    @property
    def left(self) -> int:
        """Tokens still to read."""
        return len(self.generation.order.prompt) - self.place


class Scheduler:
    """Runs orders on a thread of its own; `submit`, `cancel` and `stop` are called from the event loop."""

    def __init__(
        self,
        model: Model[Any],
        tokenizer: Tokenizer,
        metrics: Metrics,
        *,
        slots: int,
        prefix_bytes: int,
        threads: int,
        piece: int,
        guesses: int,
    ) -> None:
        """`piece`: most tokens of one prompt in a step, which bounds how long running sequences stand still.

        `guesses`: most tokens of one sequence that are read in a step on trial.
        """
        self._model, self._tokenizer, self._metrics = model, tokenizer, metrics
        self._slots, self._threads, self._piece, self._guesses = slots, threads, piece, guesses
        self._cache: Room = model.room(slots + 1)
        self._aside: Reading | None = None  # the prompt that is read in pieces, in the slot after all others
        self._prefix = PrefixCache(prefix_bytes if model.reuses else 0)
        self._waiting: list[Generation] = []
        self._running: list[Generation] = []
        self._handed = 0.0  # when all news was last handed out
        self._news = threading.Condition()
        self._stopping = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._run, name="decoding", daemon=True)

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin; news is handed out on `loop`."""
        self._loop = loop
        self._thread.start()

    @property
    def alive(self) -> bool:
        return self._thread.is_alive() and not self._stopping

    def submit(self, order: Order, deliver: Deliver) -> Generation:
        """Queue an order; `deliver` is called on the event loop with its steps and its end, some at a time."""
        generation = Generation(order, self._tokenizer, deliver)
        with self._news:
            if not self.alive:
                raise Refused("incomplete_generation", "Incomplete generation")
            self._waiting.append(generation)
            self._news.notify()
        return generation

    def cancel(self, generation: Generation) -> None:
        """Forget a generation: it leaves before the next step, and nothing more is delivered."""
        with self._news:
            generation.cancelled = True
            self._news.notify()

    def stop(self) -> None:
        """End after the current step; what is unfinished fails as incomplete. Waits for the thread."""
        with self._news:
            self._stopping = True
            self._news.notify()
        self._thread.join()

    def _run(self) -> None:
        import torch

        torch.set_num_threads(self._threads)
        try:
            with torch.inference_mode():
                while self._wait():
                    self._turn()
        finally:
            with self._news:
                self._stopping = True
                left = [*self._running, *self._waiting, *([self._aside.generation] if self._aside else [])]
            for generation in left:
                generation.fail(Refused("incomplete_generation", "Incomplete generation"))
            self._hand_out(left)

    def _wait(self) -> bool:
        """Sleep until there is something to do; False when it is time to end."""
        with self._news:
            while not (self._waiting or self._running or self._aside or self._stopping):
                self._news.wait()
            return not self._stopping

    def _turn(self) -> None:
        self._leave()
        chosen = self._choose()
        if chosen:
            self._guarded("prefill", lambda: self._read(chosen), [one.generation for one in chosen])
        self._leave()
        if self._running:
            self._guarded("decode", self._step, [])
        self._leave()

    def _guarded(self, method: str, work: Callable[[], None], newcomers: list[Generation]) -> None:
        """Run one forward pass; when torch gives up (memory, as a rule) the whole batch fails, as in TGI."""
        began = time.monotonic()
        self._metrics.count("tgi_batch_inference_count", method=method)
        try:
            work()
        except (RuntimeError, MemoryError) as error:
            self._metrics.count("tgi_batch_inference_failure", method=method)
            failed = list(dict.fromkeys([*self._running, *newcomers]))
            for generation in failed:
                generation.fail(Refused("generation", f"Request failed during generation: {error}"))
            self._running = failed
            if self._aside and self._aside.generation.finished:
                self._aside = None
            return
        self._metrics.count("tgi_batch_inference_success", method=method)
        taken = time.monotonic() - began
        self._metrics.observe("tgi_batch_inference_duration", taken)
        self._metrics.observe("tgi_batch_forward_duration", taken)
        if method == "decode":
            self._metrics.observe("tgi_batch_decode_duration", taken)

    def _choose(self) -> list[Reading]:
        """The prompts to read now, in order of arrival, the one that is read in pieces first.

        Beside it, prompts are taken while fewer than `piece` tokens are chosen.
        """
        if self._aside and self._aside.generation.cancelled:
            self._aside = None
            self._cache.close(self._slots)
        chosen = [self._aside] if self._aside else []
        coming = {self._prefix.find(one.generation.order.prompt, one.generation.order.adapter)[1] for one in chosen}
        with self._news:
            waiting = [one for one in self._waiting if not one.cancelled]
        tokens = 0
        for generation in waiting:
            if len(chosen) + len(self._running) == self._slots or tokens >= self._piece:
                break
            one, missing = self._found(generation)
            long = self._model.reuses and one.left > self._piece
            if (missing is not None and missing in coming) or (long and self._aside):
                continue
            if long:
                self._aside = one
            coming.add(missing)
            tokens += min(one.left, self._piece)
            chosen.append(one)
        taken = {id(one.generation) for one in chosen}
        with self._news:
            self._waiting = [one for one in self._waiting if not one.cancelled and id(one) not in taken]
            self._metrics.set("tgi_queue_size", len(self._waiting))
        return chosen

    def _found(self, generation: Generation) -> tuple[Reading, Key | None]:
        """What a waiting prompt can reuse, and the key of the first block it misses."""
        order = generation.order
        blocks, missing = ([], None) if order.prefill_details else self._prefix.find(order.prompt, order.adapter)
        return Reading(generation, blocks, BLOCK * len(blocks)), missing

    def _read(self, chosen: list[Reading]) -> None:
        """Read the chosen prompts in one pass; those that are through choose their first tokens."""
        if self._running:
            self._metrics.count("tgi_batch_concat", reason="arrival")
        self._metrics.observe("tgi_batch_next_size", len(chosen))
        begun = self._aside is not None and self._aside.generation.began > 0
        self._fit(
            [*self._running, *(one.generation for one in chosen)], self._slots + 1 if begun else len(self._running)
        )
        free = len(self._running)
        parts: list[Part] = []
        for one in chosen:
            slot = self._slots if one is self._aside else free
            free += slot == free
            parts.append(self._part(one, slot))
        logits = self._model.prefill(parts, self._cache)
        for one, part, rows in zip(chosen, parts, logits, strict=True):
            self._have_read(one, part, rows)
        through = [one for one in chosen if not one.left]
        if self._aside in through:  # the pass filled the slots before its new one
            through.sort(key=lambda one: one is self._aside)
            self._cache.move(self._slots, len(self._running) + len(through) - 1)
            self._cache.close(self._slots)
            self._aside = None
        self._running = [*self._running, *(one.generation for one in through)]

    def _fit(self, generations: list[Generation], used: int) -> None:
        self._cache.fit(max(len(one.tokens) for one in generations) + 1, used)

    def _part(self, one: Reading, slot: int) -> Part:
        """The next tokens of a prompt to read; the slot is prepared at the first."""
        generation, order = one.generation, one.generation.order
        if not generation.began:
            generation.began = time.monotonic()
            self._cache.open(slot, len(order.prompt))
            if one.blocks:
                self._cache.put(slot, [block.data for block in one.blocks])
            self._metrics.observe("tgi_request_skipped_tokens", one.place)
        stop = one.place + self._piece if one is self._aside else len(order.prompt)
        return Part(slot, one.place, order.prompt[one.place : stop], order.prefill_details, order.adapter)

    def _have_read(self, one: Reading, part: Part, rows: Tensor) -> None:
        generation, order = one.generation, one.generation.order
        one.place += len(part.tokens)
        self._prefix.store(order.prompt[: one.place], partial(self._cache.keep, part.slot), part.adapter)
        if order.prefill_details:
            generation.read(rows, part.start)
        if not one.left:
            generation.step(rows[-1].numpy())

    def _step(self) -> None:
        """The next token for every running sequence, and those after it that were guessed."""
        places = [len(generation.tokens) - 1 for generation in self._running]
        if self._aside:
            self._fit([*self._running, self._aside.generation], self._slots + 1)
        else:
            self._fit(self._running, len(places))
        newest = [
            [one.tokens[-1], *one.guess(min(self._guesses, self._model.ahead(place)))]
            for one, place in zip(self._running, places, strict=True)
        ]
        adapters = [generation.order.adapter for generation in self._running]
        logits = self._model.decode(newest, places, self._cache, adapters).numpy()
        first = 0
        for generation, read in zip(self._running, newest, strict=True):
            generation.follow(read[1:], list(logits[first : first + len(read)]))
            first += len(read)

    def _leave(self) -> None:
        """Hand out news and close the gaps that finished and cancelled generations leave."""
        running = self._running
        now = time.monotonic()
        if due := now - self._handed >= HOLD:
            self._handed = now
        self._hand_out([one for one in running if due or one.finished or one.silent])
        for slot in reversed(range(len(running))):
            if running[slot].finished or running[slot].cancelled:
                last = len(running) - 1
                if slot != last:
                    self._cache.move(last, slot)
                    running[slot] = running[last]
                running.pop()
                self._cache.close(last)
        self._metrics.set("tgi_batch_current_size", len(running))
        reserved = sum(len(one.order.prompt) + one.order.budget for one in running)
        self._metrics.set("tgi_batch_current_max_tokens", reserved)

    def _hand_out(self, generations: list[Generation]) -> None:
        letters: list[tuple[Deliver, list[News]]] = []
        for generation in generations:
            if generation.news and not generation.cancelled:
                letters.append((generation.deliver, generation.news))
                generation.silent = False
            generation.news = []
        if letters and self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is left to be told
                self._loop.call_soon_threadsafe(_deliver, letters)


def _deliver(letters: list[tuple[Deliver, list[News]]]) -> None:
    for deliver, news in letters:
        deliver(news)
