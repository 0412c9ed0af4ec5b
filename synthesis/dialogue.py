"""Persona, Turn, Dialogue: the records that every folder speaks.

They are frozen and JSON-plain: `to_json` gives dicts, lists, strings and numbers only, `from_json` takes them back
and refuses unknown or missing keys by name. Empty optional fields are left out of the JSON, so a file holds what was
made and nothing else.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from synthesis.errors import UserError

Json = dict[str, Any]

UNASSIGNED = "either speaker may be either persona"
"""The note of a dialogue of which nobody knows whose personas are whose."""


@dataclass(frozen=True, slots=True)
class Persona:
    """One user profile: `traits` are one-sentence first-person attributes, `name` the given name if assigned."""

    id: str
    traits: tuple[str, ...]
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Lookup:
    """What was asked of a database before a turn, and what came back.

    `constraints`: slot without its domain to value. `count`: how many rows hold; `rows`: those that the speaker was
    shown, column to value.
    """

    domain: str
    constraints: Mapping[str, str]
    count: int
    rows: tuple[Mapping[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Turn:
    """One utterance and its labels.

    `intents`: utterance intents (solid). Of luas: `acts`, dialogue acts such as `hotel-inform(area=north)`; `state`,
    the belief state after a turn of the user, `domain-slot` to value, other values that are right too after a `|`;
    `domain`, which one the turn is about; `lookup`, what was looked up for it. Of autoconv: `evidence`, the sentence
    of the document that the utterance rests on; `span`, where in the document the answer stands (first character, one
    after the last); `references`, what other people answered; `logprob`, the mean natural log-probability of its
    tokens.
    """

    speaker: str
    text: str
    intents: tuple[str, ...] = ()
    acts: tuple[str, ...] = ()
    state: Mapping[str, str] | None = None
    domain: str | None = None
    lookup: Lookup | None = None
    evidence: str | None = None
    span: tuple[int, int] | None = None
    references: tuple[str, ...] = ()
    logprob: float | None = None


@dataclass(frozen=True, slots=True)
class Rejected:
    """A candidate for the same seed that was not taken.

    `reason`: "outvoted" (lost to the chosen one), "incumbent" (the round before had chosen it), or the filter's
    reason. `votes`: what it got of the `ballots`; a filtered one was never voted on.
    """

    turns: tuple[Turn, ...]
    reason: str
    votes: float = 0.0
    ballots: int = 0


@dataclass(frozen=True, slots=True)
class Stage:
    """What one stage of a recipe asked for a dialogue: by which role, how many requests, tokens, how sampled."""

    name: str
    role: str
    requests: int
    tokens_in: int
    tokens_out: int
    sampling: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Origin:
    """Provenance of a dialogue.

    `model` and `revision` are the generator's; `critic` names the critics' (model@revision) where it is another.
    `prompts`: first 16 hex digits of the SHA-256 over the recipe's prompt templates. `seed`: the run's seed. `round`:
    the round that wrote it, from 1. `stages`: every stage that asked something in that round.
    """

    recipe: str
    preset: str
    model: str
    revision: str | None
    prompts: str
    seed: int
    round: int
    stages: tuple[Stage, ...] = ()
    critic: str | None = None


@dataclass(frozen=True, slots=True)
class Dialogue:
    """A conversation: what it is about, who speaks, what was said, where it comes from.

    `subtopic`, `characteristics` (name to value), `reasoning` before writing, `summary`, and `exemplars`, the ids of
    the few-shots in the prompt, are diasynth's. With a `document`, `topic` is its title, `source` says where it comes
    from, and `scores` are the numbers that filters went by, by name (autoconv). Of solid, `topic` is an entity and
    `subtopic` the attribute asked about; `goal` says its type, and of each turn what was told and how the reply ended
    (lists "instructions" and "ends"). `notes`: what a reader must know of
    this very dialogue, such as "incumbent" (a later round found nothing better).
    """

    id: str
    turns: tuple[Turn, ...]
    personas: tuple[Persona, ...] = ()
    topic: str | None = None
    document: str | None = None
    goal: Mapping[str, Any] | None = None
    subtopic: str | None = None
    characteristics: Mapping[str, str] | None = None
    reasoning: str | None = None
    summary: str | None = None
    exemplars: tuple[str, ...] = ()
    source: str | None = None
    scores: Mapping[str, float] | None = None
    rejected: tuple[Rejected, ...] = ()
    notes: tuple[str, ...] = ()
    origin: Origin | None = None

    @property
    def speakers(self) -> tuple[str, ...]:
        """Speakers in order of first appearance."""
        return tuple(dict.fromkeys(turn.speaker for turn in self.turns))

    @property
    def profiles(self) -> dict[str, Persona]:
        """Personas by speaker, in the order of the speakers' names.

        Empty with another number of speakers than of personas, and where nobody knows whose they are.
        """
        speakers = sorted(self.speakers)
        if len(speakers) != len(self.personas) or UNASSIGNED in self.notes:
            return {}
        return dict(zip(speakers, self.personas, strict=True))

    def text(self) -> str:
        """The transcript, one `speaker: utterance` a line."""
        return transcript(self.turns)


def transcript(turns: Iterable[Turn]) -> str:
    """One `speaker: utterance` a line."""
    return "\n".join(f"{turn.speaker}: {turn.text}" for turn in turns)


def messages(turns: Iterable[Turn], assistant: str, system: str | None = None) -> list[dict[str, str]]:
    """Chat messages (`role`, `content`) with `assistant` as the model's side and everybody else as the user."""
    head = [{"role": "system", "content": system}] if system else []
    return head + [
        {"role": "assistant" if turn.speaker == assistant else "user", "content": turn.text} for turn in turns
    ]


