"""Short dialogues with states, of hotels, restaurants, sights and taxis, for tests of trackers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from synthesis.dialogue import Dialogue, Turn, to_json
from synthesis.task_oriented.state import SYSTEM, USER

ROOT = Path(__file__).resolve().parents[1]
TOWN = ROOT / "synthesis" / "recipes" / "luas_ontology"
"""The ontology that ships; its hotel has area before name, its taxi departure before destination."""
MULTIWOZ = ROOT.parent / "shared" / "data" / "multiwoz"

Pair = tuple[str | None, str, str, Mapping[str, str]]
"""Domain, what the user says, what the system says, what changes in the state; "" where a slot goes."""


def talk(name: str, *pairs: Pair, general: tuple[int, ...] = ()) -> Dialogue:
    """A dialogue of such pairs; those of the numbers in `general` are greetings or thanks by their acts."""
    turns: list[Turn] = []
    state: dict[str, str] = {}
    for number, (domain, user, system, change) in enumerate(pairs):
        state = {slot: value for slot, value in (state | change).items() if value}
        acts = ("general-thank",) if number in general else (f"{domain}-inform",)
        turns.append(Turn(USER, user, acts=acts, state=state, domain=domain))
        turns.append(Turn(SYSTEM, system, acts=acts, domain=domain))
    return Dialogue(name, tuple(turns))


def written(path: Path, *dialogues: Dialogue) -> str:
    """A file of them."""
    path.write_text("".join(json.dumps(to_json(one)) + "\n" for one in dialogues))
    return str(path)


HOTEL = talk(
    "real-1",
    ("hotel", "A hotel in the north.", "The Mill.", {"hotel-area": "north"}),
    ("hotel", "Book it.", "Done.", {"hotel-name": "the mill|mill house"}),
    ("taxi", "A taxi there by 9:00.", "A red car comes.", {"taxi-destination": "the mill", "taxi-arriveby": "09:00"}),
    ("taxi", "Thank you.", "Bye.", {}),
    general=(3,),
)
