"""Values in the one spelling that MultiWOZ_Evaluation (Nekvinda and Dušek 2021) compares; arXiv 2106.05555.

Venues, food and types go through tables of what annotators wrote, times become HH:MM as far as its rules reach. They
are kept with their oddities, for a score is comparable only so: half past noon, "12:30 pm", becomes 24:30, a booking's
time is left as it stands.
"""

from __future__ import annotations

import functools
import re

_VENUES = {
    "acorn guest house": "acorn house",
    "arbury lodge guesthouse": "arbury guesthouse; arbury guesthouse and lodge",
    "bridge guest house": "bridge house",
    "broughton house gallery": "broughton gallery",
    "cafe jello gallery": "cafe jello museum",
    "caffe uno": "cafe uno; caffee uno",
    "cambridge university botanic gardens": "cambridge botanic gardens; the botanical gardens at cambridge university",
    "christ's college": "christ college; christs",
    "city center north b and b": "city center b and b",
    "cityroomz": "cityrooms",
    "express by holiday inn cambridge": "holiday inn exlpress, cambridge",
    "hotel du vin and bistro": "hotel du vin bistro",
    "huntingdon marriott hotel": "huntingdon hotel",
    "junction theatre": "the junction",
    "limehouse": "lime house",
    "nandos": "nando's",
    "nandos city centre": "nandos in the city centre",
    "parkside swimming pool": "parkside pools",
    "restaurant one seven": "restaurant 1 7; restaurant 17",
    "restaurant two two": "restaurant 2 2; restaurant 2 two; restaurant called two two; restaurant two 2",
    "rosas bed and breakfast": "rosa's",
    "scudamores punting co": "scudamores punt co",
    "the river bar steakhouse and grill": "the river bar and grill",
    "trinity college": "trinity street college",
    "university arms hotel": "university hotel",
    "whale of a time": "whale of time",
    "whipple museum of the history of science": "history of science museum",
}
_FOOD = {
    "asian": "asian or oriental",
    "australian": "australasian",
    "british": "bristish; brutish; english",
    "european": "europeon",
    "gastropub": "gastropod",
    "italian": "intalian; italain",
    "mediterranean": "eriterean",
    "north american": "americas; modern american",
    "portuguese": "brazilian; portugese",
    "seafood": "sea food",
}
_TYPES = {
    "guesthouse": "guest house",
    "multiple sports": "mutliple sports",
    "nightclub": "night club",
    "swimmingpool": "swimming pool",
}
_HOURS = {
    "06:45": "six fourty five",
    "07:00": "seven o'clock tomorrow evening",
    "08:00": "morning",
    "08:30": "eight thirty",
    "12:00": "around lunch time; lunch; mid-day; noon",
    "13:00": "afternoon",
    "13:30": "one thirty p.m.",
    "15:45": "three forty five p.m",
}


def _meanings(spellings: dict[str, str]) -> dict[str, str]:
    return {wrong: right for right, all_wrong in spellings.items() for wrong in all_wrong.split("; ")}


_VENUE, _DISH, _KIND, _HOUR = map(_meanings, (_VENUES, _FOOD, _TYPES, _HOURS))


def slot_of(name: str) -> str:
    """A `domain-slot` as we name it: small letters, no spaces, and arriveby and leaveat for arrive and leave."""
    domain, dash, slot = name.partition("-")
    slot = slot.lower().replace(" ", "")
    return domain + dash + {"arrive": "arriveby", "leave": "leaveat"}.get(slot, slot)


@functools.lru_cache(maxsize=65536)
def canonical(name: str, value: str) -> str:
    """The spelling of `value` that is compared for the `domain-slot` `name`."""
    slot = name.partition("-")[2]
    if slot in ("name", "departure", "destination"):
        return _venue(value)
    if slot == "food":
        dish = value.strip().lower()
        return _DISH.get(dish, dish)
    if slot in ("arriveby", "leaveat", "time"):
        return _time(value)
    if slot in ("parking", "internet"):
        return "yes" if value == "free" else value
    return _KIND.get(value, value) if slot == "type" else value


def _venue(value: str) -> str:
    value = value.strip().lower().replace(" & ", " and ").replace("&", " and ").replace(" '", "'")
    return _VENUE.get(value, value)


def _time(value: str) -> str:
    value = value.strip().lower()
    for start, hour in (("one o'clock p.m", "13:00"), ("ten o'clock a.m", "10:00")):
        if value.startswith(start):
            return hour
    if value in _HOUR:
        return _HOUR[value]
    value = re.sub(r"^by.?", "", value)
    value = re.sub("^after\\s*", "", value)
    value = re.sub("^afer\\s*", "", value)
    value = re.sub(r"\s*(am|a\.m\.)$", "", value)
    return _afternoon(value) if value.endswith(("pm", "p.m.")) else _digits(value)


def _afternoon(value: str) -> str:
    """Twelve hours on, whatever the hour; what is no hour goes on without its pm."""
    value = re.sub(r"\s*(pm|p\.m\.)$", "", value)
    hour, colon, minutes = value.partition(":")
    if hour.strip().isdecimal() and ":" not in minutes:
        return f"{int(hour) + 12}:{minutes if colon else '00'}"
    return _digits(value)


def _digits(value: str) -> str:
    """Four digits get a colon, an hour its minutes, and either side of a colon no spaces."""
    if not value:
        return "00:00"
    value = re.sub("[.,?]$", "", value)
    if value.isdecimal():
        return f"{value[:2]}:{value[2:]}" if len(value) == 4 else f"{value.zfill(2)}:00"
    if ":" in value:
        value = value.replace(" ", "")
    return f"0{value}" if len(value) == 4 and value[1] == ":" else value
