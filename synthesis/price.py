"""Price: what tokens cost, where a price is known."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

Stages = Iterable[Mapping[str, Any]]
"""Stages as run.json has them: role, tokens_in and tokens_out of each."""


@dataclass(frozen=True, slots=True)
class Price:
    """Of a million tokens that go in, and of a million that come out, in whatever currency."""

    tokens_in: float = 0.0
    tokens_out: float = 0.0

    def of(self, tokens_in: int, tokens_out: int) -> float:
        """What these tokens cost."""
        return (tokens_in * self.tokens_in + tokens_out * self.tokens_out) / 1e6

    def facts(self, stages: Stages) -> dict[str, Any]:
        """The prices, what each role's stages cost, and all of them; every reply is paid for once."""
        roles: dict[str, float] = {}
        for stage in stages:
            cost = self.of(stage["tokens_in"], stage["tokens_out"])
            roles[stage["role"]] = roles.get(stage["role"], 0.0) + cost
        return {
            "price_in": self.tokens_in,
            "price_out": self.tokens_out,
            "roles": {role: round(roles[role], 6) for role in sorted(roles)},
            "total": round(sum(roles.values()), 6),
        }
