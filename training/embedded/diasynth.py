"""The calls of the recipe diasynth: subtopics, personas, dialogues on a subject by two personas, and summaries."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from synthesis import characteristics, few_shots, topics
from synthesis.engine import Message, Request
from synthesis.filters.grounding import ABOUT
from synthesis.forms import Form
from synthesis.recipe import Dropped, Pool, Seed
from synthesis.recipes import diasynth
from synthesis.recipes.diasynth import SUMMARY, Diasynth
from synthesis.topics import PERSONAS, SUBTOPICS, Lists
from training.embedded.hobbies import CALLED, FAMILIES, TOPICS
from training.embedded.knowing import Knowing, Runs
from training.embedded.people import persona, subject, told_of
from training.embedded.persona_chat import lines
from training.embedded.row import Row, asked, held_out
from training.embedded.spc import shipped
from training.embedded.talks import Talk, frequent, introduced, window

DIALOGUES = 9000
"""Talks that become dialogues on a subject."""

VERDICTS = 1500
USUAL = "Everyday Life"
"""The topic of talks that have none."""

LISTS = {"subtopics": 3000, "personas": 3500}

_OTHERS: dict[str, Any] = {"grounding": "none", "resamples": 0, "few_shots": 0, "summary_few_shots": 0}
_LAPTOP = Diasynth.presets["laptop"]
_IMPROVED = {**Diasynth.presets["improved"], **_OTHERS, "low": 6, "high": 16}
KINDS: tuple[tuple[float, Mapping[str, Any]], ...] = (
    (0.45, {**_LAPTOP, **_OTHERS}),
    (0.25, {**_IMPROVED}),
    (0.1, {**_IMPROVED, "few_shots": 1, "summary_few_shots": 1}),
    (0.1, {**_IMPROVED, "cot": False}),
    (0.05, _OTHERS),
    (0.05, {**_LAPTOP, **_OTHERS, "form": "json", "cot": True}),
)
"""Shares of the forms in which dialogues are asked for, mostly without few-shots, which take room (choice)."""


@dataclass(frozen=True, slots=True)
class Scene:
    """A talk that is to be written: what about, by whom, and what was said."""

    talk: Talk
    topic: str
    subtopic: str
    names: tuple[str, str]
    personas: tuple[str, str]
    turns: tuple[str, ...]

    def lines(self) -> list[tuple[str, str]]:
        """Speaker and text of each turn."""
        return [(self.names[at % 2], text) for at, text in enumerate(self.turns)]


def rows(
    material: Sequence[Talk],
    outlines: Mapping[str, Sequence[str]],
    casts: Sequence[tuple[str, Sequence[str]]],
    summaries: Sequence[tuple[str, str, str, str]],
    rng: Random,
    scale: float,
    dropped: Counter[str],
) -> Iterator[Row]:
    """Examples of all the recipe's calls.

    `outlines`: topics and their subtopics; `casts`: subjects and people; `summaries`: source, id, conversation and
    the summary that people wrote. `dropped`: counts what the recipe's filters refuse.
    """
    common = frequent(material)
    with Runs() as runs:
        for talk in rng.sample(material, min(len(material), round(DIALOGUES * scale))):
            scene = _scene(talk, common, rng)
            if scene is None:
                dropped["diasynth: no persona in what a speaker says"] += 1
                continue
            yield from runs.done(_written(scene, rng)) or ()
        yield from _lists(runs, outlines, casts, rng, scale)
        dropped.update(runs.dropped)
    some = rng.sample(material, min(len(material), round(3 * VERDICTS * scale)))
    scenes = [
        scene for talk in some if (scene := _scene(talk, common, rng)) and scene.topic != USUAL != scene.subtopic
    ]
    yield from _verdicts(scenes[: round(VERDICTS * scale)], rng)
    for source, key, said, summary in summaries:
        form = Form(rng.choice(("tags", "json")), held=True)
        yield _summed_up(source, key, said, summary, form)


# ---- dialogues ------------------------------------------------------------------------------------------------------


def _scene(talk: Talk, common: frozenset[str], rng: Random) -> Scene | None:
    """The talk with a subject, names and a persona each; None where nothing a speaker says makes one."""
    names = rng.sample(shipped("spc_names.txt"), 2)
    turns = introduced(window(talk.turns, rng, 8, 12), names, rng)
    people = []
    for side in talk.facts:
        usable = [trait for trait in side if told_of(trait)] or list(TOPICS.get(talk.topic, ()))
        made = persona(rng.sample(usable, min(len(usable), rng.choice((1, 2)))), rng) if usable else None
        if made is None:
            return None
        people.append(made)
    topic = CALLED.get(talk.topic, USUAL)
    about = subject(turns, common, topic)
    return Scene(talk, topic, about, (names[0], names[1]), (people[0], people[1]), turns)


async def _written(scene: Scene, rng: Random) -> list[Row]:
    """The calls of one dialogue. Raises Dropped where the recipe's filters would not keep it."""
    fields = rng.choices([kind for _, kind in KINDS], [share for share, _ in KINDS])[0]
    recipe = Diasynth(**{**fields, "exemplars": diasynth.HERE / "diasynth_exemplars.jsonl"})
    shots = few_shots.chosen(few_shots.load(recipe.exemplars).dialogues, recipe.few_shots, rng)
    numbered = rng.random() < 0.3
    if numbered:
        first, second = few_shots.NUMBERED
        scene = Scene(scene.talk, scene.topic, scene.subtopic, (first, second), scene.personas, scene.turns)
    dealt = characteristics.dealt(characteristics.distributions(recipe.characteristics), 1, rng)[0]
    content = {
        "topic": scene.topic,
        "subtopic": None if scene.subtopic == scene.topic else scene.subtopic,
        "personas": list(scene.personas),
        "characteristics": dealt | {"topic": scene.subtopic} if recipe.deal else {},
        "speakers": list(scene.names),
        "few_shots": [shot.id for shot in shots],
    }
    engine = Knowing(
        {
            "dialogue": lambda request: _reply(scene, recipe, dealt),
            "summary": lambda request: _text(_summary(scene), recipe.form),
        }
    )
    await recipe.dialogue(Seed(scene.talk.id, content), Pool(tuple(shots)), engine, rng)
    return engine.rows("diasynth", scene.talk.source, scene.talk.id)


