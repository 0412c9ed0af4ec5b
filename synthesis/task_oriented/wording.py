"""Prompts by which an engine puts a step into words, and the reader's prompt that has to find its slots again.

In mode improved the engine gets acts and only finds the words; in mode paper it gets what is known so far, speaks
freely and marks what it has done. All texts are ours.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from string import Template
from typing import Any

from synthesis import reading
from synthesis.dialogue import Turn, transcript
from synthesis.errors import ReadingError, UserError
from synthesis.task_oriented import times
from synthesis.task_oriented.acts import Act
from synthesis.task_oriented.ontology import Ontology, Slot
from synthesis.task_oriented.spoken import slot_words, words_of
from synthesis.task_oriented.state import DONTCARE, SYSTEM, USER, domain_of
from synthesis.task_oriented.steps import Step

USER_ACTS = Template("""You play somebody who is new in town and chats with a local guide.$persona

Chat so far:
$history

In the next message the visitor does all of this and nothing more:
$acts

Write the visitor's message in one or two short everyday sentences. Every value comes as it stands above, times with \
24 hours. Add no wish, no name and no number. Write the message alone.""")

AGENT_ACTS = Template("""You play a local guide who chats with a visitor and looks things up for them.

Chat so far:
$history

In the next message the guide does all of this and nothing more:
$acts

Write the guide's message in one to three short friendly sentences. Names, numbers and times come exactly as they \
stand above; name nothing else. Write the message alone.""")

REWRITE = Template("""A visitor writes to a local guide:
$utterance

Write three other messages that say the same, no longer, each in another tone. Keep all values as they are. One \
message a line.""")

EXTRACT = Template("""You read what a visitor wants from a chat with a local guide.

These can be wanted, each with its values where only some are possible:
$slots

Chat before:
$history

The visitor's last message:
$utterance

Which of these does the last message set or change? Answer with a JSON object of names and values, and with nothing \
else. What the visitor does not care about has the value "dontcare". Where the visitor takes, books or asks about a \
place that the guide has just offered, its name is set. Where the message refers to something earlier, such as the \
same area, give the value itself. An empty object means that nothing is set.""")

USER_FREE = Template("""You are in town for the first time and chat with a local guide about a $domain.$persona

What you want, as far as you may say it by now:
$preferences

Chat so far:
$history

$task
Write your next message: short, as in a chat, with facts from above only and without what you have said before; times \
with 24 hours. Write the message alone.""")

AGENT_FREE = Template("""You are a local guide who answers a visitor about a $domain.

Chat so far:
$history

The visitor's conditions: $constraints
Results of the search ($count in all):
$rows

$task
Write your next message, friendly and short. Name no place, train or number that is not among the results. Write the \
message alone.""")

OPENERS = Template("""A visitor begins to chat with a local guide and will ask for a $domain. Write ten different \
first messages of at most 15 words, which say nothing yet of what it should be like. Answer with a JSON list of \
texts.""")

EXTRACT_ALL = Template("""You read what a visitor wants from what they wrote to a local guide.

These can be wanted, each with its values where only some are possible:
$slots

The visitor's messages:
$utterances

Answer with a JSON object of the names that the messages set and their values, and with nothing else.""")

NAME = Template("""A chat between a visitor and a local guide:
$history

Candidates:
$names

Which candidate does the guide offer in the last message? Answer with a JSON object: {"name": "..."}, with an empty \
text where none is offered.""")

PROMPTS = (USER_ACTS, AGENT_ACTS, REWRITE, EXTRACT, USER_FREE, AGENT_FREE, OPENERS, EXTRACT_ALL, NAME)

RECOM, END_OF_USER, BOOKED, END_OF_AGENT = "[RECOM]", "[EOF]", "[BOOKED]", "[EOD]"
MARKS = (RECOM, END_OF_USER, BOOKED, END_OF_AGENT)
"""What the speakers of mode paper put behind a message: a recommendation is wanted, the user is done, the action is
done, the agent is done. The names are the published ones."""

