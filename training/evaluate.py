"""Evaluation of trained models: `python -m training.evaluate TASK --model M --data D`.

`summarise` measures summaries of dialogues, `qa` answers to questions about documents. Both write result.json
(scores, and all they depend on) and predictions.jsonl (what was written, scored one by one) into a folder;
`intents` writes the result.json of a classifier and its baseline, `dst` that of belief states that were predicted;
`table RESULT.json...` tells the coverage.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from synthesis.encoder import OFFLINE
from synthesis.errors import Failure
from synthesis.flag_types import positive, share
from synthesis.metric import averaged
from synthesis.run import VERSION
from synthesis.storage import disk, write_json, write_jsonl
from training import evaluate_dst, evaluate_qa
from training.command import told
from training.coverage import CONDITIONS, table
from training.facts import lineage
from training.generation import Decoding, generate
from training.intent_files import read as read_utterances
from training.intent_sampling import MAPPINGS
from training.pairs import Lengths, Origin, Pair, fingerprint, sample
from training.summaries import BertScore, Rouge, Scores

PACKAGES = ("torch", "transformers", "rouge-score")


def parser() -> argparse.ArgumentParser:
    """The flags of all subcommands."""
    made = argparse.ArgumentParser("python -m training.evaluate", description=__doc__, allow_abbrev=False)
    tasks = made.add_subparsers(required=True, metavar="TASK")
    one = tasks.add_parser("summarise", help="summaries of dialogues against references", allow_abbrev=False)
    one.add_argument("--model", required=True, help="encoder-decoder: a folder or Hub id")
    one.add_argument("--data", required=True, help="test pairs: a .jsonl file, a dataset folder or a Hub id")
    one.add_argument("--data-config", default="", metavar="NAME", help="config of the dataset (default: its default)")
    one.add_argument("--out", type=Path, metavar="DIR", help="folder to write (default: runs/evaluate)")
    one.add_argument("--condition", choices=CONDITIONS, help="what the model is in the table of coverage")
    summary_flags(one)
    one.set_defaults(run=summarise)
    asks = tasks.add_parser("qa", help="answers to questions about documents", allow_abbrev=False)
    evaluate_qa.flags(asks)
    asks.set_defaults(run=evaluate_qa.qa)
    two = tasks.add_parser("intents", help="intents of utterances against labels", allow_abbrev=False)
    two.add_argument("--model", type=Path, required=True, help="folder that training.classifier made")
    two.add_argument("--data", required=True, help="labelled utterances: MSDialog, MANtIS, clinc150, a run, a dataset")
    two.add_argument("--mapping", choices=MAPPINGS, default="none", help="their labels renamed (default: none)")
    two.add_argument("--out", type=Path, metavar="DIR", help="folder to write (default: runs/evaluate)")
    two.set_defaults(run=intents)
    states = tasks.add_parser("dst", help="belief states against true ones", allow_abbrev=False)
    evaluate_dst.flags(states)
    states.set_defaults(run=evaluate_dst.dst)
    tab = tasks.add_parser("table", help="coverage, from the results of one protocol", allow_abbrev=False)
    tab.add_argument("results", nargs="+", type=Path, metavar="RESULT.json")
    tab.add_argument("--json", action="store_true", help="print one JSON object")
    tab.set_defaults(run=show_table)
    return made


def summary_flags(one: argparse.ArgumentParser) -> None:
    """How summaries are written and measured: flags that an experiment shares."""
    add, how, bert = one.add_argument, Decoding(), BertScore()
    add("--split", default="validation+test", help="splits of the test pairs (default: validation+test)")
    add("--source-column", default="dialogue", metavar="NAME", help="column with the text (default: dialogue)")
    add("--target-column", default="summary", metavar="NAME", help="column with the reference (default: summary)")
    add("--prefix", default="", metavar="TEXT", help="put before every text (default: none)")
    add("--examples", type=positive, metavar="N", help="so many test pairs, by chance but always the same; not all")
    add("--max-source-length", type=positive, default=1024, metavar="N", help="tokens of a text (default: 1024)")
    add("--batch", type=positive, default=16, metavar="N", help="texts at a time (default: 16)")
    add("--beams", type=positive, default=how.beams, help=f"beams (default: {how.beams})")
    add("--min-length", type=positive, default=how.min_length, metavar="N", help="tokens at least (default: 30)")
    add("--max-length", type=positive, default=how.max_length, metavar="N", help="tokens at most (default: 128)")
    add("--length-penalty", type=float, default=how.length_penalty, metavar="X", help="default: 2.0")
    add("--no-early-stopping", action="store_true", help="beams go on after the first that end")
    add("--no-stems", action="store_true", help="ROUGE without the Porter stemmer")
    add("--encoder", default=bert.encoder, metavar="ID", help=f"of BERTScore (default: {bert.encoder}; or {OFFLINE})")
    add("--layer", type=positive, default=bert.layer, metavar="N", help=f"its layer (default: {bert.layer})")
    add("--endpoint", metavar="URL", action="append", help="who asks and answers for QAGS; without: no QAGS")
    add("--endpoint-model", metavar="ID", help="which of the endpoint's models")
    add("--questions", type=positive, default=3, metavar="N", help="of QAGS for each text (default: 3)")
    add("--journal", type=Path, metavar="FILE", help="of QAGS, may be shared (default: journal.sqlite in --out)")
    add(
        "--max-failures",
        type=share,
        default=0.05,
        metavar="X",
        help="share without QAGS that is bearable (default: .05)",
    )


def summarise(flags: argparse.Namespace) -> None:
    """Writes summaries, measures them, and leaves result.json and predictions.jsonl in --out.

    Raises UserError for models, data and encoders that cannot be used, Failure when too many have no QAGS.
    """
    out: Path = flags.out or Path("runs/evaluate")
    with disk(out):
        out.mkdir(parents=True, exist_ok=True)
        (out / "result.json").unlink(missing_ok=True)
    origin = Origin(flags.data, flags.data_config, flags.split, flags.source_column, flags.target_column)
    pairs = origin.read()
    if flags.examples:
        pairs = sample(pairs, flags.examples, 0)
    summaries, decoding = _written(flags, pairs)
    scores, failed, settings = measured(flags, out, pairs, summaries)
    write_jsonl(out / "predictions.jsonl", _predictions(pairs, summaries, scores, failed))
    if len(failed) > flags.max_failures * len(pairs):
        raise Failure(
            f"{len(failed)} of {len(pairs)} summaries have no QAGS, more than --max-failures {flags.max_failures:g}; "
            f"see failed in {out / 'predictions.jsonl'}"
        )
    means = averaged(scores)
    result = {
        "task": "summarise",
        "model": flags.model,
        **lineage(flags.model),
        "condition": flags.condition,
        "test": {**asdict(origin), "examples": len(pairs), "sha256": fingerprint(pairs)},
        "settings": decoding | settings,
        "scores": means,
        "counted": {name: sum(name in each for each in scores) for name in means},
        "versions": {"parley": VERSION} | {package: version(package) for package in PACKAGES},
    }
    write_json(out / "result.json", result)
    print(f"{out}: " + ", ".join(f"{name} {value:.4f}" for name, value in means.items()))


def _written(flags: argparse.Namespace, pairs: Sequence[Pair]) -> tuple[list[str], dict[str, Any]]:
    """The model's summaries, and the settings that they depend on."""
    from training.seq2seq import load

    how = Decoding(flags.beams, flags.min_length, flags.max_length, flags.length_penalty, not flags.no_early_stopping)
    longest, prefix = flags.max_source_length, flags.prefix
    model, tokenizer = load(flags.model, Lengths(longest, how.max_length))
    sources = [pair.source for pair in pairs]
    summaries = generate(model, tokenizer, sources, how, batch=flags.batch, longest=longest, prefix=prefix)
    return summaries, {"decoding": asdict(how), "prefix": prefix, "max_source_length": longest}


