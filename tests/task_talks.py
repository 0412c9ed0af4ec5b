"""Dialogues about tasks, written without any engine, and a finished run of luas with them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

from builders.dialogues import RECIPES
from synthesis.contents import digested
from synthesis.dialogue import Dialogue, Lookup, Origin, Stage, Turn
from synthesis.task_oriented.state import SYSTEM, USER
from tests.run_folder import run_facts, run_folder

SAMPLING = {"temperature": 0.5, "max_new_tokens": 64}
FIELDS: dict[str, Any] = {
    "ontology": digested(RECIPES / "luas_ontology"),
    "mode": "improved",
    "goals": "db",
    "corpus": None,
    "wording": "free",
    "extractor": "engine",
    "regenerations": 2,
}
ROUND = {
    "round": 1,
    "seeds": 52,
    "kept": 40,
    "dropped": {"state: a slot missed": 8, "cap": 3},
    "failed": {"Unavailable": 1},
}
GOAL: dict[str, Any] = {
    "domains": {
        "hotel": {
            "inform": {"area": "north", "stars": "dontcare", "parking": "yes"},
            "book": {"bookpeople": "2", "bookday": "friday", "bookstay": "2"},
            "request": ["phone"],
            "fail": {"area": "west"},
        },
        "taxi": {"inform": {"departure": "the lamp inn", "leaveat": "10:15"}},
    },
    "persona": "A teacher on a first visit.",
}
INN = {"name": "the lamp inn", "area": "north", "parking": "yes", "phone": "01632960123"}
FOUND = {"hotel-area": "north", "hotel-stars": "dontcare", "hotel-parking": "yes|free"}
CHOSEN = {**FOUND, "hotel-name": "the lamp inn"}
BOOKED = {**CHOSEN, "hotel-bookpeople": "2", "hotel-bookday": "friday", "hotel-bookstay": "2"}
RIDE = {**BOOKED, "taxi-departure": "the lamp inn", "taxi-leaveat": "10:15"}


def turns() -> tuple[Turn, ...]:
    """A hotel and a taxi: nothing found, an update, any number of stars, a question, a booking, a refusal."""
    return (
        Turn(
            USER,
            "Hello! A hotel in the west with free parking, please.",
            acts=("general-greet", "hotel-inform(area=west)", "hotel-inform(parking=yes)"),
            state={"hotel-area": "west", "hotel-parking": "yes|free"},
            domain="hotel",
        ),
        Turn(
            SYSTEM,
            "There is none in the west, I am afraid.",
            acts=("hotel-nooffer(area=west)",),
            domain="hotel",
            lookup=Lookup("hotel", {"area": "west", "parking": "yes"}, 0),
        ),
        Turn(
            USER,
            "The North then. I do not mind how many stars.",
            acts=("hotel-inform(area=north)", "hotel-inform(stars=dontcare)"),
            state=FOUND,
            domain="hotel",
        ),
        Turn(
            SYSTEM,
            "Of 3 hotels I like The Lamp Inn.",
            acts=("hotel-inform(count=3)", "hotel-recommend(name=the lamp inn)"),
            domain="hotel",
            lookup=Lookup("hotel", {"area": "north", "parking": "yes"}, 3, (INN,)),
        ),
        Turn(
            USER,
            "That one. What is its phone number?",
            acts=("hotel-select(name=the lamp inn)", "hotel-request(phone)"),
            state=CHOSEN,
            domain="hotel",
        ),
        Turn(SYSTEM, "It is 01632960123.", acts=("hotel-inform(phone=01632960123)",), domain="hotel"),
        Turn(
            USER,
            "Book it for 2 people and 2 nights from Friday.",
            acts=(
                "hotel-book",
                "hotel-inform(bookpeople=2)",
                "hotel-inform(bookstay=2)",
                "hotel-inform(bookday=friday)",
            ),
            state=BOOKED,
            domain="hotel",
        ),
        Turn(SYSTEM, "They are full, sorry.", acts=("hotel-refuse",), domain="hotel"),
        Turn(
            USER,
            "Then just a taxi from there at 10:15.",
            acts=("taxi-inform(departure=the lamp inn)", "taxi-inform(leaveat=10:15)", "taxi-book"),
            state=RIDE,
            domain="taxi",
        ),
        Turn(
            SYSTEM,
            "A red skoda comes at 10:15.",
            acts=("taxi-booked(type=red skoda)",),
            domain="taxi",
            lookup=Lookup("taxi", {"departure": "the lamp inn", "leaveat": "10:15"}, 1, ({"type": "red skoda"},)),
        ),
        Turn(USER, "Thanks, bye!", acts=("general-thank", "general-bye"), state=RIDE, domain="taxi"),
        Turn(SYSTEM, "Have a good trip.", acts=("general-bye",), domain="taxi"),
    )


def talk(**changes: Any) -> Dialogue:
    """The dialogue of `turns` with its goal."""
    whole: dict[str, Any] = {"id": "luas-1", "turns": turns(), "goal": GOAL, "origin": origin()}
    return Dialogue(**whole | changes)


def origin() -> Origin:
    stages = (Stage("user", "generator", 6, 900, 60, SAMPLING), Stage("system", "generator", 6, 1200, 80, SAMPLING))
    return Origin("luas", "improved", "teller", None, "0123456789abcdef", 7, 1, stages)


def forty() -> list[Dialogue]:
    """Forty dialogues: the long one thirty times, two a goal, and ten short ones about restaurants, sorted by id."""
    long = [talk(id=f"luas-{number:012x}", notes=("long",), goal=_goal(number // 2)) for number in range(30)]
    return sorted([*long, *map(_short, range(30, 40))], key=lambda dialogue: dialogue.id)


def _goal(number: int) -> dict[str, Any]:
    ride = {"departure": "the lamp inn", "leaveat": f"10:{number:02}"}
    return GOAL | {"domains": GOAL["domains"] | {"taxi": {"inform": ride}}}


def _short(number: int) -> Dialogue:
    area = Random(number).choice(("north", "south", "west"))
    said = (
        Turn(
            USER,
            f"Somewhere to eat in the {area}, table {number}?",
            acts=(f"restaurant-inform(area={area})",),
            state={"restaurant-area": area},
            domain="restaurant",
        ),
        Turn(
            SYSTEM,
            f"Nothing is open in the {area} today.",
            acts=(f"restaurant-nooffer(area={area})",),
            domain="restaurant",
            lookup=Lookup("restaurant", {"area": area}, 0),
        ),
    )
    goal = {"domains": {"restaurant": {"inform": {"area": area, "name": f"table {number}"}}}}
    return talk(id=f"luas-{number:012x}", turns=said, goal=goal)


def task_run(folder: Path, dialogues: Sequence[Dialogue] | None = None, **facts: Any) -> Path:
    """A finished run of luas in `folder`; `facts` replace those of run.json."""
    made = forty() if dialogues is None else dialogues
    unfought = [{"round": 1, "challenger": 0, "incumbent": 0, "outvoted others": 0, "unopposed": len(made)}]
    stages = [
        {"name": name, "role": "generator", "requests": 9, "tokens_in": 900, "tokens_out": 40, "sampling": SAMPLING}
        for name in ("user", "system")
    ]
    told = run_facts(len(made)) | {"recipe": "luas", "preset": "improved", "model": "teller", "fields": FIELDS}
    told |= {"rounds": 1, "funnel": [ROUND], "contests": unfought, "stages": stages}
    return run_folder(folder, made, **told | facts)
