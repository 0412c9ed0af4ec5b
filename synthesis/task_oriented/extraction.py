"""Slots read out of a user's utterance by rules: a second reader who has not seen what the utterance was to say.

It knows the ontology, the values and names of the database, what the system said last and the state before. Names and
values are found as they are written, with some spellings that people use; numbers by their nouns, times and places by
their prepositions; "I don't mind" where the slot's word stands beside it or the system just asked for it; "the same
area as the hotel" in the state; and an offer that is taken without its name is the one that the system named last.
Choice, all of it: the published extractor is a language model.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from synthesis.dialogue import Turn
from synthesis.task_oriented import spotting, times
from synthesis.task_oriented.ontology import Domain, Ontology, Slot
from synthesis.task_oriented.spoken import singular, slot_words, words_of
from synthesis.task_oriented.spotting import plain
from synthesis.task_oriented.state import DONTCARE, SYSTEM, State, domain_of, slot_name, split


class Rows(Protocol):
    """What is needed of a database."""

    @property
    def domains(self) -> Sequence[str]: ...

    def rows(self, domain: str) -> Sequence[Mapping[str, str]]: ...

    def names(self, domain: str) -> Sequence[str]: ...


@dataclass(frozen=True, slots=True)
class Reading:
    """What an utterance was read to say: its domain, None where none was spoken of yet, and `domain-slot` to value."""

    domain: str | None
    told: Mapping[str, str]


_TOPICS = {
    "hotel": r"hotels?|guest ?houses?|places? to stay|somewhere to stay|lodgings?|accommodations?|rooms?|stay|nights?",
    "restaurant": r"restaurants?|food|eat|dine|dining|tables?|cuisine|meal|lunch|dinner|eatery|hungry",
    "attraction": r"attractions?|sightseeing|places? to (?:go|visit|see)|see in town|visit|entrance fees?|tourist"
    r"|entertainment|museums?|colleges?|parks?|theatres?|cinemas?",
    "train": r"trains?",
    "taxi": r"taxis?|cabs?",
    "bus": r"bus|buses",
    "hospital": r"hospitals?",
    "police": r"police",
}
"""What speaks for a domain, where an ontology has one of that name; else the words of its name do."""

_KEYS = {
    "area": r"area|part of town|side of town|location|where in town",
    "pricerange": r"price|prices|cost|costs|spend|budget",
    "type": r"type|kind of (?:place|hotel|attraction)",
    "stars": r"stars?|rating",
    "internet": r"internet|wi-?fi",
    "parking": r"parking",
    "food": r"food|cuisine",
    "day": r"days?",
    "bookday": r"days?",
    "bookpeople": r"people|how many of you|group",
    "bookstay": r"nights?|how long",
    "booktime": r"time",
    "departure": r"where (?:i|do you|will you|would you) (?:leave|depart|start|be leaving)|departure p\w+|leaving from"
    r"|journey begin|depart from",
    "destination": r"destination|where (?:i|are you|do you|would you like to|should it) (?:go|going|arrive|take)",
    "leaveat": r"when i leave|when (?:would|do) you (?:like|want) to (?:leave|depart)|(?:departure|leaving) time"
    r"|(?:depart|leave)\?|should it leave",
    "arriveby": r"when i arrive|arrival time|arrive|be there",
    "name": r"name|particular",
}
"""Words that name a slot, in a question or where somebody does not mind; else the words of its own name."""

_SAME = {
    r"area|part of town|side of town": ("area",),
    r"price range|price": ("pricerange",),
    r"day": ("day", "bookday"),
    r"number of people|group of people|people|group|party": ("bookpeople",),
    r"number of nights|nights": ("bookstay",),
    r"type": ("type",),
    r"star rating|stars|rating": ("stars",),
    r"food|cuisine": ("food",),
}
"""What "the same X" can be about, and the slots that hold it."""

_ACCEPTS = re.compile(
    r"\bbook|\breserv|\bi'll take\b|\blet's (?:go with|choose)\b|\bthat one\b|\bsounds (?:good|perfect|great)\b"
    r"|\bworks for me\b|\b(?:will|would) (?:do|be perfect|be great)\b|\bperfect\b|\bgo ahead\b|\barrange\b"
    r"|\byes,? (?:please|that)\b|\btable\b|\bget (?:me|us) (?:in|a room)\b|\bput it on\b|\bgo there\b|\bconfirm\b"
)
_REFUSES = re.compile(
    r"\banother\b|\bdifferent\b|\binstead\b|\bnot\b|\brecommend|\bsuggest|\bhow about\b|\bwhat about\b|^no\b"
)
_TIMED = {"leaveat", "arriveby", "booktime"}
_COUNTED = {"bookpeople": "people", "bookstay": "stay", "stars": "stars"}
_FROM = r"(?:\b(?:from|leaving|departing|depart|leave|departure is|start(?:ing)? (?:in|at))(?: from)? (?:the )?)"
_TO = (
    r"(?:\b(?:to|into|towards|reach|visit|destination is|arriv\w+ (?:in|at)|going|heading|take me to|bound for)"
    r" (?:to )?(?:the )?)"
)


class Rules:
    """The reader by rules, for one ontology and its database."""

    def __init__(self, ontology: Ontology, database: Rows) -> None:
        self._ontology = ontology
        self._names = {
            each.name: {
                plain(name): name for name in (database.names(each.name) if each.name in database.domains else ())
            }
            for each in ontology.domains
        }
        self._name = {domain: re.compile(spotting.either(names)) for domain, names in self._names.items()}
        self._values = {slot.full: self._spellings(slot, database) for slot in ontology.slots.values()}
        self._value = {full: re.compile(spotting.either(values)) for full, values in self._values.items()}
        self._places = self._all_places()
        self._telltale = [full for full in self._values if self._own(full)]
        self._topics = {each.name: re.compile(rf"\b(?:{_topic(each)})\b") for each in ontology.domains}

    def _spellings(self, slot: Slot, database: Rows) -> dict[str, str]:
        """What may stand for a value of the slot, to the value. Open slots take theirs from the table's column."""
        values: Iterable[str] = slot.values
        if not slot.values and slot.domain in database.domains and slot.name not in {"name", *_TIMED}:
            values = {row[slot.name] for row in database.rows(slot.domain) if row.get(slot.name)}
        kept = [
            value for value in sorted(values) if plain(value) not in {DONTCARE, *_YES, *_NO} and not value.isdigit()
        ]
        return {plain(spelling): value for value in kept for spelling in (value, *spotting.SPELLINGS.get(value, ()))}

    def _all_places(self) -> dict[str, str]:
        """Where one can leave from or go to: every name of a venue, and every departure and destination."""
        found = {name: value for names in self._names.values() for name, value in names.items()}
        for full, values in self._values.items():
            if full.endswith(("-departure", "-destination")):
                found |= values
        return found

    def _own(self, full: str) -> bool:
        """Whether the values of a slot are those of no other domain, so that one of them tells the domain."""
        others = [set(values) for name, values in self._values.items() if domain_of(name) != domain_of(full)]
        if full.endswith(("-departure", "-destination")):
            return False
        return bool(self._values[full]) and not any(set(self._values[full]) & other for other in others)

    def read(self, utterance: str, history: Sequence[Turn], before: State, domain: str | None) -> Reading:
        """What `utterance` tells after `history` in the state `before`, when `domain` was spoken of last."""
        said = spotting.telling(plain(utterance))
        heard = next((plain(turn.text) for turn in reversed(history) if turn.speaker == SYSTEM), "")
        about = self._domain(said or plain(utterance), domain)
        if about is None:
            return Reading(None, {})
        told = self._told(self._ontology.domain(about), said, heard, before)
        name, named = self._accepted(about, plain(utterance), history), self._ontology.domain(about).named
        if name and slot_name(about, named) in self._ontology.slots and named not in told:
            told[named] = name
        return Reading(about, {slot_name(about, slot): value for slot, value in told.items()})

    def _domain(self, said: str, last: str | None) -> str | None:
        """What is spoken of: the domain that most speaks for, of equals the last one."""
        unnamed = self._without_names(said)
        visited = re.sub(rf"(?:{_FROM}|{_TO})#", " ", unnamed)
        text = re.sub(r"\b(?:as|from|to|for|at) (?:the|my) (?:\w+)(?: booking)?\b", " ", unnamed)
        count = {
            each.name: len(self._topics[each.name].findall(text))
            + (len(self._name[each.name].findall(said)) if "#" in visited else 0)
            + any(self._value[full].search(text) for full in self._telltale if domain_of(full) == each.name)
            for each in self._ontology.domains
        }
        if any(count.get(name) for name in ("taxi", "train")):
            count |= {name: 0 for name in count if name not in ("taxi", "train")}
        best = max(count.values(), default=0)
        if not best or (last is not None and count[last] == best):
            return last
        return next(name for name, value in count.items() if value == best)

    def _without_names(self, said: str) -> str:
        """With a # for every name of the database."""
        for each in self._name.values():
            said = each.sub("#", said)
        return said

    def _told(self, domain: Domain, said: str, heard: str, before: State) -> dict[str, str]:
        """Slot to value, all finders in turn."""
        told: dict[str, str] = {}
        names = self._name[domain.name].findall(said)
        slots = {slot.name: slot for slot in domain.slots}
        if names and domain.named in slots:
            told[domain.named] = self._names[domain.name][names[0]]
        rest = self._without_names(said)
        asked = {name for name in slots if self._asks(slots[name], heard)}
        told |= self._indifferent(domain, rest, asked)
        told |= {name: value for name, value in self._same(domain, rest, before).items() if name not in told}
        if {"departure", "destination"} & set(slots):
            told |= self._route(domain, said, asked, before)
        for name, slot in slots.items():
            if name not in told and name not in ("departure", "destination", domain.named):
                value = self._one(slot, rest, name in asked) if name in _KEYS else self._other(slot, said, rest)
                if value is not None:
                    told[name] = value
        return told

    def _asks(self, slot: Slot, heard: str) -> bool:
        """Whether the system just asked for the slot."""
        questions = [each for each in spotting.sentences(heard) if each.endswith("?")]
        return any(re.search(_key(slot), each) for each in questions)

    def _indifferent(self, domain: Domain, said: str, asked: Collection[str]) -> dict[str, str]:
        """Slots that the user does not care about: those whose words stand in the clause, else those asked for."""
        found: dict[str, str] = {}
        for clause in (each for sentence in spotting.sentences(said) for each in spotting.clauses(sentence)):
            if not spotting.careless(clause):
                continue
            named = [slot.name for slot in domain.slots if re.search(_key(slot), clause)]
            # a day to travel on and one to book for, a time of leaving and one of booking: only those of the domain
            found |= dict.fromkeys(named or asked, DONTCARE)
        return found

    def _same(self, domain: Domain, said: str, before: State) -> dict[str, str]:
        """ "The same area as the hotel": the value that the state has there, or for the domain spoken of last."""
        found: dict[str, str] = {}
        own = {slot.name for slot in domain.slots}
        for words, slots in _SAME.items():
            match = re.search(rf"\bsame (?:{words})\b(?: as (?:the|my) (\w+))?", said)
            value = match and self._elsewhere(before, slots, match[1], domain.name)
            if value:
                found |= {name: value for name in slots if name in own}
        late = re.search(r"\bin time for (?:the|my) (\w+)", said)
        value = late and self._elsewhere(before, ("booktime",), late[1], domain.name)
        return found | ({"arriveby": value} if value and "arriveby" in own else {})

    def _elsewhere(self, before: State, slots: Collection[str], noun: str | None, own: str) -> str | None:
        for name, value in reversed([*before.items()]):
            other = domain_of(name)
            named = noun is None or re.fullmatch(self._topics[other].pattern, noun) if other in self._topics else None
            if other != own and named and name.partition("-")[2] in slots and value != DONTCARE:
                return split(value)[0]
        return None

    def _route(self, domain: Domain, said: str, asked: Collection[str], before: State) -> dict[str, str]:
        """Where from and where to: a place behind its preposition, a venue that was chosen, or the only place."""
        chosen = {
            plain(word): split(value)[0]
            for name, value in before.items()
            if name.endswith("-name") and value != DONTCARE
            for word in _venue_words(domain_of(name))
        }
        own = {slot.name for slot in domain.slots} & {"departure", "destination"}
        places = self._places if not domain.inventory else self._values[slot_name(domain.name, sorted(own)[0])]
        places = dict(places) | (chosen if not domain.inventory else {})
        place = spotting.either(places)
        found: dict[str, str] = {}
        for slot, lead in (("departure", _FROM), ("destination", _TO)):
            match = re.search(lead + place, said) if slot in own else None
            if match:
                found[slot] = places[match[1]]
        loose = [each for each in dict.fromkeys(re.findall(place, said)) if places[each] not in found.values()]
        wanted = [slot for slot in sorted(own) if slot in asked and slot not in found]
        if len(loose) == 1 and len(wanted) == 1:
            found[wanted[0]] = places[loose[0]]
        return found

    def _one(self, slot: Slot, said: str, asked: bool) -> str | None:
        """The value of one slot; None where nothing is said of it."""
        if slot.name in _COUNTED:
            return spotting.counted(said, _COUNTED[slot.name]) or (spotting.bare(said) if asked else None)
        if slot.name in ("day", "bookday"):
            return next(iter(spotting.days(said)), None)
        if slot.name in _TIMED:
            return _timed(slot.name, said, asked)
        if _truth(slot):
            return _yes_or_no(slot, said, asked)
        found = self._value[slot.full].search(_without_references(said) if slot.name == "type" else said)
        if found:
            return self._values[slot.full][found[1]]
        return None

    def _other(self, slot: Slot, said: str, rest: str) -> str | None:
        """The value of a slot of which only the schema is known: yes or no, what stands behind its words, or a value
        that only this slot of the domain can have. `rest`: what is said without names."""
        if _truth(slot):
            return _yes_or_no(slot, said, False)
        values = self._values[slot.full]
        stated = _stated(slot, said, values)
        if stated is not None:
            return stated
        alike = [name for name in self._values if name != slot.full and domain_of(name) == slot.domain]
        if any(set(values) & set(self._values[name]) for name in alike):
            return None
        found = self._value[slot.full].search(rest)
        return values[found[1]] if found else None

    def _accepted(self, domain: str, said: str, history: Sequence[Turn]) -> str | None:
        """The one name that the system offered last, where the user takes it."""
        if not _ACCEPTS.search(said) or _REFUSES.search(said):
            return None
        for turn in reversed(history):
            named = set(self._name[domain].findall(plain(turn.text))) if turn.speaker == SYSTEM else set()
            if named:
                return self._names[domain][named.pop()] if len(named) == 1 else None
        return None


