"""A scripted model for the recipe diasynth: lists, dialogues and summaries in the form that the prompt asks for."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from random import Random

from synthesis.engine import Request

SIDES = ("buying", "mending", "losing", "sharing", "teaching", "painting", "fearing", "selling", "counting", "hiding")
TRADES = ("baker", "sailor", "judge", "nurse", "miner", "poet", "clown", "farmer", "pilot", "tailor", "monk", "diver")
ENDS = (
    "sings at night",
    "lost a ring",
    "owns nine goats",
    "cannot swim",
    "moved last week",
    "hates rain",
    "is in love",
)
LINES = (
    "My week went by with {0}, and {1} was in the middle of it",
    "Who would have thought that {1} goes with {0} at all",
    "Let me tell you about {0}: it took me years to see why",
    "People at home laughed at {1} until they tried",
    "I wrote down what {0} costs, and it is less than they say",
    "There is a shop near the church that has {1} for nothing",
    "Honestly, after {0} I could sleep for two days",
    "You never asked me about {1}, so I never said",
    "Fine, then {0} it is, but somebody has to begin",
    "Nobody shows you how {1} feels on a cold morning",
    "Did you keep the letters that mentioned {0}",
    "One day {1} will be all that we talk about",
)


def answer(request: Request) -> str:
    """The answer to a call of diasynth: in tags where the prompt shows tags or brackets, else in JSON."""
    (_, system), (_, user) = request.messages
    rng = Random(hashlib.sha256(f"{request.stage}:{request.seed}:{system}:{user}".encode()).hexdigest())
    return ANSWERS[request.stage](system, user, rng)


def _list(key: str, entry: Callable[[str, Random], str]) -> Callable[[str, str, Random], str]:
    def listed(system: str, user: str, rng: Random) -> str:
        found = re.search(r"(?:into|of) (\d+)", system)
        assert found
        entries = [entry(user, rng) for _ in range(int(found[1]))]
        return json.dumps({key: entries} if f'{{"{key}"' in system else entries, ensure_ascii=False)

    return listed


def _dialogue(system: str, user: str, rng: Random) -> str:
    found = re.search(r"Only (\S+) and (\S+) speak", system)
    assert found
    told = user.lower().split()
    subject = " ".join(told[3:] or told)
    lines = [line.format(subject, rng.choice(SIDES)) + "." for line in rng.sample(LINES, 8)]
    said = [(found[1 + at % 2], line) for at, line in enumerate(lines)]
    thought = f"They meet by chance, and {rng.choice(SIDES)} divides them."
    if '"dialogue":' in system:
        turns = [{"speaker": speaker, "text": text} for speaker, text in said]
        return json.dumps(({"reasoning": thought} if '"reasoning"' in system else {}) | {"dialogue": turns})
    reasoning = f"<cot>{thought}</cot>\n" if "<cot>" in system else ""
    return reasoning + "<dialogue>\n" + "\n".join(f"{name}: {text}" for name, text in said) + "\n</dialogue>"


def _summary(system: str, user: str, rng: Random) -> str:
    first = user.partition(":")[0]
    text = f"{first} tells what happened, and they begin with {rng.choice(SIDES)}."
    return json.dumps({"summary": text}) if '{"summary"' in system else text


ANSWERS: dict[str, Callable[[str, str, Random], str]] = {
    "subtopics": _list("subtopics", lambda topic, rng: f"{' '.join(rng.sample(SIDES, 3)).title()} {topic}"),
    "personas": _list(
        "personas", lambda subject, rng: f"{' '.join(rng.sample(TRADES, 4)).title()} {rng.choice(ENDS)}."
    ),
    "dialogue": _dialogue,
    "summary": _summary,
}
