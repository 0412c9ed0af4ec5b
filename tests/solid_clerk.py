"""A scripted model for solid and solid-rl: names, documents, utterances that do as they are told, and a critic."""

from __future__ import annotations

import hashlib
import itertools
import re
from collections.abc import Callable
from random import Random

from synthesis.engine import Request
from synthesis.intents.labels import INTENTS, ROLES

CUES = {
    "CQ": "What do you mean by that",
    "FD": "To be more exact",
    "FQ": "One more thing I would like to ask",
    "GG": "Many thanks to you",
    "IR": "First I need to know from you",
    "JK": "Blorp fizz",
    "NF": "Sadly it failed for me",
    "O": "The system is down",
    "OQ": "Here is my question",
    "PA": "You could try it like so",
    "PF": "It worked for me",
    "RQ": "I have the same trouble as them",
}
"""How an utterance with an intent begins, so that the critic knows it again."""
TAILS = (
    "with {0} by the old harbour",
    "since {0} came to the valley",
    "and {0} has a copper roof",
    "before {0} was open on Mondays",
    "while {0} still smelled of paint",
    "though {0} is far from any road",
    "where {0} keeps nine lanterns",
    "because {0} froze twice last winter",
    "as {0} has been told by sailors",
    "after {0} went under the hammer",
    "until {0} had a fresh coat of tar",
    "if {0} takes coins from abroad",
)
SOUNDS = "ba be bi bo da de di do ka ke ki ko la le li lo ma me mi mo na ne ni no ra re ri ro sa se si so".split()


def answer(request: Request) -> str:
    """The answer to a call of solid."""
    text = request.prompt if request.prompt is not None else "\n".join(content for _, content in request.messages)
    rng = Random(hashlib.sha256(f"{request.stage}:{request.seed}:{text}".encode()).hexdigest())
    return ANSWERS[request.stage](text, rng)


def told(text: str) -> list[str]:
    """Codes of the intents whose instruction stands in `text`, for the role that it names last."""
    role = max(ROLES, key=lambda role: text.rfind(f"The {role} speaks next"))
    return [code for code, intent in INTENTS.items() if intent.instruction(role)[:-1] in text]


def _names(text: str, rng: Random) -> str:
    letter, count = re.findall(r"First letter: (.)\n", text)[-1], int(re.findall(r"List (\d+) well-known", text)[-1])
    names = [
        letter + "".join(rng.choices(SOUNDS, k=3)) + " " + rng.choice(SOUNDS).title() + "ron" for _ in range(count)
    ]
    return "\n".join(names)


def _document(text: str, rng: Random) -> str:
    name = text.partition("about ")[2].partition(" (")[0]
    known = "".join(rng.choices(SOUNDS, k=2))
    return f"{name} is known for its {known}. It has stood there for {rng.randint(9, 900)} years."


def _starter(text: str, rng: Random) -> str:
    name = text.partition("Background on ")[2].partition(" (")[0]
    also = "".join(f"{CUES[code]}. " for code in told(text + "\nThe User speaks next") if code != "OQ")
    return f"{also}{CUES['OQ']}: what is there to know {rng.choice(TAILS).format(name)}, year {rng.randint(1, 10**6)}?"


def _turn(text: str, rng: Random) -> str:
    name = text.partition("They talk about ")[2].partition(" (")[0]
    cues = [CUES[code] for code in told(text)]
    return " ".join(f"{cue} {rng.choice(TAILS).format(name)}, number {rng.randint(1, 10**6)}." for cue in cues)


def _whole(text: str, rng: Random) -> str:
    """A dialogue in one step: a line for each of the plan."""
    name = re.findall(r"^Name: (.+)$", text, re.MULTILINE)[0]
    lines, tails = [], itertools.cycle(rng.sample(TAILS, len(TAILS)))
    for number, role, labels in re.findall(r"^(\d+)\. (\w+) \[(\S+)\]$", text, re.MULTILINE):
        codes = labels.split("+")
        said = [f"{CUES[code]} {next(tails).format(name)}, number {rng.randint(1, 10**6)}." for code in codes]
        lines.append(f"{number}. {role} [{labels}]: {' '.join(said)}")
    return "\n".join(lines)


def _found(text: str, rng: Random) -> str:
    spoken = text.rpartition("The utterance:")[2]
    return ", ".join(code for code, cue in CUES.items() if cue in spoken)


ANSWERS: dict[str, Callable[[str, Random], str]] = {
    "types": lambda text, rng: "Lighthouse\nHarbour Town\n3. Island Ferry",
    "names": _names,
    "reality": lambda text, rng: "No." if rng.random() < 0.1 else "Yes.",
    "document": _document,
    "attributes": lambda text, rng: "\n".join(
        f"- {rng.choice(SOUNDS)}{rng.choice(SOUNDS)}{at} age" for at in range(10)
    ),
    "starter": _starter,
    "merge": lambda text, rng: " Also: ".join(
        re.findall(r"^- (.+)", text.rpartition("Instructions:")[2], re.MULTILINE)
    ),
    "turn": _turn,
    "intents": _found,
    "one step": _whole,
}
