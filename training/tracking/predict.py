"""States predicted: `python -m training.tracking.predict --data SOURCE --ontology DIR --model M --out PREDS.jsonl`.

A model that training.sft trained on training.tracking.examples is asked, by greedy search, for the state after every
turn of the user; --form and --schema are those of its examples. It is served by the embedded server, or elsewhere
(--endpoint). With --grammar it can only write slots of the ontology and, for those with a closed list, its values.
The reply that cannot be read counts as an empty state and is counted. Replies are kept in a journal beside the
predictions, so that the same command goes on where it was stopped. `python -m training.evaluate dst` scores the file.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from synthesis.asking import Account
from synthesis.dialogue import Dialogue, to_json
from synthesis.engine import Engine, Info
from synthesis.errors import UserError
from synthesis.flag_types import positive
from synthesis.run import VERSION
from synthesis.storage import dump, readable, write_json, write_jsonl
from synthesis.task_oriented.corpora.reading import read
from training.command import told
from training.conversations import named, token_count
from training.facts import lineage
from training.rows import digest
from training.tracking.prompts import FORMS, form_of
from training.tracking.tracker import Tracker, Written

LONGEST = 2048
"""Tokens of prompt and reply where the model has room for more: a row of 1,536 tokens and a reply of 500 fit."""


def parser() -> argparse.ArgumentParser:
    """The flags."""
    made = argparse.ArgumentParser("python -m training.tracking.predict", description=__doc__, allow_abbrev=False)
    add = made.add_argument
    who = made.add_mutually_exclusive_group(required=True)
    who.add_argument("--model", metavar="M", help="folder or Hub id of a whole causal model, adapters merged")
    who.add_argument("--endpoint", nargs="+", metavar="URL", help="servers that have the model")
    add("--endpoint-model", metavar="NAME", help="which model of an endpoint that has several")
    add("--data", required=True, metavar="SOURCE", help="dialogues: corpus, run folder, file, or folder:config:split")
    add("--ontology", type=Path, required=True, metavar="DIR", help="folder with schema.json")
    add("--out", type=Path, required=True, metavar="FILE", help="JSONL to write")
    add("--form", choices=FORMS, default=FORMS[0], help="what the model learned (default: cumulative)")
    add("--schema", action="store_true", help="slots and their values stand in the prompt")
    add("--turns", type=positive, metavar="N", help="the last N turns in a prompt, as in the examples (default: all)")
    add("--grammar", action="store_true", help="the reply is held to the ontology (needs a TGI server or --model)")
    add("--max-new-tokens", type=positive, default=500, metavar="N", help="tokens of a reply (default: 500)")
    add(
        "--max-length",
        type=positive,
        metavar="N",
        help=f"tokens of prompt and reply, for which the oldest turns go (default: {LONGEST}, or what the model has)",
    )
    add(
        "--tokenizer",
        metavar="M",
        help="whose tokens count (default: of --model; an endpoint without: nothing is cut)",
    )
    add("--journal", type=Path, metavar="FILE", help="where replies are kept (default: beside --out)")
    add("--dtype", choices=("bfloat16", "float32"), default="bfloat16", help="of --model (default: bfloat16)")
    add("--threads", type=positive, default=1, metavar="N", help="CPU threads for --model (default: 1)")
    add("--facts", type=Path, metavar="FILE", help="how it went (default: beside --out)")
    return made


def main(argv: Sequence[str] | None = None) -> None:
    flags = parser().parse_args(argv)
    if flags.endpoint_model and not flags.endpoint:
        raise UserError("--endpoint-model names a model of an endpoint: give --endpoint URL, or --model alone")
    dialogues = read(flags.data)
    written, about = asyncio.run(_predicted(flags, dialogues))
    if not written:
        raise UserError(f"{flags.data}: no turn of the user in {len(dialogues)} dialogues, so nothing to predict")
    write_jsonl(flags.out, (one.to_json() for one in written))
    facts = about | _facts(flags, dialogues, written)
    write_json(flags.facts or flags.out.with_suffix(".facts.json"), facts)
    reasons = ", ".join(f"{number} {reason}" for reason, number in facts["invalid"].items())
    cut = f"; {facts['histories_cut']} with part of their history" if facts["histories_cut"] else ""
    print(f"{flags.out}: {len(written)} states of {len(dialogues)} dialogues; {reasons or 'all can be read'}{cut}")


async def _predicted(flags: argparse.Namespace, dialogues: Sequence[Dialogue]) -> tuple[list[Written], dict[str, Any]]:
    """All states, and what was asked of whom."""
    form = form_of(flags.form, flags.ontology, flags.schema)
    async with _engine(flags) as (engine, info):
        longest = flags.max_length or min(LONGEST, info.max_total_tokens or LONGEST)
        if longest <= flags.max_new_tokens:
            raise UserError(
                f"a prompt and its reply may have {longest} tokens together and the reply alone "
                f"{flags.max_new_tokens}: lower --max-new-tokens"
            )
        fits = _fits(flags, longest - flags.max_new_tokens)
        account = Account(engine)
        tracker = Tracker(account, form, flags.max_new_tokens, flags.grammar, fits, flags.turns)
        written = await tracker.states(dialogues)
    used = {"requests": 0, "tokens_in": 0, "tokens_out": 0}
    for stage in account.stages():
        used = {name: number + getattr(stage, name) for name, number in used.items()}
    model = {"model": flags.model, **lineage(flags.model)} if flags.model else {"model": info.name}
    return written, {**model, "dialect": info.dialect, "max_length": longest, **used}


def _fits(flags: argparse.Namespace, room: int) -> Callable[[str], bool]:
    """Whether a prompt has no more tokens than `room`; all fit where nobody said whose tokens."""
    name = flags.tokenizer or flags.model
    if name is None:
        return lambda text: True
    from synthesis.embedded_model import chosen

    count = token_count(flags.tokenizer or str(chosen(flags.model)[0]), 0)
    return lambda text: count(text) <= room


@asynccontextmanager
async def _engine(flags: argparse.Namespace) -> AsyncIterator[tuple[Engine, Info]]:
    """The engine, with the journal around it. A folder's replies are kept by its content, for it may be trained on."""
    from synthesis.engines.connect import connect
    from synthesis.engines.journal import Journal

    journal = flags.journal or flags.out.with_suffix(".journal.sqlite")
    if flags.endpoint:
        async with (
            connect(*flags.endpoint, model=flags.endpoint_model) as (engine, info),
            Journal(engine, journal, info.name) as kept,
        ):
            yield kept, info
        return
    from synthesis.embedded_model import chosen
    from synthesis.server.launch import serve

    folder, name = chosen(flags.model)
    async with (
        serve(folder, threads=flags.threads, dtype=flags.dtype, options=("--model-id", name)) as url,
        connect(url, environ={}) as (engine, info),
        Journal(engine, journal, f"{info.name} {flags.dtype} {content(folder)}") as kept,
    ):
        yield kept, info


