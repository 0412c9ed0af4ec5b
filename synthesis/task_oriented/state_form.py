"""What a state tracker reads and writes: prompt and target of a user's turn, and the state read back.

The target is one JSON object, domain to slot to value, the first of several values; domains without slots are left
out, and what stands in it comes in the schema's order. It is the whole state, or (delta) only what the turn changes,
null where a slot goes. The same state gives the same text, wherever it comes from.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from synthesis.dialogue import Json, Turn
from synthesis.errors import ReadingError, UserError
from synthesis.task_oriented.ontology import Ontology, Slot
from synthesis.task_oriented.state import DONTCARE, State, first_values, slot_name

Change = Mapping[str, str | None]
"""`domain-slot` to its new value, None where the slot goes."""

TASK = "Write what the user wants after the last turn, as JSON: domain, slot, value."
TASK_DELTA = "Write what the last turn changes in what the user wants, as JSON: domain, slot, value; null removes."
STATE, CHANGE = "State:", "Change:"

_HALF = re.compile("[\ud800-\udfff]")
"""Half of a character: JSON can write it, files of text cannot."""


# ---- targets --------------------------------------------------------------------------------------------------------


def nested(change: Change, order: Iterable[str] = ()) -> dict[str, dict[str, str | None]]:
    """Domain to slot to value: slots of `order` first, as they stand there, then the others by name.

    Raises UserError for a slot that has no domain before a dash.
    """
    rank = {name: place for place, name in enumerate(order)}
    found: dict[str, dict[str, str | None]] = {}
    for name in sorted(change, key=lambda each: (rank.get(each, len(rank)), each)):
        domain, dash, slot = name.partition("-")
        if not (domain and dash and slot):
            raise UserError(f"slot {name!r} of a state: expected domain-slot, such as hotel-area")
        found.setdefault(domain, {})[slot] = change[name]
    return found


def write(change: Change, order: Iterable[str] = ()) -> str:
    """A state with one value a slot (see `first_values`), or a change of it, as the target's text.

    There are no spaces between its parts, as a grammar of JSON writes it (llguidance, outlines).
    """
    return json.dumps(nested(change, order), ensure_ascii=False, separators=(",", ":"))


def change(before: State, after: State) -> dict[str, str | None]:
    """What turns the one state into the other, by their first values."""
    old, new = first_values(before), first_values(after)
    gone: dict[str, str | None] = {name: None for name in old if name not in new}
    return gone | {name: value for name, value in new.items() if old.get(name) != value}


def changed(before: State, change: Change) -> dict[str, str]:
    """The state after a change. A slot that goes and never was there is no error: a model wrote it."""
    after = {**before, **change}
    return {name: value for name, value in after.items() if value is not None}


def read(text: str) -> dict[str, str]:
    """The state that `text` writes. Raises ReadingError for anything but one whole object of the target's shape."""
    return {name: _told(value, name, text) for name, value in read_change(text).items()}