def to_json(record: Any) -> Any:
    """A record as plain JSON values; fields that are None or empty and have a default are left out."""
    kind = type(record)
    if kind in _SCALARS:
        return record
    if dataclasses.is_dataclass(kind):
        values = [(name, getattr(record, name), default) for name, default in _fields(kind)]
        return {name: to_json(value) for name, value, default in values if default is _MISSING or value != default}
    if isinstance(record, Mapping):
        return {str(key): to_json(value) for key, value in record.items()}
    if isinstance(record, (tuple, list)):
        return [to_json(item) for item in record]
    return record


_SCALARS = frozenset({str, int, float, bool, type(None)})
_MISSING = dataclasses.MISSING


@functools.cache
def _fields(kind: type[Any]) -> tuple[tuple[str, Any], ...]:
    """Names and defaults of a record's fields; looked up once a kind, for this is asked for every turn of a run."""
    return tuple((field.name, field.default) for field in dataclasses.fields(kind))


def _make(kind: type[Any], row: Mapping[str, Any], where: str, nested: Mapping[str, Any]) -> Any:
    """`kind` from `row`, each field named in `nested` read by its reader, every other list made a tuple."""
    if not isinstance(row, Mapping):
        raise UserError(f"{where}: expected an object for {kind.__name__}, got {type(row).__name__}")
    fields = {field.name: field for field in dataclasses.fields(kind)}
    unknown = sorted(set(row) - set(fields))
    required = [name for name, field in fields.items() if field.default is dataclasses.MISSING]
    absent = [name for name in required if name not in row]
    if unknown or absent:
        raise UserError(f"{where}: not a {kind.__name__}: unknown fields {unknown}, missing fields {absent}")
    values = {
        name: nested[name](value, f"{where}.{name}") if name in nested and value is not None else _tuples(value)
        for name, value in row.items()
    }
    for name, value in values.items():
        if not _fits(value, str(fields[name].type)):
            raise UserError(f"{where}.{name}: got {str(value)[:60]!r}, expected {fields[name].type}")
    return kind(**values)


def _fits(value: Any, annotation: str) -> bool:
    """Whether `value` is of the annotated type, as far as a file can get it wrong."""
    kind, _, optional = annotation.partition(" | ")
    if value is None:
        return optional == "None"
    if kind == "tuple[str, ...]":
        return isinstance(value, tuple) and all(isinstance(item, str) for item in value)
    plain = _PLAIN.get(kind.partition("[")[0])
    return plain is None or (isinstance(value, plain) and not isinstance(value, bool))


_PLAIN = {"str": (str,), "int": (int,), "float": (int, float), "tuple": (tuple,), "Mapping": (Mapping,)}


def _tuples(value: Any) -> Any:
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value


def _each(read: Any) -> Any:
    def every(rows: Any, where: str) -> tuple[Any, ...]:
        if not isinstance(rows, list):
            raise UserError(f"{where}: expected a list, got {type(rows).__name__}")
        return tuple(read(row, f"{where}[{index}]") for index, row in enumerate(rows))

    return every


def _persona(row: Json, where: str) -> Persona:
    persona: Persona = _make(Persona, row, where, {})
    return persona


def _turn(row: Json, where: str) -> Turn:
    turn: Turn = _make(Turn, row, where, {"lookup": _lookup})
    return turn


def _lookup(row: Json, where: str) -> Lookup:
    lookup: Lookup = _make(Lookup, row, where, {"rows": _each(_cells)})
    return lookup


def _cells(row: Json, where: str) -> Json:
    if not isinstance(row, Mapping):
        raise UserError(f"{where}: got {str(row)[:60]!r}, expected an object")
    return dict(row)


def _rejected(row: Json, where: str) -> Rejected:
    rejected: Rejected = _make(Rejected, row, where, {"turns": _each(_turn)})
    return rejected


def _stage(row: Json, where: str) -> Stage:
    stage: Stage = _make(Stage, row, where, {"sampling": lambda value, at: dict(value)})
    return stage


def _origin(row: Json, where: str) -> Origin:
    origin: Origin = _make(Origin, row, where, {"stages": _each(_stage)})
    return origin


def from_json(row: Json, where: str = "dialogue") -> Dialogue:
    """A `Dialogue` from its JSON object. `where` names the place in messages, such as "dialogues.jsonl:12".

    Raises UserError naming unknown or missing fields.
    """
    readers = {
        "turns": _each(_turn),
        "personas": _each(_persona),
        "rejected": _each(_rejected),
        "origin": _origin,
    }
    dialogue: Dialogue = _make(Dialogue, row, where, readers)
    return dialogue
