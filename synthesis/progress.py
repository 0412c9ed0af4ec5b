"""Progress of a run: one bar with dialogues and tokens a second, kept, dropped, failed, and the time left."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any

from synthesis.engine import Engine, Reply, Request

if TYPE_CHECKING:
    from tqdm import tqdm


class Meter:
    """An engine around another that counts what is really asked: requests, and tokens that came back."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.requests = 0
        self.tokens_in = 0
        self.tokens_out = 0

    async def __call__(self, request: Request) -> Reply:
        reply = await self._engine(request)
        self.requests += 1
        self.tokens_in += reply.tokens_in
        self.tokens_out += reply.tokens_out
        return reply


class Progress:
    """The bar on standard error; redrawn every ten seconds where that is no terminal."""

    def __init__(self, meter: Meter | None) -> None:
        self._meter = meter
        self._begun = time.monotonic()
        self._bar: tqdm[Any] | None = None
        self._phase = ""

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._close()

    def __call__(self, phase: str, total: int, counts: Mapping[str, int]) -> None:
        """Shows `counts` of a phase with `total` seeds; of one without (0), only what was asked so far."""
        if phase != self._phase:
            self._open(phase, total)
        if self._bar is not None:
            seconds = max(1e-9, time.monotonic() - self._begun)
            told = ", ".join(f"{name} {count}" for name, count in counts.items())
            rate = f"{self._meter.tokens_out / seconds:.0f} tokens/s" if self._meter else "replay"
            self._bar.set_postfix_str(", ".join(filter(None, [told, rate])), refresh=False)
            self._bar.update(sum(counts.values()) - self._bar.n if total else 0)

    def _open(self, phase: str, total: int) -> None:
        from tqdm import tqdm

        self._close()
        self._phase = phase
        terminal = sys.stderr.isatty()
        self._bar = tqdm(
            total=total or None,
            desc=phase,
            unit="dialogue",
            bar_format=None if total else "{desc} [{elapsed}{postfix}]",
            mininterval=0.2 if terminal else 10.0,
            dynamic_ncols=terminal,
            file=sys.stderr,
        )

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None
