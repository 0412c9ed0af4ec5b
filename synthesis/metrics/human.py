"""Human scores: every metric held against what people said of the same dialogues, beside trivial baselines.

A file of human scores is JSONL, one judged dialogue a line:

    {"id", "turns": [{"speaker", "text"}], "personas"?: [[str], [str]], "document"?: str,
     "scores": {name: number or [numbers by rater, null for none]}}

Personas belong to speakers in the order of the speakers' names. The score of several raters is their mean.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from synthesis.dialogue import Dialogue, from_json
from synthesis.errors import UserError
from synthesis.metric import Level, Scorer, tried
from synthesis.metrics.agreement import Coefficient, Correlation, correlate, fleiss, krippendorff
from synthesis.metrics.baselines import Baselines
from synthesis.storage import read_jsonl

_LARGEST = 1e100  # beyond this, and with nan, there is nothing to rank
_FIELDS = ("id", "turns", "personas", "document", "scores")


@dataclass(frozen=True, slots=True)
class Rated:
    """A dialogue and, for each score, what each rater gave (None for no rating); one value where no rater is told."""

    dialogue: Dialogue
    ratings: Mapping[str, tuple[float | None, ...]]

    def score(self, name: str) -> float:
        """The mean rating of the score `name`."""
        given = [value for value in self.ratings[name] if value is not None]
        return sum(given) / len(given)


@dataclass(frozen=True, slots=True)
class Raters:
    """How far the raters of one score agree, where some item has two: Fleiss' kappa, and alpha by scale."""

    score: str
    items: int
    raters: int
    fleiss: float | None
    alpha_nominal: float | None
    alpha_ordinal: float | None
    alpha_interval: float | None


@dataclass(frozen=True, slots=True)
class Row:
    """One metric against one human score, over the items that have both."""

    score: str
    metric: str
    baseline: bool
    correlation: Correlation


@dataclass(frozen=True, slots=True)
class Table:
    """Every metric against every human score, by score and falling size of Spearman's rho, and raters' agreement.

    `failed`: by metric why it has no numbers, or not those of all items.
    """

    path: str
    level: Level
    items: int
    rows: tuple[Row, ...]
    raters: tuple[Raters, ...]
    failed: Mapping[str, str]


def read_human(path: Path) -> tuple[Rated, ...]:
    """The dialogues of a file of human scores. Raises UserError that names the place of what is not in its form."""
    found: dict[str, Rated] = {}
    for where, row in read_jsonl(path, "human scores"):
        rated = _rated(row, f"human scores {where}")
        if rated.dialogue.id in found:
            raise UserError(f"human scores {where}: the id {rated.dialogue.id!r} comes twice; give each item its own")
        found[rated.dialogue.id] = rated
    return tuple(found.values())


def _rated(row: Any, where: str) -> Rated:
    if not isinstance(row, Mapping):
        raise UserError(f"{where}: expected an object with {', '.join(_FIELDS)}, got {type(row).__name__}")
    unknown = sorted(set(row) - set(_FIELDS))
    if unknown:
        raise UserError(f"{where}: unknown fields {unknown}; a judged dialogue has {', '.join(_FIELDS)}")
    plain = {name: row[name] for name in ("id", "turns", "document") if name in row}
    dialogue = from_json(plain | {"personas": _personas(row, where)}, where)
    if not dialogue.turns:
        raise UserError(f"{where}.turns: is empty; a judged dialogue has at least one turn")
    return Rated(dialogue, _scores(row.get("scores"), f"{where}.scores"))


def _personas(row: Mapping[str, Any], where: str) -> list[dict[str, Any]]:
    given = row.get("personas", [])
    if not isinstance(given, list):
        raise UserError(f"{where}.personas: expected a list of lists of sentences, got {type(given).__name__}")
    return [{"id": f"{row.get('id')}-{side}", "traits": traits} for side, traits in enumerate(given, 1)]


def _scores(given: Any, where: str) -> dict[str, tuple[float | None, ...]]:
    if not isinstance(given, Mapping) or not given:
        raise UserError(
            f"{where}: no scores; expected {{name: number or [numbers by rater]}}, got {str(given)[:60]!r}"
        )
    found = {}
    for name, value in given.items():
        ratings = value if isinstance(value, list) else [value]
        known = [each for each in ratings if each is not None]
        if not known or not all(_finite(each) for each in known):
            raise UserError(
                f"{where}.{name}: expected a number, or a list of numbers by rater, got {str(value)[:60]!r}"
            )
        found[name] = tuple(ratings)
    return found


