"""A tracker at work: an engine asked for the state after each turn of the user, by greedy search.

What cannot be read as a state, or was too long to be asked, counts as an empty state and says why. With a delta form
the model reads the state that it wrote itself for the turn before; an unreadable change counts as an empty state as
well, and the turns after it go on from the last state that could be read, since nobody knows what it changed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from synthesis.asking import together
from synthesis.dialogue import Dialogue
from synthesis.engine import Engine, Grammar, Request
from synthesis.errors import ContextOverflow, ReadingError
from synthesis.task_oriented.state import State
from synthesis.task_oriented.state_form import Form
from training.tracking.prompts import Asked, asked, fitted
from training.tracking.states import to_row

STAGE = "state"
UNREADABLE, CUT_OFF, TOO_LONG = "not a state", "not a state, cut off", "too long to be asked"


@dataclass(frozen=True, slots=True)
class Written:
    """The state after one turn. `invalid`: why there is none; `raw`: what the model wrote, if that was it.

    `turns_cut`: turns that the history lost so that the prompt fits.
    """

    turn: tuple[str, int]
    state: State
    invalid: str = ""
    raw: str = ""
    turns_cut: int = 0

    def to_json(self) -> dict[str, Any]:
        """A line of a file of predictions, as training.evaluate dst reads it."""
        row = to_row(self.turn, self.state, bool(self.invalid))
        return row | ({"reason": self.invalid, "raw": self.raw} if self.invalid else {})


@dataclass(frozen=True, slots=True)
class Tracker:
    """Whom to ask, and how. `fits`: whether a prompt of that text leaves room for the reply of `length` tokens.

    `last`: turns of the dialogue in a prompt, at most; None: all.
    """

    engine: Engine
    form: Form
    length: int
    grammar: bool = False
    fits: Callable[[str], bool] = lambda text: True
    last: int | None = None

    async def states(self, dialogues: Sequence[Dialogue]) -> list[Written]:
        """The states of all dialogues, in their order; the dialogues are asked about side by side."""
        each = await together(self._dialogue(dialogue) for dialogue in dialogues)
        return [written for part in each for written in part]

    async def _dialogue(self, dialogue: Dialogue) -> list[Written]:
        turns = list(asked(dialogue, self.form.ontology, self.last))
        if not self.form.delta:
            return await together(self._turn(turn, {}) for turn in turns)
        made: list[Written] = []
        state: State = {}
        for turn in turns:
            made.append(await self._turn(turn, state))
            state = state if made[-1].invalid else made[-1].state
        return made

    async def _turn(self, turn: Asked, before: State) -> Written:
        key = (turn.dialogue, turn.number)
        found = fitted(self.form.prompt(turn.turns, before), self.fits)
        if found is None:
            return Written(key, {}, TOO_LONG)
        nothing = Written(key, {}, turns_cut=found.turns)
        try:
            reply = await self.engine(self._request(found.text, turn.dialogue))
        except ContextOverflow:
            return replace(nothing, invalid=TOO_LONG)
        try:
            return replace(nothing, state=self.form.read(reply.text, before))
        except ReadingError:
            reason = CUT_OFF if reply.finish_reason == "length" else UNREADABLE
            return replace(nothing, invalid=reason, raw=reply.text)

    def _request(self, prompt: str, conversation: str) -> Request:
        grammar = Grammar("json", self.form.grammar()) if self.grammar else None
        stop = () if grammar else ("\n",)  # a target is one line
        return Request(STAGE, self.length, prompt=prompt, stop=stop, grammar=grammar, conversation=conversation)