FREE_TASKS = {
    "opener": "Begin with what you are looking for, without any detail.",
    "inform": f"Say all that you may say and have not said. To ask for a recommendation, end with {RECOM}.",
    "update": "Nothing was found. Ask for what you want now, as a proposal, without saying that you change your mind.",
    "ask_recommendation": f"Ask which one the guide would recommend, and end with {RECOM}.",
    "inquire_properties": "Ask only for this, without naming the place: $properties.",
    "ask_action": "Take what was offered. If something can be booked, ask for that, with the booking's details from "
    f"above; if not, say thanks and end with {END_OF_USER}.",
    "chat": f"Say thanks and goodbye, and end with {END_OF_USER}.",
    "inquire": "Ask the visitor for this: $properties.",
    "report": "Say how many results there are; if it is only one, name it. If there is none, say so.",
    "recommend": "Say that there are several, then recommend exactly one of the results by its name.",
    "answer": "Answer what the visitor asked.",
    "book": f"Say that it is done, with these details, and end with {BOOKED}: $details.",
    "refuse": f"Say that the booking is not possible, and end with {BOOKED}.",
    "agent chat": f"Answer in at most 15 words, and end with {END_OF_AGENT}.",
}
"""Of mode paper: what a speaker is told to do, by the kind of step."""


def history(turns: Sequence[Turn]) -> str:
    """What was said so far, as prompts show it."""
    return transcript(turns) if turns else "(nothing yet)"


def persona(text: str | None) -> str:
    """Who the user is, as a sentence behind the first of a prompt; nothing where nobody said."""
    return f" About you: {text} Speak as such a person would, but do not tell it." if text else ""


def acts_of(step: Step) -> str:
    """What a step does, one line an act."""
    describe = _user_act if step.speaker == USER else _agent_act
    return "\n".join(f"- {describe(act, step)}" for act in step.acts)


def _user_act(act: Act, step: Step) -> str:
    slot, thing = slot_words(act.slot), words_of(act.domain)
    other = step.refers.get(act.slot)
    told = f"{thing}, {slot}: {act.value}"
    if act.act == "inform" and not act.slot:
        return f"says that they look for a {thing}, without any detail"
    if act.act == "inform" and act.value == DONTCARE:
        return f"says that they do not care about this: {thing}, {slot}"
    if act.act == "inform" and other:
        return (
            f"says that for the {thing} the {slot} is that of the {words_of(domain_of(other))}, not naming the value"
        )
    return {
        "inform": f"wants {told}",
        "select": f"takes the {thing} that was offered, {act.value}" if act.value else "takes what was offered",
        "book": f"asks for the {thing} to be booked",
        "request": f"asks for the {slot}",
        "recommend": "asks which one the guide recommends",
        "thank": "says thanks",
        "bye": "says goodbye",
        "greet": "says hello",
    }[act.act]


def _agent_act(act: Act, step: Step) -> str:
    slot, thing = slot_words(act.slot), words_of(act.domain)
    if act.slot == "count":
        return f"says that {act.value} results fit"
    return {
        "request": f"asks what {slot} the visitor wants for the {thing}",
        "inform": f"says the {slot}: {act.value}",
        "recommend": f"recommends {act.value}, one of several",
        "nooffer": f"says that no {thing} fits",
        "booked": f"says that it is booked, {slot}: {act.value}" if act.value else "says that it is booked",
        "refuse": "says that the booking is not possible",
        "reqmore": "asks if there is anything else",
        "thank": "says that they were glad to help",
        "bye": "says goodbye",
        "greet": "says hello",
    }[act.act]


def slots_of(ontology: Ontology, domains: Iterable[str]) -> str:
    """The tracked slots of some domains for a reader, one a line."""
    return "\n".join(f"- {_slot(slot)}" for name in domains for slot in ontology.domain(name).slots)


def _slot(slot: Slot) -> str:
    listed = f" ({', '.join(slot.values)})" if slot.values else ""
    return f"{slot.full}: {slot.description}{listed}"


def schema(ontology: Ontology, domains: Iterable[str]) -> dict[str, Any]:
    """The JSON schema of a reader's answer: any of the slots, each a text."""
    names = [slot.full for name in domains for slot in ontology.domain(name).slots]
    return {"type": "object", "properties": {name: {"type": "string"} for name in names}}


