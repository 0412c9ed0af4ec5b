"""The state machine of a task-oriented conversation: every transition, every state, by hand and over many seeds."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from synthesis.dialogue import Lookup
from synthesis.errors import UserError
from synthesis.recipe import Dropped
from synthesis.task_oriented.acts import Act, written
from synthesis.task_oriented.goals import Wish
from synthesis.task_oriented.machine import Conversation
from synthesis.task_oriented.ontology import read
from synthesis.task_oriented.policy import Policy
from synthesis.task_oriented.state import DONTCARE, USER
from synthesis.task_oriented.steps import Step
from tests.toy_town import EATERIES, PLAIN, steps, talk

DATA = Path(__file__).parents[2] / "shared" / "data"
SHIPPED = Path(__file__).parents[1] / "synthesis" / "recipes" / "luas_ontology"


def asked(conversation: Conversation) -> Step:
    """The user's next step, where there must be one."""
    step = conversation.user()
    assert step is not None
    return step


def lines(conversation: Conversation) -> list[str]:
    """Each step as `kind: acts`, up to the goodbyes; references of bookings, which are drawn, as dots."""
    found = [f"{step.kind}: {' '.join(written(step.acts))}" for step in steps(conversation)]
    assert found[-2:] == ["chat: general-thank general-bye", "chat: general-bye"]
    return [f"{line.partition('ref=')[0]}ref=...)" if "ref=" in line else line for line in found[:-2]]


# ---- transitions ----------------------------------------------------------------------------------------------------


def test_one_result_is_taken_and_booked(tmp_path: Path) -> None:
    made = lines(talk(tmp_path, Wish("eatery", {"food": "thai"}, {"bookday": "friday", "bookpeople": "2"})))
    assert made == [
        "inform: eatery-inform(food=thai)",
        "report: eatery-inform(name=golden bowl)",
        "ask_action: eatery-select(name=golden bowl) eatery-book eatery-inform(bookday=friday) "
        "eatery-inform(bookpeople=2)",
        "book: eatery-booked(ref=...)",
    ]


def test_many_results_lead_to_a_recommendation(tmp_path: Path) -> None:
    conversation = talk(tmp_path, Wish("eatery", {"food": "irish"}, {"bookday": "friday"}))
    made = list(steps(conversation))
    assert [step.kind for step in made[:6]] == [
        "inform",
        "report",
        "ask_recommendation",
        "recommend",
        "ask_action",
        "book",
    ]
    assert written(made[1].acts) == ("eatery-inform(count=4)",)
    (offer,) = made[3].acts
    assert made[3].lookup is not None
    assert offer.value in {row["name"] for row in made[3].lookup.rows}
    assert made[4].acts[0] == Act("eatery", "select", "name", offer.value)


def test_an_agent_that_is_asked_while_the_user_tells_recommends_at_once(tmp_path: Path) -> None:
    policy = dataclasses.replace(PLAIN, recommend_early=1.0)
    first, second, *_ = steps(talk(tmp_path, Wish("eatery", {"food": "irish"}), policy=policy))
    assert written(first.acts) == ("eatery-inform(food=irish)", "eatery-recommend")
    assert second.kind == "recommend"


def test_no_result_leads_to_the_value_that_the_goal_means(tmp_path: Path) -> None:
    wish = Wish("eatery", {"food": "thai", "area": "north"}, {"bookday": "friday"}, (), {"food": "irish"})
    conversation = talk(tmp_path, wish)
    assert lines(conversation) == [
        "inform: eatery-inform(food=irish) eatery-inform(area=north)",
        "report: eatery-nooffer",
        "update: eatery-inform(food=thai)",
        "report: eatery-inform(name=golden bowl)",
        "ask_action: eatery-select(name=golden bowl) eatery-book eatery-inform(bookday=friday)",
        "book: eatery-booked(ref=...)",
    ]
    assert conversation.state == {
        "eatery-food": "thai",
        "eatery-area": "north",
        "eatery-name": "golden bowl",
        "eatery-bookday": "friday",
    }


def test_no_result_without_another_meaning_changes_one_slot_to_what_there_is(tmp_path: Path) -> None:
    made = list(steps(talk(tmp_path, Wish("eatery", {"food": "irish", "area": "north"}))))
    assert [step.kind for step in made[:3]] == ["inform", "report", "update"]
    assert made[2].acts in ((Act("eatery", "inform", "food", "thai"),), (Act("eatery", "inform", "area", "south"),))
    assert made[3].lookup is not None
    assert made[3].lookup.count > 0


