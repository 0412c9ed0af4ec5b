"""G-Eval: a model's mark for a dialogue by criterion, as the expectation over the marks that it might give."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from statistics import fmean
from string import Template
from typing import Literal, NamedTuple

from synthesis.asking import ask, together
from synthesis.dialogue import Dialogue
from synthesis.engine import CRITIC, Engine, Request
from synthesis.errors import ReadingError, Unsupported, UserError
from synthesis.metric import Level
from synthesis.metrics.judging import enough, first_token, masses, shown
from synthesis.personas import Sampling, chat
from synthesis.recipe import fork, rng_for


class Criterion(NamedTuple):
    """What is marked, and what the two ends of the scale stand for; `$subject` is the conversation or the reply."""

    asks: str
    worst: str
    best: str


CRITERIA = {
    "engaging": Criterion(
        "how well $subject holds the interest of somebody who takes part or reads along",
        "dull, one would rather stop",
        "lively, one wants to go on",
    ),
    "natural": Criterion(
        "how much $subject sounds like what people say to each other",
        "stilted or mechanical throughout",
        "as spoken by a person",
    ),
    "coherent": Criterion(
        "how well $subject hangs together and follows from what was said before",
        "turns ignore or contradict what came before",
        "everything follows",
    ),
    "grounded": Criterion(
        "how well $subject rests on what is given: document and profiles, if shown, and what was said before",
        "claims what is given nowhere, or against it",
        "nothing is made up against what is given",
    ),
}

PROMPT = Template("""$shown

Mark $asks.

1. Read everything above.
2. Look for what speaks for a high mark and for what speaks against it.
3. Choose a whole number from $low ($worst) to $high ($best).

Answer with the number alone.""")

SUBJECT = {"dialogue": "the conversation", "turn": "the reply"}


@dataclass(frozen=True, slots=True)
class GEval:
    """Expected mark by criterion: engaging, natural, coherent, grounded.

    Formula: sum of s * p(s) over the marks s of `scale`, divided by the sum of p(s). Range: the scale, 1 to 3 unless
    told otherwise; higher is better. `geval_share` is the sum of p(s), mean over the criteria.

    `how`: "tokens" takes p from the `top_n` likeliest first tokens of the reply (a mark that is not among them counts
    as 0, all of them below `least_share` is a ReadingError); marks must be single digits, which every tokenizer keeps
    whole. "samples" asks `samples` times at temperature 1 and takes the mean mark; there is no share then. "auto" is
    "tokens", and "samples" where the endpoint has no `top_n_tokens`, which is found out anew each time: choose
    "samples" for such an endpoint.

    Source: Liu et al. 2023, arXiv 2303.16634, with the criteria and the scale that DiaSynth uses (arXiv 2409.19020);
    criteria and steps in our own words, the same for every model instead of written by it.

    Known defects: saturates; strong judges give nearly everything the highest mark (2.99 of 3 in DiaSynth's table 4),
    so that differences between good datasets drown. Prefers what the judging model would write itself, and longer
    text. The expectation leaves out probability that is not on the scale: look at the share.

    Example: first tokens "3" .6, "2" .2, " 3" .1, "The" .1 on the scale 1 to 3: (3 * .7 + 2 * .2) / .9 = 2.778,
    share .9.
    """

    engine: Engine
    level: Level = "dialogue"
    how: Literal["auto", "tokens", "samples"] = "auto"
    scale: tuple[int, int] = (1, 3)
    top_n: int = 5
    least_share: float = 0.5
    samples: int = 10

    def __post_init__(self) -> None:
        low, high = self.scale
        if not 0 <= low < high:
            raise UserError(f"geval: scale {low} to {high}; give two whole numbers from 0 up, the lower one first")
        if high > 9 and self.how != "samples":
            raise UserError(
                f"geval: scale {low} to {high} has marks of several digits; use how='samples' or 9 at most"
            )
        if self.samples < 1:
            raise UserError(f"geval: samples must be at least 1, got {self.samples}")

    @property
    def about(self) -> Mapping[str, str]:
        low, high = self.scale
        each = {
            f"geval_{name}": f"expected mark for {self._filled(criterion.asks)}; {low} to {high}, higher is better"
            for name, criterion in CRITERIA.items()
        }
        return each | {"geval_share": "probability on the marks, mean over criteria; 0 to 1, higher is surer reading"}

    async def score(self, dialogue: Dialogue) -> dict[str, float]:
        """A mark for each criterion, and the share unless sampled; none for a dialogue without turns."""
        if not dialogue.turns:
            return {}
        rng = rng_for(0, dialogue.id)
        found = await together(self._mark(dialogue, each, fork(rng)) for each in CRITERIA.values())
        marks = {f"geval_{name}": mark for name, (mark, _) in zip(CRITERIA, found, strict=True)}
        shares = [share for _, share in found if share is not None]
        return marks | ({"geval_share": fmean(shares)} if shares else {})

    async def _mark(self, dialogue: Dialogue, criterion: Criterion, rng: Random) -> tuple[float, float | None]:
        request = self._request(dialogue, criterion)
        if self.how == "samples":
            return await self._sampled(request, rng), None
        try:
            return await self._expected(request)
        except Unsupported:
            if self.how == "tokens":
                raise
            return await self._sampled(request, rng), None

    async def _expected(self, request: Request) -> tuple[float, float]:
        low, high = self.scale
        tokens = await first_token(self.engine, request, self.top_n)
        found = masses(tokens, [str(mark) for mark in range(low, high + 1)])
        share = enough(found.values(), self.least_share, "geval", tokens, "Raise top_n, or use how='samples'")
        return sum(int(mark) * p for mark, p in found.items()) / share, share

    async def _sampled(self, request: Request, rng: Random) -> float:
        low, high = self.scale
        streams = [fork(rng) for _ in range(self.samples)]
        marks = await together(
            ask(self.engine, request, lambda text: mark(text, low, high), stream) for stream in streams
        )
        return fmean(marks)

    def _request(self, dialogue: Dialogue, criterion: Criterion) -> Request:
        low, high = self.scale
        asks, worst, best = map(self._filled, criterion)
        return chat(
            "geval",
            PROMPT,
            Sampling(temperature=1.0),
            8,
            role=CRITIC,
            thread=dialogue.id,
            shown=shown(dialogue, self.level),
            asks=asks,
            worst=worst,
            best=best,
            low=low,
            high=high,
        )

    def _filled(self, text: str) -> str:
        return Template(text).substitute(subject=SUBJECT[self.level])


_MARK = re.compile(r"^\W*(?:(?:score|mark|answer)\W+)?(\d+)(?![\d.,]*\d)", re.IGNORECASE)


def mark(text: str, low: int, high: int) -> int:
    """The whole number that a reply opens with. Raises ReadingError unless it is one from `low` to `high`."""
    match = _MARK.match(text)
    if not match or not low <= int(match[1]) <= high:
        raise ReadingError(f"expected a reply that opens with a number from {low} to {high}, got {text[:60]!r}", text)
    return int(match[1])