def _reply(scene: Scene, recipe: Diasynth, dealt: Mapping[str, str]) -> str:
    """The dialogue in the form that the recipe asks for."""
    thought = _reasoning(scene, dealt) if recipe.cot else None
    if recipe.form == "json":
        said = [{"speaker": speaker, "text": text} for speaker, text in scene.lines()]
        whole = ({"reasoning": thought} if thought else {}) | {"dialogue": said}
        return json.dumps(whole, ensure_ascii=False, separators=(",", ":"))
    told = "\n".join(f"{speaker}: {text}" for speaker, text in scene.lines())
    before = f"<cot>\n{thought}\n</cot>\n" if thought else ""
    return f"{before}<dialogue>\n{told}\n</dialogue>"


def _reasoning(scene: Scene, dealt: Mapping[str, str]) -> str:
    """A short plan of the dialogue, of what is known about it."""
    first, second = scene.names
    mood, pace = dealt["emotional states"], dealt["duration"]
    return (
        f"They talk about {scene.subtopic}. {first} begins and {second} answers; each brings in what they know. "
        f"How they feel: {mood}. How long it takes: {pace}. It ends when all is said."
    )


def _text(summary: str, form: str) -> str:
    return json.dumps({"summary": summary}, ensure_ascii=False, separators=(",", ":")) if form == "json" else summary


def _summary(scene: Scene) -> str:
    """What the two talk about and what each says of themselves in the part that is kept, in one line."""
    first, second = scene.names
    parts = [f"{first} and {second} talk about {scene.subtopic}."]
    for user, name in enumerate(scene.names):
        said = " ".join(scene.turns[user::2])
        facts = [fact for fact in scene.talk.facts[user] if fact.rstrip(".") in said]
        told = [found for fact in facts if (found := told_of(fact))][:2]
        if told:
            parts.append(f"{name} {' and '.join(told)}.")
    return " ".join(parts)


