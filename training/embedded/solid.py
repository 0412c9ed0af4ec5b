"""The calls of the recipes solid and solid_rl: seeds, instructions, utterances, whole dialogues, intents found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from random import Random
from string import ascii_uppercase
from typing import Any

from synthesis.engine import Request
from synthesis.intents import one_step
from synthesis.intents.entities import Entity
from synthesis.intents.labels import INTENTS
from synthesis.intents.names import NameFilter
from synthesis.intents.plans import Plan
from synthesis.intents.seeding import NAMES, REALITY, Sowing
from synthesis.recipe import Pool, Seed
from synthesis.recipes.solid import STARTER, Solid
from synthesis.recipes.solid_rl import SolidRl
from training.embedded.intents import Sought
from training.embedded.knowing import Knowing, Runs
from training.embedded.row import Row, asked, held_out
from training.embedded.spc import shipped

COUNTS = {"types": 200, "names": 1500, "attributes": 800, "reality": 2000, "document": 1500, "starter": 2500}

TURNS: tuple[tuple[float, Mapping[str, Any]], ...] = (
    (0.55, {"merge": "concat", "consistency": "none"}),
    (0.25, {"merge": "engine", "consistency": "none"}),
    (0.2, {"merge": "engine", "consistency": "any"}),
)
"""Shares of the forms in which a dialogue is written turn by turn: the embedded model's preset, and `improved`."""

NOT_KNOWN = "N/A"


def rows(
    dialogues: Sequence[Sought], entities: Sequence[Entity], rng: Random, scale: float, dropped: Counter[str]
) -> Iterator[Row]:
    """Examples of all calls of both recipes. `entities`: real ones with a document; `dropped`: what is refused."""
    with Runs() as runs:
        for each in dialogues:
            yield from runs.done(_spoken(each, rng)) or ()
            yield from runs.done(_at_once(each, rng)) or ()
        for number in range(round(COUNTS["document"] * scale)):
            yield from runs.done(_sown(rng.choice(entities), entities, number, rng)) or ()
        dropped.update(runs.dropped)
    yield from _names(entities, rng, scale)
    yield from _starters(dialogues, rng, scale)


def _seed(each: Sought) -> Seed:
    plan = Plan.of(each.turns)
    content = {"name": each.name, "type": each.type, "attribute": each.attribute, "document": each.document}
    more = {"starter": each.turns[0].text, "plan": plan.rows(), "declined": None}
    return Seed(each.id, content | more)


async def _spoken(each: Sought, rng: Random) -> list[Row]:
    """The dialogue turn by turn. Raises Dropped where the recipe's filters would not keep it."""
    how = rng.choices([fields for _, fields in TURNS], [share for share, _ in TURNS])[0]
    recipe = Solid(**{**Solid.presets["improved"], "reality": True, "resamples": 0, **how})
    texts, labels = iter(each.turns[1:]), iter(each.turns)
    engine = Knowing(
        {
            "turn": lambda request: next(texts).text,
            "merge": merged,
            "intents": lambda request: ", ".join(next(labels).intents),
        }
    )
    await recipe.dialogue(_seed(each), Pool(), engine, rng)
    found = engine.rows("solid", each.source, each.id)
    few = [row for row in found if row.task == "solid.turn"]
    others = [row for row in found if row.task != "solid.turn"]
    return [*rng.sample(few, min(2, len(few))), *rng.sample(others, min(2, len(others)))]


def merged(request: Request) -> str:
    """Several instructions as one: its parts joined, those after the first in lower case."""
    text = request.messages[-1][1]
    listed = text.rsplit("Instructions:\n", 1)[1].rsplit("\nOne instruction:", 1)[0]
    parts = [line.removeprefix("- ").rstrip(".") for line in listed.splitlines()]
    return f"{', and '.join([parts[0], *(part[0].lower() + part[1:] for part in parts[1:])])}."


async def _at_once(each: Sought, rng: Random) -> list[Row]:
    """The whole dialogue, or its beginning, in one reply: else the model would count and not look at the plan."""
    low = SolidRl.presets["laptop"]["low"]
    each = replace(each, turns=each.turns[: rng.randint(min(low, len(each.turns)), len(each.turns))])
    quality = rng.choice(("", "", one_step.GOOD))
    fields = {**SolidRl.presets["improved"], "consistency": "none", "quality": quality}
    engine = Knowing({"one step": lambda request: one_step.render(each.turns)})
    await SolidRl(**fields).dialogue(_seed(each), Pool(), engine, rng)
    return engine.rows("solid_rl", each.source, each.id)


