"""Report of luas-replace: tables, sentences and a figure made from the results, nothing said by hand."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cards.figures import BLUE, GREY, ORANGE, drawing
from synthesis.storage import replacing
from synthesis.task_oriented.state import domain_of
from training.tracking import telling
from training.tracking.commands import RATES, STEP
from training.tracking.results import (
    Gap,
    Gold,
    InDomain,
    Outcome,
    Place,
    domains,
    gap,
    one,
    outcomes,
    read_json,
    rows,
    size,
    spent,
)

REAL, REPLACED, REMOVED = CONDITIONS = ("real", "replaced", "removed")
NAMES = {REAL: "real", REPLACED: "domain replaced by generated", REMOVED: "domain taken out"}
COLOURS = {REAL: GREY, REPLACED: BLUE, REMOVED: ORANGE}
PAIRS = ((REPLACED, REAL), (REPLACED, REMOVED), (REMOVED, REAL))
Parts = Mapping[str, Sequence[Outcome]]
"""Outcomes of all slots, of the domain's, and of all others."""


@dataclass(frozen=True, slots=True)
class Results:
    """All that the report tells.

    `parts`, `gaps`: by which slots count; `by_domain`: scorer and condition to its domains; `learned`: dialogues and
    examples by condition, of the first seed; `done`: what replacing and taking out did there.
    """

    domain: str
    scorers: tuple[str, ...]
    parts: Parts
    gaps: Mapping[str, Sequence[Gap]]
    by_domain: Mapping[tuple[str, str], Mapping[str, InDomain]]
    learned: Mapping[str, tuple[int, int]]
    done: Mapping[str, Mapping[str, Any]]
    seconds: Mapping[str, float]
    test: tuple[int, int]


def read(places: Sequence[Place], scorers: Sequence[str], gold: Gold, domain: str, out: Path) -> Results:
    """Everything from the experiment's folder. Raises UserError for a result that is not there."""
    which = {
        "all slots": None,
        f"slots of {domain}": lambda slot: domain_of(slot) == domain,
        "all other slots": lambda slot: domain_of(slot) != domain,
    }
    parts = {name: outcomes(places, scorers, gold, part) for name, part in which.items()}
    groups = {condition: [place for place in places if place.condition == condition] for condition in CONDITIONS}
    folders = {condition: group[0].folder for condition, group in groups.items()}
    facts = {name: read_json(folder / "rows.facts.json")["data"][0] for name, folder in folders.items()}
    return Results(
        domain,
        tuple(scorers),
        parts,
        {name: _gaps(found, scorers) for name, found in parts.items()},
        {(scorer, name): domains(group, scorer) for scorer in scorers for name, group in groups.items()},
        {name: (each["dialogues"], rows(folders[name] / "rows.jsonl")) for name, each in facts.items()},
        {name: read_json(folders[name] / "dialogues.facts.json") for name in (REPLACED, REMOVED)},
        spent([out, *(place.folder for place in places)]),
        size(out / "data" / "test.jsonl"),
    )


def _gaps(found: Sequence[Outcome], scorers: Sequence[str]) -> list[Gap]:
    return [gap(one(found, first, name), one(found, second, name)) for name in scorers for first, second in PAIRS]


def write(results: Results, plan: Mapping[str, Any], path: Path) -> None:
    """The report, and beside it its figure, named after it."""
    with replacing(path) as stream:
        stream.write("\n".join(_text(results, plan, path.stem)) + "\n")
    bars(results, path.with_name(f"{path.stem}.png"))


def _text(results: Results, plan: Mapping[str, Any], stem: str) -> Iterator[str]:
    yield f"# luas-replace: one domain of real dialogues replaced by generated ones ({results.domain})\n"
    yield "Made by `make experiment NAME=luas-replace`; every number and sentence below is made from its results.\n"
    yield from telling.cautions(plan)
    yield "## What was done\n"
    yield from telling.sourced(plan)
    yield from _done(results, plan)
    yield "\n## Test dialogues\n"
    yield f"![Joint goal accuracy of {results.domain} and of the other domains]({stem}.png)\n"
    for name, found in results.parts.items():
        yield from _scores(name, found)
    yield "\n## Differences\n"
    yield from _differences(results)
    yield "\n## Domain by domain\n"
    for scorer in results.scorers:
        yield from _domains(results, scorer)


