"""The five scorers of belief states, against turns worked by hand, and what must hold for any states."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthesis.errors import UserError
from synthesis.task_oriented.ontology import Domain, Ontology, Slot
from training.tracking.counting import DomainScore, States
from training.tracking.scorers import SCORERS, Score, score
from training.tracking.slots import MULTIWOZ, of

NAMES = ("trade_exact", "exact_alt", "mwz22_official", "mwzeval_dst", "luas_lenient")
LENIENT = ("mwzeval_dst", "luas_lenient")
NORTH = "hotel-area=north"

RIGHT, NOTHING, MISSED, EXTRA = "+1/0/0", "+0/0/0", "-0/0/1", "-0/1/0"
WRONG = "-0/1/1"
FALSE = EXTRA
"""How LUAS counts a wrong value: as a slot too many, and not as one that was missed."""

# what is tried | gold | predicted | trade_exact, exact_alt, mwz22_official, mwzeval_dst, luas_lenient.
# A verdict is + where the turn is right and - where it is wrong, then how many slots are right/false/missed.
TURNS = [
    ("same", NORTH, NORTH, RIGHT, RIGHT, RIGHT, RIGHT, RIGHT),
    ("nothing", "", "", NOTHING, NOTHING, NOTHING, NOTHING, NOTHING),
    ("missed", NORTH, "", MISSED, MISSED, MISSED, MISSED, MISSED),
    ("extra, empty gold", "", NORTH, EXTRA, EXTRA, EXTRA, EXTRA, EXTRA),
    ("wrong", NORTH, "hotel-area=south", WRONG, WRONG, WRONG, WRONG, FALSE),
    (
        "one of three wrong",
        "hotel-area=north; hotel-stars=4; hotel-type=hotel",
        "hotel-area=north; hotel-stars=4; hotel-type=guesthouse",
        *["-2/1/1"] * 4,
        "-2/1/0",
    ),
    ("dontcare on both", "hotel-area=dontcare", "hotel-area=dontcare", RIGHT, RIGHT, RIGHT, EXTRA, EXTRA),
    ("dontcare missed", "hotel-area=dontcare", "", MISSED, MISSED, MISSED, NOTHING, NOTHING),
    ("dontcare extra", "", "hotel-area=dontcare", EXTRA, EXTRA, EXTRA, EXTRA, EXTRA),
    ("value for dontcare", "hotel-area=dontcare", NORTH, WRONG, WRONG, WRONG, EXTRA, EXTRA),
    ("dontcare for value", NORTH, "hotel-area=dontcare", WRONG, WRONG, WRONG, WRONG, FALSE),
    ("dontcare in words", "hotel-area=dontcare", "hotel-area=do not care", RIGHT, RIGHT, WRONG, EXTRA, EXTRA),
    ("any", "hotel-area=dontcare", "hotel-area=any", RIGHT, RIGHT, WRONG, EXTRA, EXTRA),
    ("second alternative", "train-leaveat=14:45|15:00", "train-leaveat=15:00", WRONG, RIGHT, RIGHT, WRONG, FALSE),
    ("first alternative", "train-leaveat=14:45|15:00", "train-leaveat=14:45", WRONG, RIGHT, RIGHT, RIGHT, RIGHT),
    ("categorical second", "hotel-stars=4|3", "hotel-stars=3", WRONG, RIGHT, WRONG, WRONG, FALSE),
    ("categorical first", "hotel-stars=4|3", "hotel-stars=4", WRONG, RIGHT, RIGHT, RIGHT, RIGHT),
    ("dontcare alternative", "hotel-stars=4|dontcare", "hotel-stars=4", WRONG, RIGHT, RIGHT, EXTRA, EXTRA),
    ("two predicted", "train-leaveat=15:00", "train-leaveat=15:00|16:20", WRONG, RIGHT, RIGHT, RIGHT, RIGHT),
    ("center", "hotel-area=centre", "hotel-area=center", RIGHT, RIGHT, WRONG, WRONG, FALSE),
    ("guest house", "hotel-type=guesthouse", "hotel-type=guest house", RIGHT, RIGHT, WRONG, RIGHT, FALSE),
    ("hall", "attraction-type=concert hall", "attraction-type=concerthall", RIGHT, RIGHT, WRONG, WRONG, FALSE),
    ("free", "hotel-internet=yes", "hotel-internet=free", RIGHT, RIGHT, WRONG, RIGHT, FALSE),
    ("4 stars", "hotel-stars=4", "hotel-stars=4 stars", RIGHT, RIGHT, WRONG, RIGHT, RIGHT),
    ("pm", "train-leaveat=17:45", "train-leaveat=5:45pm", WRONG, WRONG, WRONG, RIGHT, FALSE),
    ("pm of a booking", "restaurant-booktime=17:45", "restaurant-booktime=5:45pm", WRONG, WRONG, WRONG, WRONG, FALSE),
    ("after", "train-leaveat=17:45", "train-leaveat=after 17:45", WRONG, WRONG, WRONG, RIGHT, RIGHT),
    ("noon", "taxi-leaveat=12:00", "taxi-leaveat=noon", WRONG, WRONG, WRONG, RIGHT, FALSE),
    ("no leading zero", "train-arriveby=09:15", "train-arriveby=9:15", WRONG, WRONG, WRONG, RIGHT, RIGHT),
    ("hour alone", "train-leaveat=08:00", "train-leaveat=8", WRONG, WRONG, WRONG, RIGHT, RIGHT),
    ("1 is in 10", "train-bookpeople=10", "train-bookpeople=1", WRONG, WRONG, WRONG, RIGHT, RIGHT),
    ("no is in none", "hotel-parking=no", "hotel-parking=none", MISSED, MISSED, WRONG, RIGHT, RIGHT),
    ("asian", "restaurant-food=asian oriental", "restaurant-food=asian", WRONG, WRONG, WRONG, RIGHT, RIGHT),
    ("the", "hotel-name=cambridge belfry", "hotel-name=the cambridge belfry", WRONG, WRONG, WRONG, RIGHT, RIGHT),
    (
        "'s, 22 of 23 letters",
        "hotel-name=rosas bed and breakfast",
        "hotel-name=rosa's bed and breakfast",
        *(WRONG, WRONG, WRONG, RIGHT, RIGHT),
    ),
    (
        "'s, 21 of 22 letters: 95.45 is not above 95",
        "restaurant-name=saint johns chop house",
        "restaurant-name=saint john's chop house",
        *(WRONG, WRONG, WRONG, WRONG, RIGHT),
    ),
    (
        "'s, 12 of 13 letters",
        "attraction-name=kings college",
        "attraction-name=king's college",
        *(WRONG, WRONG, WRONG, WRONG, RIGHT),
    ),
    (
        "'s on both: LUAS changes predictions only",
        "attraction-name=king's college",
        "attraction-name=king's college",
        *(RIGHT, RIGHT, RIGHT, RIGHT, FALSE),
    ),
    (
        "churchill",
        "attraction-name=churchills college",
        "attraction-name=churchill college",
        *(WRONG, WRONG, WRONG, WRONG, RIGHT),
    ),
    (
        "hinton and hilton",
        "restaurant-name=pizza hut cherry hilton",
        "restaurant-name=pizza hut cherry hinton",
        *(WRONG, WRONG, WRONG, RIGHT, RIGHT),
    ),
    (
        "capitals",
        "hotel-name=Bridge Guest House",
        "hotel-name=bridge guest house",
        *(RIGHT, RIGHT, WRONG, RIGHT, FALSE),
    ),
    (
        "b&b",
        "hotel-name=alpha milton b&b",
        "hotel-name=alpha milton bed and breakfast",
        *(RIGHT, RIGHT, WRONG, WRONG, FALSE),
    ),
    ("english", "restaurant-food=british", "restaurant-food=english", WRONG, WRONG, WRONG, RIGHT, FALSE),
    ("none in gold", "hotel-area=none", "", NOTHING, NOTHING, MISSED, MISSED, MISSED),
    ("a label TRADE voids", "hotel-type=bed and breakfast", "", NOTHING, NOTHING, MISSED, MISSED, MISSED),
    (
        "untracked slot of the schema",
        NORTH,
        f"{NORTH}; train-trainid=tr1234",
        *(RIGHT, RIGHT, "-1/1/0", "-1/1/0", RIGHT),
    ),
    ("slot of no schema", NORTH, f"{NORTH}; hotel-view=sea", RIGHT, RIGHT, RIGHT, "-1/1/0", RIGHT),
    ("another domain missed", f"{NORTH}; bus-day=wednesday", NORTH, RIGHT, RIGHT, "-1/0/1", "-1/0/1", RIGHT),
]


def state(text: str) -> dict[str, str]:
    """`state("hotel-area=north; hotel-stars=4")`."""
    return dict(part.strip().split("=", 1) for part in text.split(";") if part.strip())


def states(*texts: str) -> dict[tuple[str, int], dict[str, str]]:
    """States of the user turns 0, 2, 4 and so on of one dialogue."""
    return {("d", 2 * at): state(text) for at, text in enumerate(texts)}


def verdict(found: Score) -> str:
    """As in the table above."""
    counts = [sum(getattr(each, kind) for each in found.slots.values()) for kind in ("right", "false", "missed")]
    return ("+" if found.joint_goal_accuracy == 1 else "-") + "/".join(f"{count:g}" for count in counts)


@pytest.mark.parametrize("turn", TURNS, ids=lambda turn: turn[0])
@pytest.mark.parametrize("name", NAMES)
def test_turns_worked_by_hand(name: str, turn: tuple[str, ...]) -> None:
    _, gold, predicted, *expected = turn
    assert verdict(score(name, states(gold), states(predicted))) == expected[NAMES.index(name)]


def test_there_are_enough_turns_and_the_scorers_are_the_five() -> None:
    assert len(TURNS) >= 30
    assert tuple(SCORERS) == NAMES
    assert (len(MULTIWOZ.tracked), len(MULTIWOZ.other)) == (30, 31)


# numbers over several turns

GOLD = states("hotel-area=north; hotel-stars=4", "", "hotel-area=north; hotel-stars=4", NORTH)
SAID = states(
    "hotel-area=north; hotel-stars=4", "", "hotel-area=north; hotel-stars=3; hotel-type=hotel", ""
)  # right/false/missed: 2/0/0, 0/0/0, 1/2/1, 0/0/1


@pytest.mark.parametrize("name", ["trade_exact", "exact_alt"])
def test_trade_takes_means_over_turns(name: str) -> None:
    found = score(name, GOLD, SAID)
    assert found.joint_goal_accuracy == 2 / 4
    assert found.precision == pytest.approx((1 + 1 + 1 / 3 + 0) / 4)
    assert found.recall == pytest.approx((1 + 1 + 1 / 2 + 0) / 4)
    assert found.f1 == pytest.approx((1 + 1 + 2 / 5 + 0) / 4)
    assert found.slot_accuracy == pytest.approx((30 + 30 + 28 + 29) / (4 * 30))  # stars wrong once, type, area


@pytest.mark.parametrize(("name", "missed"), [("mwz22_official", 2), ("mwzeval_dst", 2), ("luas_lenient", 1)])
def test_the_others_count_over_all_slots(name: str, missed: int) -> None:
    found = score(name, GOLD, SAID)
    assert (found.joint_goal_accuracy, found.slot_accuracy) == (2 / 4, None)
    assert (found.precision, found.recall) == (pytest.approx(3 / 5), pytest.approx(3 / (3 + missed)))
    assert found.f1 == pytest.approx(2 * 3 / (2 * 3 + 2 + missed))
    assert (found.slots["hotel-stars"].right, found.slots["hotel-stars"].false) == (1, 1)
    assert found.slots["hotel-area"].recall == pytest.approx(2 / 3)


def test_fuzzy_matching_multiplies_degrees() -> None:
    gold = states("restaurant-name=nirala|jinling; train-leaveat=17:45")
    said = states("restaurant-name=the nirala; train-leaveat=17:15")
    found = score("mwz22_official", gold, said, fuzzy=True)
    assert found.joint_goal_accuracy == pytest.approx(0.75 * 0.4)  # "nirala the": 2 * 6/16; "15 17": 2 * 2/10
    assert found.precision == found.recall == pytest.approx((0.75 + 0.4) / 2)
    assert score("mwz22_official", gold, said).joint_goal_accuracy == 0
    categorical = states("hotel-area=north"), states("hotel-area=northern")
    assert score("mwz22_official", *categorical, fuzzy=True).joint_goal_accuracy == 0


def test_domains_in_both_conventions() -> None:
    taxi = "taxi-departure=ely"
    gold = {("a", 0): state(NORTH), ("a", 2): state(f"{NORTH}; {taxi}"), ("b", 0): state(NORTH), ("c", 0): {}}
    said = {("a", 0): state(f"{NORTH}; {taxi}"), ("a", 2): state(taxi), ("b", 0): state(f"{NORTH}; {taxi}")}
    found = score("trade_exact", gold, said)
    assert found.joint == ((0.0, 0.0), (0.0,), (1.0,))
    assert found.domains == (
        DomainScore("hotel", 3 / 4, 2 / 3, 2, 3),  # wrong in a's second turn; c has no hotel
        DomainScore("taxi", 2 / 4, 1 / 2, 1, 2),  # said too early in a, and in b, which has no taxi
    )


def test_a_domain_that_gold_never_has_is_told_over_all_turns_alone() -> None:
    found = score("luas_lenient", states(NORTH, NORTH), states(NORTH, f"{NORTH}; taxi-departure=ely"))
    assert found.domains[1] == DomainScore("taxi", 1 / 2, None, 0, 0)


def test_slots_that_a_scorer_does_not_look_at_are_counted() -> None:
    gold, said = states(f"{NORTH}; bus-day=wednesday"), states(f"{NORTH}; hotel-view=sea; train-trainid=tr1")
    assert score("trade_exact", gold, said).ignored == {
        "gold": {"bus-day": 1},
        "predicted": {"hotel-view": 1, "train-trainid": 1},
    }
    assert score("mwz22_official", gold, said).ignored == {"gold": {}, "predicted": {"hotel-view": 1}}
    assert score("mwzeval_dst", gold, said).ignored == {"gold": {}, "predicted": {}}


def test_a_turn_without_prediction_is_an_empty_state() -> None:
    missing, empty = score("trade_exact", GOLD, {}), score("trade_exact", GOLD, {turn: {} for turn in GOLD})
    assert missing == empty
    assert missing.joint_goal_accuracy == 1 / 4


def test_other_ontologies_bring_their_slots() -> None:
    day = Slot("Bank_1", "day", "when", ("mo", "tu"))
    ontology = Ontology((Domain("Bank_1", "a bank", (day, Slot("Bank_1", "who", "to whom")), ("phone",)),))
    gold = states("Bank_1-day=mo|tu; Bank_1-who=ann|anne")
    said = states("Bank_1-day=mo; Bank_1-who=anne; Bank_1-phone=1")
    found = score("mwz22_official", gold, said, ontology)
    assert (verdict(found), found.tracked) == ("-2/1/0", 2)
    assert score("trade_exact", gold, gold, ontology).slot_accuracy == 1
    with pytest.raises(UserError, match=r"looks at none of the slots that gold has \(Bank_1-day.*--ontology"):
        score("mwz22_official", gold, said)


def test_an_ontology_with_more_domains_than_the_field_scores_has_the_30_slots() -> None:
    names = [name.split("-") for name in (*MULTIWOZ.tracked, "bus-day")]
    domains = sorted({domain for domain, _ in names})
    ontology = Ontology(
        tuple(
            Domain(one, "", tuple(Slot(one, slot, "") for domain, slot in names if domain == one)) for one in domains
        )
    )
    assert of(ontology).tracked == MULTIWOZ.tracked
    assert of(ontology).other == {"bus-day"}


def test_what_cannot_be_scored_is_refused() -> None:
    with pytest.raises(UserError, match="no scorer 'jga'; there are trade_exact, exact_alt, mwz22_official"):
        score("jga", GOLD, SAID)
    with pytest.raises(UserError, match="trade_exact has no fuzzy variant"):
        score("trade_exact", GOLD, SAID, fuzzy=True)
    with pytest.raises(UserError, match="no user turn"):
        score("trade_exact", {}, {})
    with pytest.raises(UserError, match="turn 9 of dialogue 'd'"):
        score("trade_exact", GOLD, {("d", 9): {}})


# whatever the states

VALUES = (
    "north",
    "10",
    "1",
    "09:15",
    "5:45 pm",
    "guesthouse",
    "king's college",
    "b&b",
    "dontcare",
    "none",
    "a|b",
    "|'|",
)
any_state = st.dictionaries(st.sampled_from(MULTIWOZ.tracked), st.sampled_from(VALUES) | st.text(min_size=1))
turns = st.dictionaries(
    st.tuples(st.sampled_from("abc"), st.integers(0, 6)), st.tuples(any_state, any_state), min_size=1
)


def sides(drawn: dict[tuple[str, int], tuple[dict[str, str], dict[str, str]]]) -> tuple[States, States]:
    return {turn: pair[0] for turn, pair in drawn.items()}, {turn: pair[1] for turn, pair in drawn.items()}


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=30)
@given(turns)
def test_gold_against_itself_is_right(
    name: str, drawn: dict[tuple[str, int], tuple[dict[str, str], dict[str, str]]]
) -> None:
    gold, _ = sides(drawn)
    if name in LENIENT:  # these leave dontcare out of gold alone, LUAS changes a few names in predictions alone
        spared = {turn: state for turn, state in gold.items() if not any("dontcare" in v for v in state.values())}
        gold = {turn: {k: v.replace("'", "") for k, v in state.items()} for turn, state in spared.items()} or GOLD
    found = score(name, gold, gold)
    assert found.joint_goal_accuracy == 1
    assert found.slot_accuracy in (None, 1)
    assert all(counts.false == counts.missed == 0 for counts in found.slots.values())


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=30)
@given(turns, st.randoms(use_true_random=False))
def test_the_order_of_turns_does_not_matter_and_shares_are_shares(
    name: str, drawn: dict[tuple[str, int], tuple[dict[str, str], dict[str, str]]], chance: random.Random
) -> None:
    gold, said = sides(drawn)
    shuffled = [dict(chance.sample(sorted(each.items()), len(each))) for each in (gold, said)]
    found = score(name, gold, said)
    assert found == score(name, *shuffled)
    assert all(0 <= share <= 1 for share in (found.joint_goal_accuracy, found.precision, found.recall, found.f1))
    assert all(right == 0 or right == 1 for turns in found.joint for right in turns)
    perfect = all(right == 1 for turns in found.joint for right in turns)
    assert perfect == all(each.false == each.missed == 0 for each in found.slots.values())
