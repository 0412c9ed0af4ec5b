"""The calls of the recipe luas: user and agent turns from acts, belief states from user turns, and choices of words.

Half of it are real dialogues (MultiWOZ's and SGD's), with the acts and states that their annotators gave; half are
simulated over the recipe's own town, and put into words by its own phrases.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from string import Template
from typing import Any

from synthesis.dialogue import Dialogue, Turn
from synthesis.engine import Request
from synthesis.errors import UserError
from synthesis.recipe import Pool, Seed
from synthesis.recipes import luas
from synthesis.recipes.luas import Luas
from synthesis.task_oriented import ontology as ontologies
from synthesis.task_oriented.acts import SYSTEM_ACTS, USER_ACTS, parse, written
from synthesis.task_oriented.corpora import reading
from synthesis.task_oriented.goals.drawing import Drawing, from_database
from synthesis.task_oriented.ontology import Ontology
from synthesis.task_oriented.simulation.machine import Conversation
from synthesis.task_oriented.simulation.policy import Policy
from synthesis.task_oriented.simulation.steps import CHAT, OPENER, RECOMMEND, REPORT, Step
from synthesis.task_oriented.speech import wording
from synthesis.task_oriented.speech.setting import Setting
from synthesis.task_oriented.speech.spoken import slot_words, words_of
from synthesis.task_oriented.speech.verification import told
from synthesis.task_oriented.state import USER, first_values
from training.embedded.friends import plain
from training.embedded.knowing import Knowing, Runs
from training.embedded.row import Row, asked

REAL = ("multiwoz/val.json.zip", "sgd/dev")
"""Corpora with states, below the folder of friends; the schema is beside each."""

SIMULATED = 900
CHOSEN = 800
"""Dialogues that are simulated, and those of them in which only words are chosen (choice)."""

EACH = 7
"""Examples of a dialogue at most (choice)."""


@dataclass(frozen=True, slots=True)
class Told:
    """A dialogue's examples in the making: where they come from, and the ontology that its reader is shown."""

    source: str
    key: str
    ontology: Ontology
    domains: tuple[str, ...]

    def row(self, stage: str, template: Template, answer: str, **slots: Any) -> Row:
        """An example of one call."""
        return asked(f"luas.{stage}", self.source, self.key, template.safe_substitute(slots), answer)

    def slots(self, history: Sequence[Turn], utterance: str, found: Mapping[str, str]) -> Row:
        """What a user's last message sets."""
        listed = wording.slots_of(self.ontology, self.domains)
        slots = {"slots": listed, "history": wording.history(history), "utterance": utterance}
        return self.row("slots", wording.EXTRACT, self.json(found), **slots)

    def all_slots(self, history: Sequence[Turn], utterance: str, state: Mapping[str, str]) -> Row:
        """What all messages of a user set."""
        listed = wording.slots_of(self.ontology, self.domains)
        lines = wording.user_lines(history, utterance)
        return self.row("slots", wording.EXTRACT_ALL, self.json(state), slots=listed, utterances=lines)

    def json(self, found: Mapping[str, str]) -> str:
        """Slots and values in the order in which a grammar has them."""
        order = wording.schema(self.ontology, self.domains)["properties"]
        return _json({name: found[name] for name in order if name in found})


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def rows(friends: Path, rng: Random, scale: float, dropped: Counter[str]) -> Iterator[Row]:
    """Examples of all the recipe's calls; real ones where the corpora are there. `dropped`: what is refused."""
    for place in REAL:
        folder = (friends / place).parent if place.endswith(".zip") else friends / place
        if (friends / place).exists():
            ontology = ontologies.read(folder)
            for dialogue in reading.read(friends / place):
                found = list(_real(dialogue, place.partition("/")[0], ontology, rng))
                yield from rng.sample(found, min(EACH, len(found)))
    setting = Setting.read(luas.HERE / "luas_ontology", luas.HERE / "luas_phrases.json")
    for number in range(round(SIMULATED * scale)):
        found = list(_simulated(f"town-{number}", setting, rng))
        yield from rng.sample(found, min(EACH, len(found)))
    with Runs() as runs:
        for number in range(round(CHOSEN * scale)):
            found = runs.done(_chosen(f"choice-{number}", setting, rng)) or []
            yield from rng.sample(found, min(EACH, len(found)))
        dropped.update(runs.dropped)


# ---- real dialogues -------------------------------------------------------------------------------------------------


def _real(dialogue: Dialogue, source: str, ontology: Ontology, rng: Random) -> Iterator[Row]:
    """Every turn that has acts, and every state; only what the ontology knows."""
    turns = [Turn(each.speaker, plain(each.text), (), each.acts, each.state, each.domain) for each in dialogue.turns]
    known = {each.name for each in ontology.domains}
    domains = tuple(dict.fromkeys(each.domain for each in turns if each.domain in known))
    about = Told(source, dialogue.id, ontology, domains)
    before: dict[str, str] = {}
    for at, turn in enumerate(turns):
        acts = tuple(parse(act) for act in dict.fromkeys(turn.acts))
        allowed = USER_ACTS if turn.speaker == USER else SYSTEM_ACTS
        if acts and all(act.act in allowed for act in acts) and turn.domain:
            step = Step(turn.speaker, turn.domain, CHAT, acts, turn.state)
            yield _from_acts(about, step, turns[max(0, at - 6) : at], turn.text)
        if turn.state is not None and domains:
            state = {name: value for name, value in first_values(turn.state).items() if name in ontology.slots}
            changed = {name: value for name, value in state.items() if before.get(name) != value}
            yield about.slots(turns[max(0, at - 6) : at], turn.text, changed)
            if rng.random() < 0.2:
                yield about.all_slots(turns[:at], turn.text, state)
            before = state


