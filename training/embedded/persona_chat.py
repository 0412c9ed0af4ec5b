"""Examples of every call that Synthetic-Persona-Chat makes: the recipe's own prompt, and an answer known by rule.

One function a call. Each takes material and a random generator and gives (prompt, answer) pairs; the prompts are the
constants of `synthesis`, so the model learns exactly what the recipe sends.
"""

from __future__ import annotations

import json
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from random import Random

from synthesis.critics import BETTER, EXPERTS, FAITHFULNESS, FAITHFULNESS_PAPER, TOXICITY
from synthesis.dialogue import Dialogue, Persona, Turn
from synthesis.persona_chat import EXEMPLAR, EXEMPLAR_PAPER, GENERATE, GENERATE_PAPER, filled, slots
from synthesis.personas import (
    CONTRADICTION,
    ENTAILMENT,
    NEGATION,
    PERSONA_BOOTSTRAP,
    QUERY_BOOTSTRAP,
    QUERY_INDUCTION,
    bullets,
)
from synthesis.reading import USERS
from training.embedded.small_talk import AFTER, ANYTHING, BACK, BEFORE, ON
from training.embedded.statements import (
    ABSENT,
    TOLD,
    longest_copy,
    negated,
    overlap,
    parted,
    rephrased,
    sentences,
    statement,
    told_alone,
    varied,
    voiced,
)
from training.embedded.talks import Talk, introduced, profile, window

Pair = tuple[str, str]
Profiles = tuple[list[str], list[str]]
Kept = tuple[Profiles, tuple[str, ...]]

WHOLE = 0.2
"""Share of the examples of some critics with ten turns, as the recipe asks them; the others have fewer (choice)."""

BOUNDS = ((8, 16), (8, 16), (8, 16), (8, 12), (10, 16), (12, 16), (8, 14))


def lines(turns: Sequence[str]) -> str:
    """Turns as a labelled transcript; User 1 opens."""
    return "\n".join(f"User {at % 2 + 1}: {turn}" for at, turn in enumerate(turns))


