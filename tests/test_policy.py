"""What simulated users and agents are likely to do: limits, the reveal schedule, references between domains."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from synthesis.errors import UserError
from synthesis.task_oriented import reveal
from synthesis.task_oriented.goals import Wish
from synthesis.task_oriented.ontology import Domain, Slot
from synthesis.task_oriented.policy import Policy
from synthesis.task_oriented.progress import Progress, begun
from synthesis.task_oriented.references import akin, rebound, referents
from synthesis.task_oriented.state import DONTCARE
from tests.toy_town import PLAIN, town

INN = Domain(
    "inn",
    "",
    (
        Slot("inn", "name", ""),
        Slot("inn", "departure", ""),
        Slot("inn", "leaveat", ""),
        Slot("inn", "area", "", ("north", "south")),
        Slot("inn", "food", ""),
    ),
    named="name",
)
WANTED = {"departure": "ely", "leaveat": "09:00", "area": "north", "food": "thai"}


# ---- settings -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"refuse": 1.5}, "refuse: got 1.5, a chance"),
        ({"opener": -0.1}, "opener: got -0.1"),
        ({"cap": 0}, "cap: got 0; give 1 or more"),
        ({"early_bookings": ()}, "early_bookings: got"),
        ({"early_bookings": (0.5, 2.0)}, "early_bookings.1.: got 2.0"),
        ({"details": -1}, "details: got -1; give 0 or more"),
    ],
)
def test_policies_that_cannot_be_followed_are_refused(wrong: dict[str, float], says: str) -> None:
    with pytest.raises(UserError, match=says):
        replace(Policy(), **wrong).check()


# ---- what is told ---------------------------------------------------------------------------------------------------


def test_the_chance_of_a_slot_goes_by_its_kind_and_grows() -> None:
    slots = {slot.name: slot for slot in INN.slots}
    likely = {
        name: [reveal.chance(slot, "x", name == "name", at, Policy()) for at in range(7)]
        for name, slot in slots.items()
    }
    assert likely["area"] == [0.55, 0.65, 0.75, 0.85, 0.95, 0.95, 0.95]
    assert likely["leaveat"][:2] == [1.75 * 0.30, 1.75 * 0.40]
    assert reveal.chance(slots["leaveat"], "x", False, 4, Policy(times=3.0)) == 1.0
    assert reveal.chance(slots["area"], DONTCARE, False, 0, Policy()) == 0.0
    assert all(chances == sorted(chances) for chances in likely.values())


def told(exchange: int, asked: tuple[str, ...] = (), **policy: float) -> list[list[str]]:
    """What is told over many seeds."""
    how = replace(Policy(), **policy)
    return [reveal.told(WANTED, asked, INN, exchange, how, Random(seed)) for seed in range(400)]


def test_slots_are_told_by_chance_at_least_one_and_all_from_a_certain_exchange_on() -> None:
    first = told(0, opener=0.0)
    assert all(first)
    assert {len(slots) for slots in first} == {1, 2, 3, 4}
    counts = Counter(slot for slots in first for slot in slots)
    assert 0.48 < counts["area"] / 400 < 0.65, "0.55, and now and then it is the one that must be told"
    assert told(5) == [list(WANTED)] * 400
    assert told(3, ("area", "food", "stars")) == [["area", "food"]] * 400, "what was asked for, and nothing else"


def test_the_first_exchange_is_empty_now_and_then() -> None:
    assert 20 < sum(not slots for slots in told(0)) < 60
    assert all(told(1))


def test_what_does_not_matter_is_not_told_alone_unasked() -> None:
    wanted = {"area": DONTCARE, "food": "thai"}
    made = [reveal.told(wanted, (), INN, 0, PLAIN_SCHEDULE, Random(seed)) for seed in range(50)]
    assert made == [["food"]] * 50
    assert reveal.told({"area": DONTCARE}, (), INN, 0, PLAIN_SCHEDULE, Random(0)) == ["area"]


PLAIN_SCHEDULE = replace(PLAIN, everything=5)


def test_bookings_come_one_to_three_at_once_while_it_is_early_and_then_all() -> None:
    slots = ["bookday", "bookpeople", "bookstay", "booktime"]
    counts = Counter(len(reveal.bookings(slots, (), 2, Policy(), Random(seed))) for seed in range(1000))
    assert set(counts) == {1, 2, 3}
    assert 450 < counts[1] < 550
    assert 70 < counts[3] < 130
    assert reveal.bookings(slots, (), 5, Policy(), Random(0)) == slots
    assert reveal.bookings(slots, ("bookstay",), 0, Policy(), Random(0)) == ["bookstay"]
    assert reveal.bookings([], (), 0, Policy(), Random(0)) == []


# ---- how a talk begins ----------------------------------------------------------------------------------------------


def talks(folder: Path, wish: Wish, policy: Policy) -> list[Progress]:
    ontology, database = town(folder)
    return [begun(wish, ontology, database, policy, Random(seed)) for seed in range(1000)]


def test_budgets_are_drawn_by_their_chances(tmp_path: Path) -> None:
    eateries = talks(tmp_path / "a", Wish("eatery", {"food": "thai"}, {"bookday": "friday"}), Policy())
    sights = talks(tmp_path / "b", Wish("sight", {"area": "north"}), Policy())
    assert Counter(each.questions for each in eateries).keys() == {0, 1}
    assert 150 < sum(each.updates == 2 for each in eateries) < 250
    assert 25 < sum(each.refused for each in eateries) < 80
    assert all(each.books for each in eateries)
    assert not any(each.books for each in sights)
    questions = Counter(each.questions for each in sights)
    assert 350 < questions[2] < 450, "0.5 times 0.8"
    assert 70 < questions[0] < 130
    assert 70 < sum(each.declines for each in sights) < 130


def test_what_leads_to_nothing_is_asked_for_first(tmp_path: Path) -> None:
    ontology, database = town(tmp_path)
    wish = Wish("eatery", {"food": "thai|turkish", "area": "north"}, {}, (), {"food": "irish"})
    talk = begun(wish, ontology, database, PLAIN, Random(0))
    assert (talk.wanted, talk.meant) == ({"food": "irish", "area": "north"}, {"food": "thai"})
    assert not talk.books, "nothing is to be booked"


def test_another_offer_is_not_yet_taken(tmp_path: Path) -> None:
    ontology, database = town(tmp_path)
    talk = begun(Wish("eatery", {"food": "irish"}), ontology, database, PLAIN, Random(0))
    first, other, *_ = database.lookup("eatery", {"food": "irish"})
    talk.offer(first, True)
    talk.selected = talk.taken = True
    talk.offer(first, True)
    assert talk.selected, "the same again"
    talk.offer(other, True)
    assert (talk.selected, talk.taken, talk.name) == (False, False, other["name"])


# ---- references -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("slot", "other", "named", "fits"),
    [
        ("area", "area", "name", True),
        ("day", "bookday", "name", True),
        ("bookpeople", "bookpeople", "", True),
        ("departure", "name", "name", True),
        ("departure", "destination", "trainid", True),
        ("arriveby", "booktime", "name", True),
        ("name", "name", "name", False),
        ("bookpeople", "stars", "name", False),
        ("bookpeople", "bookstay", "name", False),
        ("area", "departure", "trainid", False),
    ],
)
def test_slots_are_akin_that_can_mean_the_same(slot: str, other: str, named: str, fits: bool) -> None:
    assert akin(slot, other, named) == fits


def test_values_are_referred_to_where_an_earlier_domain_has_the_same(tmp_path: Path) -> None:
    ontology, _ = town(tmp_path)
    state = {"eatery-area": "north", "eatery-name": "golden bowl", "sight-area": "north", "eatery-food": DONTCARE}
    assert referents("sight", "area", "north", state, ["eatery"], ontology) == ["eatery-area"]
    assert referents("cab", "departure", "golden bowl", state, ["eatery", "sight"], ontology) == ["eatery-name"]
    assert referents("sight", "area", "south", state, ["eatery"], ontology) == []
    assert referents("sight", "area", "north", state, [], ontology) == []
    assert referents("eatery", "food", DONTCARE, state, ["sight"], ontology) == []


def test_a_ride_is_led_to_where_the_user_went_instead(tmp_path: Path) -> None:
    ontology, database = town(tmp_path)
    names = {name: database.names(name) for name in ("eatery", "sight")}
    state = {"eatery-name": "amber house", "sight-name": "clock tower"}
    ride = {"departure": "golden bowl", "destination": "old mill", "arriveby": "18:30"}
    assert rebound(ride, {}, state, names, ontology) == ride | {
        "departure": "amber house",
        "destination": "clock tower",
    }
    assert rebound(ride, {}, {}, names, ontology) == ride, "nothing was chosen"
    there = {"departure": "golden bowl", "destination": "amber house"}
    assert rebound(there, {}, state, names, ontology) == there, "else it would lead from where it goes to"
    told = rebound({"arriveby": "18:30"}, {"cab-arriveby": "18:30"}, {"cab-arriveby": "19:00"}, {}, ontology)
    assert told == {"arriveby": "19:00"}
