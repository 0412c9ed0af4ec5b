"""A recipe of a few lines for tests of the runner: two speakers say a line each, in as many rounds as asked."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from string import Template
from typing import Any, ClassVar

from synthesis import reading
from synthesis.asking import ask
from synthesis.dialogue import Dialogue
from synthesis.engine import Engine, Info, Request
from synthesis.errors import ReadingError
from synthesis.filter import Across, Filter
from synthesis.filters.length import Length
from synthesis.filters.near_duplicates import StockOpeners
from synthesis.recipe import Dropped, Pool, Seed
from synthesis.run import Plan

SAY = Template("Talk about number $number, which follows $previous.")


@dataclass(frozen=True, slots=True)
class Toy:
    """Talks about numbers."""

    name: ClassVar[str] = "toy"
    prompts: ClassVar[tuple[Template, ...]] = (SAY,)
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {"improved": {}, "long": {"rounds": 3}}
    rounds: int = 1
    twice: bool = False

    def check(self) -> None:
        """Nothing is given."""

    async def seeds(self, engine: Engine, rng: Random, n: int) -> AsyncIterator[Seed]:
        """Numbers."""
        await engine(Request("counting", 4, prompt="Count!"))
        for number in range(n):
            yield Seed(f"toy-{0 if self.twice else rng.getrandbits(32):08x}", {"number": number})

    def pool(self, kept: Sequence[Dialogue]) -> Pool:
        return Pool((), {dialogue.id: dialogue for dialogue in kept})

    async def dialogue(self, seed: Seed, pool: Pool, engine: Engine, rng: Random) -> Dialogue:
        """Two tries for something that can be read; "drop" drops."""
        previous = pool.previous[seed.id].turns[0].text if seed.id in pool.previous else "nothing"
        prompt = SAY.substitute(number=seed.content["number"], previous=previous)
        found = await ask(engine, Request("saying", 9, prompt=prompt, temperature=1.0), self._read, rng, tries=2)
        return Dialogue(seed.id, found.turns)

    def _read(self, text: str) -> reading.Transcript:
        if text == "drop":
            raise Dropped("taste", "dull: it was", text)
        if text == "bug":
            raise KeyError("nowhere")
        try:
            return reading.transcript(text)
        except ReadingError as error:
            raise ReadingError(f"no talk: {error}", error.raw) from error

    def filters(self, engine: Engine) -> Sequence[Filter]:
        return (Length(mean=2.0),)

    def across(self) -> Sequence[Across]:
        return (StockOpeners(share=0.0),)


def number_of(request: Request) -> int:
    """Which number is talked about; -1 for the call that makes seeds."""
    return int(request.prompt.split()[3].rstrip(",")) if request.prompt and request.stage == "saying" else -1


def talk(request: Request) -> str:
    """What a well-behaved model says: another text for each number and sampling seed."""
    return f"User 1: Number {number_of(request)}, says {request.seed}.\nUser 2: So be it."


def plan(folder: Path, n: int = 6, **given: Any) -> Plan:
    """A plan for `n` dialogues; `given` are its other fields."""
    whole = {"recipe": Toy(), "preset": "improved", "seed": 0, "info": Info("m", "tgi")} | given
    return Plan(folder=folder, n=n, **whole)
