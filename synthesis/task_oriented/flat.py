"""Task-oriented dialogues in tables: maps become lists of pairs, since all rows of a table have the same fields.

An empty state ([]) and no state (null) stay apart. What was flattened reads back equal.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from synthesis.dialogue import Json, Lookup, Turn

if TYPE_CHECKING:
    from synthesis.task_oriented.goals import Goal

PARTS = ("inform", "book", "fail")
"""Parts of a wish that are maps."""


def pairs(values: Mapping[str, str]) -> list[dict[str, str]]:
    """A map as a list of its pairs, in its order."""
    return [{"slot": slot, "value": value} for slot, value in values.items()]


def turn_cells(turn: Turn) -> Json:
    """A turn as a row has it: speaker, text, domain, acts, state, lookup."""
    return {
        "speaker": turn.speaker,
        "text": turn.text,
        "domain": turn.domain,
        "acts": list(turn.acts),
        "state": None if turn.state is None else pairs(turn.state),
        "lookup": None if turn.lookup is None else _lookup(turn.lookup),
    }


def goal_cells(goal: Goal) -> list[Json]:
    """The wishes of a goal, as a row has them."""
    return [
        {
            "domain": wish.domain,
            **{part: pairs(getattr(wish, part)) for part in PARTS},
            "request": list(wish.request),
        }
        for wish in goal.wishes
    ]


def _lookup(lookup: Lookup) -> Json:
    return {
        "domain": lookup.domain,
        "constraints": pairs(lookup.constraints),
        "count": lookup.count,
        "rows": [pairs(row) for row in lookup.rows],
    }


def turn_json(cells: Any) -> Any:
    """The JSON of a turn from its cells; what has no cells of this kind comes back as it is."""
    if not isinstance(cells, Mapping):
        return cells
    made = {name: _mapped(value) if name == "state" else value for name, value in cells.items()}
    lookup = made.get("lookup")
    if isinstance(lookup, Mapping):
        rows = lookup.get("rows")
        made["lookup"] = {
            **lookup,
            "constraints": _mapped(lookup.get("constraints")),
            "rows": [_mapped(row) for row in rows] if isinstance(rows, Sequence) else rows,
        }
    return made


def goal_json(wishes: Any, persona: Any) -> Json | None:
    """`Dialogue.goal` from the cells of its wishes and the persona; None for anything else."""
    if not isinstance(wishes, list) or not all(isinstance(wish, Mapping) and "domain" in wish for wish in wishes):
        return None
    domains = {
        wish["domain"]: {
            **{part: _mapped(wish[part]) for part in PARTS if wish.get(part)},
            **({"request": wish["request"]} if wish.get("request") else {}),
        }
        for wish in wishes
    }
    return {"domains": domains} | ({"persona": persona} if persona else {})


def _mapped(cells: Any) -> Any:
    """The map of a list of pairs; anything else as it is, for its reader to refuse."""
    if isinstance(cells, list) and all(isinstance(cell, Mapping) and {"slot", "value"} <= set(cell) for cell in cells):
        return {cell["slot"]: cell["value"] for cell in cells}
    return cells
