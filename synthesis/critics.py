"""Critics: faithfulness, toxicity, and five quality experts that compare two conversations.

Section 3.3 of arXiv 2312.10007. Every prompt opens with the conversation and ends with the question, so that a server
with a prefix cache reads each conversation once, whatever is asked about it.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from string import Template

from synthesis import reading
from synthesis.asking import ask, together
from synthesis.dialogue import Dialogue, transcript
from synthesis.engine import Engine, Grammar
from synthesis.errors import ReadingError
from synthesis.personas import GREEDY, Sampling, chat
from synthesis.recipe import fork

EXPERTS = {
    "depth": "goes deeper into what the two people think, feel and do",
    "coherency": "flows better, with every turn answering the one before it",
    "consistency": "contradicts itself less",
    "diversity": "is more varied in words and subjects",
    "likability": "is between the more likable people",
}

CONVERSATION = "Conversation:\n$conversation\n\n"

FAITHFULNESS_PAPER = Template("""Profiles and a conversation are given. Does anything that is said in the \
conversation contradict a profile? Answer Yes or No and explain in one or two sentences.

User 1: I play the cello. I have two sons.
User 2: I work on a ferry.
Conversation:
User 1: My boys keep me up at night.
User 2: I know that feeling, I am on the water at five.
Answer: No. The boys and the work on the water fit the profiles; the cello is not mentioned, which is no contradiction.

User 1: I love mountain biking. I am a vegetarian.
User 2: I keep bees.
Conversation:
User 1: I never understood why people race down hills on a bike.
User 2: Neither did I, I stay with my bees.
Answer: Yes. User 1 loves mountain biking and speaks as somebody who has no interest in it.

User 1: I study history in the evening.
User 2: My favourite show is an old detective series.
Conversation:
User 1: Did you watch anything after my lecture?
User 2: No, I cannot stand television, detectives least of all.
Answer: Yes. User 2 has a favourite detective series and claims to dislike it.

User 1: I bake my own bread. I live alone.
User 2: I run marathons.
Conversation:
User 1: Your legs must hurt after a marathon.
User 2: They do, a slice of your bread would help.
Answer: No. What both say fits with what the profiles tell.

$profiles
Conversation:
$conversation
Answer:""")

FAITHFULNESS = Template(
    CONVERSATION
    + """What is true of $user:
$traits

For each number, what does $user say in the conversation? "supported": $user says it or it follows. "contradicted": \
$user says something that cannot be true together with it. "unmentioned": neither."""
)

TOXICITY = Template(
    CONVERSATION
    + """Is anything said here rude, hateful, threatening, sexual or otherwise toxic? \
Answer Yes or No, then give the reason."""
)

BETTER = Template("""Conversation 1:
$first

Conversation 2:
$second

