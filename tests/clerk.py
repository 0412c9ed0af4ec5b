"""A scripted model for the recipe spc: reads what it is asked and answers in form, the same for the same request."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from random import Random

from synthesis.engine import Request

OPENERS = ("Hello there", "Good evening", "What a day", "Is this seat free", "Nice hat", "Are you from here")
LINES = (
    "I was thinking about {word} all morning, somehow it never leaves me",
    "That is funny, {word} was on my mind as well when I left the house",
    "Tell me more, what is it about {word} that you care for",
    "My family always laughed about me and {word}, but I do not mind",
    "Honestly, I could talk about {word} until the lights go out",
    "Well, some people need quiet and I need {word} around me",
)


def clerk(request: Request) -> str:
    """The answer to any call of spc."""
    prompt = request.prompt if request.prompt is not None else request.messages[-1][1]
    rng = Random(hashlib.sha256(f"{request.stage}:{request.seed}:{prompt}".encode()).hexdigest())
    return ANSWERS[request.stage](prompt, rng)


def _conversation(prompt: str, rng: Random) -> str:
    """Twelve turns, no line more than twice, in which each user uses words of their own attributes."""
    target = prompt.rsplit("Setting:", 1)[0] if "Setting:" in prompt else prompt
    profiles = re.findall(r"(?:profile|called [^\n:]+):\n((?:- .+\n?)+)", target)[-2:]
    said = [rng.choice(OPENERS) + ", " + rng.choice(OPENERS).lower() + " again."]
    lines = []
    for number, template in enumerate(rng.sample(LINES * 2, 12)):
        traits = profiles[number % 2].replace("- ", "").splitlines()
        words = [word for trait in traits for word in re.findall(r"[a-z]{4,}", trait)]
        line = template.format(word=f"{rng.choice(words)} and {rng.choice(words)}")
        lines.append(f"User {number % 2 + 1}: " + (said[0] + " " if number == 0 else "") + line + ".")
    return "\n".join(lines)


def _labels(prompt: str, rng: Random) -> str:
    count = len(re.findall(r"^\d+\. ", prompt, re.MULTILINE))
    label = "contradicted" if rng.random() < 0.02 else "supported"
    return json.dumps({str(number): label if number == 1 else "unmentioned" for number in range(1, count + 1)})


ANSWERS: dict[str, Callable[[str, Random], str]] = {
    "query induction": lambda prompt, rng: f"What do you think about {rng.choice(prompt.split())} {rng.random()}?",
    "query bootstrapping": lambda prompt, rng: f"Which {rng.choice(LINES).split()[-1]} do you keep at {rng.random()}?",
    "persona bootstrapping": lambda prompt, rng: (
        f"I have {rng.randint(2, 99)} {prompt.split()[-1][:-1]} from {rng.random()}."
    ),
    "negation": lambda prompt, rng: "I do not think so at all.",
    "entailment": lambda prompt, rng: "No",
    "contradiction": lambda prompt, rng: "Yes" if rng.random() < 0.05 else "No",
    "generation": _conversation,
    "toxicity": lambda prompt, rng: "Yes, it is rude." if rng.random() < 0.02 else "No, it is friendly.",
    "faithfulness": lambda prompt, rng: (
        _labels(prompt, rng) if "For each number" in prompt else ("Yes." if rng.random() < 0.05 else "No.")
    ),
    "comparison": lambda prompt, rng: rng.choice(["1", "2"]),
}