def test_a_user_who_has_changed_enough_gives_up_and_goes_on(tmp_path: Path) -> None:
    wishes = (Wish("eatery", {"food": "irish", "area": "north"}), Wish("sight", {"area": "north"}))
    conversation = talk(tmp_path, *wishes)
    kinds = []
    for _ in range(3):
        step = asked(conversation)
        kinds.append((step.domain, step.kind))
        conversation.heard({"eatery-food": "irish", "eatery-area": "north"})  # whatever was changed is not heard
        conversation.agent()
        conversation.said()
    assert kinds == [("eatery", "inform"), ("eatery", "update"), ("sight", "inform")]


def test_properties_are_asked_of_what_is_offered_and_answered_from_its_row(tmp_path: Path) -> None:
    wish = Wish("eatery", {"food": "thai"}, {"bookday": "friday"}, ("phone",))
    conversation = talk(tmp_path, wish)
    made = list(steps(conversation))
    assert written(made[2].acts) == ("eatery-select(name=golden bowl)", "eatery-request(phone)")
    assert made[2].kind == "inquire_properties"
    assert made[3].kind == "answer"
    assert written(made[3].acts) == ("eatery-inform(phone=01632960001)",)
    assert written(made[4].acts)[0] == "eatery-book", "what was selected before is not selected again"


def test_nobody_asks_for_what_a_row_does_not_have(tmp_path: Path) -> None:
    made = steps(talk(tmp_path, Wish("eatery", {"food": "turkish"}, {"bookday": "friday"}, ("phone",))))
    assert "inquire_properties" not in {step.kind for step in made}


def test_a_refused_booking_ends_the_domain(tmp_path: Path) -> None:
    policy = dataclasses.replace(PLAIN, refuse=1.0)
    made = lines(talk(tmp_path, Wish("eatery", {"food": "thai"}, {"bookday": "friday"}), policy=policy))
    assert made[-1] == "refuse: eatery-refuse"


def test_who_wants_nothing_booked_thanks_and_goes_on_or_home(tmp_path: Path) -> None:
    first = list(steps(talk(tmp_path / "a", Wish("eatery", {"food": "thai"}), Wish("sight", {"area": "north"}))))
    assert [written(step.acts) for step in first[2:4]] == [
        ("eatery-select(name=golden bowl)", "general-thank"),
        ("general-reqmore",),
    ]
    alone = list(steps(talk(tmp_path / "b", Wish("eatery", {"food": "thai"}))))
    assert [written(step.acts) for step in alone[2:]] == [
        ("eatery-select(name=golden bowl)", "general-thank", "general-bye"),
        ("general-bye",),
    ]
    assert alone[2].state == {"eatery-food": "thai", "eatery-name": "golden bowl"}


def test_where_nothing_is_booked_the_agent_tells_the_way(tmp_path: Path) -> None:
    made = lines(talk(tmp_path, Wish("sight", {"area": "south"})))
    assert made[-2:] == [
        "ask_action: sight-select(name=old mill)",
        "book: sight-inform(address=9 mill lane) sight-inform(phone=01632960009)",
    ]


def test_agents_ask_back_where_there_is_much_and_the_user_answers_just_that(tmp_path: Path) -> None:
    policy = dataclasses.replace(PLAIN, opener=1.0)
    questions = set()
    for seed in range(20):
        folder = tmp_path / str(seed)
        made = steps(talk(folder, Wish("eatery", {"food": "irish", "area": "south"}), policy=policy, seed=seed))
        opener, question, reply, *_ = made
        assert (opener.kind, written(opener.acts), opener.state) == ("opener", ("eatery-inform",), {})
        if question.kind == "inquire":
            slots = [act.slot for act in question.acts]
            assert [act.slot for act in reply.acts] == [slot for slot in ("food", "area") if slot in slots]
            questions.add(tuple(sorted(slots)))
    assert len(questions) > 1, "not always the same question"


def test_booking_slots_that_were_not_told_are_asked_for(tmp_path: Path) -> None:
    policy = dataclasses.replace(PLAIN, everything=5, early_bookings=(1.0,))
    made = lines(
        talk(tmp_path, Wish("eatery", {"food": "thai"}, {"bookday": "friday", "bookpeople": "2"}), policy=policy)
    )
    one, other = ("bookday", "bookpeople") if "(bookday=" in made[2] else ("bookpeople", "bookday")
    assert f"({one}=" in made[2]
    assert f"({other}=" not in made[2]
    assert made[3] == f"inquire: eatery-request({other})"
    assert made[4].startswith(f"ask_action: eatery-inform({other}=")
    assert made[5] == "book: eatery-booked(ref=...)"


