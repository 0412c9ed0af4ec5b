"""Values of slots in the spelling that each scorer compares."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.tracking.mwzeval_values import canonical, slot_of
from training.tracking.trade import fixed, plain
from training.tracking.verdicts import partial_ratio, token_sort_ratio


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("  Cambridge ", "cambridge"),
        ("rosa's b&b", "rosa s bed and breakfast"),
        ("king’s college", "king s college"),
        ("kings' arms", "kings arms"),
        ("'the eagle'", "the eagle"),
        ("city centre north b and b", "city centre north bed and breakfast"),
        ("restaurant two two", "restaurant 22"),
        ("bar/pub; club", "bar and pub , club"),
        ("self-catering", "self catering"),
        ("st. john's", "st . john s"),
        ("10.30", "10.30"),
        ("17:45", "17:45"),
        ('<"a" (b)@>', "a b"),
    ],
)
def test_plain_values(text: str, left: str) -> None:
    assert plain(text) == left


@pytest.mark.parametrize(
    ("slot", "value", "meant"),
    [
        ("hotel-area", "Centre of Town", "centre"),
        ("hotel-area", "no", "north"),
        ("hotel-area", "n", "north"),  # first "no", as of any slot, then what "no" is as an area
        ("train-day", "we", "wednesday"),
        ("hotel-bookday", "no", "none"),
        ("hotel-area", "we", "west"),
        ("hotel-parking", "no", "no"),
        ("hotel-parking", "free parking", "free"),
        ("hotel-internet", "free", "yes"),
        ("hotel-parking", "free", "free"),
        ("hotel-type", "4", "hotel"),
        ("hotel-stars", "4", "4"),
        ("hotel-pricerange", "2", "none"),
        ("restaurant-pricerange", "ch", "cheap"),
        ("attraction-type", "sports", "multiple sports"),
        ("attraction-type", "gallery", "none"),
        ("restaurant-area", "cambridge", "none"),
        ("train-departure", "cambridge", "cambridge"),
        ("hotel-name", "not mentioned", "none"),
        ("hotel-stars", "don't care", "dontcare"),
    ],
)
def test_values_as_trade_means_them(slot: str, value: str, meant: str) -> None:
    assert fixed(slot, value) == meant


@pytest.mark.parametrize(
    ("slot", "value", "spelled"),
    [
        ("train-leaveat", "5:45 pm", "17:45"),
        ("train-leaveat", "5pm", "17:00"),
        ("train-leaveat", "12:30pm", "24:30"),  # as in the source, which adds twelve to any hour
        ("train-leaveat", "9 a.m.", "09:00"),
        ("train-leaveat", "9:15am", "09:15"),
        ("train-arriveby", "by 17:45", "17:45"),
        ("train-leaveat", "after 5:45 p.m.", "17:45"),
        ("train-leaveat", "1745", "17:45"),
        ("train-leaveat", "8", "08:00"),
        ("train-leaveat", "17 : 45.", "17:45"),
        ("train-leaveat", "by", "00:00"),
        ("train-leaveat", "half past nine pm", "half past nine"),
        ("train-leaveat", "Mid-Day", "12:00"),
        ("taxi-arriveby", "one o'clock p.m.", "13:00"),
        ("restaurant-booktime", "5:45 pm", "5:45 pm"),  # not among its time slots
        ("restaurant-food", " English ", "british"),
        ("hotel-name", "rosa's", "rosas bed and breakfast"),
        ("taxi-departure", "Lime House", "limehouse"),
        ("hotel-name", "finches & co", "finches and co"),
        ("attraction-type", "night club", "nightclub"),
        ("hotel-parking", "free", "yes"),
        ("hotel-area", "Center", "Center"),
    ],
)
def test_values_as_multiwoz_evaluation_spells_them(slot: str, value: str, spelled: str) -> None:
    assert canonical(slot, value) == spelled


def test_slot_names_of_multiwoz_evaluation() -> None:
    assert [slot_of(name) for name in ("train-arrive", "train-leaveAt", "hotel-book day", "x")] == [
        *("train-arriveby", "train-leaveat", "hotel-bookday", "x")
    ]


@given(st.sampled_from(["train-leaveat", "hotel-name", "restaurant-food", "hotel-type"]), st.text())
def test_any_text_has_a_spelling_and_plain_text_is_plain(slot: str, text: str) -> None:
    assert isinstance(canonical(slot, text), str)
    assert isinstance(fixed(slot, text), str)
    assert plain(text) == plain(text).strip()


@pytest.mark.parametrize(
    ("one", "other", "ratio"),
    [("1", "10", 100), ("no", "none", 100), ("ab", "cd", 0), ("kings college", "king's college", 92)],
)
def test_partial_ratio(one: str, other: str, ratio: int) -> None:
    assert partial_ratio(one, other) == partial_ratio(other, one) == ratio


def test_ratios_are_whole_numbers() -> None:
    # 21 of 22 letters are 95.45, which a threshold of 95 would let pass
    assert partial_ratio("saint johns chop house", "saint john's chop house") == 95
    assert token_sort_ratio("The Nirala!", "nirala the") == 100
