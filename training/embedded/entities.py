"""Entities with a document and attributes: pages, venues of a database, and those that ship with the recipe."""

from __future__ import annotations

import string
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random

from synthesis.intents import entities as shipped
from synthesis.intents.entities import Entity
from synthesis.recipes.solid import HERE
from synthesis.storage import parse, read_text
from training.pages import Page

_TOLD = (
    ("type", "{name} is a {value}."), ("food", "It serves {value} food."), ("area", "It lies in the {value} of town."),
    ("pricerange", "Its prices are {value}."), ("stars", "It has {value} stars."),
    ("address", "Its address is {value}."), ("phone", "Its phone number is {value}."),
    ("entrance fee", "The entrance fee is {value}."), ("openhours", "About its hours: {value}"),
    ("internet", "Internet there: {value}."), ("parking", "Parking there: {value}."),
)  # fmt: skip
_ASKED = {"pricerange": "price", "openhours": "opening hours", "area": "location", "phone": "phone number"}
KINDS = {"restaurant": "Restaurant", "hotel": "Hotel", "attraction": "Tourist Attraction"}


def of_pages(pages: Sequence[Page]) -> Iterator[Entity]:
    """What medical pages are about."""
    for page in pages:
        document = " ".join(sentence for pair in page.pairs for sentence in pair.answer[:1])
        words = document.split()
        if 15 <= len(words) <= 220 and len(page.focus.split()) <= 6:
            yield Entity(page.focus, "Illness", document, tuple((pair.kind, None) for pair in page.pairs if pair.kind))


def of_tables(folder: Path, rng: Random) -> Iterator[Entity]:
    """Venues of MultiWOZ's database, told in sentences; each slot is an attribute."""
    for table, kind in KINDS.items():
        path = folder / "db" / f"{table}_db.json"
        if not path.is_file():
            continue
        for row in parse(read_text(path, "database"), str(path)):
            told = [
                (slot, text, str(row[slot]))
                for slot, text in _TOLD
                if row.get(slot) not in (None, "", "?", "free", table)
            ]
            name = string.capwords(str(row["name"]))
            head = f"{name} is a {kind.lower()} in Cambridge."
            body = [text.format(name=name, value=value) for slot, text, value in rng.sample(told, len(told))]
            yield Entity(
                name, kind, " ".join([head, *body]), tuple((_ASKED.get(slot, slot), None) for slot, _, _ in told)
            )


def of_recipe() -> list[Entity]:
    """Those that ship with the recipe solid."""
    return shipped.load(HERE / "solid_entities.jsonl")
