"""The generator's call of Synthetic-Persona-Chat: its prompts, what stands in them, and its grammar."""

from __future__ import annotations

from collections.abc import Sequence
from string import Template

from synthesis.dialogue import Dialogue, transcript
from synthesis.engine import Grammar
from synthesis.forms import turn_pairs
from synthesis.personas import bullets
from synthesis.reading import USERS

GENERATE_PAPER = Template("""Below are user profiles and conversations between the two users. The conversations \
reflect the profiles only implicitly: what a profile says is shown by what its user talks about.

${exemplars}Write a conversation for the next two profiles. It has more than 5 and fewer than 8 turns of each user, \
sounds natural, and does not copy sentences of the profiles. Every line opens with "User 1:" or "User 2:".

User 1 profile:
$traits_1

User 2 profile:
$traits_2

Conversation:
""")

GENERATE = Template("""${exemplars}Write a natural conversation of $low to $high turns. Every line opens with \
"User 1:" or "User 2:". The profiles show in what the users talk about; their sentences are not copied.

User 1 is called $name_1:
$traits_1

User 2 is called $name_2:
$traits_2

Setting: $setting

Conversation:
""")

EXEMPLAR_PAPER = Template("""User 1 profile:
$traits_1

User 2 profile:
$traits_2

Conversation:
$conversation

""")

EXEMPLAR = Template("""Example:

User 1 is called $name_1:
$traits_1

User 2 is called $name_2:
$traits_2

Conversation:
$conversation

""")


TRAIT = Template("- $user: $trait")
"""A line of a profile that names its user, so that no model has to look up whose it is."""


SAID = r": [^\s][^\n]{0,239}"
"""What a grammar has of a turn behind its user: one line."""


def held(low: int, high: int) -> Grammar:
    """Holds a conversation to `low` to `high` turns, of both users alike where that is possible."""
    opens, answers = (f"{user}{SAID}" for user in USERS)
    least, most, odd = turn_pairs(low, high)
    last = rf"\n{opens}" if odd else ""
    # a last line break: a model that wants to go on may only end behind it
    return Grammar("regex", rf"{opens}\n{answers}(\n{opens}\n{answers}){{{least - 1},{most - 1}}}{last}\n?")


def owned(traits: Sequence[str], user: str) -> str:
    """Attributes as a list in which every line names its user."""
    return "\n".join(TRAIT.substitute(user=user, trait=trait) for trait in traits)


def slots(dialogue: Dialogue, labelled: bool) -> dict[str, str]:
    """Slots for the two profiles; `labelled`: every line names its user."""
    first, second = dialogue.personas
    return {
        "traits_1": owned(first.traits, USERS[0]) if labelled else bullets(first.traits),
        "traits_2": owned(second.traits, USERS[1]) if labelled else bullets(second.traits),
        "name_1": first.name or USERS[0],
        "name_2": second.name or USERS[1],
    }


def filled(template: Template, exemplar: Dialogue, labelled: bool) -> str:
    """An exemplar as it stands in front of the call."""
    return template.substitute(slots(exemplar, labelled), conversation=transcript(exemplar.turns))
