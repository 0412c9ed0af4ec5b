"""python -m synthesis.metrics SOURCE...: what the metrics say of dialogues in any file or dataset, side by side."""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import json
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synthesis.errors import ParleyError, UserError
from synthesis.flag_types import positive

if TYPE_CHECKING:
    from synthesis.dialogue import Dialogue
    from synthesis.measure import Chosen
    from synthesis.measure_table import Column
    from synthesis.metric import Level

EPILOG = """a source is a .jsonl, .json, .csv or .parquet file of dialogues (ours, published Synthetic-Persona-Chat,
DialogSum, SAMSum, chat messages, ShareGPT), the folder of a dataset, or a Hub id; folder and id may go on with a
config and a split.

examples:
  python -m synthesis.metrics runs/spc/dialogues.jsonl --reference human.jsonl
  python -m synthesis.metrics dist/synthetic-persona-chat org/name:default:test --only lexical --only self-bleu
  python -m synthesis.metrics dialogues.jsonl --endpoint http://localhost:3000 --journal judged.sqlite
  python -m synthesis.metrics --about distinct_2
"""


def main(arguments: list[str]) -> int:
    """Exit status: 0 done, 1 some metric could not be had, 2 the user's mistake."""
    flags = _parser().parse_args(arguments)
    try:
        if flags.about is not None:
            from synthesis.measure import page

            print(page(flags.about), end="")
            return 0
        if flags.human:
            return asyncio.run(_against_people(flags))
        if not flags.sources:
            raise UserError("give the dialogues to measure: a file, the folder of a dataset, or a Hub id")
        columns = asyncio.run(_columns(flags))
    except ParleyError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_status
    from synthesis.measure_table import as_json, as_text

    print(as_json(columns) if flags.json else as_text(columns, flags.reference))
    return _told({f"{each.source}: {name}": reason for each in columns for name, reason in each.failed.items()})


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m synthesis.metrics",
        description=str(__doc__).partition(": ")[2],
        epilog=EPILOG,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("sources", nargs="*", metavar="SOURCE", help="file, folder of a dataset, or Hub id")
    add("--json", action="store_true", help="JSON instead of a table")
    add("--only", action="append", default=[], metavar="NAME", help="this metric, or this number; may be given again")
    add("--reference", metavar="SOURCE", help="dialogues to show beside, such as those of people")
    add("--about", nargs="?", const="", metavar="NAME", help="what a metric, or every metric, means; and stop")
    add("--endpoint", action="append", default=[], metavar="URL", help="measure also what needs an engine")
    add("--model", help="which of the endpoint's models")
    add("--journal", type=Path, metavar="FILE", help="keep the engine's replies there, and find them again")
    add("--sample", type=positive, default=100, help="dialogues of each source that an engine judges (default: 100)")
    add(
        "--others",
        metavar="SOURCE",
        help="let an engine choose between each dialogue and that of its id there",
    )
    add("--nli", metavar="MODEL", help="measure also what needs a model for natural language inference, by this one")
    add("--human", type=Path, metavar="FILE", help="hold what scores one dialogue against human scores; and stop")
    add("--level", choices=("turn", "dialogue"), help="judge the last turn in the light of those before, or all")
    return parser


async def _columns(flags: argparse.Namespace) -> list[Column]:
    from synthesis.measure import chosen

    async with _engine(flags) as engine:
        given = {"engine": engine, "nli": flags.nli, "level": flags.level, "others": _others(flags)}
        wanted = chosen(flags.only, {name: value for name, value in given.items() if value is not None})
        sources = [*flags.sources, *([flags.reference] if flags.reference else [])]
        return [await _column(source, wanted, flags.sample) for source in sources]


def _others(flags: argparse.Namespace) -> dict[str, Dialogue] | None:
    from synthesis.dialogue_files import Dialogues
    from synthesis.metrics.pairwise import opponents

    if flags.others and not flags.endpoint:
        raise UserError("--others SOURCE needs an engine that chooses: --endpoint URL")
    return opponents(Dialogues(flags.others)) if flags.others else None


async def _against_people(flags: argparse.Namespace) -> int:
    """Prints every scorer against every human score, as a table or JSON; exit status as of `main`."""
    from synthesis.measure import chosen
    from synthesis.metrics.human import agreement_table, rendered

    if flags.sources or flags.reference or flags.others:
        raise UserError("--human FILE brings its own dialogues; leave out SOURCE, --reference and --others")
    level: Level = flags.level or "dialogue"
    async with _engine(flags) as engine:
        given = {"engine": engine, "nli": flags.nli, "level": level}
        wanted = chosen(flags.only, {name: value for name, value in given.items() if value is not None})
        of_all = [name for name, metric in wanted.metrics.items() if not hasattr(metric, "score")]
        if flags.only and of_all:
            raise UserError(f"{of_all[0]} says nothing of a single dialogue; --human takes metrics that do")
        scorers = {name: each for name, each in wanted.metrics.items() if name not in ("baselines", *of_all)}
        table = await agreement_table(flags.human, level, scorers)
    rows = tuple(row for row in table.rows if row.baseline or wanted.shows(row.metric))
    table = dataclasses.replace(table, rows=rows)
    print(json.dumps(dataclasses.asdict(table), indent=2) if flags.json else rendered(table))
    return _told({f"{flags.human}: {name}": reason for name, reason in table.failed.items()})


def _told(failed: Mapping[str, object]) -> int:
    """Says why there are no numbers, or not all; exit status."""
    for where, reason in failed.items():
        print(f"error: {where}: {reason}", file=sys.stderr)
    return int(bool(failed))


async def _column(source: str, wanted: Chosen, sample: int) -> Column:
    from synthesis.dialogue_files import Dialogues
    from synthesis.measure import measured
    from synthesis.measure_table import Column

    dialogues = Dialogues(source)
    published = _published(dialogues) if wanted.numbers is None else {}
    numbers, failed = await measured(dialogues, wanted, sample)
    return Column(source, numbers, failed, dialogues.issues, dialogues.quarantined, published)


def _published(dialogues: Any) -> dict[str, float]:
    """The table of a file in the published form of Synthetic-Persona-Chat; empty for any other."""
    from synthesis.dialogue_forms import SPC_COLUMNS
    from synthesis.spc_table import spc_table
    from synthesis.storage import read_csv

    path = Path(dialogues.source)
    if path.suffix.lower() != ".csv":
        return {}
    rows = [row for _, row in read_csv(path, "dialogues")]
    return spc_table(rows) if rows[0].keys() >= set(SPC_COLUMNS) else {}


@asynccontextmanager
async def _engine(flags: argparse.Namespace) -> AsyncIterator[Any]:
    """The engine at the endpoints, with the journal around it; None where no endpoint was named."""
    if not flags.endpoint:
        if flags.journal or flags.model:
            raise UserError("--journal and --model go with --endpoint URL")
        yield None
        return
    from synthesis.engines.connect import connect
    from synthesis.engines.journal import Journal

    async with AsyncExitStack() as stack:
        engine, info = await stack.enter_async_context(connect(*flags.endpoint, model=flags.model))
        if flags.journal:
            engine = await stack.enter_async_context(Journal(engine, flags.journal, info.name))
        yield engine


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