def measured(
    flags: argparse.Namespace, out: Path, pairs: Sequence[Pair], summaries: Sequence[str]
) -> tuple[Scores, dict[int, str], dict[str, Any]]:
    """Numbers by example, why some have no QAGS, and the settings that the numbers depend on."""
    rouge, bert = Rouge(not flags.no_stems), BertScore(flags.encoder, flags.layer)
    settings: dict[str, Any] = {"stems": rouge.stems, "encoder": bert.encoder, "layer": bert.layer}
    references = [pair.target for pair in pairs]
    parts = [rouge(summaries, references), bert(summaries, references)]
    failed: dict[int, str] = {}
    if flags.endpoint:
        journal = flags.journal or out / "journal.sqlite"
        answered, failed, name = asyncio.run(_asked(flags, journal, [pair.source for pair in pairs], summaries))
        parts.append(answered)
        settings |= {"qags": name, "questions": flags.questions}
    return (
        [dict(item for part in each for item in part.items()) for each in zip(*parts, strict=True)],
        failed,
        settings,
    )


async def _asked(
    flags: argparse.Namespace, journal: Path, documents: Sequence[str], summaries: Sequence[str]
) -> tuple[Scores, dict[int, str], str]:
    from synthesis.engines.connect import connect
    from synthesis.engines.journal import Journal
    from training.qags import Qags, scored

    async with (
        connect(*flags.endpoint, model=flags.endpoint_model) as (engine, info),
        Journal(engine, journal, info.name) as kept,
    ):
        found, failed = await scored(Qags(kept, flags.questions), documents, summaries)
        return found, failed, info.name


def _predictions(
    pairs: Sequence[Pair], summaries: Sequence[str], scores: Scores, failed: dict[int, str]
) -> list[dict[str, Any]]:
    return [
        {"where": pair.where, "summary": summary, "reference": pair.target, "scores": each}
        | ({"failed": failed[at]} if at in failed else {})
        for at, (pair, summary, each) in enumerate(zip(pairs, summaries, scores, strict=True))
    ]


def intents(flags: argparse.Namespace) -> None:
    """Leaves result.json in --out: scores of the classifier and its baseline, in all and by label.

    Raises UserError for data that cannot be read, a folder of another kind, and labels that have none in common.
    """
    from training.intent_evaluation import evaluate

    test = MAPPINGS[flags.mapping](read_utterances(flags.data))
    result = evaluate(flags.model, flags.data, test) | {"mapping": flags.mapping}
    out: Path = flags.out or Path("runs/evaluate")
    write_json(out / "result.json", result)
    for name in ("encoder", "baseline"):
        said = ", ".join(f"{key} {value:.4f}" for key, value in result[name]["scores"].items())
        print(f"{out}: {name}: {said}")


def show_table(flags: argparse.Namespace) -> None:
    """Prints the coverage."""
    made = table(flags.results)
    print(json.dumps(made.to_json(), ensure_ascii=False) if flags.json else made)


def main(argv: Sequence[str] | None = None) -> None:
    """Runs a subcommand."""
    flags = parser().parse_args(argv)
    flags.run(flags)


if __name__ == "__main__":
    sys.exit(told(main))
