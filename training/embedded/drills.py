"""Drills: text that comes again, so that the model learns to copy from what it has before it.

Profiles and documents are of use only to a model that can look back. A small one learns it late from dialogues alone,
where hardly anything comes twice word by word; here everything does.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import zip_longest
from random import Random

from synthesis.persona_chat import owned
from synthesis.reading import USERS
from synthesis.words import sentences
from training.embedded.row import Row, asked, held_out
from training.embedded.statements import voiced
from training.embedded.talks import Talk

_AGAIN = ("Again:", "Once more:", "The same again:", "Repeated:")
_ORDER = ("first", "second", "third", "fourth", "fifth", "sixth")


def rows(
    passages: Sequence[tuple[str, str, str]],
    material: Sequence[Talk],
    names: Sequence[str],
    count: int,
    rng: Random,
) -> Iterator[Row]:
    """`count` drills each of copying a passage, of recalling something by its name, and of telling what is one's own.

    `passages`: source, id and text; `material`: talks, whose speakers' facts are recalled, beside each fact some of
    talks that are not held out; `names`: of people.
    """
    facts = [(talk, fact) for talk in material for side in talk.facts for fact in side]
    learned = [(talk, fact) for talk, fact in facts if not held_out(talk.id)]
    for _ in range(count):
        yield rng.choice((_twice, _part, _asked_for))(*rng.choice(passages), rng)
        first, others = rng.choice(facts), rng.sample(learned, rng.randint(2, 7))
        told = [first, *(each for each in others if each != first)]
        yield _recall(told, names, rng)
        yield _owned(told, names, rng)


def _cut(text: str, rng: Random) -> list[str]:
    """A few sentences in a row."""
    told = sentences(text)
    size = rng.randint(2, 7)
    start = rng.randrange(max(1, len(told) - size))
    return told[start : start + size]


def _twice(source: str, key: str, text: str, rng: Random) -> Row:
    """A passage, and all of it again; the loss covers both, and most is won where it comes again."""
    told = " ".join(_cut(text, rng))
    return Row("drills.copying", source, key, "", f"{told}\n{rng.choice(_AGAIN)}\n{told}")


def _part(source: str, key: str, text: str, rng: Random) -> Row:
    """A passage, and its sentences again in another order, one a line."""
    told = _cut(text, rng)
    again = "\n".join(rng.sample(told, len(told)))
    return Row("drills.copying", source, key, "", f"{' '.join(told)}\n{rng.choice(_AGAIN)}\n{again}")


def _asked_for(source: str, key: str, text: str, rng: Random) -> Row:
    """A numbered sentence of a passage, or the one that has some words, on demand."""
    told = _cut(text, rng)[:6]
    at = rng.randrange(len(told))
    begins = " ".join(told[at].split()[:3])
    question = rng.choice(
        (
            f"Write the {_ORDER[at]} sentence of this text again.",
            f'Write the sentence of this text again that begins with "{begins}".',
        )
    )
    return asked("drills.copying", source, key, f"{' '.join(told)}\n\n{question}", told[at])


def _recall(facts: Sequence[tuple[Talk, str]], names: Sequence[str], rng: Random) -> Row:
    """Whose fact is what: people by name with a fact each, then one of them."""
    called = rng.sample(list(names), len(facts))
    told = list(dict(zip(called, (fact for _, fact in facts), strict=True)).items())
    talk = facts[0][0]
    listed = "\n".join(f"{name}: {fact}" for name, fact in told)
    name, fact = rng.choice(told)
    if rng.random() < 0.3:
        again = "\n".join(f"{one}: {other}" for one, other in rng.sample(told, len(told)))
        return Row("drills.recall", talk.source, talk.id, "", f"{listed}\n{rng.choice(_AGAIN)}\n{again}")
    if rng.random() < 0.5:
        return asked("drills.recall", talk.source, talk.id, f"{listed}\n\nWhat does {name} say?", fact)
    return asked("drills.recall", talk.source, talk.id, f'{listed}\n\nWho says "{fact}"?', name)


def _owned(facts: Sequence[tuple[Talk, str]], names: Sequence[str], rng: Random) -> Row:
    """Profiles of two users as the generator of persona chat is shown them, then each tells her own, in turns.

    Whose a fact is matters with every line here; in conversations it does so now and then.
    """
    talk, called = facts[0][0], rng.sample(list(names), 2)
    told = rng.sample([fact for _, fact in facts], len(facts))
    half = (len(told) + 1) // 2
    sides = told[:half], told[half:]
    shown = "\n\n".join(
        f"{user} is called {name}:\n{owned(side, user)}" for user, name, side in zip(USERS, called, sides, strict=True)
    )
    first, second = (rng.sample(side, len(side)) for side in sides)
    turns = [fact for pair in zip_longest(first, second) for fact in pair if fact]
    said = "\n".join(f"{USERS[at % 2]}: {voiced(fact, rng)}" for at, fact in enumerate(turns))
    return Row("drills.owned", talk.source, talk.id, "", f"{shown}\n\nConversation:\n{said}")
