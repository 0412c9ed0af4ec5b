"""Information-seeking dialogues with the intents of every turn, by rule: about documents, and out of the corpus.

What somebody asks or says is labelled by its words and its place. Intents that corpora seldom have (a third person
who asks again, system errors, complaints, gibberish) are put in, in words of ours.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random

from synthesis.dialogue import Dialogue, Turn
from synthesis.grounded.answers import NO_ANSWER
from synthesis.intents.labels import AGENT, USER, contradiction
from synthesis.words import sentences
from training.embedded.statements import clean
from training.embedded.talks import Told

SAID: dict[tuple[str, str], tuple[str, ...]] = {
    ("GG", USER): (
        "Thank you for your help.", "Thanks a lot, that was kind of you.", "Many thanks, you have been a great help.",
        "Thank you, that is all I wanted to know.", "Thanks, have a nice day.", "Great, thank you very much.",
    ),
    ("GG", AGENT): (
        "You are welcome, thank you for asking.", "Thank you for your questions.", "Glad I could help, thanks.",
        "It was a pleasure, thank you for the good questions.", "Thank you, come back whenever you like.",
    ),
    ("PF", USER): (
        "That answers my question about the {attribute}.", "This helps, now I understand the {attribute} better.",
        "Good, that is just what I wanted to know about {name}.", "That is helpful, it is clear now.",
        "Perfect, that explains it well.",
    ),
    ("NF", USER): (
        "That does not help me, I asked about the {attribute}.", "No, that is not what I meant, it is too general.",
        "This does not answer my question about {name}.", "I knew that already, it does not get me any further.",
        "That is too short for me, it leaves out the {attribute}.",
    ),
    ("NF", AGENT): (
        "I am not happy with how this goes, we turn in circles.", "We do not get any further like this.",
        "This conversation does not lead anywhere, I am afraid.",
    ),
    ("CQ", USER): (
        "What do you mean by that?", "Do you mean that this is always so?", "Could you explain that in simpler words?",
        "I do not quite follow, what does that say about the {attribute}?",
    ),
    ("CQ", AGENT): (
        "Do you mean the {attribute} of {name} itself?", "What exactly would you like to know about the {attribute}?",
        "Are you asking about {name} in general?", "Which part of it is unclear to you?",
    ),
    ("IR", AGENT): (
        "Can you tell me what you need it for?", "What do you know about {name} so far?",
        "Is there anything about the {attribute} that you have read already?", "Do you need it for a special reason?",
    ),
    ("FD", USER): (
        "I am asking because a friend told me about {name}.", "I have to write a short text about the {attribute}.",
        "I only know the name {name} so far.", "I read something about {name} and did not understand it all.",
        "It is the {attribute} that matters to me most.",
    ),
    ("JK", USER): ("Blub blub hm hm la la.", "Asdf jkl qwer tz uh.", "Haha hihi hoho wow wow.", "Mmm pff zzz brr."),
    ("O", AGENT): (
        "There is a system error, nothing can be shown just now.", "The system does not respond, please wait.",
        "Sorry, there is nothing to be had about this at the moment.",
    ),
    ("O", USER): ("I only get an error message here.", "Nothing is shown on my side, it seems to be broken."),
    ("RQ", USER): (
        "Hello, I join in here: what about the {attribute} of {name}?", "I have the same question, can anybody tell "
        "us more about the {attribute}?", "May I ask that again for myself: what is known of the {attribute}?",
    ),
    ("FQ", USER): ("And what else is known about {name}?", "Is there anything else worth knowing about {name}?"),
}  # fmt: skip
"""By intent and role: what somebody says; {name} and {attribute} stand for what the dialogue is about."""

_ASKED = (
    ("food", r"food|cuisine|eat"), ("price", r"prices?|costs?|how much|fare"), ("address", r"address|where"),
    ("phone number", r"phone|number"), ("weather", r"weather|rain|temperature"), ("rating", r"rating|stars"),
    ("reservation", r"book|reserve|reservation|table"), ("tickets", r"tickets?|seats?"),
    ("appointment", r"appointment|doctor"), ("route", r"ride|trip|bus"), ("time", r"time|when|what day"),
)  # fmt: skip
_KINDS = {
    "star": "Service", "woz": "Restaurant", "camrest": "Restaurant", "dstc11_track5": "Hotel",
    "taskmaster4": "Coffee Shop",
}  # fmt: skip
"""What the dialogues of a source are about, where they do not say it themselves."""
_THANKS = re.compile(r"\bthank|\bthanks\b|\bbye\b|good ?bye|\bwelcome\b|\bglad to|have a (?:great|good|nice)", re.I)
_PLEASED = re.compile(
    r"\b(?:great|perfect|wonderful|awesome|excellent|sounds? (?:good|great|nice)|that works)\b", re.I
)
_REFUSED = re.compile(r"^no\b|\bnot what\b|\bdon't (?:want|like)\b|\bsomething else\b|\banother\b|\binstead\b", re.I)
_FAILED = re.compile(r"\bsorry\b|\bunable\b|\bunfortunately\b|\bnot available\b|\bcould not\b|\bcouldn't\b", re.I)
_CHECKED = re.compile(
    r"\bdo you mean\b|\bdid you\b|\bconfirm\b|\bis that (?:correct|right|ok)\b|, (?:right|correct)\?", re.I
)


@dataclass(frozen=True, slots=True)
class Sought:
    """A dialogue with intents, its background, and what it is about."""

    id: str
    source: str
    name: str
    type: str
    attribute: str
    document: str
    turns: tuple[Turn, ...]


def about(dialogue: Dialogue, kind: str, attribute: str, source: str, rng: Random) -> Sought:
    """A conversation about a document as one with intents; what corpora lack is put in here and there."""
    name = dialogue.topic or ""
    turns: list[Turn] = []
    for at in range(0, min(len(dialogue.turns) - 1, 6), 2):
        question, answer = dialogue.turns[at : at + 2]
        turns.append(Turn(USER, question.text, ("FQ",) if turns else ("OQ",)))
        turns += _between(name, attribute, rng) if rng.random() < 0.3 else []
        said = "I am sorry, nothing is known about that." if answer.text == NO_ANSWER else _sentence(answer)
        turns.append(Turn(AGENT, said, ("O",) if answer.text == NO_ANSWER else ("PA",)))
        turns += _after(name, attribute, rng) if rng.random() < 0.6 else []
    turns = _doubled(turns[:10], name, attribute, rng)
    return Sought(dialogue.id, source, name, kind, attribute, dialogue.document or "", tuple(turns))


def _sentence(answer: Turn) -> str:
    """The answer, mostly a part of a sentence, as the sentence that it stands in."""
    text = answer.evidence if answer.evidence and len(answer.text.split()) < 6 else answer.text
    text = text[:1].upper() + text[1:]
    return text if text.endswith((".", "!", "?")) else f"{text}."


def _say(intent: str, role: str, name: str, attribute: str, rng: Random) -> Turn:
    return Turn(role, rng.choice(SAID[intent, role]).format(name=name, attribute=attribute), (intent,))


def _between(name: str, attribute: str, rng: Random) -> list[Turn]:
    """An agent who asks back, and the user's details."""
    return [_say(rng.choice(("CQ", "IR")), AGENT, name, attribute, rng), _say("FD", USER, name, attribute, rng)]


