"""Corpus: everything that the material is made of, read once: dialogues, what lies beside them, our own subjects."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from random import Random

from synthesis.dialogue import Dialogue
from synthesis.intents.entities import Entity
from synthesis.recipes import diasynth as diasynth_recipe
from synthesis.words import sentences
from training import pages, worlds
from training.embedded import autoconv, entities, friends
from training.embedded.diasynth import read_outline
from training.embedded.friends import Minutes
from training.embedded.intents import Sought, about, sought
from training.embedded.row import held_out
from training.embedded.spc import shipped
from training.embedded.talks import Talk, Told, talks, told

CASUAL = ("spc", "self_dialogue", "topical_chat")
TASK = ("sgd", "star", "taskmaster4", "woz", "camrest", "dstc11_track5")

WORLDS = 2200
"""Made-up subjects (choice)."""

SEEKING = 2500
"""Dialogues of users and systems that are labelled with intents (choice)."""


SUBTOPICS = {
    "information": "What {} is", "symptoms": "How people notice {}", "treatment": "Living with the treatment of {}",
    "causes": "Where {} comes from", "exams and tests": "Tests for {}", "susceptibility": "Who gets {}",
    "prevention": "Keeping {} away", "research": "New research on {}", "outlook": "What to expect after {}",
    "frequency": "How common {} is", "considerations": "Everyday life with {}", "inheritance": "{} in the family",
    "genetic changes": "The genes behind {}", "stages": "The stages of {}", "complications": "What {} can lead to",
}  # fmt: skip
"""Kinds of MedQuAD's questions as subtopics of what a page is about."""


@dataclass(frozen=True, slots=True)
class Corpus:
    """`told`: all dialogues as they stand; `casual`: those of two people, cleaned; `friends`: the folder beside."""

    told: list[Told]
    casual: list[Talk]
    friends: Path
    minutes: list[Minutes]
    grounded: list[tuple[str, Dialogue]]
    worlds: list[Dialogue]
    entities: list[Entity]
    outlines: dict[str, list[str]]
    casts: list[tuple[str, list[str]]]


def read(file: Path, beside: Path, rng: Random, size: float) -> Corpus:
    """The corpus of a file and what lies in the folder `beside`. `size`: share of the made-up subjects' usual number.

    Raises UserError for files of another kind.
    """
    every = list(told(file))
    casual = list(talks(every, CASUAL, shipped("spc_names.txt")))
    made = worlds.conversations(round(WORLDS * size), 0)
    found = pages.read(beside / "medquad") if (beside / "medquad").is_dir() else []
    minutes = list(friends.minutes(beside / "qmsum"))
    known = [
        *entities.of_recipe(),
        *entities.of_pages(found),
        *entities.of_tables(beside / "multiwoz", rng),
    ]
    wide, casts = read_outline(diasynth_recipe.HERE / "diasynth_outline.jsonl")
    traits = [fact for talk in casual if not held_out(talk.id) for side in talk.facts for fact in side]
    return Corpus(
        every,
        casual,
        beside,
        minutes,
        _grounded(every, minutes, pages.conversations(found, 0), made, rng),
        made,
        known,
        wide | friends.outlines(beside) | _of_pages(found),
        casts + friends.casts(rng.sample(traits, min(len(traits), 20000)), round(1500 * size), rng),
    )


def _of_pages(found: list[pages.Page]) -> dict[str, list[str]]:
    """Pages as topics: the kinds of questions that they answer are the subtopics."""
    named = {
        page.focus: [SUBTOPICS[pair.kind].format(page.focus) for pair in page.pairs if pair.kind in SUBTOPICS]
        for page in found
        if len(page.focus.split()) <= 4
    }
    return {topic: list(dict.fromkeys(kinds)) for topic, kinds in named.items() if len(set(kinds)) >= 3}


def _grounded(
    every: list[Told], minutes: list[Minutes], of_pages: list[Dialogue], made: list[Dialogue], rng: Random
) -> list[tuple[str, Dialogue]]:
    """Conversations about documents with their sources; some of them with a question that has no answer."""
    talked = [made_of for each in every if each.source == "topical_chat" and (made_of := autoconv.of_talk(each))]
    met = list(autoconv.of_minutes(minutes))
    both = [("topical_chat", each) for each in talked] + [("qmsum", each) for each in met]
    others = [each for each in talked or made if not held_out(each.id)]
    asked = [(source, autoconv.shifted(each, rng.choice(others), rng)) for source, each in both]
    return [*[("medquad", each) for each in of_pages], *[("worlds", each) for each in made], *asked]


def seeking(corpus: Corpus, rng: Random, size: float) -> list[Sought]:
    """Information-seeking dialogues with intents: about documents, and of the corpus' users and systems."""
    served = [each for each in corpus.told if each.source in TASK]
    found = list(sought(rng.sample(served, min(len(served), round(2 * SEEKING * size))), rng))
    kinds = ("Place", "Person", "Machine")
    of_worlds = [(("worlds", kinds[at % 3]), each) for at, each in enumerate(corpus.worlds)]
    of_pages = [(("medquad", "Illness"), each) for source, each in corpus.grounded if source == "medquad"]
    made = [
        about(each, kind, _attribute(each), source, rng)
        for (source, kind), each in [*of_worlds, *of_pages]
        if len(each.turns) >= 4
    ]
    return [each for each in [*made, *found[: round(SEEKING * size)]] if len(each.turns) >= 3]


def _attribute(dialogue: Dialogue) -> str:
    """What the first question is about: its last words, or else the main facts."""
    first = sentences(dialogue.turns[0].text)[-1].rstrip("?. ").split()
    plain = [
        word for word in first if word.islower() and len(word) > 3 and word not in ("what", "does", "have", "were")
    ]
    return plain[-1] if plain else "main facts"
