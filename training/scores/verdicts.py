"""Verdicts: does a model tell real dialogues from the same ones corrupted? AUC of its verdicts' probabilities.

Every held-out dialogue is judged twice, as it was and corrupted, in the critics' own prompts. Swapped profiles and
denied attributes are put to the faithfulness critic in its published form, which answers Yes for a contradiction: the
score is P(Yes) / (P(Yes) + P(No)) as the first word of the answer. In its improved form that critic labels attributes:
one is put to the user who tells it and to the other user, and the score is the share of "supported" among the
likelihoods of its labels. Shuffled and repeated turns are put to an expert who compares two conversations, real and
corrupted, in both orders: the score is P(1) / (P(1) + P(2)), which should be high where the real one comes first. A
liking for one place moves both scores and leaves the AUC alone.

Two corruptions are also judged as the recipe spc does in its preset `laptop`, by likelihood: the score is a
log-likelihood ratio, of the talk as the reply to its call and the same with the profiles exchanged, or with its turns
in an order that is drawn (see synthesis.likelihood_critics).
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import TYPE_CHECKING, Any, Literal

from synthesis import likelihood, likelihood_critics
from synthesis.asking import together
from synthesis.critics import BETTER, EXPERTS, FAITHFULNESS, FAITHFULNESS_PAPER, LABELS
from synthesis.dialogue import Dialogue, Turn
from synthesis.engine import CRITIC, Engine, Request
from synthesis.errors import ContextOverflow, ReadingError
from synthesis.metrics.judging import first_token, masses
from synthesis.reading import USERS
from synthesis.recipes.spc import Spc
from training.embedded.persona_chat import lines
from training.embedded.spc import shipped
from training.embedded.statements import ABSENT, negated, overlap, told_alone
from training.embedded.talks import introduced
from training.scores.held_out import Part

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LONGEST = 10
"""Turns of a judged dialogue (choice)."""

LAPTOP = Spc(**Spc.presets["laptop"])
"""The recipe whose call and critics are those of the scores by likelihood."""

LIKELIEST = 5
"""Tokens in which the verdict's words are looked for: as many as a server tells by default."""

DRAWS = 1000


@dataclass(frozen=True, slots=True)
class Question:
    """A real dialogue and its corruption as two prompts: `high` is the one that the score of `word` should be high on.

    `others`: the words of other verdicts. `begun`: what of the reply comes before the verdict; where it is "", the
    verdict is the first word.
    """

    id: str
    high: str
    low: str
    word: str
    others: tuple[str, ...]
    begun: str = ""


@dataclass(frozen=True, slots=True)
class Weighed:
    """A real dialogue and its corruption, of which the real one should have the higher score by likelihood.

    `ratio`: which of the log-likelihood ratios is the score.
    """

    id: str
    real: Dialogue
    corrupted: Dialogue
    ratio: Literal["faithfulness", "coherency"]


Scores = tuple[float, float]
"""Of the one whose score should be high, and of the other one."""


def questions(parts: Sequence[Part], seed: int) -> dict[str, list[Question | Weighed]]:
    """By corruption; each has only those dialogues that it changes to something that can be told."""
    made: dict[str, list[Question | Weighed]] = {}
    for part in parts:
        rng = Random(f"verdicts:{seed}:{part.id}")
        turns = part.turns[:LONGEST]
        found = {
            "swapped profiles": _swapped(part, turns),
            "swapped attributes": _labelled(part, turns, rng),
            "denied attributes": _denied(part, turns, rng),
            "shuffled turns": _compared(part, turns, _shuffled(turns, rng), "coherency"),
            "repeated turns": _compared(part, turns, _repeated(turns, rng), "diversity"),
            "swapped profiles, by likelihood": _exchanged(part, turns),
            "shuffled turns, by likelihood": _disordered(part, turns, rng),
        }
        for name, each in found.items():
            made.setdefault(name, []).extend([each] if each else [])
    return made


def _exchanged(part: Part, turns: Sequence[str]) -> Weighed | None:
    """The profiles changed places, where somebody tells an attribute that the other does not."""
    real, (first, second) = _told(part, turns), part.profiles
    personas = tuple(replace(each, traits=of) for each, of in zip(real.personas, (second, first), strict=True))
    return Weighed(part.id, real, replace(real, personas=personas), "faithfulness") if _shown(part, turns) else None