def _summed_up(source: str, key: str, said: str, summary: str, form: Form) -> Row:
    """The summary's call without few-shots."""
    head = SUMMARY.substitute(exemplars="", form=form.text_words("summary"))
    prompt: tuple[Message, ...] = (("system", head), ("user", said))
    return Row("diasynth.summary", source, key, prompt, _text(summary, form.kind))


def _verdicts(scenes: Sequence[Scene], rng: Random) -> Iterator[Row]:
    """Whether a dialogue is about its subject, or about that of one on another topic of another family."""
    learned = [scene for scene in scenes if not held_out(scene.talk.id)]
    for scene in scenes:
        yes = rng.random() < 0.5
        akin = {scene.topic}.union(*(family for family in FAMILIES if scene.topic in family))
        away = () if yes else (each.subtopic for each in learned if each.topic not in akin)
        others = [subtopic for subtopic in away if subtopic != scene.subtopic and subtopic not in akin]
        about = rng.choice(others) if others else scene.subtopic
        text = lines(scene.turns)
        if not others or about.casefold() not in text.casefold():
            prompt = ABOUT.substitute(conversation=text, subject=about)
            yield asked("diasynth.grounding", scene.talk.source, scene.talk.id, prompt, "No" if others else "Yes")


# ---- lists ----------------------------------------------------------------------------------------------------------


class _New:
    """Takes in every entry."""

    def add(self, candidates: Sequence[str], most: int | None = None) -> list[str]:
        """All of them, up to the limit."""
        return list(candidates[:most])


def _lists(
    runs: Runs,
    outlines: Mapping[str, Sequence[str]],
    casts: Sequence[tuple[str, Sequence[str]]],
    rng: Random,
    scale: float,
) -> Iterator[Row]:
    """Subtopics of topics and people of subjects, in both forms; now and then some are known already."""
    given = {"subtopics": list(outlines.items()), "personas": list(casts)}
    for what, found in given.items():
        for _ in range(round(LISTS[what] * scale) if found else 0):
            of, entries = rng.choice(found)
            yield from runs.done(_listing(what, of, entries, rng)) or ()


async def _listing(what: str, of: str, entries: Sequence[str], rng: Random) -> list[Row]:
    """The call that asks for one list; the second of two where the first reply came short, which is no example.

    Raises Dropped where the second was not asked for.
    """
    size = min(len(entries), rng.choice((3, 4, 5, 6, 6, 6)))
    form = Form(rng.choice(("tags", "tags", "json")), held=True)
    chosen = rng.sample(list(entries), size)
    replies = [chosen]
    if size > 3 and len(entries) >= 2 * size - 2 and rng.random() < 0.3:
        rest = [entry for entry in entries if entry not in chosen[:-2]]
        replies = [chosen[:-2], rng.sample(rest, size)]
    told = iter(replies)

    def reply(request: Request) -> str:
        return _listed(form, what, next(told))

    engine, how = Knowing({what: reply}), Lists(form, 0.7, 0.95, 400, len(replies) - 1)
    template = SUBTOPICS if what == "subtopics" else PERSONAS
    await topics.derived(engine, what, template, {(of,): size}, size, lambda branch: _New(), how, rng)
    if len(engine.calls) < len(replies):
        raise Dropped(what, "no room for a second reply")
    return engine.rows("diasynth", "outlines", of)[-1:]


def _listed(form: Form, what: str, entries: Sequence[str]) -> str:
    """The list as a grammar would have it."""
    if form.kind == "json":
        return json.dumps({what: list(entries)}, ensure_ascii=False, separators=(",", ":"))
    return form.spelled(what, entries)


def read_outline(path: Path) -> tuple[dict[str, list[str]], list[tuple[str, list[str]]]]:
    """The outline that ships with the recipe, as topics with subtopics and subjects with people."""
    found = topics.outline(path)
    wide = {topic: list(branches) for topic, branches in found.items()}
    return wide, [(of, list(people)) for branches in found.values() for of, people in branches.items()]
