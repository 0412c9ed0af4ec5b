"""Coverage: what training on synthetic data reaches of what training on as much real data reaches.

The protocol of arXiv 2409.19020, section 5.2, with its holes closed: a result before training, and for each seed one
after training on real (in-domain) and one on synthetic pairs, as many of each, all measured on the same test pairs in
the same way. Coverage of a number is synthetic / in-domain by seed, capped at 1, so that no number can make up for
another; the published 90 % owe much to uncapped ones. The floor is what the model covers before any training: a
coverage near it says nothing for the data.
"""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from synthesis.errors import UserError
from synthesis.storage import parse, read_text

FIELDS = {"task", "model", "base", "condition", "training", "test", "settings", "scores"}
BEFORE, IN_DOMAIN, SYNTHETIC = CONDITIONS = ("before", "in-domain", "synthetic")


@dataclass(frozen=True, slots=True)
class Spread:
    """Mean over seeds, sample standard deviation, and the 95 % interval of the mean by Student's t.

    The last two are None with a single seed. The interval of a share ends at its bounds.
    """

    mean: float
    sd: float | None = None
    interval: tuple[float, float] | None = None

    @classmethod
    def of(cls, values: Sequence[float], shares: bool = False) -> Spread:
        """Of at least one value; the interval of `shares` is cut at 0 and 1."""
        mean = statistics.fmean(values)
        if len(values) == 1:
            return cls(mean)
        from scipy.stats import t

        sd = statistics.stdev(values)
        reach = float(t.ppf(0.975, len(values) - 1)) * sd / math.sqrt(len(values))
        low, high = mean - reach, mean + reach
        return cls(mean, sd, (max(0.0, low), min(1.0, high)) if shares else (low, high))


@dataclass(frozen=True, slots=True)
class Row:
    """One number of one model. `improvement`: (synthetic - before) / before, `floor`: coverage before training.

    Those that would divide by nothing are None.
    """

    model: str
    metric: str
    before: float
    in_domain: Spread
    synthetic: Spread
    improvement: float | None
    floor: float | None
    coverage: Spread | None


@dataclass(frozen=True, slots=True)
class Table:
    """Rows by model and metric; `overall`: coverage by metric over the models, and over all rows under "all"."""

    seeds: tuple[int, ...]
    rows: tuple[Row, ...]
    overall: Mapping[str, Spread]

    def to_json(self) -> dict[str, Any]:
        """As plain JSON."""
        return asdict(self)

    def __str__(self) -> str:
        head = ("model", "metric", *CONDITIONS, "improved", "floor", "coverage", "95 % interval")
        lines: list[tuple[str, ...]] = [head]
        lines += [
            (
                row.model,
                row.metric,
                f"{row.before:.4f}",
                _shown(row.in_domain, ".4f"),
                _shown(row.synthetic, ".4f"),
                _percent(row.improvement, "+.1%"),
                _percent(row.floor, ".1%"),
                *_covered(row.coverage),
            )
            for row in self.rows
        ]
        lines += [("all models" if name != "all" else "all", "" if name == "all" else name, *[""] * 5, *_covered(each))
                  for name, each in self.overall.items()]  # fmt: skip
        widths = [max(len(line[at]) for line in lines) for at in range(len(head))]
        return "\n".join(
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
        )


def _shown(spread: Spread, form: str) -> str:
    return f"{spread.mean:{form}}" + (f" ± {spread.sd:{form}}" if spread.sd is not None else "")


def _percent(value: float | None, form: str) -> str:
    return "–" if value is None else f"{value:{form}}"


def _covered(spread: Spread | None) -> tuple[str, str]:
    if spread is None:
        return "–", "–"
    ends = spread.interval
    return _shown(spread, ".1%"), f"{ends[0]:.1%} to {ends[1]:.1%}" if ends else "–"


def ratio(value: float, of: float) -> float | None:
    """`value` / `of`, at most 1; None where `of` is not above 0."""
    return min(1.0, value / of) if of > 0 else None


def read_results(paths: Sequence[Path]) -> dict[str, dict[str, dict[int, dict[str, Any]]]]:
    """Results of `training.evaluate` by model, condition and seed (0 before training).

    Raises UserError for a file that is none, for results that cannot be compared, and for one that is there twice.
    """
    found: dict[str, dict[str, dict[int, dict[str, Any]]]] = {}
    first: tuple[Path, dict[str, Any]] | None = None
    for path in paths:
        result = _read(path)
        first = first or (path, result)
        for same in ("task", "test", "settings"):
            if result[same] != first[1][same]:
                raise UserError(
                    f"{path} and {first[0]} differ in {same}: {_short(result[same])} and {_short(first[1][same])}; "
                    "compare results of one test set, measured alike"
                )
        seed = 0 if result["condition"] == BEFORE else result["training"]["seed"]
        seeds = found.setdefault(result["base"], {}).setdefault(result["condition"], {})
        if seed in seeds:
            raise UserError(f"{path}: a second result of {result['base']}, {result['condition']}, seed {seed}")
        seeds[seed] = result
    return found