def _finite(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and -_LARGEST < value < _LARGEST


async def agreement_table(
    path: Path, level: Level, scorers: Mapping[str, Scorer], resamples: int = 1000, seed: int = 0
) -> Table:
    """Every number of `scorers`, and of the baselines, against every score of the file `path`.

    `scorers` must be set to `level` themselves. Raises UserError for a file not in form, and for two scorers that give
    the same number; EngineError for an endpoint that is gone.
    """
    rated = read_human(path)
    dialogues = [each.dialogue for each in rated]
    baselines = Baselines(level)
    metrics: dict[str, list[float | None]] = {}
    failed: dict[str, str] = {}
    for name, scorer in {"baselines": baselines, **scorers}.items():
        twice = sorted(metrics.keys() & scorer.about.keys())
        if twice:
            raise UserError(f"two scorers give {twice[0]!r}: hold one of them against human scores at a time")
        found, reason = await tried(scorer, dialogues)
        metrics |= {number: [each.get(number) for each in found] for number in scorer.about}
        if reason is not None:
            failed[name] = str(reason)
    scores = tuple(dict.fromkeys(name for each in rated for name in each.ratings))
    rows = [
        Row(score, metric, metric in baselines.about, _against(rated, score, values, resamples, seed))
        for score in scores
        for metric, values in metrics.items()
    ]
    ordered = sorted(rows, key=lambda row: (scores.index(row.score), -_size(row.correlation.spearman)))
    return Table(str(path), level, len(rated), tuple(ordered), tuple(_raters(rated, scores)), failed)


def _against(
    rated: Sequence[Rated], score: str, values: Sequence[float | None], resamples: int, seed: int
) -> Correlation:
    pairs = [
        (value, each.score(score))
        for each, value in zip(rated, values, strict=True)
        if value is not None and score in each.ratings
    ]
    return correlate([value for value, _ in pairs], [human for _, human in pairs], resamples, seed)


def _size(found: Coefficient | None) -> float:
    return -1.0 if found is None else abs(found.value)


def _raters(rated: Sequence[Rated], scores: Sequence[str]) -> list[Raters]:
    found = []
    for name in scores:
        ratings = [each.ratings[name] for each in rated if name in each.ratings]
        given = [[value for value in item if value is not None] for item in ratings]
        most = max(map(len, given))
        if most > 1:
            alphas = (
                krippendorff(ratings, "nominal"),
                krippendorff(ratings, "ordinal"),
                krippendorff(ratings, "interval"),
            )
            found.append(Raters(name, len(ratings), most, fleiss(given), *alphas))
    return found


def rendered(table: Table) -> str:
    """The table as text: for each human score how far its raters agree, then the metrics, the closest first."""
    lines = [f"{table.path}: {table.items} items judged by people, level {table.level}"]
    width = max((len(row.metric) for row in table.rows), default=6)
    agreed = {each.score: each for each in table.raters}
    for score in dict.fromkeys(row.score for row in table.rows):
        lines += ["", score + (_agreement(agreed[score]) if score in agreed else "")]
        lines.append(f"  {'metric':{width}}  {'':8}  {'items':>5}  {'Spearman (95 %)':23}  Kendall (95 %)")
        for row in table.rows:
            if row.score == score:
                mark, found = "baseline" if row.baseline else "", row.correlation
                lines.append(
                    f"  {row.metric:{width}}  {mark:8}  {found.items:5}  {_coefficient(found.spearman):23}  "
                    f"{_coefficient(found.kendall)}".rstrip()
                )
    return "\n".join(lines)


def _agreement(found: Raters) -> str:
    said = {
        "Fleiss' kappa": found.fleiss,
        "alpha nominal": found.alpha_nominal,
        "ordinal": found.alpha_ordinal,
        "interval": found.alpha_interval,
    }
    numbers = ", ".join(f"{name} {value:.3f}" for name, value in said.items() if value is not None)
    return f" ({found.items} items, up to {found.raters} raters{': ' if numbers else ''}{numbers})"


def _coefficient(found: Coefficient | None) -> str:
    if found is None:
        return "-"
    if found.low is None or found.high is None:
        return f"{found.value:6.3f}"
    return f"{found.value:6.3f} ({found.low:6.3f} {found.high:6.3f})"
