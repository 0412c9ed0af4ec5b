"""Counters, gauges and histograms under TGI's names, written as Prometheus text.

Every name exists from the start, so that a dashboard finds zeros rather than nothing. Used from two threads.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Sequence

SECONDS = tuple(round(0.0001 * 2.0**step, 6) for step in range(21))  # 0.1 ms to 105 s
TOKENS = tuple(float(2**step) for step in range(14))  # 1 to 8192
FAILURES = ("validation", "overloaded", "incomplete", "generation", "dropped", "template")
METHODS = ("prefill", "decode")
COUNTERS = {
    "tgi_request_count": ("",),
    "tgi_request_success": ("",),
    "tgi_request_failure": tuple(f'err="{name}"' for name in FAILURES),
    "tgi_batch_inference_count": tuple(f'method="{name}"' for name in METHODS),
    "tgi_batch_inference_success": tuple(f'method="{name}"' for name in METHODS),
    "tgi_batch_inference_failure": tuple(f'method="{name}"' for name in METHODS),
    "tgi_batch_concat": ('reason="arrival"',),
}
GAUGES = ("tgi_queue_size", "tgi_batch_current_size", "tgi_batch_current_max_tokens", "tgi_batch_max_total_tokens")
PER_REQUEST = tuple(f"{name}duration" for name in ("", "validation_", "queue_", "inference_", "mean_time_per_token_"))
SIZES = ("generated_tokens", "input_length", "max_new_tokens", "skipped_tokens")
PER_BATCH = ("forward_duration", "decode_duration", "inference_duration", "filter_duration", "concat_duration")


class _Histogram:
    def __init__(self, edges: Sequence[float]) -> None:
        self.edges = edges
        self.counts = [0] * (len(edges) + 1)
        self.total = 0.0

    def add(self, value: float) -> None:
        self.counts[bisect_left(self.edges, value)] += 1
        self.total += value

    def lines(self, name: str) -> list[str]:
        below = 0
        lines = [f"# TYPE {name} histogram"]
        for edge, count in zip((*map(str, self.edges), "+Inf"), self.counts, strict=True):
            below += count
            lines.append(f'{name}_bucket{{le="{edge}"}} {below}')
        return [*lines, f"{name}_sum {self.total:.9g}", f"{name}_count {below}"]


class Metrics:
    """What the server has done since it started."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counters = {(name, label): 0 for name, labels in COUNTERS.items() for label in labels}
        self._gauges = dict.fromkeys(GAUGES, 0.0)
        self._histograms = {f"tgi_request_{name}": _Histogram(SECONDS) for name in PER_REQUEST}
        self._histograms |= {f"tgi_request_{name}": _Histogram(TOKENS) for name in SIZES}
        self._histograms |= {f"tgi_batch_{name}": _Histogram(SECONDS) for name in PER_BATCH}
        self._histograms["tgi_batch_next_size"] = _Histogram(TOKENS)

    def count(self, name: str, **labels: str) -> None:
        """Add one to a counter."""
        label = ",".join(f'{key}="{value}"' for key, value in labels.items())
        with self._lock:
            self._counters[name, label] += 1

    def set(self, name: str, value: float) -> None:
        """Set a gauge."""
        with self._lock:
            self._gauges[name] = value

    def observe(self, name: str, value: float) -> None:
        """Add a value (seconds, or tokens) to a histogram."""
        with self._lock:
            self._histograms[name].add(value)

    def text(self) -> str:
        """Everything in Prometheus' text format."""
        lines: list[str] = []
        with self._lock:
            for name, labels in COUNTERS.items():
                lines.append(f"# TYPE {name} counter")
                lines += [
                    f"{name}{{{one}}} {self._counters[name, one]}" if one else f"{name} {self._counters[name, one]}"
                    for one in labels
                ]
            for name, value in self._gauges.items():
                lines += [f"# TYPE {name} gauge", f"{name} {value:g}"]
            for name, histogram in self._histograms.items():
                lines += histogram.lines(name)
        return "\n".join(lines) + "\n"
