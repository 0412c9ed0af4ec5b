"""Bench: what can this endpoint take? `python -m synthesis.bench --endpoint URL --conversations N --turns T`.

Plain conversations of T turns go the whole way that a recipe's go: runner, journal, pool, admission, retries. What is
printed is the wall time, requests and what became of them, tokens a second and latencies, all of this process alone:
where it goes on with a run (`--out`), its seconds say nothing of what earlier ones sent, and no traffic is kept there.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from string import Template
from typing import Any, ClassVar

from synthesis.dialogue import Dialogue, Turn
from synthesis.engine import Engine, Request
from synthesis.errors import ParleyError, ReadingError
from synthesis.filter import Across, Filter
from synthesis.flag_types import positive, seconds
from synthesis.garbage import seldom
from synthesis.recipe import Pool, Seed, draw_seed
from synthesis.storage import disk

OPENING = Template("Conversation $number between A and B.\n")
SPEAKERS = ("A", "B")


@dataclass(frozen=True, slots=True)
class Plain:
    """A recipe of nothing but turns: each is a request that carries what was said before."""

    name: ClassVar[str] = "bench"
    prompts: ClassVar[tuple[Template, ...]] = (OPENING,)
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {"improved": {}}
    rounds: ClassVar[int] = 1
    turns: int = 6
    tokens: int = 64

    def check(self) -> None:
        """Nothing is given."""

    async def seeds(self, engine: Engine, rng: Random, n: int) -> AsyncIterator[Seed]:
        """Numbers."""
        for number in range(n):
            yield Seed(f"bench-{number:08d}", {"number": number})

    def pool(self, kept: Sequence[Dialogue]) -> Pool:
        """Nothing to learn from."""
        return Pool()

    async def dialogue(self, seed: Seed, pool: Pool, engine: Engine, rng: Random) -> Dialogue:
        """Turn by turn. Raises ReadingError for a reply without a word."""
        text, turns = OPENING.substitute(number=seed.content["number"]), []
        for number in range(self.turns):
            speaker = SPEAKERS[number % 2]
            text += f"{speaker}:"
            request = Request(
                "turn",
                self.tokens,
                prompt=text,
                temperature=0.7,
                stop=("\n",),
                seed=draw_seed(rng),
                conversation=seed.id,
            )
            reply = await engine(request)
            if not reply.text.strip():
                raise ReadingError(f"turn {number + 1} is empty", reply.text)
            turns.append(Turn(speaker, reply.text.strip()))
            text += f" {turns[-1].text}\n"
        return Dialogue(seed.id, tuple(turns))

    def filters(self, engine: Engine) -> Sequence[Filter]:
        """Everything is kept."""
        return ()

    def across(self) -> Sequence[Across]:
        """Nothing is compared."""
        return ()


def parser() -> argparse.ArgumentParser:
    """The flags."""
    made = argparse.ArgumentParser(
        "python -m synthesis.bench",
        description="Plain conversations through the whole path, to see what endpoints take.",
        allow_abbrev=False,
    )
    add = made.add_argument
    add("--endpoint", metavar="URL", action="append", required=True, help="may be repeated; key from TGI_API_KEY")
    add("--model", help="which of the endpoint's models")
    add("--conversations", type=positive, default=100, metavar="N", help="how many (default: 100)")
    add("--turns", type=positive, default=6, metavar="T", help="turns of each (default: 6)")
    add("--tokens", type=positive, default=64, metavar="M", help="tokens of a turn at most (default: 64)")
    add("--in-flight", type=positive, default=64, metavar="K", help="conversations side by side (default: 64)")
    add("--seed", type=int, default=0, help="of the sampling seeds (default: 0)")
    add("--patience", type=seconds, default=300.0, metavar="S", help="seconds to wait when no endpoint answers")
    add("--out", type=Path, metavar="DIR", help="keep the run there, and go on with it (default: a temporary folder)")
    add("--json", action="store_true", help="print one JSON object")
    return made


async def bench(flags: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Runs the conversations; what there is to say of them. Raises what `connect` and `run` raise."""
    from synthesis.engines.connect import connect
    from synthesis.engines.journal import Journal
    from synthesis.engines.retry import Backoff
    from synthesis.engines.traffic import Asked, Traffic
    from synthesis.run import Plan, run

    seldom()
    traffic, backoff = Traffic(), Backoff(patience=flags.patience)
    async with connect(
        *flags.endpoint, model=flags.model, concurrency=flags.in_flight, backoff=backoff, traffic=traffic
    ) as (engine, info):
        recipe = Plain(flags.turns, flags.tokens)
        plan = Plan(recipe, "improved", folder, flags.conversations, flags.seed, info, in_flight=flags.in_flight)
        plan.claim()
        begun = time.monotonic()
        async with Journal(Asked(engine, traffic), folder / "journal.sqlite", info.name) as journal:
            facts = await run(plan, journal, lambda *_: None, settle=journal.settle)
        wall = time.monotonic() - begun
    told = traffic.facts()
    return {
        **{name: facts["counts"][name] for name in ("kept", "dropped", "failed")},
        "seconds": round(wall, 3),
        "requests_per_second": round(told["answered"] / wall, 1),
        "tokens_per_second": round(told["tokens_out"] / wall, 1),
        **{name: value for name, value in told.items() if name not in ("roles", "stages")},
    }


def shown(told: Mapping[str, Any]) -> str:
    """What `bench` returns, for people."""
    latency = ", ".join(f"{name} {value} s" for name, value in told["latency"].items() if value is not None)
    faults = ", ".join(f"{count} {kind}" for kind, count in told["faults"].items()) or "none"
    return "\n".join(
        (
            f"conversations  {told['kept']} kept, {told['dropped']} dropped, {told['failed']} failed",
            f"wall time      {told['seconds']:.2f} s",
            f"requests       {told['requests']}, of which {told['retries']} retries; "
            f"{told['requests_per_second']:g} replies/s",
            f"429 and 503    {told['overloaded']}",
            f"faults         {faults}",
            f"tokens         {told['tokens_in']} in, {told['tokens_out']} out; {told['tokens_per_second']:g} out/s",
            f"latency        {latency or 'no reply'}",
        )
    )


async def _bench(flags: argparse.Namespace) -> dict[str, Any]:
    if flags.out:
        with disk(flags.out):
            flags.out.mkdir(parents=True, exist_ok=True)
        return await bench(flags, flags.out)
    with tempfile.TemporaryDirectory(prefix="parley-bench-") as folder:
        return await bench(flags, Path(folder))


def main(arguments: list[str]) -> int:
    """Exit status: 0 done, 1 failures, 2 the user's mistake, 130 interrupted."""
    flags = parser().parse_args(arguments)
    try:
        told = asyncio.run(_bench(flags))
    except ParleyError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_status
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130
    print(json.dumps(told) if flags.json else shown(told))
    return 1 if told["failed"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
