"""Sentences for the steps of a conversation, put together of short phrases: for a model that can only choose.

The phrases are those of a JSON file, by act, domain and slot, with an entry "" for what has none of its own. Each
draw takes others; `candidates` draws a few sentences for one step, of which a model chooses one under a grammar.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from synthesis.dialogue import Turn
from synthesis.errors import UserError
from synthesis.storage import parse, read_text
from synthesis.task_oriented.acts import Act
from synthesis.task_oriented.ontology import Domain, Ontology, Slot
from synthesis.task_oriented.spoken import singular, slot_words, titled, words_of
from synthesis.task_oriented.state import DONTCARE, USER, domain_of
from synthesis.task_oriented.steps import UPDATE, Step

ORDER = ("name", "stars", "internet", "parking", "pricerange", "food", "departure", "destination", "day", "area")
"""In which order what stands behind the noun is said; other slots follow."""

AFTER = 3
"""At most so many slots stand in one noun phrase behind the noun (choice); the others get sentences."""

SPILL = 0.25
"""Chance that a slot gets a sentence of its own all the same (choice)."""

_TITLED = {"name", "departure", "destination", "food", "day", "bookday", "address"}
_ROUTE = ("departure", "destination")
_TRUE, _FALSE = {"yes", "free", "true"}, {"no", "false"}
_SECTIONS = (
    "plain",
    "spoken",
    "domains",
    "find",
    "find next",
    "update",
    "opener",
    "opener next",
    "slots",
    "told",
    "user",
    "system",
)


@dataclass(frozen=True, slots=True)
class Phrases:
    """The phrases of a file, for one ontology."""

    table: Mapping[str, Any]
    ontology: Ontology

    @classmethod
    def read(cls, path: Path, ontology: Ontology) -> Phrases:
        """Raises UserError for a file without one of the sections."""
        table = parse(read_text(path, "phrases"), str(path))
        missing = [name for name in _SECTIONS if not isinstance(table, dict) or name not in table]
        if missing:
            raise UserError(f"{path}: no section {missing[0]!r}; expected {', '.join(_SECTIONS)}")
        return cls(table, ontology)

    def candidates(self, step: Step, before: Sequence[Turn], count: int, rng: Random) -> tuple[str, ...]:
        """At most `count` different utterances that do what `step` is to do after the turns `before`."""
        draw = Draw(self, step, before, rng)
        made = (_mended(draw.user() if step.speaker == USER else draw.agent()) for _ in range(count))
        return tuple(dict.fromkeys(made))

    def of_domain(self, domain: str, key: str) -> str | list[str]:
        """The entry of a domain, else that for all, its words put in."""
        own = self.table["domains"].get(domain, self.table["domains"][""])
        value: str | list[str] = own[key]
        return value.replace("{domain}", singular(words_of(domain))) if isinstance(value, str) else value

    def of_slot(self, act: Act, key: str) -> list[str]:
        """The phrases of an act's slot: its domain's own, or the slot's in all domains, or those for all slots."""
        table = self.table["slots"]
        own = table.get(f"{act.domain}-{act.slot}") or table.get(act.slot) or table[""]
        found: list[str] = own.get(key, [])
        return found

    def value(self, slot: str, value: str) -> str:
        """A value as it is said."""
        if slot == "postcode":
            return value.upper()
        if (slot in _TITLED or slot.endswith("_name")) and value not in self.table["plain"]:
            return titled(value)
        spoken: str = self.table["spoken"].get(value, value)
        return spoken