def test_a_slot_that_does_not_matter_is_told_as_such_and_narrows_nothing(tmp_path: Path) -> None:
    made = list(steps(talk(tmp_path, Wish("eatery", {"food": "thai", "area": DONTCARE}))))
    assert Act("eatery", "inform", "area", DONTCARE) in made[0].acts
    assert made[1].lookup == Lookup("eatery", {"food": "thai", "area": DONTCARE}, 1, made[1].lookup.rows)  # type: ignore[union-attr]


def test_a_ride_follows_what_was_chosen_and_refers_to_it(tmp_path: Path) -> None:
    for seed in range(12):
        wishes = (
            Wish("eatery", {"food": "irish"}, {"bookday": "friday"}),
            Wish("sight", {"area": "south"}),
            Wish("cab", {"departure": "amber house", "destination": "old mill", "arriveby": "18:30"}),
        )
        conversation = talk(tmp_path / str(seed), *wishes, seed=seed)
        ride = next(step for step in list(steps(conversation)) if step.domain == "cab")
        assert conversation.state["cab-departure"] == conversation.state["eatery-name"]
        assert ride.refers == {"departure": "eatery-name", "destination": "sight-name"}
        assert written(ride.acts)[0] == "cab-book"


def test_a_ride_is_booked_once_all_is_told(tmp_path: Path) -> None:
    made = lines(talk(tmp_path, Wish("cab", {"departure": "old mill", "arriveby": "09:00"})))
    assert made[0] == "inform: cab-book cab-inform(departure=old mill) cab-inform(arriveby=09:00)"
    assert made[1].startswith("book: cab-booked cab-inform(type=red estate) cab-inform(phone=07700")


# ---- the name -------------------------------------------------------------------------------------------------------


def test_the_name_comes_into_the_state_when_it_is_taken_never_when_it_is_offered(tmp_path: Path) -> None:
    for seed in range(30):
        named = ""
        for step in steps(talk(tmp_path / str(seed), Wish("eatery", {"food": "irish"}), policy=Policy(), seed=seed)):
            if step.speaker == USER and not named:
                takes = [act.value for act in step.acts if act.act == "select"]
                assert (step.state or {}).get("eatery-name", "") == (takes[0] if takes else "")
                named = takes[0] if takes else ""
        assert named in {row["name"] for row in EATERIES}


def test_a_name_that_the_user_asks_for_is_told_by_the_user(tmp_path: Path) -> None:
    first, *_ = steps(talk(tmp_path, Wish("eatery", {"name": "golden bowl"})))
    assert first.state == {"eatery-name": "golden bowl"}


# ---- what an extractor read, as published ---------------------------------------------------------------------------


def test_what_was_not_heard_is_told_again(tmp_path: Path) -> None:
    conversation = talk(tmp_path, Wish("eatery", {"food": "thai", "area": "north"}))
    conversation.user()
    conversation.heard({"eatery-area": "north"})
    conversation.agent()
    conversation.said()
    step = asked(conversation)
    assert written(step.acts) == ("eatery-inform(food=thai)",)


def test_garbage_is_left_out_and_told(tmp_path: Path) -> None:
    conversation = talk(tmp_path, Wish("eatery", {"food": "thai"}))
    conversation.user()
    told = conversation.heard(
        {"eatery-food": "klingon", "moon-phase": "full", "eatery-name": " ", "eatery-area": "north"}
    )
    assert conversation.state == {"eatery-area": "north"}
    assert [message.partition(":")[0] for message in told] == [
        "eatery-food",
        "no slot 'moon-phase' in the ontology; it has eatery-food, eatery-area, eatery-name, eatery-bookday, "
        "eatery-bookpeople, sight-area, sight-name, cab-departure, cab-destination, cab-arriveby",
        "eatery-name",
    ]


def test_a_conversation_in_which_nothing_is_ever_heard_is_dropped_at_the_cap(tmp_path: Path) -> None:
    conversation = talk(tmp_path, Wish("eatery", {"food": "thai"}))
    for _ in range(8):
        asked(conversation)
        conversation.heard({})
        conversation.agent()
        conversation.said("")
    with pytest.raises(Dropped, match="cap: 8 exchanges about eatery") as caught:
        conversation.user()
    assert caught.value.stage == "simulation"