def said(text: str, speaker: str) -> str:
    """The message in a reply, on one line, without its speaker's label and quotation marks around it.

    Raises ReadingError for an empty one, and for JSON or a fence, which nobody says.
    """
    line = " ".join(text.split())
    label = rf"^[*_]*\s*(?:{speaker}|visitor|guide|you)\s*[*_]*\s*[:：]\s*[*_]*\s*"
    line = re.sub(label, "", line, flags=re.IGNORECASE)
    line = re.sub(r'^["“](.*)["”]$', r"\1", line).strip()
    if not line:
        raise ReadingError("expected a message, got an empty reply", text)
    if line[0] in "{[`" and not line.startswith(MARKS):
        raise ReadingError(f"expected a message, got {line[:40]!r}", text)
    return line


def variants(text: str) -> list[str]:
    """The messages of a reply, one a line. Raises ReadingError where there is none."""
    return [said(each, USER) for each in reading.items(text)]


def openers(text: str) -> list[str]:
    """The texts of a JSON list. Raises ReadingError for anything else."""
    value = reading.json_value(text)
    if not isinstance(value, list) or not value or not all(isinstance(each, str) and each.strip() for each in value):
        raise ReadingError(f"expected a JSON list of texts, got {text[:60]!r}", text)
    return [said(each, USER) for each in value]


def slots_read(text: str) -> dict[str, str]:
    """`domain-slot` to value out of a JSON object. Raises ReadingError for anything else."""
    value = reading.json_value(text)
    if not isinstance(value, dict):
        raise ReadingError(f"expected a JSON object of slots, got {text[:60]!r}", text)
    odd = [name for name, each in value.items() if not isinstance(each, (str, int)) or isinstance(each, bool)]
    if odd:
        raise ReadingError(f"expected a text for {odd[0]!r}, got {json.dumps(value[odd[0]])[:40]}", text)
    return {name: str(each).strip() for name, each in value.items() if str(each).strip()}


def name_read(text: str) -> str:
    """What is under "name" of a JSON object. Raises ReadingError where there is none."""
    value = reading.json_value(text)
    name = value.get("name") if isinstance(value, dict) else None
    if not isinstance(name, str):
        raise ReadingError(f'expected a JSON object with "name", got {text[:60]!r}', text)
    return name.strip()


def unmarked(text: str) -> tuple[str, frozenset[str]]:
    """A message without its marks, and which it had."""
    marks = frozenset(mark for mark in MARKS if mark.lower() in text.lower())
    for mark in marks:
        text = re.sub(re.escape(mark), " ", text, flags=re.IGNORECASE)
    return " ".join(text.split()), marks


def shown(rows: Sequence[Mapping[str, str]]) -> str:
    """Rows as a prompt shows them, one a line."""
    return "\n".join(json.dumps(dict(row), ensure_ascii=False) for row in rows) or "(none)"


def preferences(step: Step) -> str:
    """What a user may say of the step's domain by then, one slot a line."""
    found = [(name, value) for name, value in (step.state or {}).items() if domain_of(name) == step.domain]
    lines = []
    for name, value in found:
        slot = name.partition("-")[2]
        other = step.refers.get(slot)
        told = f" (say that it is the same as for the {words_of(domain_of(other))})" if other else ""
        lines.append(f"- {slot_words(slot)}: {value}{told}")
    return "\n".join(lines) or "(nothing yet)"


def spelled(ontology: Ontology, name: str, value: str) -> str:
    """A value that a reader gave as the ontology and the clock spell it; as it stands where neither knows it."""
    slot = ontology.slots.get(name)
    if slot is None:
        return value
    if slot.name in ("leaveat", "arriveby", "booktime"):
        minutes = times.minutes(value)
        return value if minutes is None else times.clock(minutes)
    try:
        return slot.legal(value)
    except UserError:
        return value  # no value of the slot: it will not be what was to be told either


def user_lines(turns: Sequence[Turn], more: str) -> str:
    """All messages of the user, one a line."""
    return "\n".join(f"- {text}" for text in [*(each.text for each in turns if each.speaker != SYSTEM), more])
