"""Measures a dialogue model on held-out dialogues: `python -m training.scores --corpus FILE [--model M] --out DIR`.

The model is a folder, a Hub id or behind an endpoint. Writes scores.json (all numbers), samples.json (dialogues of
every recipe), result.json (for the model's card) and embedded.md, the page for docs/, beside the scores of the first
embedded model, which the same command measured.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from synthesis.dialogue import to_json
from synthesis.embedded_model import chosen
from synthesis.engine import Engine, Info
from synthesis.flag_types import positive
from synthesis.run import VERSION
from synthesis.storage import parse, read_text, write_json
from training.command import told
from training.scores import first_try, formats, held_out, perplexity, report, verdicts

FIRST = Path(__file__).with_name("first.json")
"""Scores of the first embedded model."""

SIZES = {"texts": (20, 1), "dialogues": (150, 6), "verdicts": (120, 4), "runs": (12, 2)}
"""Usual and quick: transcripts a source, written dialogues, judged dialogues, seeds of each form of a recipe."""


def parser() -> argparse.ArgumentParser:
    """The flags."""
    made = argparse.ArgumentParser("python -m training.scores", description=__doc__, allow_abbrev=False)
    add = made.add_argument
    add("--corpus", type=Path, required=True, help="JSONL.gz of dialogues, as the training had it")
    add("--model", help="folder or Hub id; with --endpoint: which of its models (default: the embedded one)")
    add("--endpoint", metavar="URL", action="append", default=[], help="who serves it; key from TGI_API_KEY; again")
    add("--out", type=Path, default=Path("runs/embedded/scores"), metavar="DIR", help="default: runs/embedded/scores")
    add("--report", type=Path, metavar="FILE.md", help="where the page goes (default: embedded.md in --out)")
    add(
        "--first", type=Path, metavar="SCORES.json", help="scores to show beside (default: the first embedded model's)"
    )
    add("--seed", type=int, default=0)
    add("--threads", type=positive, default=1, help="threads of the embedded server (default: 1)")
    add("--quick", action="store_true", help="little of everything, to see that it works")
    for name, (usual, quick) in SIZES.items():
        add(f"--{name}", type=positive, metavar="N", help=f"default: {usual}; quick: {quick}")
    return made


def main(argv: Sequence[str] | None = None) -> None:
    """Measures, and writes all files. Raises UserError, EngineError."""
    flags = parser().parse_args(argv)
    sizes = {name: getattr(flags, name) or both[flags.quick] for name, both in SIZES.items()}
    before = flags.first or (FIRST if FIRST.is_file() else None)
    first = parse(read_text(before, "scores"), str(before)) if before else None
    begun = time.monotonic()
    scores, samples, info = asyncio.run(_measured(flags, sizes))
    about = {
        "model": info.model,
        "revision": info.revision,
        "corpus": flags.corpus.name,
        "seed": flags.seed,
        "quick": flags.quick,
        "sizes": sizes,
        "threads": None if flags.endpoint else flags.threads,
        "minutes": round((time.monotonic() - begun) / 60, 1),
        "version": VERSION,
    }
    facts = {"about": about, **scores}
    write_json(flags.out / "scores.json", facts)
    write_json(flags.out / "samples.json", samples)
    write_json(flags.out / "result.json", report.result(facts, first))
    report.write(facts, samples, first, page := flags.report or flags.out / "embedded.md")
    print(f"{flags.out / 'scores.json'}, {page}")


async def _measured(
    flags: argparse.Namespace, sizes: dict[str, int]
) -> tuple[dict[str, Any], dict[str, list[Any]], Info]:
    """All scores, samples by recipe, and what served them."""
    seed, found = flags.seed, held_out.read(flags.corpus, flags.seed)
    parts = held_out.drawn(found.parts, sizes["dialogues"], seed)
    async with _served(flags) as (engine, info):
        _tell("perplexity")
        text = await perplexity.of_text(engine, found.told, sizes["texts"], seed)
        chat = await perplexity.of_chat(engine, held_out.drawn(found.parts, 3 * sizes["texts"], seed), seed)
        _tell("persona chat")
        tries = await first_try.written(engine, parts, seed)
        _tell("verdicts")
        asked = verdicts.questions(held_out.drawn(found.parts, sizes["verdicts"], seed), seed)
        judged = await verdicts.asked(engine, asked)
        runs = [each async for each in _runs(engine, info, sizes["runs"], seed)]
    samples = {name: [to_json(each) for each in kept] for name, kept in formats.samples(runs).items()}
    scores = {
        "perplexity": {"text": perplexity.facts(text), "chat": perplexity.facts(chat)},
        "persona_chat": await first_try.facts(tries, seed),
        "verdicts": verdicts.facts(judged, seed),
        "formats": formats.facts(runs),
    }
    return scores, samples, info


async def _runs(engine: Engine, info: Info, n: int, seed: int) -> AsyncIterator[formats.Ran]:
    """Every form of every recipe with its grammars, then without."""
    for form in formats.FORMS:
        for free in (False, True):
            _tell(f"{form}, {'without' if free else 'with'} grammar")
            yield await formats.ran(form, engine, info, n, seed, free=free)


@asynccontextmanager
async def _served(flags: argparse.Namespace) -> AsyncIterator[tuple[Engine, Info]]:
    """The endpoints, or the embedded server started for the model."""
    from synthesis.engines.connect import connect
    from synthesis.server.launch import serve

    if flags.endpoint:
        async with connect(*flags.endpoint, model=flags.model) as both:
            yield both
        return
    model, name = chosen(flags.model)
    async with (
        serve(model, threads=flags.threads, options=("--model-id", name)) as url,
        connect(url, environ={}) as both,
    ):
        yield both


def _tell(what: str) -> None:
    print(what, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(told(main))
