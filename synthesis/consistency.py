"""Consistency of a profile: may this attribute join these? By the engine, by negation, or by an NLI model."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from random import Random
from typing import Any, Literal

from synthesis import personas
from synthesis.asking import together
from synthesis.engine import Engine
from synthesis.errors import ReadingError, UserError
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
        return any(await self._classified(pairs, "contradict"))

    async def _by_negation(self, engine: Engine, sentence: str, members: Sequence[str], rng: Random) -> bool:
        opposite, *opposites = await together(personas.negate(engine, it, fork(rng)) for it in (sentence, *members))
        pairs = [(sentence, negated) for negated in opposites] + [(member, opposite) for member in members]
        if self.nli:
            return any(await self._classified(pairs, "entail"))
        return any(await together(personas.entails(engine, *pair, fork(rng)) for pair in pairs))

    async def _classified(self, pairs: Sequence[tuple[str, str]], label: str) -> list[bool]:
        """Whether the model's likeliest class of each (premise, hypothesis) is `label`."""
        return await asyncio.to_thread(_classify, self.nli or "", pairs, label)


_ONE_AT_A_TIME = threading.Lock()  # profiles are checked side by side; the model is loaded once and used in turn


@cache
def _cross_encoder(name: str) -> Any:
    from sentence_transformers import CrossEncoder

    try:
        return CrossEncoder(name)
    except (OSError, ValueError) as error:
        raise UserError(
            f"--nli {name!r}: cannot be loaded: {error}; give a Hub id or folder of a cross-encoder "
            "with the classes entailment and contradiction"
        ) from error


def _classify(name: str, pairs: Sequence[tuple[str, str]], label: str) -> list[bool]:
    with _ONE_AT_A_TIME:
        model = _cross_encoder(name)
        classes = {index: text.lower() for index, text in model.model.config.id2label.items()}
        wanted = [index for index, text in classes.items() if text.startswith(label)]
        if len(wanted) != 1:
            raise UserError(f"--nli {name!r}: has classes {sorted(classes.values())}, expected one {label!r}")
        scores = model.predict(list(pairs), show_progress_bar=False)
    return [int(row.argmax()) == wanted[0] for row in scores]
