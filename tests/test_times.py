"""Times of day as people say them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthesis.task_oriented.times import DAY, clock, minutes, spoken


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("11:30", "11:30"),
        ("9:05", "09:05"),
        ("09.30", "09:30"),
        ("17h30", "17:30"),
        ("1130", "11:30"),
        ("1730 hours", "17:30"),
        ("9 am", "09:00"),
        ("9:30pm", "21:30"),
        ("12 a.m.", "00:00"),
        ("12 p.m.", "12:00"),
        ("noon", "12:00"),
        ("Midnight", "00:00"),
        ("half past 11 in the morning", "11:30"),
        ("a quarter to five pm", "16:45"),
        ("quarter to 12 am", "23:45"),
        ("25 minutes past three", "03:25"),
        ("seven o'clock", "07:00"),
        ("8 o’clock in the evening", "20:00"),
        ("2 at night", "02:00"),
        ("11 at night", "23:00"),
        ("after 10:00", "10:00"),
        ("no later than  5pm", "17:00"),
        ("24:08", "00:08"),  # a timetable's night
        ("29:59", "05:59"),
    ],
)
def test_one_time(text: str, found: str) -> None:
    read = minutes(text)
    assert read is not None
    assert clock(read) == found


@pytest.mark.parametrize(
    "text", ["", "2", "soon", "12:75", "30:00", "9:5", "16.50 pounds", "TR1730", "3 stars", "11:30 or 12:00"]
)
def test_no_time(text: str) -> None:
    assert minutes(text) is None


@given(st.integers(0, DAY - 1))
def test_what_is_written_is_read(time: int) -> None:
    assert minutes(clock(time)) == time
    assert minutes(f"{time // 60 % 12 or 12}:{time % 60:02} {'am' if time < DAY // 2 else 'pm'}") == time


@given(st.integers(-3 * DAY, 3 * DAY))
def test_the_clock_goes_round(time: int) -> None:
    assert clock(time) == clock(time + DAY)


@given(
    st.lists(st.sampled_from([*"0123456789:.h", " ", "am", " p.m.", "half past ", " to ", "noon", "é"])).map("".join)
)
def test_nothing_that_is_said_breaks_the_reader(text: str) -> None:
    read = minutes(text)
    assert read is None or 0 <= read < DAY
    assert all(minutes(time) is not None for time in spoken(text))


def test_times_in_what_is_said() -> None:
    said = (
        "Leave after 9:15 and be there by half past ten p.m.: it costs 16.50 pounds or £4.50 with TR1730, for 5; "
        "call 01632 960123. Or at 7pm, or noon?"
    )
    assert spoken(said) == ("09:15", "22:30", "19:00", "12:00")
    assert spoken("a table for 2 at the fifteen") == ()
