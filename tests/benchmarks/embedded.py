"""The embedded server under load, beside transformers on the same weights and the same core.

`python -m tests.benchmarks.embedded [--model embedded] [--rounds 3] [--only NAME]... [--write]` prints a section of
docs/benchmarks.md. The servers and transformers (`tests/benchmarks/generate.py`) have one thread each, on one core,
and take turns there; the clients have the other cores. Nothing ends before its last token: the model is served from a
folder that names no end token.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import importlib.metadata
import json
import statistics
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

import aiohttp

from synthesis.embedded_model import chosen
from synthesis.server.checkpoint import read_shape
from synthesis.server.launch import serve
from tests.benchmarks import streams
from tests.benchmarks.generate import BLOCKS, Transformers, first_core
from tests.benchmarks.streams import PREFIX_MB, SLOTS, TALKS, Place, Words
from tests.benchmarks.table import PAGE, machine, placed

TITLE = "## The embedded server"
ABOUT = """
{rounds} rounds, medians, on {size:.1f} MB of bfloat16 weights ({model}); the work is in `tests/benchmarks/streams.py`.
Servers and transformers {version} had one thread each on the same core and took turns; the clients, which stream over
HTTP, had the rest of the machine. transformers goes from ids to ids, without text. The prompts and the replies of the
200 requests have 16 to 256 tokens; continuous batching had a cache of {blocks} x 256 positions. Prefill is the
server's own time (`/metrics`), {talks} conversations at once. Replies are the likeliest tokens after words drawn at
random, where a small model soon repeats itself: the server's guesses (`--speculate`) come true more often than in
sampled talk. Memory is what is resident after all this.
{machine}.
"""


@dataclass(frozen=True)
class Row:
    """A row of the table; `at_least`: the limit is the least that must be."""

    name: str
    told: str
    must: str
    limit: float
    measure: Callable[[Place, Random], Awaitable[float]]
    unit: str = ""
    at_least: bool = True

    def line(self, found: Sequence[float]) -> str:
        """In Markdown."""
        middle = statistics.median(found)
        spread = f"{middle:.3g}{self.unit} ({min(found):.3g} to {max(found):.3g})"
        return f"| {self.told} | {self.must} | {spread} | {'yes' if self.holds(found) else '**no**'} |"

    def holds(self, found: Sequence[float]) -> bool:
        middle = statistics.median(found)
        return middle >= self.limit if self.at_least else middle <= self.limit


ROWS = (
    Row(
        "batch",
        "32 streams at once, 64 tokens in, 64 out",
        "≥ 1.3 × `generate`, static batch of 32",
        1.3,
        streams.batch,
    ),
    Row(
        "arrivals",
        "200 requests arriving at random, lengths 16 to 256",
        "≥ 4 × transformers' continuous batching",
        4.0,
        streams.arrivals,
    ),
    Row("alone", "one stream, 64 tokens in, 64 out", "≥ 1.5 × `generate`", 1.5, streams.alone),
    Row(
        "conversations",
        "conversations of six turns with growing history",
        "prefill ≥ 2 × as fast as without reuse",
        2.0,
        streams.conversations,
    ),
    Row("start", "start to healthy", "< 4 s", 4.0, streams.start, " s", at_least=False),
    Row(
        "memory",
        f"resident memory beyond weights, prefix cache and the keys and values of {SLOTS} sequences",
        "≤ 400 MB",
        400.0,
        streams.memory,
        " MB",
        at_least=False,
    ),
)


def endless(model: Path, folder: Path) -> None:
    """The model's files in `folder`, without an end token."""
    for file in model.iterdir():
        if file.name != "generation_config.json":
            (folder / file.name).symlink_to(file.resolve())
    config = model / "generation_config.json"
    settings = json.loads(config.read_text()) if config.exists() else {}
    (folder / "generation_config.json").write_text(json.dumps(settings | {"eos_token_id": []}))


def _children() -> set[int]:
    tasks = Path("/proc/self/task").iterdir()
    return {int(number) for task in tasks for number in (task / "children").read_text().split()}


def _served(folder: Path, reuse: int) -> contextlib.AbstractAsyncContextManager[str]:
    """A server of its own, with so many MB of prefixes."""
    return serve(folder, batch=SLOTS, options=("--prefix-cache-mb", str(reuse)))


@contextlib.asynccontextmanager
async def started(model: Path) -> AsyncIterator[Place]:
    """Everything started, for as long as the block runs."""
    with tempfile.TemporaryDirectory(prefix="parley-embedded-") as name:
        folder = Path(name)
        endless(model, folder)
        async with contextlib.AsyncExitStack() as stack:
            with first_core():
                before = _children()
                url = await stack.enter_async_context(_served(folder, PREFIX_MB))
                (process,) = _children() - before
                plain = await stack.enter_async_context(_served(folder, 0))
            transformers = stack.enter_context(Transformers(folder))
            client = await stack.enter_async_context(aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(600)))
            weights, room = weight_bytes(model), room_bytes(model)
            yield Place(folder, url, plain, process, weights, room, client, transformers, Words(folder))


def weight_bytes(model: Path) -> int:
    """Of the stored weights."""
    return sum(file.stat().st_size for file in model.glob("*.safetensors"))


def room_bytes(model: Path) -> int:
    """Of the keys and values of as many sequences as run together, each as long as the context, in bfloat16."""
    shape = read_shape(model)
    return SLOTS * shape.context * shape.layers * 2 * shape.kv_heads * shape.head_dim * 2


async def measured(model: Path, rows: Sequence[Row], rounds: int) -> dict[str, list[float]]:
    """What each round gave, by the row's name."""
    found: dict[str, list[float]] = {row.name: [] for row in rows}
    async with started(model) as place:
        await streams.batch(place, Random("first"))  # what is compiled at its first use is, on both sides
        for number in range(rounds):
            for row in rows:
                found[row.name].append(await row.measure(place, Random(f"{row.name} {number}")))
                print(f"{row.name} {number + 1}: {found[row.name][-1]:.3g}", file=sys.stderr, flush=True)
    return found


def section(model: str, size: float, rounds: int, machine: str, found: dict[str, list[float]]) -> str:
    """The section in Markdown; `size` of the weights in MB."""
    lines = [row.line(found[row.name]) for row in ROWS if row.name in found]
    about = ABOUT.format(
        rounds=rounds,
        size=size,
        model=model,
        version=importlib.metadata.version("transformers"),
        blocks=BLOCKS,
        talks=TALKS,
        machine=machine,
    )
    return "\n".join([TITLE, "", "| work | must | measured | held |", "|---|---|--:|---|", *lines]) + "\n" + about


def main(arguments: list[str]) -> int:
    """Exit status: 0 all held, 1 not."""
    parser = argparse.ArgumentParser("python -m tests.benchmarks.embedded", description=str(__doc__).splitlines()[0])
    parser.add_argument("--model", default="embedded", help="a folder, or a name as the server takes it")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", action="append", choices=[row.name for row in ROWS])
    parser.add_argument("--write", action="store_true", help="write the section of docs/benchmarks.md")
    flags = parser.parse_args(arguments)
    rows = [row for row in ROWS if not flags.only or row.name in flags.only]
    folder, name = chosen(flags.model)
    here = machine()  # before the cores are shared out
    found = asyncio.run(measured(folder, rows, flags.rounds))
    text = section(name, weight_bytes(folder) / 1e6, flags.rounds, here, found)
    print(text)
    if flags.write:
        PAGE.write_text(placed(PAGE.read_text(encoding="utf-8"), TITLE, text), encoding="utf-8")
    return 0 if all(row.holds(found[row.name]) for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
