"""States: every turn of the user has a belief state, and it holds what the turn's acts have told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from synthesis.dialogue import Dialogue
from synthesis.task_oriented.acts import parse
from synthesis.task_oriented.state import USER, domain_of, slot_name


@dataclass(frozen=True, slots=True)
class States:
    """Keeps dialogues whose user turns have a state with every value that their acts tell, and others have none."""

    name: ClassVar[str] = "states"

    async def __call__(self, dialogue: Dialogue) -> str | None:
        names = {name for turn in dialogue.turns for name in turn.state or {}}
        tracked = {domain_of(name) for name in names}
        for number, turn in enumerate(dialogue.turns, 1):
            if (turn.state is None) == (turn.speaker == USER):
                return f"{'no state' if turn.speaker == USER else 'state'}: turn {number} of the {turn.speaker}"
            for act in map(parse, turn.acts if turn.speaker == USER else ()):
                name = slot_name(act.domain, act.slot)
                told = act.act == "inform" and act.value and act.domain in tracked
                if told and (turn.state or {}).get(name) != act.value:
                    return f"untold state: turn {number} tells {act}, its state does not have it"
        return None
