"""OpenMetrics: a run as a page for Prometheus and its like, at http://127.0.0.1:PORT/metrics while the run lasts.

The text format is OpenMetrics 1.0: a TYPE line for each family, counters ending in `_total`, a histogram's buckets
cumulative up to `+Inf`, label values escaped, and `# EOF` at the end. Counters are those of the process: a collector
knows that they begin anew when it does, and adds them up itself; what earlier processes sent stands in run.json.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager

from synthesis.engines.traffic import Histogram, Traffic
from synthesis.errors import UserError

CONTENT_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"
BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})

Sample = tuple[Mapping[str, str], float]


def page(traffic: Traffic, counts: Mapping[str, int]) -> str:
    """The whole page; `counts` are dialogues by outcome in the round that is under way."""
    tokens = [
        ({"role": role, "stage": stage, "direction": direction}, count)
        for (role, stage), told in sorted(traffic.by_stage.items())
        for direction, count in (("in", told.tokens_in), ("out", told.tokens_out))
    ]
    outcomes = [({"outcome": name}, counts.get(name, 0)) for name in ("kept", "dropped", "failed")]
    faults = [({"kind": kind}, count) for kind, count in sorted(traffic.faults.items())]
    whole = traffic.whole()
    families = (
        _family("parley_dialogues", "gauge", "Dialogues of the round under way, by outcome.", outcomes),
        _family("parley_requests", "counter", "Requests sent, retries included.", [({}, traffic.requests)]),
        _family("parley_answers", "counter", "Requests answered with a reply.", [({}, whole.answered)]),
        _family("parley_retries", "counter", "Requests sent again after an error.", [({}, traffic.retries)]),
        _family("parley_overloaded", "counter", "Requests put off by a 429 or 503.", [({}, traffic.overloaded)]),
        _family("parley_faults", "counter", "Requests that came to nothing otherwise, by kind.", faults),
        _family("parley_tokens", "counter", "Tokens of answered requests, by role, stage and direction.", tokens),
        _family("parley_in_flight", "gauge", "Requests under way.", [({}, traffic.in_flight)]),
        _latency(whole.latency),
    )
    return "".join(f"{line}\n" for family in families for line in family) + "# EOF\n"


def _family(name: str, kind: str, told: str, samples: Iterable[Sample]) -> Iterator[str]:
    yield f"# TYPE {name} {kind}"
    yield f"# HELP {name} {told}"
    for labels, value in samples:
        yield f"{name}{'_total' if kind == 'counter' else ''}{_labels(labels)} {value}"


def _latency(latency: Histogram) -> Iterator[str]:
    name = "parley_latency_seconds"
    yield f"# TYPE {name} histogram"
    yield f"# UNIT {name} seconds"
    yield f"# HELP {name} Time from sending a request to its reply."
    for bound, count in zip(BOUNDS, latency.below(BOUNDS), strict=True):
        yield f'{name}_bucket{{le="{bound}"}} {count}'
    yield f'{name}_bucket{{le="+Inf"}} {latency.count}'
    yield f"{name}_count {latency.count}"
    yield f"{name}_sum {latency.total:.6f}"


def _labels(labels: Mapping[str, str]) -> str:
    inner = ",".join(f'{name}="{value.translate(_ESCAPES)}"' for name, value in labels.items())
    return f"{{{inner}}}" if inner else ""


@asynccontextmanager
async def served(port: int | None, text: Callable[[], str]) -> AsyncIterator[str | None]:
    """The address of the page that `text` writes anew for each visit; None without `port`, 0 takes any that is free.

    Raises UserError when the port is taken.
    """
    if port is None:
        yield None
        return
    from aiohttp import web

    async def visit(_: web.Request) -> web.Response:
        return web.Response(body=text().encode(), headers={"Content-Type": CONTENT_TYPE})

    app = web.Application()
    app.router.add_get("/metrics", visit)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, "127.0.0.1", port).start()
        except OSError as error:
            raise UserError(f"--metrics-port {port}: {error.strerror or error}; choose another") from error
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/metrics"
    finally:
        await runner.cleanup()