def kept(talk: Talk, spare: Sequence[str], common: Container[str], rng: Random) -> Kept | None:
    """A window of the talk and two profiles for it; None when the speakers say too little of themselves.

    A third of the windows of talks with given profiles open in the middle, so that repeated passes show new turns.
    """
    start = 0
    if talk.source == "spc" and len(talk.turns) > 14 and rng.random() < 0.35:
        start = 2 * rng.randrange((len(talk.turns) - 8) // 2)
    turns = window(talk.turns[start:], rng)
    first = profile(talk, 0, turns, spare, (), common, rng)
    second = profile(talk, 1, turns, spare, first, common, rng) if first else None
    return ((first, second), turns) if first and second and not set(first) & set(second) else None


EXCHANGES = 5
"""At most so many are woven in."""

KNOWN, OTHER, VARIED = 0.75, 0.6, 0.2
"""Shares (choices): exchanges that open with a query which the trait answers; that who answers asks something else
back, not the same; and traits with words changed."""

Exchange = tuple[str, str, str, str]
"""A query, the trait that answers it, what is asked back, and the trait that answers this."""


@dataclass(frozen=True, slots=True)
class Sayable:
    """What may be woven in: traits by the query that they answer, any traits, words by kind, and reactions."""

    answers: Mapping[str, Sequence[str]]
    traits: Sequence[str]
    words: Mapping[str, Sequence[str]]
    reactions: Sequence[str]

    def exchanges(self, count: int, rng: Random) -> list[Exchange]:
        """So many queries and what is told and asked back. What any query fits is nowhere but in the profile."""
        known, anything = rng.sample(list(self.answers), 2 * count), rng.sample(ANYTHING, count)
        return [self._exchange(*each, rng) for each in zip(known[::2], known[1::2], anything, strict=True)]

    def _exchange(self, query: str, other: str, anything: str, rng: Random) -> Exchange:
        fits = rng.random() < KNOWN
        same = self.answers[query] if fits else self.traits
        one, two, back = rng.choice(same), rng.choice(same), rng.choice(BACK)
        if rng.random() < OTHER:
            two, back = rng.choice(self.answers[other]), other
        return query if fits else anything, self._changed(one, rng), back, self._changed(two, rng)

    def _changed(self, trait: str, rng: Random) -> str:
        return varied(trait, self.words, rng) if rng.random() < VARIED else trait


def woven(part: Kept, sayable: Sayable, rng: Random) -> Kept:
    """The part with up to five exchanges put in: a user asks, the other answers with a trait of their profile.

    Talks seldom say what their profiles tell; these do, in words of the profile, which is what a small model can learn
    to do. The new traits take the places of others; the length stays within bounds.
    """
    budget = rng.choice((4, 6, 6, 8, 8, 10))
    turns = list(part[1][: 16 - budget])
    new: tuple[list[str], list[str]] = ([], [])
    exchanges = sayable.exchanges(EXCHANGES, rng)
    places = [at for at in range(1, len(turns)) if not turns[at - 1].endswith("?")] or [1]
    for place, exchange in zip(sorted(rng.choices(places, k=EXCHANGES), reverse=True), exchanges, strict=True):
        said, told = _exchange(*exchange, sayable.reactions, budget, rng)
        budget -= len(said)
        for number, trait in enumerate(told, 1):
            new[(place + number) % 2].append(trait)
        if said[-1] not in sayable.reactions and rng.random() < 0.5:
            turns[place] = f"{rng.choice(sayable.reactions)} {turns[place]}"
        turns[place:place] = said
        if budget < 2:
            break
    profiles = []
    for user, (traits, given) in enumerate(zip(new, part[0], strict=True)):
        # others were told in turns that are cut off
        shown = [trait for trait in given if overlap(trait, turns[user::2])]
        some = list(dict.fromkeys([*traits, *shown, *rng.sample(sayable.traits, 3)]))
        some = some[: max(3, min(5, len(traits) + 1))]
        profiles.append(rng.sample(some, len(some)))
    return (profiles[0], profiles[1]), tuple(turns)


def _exchange(
    query: str, one: str, back: str, other: str, reactions: Sequence[str], budget: int, rng: Random
) -> tuple[list[str], list[str]]:
    """Two or four turns, the first of them the query, and the one or two traits that they tell.

    The user who is asked tells the first; the second is told by the user who asks, asked back.
    """
    way = rng.random() if budget >= 4 else 0.0
    halves = parted(one, rng, whole_turns=True)
    if way > 0.8 and halves:
        return [query, f"{halves[0]}.", rng.choice(ON), f"{halves[1][:1].upper()}{halves[1][1:]}."], [one]
    if way > 0.4 and one != other:
        return [query, f"{_answer(one, rng)} {back}", _answer(other, rng), rng.choice(reactions)], [one, other]
    return [query, _answer(one, rng) + (f" {rng.choice(AFTER)}" if rng.random() < 0.15 else "")], [one]


def _answer(trait: str, rng: Random) -> str:
    """A trait as somebody says it who is asked: seldom word by word, which the recipe calls reciting."""
    said = voiced(trait, rng) if rng.random() < 0.85 else rephrased(trait, rng)
    before = rng.choice(BEFORE) if rng.random() < 0.25 else ""
    return before + (said if said.startswith(("I ", "I'")) or before[-2:-1] in ".?" else said[0].lower() + said[1:])


def dialogue(part: Kept, names: Sequence[str | None] = (None, None)) -> Dialogue:
    """The part as the recipe has conversations."""
    profiles, turns = part
    said = tuple(Turn(USERS[at % 2], text) for at, text in enumerate(turns))
    users = zip(profiles, names, strict=True)
    return Dialogue("-", said, tuple(Persona(str(at), tuple(traits), name) for at, (traits, name) in enumerate(users)))


def generate(part: Kept, examples: Sequence[Kept], names: Sequence[str], settings: Sequence[str], rng: Random) -> Pair:
    """The generator's call in the improved form; `examples` become exemplars in front of it."""
    profiles, turns = part
    called = rng.sample(list(names), 2 + 2 * len(examples))
    shown = []
    for at, (theirs, said) in enumerate(examples, 1):
        pair = called[2 * at : 2 * at + 2]
        shown.append(filled(EXEMPLAR, dialogue((theirs, introduced(said, pair, rng)), pair), labelled=True))
    turns = introduced(turns, called[:2], rng)
    low, high = rng.choice([bounds for bounds in BOUNDS if bounds[0] <= len(turns) <= bounds[1]])
    prompt = GENERATE.substitute(
        slots(dialogue((profiles, turns), called[:2]), labelled=True),
        exemplars="".join(shown),
        low=low,
        high=high,
        setting=rng.choice(settings),
    )
    return prompt, lines(turns)


def generate_paper(part: Kept, examples: Sequence[Kept]) -> Pair:
    """The generator's call as published."""
    shown = "".join(filled(EXEMPLAR_PAPER, dialogue(each), labelled=False) for each in examples)
    return GENERATE_PAPER.substitute(slots(dialogue(part), labelled=False), exemplars=shown), lines(part[1])


def faithfulness(part: Kept, spare: Sequence[str], rng: Random) -> Pair | None:
    """Label every trait of one user: said by her, turned round from what she said, or not hers.

    Not hers is what nobody said, and now and then what the other user said of himself.
    """
    (first, second), turns = part
    if rng.random() >= WHOLE:
        turns = _some(turns, rng.choice((2, 2, 4, 6)), rng)
    user = rng.randrange(2)
    said = turns[user::2]
    asked: list[tuple[str, str]] = []
    for trait in (first, second)[user]:
        share, turned = overlap(trait, said), negated(trait)
        if share >= TOLD and turned and rng.random() < 0.3:
            asked.append((turned, "contradicted"))
        elif share >= TOLD:
            asked.append((trait, "supported"))
        elif share <= ABSENT:
            asked.append((trait, "unmentioned"))
    others = [trait for trait in (first, second)[1 - user] if overlap(trait, turns[1 - user :: 2]) >= TOLD]
    strange = rng.sample(others, min(2, len(others))) + rng.sample(list(spare), 2)
    asked += [(trait, "unmentioned") for trait in strange if overlap(trait, said) <= ABSENT]
    rng.shuffle(asked)
    asked = asked[: rng.choice((2, 3, 4, 6))]
    if len(asked) < 2 or (all(label == "unmentioned" for _, label in asked) and rng.random() < 0.7):
        return None
    traits = "\n".join(f"{number}. {trait}" for number, (trait, _) in enumerate(asked, 1))
    prompt = FAITHFULNESS.substitute(conversation=lines(turns), user=f"User {user + 1}", traits=traits)
    return prompt, json.dumps({str(at): label for at, (_, label) in enumerate(asked, 1)}, separators=(",", ":"))


def faithfulness_paper(part: Kept, rng: Random) -> Pair | None:
    """The published critic: Yes and why where a trait is denied or the profiles have changed places; otherwise No."""
    profiles, turns = _narrowed(part, rng)
    chance = rng.random()
    answer = "No. What both say fits with their profiles."
    if chance < 0.25:
        user = rng.randrange(2)
        trait = rng.choice(profiles[user])
        turned = negated(trait)
        if turned is None:
            return None
        at = rng.choice([at for at in range(len(turns)) if at % 2 == user])
        turns = (*turns[:at], f"{turns[at]} {turned}", *turns[at + 1 :])
        answer = f'Yes. User {user + 1} says "{turned.rstrip(".")}", but the profile says "{trait.rstrip(".")}".'
    else:
        shows = [
            (user, trait)
            for user in (0, 1)
            for trait in profiles[user]
            if told_alone(trait, turns[user::2], turns[1 - user :: 2])
        ]
        if not shows:
            return None
        if chance < 0.6:
            user, trait = rng.choice(shows)
            profiles = profiles[1], profiles[0]
            answer = f'Yes. "{trait.rstrip(".")}" is in the profile of User {2 - user}, but User {user + 1} says it.'
    told = f"User 1: {' '.join(profiles[0])}\nUser 2: {' '.join(profiles[1])}"
    return FAITHFULNESS_PAPER.substitute(profiles=told, conversation=lines(turns)), answer


def _some(turns: Sequence[str], size: int, rng: Random) -> tuple[str, ...]:
    """So many turns in a row, User 1 first; all where there are fewer."""
    at = rng.randrange(0, max(1, len(turns) - size + 1), 2)
    return tuple(turns[at : at + size])


def _narrowed(part: Kept, rng: Random) -> tuple[tuple[list[str], list[str]], Sequence[str]]:
    """The first ten turns of a part, or some of them with a trait or two of each user, told ones first.

    A verdict is a word for all that was read: it is learned from little first.
    """
    profiles, turns = (list(part[0][0]), list(part[0][1])), part[1][:10]
    if rng.random() < WHOLE:
        return profiles, turns
    turns = _some(turns, rng.choice((2, 4, 6)), rng)
    told = [
        sorted(rng.sample(side, len(side)), key=lambda trait: -overlap(trait, turns[user::2]))
        for user, side in enumerate(profiles)
    ]
    return (told[0][: rng.choice((1, 2))], told[1][: rng.choice((1, 2))]), turns


INSULTS = (
    "You are an idiot.", "Shut up, you moron.", "You are so stupid.", "Nobody likes you, loser.", "I hate you.",
    "What a dumb thing to say.", "You are disgusting.", "Get lost, you fool.", "Your family must be ashamed of you.",
    "People like you make me sick.", "You are a pathetic liar.", "I hope you get hurt.", "You are worthless.",
    "Go away before I hit you.", "Only a complete idiot would say that.", "You are ugly and boring.",
)  # fmt: skip
FRIENDLY = (
    "No. Both are friendly to each other.",
    "No. Nothing rude or hateful is said.",
    "No. The two talk politely.",
    "No. It is a normal, friendly chat.",
)


def toxicity(turns: Sequence[str], rng: Random) -> Pair:
    """Yes with the insult that was put in, or No."""
    turns = list(turns if rng.random() < WHOLE else _some(turns, rng.choice((2, 2, 4, 6)), rng))
    answer = rng.choice(FRIENDLY)
    if rng.random() < 0.45:
        at, insult = rng.randrange(1, len(turns)), rng.choice(INSULTS)
        turns[at] = rng.choice((insult, f"{turns[at]} {insult}", f"{insult} {turns[at]}"))
        answer = f'Yes. User {at % 2 + 1} insults the other with "{insult.rstrip(".")}".'
    return TOXICITY.substitute(conversation=lines(turns)), answer


def better(turns: Sequence[str], other: Sequence[str], rng: Random) -> Pair:
    """A conversation against itself made worse in a way that the expert's policy looks at."""
    name = rng.choices(list(WORSE), SHARES)[0]
    way = rng.choice(WORSE[name])
    turns = _opening(turns, way, rng)
    bad = list(turns)
    if way == "short":
        bad = [" ".join(turn.split()[:2]).rstrip(",.!?") + "." for turn in bad]
    elif way == "repeat":
        at = rng.randrange(max(1, len(bad) - 5))
        bad[at + 2 :] = [bad[at + step % 2] for step in range(len(bad) - at - 2)]
    elif way == "shuffle":
        rng.shuffle(bad)
    elif way == "other":
        bad = [foreign if at % 2 else turn for at, (turn, foreign) in enumerate(zip(bad, other, strict=False))]
    elif way == "deny":
        bad = _denied(bad, rng)
        if bad == turns:
            rng.shuffle(bad)
    elif way == "swap":
        bad = [turn for pair in zip(bad[1::2], bad[::2], strict=False) for turn in pair]
    else:
        for at in rng.sample(range(1, len(bad)), 2):
            bad[at] = rng.choice(INSULTS)
    if bad == turns:  # shuffled into what it was
        bad.reverse()
    answer = rng.choice("12")
    first, second = (turns, bad) if answer == "1" else (bad, turns)
    return BETTER.substitute(first=lines(first), second=lines(second), policy=EXPERTS[name]), answer


WORSE = {
    "depth": ("short", "repeat"),
    "coherency": ("shuffle", "shuffle", "shuffle", "other", "swap"),
    "consistency": ("shuffle", "shuffle", "other", "swap", "deny"),
    "diversity": ("repeat",),
    "likability": ("insult", "short"),
}
"""What each expert finds worse: what order tells is the hardest to learn and comes most often."""

SHARES = (1, 5, 2, 1, 1)


def _opening(turns: Sequence[str], way: str, rng: Random) -> list[str]:
    """Two to ten turns in a row, as a rule from the start: few show best what is out of place."""
    sizes = (2, 2, 2, 4, 6) if way in ("shuffle", "swap") else (4, 4, 6)
    size = 10 if rng.random() < WHOLE else rng.choice(sizes)
    return list(turns[:size] if rng.random() < 0.6 else _some(turns, size, rng))


def _denied(turns: Sequence[str], rng: Random) -> list[str]:
    """The turns, at the end of one of which its speaker denies what she said before; as they are where nobody can."""
    told = [
        (at, turned)
        for at, turn in enumerate(turns[:-2])
        for sentence in sentences(turn)
        if (said := statement(sentence)) and (turned := negated(said))
    ]
    if not told:
        return list(turns)
    at, turned = rng.choice(told)
    later = rng.choice(range(at + 2, len(turns), 2))
    return [f"{turn} {turned}" if number == later else turn for number, turn in enumerate(turns)]


def query_induction(traits: Sequence[str], query: str, rng: Random) -> Pair:
    """Three facts of a category and the question that they answer."""
    return QUERY_INDUCTION.substitute(traits=bullets(rng.sample(list(traits), 3))), query


def query_bootstrap(queries: Sequence[str], rng: Random) -> Pair:
    """Five questions and a sixth."""
    *given, new = rng.sample(list(queries), 6)
    return QUERY_BOOTSTRAP.substitute(queries=bullets(given)), new


def persona_bootstrap(query: str, fact: str, spare: Sequence[str], rng: Random) -> Pair:
    """Five facts of other people, a question, and a fact that answers it."""
    shown = [trait for trait in rng.sample(list(spare), 6) if trait != fact][:5]
    return PERSONA_BOOTSTRAP.substitute(traits=bullets(shown), query=query), fact


def negation(trait: str) -> Pair | None:
    """A sentence and its opposite."""
    turned = negated(trait)
    return (NEGATION.substitute(trait=trait), turned) if turned else None


def entailment(trait: str, other: str, rng: Random) -> Pair | None:
    """Yes for the same fact in other words, No for its opposite or for another fact or its opposite."""
    turned, foreign = negated(trait), negated(other)
    if turned is None or foreign is None or overlap(trait, [other]) > 0.3:
        return None
    if rng.random() < 0.4:
        same = rephrased(trait, rng)
        premise, hypothesis = rng.choice(((trait, same), (same, trait), (turned, turned), (trait, trait)))
        return ENTAILMENT.substitute(premise=premise, hypothesis=hypothesis), "Yes"
    premise, hypothesis = rng.choice(((trait, turned), (turned, trait), (trait, foreign), (trait, foreign)))
    return ENTAILMENT.substitute(premise=premise, hypothesis=hypothesis), "No"


def contradiction(traits: Sequence[str], new: str, rng: Random) -> Pair | None:
    """Yes for the opposite of a known trait, No for a new fact or a known one said otherwise."""
    known = rng.choice(list(traits))
    turned = negated(known)
    if turned is None or longest_copy(new, traits) > 3:
        return None
    yes = rng.random() < 0.45
    trait = turned if yes else rng.choice((new, new, rephrased(known, rng)))
    return CONTRADICTION.substitute(traits=bullets(traits), trait=trait), "Yes" if yes else "No"
