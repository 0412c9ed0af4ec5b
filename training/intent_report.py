"""Report of the intent experiment: tables and a plot of what each setting, sampling and size is worth."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from synthesis.storage import disk, parse, read_text, replacing
from training.coverage import Spread
from training.intent_metrics import ABOUT

PREDICTORS = ("encoder", "baseline")
SHOWN = ("accuracy", "f1", "macro_f1")
COLOURS = {"synthetic": "#0072B2", "synthetic-then-human": "#E69F00", "both": "#56B4E9"}
MARKS = {"random": "o", "balanced": "s", "matched": "^"}


@dataclass(frozen=True, slots=True)
class Cell:
    """One training: setting, sampling, size of the synthetic sample (0: none), seed; `folder` has its result.json."""

    setting: str
    sampling: str
    size: int
    seed: int
    folder: Path

    def result(self) -> dict[str, Any]:
        """What it came to."""
        path = self.folder / "result.json"
        found: dict[str, Any] = parse(read_text(path, "result"), str(path))
        return found


@dataclass(frozen=True, slots=True)
class Group:
    """The seeds of one setting, sampling and size; `results` in the order of the seeds."""

    setting: str
    sampling: str
    size: int
    results: tuple[dict[str, Any], ...]

    def spread(self, predictor: str, metric: str) -> Spread:
        """Of a number over the seeds."""
        return Spread.of([each[predictor]["scores"][metric] for each in self.results])


def groups(cells: Sequence[Cell]) -> list[Group]:
    """Cells by all but their seed, in order."""
    found: dict[tuple[str, str, int], list[dict[str, Any]]] = {}
    for cell in cells:
        found.setdefault((cell.setting, cell.sampling, cell.size), []).append(cell.result())
    return [Group(*key, tuple(results)) for key, results in found.items()]


def write_report(
    path: Path, cells: Sequence[Cell], data: Mapping[str, Mapping[str, Any]], settings: Mapping[str, Any]
) -> None:
    """`path` as Markdown, and its plot beside it as PNG.

    `data`: of "human" and "synthetic" what they hold; `settings`: the experiment's flags by name. Of files only the
    names are told, so that the report is the same wherever it was made.
    """
    found = groups(cells)
    with disk(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    picture = path.with_suffix(".png")
    plot(found, picture)
    parts = [_head(data, settings), _finding(found), f"![F1 by size]({picture.name})", _table(found), _labels(found)]
    with replacing(path) as stream:
        stream.write("\n\n".join(parts) + "\n")


def _head(data: Mapping[str, Mapping[str, Any]], settings: Mapping[str, Any]) -> str:
    flags = " ".join(
        f"--{name.replace('_', '-')}" + ("" if value is True else f" {_told(value)}")
        for name, value in settings.items()
        if value
    )
    quick = (
        "\n**A quick run: it shows that everything works, its numbers mean nothing.**\n" if settings["quick"] else ""
    )
    rows = "\n".join(
        f"| {name} | {_told(each['source'])} | {each['dialogues']:,} | {each['utterances']:,} | {each['train']:,} | "
        f"{each['validation']:,} | {each['test']:,} | {' '.join(each['labels'])} |"
        for name, each in data.items()
    )
    return f"""# Intent prediction from synthetic dialogues
{quick}
`make experiment NAME=solid-intents FLAGS='{flags}'`

Classifiers learn which intents an utterance has, from human utterances, synthetic ones, one after the other, or both,
and are tested on held-out human ones. Every stage of an encoder's training takes as many steps, so
`synthetic-then-human`, of two stages, trains twice as long as the others: part of what sets it apart may be that.
TF-IDF with logistic regression learns from the same utterances. Thresholds are tuned on human validation utterances,
or on synthetic ones where no human ones are learned.

