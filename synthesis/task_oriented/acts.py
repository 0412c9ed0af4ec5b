"""Dialogue acts: what a turn does, in one domain, with a slot and a value where it has them.

They are written `domain-act(slot=value)`, `domain-act(slot)` where no value is given, and `domain-act` alone. The acts
are the CamRest and MultiWOZ family's; what belongs to no domain has `GENERAL`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from synthesis.errors import UserError

GENERAL = "general"
"""The domain of acts that are about none: greet, thank, bye."""

USER_ACTS = ("inform", "request", "select", "book", "recommend", "thank", "bye", "greet")
"""Of the user. `select` takes an offer (slot name), `recommend` asks for one, `request` asks for a property."""

SYSTEM_ACTS = ("request", "inform", "recommend", "nooffer", "booked", "refuse", "reqmore", "thank", "bye", "greet")
"""Of the system. `inform` tells a property, the number of results (slot count) or the only result; `refuse`: nobody
books it; `reqmore`: is there anything else?"""


@dataclass(frozen=True, slots=True, order=True)
class Act:
    """One dialogue act. `slot` is without its domain; "" where there is no slot, or no value."""

    domain: str
    act: str
    slot: str = ""
    value: str = ""

    def __str__(self) -> str:
        if not self.slot:
            return f"{self.domain}-{self.act}"
        return f"{self.domain}-{self.act}({self.slot}{f'={self.value}' if self.value else ''})"


_WRITTEN = re.compile(r"([^-()=]+)-([^-()=]+)(?:\(([^()=]+)(?:=(.+))?\))?", re.DOTALL)


def parse(text: str) -> Act:
    """The act that `text` writes. Raises UserError where it writes none."""
    found = _WRITTEN.fullmatch(text)
    if found is None:
        raise UserError(f"dialogue act {text!r}: expected domain-act, domain-act(slot) or domain-act(slot=value)")
    domain, act, slot, value = found.groups(default="")
    return Act(domain, act, slot, value)


def written(acts: Iterable[Act]) -> tuple[str, ...]:
    """Acts as a turn holds them."""
    return tuple(str(act) for act in acts)
