"""A scripted model for the recipes: reads what it is asked and answers in form, the same for the same request."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from random import Random

from synthesis.engine import Reply, Request
from tests import document_clerk, solid_clerk, topic_clerk, travel_clerk
from tests.weigher import weigher

OPENERS = ("Hello there", "Good evening", "What a day", "Is this seat free", "Nice hat", "Are you from here")
LINES = (
    "I was thinking about {word} all morning, somehow it never leaves me",
    "That is funny, {word} came up when I left the house",
    "Tell me more, what is it with {word} that you care for",
    "My family always laughed at me and {word}, but I do not mind",
    "Honestly, give me {word} and the lights may go out",
    "Well, some people need quiet while I want {word} around me",
    "Nobody warned me how much {word} would change my week",
    "You should see my street when {word} is on, half of them come out",
    "There was a summer full of {word}, I must have been nine",
    "Could you live without {word}, or would you fall apart",
    "It took years, yet {word} finally makes sense to me",
    "Ask anybody at work, {word} is what they hear from me",
    "Between us, {word} scares me a little on cold nights",
    "Next year I hope for less noise and more {word}",
)


def clerk(request: Request) -> str | Reply:
    """The answer to any call of the recipes."""
    if request.decoder_input_details:
        return weigher(request)
    if request.stage in document_clerk.ANSWERS:
        return document_clerk.answer(request)
    if request.stage in solid_clerk.ANSWERS:
        return solid_clerk.answer(request)
    if request.stage in topic_clerk.ANSWERS:
        return topic_clerk.answer(request)
    if request.stage in travel_clerk.ANSWERS:
        return travel_clerk.answer(request)
    prompt = request.prompt if request.prompt is not None else request.messages[-1][1]
    rng = Random(hashlib.sha256(f"{request.stage}:{request.seed}:{prompt}".encode()).hexdigest())
    return ANSWERS[request.stage](prompt, rng)


def _conversation(prompt: str, rng: Random) -> str:
    """Ten to fourteen turns, in which each user uses words of their own attributes."""
    target = prompt.rsplit("Setting:", 1)[0] if "Setting:" in prompt else prompt
    profiles = re.findall(r"(?:profile|called [^\n:]+):\n((?:- .+\n?)+)", target)[-2:]
    said = [rng.choice(OPENERS) + ", " + rng.choice(OPENERS).lower() + " again."]
    lines = []
    for number, template in enumerate(rng.sample(LINES, 12)):
        traits = re.sub(r"- (?:User \d: )?", "", profiles[number % 2]).splitlines()
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
