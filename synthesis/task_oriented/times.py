"""Times of day: out of the many ways in which they are said, and into the one in which a state holds them."""

from __future__ import annotations

import re

DAY = 24 * 60

_NUMBERS = "twelve one two three four five six seven eight nine ten eleven".split()
_HOUR = rf"\d{{1,2}}|{'|'.join(_NUMBERS)}"
_PART = r"(?P<am>a\.?m\b\.?|in\ the\ morning)|(?P<pm>p\.?m\b\.?|in\ the\ (?:afternoon|evening)|at\ night|tonight)"
_SPOKEN = re.compile(
    rf"""(?<![\w.:£$€-])(?:
        (?P<named>noon|midday|midnight)\b
      | (?:(?P<few>half|a\ quarter|quarter|\d{{1,2}}\ minutes)\ (?P<side>past|to)\ (?P<near>{_HOUR})
          | (?P<hour>\d{{1,2}})[:.h](?P<minute>\d\d)(?![\d:])(?:\ ?h(?:ou)?rs\b)?
          | (?P<digits>[012]\d[0-5]\d)(?=\ ?h(?:ou)?rs\b|\ ?[ap]\.?m\b)(?:\ ?h(?:ou)?rs\b)?
          | (?P<whole>{_HOUR})(?=\ ?[ap]\.?m\b|\ ?o['’]?\ ?clock\b|\ (?:in\ the\ (?:morn|aft|even)|at\ night))
            (?:\ ?o['’]?\ ?clock)?
        )(?:\ ?(?:{_PART}))?
    )(?!\ ?(?:pounds|gbp|minutes|miles|stars?)\b)(?!\w)""",
    re.IGNORECASE | re.VERBOSE,
)
_LEAD = re.compile(
    r"\A(?:(?:at|by|after|before|around|about|approximately|from|until|till|no (?:later|earlier) than|just)\s+)+",
    re.IGNORECASE,
)
_FOUR = re.compile(r"[012]\d[0-5]\d")


def clock(minutes: int) -> str:
    """`HH:MM` of that many minutes after midnight, taken round the clock."""
    return f"{minutes // 60 % 24:02}:{minutes % 60:02}"


def minutes(text: str) -> int | None:
    """Minutes after midnight, 0 to 1439, of a text that is one time and nothing else; None where it is none.

    A word such as "after" may come before it. An hour beyond 24 is one of the next day ("24:08" is 00:08), as
    timetables write it. Without "am" or "pm" the clock has 24 hours.
    """
    said = _LEAD.sub("", " ".join(text.split()))
    if _FOUR.fullmatch(said):
        said = f"{said[:2]}:{said[2:]}"
    found = _SPOKEN.fullmatch(said)
    return None if found is None else _read(found)


def spoken(text: str) -> tuple[str, ...]:
    """Every time that is said in `text`, in order, as `HH:MM`."""
    return tuple(time for _, time in placed(" ".join(text.split())))


def placed(text: str) -> tuple[tuple[int, str], ...]:
    """Every time that is said in `text`, white space being single, with the place of its first character."""
    read = ((found.start(), _read(found)) for found in _SPOKEN.finditer(text))
    return tuple((at, clock(time)) for at, time in read if time is not None)


def _read(found: re.Match[str]) -> int | None:
    if found["named"]:
        return 0 if found["named"].lower() == "midnight" else DAY // 2
    hour = _hour(found["near"] or found["hour"] or found["whole"] or found["digits"][:2])
    past = int(found["minute"] or (found["digits"] or "0000")[2:])
    if found["few"]:
        few = found["few"].lower()
        past = {"half": 30, "quarter": 15, "a quarter": 15}.get(few) or int(few.split()[0])
        past = past if found["side"].lower() == "past" else -past
    if hour > 29 or not -60 < past < 60:  # 29:59 is as far as a timetable's night goes
        return None
    return (_half(hour, found["am"], found["pm"]) * 60 + past) % DAY


def _hour(text: str) -> int:
    return int(text) if text.isdigit() else _NUMBERS.index(text.lower()) or 12


def _half(hour: int, am: str | None, pm: str | None) -> int:
    """The hour of the 24 that is meant, where morning or evening was said."""
    if am:
        return 0 if hour == 12 else hour
    if pm and hour <= 12:
        after_midnight = pm.lower() == "at night" and hour < 5
        return hour if after_midnight else hour % 12 + 12
    return hour
