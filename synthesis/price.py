"""Price: what tokens cost, where a price is known."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Price:
    """Of a million tokens that go in, and of a million that come out, in whatever currency."""

    tokens_in: float = 0.0
    tokens_out: float = 0.0

    def of(self, tokens_in: int, tokens_out: int) -> float:
        """What these tokens cost."""
        return (tokens_in * self.tokens_in + tokens_out * self.tokens_out) / 1e6

    def facts(self, stages: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
        """The prices, and what was paid: by role and stage, by role, and in all.

        `stages`: name, role, tokens_in and tokens_out of each stage, as run.json's traffic has them.
        """
        paid: dict[str, dict[str, float]] = {}
        for stage in stages:
            cost = self.of(stage["tokens_in"], stage["tokens_out"])
            paid.setdefault(stage["role"], {})[stage["name"]] = cost
        roles = {role: sum(costs.values()) for role, costs in sorted(paid.items())}
        return {
            "price_in": self.tokens_in,
            "price_out": self.tokens_out,
            "stages": {role: {name: round(cost, 6) for name, cost in sorted(paid[role].items())} for role in roles},
            "roles": {role: round(cost, 6) for role, cost in roles.items()},
            "total": round(sum(roles.values()), 6),
        }
