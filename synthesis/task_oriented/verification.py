"""What was said, held against what was to be said: the user's slots, and every name and number of the agent.

A user's turn is right when a reader who has not seen its acts reads the slots that it was to tell, and nothing that
the state does not hold. An agent's turn is right when it says what its acts demand, and names no venue, train, number
or time that is neither in the rows it was shown nor in what was said before.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from synthesis.dialogue import Turn
from synthesis.task_oriented import spotting
from synthesis.task_oriented.acts import Act
from synthesis.task_oriented.ontology import Ontology
from synthesis.task_oriented.spotting import plain
from synthesis.task_oriented.state import State, slot_name, split
from synthesis.task_oriented.steps import Step

_WORDLESS = {"yes", "no", "free", "true", "false", "dontcare"}
"""Values that are said in other words."""


def told(acts: Iterable[Act], ontology: Ontology) -> dict[str, str]:
    """What a user's acts tell: tracked `domain-slot` to value, the name of what is taken included."""
    tracked = ontology.slots
    said = {slot_name(act.domain, act.slot): act.value for act in acts if act.act in ("inform", "select")}
    return {name: value for name, value in said.items() if name in tracked and value}


def same(one: str, other: str) -> bool:
    """Whether two values are one, but for case and white space; of alternatives one that both have is enough."""
    return bool({plain(each) for each in split(one)} & {plain(each) for each in split(other)})


def misread(read: State, wanted: State, state: State) -> str | None:
    """Why the slots read in an utterance are not those that it was to tell; None where they are.

    `wanted`: what was to be told; `state`: the belief state with it. To say again what holds is no fault.
    """
    for name, value in wanted.items():
        if name not in read:
            return f"missing slot: {name}: expected {value!r}, read nothing"
        if not same(read[name], value):
            return f"wrong value: {name}: expected {value!r}, read {read[name]!r}"
    for name, value in read.items():
        if name not in state:
            return f"added slot: {name}: expected nothing, read {value!r}"
        if not same(value, state[name]):
            return f"changed slot: {name}: expected {state[name]!r}, read {value!r}"
    return None


class Grounding:
    """Which names there are, and whether an agent's words keep to those it may use."""

    def __init__(self, names: Mapping[str, Sequence[str]]) -> None:
        """`names`: of each domain, what its results are called."""
        every = {plain(name) for each in names.values() for name in each}
        self._names = re.compile(spotting.either(every))

    def fault(self, text: str, step: Step, history: Sequence[Turn], state: State) -> str | None:
        """Why an agent may not say `text` as `step`, after `history` in the user's `state`; None where it may."""
        missing = next((act for act in step.acts if not self.is_said(act, text)), None)
        if missing is not None:
            return f"unsaid value: {missing}"
        return self.invented(text, step, history, state)

    def invented(self, text: str, step: Step, history: Sequence[Turn], state: State) -> str | None:
        """Which name or number in `text` is known from nowhere; None where all are known."""
        known = plain(" ".join(_known(step, history, state)))
        strange = next((each for each in self._claims(text) if plain(each) not in known), None)
        return f"invented: {strange!r} is in no row that was looked up" if strange is not None else None

    def is_said(self, act: Act, text: str) -> bool:
        """Whether `text` has the value of an act, where it has one that is said as it stands."""
        return _is_said(act, plain(text))

    def _claims(self, text: str) -> Iterator[str]:
        """Names of the database, references, numbers, times, and what looks like a name, as `text` has them."""
        yield from (found[1] for found in self._names.finditer(plain(text)))
        yield from re.findall(r"\b(?=[A-Z0-9]*\d)[A-Z0-9]{6,}\b", text)
        yield from re.findall(r"\b\d[\d ()-]{5,}\d\b", text)
        yield from (found[0] for found in re.finditer(r"\b\d{1,2}:\d{2}\b", text))
        yield from re.findall(r"[\"“]([^\"”]{3,60})[\"”]", text)
        yield from re.findall(r"(?<![.!?:] )(?<!^)\b[A-Z][a-z']+(?: (?:(?:of|and|the|at|on) )?[A-Z][a-z']+)+", text)


def _is_said(act: Act, said: str) -> bool:
    if act.act == "request" or not act.value or act.value.lower() in _WORDLESS:
        return True
    if act.slot == "count":
        words = spotting.NUMBERS[int(act.value)] if int(act.value) < len(spotting.NUMBERS) else act.value
        return act.value == "1" or re.search(rf"\b(?:{act.value}|{words})\b", said) is not None
    return any(re.search(rf"(?<!\w){re.escape(form)}", said) for form in _forms(act.value))


def _forms(value: str) -> Iterator[str]:
    """How a value may be written: as it stands, and a place, a type or a number in words."""
    yield plain(value)
    yield from (plain(each) for each in spotting.SPELLINGS.get(value, ()))
    if value.isdigit() and int(value) < len(spotting.NUMBERS):
        yield spotting.NUMBERS[int(value)]


def _known(step: Step, history: Sequence[Turn], state: State) -> Iterator[str]:
    """Every text whose names and numbers may be used."""
    yield from (turn.text for turn in history)
    yield from state.values()
    yield from (act.value for act in step.acts)
    for row in step.lookup.rows if step.lookup else ():
        yield from row.values()