def _after(name: str, attribute: str, rng: Random) -> list[Turn]:
    """What comes after an answer: mostly feedback and thanks, seldom what nobody hopes for."""
    one, two = rng.choice(
        (
            *((("PF", USER), ("GG", AGENT)), (("GG", USER), ("GG", AGENT)), (("NF", USER), ("CQ", AGENT))),
            *((("CQ", USER), None), (("RQ", USER), None), (("JK", USER), ("CQ", AGENT)), (("O", USER), ("O", AGENT))),
            *((("FD", USER), None), (("NF", USER), ("NF", AGENT))),
        )
    )
    return [_say(*each, name, attribute, rng) for each in (one, two) if each]


def _doubled(turns: Sequence[Turn], name: str, attribute: str, rng: Random) -> list[Turn]:
    """Some turns with a second intent: thanks that come with praise, a question with what it is asked for."""
    more = {"GG": ("PF", USER), "OQ": ("FD", USER), "NF": ("FQ", USER), "FQ": ("GG", USER)}
    made = []
    for turn in turns:
        other = more.get(turn.intents[0])
        if other and other[1] == turn.speaker and rng.random() < 0.25:
            text = _say(*other, name, attribute, rng).text
            turn = Turn(turn.speaker, f"{turn.text} {text}", tuple(sorted({*turn.intents, other[0]})))
        made.append(turn)
    return made


