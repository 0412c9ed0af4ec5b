"""Prompts of trackers that fit a model: the oldest turns go first, then the first words of the last turn."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from synthesis.dialogue import Dialogue, Turn
from synthesis.task_oriented.ontology import Ontology, read
from synthesis.task_oriented.state import State, tracked
from synthesis.task_oriented.state_form import Form, Prompt

FORMS = ("cumulative", "delta")


@dataclass(frozen=True, slots=True)
class Asked:
    """A turn of the user at which a tracker is asked: its place, the turns up to it, the states around it."""

    dialogue: str
    number: int
    turns: tuple[Turn, ...]
    before: State
    after: State


@dataclass(frozen=True, slots=True)
class Fitted:
    """A prompt's text that fits. `turns`, `words`: how many of the oldest turns, and of the last one's words, went."""

    text: str
    turns: int = 0
    words: int = 0


def form_of(name: str, ontology: Path, schema: bool) -> Form:
    """The form of that name, over the ontology of a folder. Raises UserError for a folder without one."""
    return Form(read(ontology), schema, name == "delta")


def asked(dialogue: Dialogue, ontology: Ontology | None, last: int | None = None) -> Iterator[Asked]:
    """Every turn of the user, with the states as far as the ontology knows their slots.

    `last`: with so many turns, its own among them, and not with all from the first.
    """
    before: State = {}
    for number, state in tracked(dialogue):
        after = known(state, ontology)
        first = max(0, number + 1 - last) if last else 0
        yield Asked(dialogue.id, number, dialogue.turns[first : number + 1], before, after)
        before = after


def known(state: State, ontology: Ontology | None) -> dict[str, str]:
    """The slots that the ontology tracks; all where there is none."""
    names: Mapping[str, object] = ontology.slots if ontology else state
    return {name: value for name, value in state.items() if name in names}


def unknown(dialogues: Iterable[Dialogue], ontology: Ontology | None) -> dict[str, int]:
    """Slots that states have and the ontology does not, with the number of turns that have them."""
    found: dict[str, int] = {}
    for dialogue in dialogues:
        for _, state in tracked(dialogue):
            for name in state.keys() - known(state, ontology).keys():
                found[name] = found.get(name, 0) + 1
    return dict(sorted(found.items()))


def fitted(prompt: Prompt, fits: Callable[[str], bool]) -> Fitted | None:
    """As much of the prompt as fits, its end first; None where not even the last word of the last turn does.

    The task, the schema, and what the reply comes after always stay. `fits` is true of whatever is shorter than what
    it is true of.
    """
    without = _least(len(prompt.lines), lambda number: fits(prompt.text(number)))
    if without is not None:
        return Fitted(prompt.text(without), without)
    speaker, *words = prompt.lines[-1].split(" ")

    def shorter(number: int) -> str:
        return replace(prompt, lines=(" ".join([speaker, *words[number:]]),)).text()

    cut = _least(len(words), lambda number: fits(shorter(number)))
    return None if cut is None else Fitted(shorter(cut), len(prompt.lines) - 1, cut)


def _least(end: int, holds: Callable[[int], bool]) -> int | None:
    """The least number below `end` of which `holds` is true; where it is true of one, it is of the greater ones."""
    if end < 1 or not holds(end - 1):
        return None
    if holds(0):  # nearly always
        return 0
    low, high = 0, end - 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high
