"""Tally: what a round's outcomes add up to, in one pass: the funnel, requests and tokens by stage, and contests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from synthesis.outcomes import Round, Row

_SUMS = ("requests", "tokens_in", "tokens_out")


class Stages:
    """Requests and tokens by stage."""

    def __init__(self) -> None:
        self._total: dict[str, dict[str, Any]] = {}

    def add(self, stages: Iterable[Mapping[str, Any]]) -> None:
        """Adds the stages of an outcome, of a round, or of making the seeds."""
        for stage in stages:
            at = self._total.setdefault(stage["name"], {**stage, **dict.fromkeys(_SUMS, 0)})
            for key in _SUMS:
                at[key] += stage[key]

    def facts(self) -> list[dict[str, Any]]:
        """In the order of their names."""
        return [self._total[name] for name in sorted(self._total)]


class Tally:
    """The sums over one round."""

    def __init__(self, each: Round) -> None:
        self._number = each.number
        self.outcomes: Counter[str] = Counter(kept=0, dropped=0, failed=0)
        self._lost: dict[str, Counter[str]] = {"dropped": Counter(), "failed": Counter()}
        self._contest = dict.fromkeys(("challenger", "incumbent", "outvoted others", "unopposed"), 0)
        self.stages = Stages()
        for row in each.rows():
            self._add(row)

    def _add(self, row: Row) -> None:
        self.outcomes[row["outcome"]] += 1
        self.stages.add(row["stages"])
        if row["outcome"] == "kept":
            self._contest[_contest(row["dialogue"])] += 1
        else:
            self._lost[row["outcome"]][row["stage"]] += 1

    def funnel(self) -> dict[str, Any]:
        """How many seeds came in, were kept, and were lost at which stage."""
        lost = {outcome: dict(sorted(stages.items())) for outcome, stages in self._lost.items()}
        return {"round": self._number, "seeds": self.outcomes.total(), "kept": self.outcomes["kept"], **lost}

    def contest(self) -> dict[str, int]:
        """How the chosen dialogues came to be: new or kept from the round before, with or without a contest."""
        return {"round": self._number, **self._contest}


def _contest(dialogue: Row) -> str:
    reasons = {rejected["reason"] for rejected in dialogue.get("rejected", ())}
    if any(note.startswith("incumbent") for note in dialogue.get("notes", ())):
        return "incumbent"
    if "incumbent" in reasons:
        return "challenger"
    return "outvoted others" if "outvoted" in reasons else "unopposed"