| set | source | dialogues | utterances | train | validation | test | labels |
|---|---|--:|--:|--:|--:|--:|---|
{rows}"""


def _told(value: Any) -> str:
    if isinstance(value, list):
        return " ".join(map(_told, value))
    text = str(value)
    return Path(text).name if "/" in text and (text.startswith((".", "/")) or Path(text).exists()) else text


def _finding(found: Sequence[Group]) -> str:
    """What the numbers say, in words, whichever way they point."""
    floor = statistics.fmean(each["floor"]["scores"]["f1"] for each in found[0].results)
    said = [f"Giving every utterance the commonest label set of the training data has a micro F1 of {floor:.3f}."]
    human = next((each for each in found if each.setting == "human"), None)
    for predictor in PREDICTORS:
        for setting in COLOURS:
            ours = [each for each in found if each.setting == setting]
            if not ours or human is None:
                continue
            best = max(ours, key=lambda each: each.spread(predictor, "f1").mean)
            one, other = best.spread(predictor, "f1"), human.spread(predictor, "f1")
            said.append(
                f"The {predictor} has {_number(one)} with {setting} at its best ({best.sampling}, {best.size:,}), "
                f"{_number(other)} with human utterances alone: {_compared(one, other)}."
            )
    said.append(
        "The best of several cells flatters the setting that has them; it was chosen on the test set, to show "
        "the most that could be claimed."
    )
    return "\n".join(said)


def _compared(one: Spread, other: Spread) -> str:
    """Apart, or not: two standard deviations of either side are taken for noise."""
    apart = one.mean - other.mean
    noise = 2 * max(one.sd or 0.0, other.sd or 0.0)
    if one.sd is None:
        return f"{apart:+.3f}, from a single seed"
    return f"{apart:+.3f}, " + (
        "within the noise of the seeds" if abs(apart) <= noise else "more than the seeds' noise"
    )


def _table(found: Sequence[Group]) -> str:
    heads = [f"{predictor} {metric}" for predictor in PREDICTORS for metric in SHOWN]
    lines = [
        "## Scores",
        "",
        "Mean and sample standard deviation over the seeds. "
        + "; ".join(f"`{metric}`: {ABOUT[metric]}" for metric in SHOWN)
        + ". `distance`: total variation between the label sets of the sample and the human ones.",
        "",
        "| setting | sampling | size | seeds | distance | " + " | ".join(heads) + " |",
        "|---|---|--:|--:|--:|" + "--:|" * len(heads),
    ]
    for each in found:
        far = [result["training"]["label_distance"] for result in each.results]
        distance = f"{statistics.fmean(far):.2f}" if None not in far else "–"
        numbers = [_number(each.spread(predictor, metric)) for predictor in PREDICTORS for metric in SHOWN]
        size = f"{each.size:,}" if each.size else "–"
        lines.append(
            f"| {each.setting} | {each.sampling} | {size} | {len(each.results)} | {distance} | "
            + " | ".join(numbers) + " |"
        )  # fmt: skip
    return "\n".join(lines)


def _labels(found: Sequence[Group]) -> str:
    """F1 label by label, of the best cell of each setting."""
    best = [
        max((each for each in found if each.setting == setting), key=lambda each: each.spread("encoder", "f1").mean)
        for setting in dict.fromkeys(each.setting for each in found)
    ]
    support = {row["label"]: row["support"] for row in best[0].results[0]["encoder"]["by_label"] if row["support"]}
    names = [f"{each.setting} {predictor}" for each in best for predictor in PREDICTORS]
    lines = [
        "## Label by label",
        "",
        "F1 of the labels that the test set has, mean over seeds, in each setting's best cell by the encoder's F1.",
        "",
        "| label | support | " + " | ".join(names) + " |",
        "|---|--:|" + "--:|" * len(names),
    ]
    for label, count in support.items():
        numbers = [f"{_f1(each, predictor, label):.3f}" for each in best for predictor in PREDICTORS]
        lines.append(f"| {label} | {count:,} | " + " | ".join(numbers) + " |")
    return "\n".join(lines)


def _f1(group: Group, predictor: str, label: str) -> float:
    tables = [{row["label"]: row["f1"] for row in each[predictor]["by_label"]} for each in group.results]
    return statistics.fmean(table.get(label, 0.0) for table in tables)


def _number(spread: Spread) -> str:
    return f"{spread.mean:.3f}" + (f" ± {spread.sd:.3f}" if spread.sd is not None else "")


def plot(found: Sequence[Group], path: Path) -> None:
    """Micro F1 by size of the synthetic sample: encoder left, baseline right; the human set alone as a line."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.8), dpi=160, layout="constrained")
    for axes, predictor in zip(figure.subplots(1, 2, sharey=True), PREDICTORS, strict=True):
        for setting, sampling in dict.fromkeys((each.setting, each.sampling) for each in found):
            line = [each for each in found if (each.setting, each.sampling) == (setting, sampling)]
            spreads = [each.spread(predictor, "f1") for each in line]
            means = [each.mean for each in spreads]
            if setting == "human":
                axes.axhline(means[0], color="#333333", linestyle="--", label="human")
                continue
            axes.errorbar(
                [each.size for each in line],
                means,
                yerr=[each.sd or 0.0 for each in spreads],
                color=COLOURS[setting],
                marker=MARKS[sampling],
                capsize=2,
                linewidth=1.4,
                label=f"{setting}, {sampling}",
            )
        axes.set_title(predictor, loc="left")
        axes.set_xlabel("synthetic utterances")
        axes.spines[["top", "right"]].set_visible(False)
    figure.axes[0].set_ylabel("micro F1 on held-out human ones")
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside right center", frameon=False, fontsize=8)
    with disk(path):
        figure.savefig(path, format="png", metadata={"Software": None})