def _done(results: Results, plan: Mapping[str, Any]) -> Iterator[str]:
    told = {
        name: f"{dialogues} dialogues ({examples:,} examples)"
        for name, (dialogues, examples) in results.learned.items()
    }
    yield (
        f"{results.test[0]} dialogues with {results.test[1]:,} user turns are the test. Trackers learned the others: "
        f"{told[REAL]} as they are; {told[REPLACED]} with {results.domain} replaced by dialogues that `synthesis luas "
        f"--preset laptop --goals db --domains {results.domain}` generated from schema and database; {told[REMOVED]} "
        f"with {results.domain} taken out and nothing put in. Every tracker learned for "
        f"{telling.epochs(plan['epochs'])}, with "
        f"`training/luas_small_stage1.yaml`, `{' '.join(RATES)} --step_tokens {STEP}` and no stopping. The student is "
        f"{telling.student(plan)}. Seeds: {', '.join(map(str, plan['seeds']))}; a seed orders the training and draws "
        "which generated dialogue goes where.\n"
    )
    for name, facts in results.done.items():
        counted = "; ".join(f"{what}: {number:,}" for what, number in facts["counted"].items())
        yield (
            f"{NAMES[name].capitalize()} (first seed): of {facts['turns']:,} user turns {facts['gone']:,} went, "
            f"{facts['altered']:,} others have another text or state: {100 * facts['impact']:.1f} % in all. "
            f"{counted}.\n"
        )
    yield (
        telling.scored(results.scorers) + " Both measure the same predictions, and their numbers cannot be compared.\n"
    )
    yield telling.costs(results.seconds) + "\n"
    yield telling.UNLIKE_THE_PAPER + " How a domain is replaced is ours too: the paper does not say it."


def _scores(name: str, found: Sequence[Outcome]) -> Iterator[str]:
    yield f"\nJoint goal accuracy of {name} over all turns, and slot F1, in points of 100:\n"
    lines = [
        [f"`{each.scorer}`", NAMES[each.condition], telling.points(each.joint),
         telling.ends(each.interval.low, each.interval.high), telling.points(each.f1), telling.points(each.invalid)]
        for each in sorted(found, key=lambda each: each.scorer)
    ]  # fmt: skip
    head = ["scorer", "learned", "joint goal accuracy", "95 % interval", "slot F1", "unreadable replies"]
    yield from telling.table(head, lines)


def _differences(results: Results) -> Iterator[str]:
    yield "Means over seeds; the paired bootstrap over the test dialogues does not tell of other seeds.\n"
    lines = [
        [
            name,
            f"`{each.first.scorer}`",
            NAMES[each.first.condition],
            NAMES[each.second.condition],
            *telling.gap_row(each),
        ]
        for name, gaps in results.gaps.items()
        for each in gaps
    ]
    yield from telling.table(["joint over", "scorer", "first", "second", *telling.GAP_HEAD], lines)
    yield ""
    for name, gaps in results.gaps.items():
        for each in gaps:
            words = f"{NAMES[each.first.condition]} against {NAMES[each.second.condition]}"
            yield f"- {name}, {words}: {telling.verdict(each)}"


def _domains(results: Results, scorer: str) -> Iterator[str]:
    yield f"\nJoint goal accuracy of each domain's slots by `{scorer}`: over all turns / over turns of dialogues that"
    yield "have the domain (the convention of zero-shot work).\n"
    found = {condition: results.by_domain[scorer, condition] for condition in CONDITIONS}
    lines = [
        [f"**{name}**" if name == results.domain else name, *(_both(found[each].get(name)) for each in CONDITIONS)]
        for name in sorted(set().union(*found.values()))
    ]
    yield from telling.table(["domain", *(NAMES[each] for each in CONDITIONS)], lines)


def _both(found: InDomain | None) -> str:
    if found is None:
        return "–"
    its = telling.points(found.its_dialogues) if found.its_dialogues else "–"
    return f"{telling.points(found.all_turns)} / {its}"


def bars(results: Results, path: Path) -> None:
    """The domain and the mean of the others, in both conventions, a panel for each scorer; bars of one deviation."""
    with drawing(path, 3.8, columns=len(results.scorers)) as panels:
        for axes, scorer in zip(panels, results.scorers, strict=True):
            for number, condition in enumerate(CONDITIONS):
                found = _groups(results, scorer, condition)
                places = [at + 0.27 * (number - 1) for at in range(len(found))]
                heights = [100 * value for value in found.values()]
                drawn = axes.bar(places, heights, 0.25, color=COLOURS[condition], label=NAMES[condition])
                axes.bar_label(drawn, fmt="%.0f", fontsize=8, padding=2)
            axes.set_xticks(range(len(found)), labels=[*found], fontsize=8)
            axes.set_ylim(0, 132)  # room for the legend
            axes.set_yticks(range(0, 101, 20))
            axes.set_title(f"Joint goal accuracy, {scorer}", loc="left")
        panels[0].legend(frameon=False, fontsize=8, loc="upper right")


def _groups(results: Results, scorer: str, condition: str) -> dict[str, float]:
    """What a bar stands for, to its height."""
    found = results.by_domain[scorer, condition]
    its, others = found[results.domain], [each for name, each in found.items() if name != results.domain]
    whole = {f"{results.domain},\nall turns": its.all_turns.mean}
    if its.its_dialogues:
        whole[f"{results.domain},\nits dialogues"] = its.its_dialogues.mean
    if others:
        whole["others' mean,\nall turns"] = statistics.fmean(each.all_turns.mean for each in others)
        told = [each.its_dialogues.mean for each in others if each.its_dialogues]
        if told:
            whole["others' mean,\ntheir dialogues"] = statistics.fmean(told)
    return whole