_YES, _NO = ("yes", "free", "true"), ("no", "false")


def _topic(domain: Domain) -> str:
    return _TOPICS.get(domain.name) or rf"{re.escape(singular(words_of(domain.name)))}s?"


def _key(slot: Slot) -> str:
    return rf"\b(?:{_KEYS.get(slot.name) or re.escape(slot_words(slot.name))})"


def _venue_words(domain: str) -> tuple[str, ...]:
    """What a venue of the domain is called once it has been chosen."""
    return (domain, *(("guesthouse",) if domain == "hotel" else ()))


def _without_references(said: str) -> str:
    """Without "the hotel": a hotel spoken of is none asked for."""
    return re.sub(r"\b(?:the|my|that|this) (?:hotel|guesthouse|restaurant)\b|\bhotels\b", " ", said)


def _truth(slot: Slot) -> bool:
    values = {value.lower() for value in slot.values} - {DONTCARE}
    return bool(values) and values <= {*_YES, *_NO}


def _timed(name: str, said: str, asked: bool) -> str | None:
    """The time that is told for a slot. One that says neither leaving nor arriving is of the slot asked for."""
    for sentence in spotting.sentences(said):
        for at, time in times.placed(sentence):
            which = spotting.leaving_or_arriving(sentence[:at])
            if name == "booktime" or which == name or (which is None and asked):
                return time
    return None


