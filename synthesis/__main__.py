"""python -m synthesis RECIPE: runs a recipe against an endpoint, or against the embedded server that it starts."""

from __future__ import annotations

import asyncio
import logging
import shlex
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synthesis.command import describe, parse, recipe_class
from synthesis.errors import ParleyError, UserError
from synthesis.recipe import make

if TYPE_CHECKING:
    import argparse

    from synthesis.engine import Engine, Info

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
    from synthesis.engines.journal import Journal
    from synthesis.progress import Meter, Progress
    from synthesis.run import Plan, run

    if flags.replay and (flags.dry_run or flags.endpoint or flags.model):
        raise UserError("--replay asks nobody: it goes without --endpoint, --model and --dry-run")
    folder: Path = flags.out or Path("runs") / flags.recipe
    async with _engine(flags, folder) as (engine, info):
        meter = Meter(engine) if engine else None
        plan = Plan(recipe, flags.preset, folder, flags.n, flags.seed, info, flags.shard, flags.in_flight, command)
        if flags.dry_run and meter:
            from synthesis.dry_run import estimate

            print(await estimate(plan, meter, lambda path: Journal(meter, path, _identity(info))))
            return 0
        free = not (folder / "run.json").exists()
        plan.reopen() if flags.replay else plan.claim()
        name = "journal.sqlite" if plan.shard.count == 1 else f"journal-{plan.shard}.sqlite"
        try:
            async with Journal(meter, folder / name, _identity(info)) as journal:
                with Progress(meter) as show:
                    facts = await run(plan, journal, show)
        except UserError:
            if free:
                plan.withdraw()
            raise
    return _report(facts, folder, flags.max_failures)


def _identity(info: Info) -> str:
    """The model's name in the journal: replies of another revision are other replies."""
    return f"{info.model}@{info.revision}" if info.revision else info.model


@asynccontextmanager
async def _engine(flags: argparse.Namespace, folder: Path) -> AsyncIterator[tuple[Engine | None, Info]]:
    """The endpoint that was named, the embedded server, or for a replay nobody."""
    if flags.replay:
        yield None, _info_of(folder)
        return
    from synthesis.engines.connect import connect

    if flags.endpoint:
        async with connect(flags.endpoint, model=flags.model, concurrency=4 * flags.in_flight) as both:
            yield both
        return
    from synthesis.embedded_model import chosen
    from synthesis.server.launch import serve

    model, name = chosen(flags.model)
    print(f"starting the embedded server with {name}", file=sys.stderr)
    async with (
        serve(model, threads=flags.threads, options=("--model-id", name)) as url,
        connect(url, environ={}, concurrency=4 * flags.in_flight) as both,
    ):
        yield both


def _info_of(folder: Path) -> Info:
    """The model of an earlier run, from its run.json."""
    from synthesis.engine import Info
    from synthesis.storage import parse as parse_json
    from synthesis.storage import read_text

    path = folder / "run.json"
    if not path.exists():
        raise UserError(f"--replay: {folder} holds no run; give the --out of a finished one")
    facts = parse_json(read_text(path, "run"), str(path))
    return Info(facts["model"], facts["dialect"], facts["revision"])


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