def test_hotels_have_a_cap_of_their_own() -> None:
    ontology = read(SHIPPED)
    assert [Policy().cap_of(ontology.domain(name)) for name in ("hotel", "restaurant")] == [12, 8]


def test_an_offer_must_be_of_a_row_that_was_shown(tmp_path: Path) -> None:
    conversation = talk(tmp_path, Wish("eatery", {"food": "irish"}))
    conversation.user()
    conversation.heard(asked_recommendation=True)
    assert conversation.agent().kind == "recommend"
    assert conversation.said("golden bowl") == ("'golden bowl': no row that the agent was shown has this name",)
    step = asked(conversation)
    assert step.kind == "ask_recommendation", "nothing counts as offered"
    conversation.heard()
    conversation.agent()
    assert conversation.said("Coral House") == ()
    step = asked(conversation)
    assert step.acts[0] == Act("eatery", "select", "name", "coral house")


def test_an_offer_that_a_later_search_does_not_have_is_not_taken(tmp_path: Path) -> None:
    conversation = talk(tmp_path, Wish("eatery", {"food": "thai", "area": "north"}))
    asked(conversation)
    conversation.heard({"eatery-food": "thai"})
    assert conversation.agent().acts == (Act("eatery", "inform", "name", "golden bowl"),)
    conversation.said()
    asked(conversation)
    conversation.heard({"eatery-food": "irish", "eatery-area": "south"})
    assert conversation.agent().acts == (Act("eatery", "inform", "count", "4"),)
    conversation.said()
    assert asked(conversation).kind == "ask_recommendation"


def test_a_booking_that_was_not_reported_is_asked_for_again(tmp_path: Path) -> None:
    conversation = talk(tmp_path, Wish("eatery", {"food": "thai"}, {"bookday": "friday"}))
    kinds = []
    for _ in range(3):
        step = asked(conversation)
        kinds.append(step.kind)
        conversation.heard()
        conversation.agent()
        conversation.said(booked=False)
    assert kinds == ["inform", "ask_action", "ask_action"]


def test_a_user_who_ends_a_domain_goes_to_the_next_and_after_the_last_home(tmp_path: Path) -> None:
    conversation = talk(tmp_path, Wish("eatery", {"food": "thai"}), Wish("sight", {"area": "south"}))
    for domain, act in (("eatery", "reqmore"), ("sight", "bye")):
        step = asked(conversation)
        assert step.domain == domain
        conversation.heard(ended=True)
        assert conversation.agent().acts == (Act("general", act),)
        conversation.said()
    assert conversation.user() is None


def test_slots_that_an_agent_has_asked_for_are_answered(tmp_path: Path) -> None:
    policy = dataclasses.replace(PLAIN, opener=1.0)
    conversation = talk(tmp_path, Wish("eatery", {"food": "irish", "area": "south"}), policy=policy)
    conversation.user()
    conversation.heard()
    conversation.agent()
    conversation.said(asked=["area", "stars"])
    step = asked(conversation)
    assert written(step.acts) == ("eatery-inform(area=south)",)


# ---- bad goals ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wish", "says"),
    [
        (Wish("zoo", {}), "no domain 'zoo'"),
        (Wish("eatery", {"stars": "4"}), "eatery has no slot 'stars'; it has food, area"),
        (Wish("eatery", {"food": "klingon"}), "'klingon', which is none of its values: irish, thai, turkish"),
    ],
)
def test_goals_that_the_ontology_does_not_have_are_refused(tmp_path: Path, wish: Wish, says: str) -> None:
    with pytest.raises(UserError, match=says):
        talk(tmp_path, wish)


def test_a_goal_with_a_domain_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="eatery is in it 2 times"):
        talk(tmp_path, Wish("eatery", {"food": "thai"}), Wish("eatery", {"food": "irish"}))


def test_a_goal_without_domains_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="one wish at least"):
        talk(tmp_path)


def test_both_sides_keep_their_turns(tmp_path: Path) -> None:
    conversation = talk(tmp_path, Wish("eatery", {"food": "thai"}))
    with pytest.raises(ValueError, match="out of turn"):
        conversation.heard()
    conversation.user()
    with pytest.raises(ValueError, match="out of turn"):
        conversation.said()