def _yes_or_no(slot: Slot, said: str, asked: bool) -> str | None:
    """Whether the thing is wanted, as the slot's list writes it; a bare yes or no where it was asked for."""
    yes = next((value for value in slot.values if value.lower() in ("yes", "true")), "yes")
    no = next((value for value in slot.values if value.lower() in _NO), "no")
    for clause in (each for sentence in spotting.sentences(said) for each in spotting.clauses(sentence)):
        if re.search(_key(slot), clause) and not spotting.careless(clause):
            return no if spotting.negative(clause) else yes
    if asked and (bare := re.match(r"(yes|no)\b", said)):
        return yes if bare[1] == "yes" else no
    return None


def _stated(slot: Slot, said: str, values: Mapping[str, str]) -> str | None:
    """A value behind the slot's own words: "the number of rooms should be 2". Of known ones the longest."""
    words = re.escape(slot_words(slot.name))
    behind = re.search(rf"\b{words},? (?:should be |to be |is |i'd like |of )?(.+)", said)
    if behind is None:
        return None
    known = next((value for value in sorted(values, key=len, reverse=True) if behind[1].startswith(value)), None)
    if known is not None:
        return values[known]
    value = re.split(r"(?: is best)?(?:[.?!;](?:\s|$)|$)", behind[1])[0].strip(" ,")
    listed = {plain(each): each for each in slot.values}
    return listed.get(value) if listed else value or None