def _from_acts(about: Told, step: Step, history: Sequence[Turn], text: str) -> Row:
    """What is said, of what is to be done."""
    user = step.speaker == USER
    template = wording.USER_ACTS if user else wording.AGENT_ACTS
    slots = {"history": wording.history(history), "acts": wording.acts_of(step), "persona": ""}
    return about.row("user" if user else "agent", template, text, **slots)


# ---- simulated ones -------------------------------------------------------------------------------------------------


def _goal(setting: Setting, rng: Random) -> Any:
    """A goal that some row satisfies."""
    while True:
        try:
            return from_database(setting.ontology, setting.database, rng, Drawing())
        except UserError:
            continue  # no row has what was drawn: another is


def _simulated(key: str, setting: Setting, rng: Random) -> Iterator[Row]:
    """All that is asked in the course of one conversation, in both modes, with phrases of the recipe as answers."""
    goal = _goal(setting, rng)
    about = Told("town", key, setting.ontology, goal.domains)
    talk = Conversation(goal, setting.ontology, setting.database, Policy(), rng)
    turns: list[Turn] = []
    while (step := talk.user()) is not None:
        text, *others = setting.phrases.candidates(step, turns, 12, rng)
        yield from _of_user(about, step, turns, text, others)
        turns.append(Turn(USER, text, (), written(step.acts), step.state, step.domain))
        talk.heard()
        step = talk.agent()
        text = setting.phrases.candidates(step, turns, 1, rng)[0]
        yield from _of_agent(about, step, turns, text, setting)
        turns.append(Turn(step.speaker, text, (), written(step.acts), None, step.domain, step.lookup))
        talk.said()


def _of_user(about: Told, step: Step, turns: Sequence[Turn], text: str, others: Sequence[str]) -> Iterator[Row]:
    yield _from_acts(about, step, turns, text)
    yield about.slots(turns, text, told(step.acts, about.ontology))
    yield about.all_slots(turns, text, step.state or {})
    if step.kind == OPENER and len(others) >= 5:
        yield about.row("opener", wording.OPENERS, _json([text, *others[:9]]), domain=words_of(step.domain))
    if len(others) >= 3:
        yield about.row("rewrite", wording.REWRITE, "\n".join(others[:3]), utterance=text)
    properties = ", ".join(slot_words(act.slot) for act in step.acts if act.act == "request")
    task = Template(wording.FREE_TASKS[step.kind]).safe_substitute(properties=properties)
    marks = [wording.RECOM] if any(act.act == "recommend" for act in step.acts) else _wanted(task)
    told_so_far = {"history": wording.history(turns), "preferences": wording.preferences(step), "persona": ""}
    answer = " ".join([text, *(mark for mark in marks if mark in task)])
    yield about.row("user", wording.USER_FREE, answer, domain=words_of(step.domain), task=task, **told_so_far)


def _of_agent(about: Told, step: Step, turns: Sequence[Turn], text: str, setting: Setting) -> Iterator[Row]:
    yield _from_acts(about, step, turns, text)
    properties = ", ".join(slot_words(act.slot) for act in step.acts if act.act == "request")
    details = ", ".join(f"{slot_words(act.slot)} {act.value}" for act in step.acts if act.value) or "no more"
    kind = "agent chat" if step.kind == CHAT else step.kind
    task = Template(wording.FREE_TASKS[kind]).safe_substitute(properties=properties, details=details)
    lookup = step.lookup
    found = {
        "domain": words_of(step.domain),
        "history": wording.history(turns),
        "constraints": ", ".join(f"{slot} {value}" for slot, value in (lookup.constraints if lookup else {}).items()),
        "count": lookup.count if lookup else 0,
        "rows": wording.shown(lookup.rows if lookup else ()),
        "task": task,
    }
    yield about.row("agent", wording.AGENT_FREE, " ".join([text, *_wanted(task)]), **found)
    if step.kind in (REPORT, RECOMMEND) and lookup and step.domain in setting.database.domains:
        named = setting.ontology.domain(step.domain).named
        names = [row[named] for row in lookup.rows if named in row]
        offered = next((name for name in names if name.lower() in text.lower()), "")
        said = [*turns[-1:], Turn(step.speaker, text)]
        if names:
            slots = {"history": wording.history(said), "names": ", ".join(names)}
            yield about.row("name", wording.NAME, _json({"name": offered}), **slots)


def _wanted(task: str) -> list[str]:
    """The marks that a task demands in any case."""
    return [] if "To ask for" in task else [mark for mark in wording.MARKS if mark in task]


async def _chosen(key: str, setting: Setting, rng: Random) -> list[Row]:
    """A dialogue in which only words are chosen, as in the preset for the embedded model; any choice is right."""

    def choice(request: Request) -> str:
        listed = request.messages[-1][1].rsplit("write next?\n", 1)[1]
        return str(rng.choice(re.findall(r"^(\d+)\. ", listed, re.MULTILINE)))

    engine = Knowing({"user": choice, "agent": choice})
    seed = Seed(key, {"goal": _goal(setting, rng).to_json()})
    await Luas(**Luas.presets["laptop"]).dialogue(seed, Pool(), engine, rng)
    return engine.rows("luas", "town", key)