class Draw:
    """One step, to be said after `before`; every call draws anew."""

    def __init__(self, phrases: Phrases, step: Step, before: Sequence[Turn], rng: Random) -> None:
        self.phrases, self.step, self.rng = phrases, step, rng
        self.first = all(turn.domain != step.domain for turn in before)
        self.later = bool(before)
        self._slots = phrases.ontology.slots

    # ---- the user ---------------------------------------------------------------------------------------------------

    def user(self) -> str:
        """An utterance of the user."""
        acts = self.step.acts
        kinds = {act.act for act in acts}
        parts = [self._say("user", "greet")] if "greet" in kinds else []
        parts += [self._selected(act) for act in acts if act.act == "select"]
        informs = [act for act in acts if act.act == "inform" and act.slot]
        search = [act for act in informs if not self._slot(act).booking]
        booking = [act for act in informs if self._slot(act).booking]
        ordered = self.first and "book" in kinds and not search  # a ride: there is nothing yet that could be booked
        if ordered or any(act.act == "inform" and not act.slot for act in acts):
            parts.append(self._opener("greet" in kinds))
        if search:
            parts += self._searching(search)
        if "book" in kinds and not search and not ordered:
            parts += self._booking(booking)
        else:
            parts += self._clauses(booking)
        asked = [slot_words(act.slot) for act in acts if act.act == "request"]
        if asked:
            parts.append(self._say("user", "request", props=_listed(asked)))
        parts += [self._say("user", kind) for kind in ("recommend", "thank", "bye") if kind in kinds]
        return " ".join(parts)

    def _selected(self, act: Act) -> str:
        named = self._slots.get(f"{act.domain}-{act.slot}")
        if named is None:
            goes = not act.slot and act.domain in ("attraction", "hotel", "restaurant")
            return self._say("user", "select bare" if goes else "select any")
        return self._say("user", "select", name=self.phrases.value(act.slot, act.value))

    def _opener(self, greeted: bool) -> str:
        section = "opener next" if self.later else "opener"
        table = self.phrases.table[section]
        text = self._pick(table.get(self.step.domain, table[""])).replace("{np}", self._noun_phrase("", []))
        return _capital(re.sub(r"^(?:hi there|hi|hello|good day)[,!] ", "", text, flags=re.I)) if greeted else text

    def _searching(self, acts: Sequence[Act]) -> list[str]:
        """A noun phrase in a sentence where the domain is new or another search is wanted, else clauses."""
        if not (self.first or self.step.kind == UPDATE):
            return self._clauses(acts)
        before = noun = ""
        after: list[str] = []
        rest: list[Act] = []
        kept = sorted(acts, key=lambda act: (ORDER.index(act.slot) if act.slot in ORDER else len(ORDER), act.slot))
        for act in kept:
            slot, value = act.slot, self.phrases.value(act.slot, act.value)
            spill = act.value == DONTCARE or (len(kept) > 2 and self.rng.random() < SPILL)
            behind = self._behind(act)
            if not spill and self.phrases.of_slot(act, "before") and slot not in self._own_references():
                before += self._pick(self.phrases.of_slot(act, "before")).format(value=value) + " "
            elif not spill and self.phrases.of_slot(act, "noun") and not noun and slot not in self._own_references():
                noun = value
            elif behind and not (spill and act.value == DONTCARE) and len(after) < AFTER and not spill:
                after.append(behind)
            else:
                rest.append(act)
        section = "update" if self.step.kind == UPDATE else "find next" if self.later else "find"
        if section == "update" and not (before or noun or after):
            return self._clauses(rest)
        text = self._pick(self.phrases.table[section]).replace("{np}", self._noun_phrase(before, after, noun))
        return [text, *self._clauses(rest)]

    def _noun_phrase(self, before: str, after: Sequence[str], noun: str = "") -> str:
        head = before + (noun or str(self.phrases.of_domain(self.step.domain, "noun")))
        with_ = [each.removeprefix("with ") for each in after if each.startswith("with ")]
        others = [each for each in after if not each.startswith("with ")]
        tail = [*([f"with {_listed(with_)}"] if with_ else []), *others]
        return f"{'an' if head[0].lower() in 'aeiou' else 'a'} {' '.join([head, *tail])}"

    def _behind(self, act: Act) -> str:
        """What of a slot can stand behind the noun; "" where nothing can."""
        reference = self._reference(act)
        if reference:
            return reference
        found = self.phrases.of_slot(act, self._key(act, "after"))
        return self._fill(found, act) if found and act.value != DONTCARE else ""

    def _key(self, act: Act, kind: str) -> str:
        """Where the phrases of an act's slot stand: of one person, of yes and of no there are others."""
        if self._truth(act):
            word = "yes" if act.value.lower() in _TRUE else "no"
            return word if kind == "alone" else f"{word} {kind}"
        if act.value == "1" and self.phrases.of_slot(act, "one"):
            return "one" if kind == "alone" else f"one {kind}"
        return kind

    def _truth(self, act: Act) -> bool:
        listed = {value.lower() for value in self._slot(act).values} - {DONTCARE}
        return bool(listed) and listed <= (_TRUE | _FALSE) and act.value != DONTCARE

    def _clauses(self, acts: Sequence[Act]) -> list[str]:
        """A sentence for each slot, some of them joined."""
        clauses = [self._clause(act) for act in acts]
        made: list[str] = []
        for clause in clauses:
            short = len(made[-1].split()) < 9 if made else False
            if short and "," not in made[-1] + clause and self._known(acts) and self.rng.random() < 0.4:
                made[-1] = f"{made[-1]} and {clause}"
            else:
                made.append(clause)
        lead = self._pick(self.phrases.table["user"]["lead"]) if made and not self.first else ""
        opened = made[0] if lead.endswith(", ") else _capital(made[0]) if made else ""
        return [lead + opened + ".", *(_capital(each) + "." for each in made[1:])] if made else []

    def _known(self, acts: Sequence[Act]) -> bool:
        """Whether all slots have phrases of their own; others' values may hold any words and end their sentence."""
        return all({act.slot, f"{act.domain}-{act.slot}"} & set(self.phrases.table["slots"]) for act in acts)

    def _clause(self, act: Act) -> str:
        if act.value == DONTCARE:
            return self._fill(self.phrases.of_slot(act, "any"), act)
        reference = self._reference(act)
        if reference:
            return f"I'd like it {reference}"
        return self._fill(self.phrases.of_slot(act, self._key(act, "alone")), act)

    def _reference(self, act: Act) -> str:
        """ "In the same area as the hotel", where the step refers to it and there are words for that."""
        other = self.step.refers.get(act.slot, "")
        found = self.phrases.of_slot(act, "same") if other else []
        if not found or not self._speaks_of(act.slot, other):
            return ""
        return self._pick(found).format(other=self.phrases.of_domain(domain_of(other), "other"))

    def _speaks_of(self, slot: str, other: str) -> bool:
        """Whether the words for the same slot fit: the same thing, a place that is a venue, or a time to be there."""
        name = other.partition("-")[2]
        if slot in _ROUTE:
            return name == "name"
        return name == "booktime" if slot == "arriveby" else name.removeprefix("book") == slot.removeprefix("book")

    def _own_references(self) -> set[str]:
        return {slot for slot, other in self.step.refers.items() if self._speaks_of(slot, other)}

    def _booking(self, acts: Sequence[Act]) -> list[str]:
        """The wish to book, with what fits in the sentence."""
        behind = [(act, self._behind(act)) for act in sorted(acts, key=lambda act: act.slot != "bookpeople")]
        when = " ".join(text for _, text in behind if text)
        rest = [act for act, text in behind if not text]
        phrases = self.phrases.of_domain(self.step.domain, "book") if when else self.phrases.table["user"]["book"]
        text = self._pick(phrases).replace("{when}", when)
        return [text, *self._clauses(rest)]

    def _slot(self, act: Act) -> Slot:
        return self._slots.get(f"{act.domain}-{act.slot}") or Slot(act.domain, act.slot, "")

    def _fill(self, phrases: Sequence[str], act: Act) -> str:
        return self._pick(phrases).format(value=self.phrases.value(act.slot, act.value), slot=slot_words(act.slot))

    # ---- the agent --------------------------------------------------------------------------------------------------

    def agent(self) -> str:
        """An utterance of the agent."""
        acts = self.step.acts
        kinds = {act.act: act for act in acts}
        told = [act for act in acts if act.act == "inform" and act.slot != "count"]
        for kind, made in self._answers().items():
            if kind in kinds:
                return made(told)
        counted = next((act for act in acts if act.slot == "count"), None)
        if counted is not None:
            return self._counted(counted.value)
        if "request" in kinds:
            return self._questions([act for act in acts if act.act == "request"])
        named = self._domain().named if self.step.domain in self._domains() else ""
        if any(act.slot == named for act in told):
            return self._offer(told, named)
        return self._pick(self._lead()) + " ".join(map(self._property, told)) + " " + self._say("system", "more")

    def _answers(self) -> Mapping[str, Callable[[Sequence[Act]], str]]:
        return {
            "bye": lambda _: f"{self._say('system', 'thank')} {self._say('system', 'bye')}",
            "reqmore": lambda _: f"{self._say('system', 'thank')} {self._say('system', 'more')}",
            "nooffer": lambda _: f"{self._say('system', 'nooffer')} {self._say('system', 'ask again')}",
            "refuse": lambda _: f"{self._say('system', 'refuse')} {self._say('system', 'more')}",
            "booked": self._booked,
            "recommend": self._recommended,
        }

    def _booked(self, told: Sequence[Act]) -> str:
        row = self.step.lookup.rows[0] if self.step.lookup and self.step.lookup.rows else {}
        ref = next((act.value for act in self.step.acts if act.slot == "ref"), "")
        known = {"ref"} | (self._named() if row.get(self._domain().named) else set())
        own, every = (list(self.phrases.of_domain(each, "booked")) for each in (self.step.domain, ""))
        phrases = own if any(self._fits(each, known) and bool(ref) == ("{ref}" in each) for each in own) else every
        text = self._pick([each for each in phrases if self._fits(each, known) and bool(ref) == ("{ref}" in each)])
        return " ".join([text.format(**self._names(row), ref=ref), *map(self._property, told)])

    def _recommended(self, told: Sequence[Act]) -> str:
        """One of the templates that speak of nothing but what is to be told; the rest in sentences."""
        row = self.step.lookup.rows[0] if self.step.lookup and self.step.lookup.rows else {}
        slots = {act.slot: act for act in told}
        own = self.phrases.of_domain(self.step.domain, "recommend")
        fitting = [each for each in own if self._fits(each, set(slots) | self._named())]
        fullest = [each for each in fitting if any("{" + slot + "}" in each for slot in slots)]
        if not row.get(self._domain().named):
            fitting, fullest = self.phrases.table["domains"][""]["unnamed"], []
        text = self._pick(fullest or fitting)
        values = {slot: self.phrases.value(slot, act.value) for slot, act in slots.items()}
        rest = [act for slot, act in slots.items() if "{" + slot + "}" not in text]
        return " ".join([text.format(**self._names(row), **values), *map(self._property, rest)])

    def _named(self) -> set[str]:
        return {"name", self._domain().named}

    def _names(self, row: Mapping[str, str]) -> dict[str, str]:
        named = self._domain().named
        value = row.get(named, "it")
        said = value if named == "trainid" else titled(value)
        return {"name": said} | ({named: said} if named else {})

    def _fits(self, phrase: str, slots: set[str]) -> bool:
        return set(re.findall(r"\{(\w+)\}", phrase)) <= slots

    def _counted(self, count: str) -> str:
        if count == "1":
            return f"{self._say('system', 'count one')} {self._say('system', 'ask on')}"
        return f"{self._say('system', 'count', count=count)} {self._say('system', 'ask on')}"

    def _questions(self, acts: Sequence[Act]) -> str:
        asks = [self._fill(self.phrases.of_slot(act, "ask"), act) for act in acts]
        more = [self._say("system", "ask next", question=each[0].lower() + each[1:]) for each in asks[1:]]
        return self._pick(self._lead()) + " ".join([asks[0], *more])

    def _offer(self, told: Sequence[Act], named: str) -> str:
        name = next(act.value for act in told if act.slot == named)
        said = name if named == "trainid" else titled(name)
        rest = [self._property(act) for act in told if act.slot != named]
        one = self._say("system", "count one")
        offers = self.phrases.table["system"]["offer"]
        offer = self._pick([each for each in offers if named == "name" or "called" not in each]).format(name=said)
        return " ".join([one, offer, *rest, self._say("system", "offer book")])

    def _property(self, act: Act) -> str:
        table = self.phrases.table["told"]
        word = "yes" if act.value.lower() in _TRUE else "no" if act.value.lower() in _FALSE else ""
        one = "one" if act.value == "1" else ""
        keys = (f"{act.domain} {act.slot}", f"{act.slot} {word or one}".strip(), act.slot, f" {word}", "")
        return self._fill(next(table[key] for key in keys if key in table), act)

    def _lead(self) -> list[str]:
        found: list[str] = self.phrases.table["system"]["lead"]
        return found

    def _domain(self) -> Domain:
        return self.phrases.ontology.domain(self.step.domain)

    def _domains(self) -> set[str]:
        return {each.name for each in self.phrases.ontology.domains}

    # ---- both -------------------------------------------------------------------------------------------------------

    def _say(self, who: str, kind: str, **values: str) -> str:
        text = self._pick(self.phrases.table[who][kind])
        plural = str(self.phrases.of_domain(self.step.domain, "plural"))
        return text.format(plural=plural, **values) if "{" in text else text

    def _pick(self, phrases: Sequence[str] | str) -> str:
        return self.rng.choice(phrases)


def _listed(items: Sequence[str]) -> str:
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _mended(text: str) -> str:
    """Without "a expensive" and "seafood food"."""
    text = re.sub(r"\b([Aa]) (?=[aeiouAEIOU])(?!and\b)", r"\1n ", text)
    return re.sub(r"\b(\w*food) food\b", r"\1", text)
