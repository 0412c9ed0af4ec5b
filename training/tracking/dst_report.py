"""Report of luas-dst: tables, sentences and figures made from the results, nothing said by hand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cards.figures import BLUE, GREY, INK, ORANGE, SKY, drawing
from synthesis.storage import replacing
from training.tracking import telling
from training.tracking.commands import RATES, STEP
from training.tracking.results import Gap, Gold, Outcome, Place, gap, one, outcomes, read_json, rows, size, spent

REAL, BOTH, GENERATED, EMPTY, RULES = "real", "both", "generated", "empty", "rules"
NAMES = {
    REAL: "real dialogues alone",
    BOTH: "generated, then real",
    GENERATED: "generated alone",
    EMPTY: "nothing learned: empty states",
    RULES: "nothing learned: rules",
}
COLOURS = {REAL: GREY, BOTH: BLUE, GENERATED: ORANGE, EMPTY: INK, RULES: SKY}
LINES = (REAL, BOTH)
LEVELS = {GENERATED: "--", RULES: "-.", EMPTY: ":"}


@dataclass(frozen=True, slots=True)
class Results:
    """All that the report tells. `learned`: examples by n; `wrote`: kept and dropped dialogues, their user turns."""

    scorers: tuple[str, ...]
    outcomes: tuple[Outcome, ...]
    gaps: tuple[Gap, ...]
    seconds: Mapping[str, float]
    test: tuple[int, int]
    learned: Mapping[int, int]
    wrote: tuple[int, int, int]


def read(places: Sequence[Place], scorers: Sequence[str], gold: Gold, out: Path) -> Results:
    """Everything from the experiment's folder. Raises UserError for a result that is not there."""
    found = outcomes(places, scorers, gold)
    sizes = sorted({place.n for place in places if place.n})
    gaps = [gap(one(found, BOTH, scorer, n), one(found, REAL, scorer, n)) for scorer in scorers for n in sizes]
    folders = {place.n: place.folder for place in places if place.n}
    run = read_json(out / "generated" / "run.json")["counts"]
    return Results(
        tuple(scorers),
        tuple(found),
        tuple(gaps),
        spent([out, *sorted({place.folder for place in places} - {out})]),
        size(out / "data" / "test.jsonl"),
        {n: rows(folders[n] / "real-rows.jsonl") for n in sizes},
        (run["kept"], run["dropped"] + run["failed"], rows(out / "generated.jsonl")),
    )


def write(results: Results, plan: Mapping[str, Any], path: Path) -> None:
    """The report, and beside it its figures, named after it."""
    with replacing(path) as stream:
        stream.write("\n".join(_text(results, plan, path.stem)) + "\n")
    curves(results, path.with_name(f"{path.stem}.png"), "joint")
    curves(results, path.with_name(f"{path.stem}-slots.png"), "f1")


def _text(results: Results, plan: Mapping[str, Any], stem: str) -> Iterator[str]:
    yield "# luas-dst: what generated dialogues are worth to a state tracker\n"
    yield "Made by `make experiment NAME=luas-dst`; every number and sentence below is made from its results.\n"
    yield from telling.cautions(plan)
    yield "## What was done\n"
    yield from telling.sourced(plan)
    yield from _done(results, plan)
    yield "\n## Test dialogues\n"
    yield f"![Joint goal accuracy by number of real dialogues]({stem}.png)\n"
    for scorer in results.scorers:
        yield from _scores(results, scorer)
    yield "\n## Generated dialogues first, or not\n"
    yield from _gaps(results)
    yield f"\n![F1 of slots by number of real dialogues]({stem}-slots.png)"


def _done(results: Results, plan: Mapping[str, Any]) -> Iterator[str]:
    dialogues, turns = results.test
    kept, lost, examples = results.wrote
    learned = ", ".join(
        f"{n} ({examples:,} examples, {telling.epochs(epochs)})"
        for (n, examples), epochs in zip(results.learned.items(), plan["epochs"], strict=True)
    )
    yield (
        f"{dialogues} dialogues with {turns:,} user turns are the test. Of the others a tracker learned {learned}; "
        "the last is all. It learned these alone, or after "
        f"{kept} dialogues ({examples:,} examples, {telling.epochs(plan['generated_epochs'])}) that `synthesis luas "
        f"--preset laptop --goals db` had generated from schema and database; {lost} more were dropped. What "
        "starts with what ships or with random weights is trained by "
        f"`training/luas_small_stage1.yaml` with `{' '.join(RATES)}`, what has learned generated dialogues then by "
        f"`training/luas_small_stage2.yaml`, both with `--step_tokens {STEP}` and no "
        f"stopping. The student is {telling.student(plan)}. Seeds: "
        f"{', '.join(map(str, plan['seeds']))}; a seed draws the real dialogues and orders the training, the "
        "generated dialogues are the same for all. Trackers that learn generated dialogues first take more steps in "
        "all than those of as many real ones alone: what sets them apart may in part be that.\n"
    )
    held = "held to" if plan["grammar"] else "not held to"
    yield (
        "Trackers read the state that they wrote for the turn before, and the last two turns; they write what the "
        f"last turn changes, {held} a grammar. What cannot be read counts as an empty state.\n"
    )
    yield (
        telling.scored(results.scorers) + " Both measure the same predictions, and their numbers cannot be compared.\n"
    )
    yield (
        "The rules are those that check the recipe's dialogues; they know the database, and whoever wrote them had "
        "MultiWOZ 2.1's validation split at hand: their row flatters them there. Empty states are what a tracker says "
        "that never reads a change.\n"
    )
    yield telling.costs(results.seconds) + "\n"
    yield telling.UNLIKE_THE_PAPER