def read_change(text: str) -> dict[str, str | None]:
    """The change that `text` writes. Raises ReadingError as `read` does, but takes null for a value."""
    try:
        domains = json.loads(text, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise ReadingError(f"expected a state as one JSON object, got {text[:60]!r}: {error}", text) from error
    found: dict[str, str | None] = {}
    for domain, slots in _object(domains, "the state", text).items():
        if not domain or "-" in domain:
            raise ReadingError(f"expected a domain without a dash, got {domain[:60]!r}", text)
        for slot, value in _object(slots, f"domain {domain!r}", text).items():
            name = slot_name(domain, slot)
            found[name] = None if value is None and slot else _told(value if slot else None, name, text)
    return found


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({key for key, _ in pairs}) < len(pairs):
        raise ValueError("a key comes twice")
    return dict(pairs)


def _object(value: Any, what: str, text: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ReadingError(f"expected {what[:60]} as a JSON object, got {type(value).__name__}", text)
    return value


def _told(value: Any, name: str, text: str) -> str:
    """A value that says something."""
    if not isinstance(value, str) or not value.strip() or _HALF.search(value + name):
        raise ReadingError(f"expected words as the value of {name[:60]!r}, got {str(value)[:60]!r}", text)
    return value.strip()


def json_schema(ontology: Ontology, delta: bool = False) -> Json:
    """The JSON schema of targets, for decoding under a grammar: the ontology's slots, and dontcare, and no others.

    Raises UserError for an ontology without slots: it would allow nothing but an empty state.
    """
    domains = {
        domain.name: _closed({slot.name: _values(slot, delta) for slot in domain.slots})
        for domain in ontology.domains
        if domain.slots
    }
    if not domains:
        raise UserError("the ontology has no slots to track; a tracker could write nothing but {}")
    return _closed(domains)


def _closed(properties: Mapping[str, Json]) -> Json:
    return {"type": "object", "properties": dict(properties), "additionalProperties": False}


def _values(slot: Slot, delta: bool) -> Json:
    if slot.values:
        return {"enum": [*dict.fromkeys((*slot.values, DONTCARE)), *([None] if delta else [])]}
    words: Json = {"type": "string", "minLength": 1}
    return {"anyOf": [words, {"type": "null"}]} if delta else words


# ---- prompts --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a tracker reads: the task and perhaps the schema, the turns so far, and what its reply comes after.

    Where all of it is too long, the oldest `lines` go; head and tail stay.
    """

    head: str
    lines: tuple[str, ...]
    tail: str

    def text(self, without: int = 0) -> str:
        """The whole, but for the oldest `without` lines. It ends with a line break, and the target follows."""
        return "\n".join([self.head, *self.lines[without:], self.tail, ""])


@dataclass(frozen=True, slots=True)
class Form:
    """How a tracker is asked, and how it replies.

    `ontology`: gives the order of slots; without one they are ordered by name. `schema`: the ontology stands in the
    prompt. `delta`: the state before stands in the prompt, and the reply says what changes in it.
    """

    ontology: Ontology | None = None
    schema: bool = False
    delta: bool = False

    def __post_init__(self) -> None:
        """Raises UserError for a schema that nobody gave."""
        if self.schema and self.ontology is None:
            raise UserError("a prompt with the schema needs an ontology; give one, or leave the schema out")

    def prompt(self, turns: Sequence[Turn], before: State) -> Prompt:
        """The prompt for the last of `turns`, all of the dialogue up to a user's turn. `before`: the state before it.

        `before` is told only where the form is delta.
        """
        head = TASK_DELTA if self.delta else TASK
        if self.schema and self.ontology:
            head = f"{head}\n{described(self.ontology)}"
        tail = f"{STATE} {write(first_values(before), self._order())}\n{CHANGE}" if self.delta else STATE
        return Prompt(head, tuple(map(line, turns)), tail)

    def target(self, before: State, after: State) -> str:
        """What the tracker is to write, `before` and `after` being the states around its turn."""
        told = change(before, after) if self.delta else first_values(after)
        return write(told, self._order())

    def read(self, text: str, before: State) -> dict[str, str]:
        """The state after a turn, from what the tracker wrote, and from the state before where the form is delta.

        Raises ReadingError for anything that is not of the target's shape.
        """
        return changed(first_values(before), read_change(text)) if self.delta else read(text)

    def grammar(self) -> Json:
        """The JSON schema of the target. Raises UserError without an ontology."""
        if self.ontology is None:
            raise UserError("a grammar of states needs an ontology, which says what slots there are; give one")
        return json_schema(self.ontology, self.delta)

    def _order(self) -> Iterable[str]:
        return self.ontology.slots if self.ontology else ()


def line(turn: Turn) -> str:
    """A turn on one line, as prompts and histories have it: `User: text`."""
    return f"{turn.speaker}: {' '.join(turn.text.split())}"


def described(ontology: Ontology) -> str:
    """Domains with their slots, what these mean, and the values of those that have a closed list."""
    lines = []
    for domain in ontology.domains:
        if domain.slots:
            lines.append(f"{domain.name}: {domain.description}")
            lines += [f"- {slot.name}: {slot.description}{_listed(slot.values)}" for slot in domain.slots]
    return "\n".join(lines)


def _listed(values: Sequence[str]) -> str:
    return f" ({', '.join(values)})" if values else ""
