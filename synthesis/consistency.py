"""Consistency of a profile: may this attribute join these? By the engine, by negation, or by an NLI model."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Literal

from synthesis import personas
from synthesis.asking import together
from synthesis.engine import Engine
from synthesis.errors import ReadingError, UserError
from synthesis.nli import CONTRADICTION, ENTAILMENT, infer, likeliest
from synthesis.recipe import fork

Mode = Literal["engine", "negation", "nli"]


@dataclass(frozen=True, slots=True)
class Consistency:
    """Says whether an attribute contradicts members of a profile.

    `mode` "engine" asks for a verdict once for all members. "negation" is the paper's (arXiv 2312.10007, section
    3.1.2): inconsistent when the attribute entails the negation of a member, or the reverse; negations are written by
    the engine, entailment is judged by `nli`, or by the engine when `nli` is None. "nli" reads the contradiction
    class of the cross-encoder `nli`, both ways round. Pairs are all that is ever checked, as in the paper.
    """

    mode: Mode = "engine"
    nli: str | None = None

    def __post_init__(self) -> None:
        if self.mode == "nli" and not self.nli:
            raise UserError("consistency 'nli' needs a cross-encoder: give its Hub id or folder with --nli")

    async def contradicts(self, engine: Engine, sentence: str, members: Sequence[str]) -> bool:
        """Whether `sentence` cannot stand beside `members`. A verdict that cannot be read counts as yes."""
        if not members:
            return False
        rng = Random(hashlib.sha256("\n".join([sentence, *members]).encode()).hexdigest())
        try:
            if self.mode == "engine":
                return await personas.contradicts(engine, sentence, members, rng)
            if self.mode == "negation":
                return await self._by_negation(engine, sentence, members, rng)
        except ReadingError:
            return True
        pairs = [pair for member in members for pair in ((sentence, member), (member, sentence))]
        return any(await self._classified(pairs, CONTRADICTION))

    async def _by_negation(self, engine: Engine, sentence: str, members: Sequence[str], rng: Random) -> bool:
        opposite, *opposites = await together(personas.negate(engine, it, fork(rng)) for it in (sentence, *members))
        pairs = [(sentence, negated) for negated in opposites] + [(member, opposite) for member in members]
        if self.nli:
            return any(await self._classified(pairs, ENTAILMENT))
        return any(await together(personas.entails(engine, *pair, fork(rng)) for pair in pairs))

    async def _classified(self, pairs: Sequence[tuple[str, str]], label: str) -> list[bool]:
        """Whether the model's likeliest class of each (premise, hypothesis) is `label`."""
        return [likeliest(each) == label for each in await infer(self.nli or "", pairs)]
