"""What a score says, as JSON and as tables; whatever is told, the scorer's name stands beside it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from training.bootstrap import LEVEL, interval
from training.tracking.counting import Counts
from training.tracking.scorers import Score, scorer
from training.tracking.states import Predicted


def to_json(score: Score, predicted: Predicted, seed: int = 0) -> dict[str, Any]:
    """All numbers; joint goal accuracy with its bootstrap interval over dialogues, drawn by `seed`."""
    how = scorer(score.scorer, score.fuzzy)
    return {
        "scorer": score.scorer,
        "fuzzy": score.fuzzy,
        "about": how.about,
        "joint_goal_accuracy": score.joint_goal_accuracy,
        "interval": {"level": LEVEL, **asdict(interval(score.joint, seed))},
        "precision": score.precision,
        "recall": score.recall,
        "f1": score.f1,
        "averaged_over": "turns" if how.by_turn else "slots",
        "slot_accuracy": score.slot_accuracy,
        "tracked_slots": score.tracked,
        "turns": score.turns,
        "dialogues": score.dialogues,
        "missing": len(predicted.missing),
        "invalid": len(predicted.invalid),
        "ignored": {side: dict(found) for side, found in score.ignored.items()},
        "domains": [asdict(domain) for domain in score.domains],
        "slots": {slot: _counts(counts) for slot, counts in score.slots.items()},
    }


def _counts(counts: Counts) -> dict[str, float]:
    return {**asdict(counts), "precision": counts.precision, "recall": counts.recall, "f1": counts.f1}


def told(found: dict[str, Any]) -> str:
    """What `to_json` made, for people: numbers, domains, slots, and what a reader of them must know."""
    name = found["scorer"] + (" --fuzzy" if found["fuzzy"] else "")
    ends = found["interval"]
    lines = [
        f"{name}: {found['about']}",
        f"joint goal accuracy {found['joint_goal_accuracy']:.4f} ({ends['low']:.4f} to {ends['high']:.4f}, "
        f"95 % bootstrap over {found['dialogues']} dialogues; {found['turns']} user turns)",
        f"slots: precision {found['precision']:.4f}, recall {found['recall']:.4f}, F1 {found['f1']:.4f} "
        f"(over all {found['averaged_over']})",
    ]
    if found["slot_accuracy"] is not None:
        lines.append(f"slot accuracy {found['slot_accuracy']:.4f} (of {found['tracked_slots']} slots a turn)")
    lines += [*_warned(found), "", *_domains(name, found), "", *_slots(name, found)]
    return "\n".join(lines)


def _warned(found: dict[str, Any]) -> Iterator[str]:
    if found["missing"]:
        yield f"{found['missing']} user turns have no prediction, which counts as an empty state"
    if found["invalid"]:
        yield f"{found['invalid']} predictions stand for generations that could not be read"
    for side, slots in found["ignored"].items():
        if slots:
            shown = ", ".join(f"{slot} ({count})" for slot, count in slots.items())
            yield f"not looked at by {found['scorer']}, in {side}: {shown}"


def _domains(name: str, found: dict[str, Any]) -> list[str]:
    rows = [
        (
            each["domain"],
            f"{each['all_turns']:.4f}",
            "–" if each["its_dialogues"] is None else f"{each['its_dialogues']:.4f}",
            str(each["dialogues"]),
            str(each["turns"]),
        )
        for each in found["domains"]
    ]
    return _table((f"{name}, joint by domain", "all turns", "its dialogues' turns", "its dialogues", "turns"), rows)


def _slots(name: str, found: dict[str, Any]) -> list[str]:
    rows = [
        (slot, *(f"{each[key]:g}" for key in _COUNTED), *(f"{each[key]:.4f}" for key in _SHARES))
        for slot, each in found["slots"].items()
    ]
    return _table((f"{name}, by slot", *_COUNTED, *_SHARES), rows)


_COUNTED = ("right", "false", "missed")
_SHARES = ("precision", "recall", "f1")


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Columns as wide as they need be, the first one to the left."""
    widths = [max(len(row[at]) for row in (head, *rows)) for at in range(len(head))]
    return [
        "  ".join(
            cell.ljust(width) if at == 0 else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in (head, *rows)
    ]