def labelled(role: str, text: str, first: bool) -> tuple[str, ...]:
    """The intents of a turn by its words, sorted; those that fit its role."""
    parts = sentences(text)
    question = any(part.endswith("?") for part in parts)
    states = any(not part.endswith("?") and len(part.split()) > 3 for part in parts)
    found = set()
    if _THANKS.search(text):
        found.add("GG")
    if role == USER:
        found |= {"OQ"} if first else {"FQ"} if question else set()
        found |= {"PF"} if _PLEASED.search(text) and not first else set()
        found |= {"NF"} if _REFUSED.search(text) and not first else set()
        found |= {"FD"} if (states and first and len(parts) > 1) or not found else set()
    else:
        found |= {"CQ"} if question and _CHECKED.search(text) else {"IR"} if question else set()
        found |= {"O"} if _FAILED.search(text) else set()
        found |= {"PA"} if (states and not found & {"O", "CQ", "GG"}) or not found else set()
    labels = tuple(sorted(found))[:2]
    return labels if contradiction(role, labels) is None else labels[:1]


def sought(given: Sequence[Told], rng: Random) -> Iterator[Sought]:
    """Dialogues of the corpus between a user and a system as ones with intents.

    The background is what the system tells, in its own words; what it is about is read off the user's.
    """
    for each in given:
        turns = _turns(each)
        told = [part for turn in turns if turn.speaker == AGENT for part in sentences(turn.text)]
        facts = list(dict.fromkeys(part for part in told if not part.endswith("?") and len(part.split()) > 5))
        if len(turns) < 4 or not facts or "OQ" not in turns[0].intents:
            continue
        asked = " ".join(turn.text for turn in turns if turn.speaker == USER).lower()
        attribute = next((name for name, pattern in _ASKED if re.search(rf"\b(?:{pattern})\b", asked)), "details")
        services = each.condition.get("services") or [_KINDS.get(each.source, "Service")]
        kind = re.sub(r"_?\d+$", "", str(services[0])).rstrip("s")
        size = rng.randint(4, 10)
        name = (_name(facts) if each.source != "star" else None) or f"The {kind} Service".replace(
            "Service Service", "Service"
        )
        yield Sought(each.id, each.source, name, kind, attribute, " ".join(facts[:5]), tuple(turns[:size]))


def _name(facts: Sequence[str]) -> str | None:
    found = re.findall(r"(?<=[a-z,] )[A-Z][\w']+(?: (?:of |the |and |& )?[A-Z][\w']+)+", " ".join(facts))
    return found[0] if found else None


def _turns(given: Told) -> list[Turn]:
    """The turns, runs of one speaker joined, up to one that cannot be read; the user's first."""
    turns: list[Turn] = []
    for speaker, raw in given.messages:
        text = clean(raw)
        if text is None:
            break
        role = USER if speaker == "user" else AGENT
        if turns and turns[-1].speaker == role:
            text = f"{turns.pop().text} {text}"
        elif not turns and role == AGENT:
            continue
        turns.append(Turn(role, text, labelled(role, text, not turns)))
    return turns
