"""A town of three kinds of things to ask about, small enough to work a conversation out by hand.

Eateries can be booked, sights cannot, and a cab is no row. There is one Thai eatery, in the north; five of six are
in the south; nobody cooks Irish in the north.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

from synthesis.task_oriented.database import Database
from synthesis.task_oriented.goals import Goal, Wish
from synthesis.task_oriented.machine import Conversation
from synthesis.task_oriented.ontology import Ontology, read
from synthesis.task_oriented.policy import Policy
from synthesis.task_oriented.steps import Step

AREAS = ("north", "south")
FOODS = ("irish", "thai", "turkish")

EATERIES = [
    {"name": "golden bowl", "food": "thai", "area": "north", "address": "1 high street", "phone": "01632960001"},
    *(
        {"name": f"{name} house", "food": food, "area": "south", "address": f"{at} low road", "phone": "?"}
        for at, (name, food) in enumerate(
            [("amber", "irish"), ("beryl", "irish"), ("coral", "irish"), ("delft", "irish"), ("ebony", "turkish")], 2
        )
    ),
]

SIGHTS = [
    {"name": "old mill", "area": "south", "address": "9 mill lane", "phone": "01632960009", "fee": "free"},
    {"name": "clock tower", "area": "north", "address": "8 tower hill", "phone": "01632960008", "fee": "2 pounds"},
]

CABS = {"taxi_colors": ["red"], "taxi_types": ["estate"], "taxi_phone": ["^07700[0-9]{6}$"]}


def town(folder: Path) -> tuple[Ontology, Database]:
    """The town, by way of the files that it would be read from."""
    slots = {"eatery": ["food", "area", "name", "bookday", "bookpeople"], "sight": ["area", "name"]}
    slots["cab"] = ["departure", "destination", "arriveby"]
    closed = {"food": list(FOODS), "area": list(AREAS), "bookday": ["friday", "monday"], "bookpeople": list("12345")}
    schema = [
        service("eatery", slots["eatery"], ["address", "phone"], closed, find=True, book=True),
        service("sight", slots["sight"], ["address", "phone", "fee"], closed, find=True, book=False),
        service("cab", slots["cab"], ["type", "phone"], closed, find=False, book=True),
    ]
    (folder / "db").mkdir(parents=True)
    (folder / "schema.json").write_text(json.dumps(schema), encoding="utf-8")
    for name, rows in (("eatery", EATERIES), ("sight", SIGHTS), ("cab", CABS)):
        (folder / "db" / f"{name}_db.json").write_text(json.dumps(rows), encoding="utf-8")
    ontology = read(folder)
    return ontology, Database.read(folder, ontology)


def service(
    name: str, slots: list[str], properties: list[str], closed: dict[str, list[str]], *, find: bool, book: bool
) -> dict[str, Any]:
    """One service in the form of MultiWOZ 2.2."""
    intents = [(f"find_{name}", False)] * find + [(f"book_{name}", True)] * book
    return {
        "service_name": name,
        "description": name,
        "slots": [
            {
                "name": f"{name}-{slot}",
                "description": slot,
                "is_categorical": slot in closed,
                "possible_values": closed.get(slot, []),
            }
            for slot in (*slots, *properties)
        ],
        "intents": [
            {
                "name": intent,
                "description": intent,
                "is_transactional": books,
                "required_slots": [],
                "optional_slots": {f"{name}-{slot}": "dontcare" for slot in slots},
            }
            for intent, books in intents
        ],
    }


PLAIN = Policy(
    opener=0,
    everything=0,
    second_update=0,
    question=0,
    question_unbooked=0,
    refuse=0,
    decline_unbooked=0,
    coreference=0,
    recommend_early=0,
    recommend_unasked=0,
    greet=0,
    details=0,
)
"""Nothing is left to chance that can be: everything is told at once, nobody asks for more than they must."""


def talk(folder: Path, *wishes: Wish, policy: Policy = PLAIN, seed: int = 0) -> Conversation:
    """A conversation in the town."""
    ontology, database = town(folder)
    return Conversation(Goal(wishes), ontology, database, policy, Random(seed))


def steps(conversation: Conversation) -> Iterator[Step]:
    """Every step, each said as it stands."""
    while (asked := conversation.user()) is not None:
        yield asked
        assert conversation.heard() == ()
        answer = conversation.agent()
        yield answer
        assert conversation.said() == ()