def _disordered(part: Part, turns: Sequence[str], rng: Random) -> Weighed | None:
    """The turns shuffled; None where they fall into the order that they had."""
    real = _told(part, turns)
    texts = _shuffled([turn.text for turn in real.turns], rng)
    said = tuple(replace(turn, text=text) for turn, text in zip(real.turns, texts, strict=True))
    return Weighed(part.id, real, replace(real, turns=said), "coherency") if said != real.turns else None


def _told(part: Part, turns: Sequence[str]) -> Dialogue:
    """The talk as the recipe has it: with names, which the talk says too, and a setting, drawn by the part's id."""
    rng = Random(f"call:{part.id}")
    names = rng.sample(shipped("spc_names.txt"), 2)
    bare = part.dialogue([Turn(USERS[at % 2], text) for at, text in enumerate(introduced(turns, names, rng))])
    called = tuple(replace(each, name=name) for each, name in zip(bare.personas, names, strict=True))
    return replace(bare, personas=called, topic=rng.choice(shipped("spc_settings.txt")))


def _swapped(part: Part, turns: Sequence[str]) -> Question | None:
    """The profiles changed places, where somebody tells an attribute that the other does not."""
    first, second = part.profiles
    return _faithful(part, _profiled((second, first), turns), turns) if _shown(part, turns) else None


def _shown(part: Part, turns: Sequence[str]) -> list[tuple[int, str]]:
    """Users, 0 or 1, and attributes that they tell and the other does not."""
    return [
        (user, trait)
        for user, traits in enumerate(part.profiles)
        for trait in traits
        if told_alone(trait, turns[user::2], turns[1 - user :: 2])
    ]


def _labelled(part: Part, turns: Sequence[str], rng: Random) -> Question | None:
    """An attribute put to the user who tells it, and to the other one; two more of the profile stand below it."""
    shown = _shown(part, turns)
    if not shown:
        return None
    user, trait = rng.choice(shown)
    rest = [each for each in part.profiles[user] if each != trait][:2]
    traits = "\n".join(f"{number}. {each}" for number, each in enumerate((trait, *rest), 1))
    high, low = (
        FAITHFULNESS.substitute(conversation=lines(turns), user=USERS[at], traits=traits) for at in (user, 1 - user)
    )
    supported, *others = LABELS
    return Question(part.id, high, low, supported, tuple(others), '{"1":"')


def _denied(part: Part, turns: Sequence[str], rng: Random) -> Question | None:
    """Somebody says the opposite of an attribute of theirs, where a rule knows one."""
    deniable = [
        (user, turned)
        for user, traits in enumerate(part.profiles)
        for trait in traits
        if (turned := negated(trait)) and overlap(trait, turns[user::2]) <= ABSENT
    ]
    if not deniable:
        return None
    user, turned = rng.choice(deniable)
    at = rng.choice(range(user, len(turns), 2))
    said = [f"{turn} {turned}" if number == at else turn for number, turn in enumerate(turns)]
    return _faithful(part, _profiled(part.profiles, said), turns)


def _faithful(part: Part, corrupted: str, turns: Sequence[str]) -> Question:
    return Question(part.id, corrupted, _profiled(part.profiles, turns), "yes", ("no",))


def _profiled(profiles: Sequence[Sequence[str]], turns: Sequence[str]) -> str:
    told = "\n".join(f"User {number}: {' '.join(traits)}" for number, traits in enumerate(profiles, 1))
    return FAITHFULNESS_PAPER.substitute(profiles=told, conversation=lines(turns))


def _shuffled(turns: Sequence[str], rng: Random) -> list[str]:
    return rng.sample(turns, len(turns))


def _repeated(turns: Sequence[str], rng: Random) -> list[str]:
    """From some point on the same two turns again and again."""
    at = rng.randrange(len(turns) - 5)
    return [*turns[: at + 2], *(turns[at + step % 2] for step in range(len(turns) - at - 2))]


def _compared(part: Part, turns: Sequence[str], bad: Sequence[str], expert: str) -> Question | None:
    if list(turns) == list(bad):
        return None
    real, corrupted, policy = lines(turns), lines(bad), EXPERTS[expert]
    return Question(
        part.id,
        BETTER.substitute(first=real, second=corrupted, policy=policy),
        BETTER.substitute(first=corrupted, second=real, policy=policy),
        "1",
        ("2",),
    )


