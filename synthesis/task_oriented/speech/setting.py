"""What a simulated conversation is about and how it is put into words: the same for all dialogues of a run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from string import Template
from typing import Any, Literal, TypeVar

from synthesis.asking import TRIES, ask
from synthesis.dialogue import Turn
from synthesis.engine import CRITIC, GENERATOR, Engine, Grammar, Request
from synthesis.errors import ContextOverflow
from synthesis.reading import choice
from synthesis.task_oriented import ontology as ontologies
from synthesis.task_oriented.database import Database
from synthesis.task_oriented.ontology import Ontology
from synthesis.task_oriented.speech.extraction import Rules
from synthesis.task_oriented.speech.phrases import Phrases
from synthesis.task_oriented.speech.verification import Grounding
from synthesis.task_oriented.speech.wording import history

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Manner:
    """How turns are worded and read; the fields of the recipe of the same names say what each is."""

    wording: Literal["free", "phrases"]
    extractor: Literal["engine", "rules", "none"]
    temperature: float
    top_p: float | None
    length: int
    slots_length: int
    regenerations: int
    rewrites: int
    templates: float
    candidates: int


@dataclass(frozen=True, slots=True)
class Setting:
    """Ontology and database, the phrases, the reader by rules, and the names that an agent could let slip."""

    ontology: Ontology
    database: Database
    phrases: Phrases
    rules: Rules
    grounding: Grounding

    @classmethod
    def read(cls, folder: Path, phrases: Path) -> Setting:
        """Raises UserError for what is wrong with the schema, the tables or the phrases."""
        ontology = ontologies.read(folder)
        database = Database.read(folder, ontology)
        names = {name: database.names(name) for name in database.domains}
        rules = Rules(ontology, database)
        grounding = Grounding(names, _values(ontology, database))
        return cls(ontology, database, Phrases.read(phrases, ontology), rules, grounding)


def _values(ontology: Ontology, database: Database) -> Iterator[str]:
    """What the slots of searches may hold, names of results left out."""
    for domain in ontology.domains:
        rows = database.rows(domain.name) if domain.name in database.domains else ()
        for slot in (slot for slot in domain.search if slot.name != domain.named):
            yield from slot.values or sorted({row[slot.name] for row in rows if slot.name in row})


class Caller:
    """Asks an engine on behalf of one dialogue. `id`: the dialogue's, which ties its requests together."""

    def __init__(self, engine: Engine, manner: Manner, id: str, rng: Random) -> None:
        self.engine, self.manner, self.id, self.rng = engine, manner, id, rng

    async def speech(
        self, stage: str, template: Template, turns: Sequence[Turn], read: Callable[[str], T], **slots: Any
    ) -> T:
        """What is read of a reply in which somebody speaks, sampled; one try, for a turn can be said again."""
        return await self._asked(stage, template, turns, read, 1, **slots)

    async def reading(
        self,
        stage: str,
        template: Template,
        turns: Sequence[Turn],
        read: Callable[[str], T],
        schema: Any,
        tries: int = TRIES,
        **slots: Any,
    ) -> T:
        """What is read of a critic's JSON, at first greedily."""
        return await self._asked(stage, template, turns, read, tries, Grammar("json", schema), **slots)

    async def chosen(self, stage: str, template: Template, turns: Sequence[Turn], among: Sequence[str]) -> str:
        """One of `among`, which the model chooses by its number."""
        numbers = [str(number) for number in range(1, len(among) + 1)]
        listed = "\n".join(f"{number}. {each}" for number, each in zip(numbers, among, strict=True))

        def read(text: str) -> str:
            return among[int(choice(text, numbers)) - 1]

        grammar = Grammar("regex", "|".join(numbers))
        return await self._asked(stage, template, turns, read, 1, grammar, candidates=listed)

    async def _asked(
        self,
        stage: str,
        template: Template,
        turns: Sequence[Turn],
        read: Callable[[str], T],
        tries: int,
        grammar: Grammar | None = None,
        **slots: Any,
    ) -> T:
        """The oldest turns are left out of the prompt where the context has no room for them."""
        json = grammar is not None and grammar.kind == "json"
        for first in range(len(turns) + 1):
            text = template.safe_substitute(slots, history=history(turns[first:]))
            request = Request(
                stage,
                self.manner.slots_length if json else self.manner.length,
                messages=(("user", text),),
                temperature=None if json else self.manner.temperature or None,
                top_p=self.manner.top_p if self.manner.temperature and not json else None,
                grammar=grammar,
                role=CRITIC if json else GENERATOR,
                conversation=self.id,
            )
            try:
                return await ask(self.engine, request, read, self.rng, tries)
            except ContextOverflow:
                if first == len(turns):
                    raise
        raise AssertionError("the last pass returns or raises")