def _read(path: Path) -> dict[str, Any]:
    """One result. Raises UserError for another file, and for a result that does not say what it is a result of."""
    result = parse(read_text(path, "result"), str(path))
    if not isinstance(result, dict) or not result.keys() >= FIELDS:
        raise UserError(f"{path}: not a result of training.evaluate")
    if result["condition"] not in CONDITIONS:
        raise UserError(f"{path}: its condition is {result['condition']!r}; evaluate it with --condition")
    if result["condition"] != BEFORE and not result["training"]:
        raise UserError(f"{path}: {result['model']} has no facts.json; evaluate the folder that training.seq2seq made")
    return result


def _short(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)[:200]


def table(paths: Sequence[Path]) -> Table:
    """The table of some results. Raises UserError as `read_results` does, and when a model's are not complete."""
    models = read_results(paths)
    seeds: list[int] | None = None
    rows: list[Row] = []
    shares: dict[tuple[str, str], list[float]] = {}
    for model, conditions in models.items():
        its = _complete(model, conditions)
        seeds = seeds or its
        if seeds != its:
            raise UserError(f"{model} has seeds {its}, another model {seeds}; every model needs the same")
        for metric in conditions[BEFORE][0]["scores"]:
            row, by_seed = _row(model, metric, conditions, seeds)
            rows.append(row)
            if by_seed:
                shares[model, metric] = by_seed
    if seeds is None:
        raise UserError("no results; give the result.json files of training.evaluate")
    metrics = list(dict.fromkeys(metric for _, metric in shares))
    groups = {name: [each for (_, metric), each in shares.items() if metric == name] for name in metrics}
    if shares:
        groups["all"] = list(shares.values())
    overall = {
        name: Spread.of([statistics.fmean(at) for at in zip(*each, strict=True)], shares=True)
        for name, each in groups.items()
    }
    return Table(tuple(seeds), tuple(rows), overall)


def _complete(model: str, conditions: Mapping[str, Mapping[int, Mapping[str, Any]]]) -> list[int]:
    """The seeds of a model's results, which are all there and were trained on as many pairs."""
    for condition in CONDITIONS:
        if condition not in conditions:
            raise UserError(f"{model} has no result {condition!r}; give one of each of {', '.join(CONDITIONS)}")
    real, synthetic = sorted(conditions[IN_DOMAIN]), sorted(conditions[SYNTHETIC])
    if real != synthetic:
        raise UserError(f"{model}: seeds {real} are in-domain and {synthetic} synthetic; both need the same")
    trained = [conditions[condition][seed] for condition in (IN_DOMAIN, SYNTHETIC) for seed in real]
    sizes = sorted({result["training"]["examples"] for result in trained})
    if len(sizes) > 1:
        raise UserError(f"{model} was trained on {sizes} pairs; in-domain and synthetic must have as many")
    names = [list(result["scores"]) for result in [*trained, conditions[BEFORE][0]]]
    if any(each != names[0] for each in names):
        raise UserError(f"{model}: results do not have the same numbers: {names[0]} and others; evaluate them alike")
    return real


def _row(
    model: str, metric: str, conditions: Mapping[str, Mapping[int, Mapping[str, Any]]], seeds: Sequence[int]
) -> tuple[Row, list[float]]:
    """The row, and coverage by seed; empty when one seed has none."""
    before = conditions[BEFORE][0]["scores"][metric]
    real, synthetic = (
        [conditions[condition][seed]["scores"][metric] for seed in seeds] for condition in (IN_DOMAIN, SYNTHETIC)
    )
    shares = [
        share for ours, theirs in zip(synthetic, real, strict=True) if (share := ratio(ours, theirs)) is not None
    ]
    whole = shares if len(shares) == len(seeds) else []
    in_domain, made = Spread.of(real), Spread.of(synthetic)
    return Row(
        model,
        metric,
        before,
        in_domain,
        made,
        (made.mean - before) / before if before > 0 else None,
        ratio(before, in_domain.mean),
        Spread.of(whole, shares=True) if whole else None,
    ), whole
