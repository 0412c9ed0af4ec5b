"""Progress of a run: one bar with kept, dropped, failed, tokens a second, retries, latency, cost, and time left."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any

from synthesis.engines.traffic import Traffic
from synthesis.price import Price

if TYPE_CHECKING:
    from tqdm import tqdm


TELL_SECONDS = 0.5


class Progress:
    """The bar on standard error; redrawn every ten seconds where that is no terminal.

    `traffic`: of this process, or None for a replay. `counts`: dialogues by outcome in the phase under way. `spent`:
    what earlier processes have cost, for only the cost is told of all of them; the rest is how it goes now.
    """

    def __init__(self, traffic: Traffic | None, price: Price | None = None, spent: float = 0.0) -> None:
        self._traffic, self._price, self._spent = traffic, price, spent
        self._begun = time.monotonic()
        self._told = -TELL_SECONDS
        self._bar: tqdm[Any] | None = None
        self._phase = ""
        self.counts: Mapping[str, int] = {}

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._close()

    def __call__(self, phase: str, total: int, counts: Mapping[str, int]) -> None:
        """Shows `counts` of a phase with `total` seeds; of one without (0), only what was asked so far."""
        self.counts = counts if total else {}
        if phase != self._phase:
            self._open(phase, total, sum(counts.values()) if total else 0)
        if self._bar is None:
            return
        done, now = sum(counts.values()), time.monotonic()
        if now - self._told >= TELL_SECONDS or done == total:
            self._told = now
            told = [f"{name} {count}" for name, count in counts.items()]
            self._bar.set_postfix_str(", ".join([*told, *self._traffic_told(now - self._begun)]), refresh=False)
        self._bar.update(done - self._bar.n if total else 0)

    def _traffic_told(self, seconds: float) -> list[str]:
        """Speed, trouble, latency and cost so far, each if there is any."""
        traffic = self._traffic
        if traffic is None:
            return ["replay"]
        whole = traffic.whole()
        told = [f"{whole.tokens_out / max(seconds, 1e-9):.0f} tokens/s"]
        told += [f"{traffic.retries} retries"] if traffic.retries else []
        told += [f"{traffic.overloaded} refused"] if traffic.overloaded else []
        middle, late = whole.latency.percentile(0.5), whole.latency.percentile(0.99)
        told += [f"{middle:.2g} s, p99 {late:.2g} s"] if middle is not None and late is not None else []
        if self._price is not None:
            told.append(f"cost {self._spent + self._price.of(whole.tokens_in, whole.tokens_out):.4g}")
        return told

    def _open(self, phase: str, total: int, done: int) -> None:
        from tqdm import tqdm

        self._close()
        self._phase = phase
        terminal = sys.stderr.isatty()
        self._bar = tqdm(
            total=total or None,
            initial=done,  # what an earlier run has done says nothing of how long the rest takes
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