async def asked(engine: Engine, given: Mapping[str, Sequence[Question | Weighed]]) -> dict[str, list[Scores | None]]:
    """The scores of every question; None where the verdict's words are none of the likeliest or it does not fit."""
    found = await asyncio.gather(*(together(_scores(engine, each) for each in many) for many in given.values()))
    return dict(zip(given, found, strict=True))


async def _scores(engine: Engine, question: Question | Weighed) -> Scores | None:
    try:
        if isinstance(question, Weighed):
            real, corrupted = await together(
                _ratio(engine, question, each) for each in (question.real, question.corrupted)
            )
            return real, corrupted
        high, low = await together(_score(engine, question, prompt) for prompt in (question.high, question.low))
    except (ReadingError, ContextOverflow):
        return None
    return high, low


async def _ratio(engine: Engine, weighed: Weighed, dialogue: Dialogue) -> float:
    """The other order that a dialogue is held against hangs on its own."""
    found = await likelihood_critics.ratios(engine, LAPTOP.call, dialogue, Random(f"order:{dialogue.text()}"))
    return found.faithfulness if weighed.ratio == "faithfulness" else found.coherency


async def _score(engine: Engine, question: Question, prompt: str) -> float:
    """Raises ReadingError where no verdict is among the likeliest."""
    words = (question.word, *question.others)
    find = _labels if question.begun else _first_words
    found = await find(engine, question, prompt, words)
    return found[question.word] / sum(found.values())


async def _first_words(engine: Engine, question: Question, prompt: str, words: Sequence[str]) -> Mapping[str, float]:
    """Probability of each of `words` as the reply's first."""
    request = Request("verdict", 1, messages=(("user", prompt),), role=CRITIC, conversation=question.id)
    tokens = await first_token(engine, request, LIKELIEST)
    found = masses(tokens, words)
    if not sum(found.values()):
        likeliest = ", ".join(repr(token.text) for token in tokens)
        raise ReadingError(f"verdict: none of {', '.join(words)} among {likeliest}", likeliest)
    return found


async def _labels(engine: Engine, question: Question, prompt: str, words: Sequence[str]) -> Mapping[str, float]:
    """Likelihood of each of `words` behind the reply's beginning, that of the likeliest being 1.

    Without the quote behind it: a tokenizer may have one token for that and what follows.
    """
    found = await together(
        likelihood.replied(engine, (("user", prompt),), question.begun + word, "verdict", question.id)
        for word in words
    )
    most = max(each.logprob for each in found)
    return {word: math.exp(each.logprob - most) for word, each in zip(words, found, strict=True)}


def facts(found: Mapping[str, Sequence[Scores | None]], seed: int) -> dict[str, dict[str, Any]]:
    """By corruption: AUC with its 95 % interval, dialogues, and those whose verdicts could not be read."""
    return {name: _facts([each for each in many if each], len(many), seed) for name, many in found.items()}


def _facts(scores: Sequence[Scores], asked: int, seed: int) -> dict[str, Any]:
    value = auc(scores)
    low, high = _interval(scores, seed)
    return {"auc": value, "low": low, "high": high, "dialogues": len(scores), "unreadable": asked - len(scores)}


def auc(scores: Sequence[Scores]) -> float | None:
    """How often any score that should be high is above any that should not, ties half.

    None for no scores. Example: (0.9, 0.2) and (0.5, 0.5): 0.9 is above both, 0.5 above one and equal to one: 3.5 / 4.
    """
    return float(_wins(scores).mean()) if scores else None


def _wins(scores: Sequence[Scores]) -> NDArray[np.float64]:
    """Rows: scores that should be high; columns: the others."""
    import numpy as np

    high, low = (np.array(each, dtype=np.float64) for each in zip(*scores, strict=True))
    above: NDArray[np.float64] = (high[:, None] > low) + 0.5 * (high[:, None] == low)
    return above


def _interval(scores: Sequence[Scores], seed: int) -> tuple[float | None, float | None]:
    """Percentiles over dialogues drawn again, each with both of its prompts."""
    import numpy as np

    if not scores:
        return None, None
    wins, rng = _wins(scores), np.random.default_rng(seed)
    picks = rng.integers(0, len(scores), (DRAWS, len(scores)))
    low, high = np.percentile([wins[np.ix_(pick, pick)].mean() for pick in picks], [2.5, 97.5])
    return float(low), float(high)