# ---- seeds ----------------------------------------------------------------------------------------------------------


async def _sown(entity: Entity, entities: Sequence[Entity], number: int, rng: Random) -> list[Row]:
    """What is asked to make seeds: types now and then, the type's attributes, the document, or that there is none."""
    sowing = Sowing(NameFilter(), 0.7, 0.95, 30, 400, 320, rng.choice((5, 8, 10)), True)
    alike = [other for other in entities if other.type == entity.type and not held_out(other.name)]
    of_type = [text for other in alike for text, _ in other.attributes]
    aspects = rng.sample(list(dict.fromkeys(of_type)), min(sowing.attributes, len(set(of_type))))
    types = rng.sample(shipped("solid_types.txt"), rng.choice((10, 20, 30, 50)))
    known = rng.random() < 0.85
    engine = Knowing(
        {
            "document": lambda request: str(entity.document) if known else NOT_KNOWN,
            "attributes": lambda request: "\n".join(aspects),
            "types": lambda request: "\n".join(types),
        }
    )
    name = entity.name if known else made_up(entity.name, rng)
    await sowing.document(engine, name, entity.type, rng)
    if len(aspects) >= 3:
        await sowing.attributes_of(engine, entity.type, rng)
    if number % 8 == 0:
        await sowing.types(engine, len(types), rng)
    # types are asked of nobody, attributes of a type: such a prompt comes again with other entities
    keys = {"solid.types": "types", "solid.attributes": entity.type}
    rows = engine.rows("solid", "entities", entity.name)
    return [replace(row, key=keys.get(row.task, row.key)) for row in rows]


def made_up(name: str, rng: Random) -> str:
    """A name that nobody has: the syllables of one in another order."""
    letters = [part for word in name.split() for part in (word[:3], word[3:6]) if part]
    rng.shuffle(letters)
    return "".join(letters[:4]).lower().capitalize()


def _names(entities: Sequence[Entity], rng: Random, scale: float) -> Iterator[Row]:
    """Names of a type by their initial, none of them held out, and whether a name is real."""
    cells: dict[tuple[str, str], list[str]] = {}
    for entity in entities:
        if not held_out(entity.name) and entity.name[0].upper() in ascii_uppercase:
            cells.setdefault((entity.type, entity.name[0].upper()), []).append(entity.name)
    full = sorted(cell for cell, names in cells.items() if len(set(names)) >= 3)
    for _ in range(round(COUNTS["names"] * scale) if full else 0):
        kind, letter = cell = rng.choice(full)
        names = list(dict.fromkeys(cells[cell]))
        count = rng.choice((5, 10, 20, 30, 100))
        prompt = NAMES.substitute(type=kind, letter=letter, count=count)
        chosen = rng.sample(names, min(count, len(names), 40))
        yield asked("solid.names", "entities", f"{kind} {letter}", prompt, "\n".join(chosen))
    types = sorted({entity.type for entity in entities})
    for _ in range(round(COUNTS["reality"] * scale)):
        entity, real = rng.choice(entities), rng.random() < 0.5
        strange = rng.choice([kind for kind in types if kind != entity.type] or types)
        false = rng.choice(((made_up(entity.name, rng), entity.type), (entity.name, strange)))
        name, kind = (entity.name, entity.type) if real else false
        prompt = REALITY.substitute(name=name, type=kind)
        yield asked("solid.reality", "entities", entity.name, prompt, "Yes" if real else "No")


def _starters(dialogues: Sequence[Sought], rng: Random, scale: float) -> Iterator[Row]:
    """Opening questions."""
    fitting = [each for each in dialogues if _names_it(each)]
    for each in rng.sample(fitting, min(len(fitting), round(COUNTS["starter"] * scale))):
        first = each.turns[0]
        more = (
            " ".join(INTENTS[code].instruction(first.speaker) for code in first.intents) if first.intents[1:] else ""
        )
        told = {"name": each.name, "type": each.type, "attribute": each.attribute, "document": each.document}
        prompt = STARTER.substitute(told, instruction=more).strip()
        yield asked("solid.starter", each.source, each.id, prompt, first.text)


def _names_it(each: Sought) -> bool:
    """Whether the first turn is about what the dialogue is said to be about."""
    first = each.turns[0].text.casefold()
    return each.name.casefold() in first or each.attribute.casefold() in first
