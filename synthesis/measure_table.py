"""Measurements as a table, one column a source, and as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from synthesis import spc_table
from synthesis.errors import Failure
from synthesis.measure import about, kinds


@dataclass(frozen=True, slots=True)
class Column:
    """What was found in one source: numbers, why a metric has none, and how the source was read.

    `published`: the numbers of `spc_table`, where the source is in that form.
    """

    source: str
    numbers: Mapping[str, float]
    failed: Mapping[str, Failure]
    issues: Mapping[str, int]
    quarantined: Mapping[str, str]
    published: Mapping[str, float]


def as_json(columns: Sequence[Column]) -> str:
    """A list with an object for each source."""
    told = [
        {
            "source": column.source,
            "numbers": dict(column.numbers),
            "failed": {name: str(error) for name, error in column.failed.items()},
            "issues": dict(column.issues),
            "quarantined": dict(column.quarantined),
            **({"published": dict(column.published)} if column.published else {}),
        }
        for column in columns
    ]
    return json.dumps(told, ensure_ascii=False, indent=2)


def as_text(columns: Sequence[Column], reference: str | None = None) -> str:
    """A row for each number, the sources side by side, and what the number means."""
    heads = [f"{_short(each.source)}{' (reference)' if each.source == reference else ''}" for each in columns]
    meaning = {name: said for kind in kinds().values() for name, said in about(kind).items()}
    blocks = [_block(heads, [each.numbers for each in columns], meaning)]
    if any(each.published for each in columns):
        blocks += ["", "As published, cells unmended:"]
        blocks.append(_block(heads, [each.published for each in columns], spc_table.ABOUT))
    for each in columns:
        if each.issues:
            mended = ", ".join(f"{kind} {count:,}" for kind, count in each.issues.items())
            blocks.append(f"\n{each.source}: rows mended in reading: {mended}")
        blocks += [f"{where}: put aside: {reason}" for where, reason in each.quarantined.items()]
    return "\n".join(blocks)


def _block(heads: Sequence[str], numbers: Sequence[Mapping[str, float]], meaning: Mapping[str, str]) -> str:
    names = list(dict.fromkeys(name for each in numbers for name in each))
    rows = [[name, *(_figure(each.get(name)) for each in numbers), meaning.get(name, "")] for name in names]
    table = [["", *heads, "meaning"], *rows]
    widths = [max(len(row[at]) for row in table) for at in range(len(heads) + 1)]
    return "\n".join(
        "  ".join(
            [
                row[0].ljust(widths[0]),
                *(cell.rjust(width) for cell, width in zip(row[1:-1], widths[1:], strict=True)),
                row[-1],
            ]
        ).rstrip()
        for row in table
    )


def _figure(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.4g}"


def _short(source: str) -> str:
    """`source` without the folders before it."""
    name = source.rstrip("/").rpartition("/")[2]
    return name if len(name) <= 28 else f"…{name[-27:]}"