Which conversation $policy? Answer 1 or 2.""")

PROMPTS = (FAITHFULNESS_PAPER, FAITHFULNESS, TOXICITY, BETTER)

LABELS = ("supported", "contradicted", "unmentioned")


def faithfulness_schema(traits: int) -> dict[str, object]:
    """JSON schema of the verdict: one label for each of `traits` numbered from 1."""
    keys = [str(number) for number in range(1, traits + 1)]
    return {
        "type": "object",
        "properties": {key: {"enum": list(LABELS)} for key in keys},
        "required": keys,
        "additionalProperties": False,
    }


def faithfulness_labels(text: str, traits: int) -> list[str]:
    """The label of each attribute, read from a JSON verdict. Raises ReadingError for anything but all of them."""
    value = reading.json_value(text)
    keys = [str(number) for number in range(1, traits + 1)]
    if (
        not isinstance(value, dict)
        or sorted(value) != sorted(keys)
        or not set(map(str, value.values())) <= set(LABELS)
    ):
        raise ReadingError(f"expected labels {LABELS} for the numbers 1 to {traits}, got {text[:80]!r}", text)
    return [value[key] for key in keys]


async def unfaithful(engine: Engine, dialogue: Dialogue, rng: Random) -> str | None:
    """Why a dialogue is not faithful to its profiles, judged for each attribute and its own speaker; None when it is.

    The published critic passes conversations in which the users swap profiles; asking for each speaker does not.
    """
    sides = list(zip(sorted(dialogue.speakers), dialogue.personas, strict=True))
    found = await together(faithfulness(engine, dialogue, user, persona.traits, fork(rng)) for user, persona in sides)
    for (user, persona), labels in zip(sides, found, strict=True):
        for trait, label in zip(persona.traits, labels, strict=True):
            if label == "contradicted":
                return f"contradiction: {user} against {trait!r}"
    return None


async def faithfulness(engine: Engine, dialogue: Dialogue, user: str, traits: Sequence[str], rng: Random) -> list[str]:
    """Which of LABELS each of `traits` deserves by what `user` says. Raises ReadingError."""
    numbered = "\n".join(f"{number}. {trait}" for number, trait in enumerate(traits, 1))
    request = chat(
        "faithfulness",
        FAITHFULNESS,
        GREEDY,
        24 * len(traits) + 16,
        role="critic",
        grammar=Grammar("json", faithfulness_schema(len(traits))),
        thread=dialogue.id,
        conversation=transcript(dialogue.turns),
        user=user,
        traits=numbered,
    )
    return await ask(engine, request, lambda text: faithfulness_labels(text, len(traits)), rng)


async def unfaithful_as_published(engine: Engine, dialogue: Dialogue, how: Sampling, rng: Random) -> str | None:
    """The published faithfulness critic: one verdict for the whole conversation and both profiles."""
    profiles = "\n".join(
        f"{user}: {' '.join(persona.traits)}"
        for user, persona in zip(sorted(dialogue.speakers), dialogue.personas, strict=True)
    )
    request = chat(
        "faithfulness",
        FAITHFULNESS_PAPER,
        how,
        80,
        role="critic",
        thread=dialogue.id,
        profiles=profiles,
        conversation=transcript(dialogue.turns),
    )
    return "contradiction: by the published critic" if await ask(engine, request, reading.verdict, rng) else None


async def toxic(engine: Engine, dialogue: Dialogue, how: Sampling, rng: Random) -> str | None:
    """Why a dialogue is toxic, None when it is not."""
    text = transcript(dialogue.turns)
    request = chat("toxicity", TOXICITY, how, 40, role="critic", thread=dialogue.id, conversation=text)

    def read(text: str) -> str | None:
        return f"toxic: {text.strip()[:100]!r}" if reading.verdict(text) else None

    return await ask(engine, request, read, rng)


@dataclass(frozen=True, slots=True)
class Ranking:
    """What was made of some candidates: the index of the `best`, votes of the `ballots` by candidate, abstentions."""

    best: int
    votes: tuple[float, ...]
    abstentions: int
    ballots: int = len(EXPERTS)

    @property
    def remarks(self) -> tuple[str, ...]:
        """What a reader of the chosen dialogue must know of its choice."""
        return (f"abstentions: {self.abstentions} comparisons could not be read",) if self.abstentions else ()


async def rank(engine: Engine, candidates: Sequence[Dialogue], how: Sampling, swap: bool, rng: Random) -> Ranking:
    """The majority's choice among candidates.

    Every expert compares every pair; with `swap` in both orders, which cancels a bias for the first place. An expert
    votes for the candidate with most pairwise wins (a vote is shared when they tie); most votes win, then most
    pairwise wins, then chance. A comparison that cannot be read is an abstention and counts half for each.
    """
    if len(candidates) == 1:
        return Ranking(0, (float(len(EXPERTS)),), 0)
    pairs = [
        pair
        for first, second in itertools.combinations(range(len(candidates)), 2)
        for pair in ([(first, second), (second, first)] if swap else [(first, second)])
    ]
    rounds = [(expert, first, second) for expert in EXPERTS for first, second in pairs]
    winners = await together(
        _better(engine, candidates, first, second, expert, how, fork(rng)) for expert, first, second in rounds
    )
    wins = {expert: [0.0] * len(candidates) for expert in EXPERTS}
    for (expert, first, second), winner in zip(rounds, winners, strict=True):
        for index in (first, second) if winner is None else (winner,):
            wins[expert][index] += 0.5 if winner is None else 1.0
    return tally(wins, sum(winner is None for winner in winners), rng)


async def _better(
    engine: Engine, candidates: Sequence[Dialogue], first: int, second: int, expert: str, how: Sampling, rng: Random
) -> int | None:
    request = chat(
        "comparison",
        BETTER,
        how,
        4,
        role="critic",
        thread=candidates[first].id,
        policy=EXPERTS[expert],
        first=transcript(candidates[first].turns),
        second=transcript(candidates[second].turns),
    )
    try:
        answer = await ask(engine, request, lambda text: reading.choice(text, ("1", "2")), rng)
    except ReadingError:
        return None
    return first if answer == "1" else second


def tally(wins: Mapping[str, Sequence[float]], abstentions: int, rng: Random) -> Ranking:
    """Ranking from pairwise wins by expert and candidate."""
    count = len(next(iter(wins.values())))
    votes = [0.0] * count
    for by_candidate in wins.values():
        top = [index for index in range(count) if by_candidate[index] == max(by_candidate)]
        for index in top:
            votes[index] += 1 / len(top)
    totals = [sum(by_candidate[index] for by_candidate in wins.values()) for index in range(count)]
    chance = [rng.random() for _ in range(count)]
    best = max(range(count), key=lambda index: (round(votes[index], 9), totals[index], chance[index]))
    return Ranking(best, tuple(votes), abstentions)