def _scores(results: Results, scorer: str) -> Iterator[str]:
    yield f"\nBy `{scorer}`, in points of 100, mean and deviation over seeds; the interval is a bootstrap's over the"
    yield "test dialogues, of the mean over seeds.\n"
    found = [each for each in results.outcomes if each.scorer == scorer]
    rows = [
        [
            str(each.n or "–"),
            NAMES[each.condition],
            telling.points(each.joint),
            telling.ends(each.interval.low, each.interval.high),
            telling.points(each.f1),
            telling.points(each.invalid),
        ]
        for each in sorted(found, key=lambda each: (each.n, list(NAMES)[::-1].index(each.condition)))
    ]
    head = ["real dialogues", "learned from", "joint goal accuracy", "95 % interval", "slot F1", "unreadable replies"]
    yield from telling.table(head, rows)


def _gaps(results: Results) -> Iterator[str]:
    yield "Joint goal accuracy with generated dialogues first, less that without; the paired bootstrap over the test"
    yield "dialogues does not tell of other seeds.\n"
    rows = [[f"`{each.first.scorer}`", str(each.first.n), *telling.gap_row(each)] for each in results.gaps]
    yield from telling.table(["scorer", "real dialogues", *telling.GAP_HEAD], rows)
    yield ""
    yield from (f"- {each.first.n} real dialogues: {telling.verdict(each)}" for each in results.gaps)


def curves(results: Results, path: Path, what: str) -> None:
    """By number of real dialogues, a panel for each scorer; bars are intervals (joint) or one deviation (F1)."""
    with drawing(path, 3.8, columns=len(results.scorers)) as panels:
        for axes, scorer in zip(panels, results.scorers, strict=True):
            for condition in LINES:
                _line(axes, [o for o in results.outcomes if (o.condition, o.scorer) == (condition, scorer)], what)
            for condition, dashes in LEVELS.items():
                level = getattr(one(results.outcomes, condition, scorer), what).mean
                axes.axhline(100 * level, color=COLOURS[condition], linestyle=dashes, label=NAMES[condition])
            axes.set_xscale("log")
            axes.set_xticks([*results.learned], labels=[str(n) for n in results.learned], minor=False)
            axes.set_xticks([], minor=True)
            axes.set_ylim(0, 1.45 * axes.get_ylim()[1])  # room for the legend
            axes.set_xlabel("real dialogues")
            axes.set_title(f"{'Joint goal accuracy' if what == 'joint' else 'Slot F1'}, {scorer}", loc="left")
            axes.grid(axis="y", color="#E4E4E4", linewidth=0.8)
        panels[0].legend(frameon=False, fontsize=8, loc="upper left")


def _line(axes: Any, points: Sequence[Outcome], what: str) -> None:
    points = sorted(points, key=lambda each: each.n)
    means = [getattr(each, what).mean for each in points]
    lows, highs = zip(*(_reach(each, what) for each in points), strict=True)
    axes.errorbar(
        [each.n for each in points],
        [100 * mean for mean in means],
        yerr=[[100 * low for low in lows], [100 * high for high in highs]],
        color=COLOURS[points[0].condition],
        marker="o",
        markersize=5,
        capsize=3,
        linewidth=1.8,
        label=NAMES[points[0].condition],
    )


def _reach(outcome: Outcome, what: str) -> tuple[float, float]:
    """How far the bar goes down and up from the mean."""
    if what == "joint":
        mean = outcome.joint.mean
        return max(0.0, mean - outcome.interval.low), max(0.0, outcome.interval.high - mean)
    return outcome.f1.sd or 0.0, outcome.f1.sd or 0.0
