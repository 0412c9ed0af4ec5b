"""One domain replaced: by hand, what is bound anew, and for any dialogues no slot of the domain in a real turn."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthesis.dialogue import Dialogue, Lookup
from synthesis.errors import UserError
from synthesis.task_oriented.acts import parse
from synthesis.task_oriented.corpora.reading import read
from synthesis.task_oriented.state import USER, State, domain_of, tracked
from tests.tracked_talks import HOTEL, MULTIWOZ, TOWN, Pair, talk, written
from training.tracking.exchanges import alone, core, exchanges
from training.tracking.rebinding import said
from training.tracking.replacement import main, replaced

MADE = talk(
    "made-1",
    ("hotel", "Hello.", "What can I do?", {}),
    ("hotel", "Cheap rooms, please.", "The Swan is cheap.", {"hotel-pricerange": "cheap"}),
    ("hotel", "I take that.", "Done.", {"hotel-name": "the swan", "hotel-bookday": "friday"}),
    ("hotel", "Thanks, bye.", "Bye.", {}),
    general=(0, 3),
)
NAMELESS = talk("made-2", ("hotel", "Four stars.", "There is none.", {"hotel-stars": "4"}))


def told(dialogue: Dialogue) -> list[tuple[str, dict[str, str]]]:
    return [(turn.text, dict(turn.state or {})) for turn in dialogue.turns if turn.speaker == USER]


def test_a_segment_gives_way_to_a_generated_one_and_what_follows_is_bound_to_it() -> None:
    (made,), facts = replaced([HOTEL], [MADE], "hotel", 0)
    new = {"hotel-pricerange": "cheap", "hotel-name": "the swan", "hotel-bookday": "friday"}
    taxi = {"taxi-destination": "the swan", "taxi-arriveby": "09:00"}
    assert told(made) == [
        ("Cheap rooms, please.", {"hotel-pricerange": "cheap"}),
        ("I take that.", new),
        ("A taxi there by 9:00.", new | taxi),
        ("Thank you.", new | taxi),
    ]
    assert [turn.text for turn in made.turns][-5:] == [
        "Done.",
        "A taxi there by 9:00.",
        "A red car comes.",
        "Thank you.",
        "Bye.",
    ]
    assert (made.id, made.notes) == ("real-1~hotel~made-1", ("replaced: hotel by made-1",))
    assert {key: facts[key] for key in ("turns", "gone", "altered", "behind")} == {
        "turns": 4,
        "gone": 2,
        "altered": 2,
        "behind": 0,
    }
    assert facts["impact"] == 1.0
    assert facts["counted"]["values that name the old venue, bound anew"] == 1


def test_without_a_new_name_the_slot_goes() -> None:
    (made,), facts = replaced([HOTEL], [NAMELESS], "hotel", 0)
    assert told(made)[-1][1] == {"hotel-stars": "4", "taxi-arriveby": "09:00"}
    assert facts["counted"]["values that name the old venue, dropped"] == 1


def test_a_generated_one_with_a_name_is_taken_first_where_one_is_wanted() -> None:
    for seed in range(4):
        (made,), _ = replaced([HOTEL], [MADE, NAMELESS], "hotel", seed)
        assert made.id == "real-1~hotel~made-1"


def test_a_dialogue_of_the_domain_alone_is_replaced_from_end_to_end() -> None:
    alone_real = talk("real-2", HOTEL_PAIR, ("hotel", "Thanks.", "Bye.", {}), general=(1,))
    split = replace(alone_real, notes=("split: train",))
    (made,), facts = replaced([split], [MADE], "hotel", 0)
    assert made.turns == MADE.turns
    assert (made.id, made.notes[0]) == ("real-2~hotel~made-1", "split: train")
    assert (facts["impact"], facts["gone"]) == (1.0, 2)


HOTEL_PAIR: Pair = ("hotel", "A hotel in the north.", "The Mill.", {"hotel-area": "north"})
FOOD_PAIR: Pair = (
    "restaurant",
    "Thai, and a room at the Mill.",
    "Ok.",
    {"restaurant-food": "thai", "hotel-stars": "4"},
)


def test_what_other_turns_told_of_the_domain_goes_and_what_its_turns_told_of_others_is_lost() -> None:
    both: Pair = ("hotel", "A hotel, and a train to Ely.", "Ok.", {"hotel-area": "north", "train-destination": "ely"})
    real = talk("r", both, FOOD_PAIR, ("restaurant", "Book a table.", "Ok.", {"restaurant-bookpeople": "2"}))
    (made,), facts = replaced([real], [NAMELESS], "hotel", 0)
    assert [state for _, state in told(made)] == [
        {"hotel-stars": "4"},
        {"hotel-stars": "4", "restaurant-food": "thai"},
        {"hotel-stars": "4", "restaurant-food": "thai", "restaurant-bookpeople": "2"},
    ]
    counted = facts["counted"]
    assert counted["slots of other domains told in turns that went, lost"] == 1
    assert counted["slots of the domain that other turns told, left out"] == 1


def test_the_venues_name_in_other_turns_is_the_new_ones() -> None:
    named: Pair = ("taxi", "From The  Mill, please.", "From the mill!", {"taxi-departure": "the mill"})
    real = talk("r", ("hotel", "The Mill.", "Yes.", {"hotel-name": "the mill"}), named)
    turns = list(real.turns)
    lookup = Lookup("hotel", {"name": "the mill"}, 1)
    turns[3] = replace(turns[3], acts=("taxi-inform(departure=the mill)", "hotel-inform(name=x)"), lookup=lookup)
    (made,), facts = replaced([replace(real, turns=tuple(turns))], [MADE], "hotel", 0)
    assert [turn.text for turn in made.turns][-2:] == ["From the swan, please.", "From the swan!"]
    assert (made.turns[-1].acts, made.turns[-1].lookup) == (("taxi-inform(departure=the swan)",), None)
    assert facts["counted"]["turns that name the old venue, renamed"] == 2


@pytest.mark.parametrize(
    ("text", "state"),
    [
        ("On the same day.", {"train-day": "friday"}),
        ("On Monday, the same day.", {"train-day": "monday"}),
        ("On a day.", {"train-day": "monday"}),
    ],
)
def test_a_value_that_is_only_pointed_to_is_the_new_ones(text: str, state: dict[str, str]) -> None:
    day: Pair = ("hotel", "The Mill on Monday.", "Yes.", {"hotel-name": "the mill", "hotel-bookday": "monday"})
    real = talk("r", day, ("train", text, "Ok.", {"train-day": "monday"}))
    (made,), _ = replaced([real], [MADE], "hotel", 0)
    assert {name: value for name, value in told(made)[-1][1].items() if domain_of(name) == "train"} == state


@pytest.mark.parametrize(
    ("value", "text", "is_said"),
    [
        ("2", "For two people.", True),
        ("2", "For 12 people.", False),
        ("18:15", "By 6:15 pm.", True),
        ("18:15", "By 7.", False),
        ("the Mill", "at the mill!", True),
    ],
)
def test_what_is_said(value: str, text: str, is_said: bool) -> None:
    assert said(value, text) == is_said


def test_later_segments_go_as_well_and_thanks_stay() -> None:
    real = talk(
        "r",
        HOTEL_PAIR,
        ("train", "To Ely.", "Ok.", {"train-destination": "ely"}),
        ("hotel", "Rather in the south.", "Ok.", {"hotel-area": "south"}),
        ("hotel", "Thanks.", "Bye.", {}),
        general=(3,),
    )
    (made,), facts = replaced([real], [NAMELESS], "hotel", 0)
    assert [text for text, _ in told(made)] == ["Four stars.", "To Ely.", "Thanks."]
    assert made.turns[-1].domain == "train"
    assert facts["counted"]["later segments of the same dialogue, gone"] == 1


def test_what_has_nothing_of_the_domain_stays_as_it_is() -> None:
    other = talk("r", ("train", "To Ely.", "Ok.", {"train-destination": "ely"}))
    (made, _), facts = replaced([other, HOTEL], [MADE], "hotel", 0)
    assert made is other
    assert facts["impact"] == 4 / 5


def test_where_nothing_can_be_replaced_is_refused() -> None:
    other = talk("r", ("train", "To Ely.", "Ok.", {"train-destination": "ely"}))
    with pytest.raises(UserError, match="none of 1 generated dialogues is about hotel and nothing else"):
        replaced([HOTEL], [other], "hotel", 0)
    with pytest.raises(UserError, match="none of 1 real dialogues has anything about it"):
        replaced([other], [MADE], "hotel", 0)
    greeting = talk("g", ("hotel", "Hi.", "Hi.", {"hotel-area": "north"}), ("hotel", "Bye.", "Bye.", {}), general=(1,))
    assert [part.turns[0].text for part in core(exchanges(greeting))] == ["Hi."]


def test_the_command_writes_dialogues_that_are_read_back(tmp_path: Path) -> None:
    real = written(tmp_path / "real.jsonl", HOTEL)
    generated = written(tmp_path / "made.jsonl", MADE, NAMELESS)
    out = tmp_path / "out.jsonl"
    flags = ["--real", real, "--generated", generated, "--ontology", str(TOWN), "--out", str(out)]
    main([*flags, "--domain", "hotel"])
    assert list(read(out)) == replaced(read(real), read(generated), "hotel", 0)[0]
    facts = json.loads((tmp_path / "out.facts.json").read_text())
    assert (facts["domain"], facts["real"]["dialogues"], facts["counted"]["generated dialogues put in"]) == (
        "hotel",
        1,
        1,
    )
    with pytest.raises(UserError, match="no domain 'zoo'"):
        main([*flags, "--domain", "zoo"])


# ---- any dialogues --------------------------------------------------------------------------------------------------

SLOTS = ("area", "name", "day", "destination")
VALUES = ("north", "the mill", "monday", "12:30", "a|b", "")
DOMAINS = ("hotel", "taxi", "train")


def pairs(domains: Sequence[str], slots_of: Sequence[str]) -> Any:
    names = st.sampled_from([f"{domain}-{slot}" for domain in slots_of for slot in SLOTS])
    change = st.dictionaries(names, st.sampled_from(VALUES), max_size=3)
    words = st.sampled_from(["On the same day.", "At the mill.", "Monday.", "Yes."])
    return st.lists(st.tuples(st.sampled_from(domains), words, words, change), min_size=1, max_size=6)


def talks(prefix: str, domains: Sequence[str], slots_of: Sequence[str]) -> Any:
    def each(found: list[tuple[list[Pair], tuple[int, ...]]]) -> list[Dialogue]:
        return [talk(f"{prefix}-{at}", *each, general=general) for at, (each, general) in enumerate(found)]

    general = st.sampled_from([(), (0,), (0, 2), (1,)])
    return st.lists(st.tuples(pairs(domains, slots_of), general), min_size=1, max_size=4).map(each)


def marked(dialogue: Dialogue) -> Dialogue:
    """Told from real dialogues by what is said."""
    return replace(dialogue, turns=tuple(replace(turn, text=f"{MARK}{turn.text}") for turn in dialogue.turns))


MARK = "Made: "


@given(talks("r", DOMAINS, DOMAINS), talks("m", ["hotel"], ["hotel"]))
def test_no_slot_of_the_domain_is_a_real_turns(real: list[Dialogue], generated: list[Dialogue]) -> None:
    real, generated = [HOTEL, *real], list(map(marked, [MADE, *generated]))
    made, facts = replaced(real, generated, "hotel", 0)
    check(generated, "hotel", made, facts)


def check(generated: Sequence[Dialogue], domain: str, made: list[Dialogue], facts: dict[str, Any]) -> None:
    stay, inside = 0, set()
    for new in made:
        before: State = {}
        for part in exchanges(new):
            own = {slot for slot in part.change() if domain_of(slot) == domain}
            if part.texts[0].startswith(MARK):
                inside |= set(part.texts)
                assert own == set(part.change())  # what was put in tells nothing but its own
            else:
                stay += part.users
                assert not own
                assert part.general or not any(turn.domain == domain for turn in part.turns)
                assert not any(parse(act).domain == domain for turn in part.turns for act in turn.acts)
            assert part.before == before
            before = part.after
        assert [number for number, _ in tracked(new)] == list(range(0, len(new.turns), 2))
    put_in = {
        each.id: core(exchanges(each)) for each in generated if f"~{each.id}" in " ".join(new.id for new in made)
    }
    assert {text for parts in put_in.values() for part in parts for text in part.texts} <= inside
    assert stay == facts["turns"] - facts["gone"]
    counted = Counter(facts["counted"])
    told_of = [name for name in counted if name.startswith("generated dialogues")]
    assert sum(counted[name] for name in told_of) == len(generated)
    assert 0 <= facts["impact"] <= facts["impact_with_history"] <= 1
    assert len({each.id for each in made}) == len(made)


@pytest.fixture(scope="module")
def multiwoz() -> tuple[Dialogue, ...]:
    return read(MULTIWOZ / "val.json.zip")[:250]


@pytest.mark.skipif(not MULTIWOZ.is_dir(), reason="needs ../shared/data/multiwoz")
@pytest.mark.parametrize("domain", ["attraction", "hotel", "restaurant", "taxi", "train"])
def test_each_domain_of_multiwoz_can_be_replaced(domain: str, multiwoz: tuple[Dialogue, ...]) -> None:
    """By people's own dialogues of it: what is made is whole, and about as many turns are changed as in the paper."""
    generated = [replace(marked(each), id=f"made-{each.id}") for each in multiwoz if alone(each, domain)]
    made, facts = replaced(multiwoz, generated, domain, 0)
    check(generated, domain, made, facts)
    published = {"attraction": 0.281, "hotel": 0.421, "restaurant": 0.412, "taxi": 0.091, "train": 0.384}[domain]
    assert abs(facts["impact"] - published) < 0.06