def content(folder: Path) -> str:
    """SHA-256 over what a model's folder holds of weights, tokenizer and settings, in hexadecimal."""
    made = hashlib.sha256()
    for path in sorted([*folder.glob("*.safetensors"), *folder.glob("*token*"), *folder.glob("*config.json")]):
        with readable(path, "model"), path.open("rb") as stream:
            made.update(path.name.encode() + hashlib.file_digest(stream, "sha256").digest())
    return made.hexdigest()


def _facts(flags: argparse.Namespace, dialogues: Sequence[Dialogue], written: Sequence[Written]) -> dict[str, Any]:
    return {
        "data": {
            "source": named(flags.data),
            "dialogues": len(dialogues),
            "turns": len(written),
            "sha256": digest(dump(to_json(dialogue)) for dialogue in dialogues),
        },
        **{"form": flags.form, "schema": flags.schema, "turns": flags.turns, "grammar": flags.grammar},
        **{"decoding": "greedy", "max_new_tokens": flags.max_new_tokens},
        "invalid": dict(Counter(one.invalid for one in written if one.invalid)),
        "histories_cut": sum(bool(one.turns_cut) for one in written),
        "versions": {"parley": VERSION} | {package: version(package) for package in ("torch", "transformers")},
    }


if __name__ == "__main__":
    sys.exit(told(main))
