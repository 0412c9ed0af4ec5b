"""Ontologies: read from schemas in both forms, and what they take for legal."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from synthesis.errors import UserError
from synthesis.task_oriented import ontology
from synthesis.task_oriented.ontology import Slot

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT.parent / "shared" / "data"
OURS = ROOT / "synthesis/recipes/luas_ontology"

TRACKED = {
    "attraction": {"name", "type", "area"},
    "restaurant": {"food", "pricerange", "area", "name", "bookday", "bookpeople", "booktime"},
    "hotel": {
        *("area", "pricerange", "type", "stars", "internet", "parking", "name"),
        *("bookday", "bookpeople", "bookstay"),
    },
    "train": {"departure", "destination", "day", "leaveat", "arriveby", "bookpeople"},
    "taxi": {"departure", "destination", "leaveat", "arriveby"},
}
"""The thirty that are scored, in five domains [arXiv 2405.13037]."""


def row(name: str, *values: str, **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "description": f"the {name}",
        "is_categorical": bool(values),
        "possible_values": list(values),
        **more,
    }


def intent(name: str, books: bool, required: list[str], optional: list[str], **more: Any) -> dict[str, Any]:
    optional_slots = dict.fromkeys(optional, "dontcare")
    return {
        "name": name,
        "is_transactional": books,
        "required_slots": required,
        "optional_slots": optional_slots,
        **more,
    }


def inn() -> dict[str, Any]:
    """A service in the form of MultiWOZ 2.2."""
    slots = ["inn-area", "inn-parking", "inn-name", "inn-bookday"]
    return {
        "service_name": "inn",
        "description": "beds",
        "slots": [
            row("inn-area", "north", "south"),
            row("inn-parking", "free", "no", "yes"),
            row("inn-name"),
            row("inn-bookday", "monday", "sunday"),
            {"name": "inn-phone", "is_categorical": False},
            {"name": "inn-ref", "is_categorical": False},
        ],
        "intents": [intent("find_inn", False, [], slots), intent("book_inn", True, [], slots)],
    }


def cinema() -> dict[str, Any]:
    """A service in the form of SGD: another name for a name, and a booking that nothing marks but the intents."""
    return {
        "service_name": "Cinema_1",
        "description": "films",
        "slots": [row("city"), row("film"), row("genre", "Drama", "Crime"), row("seats", "1", "2"), row("price")],
        "intents": [
            intent("Find", False, ["city"], ["genre"], result_slots=["city", "film", "genre", "price"]),
            intent("Buy", True, ["film", "city", "seats"], [], result_slots=["film", "seats", "price"]),
        ],
    }


def saved(folder: Path, services: Any) -> Path:
    (folder / "schema.json").write_text(services if isinstance(services, str) else json.dumps(services))
    return folder


def test_the_form_of_multiwoz(tmp_path: Path) -> None:
    (domain,) = ontology.read(saved(tmp_path, [inn()])).domains
    assert [slot.name for slot in domain.search] == ["area", "parking", "name"]
    assert [slot.full for slot in domain.booking] == ["inn-bookday"]
    assert domain.properties == ("phone",), "a reference is told, and no property of what is found"
    assert (domain.books, domain.inventory, domain.named) == (True, True, "name")
    assert domain.slots[0] == Slot("inn", "area", "the inn-area", ("north", "south"))


def test_the_form_of_sgd(tmp_path: Path) -> None:
    (domain,) = ontology.read(saved(tmp_path, [cinema()])).domains
    assert [slot.name for slot in domain.search] == ["city", "film", "genre"]
    assert [slot.name for slot in domain.booking] == ["seats"]
    assert [slot.name for slot in domain.slots if slot.required] == ["city", "seats"]
    assert domain.properties == ("price",)
    assert domain.named == "film", "what a booking needs, and a search does not ask for, is what was found"


def test_a_service_that_is_only_booked_has_no_inventory(tmp_path: Path) -> None:
    cab = {
        "service_name": "cab",
        "slots": [row("cab-destination"), row("cab-phone")],
        "intents": [intent("book_cab", True, ["cab-destination"], [])],
    }
    (domain,) = ontology.read(saved(tmp_path, [cab])).domains
    assert (domain.books, domain.inventory, domain.named) == (True, False, "")
    assert [(slot.name, slot.required) for slot in domain.search] == [("destination", True)]


def test_the_schema_may_lie_in_the_only_folder_that_has_one(tmp_path: Path) -> None:
    for name in ("dev", "test"):
        (tmp_path / name).mkdir()
    saved(tmp_path / "dev", [inn()])
    assert ontology.home(tmp_path) == tmp_path / "dev"
    saved(tmp_path / "test", [inn()])
    with pytest.raises(UserError, match="several folders in it have a schema"):
        ontology.read(tmp_path)


def broken(change: Callable[[dict[str, Any]], Any]) -> list[dict[str, Any]]:
    service = inn()
    change(service)
    return [service]


@pytest.mark.parametrize(
    ("services", "message"),
    [
        ("[{]", "schema.json: not JSON"),
        ("  ", "the file is empty"),
        ([], "expected a list of services, got []"),
        ({"service_name": "inn"}, "expected a list of services, got {'service_name'"),
        (["inn"], "schema.json[0]: expected 'service_name' with a str, got str"),
        ([inn(), inn()], "service 'inn' is there twice"),
        (broken(lambda inn: inn.update(slots=[])), "service 'inn': a schema without slots"),
        (broken(lambda inn: inn.pop("slots")), "service 'inn': expected 'slots' with a list, got None"),
        (broken(lambda inn: inn.pop("intents")), "service 'inn': expected 'intents' with a list, got None"),
        (broken(lambda inn: inn["slots"].append(row("inn-area"))), "service 'inn': slot 'area' is there twice"),
        (broken(lambda inn: inn["slots"].append(row("area"))), "service 'inn': slot 'area' is there twice"),
        (
            broken(lambda inn: inn["slots"][0].update(possible_values=[])),
            "slot 'area': categorical, with possible_values []",
        ),
        (
            broken(lambda inn: inn["intents"][0]["optional_slots"].update({"inn-pool": "dontcare"})),
            "intent 'find_inn': takes or gives 'pool', which is no slot of the service",
        ),
        (
            broken(lambda inn: inn["intents"][0].update(optional_slots=["inn-area"])),
            "intent 'find_inn': expected 'optional_slots' with a dict",
        ),
    ],
)
def test_a_broken_schema_is_refused(tmp_path: Path, services: Any, message: str) -> None:
    with pytest.raises(UserError, match=re.escape(message)):
        ontology.read(saved(tmp_path, services))


def test_no_schema(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no schema.json; give the folder"):
        ontology.read(tmp_path)


def test_legal_values(tmp_path: Path) -> None:
    known = ontology.read(saved(tmp_path, [inn(), cinema()]))
    state = {"inn-area": "North", "inn-parking": "free", "inn-name": "any name|another", "inn-bookday": "dontcare"}
    assert known.legal(state) == state | {"inn-area": "north", "inn-parking": "yes"}
    assert known.legal({"Cinema_1-genre": "drama | Crime"}) == {"Cinema_1-genre": "Drama|Crime"}
    assert known.legal({}) == {}


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"inn-area": "west"}, "inn-area: got 'west', which is none of its values: north, south"),
        ({"inn-area": "north|west"}, "got 'west'"),
        ({"inn-area": ""}, "got ''"),
        ({"inn-area": "free"}, "got 'free'"),
        ({"inn-pool": "yes"}, "no slot 'inn-pool' in the ontology; it has inn-area, inn-parking"),
    ],
)
def test_illegal_values(tmp_path: Path, state: dict[str, str], message: str) -> None:
    with pytest.raises(UserError, match=re.escape(message)):
        ontology.read(saved(tmp_path, [inn()])).legal(state)


def names(domains: ontology.Ontology) -> dict[str, set[str]]:
    return {domain.name: {slot.name for slot in domain.slots} for domain in domains.domains}


def test_our_ontology_tracks_what_multiwoz_does() -> None:
    ours = ontology.read(OURS)
    assert names(ours) == TRACKED
    assert all(slot.description for slot in ours.slots.values())
    assert [domain.name for domain in ours.domains if not domain.inventory] == ["taxi"]
    assert {domain.name: domain.named for domain in ours.domains} == {
        **dict.fromkeys(("restaurant", "hotel", "attraction"), "name"),
        **{"train": "trainid", "taxi": ""},
    }


@pytest.mark.skipif(not (DATA / "multiwoz").is_dir(), reason="needs ../shared/data/multiwoz")
def test_multiwoz() -> None:
    known = ontology.read(DATA / "multiwoz")
    assert len(known.slots) == 35
    others = {
        "hospital": {"department"},
        "bus": {"departure", "destination", "leaveat", "day"},
        "police": set[str](),
    }
    assert names(known) == TRACKED | others
    booking = {slot.full for domain in known.domains for slot in domain.booking}
    assert booking == {name for name in known.slots if "-book" in name}
    assert known.domain("train").properties == ("trainid", "price", "duration")
    assert known.slots["restaurant-food"].values == ()
    assert known.slots["bus-departure"].values == (), "what a slot that is not categorical lists are examples"


@pytest.mark.skipif(not (DATA / "sgd").is_dir(), reason="needs ../shared/data/sgd")
def test_sgd() -> None:
    known = ontology.read(DATA / "sgd")
    assert len(known.domains) == 17
    named = {domain.name: domain.named for domain in known.domains}
    assert named["Hotels_4"] == "place_name"
    assert named["Events_1"] == "event_name"
    assert named["Movies_2"] == "title"
    assert named["Flights_3"] == "", "two airports have names, and no flight"
    restaurants = known.domain("Restaurants_2")
    assert {slot.name for slot in restaurants.booking} == {"date", "time", "number_of_seats"}
    assert not known.domain("RideSharing_1").inventory
