"""A scripted model for luas: says what it is told to, item by item, and reads its own items back out of messages."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from random import Random

from synthesis.engine import Request
from synthesis.task_oriented.speech.spoken import slot_words, words_of
from synthesis.task_oriented.speech.wording import BOOKED, END_OF_AGENT, END_OF_USER, RECOM

LEADS = ("Well then", "Let me see", "Right", "So", "Fine by me", "Ah", "One moment", "As for that", "Now", "Good")
TAILS = (
    "with the lanterns lit",
    "before the ferry whistles",
    "while it drizzles",
    "now that the market closes",
    "as my aunt would say",
    "since the bells are out",
    "though my feet hurt",
    "because the map got wet",
    "under the old arcade",
    "past the copper roofs",
)


def answer(request: Request) -> str:
    """The answer to a call of luas."""
    text = request.prompt if request.prompt is not None else "\n".join(content for _, content in request.messages)
    rng = Random(hashlib.sha256(f"{request.stage}:{request.seed}:{text}".encode()).hexdigest())
    if text.endswith("Answer with the number of one of these alone."):
        return rng.choice(re.findall(r"^(\d+)\. ", text.rsplit("write next?", 1)[1], re.MULTILINE))
    return ANSWERS[request.stage](text, rng)


def _bullets(text: str) -> list[str]:
    return re.findall(r"^- (.+)$", text, re.MULTILINE)


def _said(items: list[str], rng: Random) -> str:
    return f"{rng.choice(LEADS)}; {'; '.join(items)}; {rng.choice(TAILS)} {rng.choice(TAILS)}."


def _user(text: str, rng: Random) -> str:
    """The acts as they are listed; of mode paper, the preferences, and the marks that the task demands."""
    if "all of this and nothing more:" in text:
        return _said(_bullets(text.rsplit("nothing more:", 1)[1]), rng)
    thing = re.search(r"chat with a local guide about a (.+?)\.", text)
    assert thing
    wishes = _bullets(text.split("as far as you may say it by now:")[1].split("Chat so far:")[0])
    task = text.rsplit("\n", 2)[-2]
    ends = [RECOM] * ("recommend, and" in task) + [END_OF_USER] * task.startswith("Say thanks")
    every = [f"wants {thing[1]}, {each.split(' (say')[0]}" for each in wishes]
    told = [each for each in every if f"{each};" not in text]
    asked = re.search(r"Ask only for this, without naming the place: (.+)\.", task)
    return " ".join([_said([*told, *([f"what is the {asked[1]}?"] if asked else [])], rng), *ends])


def _agent(text: str, rng: Random) -> str:
    if "all of this and nothing more:" in text:
        return _said(_bullets(text.rsplit("nothing more:", 1)[1]), rng)
    task = text.rsplit("\n", 2)[-2]
    rows = [json.loads(line) for line in re.findall(r"^\{.+\}$", text, re.MULTILINE)]
    named = [row.get("name") or row.get("trainid") for row in rows]
    one = named[:1] if "name it" in task and len(named) == 1 else named[:1] if "by its name" in task else []
    ends = [mark for mark in (BOOKED, END_OF_AGENT) if f"end with {mark}" in task]
    details = task.split(": ", 1)[1:] if "details" in task else []
    return " ".join([_said([f"take {name}" for name in one if name] + details, rng), *ends])


def _slots(text: str, rng: Random) -> str:
    """What the last message, or each message, says of the slots that the prompt lists."""
    full = re.findall(
        r"^- ([^\s:]+-[^\s:]+): ", text.split("Chat before:")[0].split("The visitor's messages:")[0], re.M
    )
    parts = re.split(r"Chat before:|The visitor's messages:", text)[1]
    before, _, last = parts.partition("The visitor's last message:")
    last = last or before
    found: dict[str, str] = {}
    for name in full:
        domain, _, slot = name.partition("-")
        thing, words = re.escape(words_of(domain)), re.escape(slot_words(slot))
        told = re.findall(rf"wants {thing}, {words}: ([^;\n]+?)(?:;|\n|$)", last)
        same = re.search(rf"for the {thing} the {words} is the same as the (.+?) of the (.+?), without", last)
        if told:
            found[name] = told[-1]
        elif re.search(rf"do not care about this: {thing}, {words};", last):
            found[name] = "dontcare"
        elif same:
            earlier = re.findall(rf"wants {same[2]}, {same[1]}: ([^;\n]+?);", before)
            earlier += re.findall(rf"takes the {same[2]} that was offered, ([^;\n]+?);", before)
            found |= {name: earlier[-1]} if earlier else {}
        taken = re.findall(rf"takes the {thing} that was offered, ([^;\n]+?);", last)
        if taken and slot == "name":
            found[name] = taken[-1]
    return f"Here it is: {json.dumps(found)}"


def _rewrite(text: str, rng: Random) -> str:
    """The same message with other words in front."""
    message = re.search(r"writes to a local guide:\n(.+)\n", text)
    assert message
    return "\n".join(f"{number}. {rng.choice(LEADS)}, {message[1]}" for number in (1, 2, 3))


def _name(text: str, rng: Random) -> str:
    """The candidate that stands in the chat."""
    chat, _, rest = text.partition("Candidates:")
    names = [each.strip() for each in rest.split("\n\n")[0].split(",")]
    last = chat.lower().rstrip().rsplit("\n", 1)[-1]
    return json.dumps({"name": next((name for name in names if name.lower() in last), "")})


ANSWERS: dict[str, Callable[[str, Random], str]] = {
    "user": _user,
    "agent": _agent,
    "rewrite": _rewrite,
    "slots": _slots,
    "opener": lambda text, rng: json.dumps([f"{lead}, hello, can you help me?" for lead in LEADS]),
    "name": _name,
}
