"""python -m synthesis RECIPE: runs a recipe against an endpoint, or against the embedded server that it starts."""

from __future__ import annotations

import asyncio
import logging
import shlex
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synthesis.command import describe, endpoints, named_models, parse, recipe_class
from synthesis.engine import CRITIC, GENERATOR, Info, models_of
from synthesis.errors import ParleyError, UserError
from synthesis.recipe import make

if TYPE_CHECKING:
    import argparse

    from synthesis.engine import Engine, Models
    from synthesis.engines.traffic import Traffic
    from synthesis.run import Plan

INTERRUPTED = 130


def main(arguments: list[str]) -> int:
    """Exit status: 0 done, 1 failures, 2 the user's mistake, 130 interrupted."""
    try:
        flags, values = parse(arguments)
        recipe = make(recipe_class(flags.recipe), flags.preset, values)
        if flags.fields:
            print(describe(recipe))
            return 0
        _tell()
        return asyncio.run(_run(flags, recipe, "python -m synthesis " + shlex.join(arguments)))
    except ParleyError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_status
    except KeyboardInterrupt:
        print("stopped; the same command goes on from here", file=sys.stderr)
        return INTERRUPTED


def _tell() -> None:
    """What the recipes report on the way, on standard error."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger = logging.getLogger("synthesis")
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)


async def _run(flags: argparse.Namespace, recipe: Any, command: str) -> int:
    from synthesis.engines.traffic import Asked, Traffic
    from synthesis.run import Plan

    _check(flags)
    folder: Path = flags.out or Path("runs") / flags.recipe
    traffic = Traffic()
    async with _engine(flags, folder, traffic) as (engine, infos):
        info, critic = infos[GENERATOR], infos[CRITIC] if infos[CRITIC].name != infos[GENERATOR].name else None
        plan = Plan(
            recipe, flags.preset, folder, flags.n, flags.seed, info, flags.shard, flags.in_flight, command, critic
        )
        asked = Asked(engine, traffic) if engine else None
        if flags.dry_run:
            from synthesis.dry_run import estimate
            from synthesis.engines.journal import Journal

            print(await estimate(plan, traffic, lambda path: Journal(asked, path, models_of(infos))))
            return 0
        free = not (folder / "run.json").exists()
        try:
            facts = await _made(flags, plan, asked, models_of(infos), traffic)
        except UserError:
            if free:
                plan.withdraw()
            raise
    return _report(facts, folder, flags.max_failures)


def _check(flags: argparse.Namespace) -> None:
    named = flags.model or flags.generator_model or flags.critic_model
    if flags.replay and (flags.dry_run or endpoints(flags) or named):
        raise UserError("--replay asks nobody: it goes without endpoints, models and --dry-run")
    if flags.retry_failed and (flags.dry_run or flags.replay):
        raise UserError("--retry-failed asks again: it goes without --dry-run and --replay")


async def _made(
    flags: argparse.Namespace, plan: Plan, engine: Engine | None, models: Models, traffic: Traffic
) -> dict[str, Any]:
    """run.json of the run, made with its journal while it is shown in line and on the metrics page, and recorded."""
    from synthesis.engines.journal import Journal
    from synthesis.garbage import seldom
    from synthesis.glance import glance
    from synthesis.openmetrics import page, served
    from synthesis.price import Price
    from synthesis.progress import Progress
    from synthesis.run import run
    from synthesis.traffic_files import recorded

    (plan.reopen if flags.replay else plan.retry if flags.retry_failed else plan.claim)()
    priced = flags.price_in is not None or flags.price_out is not None
    price = Price(flags.price_in or 0.0, flags.price_out or 0.0) if priced else None
    name = "journal.sqlite" if plan.shard.count == 1 else f"journal-{plan.shard}.sqlite"

    seldom()
    async with recorded(traffic, plan.folder, plan.shard) as record:
        earlier = record.earlier.whole()
        spent = price.of(earlier.tokens_in, earlier.tokens_out) if price else 0.0
        with Progress(traffic if engine else None, price, spent) as show:
            async with (
                served(flags.metrics_port, lambda: page(traffic, show.counts)) as address,
                Journal(engine, plan.folder / name, models) as journal,
            ):
                if address:
                    print(f"metrics: {address}", file=sys.stderr)

                def settle() -> None:
                    journal.settle()
                    record.write()

                def told() -> dict[str, Any]:
                    return record.facts(price) | {"metrics": glance(plan.folder)}

                return await run(plan, journal, show, told, settle)


@asynccontextmanager
async def _engine(
    flags: argparse.Namespace, folder: Path, traffic: Traffic
) -> AsyncIterator[tuple[Engine | None, Mapping[str, Info]]]:
    """The endpoints that were named, the embedded server, or for a replay nobody; and what serves each role."""
    if flags.replay:
        yield None, _infos_of(folder)
        return
    from synthesis.engines.connect import connect_roles
    from synthesis.engines.retry import Backoff

    how: dict[str, Any] = {
        "concurrency": 4 * flags.in_flight,
        "backoff": Backoff(patience=flags.patience),
        "traffic": traffic,
    }
    if named := endpoints(flags):
        async with connect_roles(named, model=named_models(flags), **how) as both:
            yield both
        return
    from synthesis.embedded_model import chosen
    from synthesis.server.launch import serve

    model, name = chosen(named_models(flags)[GENERATOR])
    print(f"starting the embedded server with {name}", file=sys.stderr)
    async with (
        serve(model, threads=flags.threads, options=("--model-id", name)) as url,
        connect_roles({GENERATOR: [url], CRITIC: [url]}, environ={}, **how) as both,
    ):
        yield both


def _infos_of(folder: Path) -> Mapping[str, Info]:
    """The models of an earlier run by role, from its run.json."""
    from synthesis.storage import parse as parse_json
    from synthesis.storage import read_text

    path = folder / "run.json"
    if not path.exists():
        raise UserError(f"--replay: {folder} holds no run; give the --out of a finished one")
    facts = parse_json(read_text(path, "run"), str(path))
    each = {GENERATOR: facts, CRITIC: facts.get("critic") or facts}
    return {role: Info(at["model"], at["dialect"], at["revision"]) for role, at in each.items()}


def _report(facts: dict[str, Any], folder: Path, max_failures: float) -> int:
    """Prints the funnel; 1 when more seeds failed than allowed."""
    counts = facts["counts"]
    print(
        f"{folder}: {counts['kept']} kept, {counts['dropped']} dropped, {counts['failed']} failed "
        f"of {counts['seeds']} seeds"
    )
    for reason, count in facts["funnel"][-1]["dropped"].items():
        print(f"  dropped by {reason}: {count}")
    if counts["failed"] > max_failures * counts["seeds"]:
        print(
            f"error: {counts['failed']} of {counts['seeds']} seeds failed, more than --max-failures {max_failures:g}; "
            f"see {folder / 'failed.jsonl'}",
            file=sys.stderr,
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
