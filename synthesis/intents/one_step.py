"""One-step form: seed and numbered plan go in, the whole dialogue comes out, every turn under its number and labels.

    1. User [OQ]                 1. User [OQ]: Who built the bridge?
    2. Agent [FD+PA]             2. Agent [FD+PA]: A smith from the valley did, in 1842.

The prompt lists the plan as on the left, the reply has its lines as on the right: a small model only has to go on
where it finds a line begun as its own. The format is ours: SOLID-RL's
(arXiv 2402.11633) is not published.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from string import Template
from typing import Any

from synthesis.dialogue import Dialogue, Turn
from synthesis.errors import ReadingError, UserError
from synthesis.intents.labels import INTENTS, ROLES
from synthesis.intents.plans import Plan

GOOD, POOR = "good", "poor"
"""Tags of quality that a model learned under; it is asked for the good."""

PROMPT = Template("""A User looks for information and an Agent helps. Write their whole conversation, a line for each \
turn of the plan, with its number, speaker and intents.

Type: $type
Name: $name
Attribute: $attribute
Document: $document
$quality
Plan:
$plan""")

FIELDS = ("type", "name", "attribute", "document")
_LINE = re.compile(r"(?P<number>[1-9][0-9]{0,3})\. (?P<role>[^\[\]:|]+) \[(?P<labels>[^\[\]]*)\]:(?P<text>.*)")


def prompt(seed: Mapping[str, Any], plan: Plan, quality: str = "") -> str:
    """What the model is asked. `seed` has type, name, attribute and document; `quality`: the tag, none if empty."""
    said = {name: " ".join(str(seed[name]).split()) for name in FIELDS}
    lines = [f"{number}. {role} [{'+'.join(intents)}]" for number, (role, intents) in enumerate(plan.steps, 1)]
    return PROMPT.substitute(said, quality=f"Quality: {quality}\n" if quality else "", plan="\n".join(lines))


def seed_of(dialogue: Dialogue) -> dict[str, str]:
    """The seed that a finished dialogue of solid or solid-rl was written from.

    Raises UserError naming the dialogue when it lacks a part of it.
    """
    known = {
        "type": (dialogue.goal or {}).get("type"),
        "name": dialogue.topic,
        "attribute": dialogue.subtopic,
        "document": dialogue.document,
    }
    missing = [name for name, value in known.items() if not value]
    if missing:
        raise UserError(
            f"dialogue {dialogue.id}: no {', '.join(missing)}; expected one that the recipe solid or solid_rl wrote"
        )
    return {name: str(value) for name, value in known.items()}


def render(turns: Sequence[Turn]) -> str:
    """The lines of a dialogue; white space inside an utterance becomes one blank, so that it stays on its line."""
    return "\n".join(
        f"{_head(number, turn.speaker, turn.intents)} {' '.join(turn.text.split())}".rstrip()
        for number, turn in enumerate(turns, 1)
    )


def parse(text: str, plan: Plan) -> tuple[Turn, ...]:
    """The turns of a reply that has a line for each step of `plan`, in order, and nothing else but empty lines.

    Raises ReadingError saying which line is wrong, what was expected and what stands there.
    """
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    turns = []
    for number, ((role, intents), line) in enumerate(zip(plan.steps, lines, strict=False), 1):
        found = _LINE.fullmatch(line)
        wanted = _head(number, role, intents)
        if found is None:
            raise ReadingError(f"turn {number}: expected {wanted!r} and what is said, got {line[:80]!r}", text)
        wrong = _difference(found, number, role, intents)
        if wrong:
            raise ReadingError(f"turn {number}: {wrong}; expected {wanted!r}", text)
        if not found["text"].strip():
            raise ReadingError(f"turn {number}: nothing is said", text)
        turns.append(Turn(role, " ".join(found["text"].split()), intents))
    if len(lines) != len(plan.steps):
        raise ReadingError(f"expected {len(plan.steps)} turns, a line each, got {len(lines)} lines", text)
    return tuple(turns)


def pattern(plan: Plan, utterance: str) -> str:
    """A regular expression of replies that `parse` reads, each utterance matching `utterance`."""
    heads = [_head(number, role, intents) for number, (role, intents) in enumerate(plan.steps, 1)]
    return r"\n".join(f"{_escaped(head)} {utterance}" for head in heads)


def _escaped(head: str) -> str:
    return re.sub(r"([.\[\]+])", r"\\\1", head)


def _head(number: int, role: str, intents: Sequence[str]) -> str:
    return f"{number}. {role} [{'+'.join(intents)}]:"


def _difference(found: re.Match[str], number: int, role: str, intents: Sequence[str]) -> str | None:
    """What a line says other than the plan, or None. Labels may stand in any order."""
    if int(found["number"]) != number:
        return f"number {found['number']}"
    if found["role"] != role:
        return f"speaker {found['role']!r}" + (
            "" if found["role"] in ROLES else f", who is none of {', '.join(ROLES)}"
        )
    labels = found["labels"].split("+")
    unknown = [label for label in labels if label not in INTENTS]
    if unknown:
        return f"unknown intent {unknown[0]!r}"
    return None if sorted(labels) == sorted(intents) else f"intents {found['labels']}"
