"""Persona attributes: induce queries from clusters of them, write new ones, and check them against each other.

Steps A and B of Synthetic-Persona-Chat (arXiv 2312.10007, section 3.1 and appendices A.1 and C.1): each function here
makes one call and reads it; `synthesis/expansion.py` and `synthesis/profiles.py` say how often and on what.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from string import Template
from typing import Any

from synthesis import reading
from synthesis.asking import ask
from synthesis.engine import Engine, Message, Request
from synthesis.errors import ReadingError
from synthesis.words import words

QUERY_INDUCTION = Template("""Here are facts that different people told about themselves:
$traits

Write the one question, as specific as possible, that every one of them answers.""")

QUERY_BOOTSTRAP = Template("""Here are questions that people answer when they describe themselves:
$queries

Write one more question of this kind about something that the others do not ask.""")

PERSONA_BOOTSTRAP = Template("""Here are facts that different people told about themselves:
$traits

You are a different person. Answer the question about yourself in one short sentence that starts with "I" or "My" \
and repeats none of the facts above.
Question: $query""")

NEGATION = Template("""Rewrite the sentence so that it says the opposite. Change as little as possible.
Sentence: I live in a small village.
Opposite: I do not live in a small village.
Sentence: My sister never eats meat.
Opposite: My sister eats meat.
Sentence: I used to play the drums.
Opposite: I have never played the drums.
Sentence: $trait
Opposite:""")

ENTAILMENT = Template("""Sentence A: $premise
Sentence B: $hypothesis

If A is true, must B be true as well? Answer Yes or No.""")

CONTRADICTION = Template("""What we know about a person:
$traits

New sentence about the same person: $trait

Can the new sentence not be true together with what we know? Answer Yes or No.""")

PROMPTS = (QUERY_INDUCTION, QUERY_BOOTSTRAP, PERSONA_BOOTSTRAP, NEGATION, ENTAILMENT, CONTRADICTION)


def bullets(lines: Sequence[str]) -> str:
    """Lines as a bulleted list."""
    return "\n".join(f"- {line}" for line in lines)


@dataclass(frozen=True, slots=True)
class Sampling:
    """How a call samples; `temperature` None is greedy."""

    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None


GREEDY = Sampling()


def chat(
    stage: str,
    template: Template,
    how: Sampling,
    length: int,
    *,
    role: str = "generator",
    grammar: Any = None,
    thread: str | None = None,
    **slots: Any,
) -> Request:
    """A request of one user message; a slot that the template wants and does not get is a KeyError.

    `thread`: id of the conversation that it is about, which ties it to one endpoint and its prefix cache.
    """
    message: Message = ("user", template.substitute(slots))
    return Request(
        stage,
        length,
        messages=(message,),
        temperature=how.temperature,
        top_k=how.top_k,
        top_p=how.top_p,
        role=role,
        grammar=grammar,
        conversation=thread,
    )


async def induce_query(engine: Engine, traits: Sequence[str], how: Sampling, rng: Random) -> str:
    """The question that all `traits` answer."""
    return await ask(engine, chat("query induction", QUERY_INDUCTION, how, 40, traits=bullets(traits)), query, rng)


async def new_query(engine: Engine, queries: Sequence[str], how: Sampling, rng: Random) -> str:
    """A question of the kind of `queries` that asks for something else."""
    request = chat("query bootstrapping", QUERY_BOOTSTRAP, how, 40, queries=bullets(queries))
    return await ask(engine, request, query, rng)


async def new_trait(engine: Engine, traits: Sequence[str], question: str, how: Sampling, rng: Random) -> str:
    """An attribute that answers `question` and repeats none of `traits`. One try: what fails is no loss here."""
    request = chat("persona bootstrapping", PERSONA_BOOTSTRAP, how, 40, traits=bullets(traits), query=question)
    return await ask(engine, request, lambda text: trait(text, question), rng, tries=1)


async def negate(engine: Engine, sentence: str, rng: Random) -> str:
    """`sentence` turned into its opposite."""
    return await ask(engine, chat("negation", NEGATION, GREEDY, 40, trait=sentence), reading.sentence, rng)


async def entails(engine: Engine, premise: str, hypothesis: str, rng: Random) -> bool:
    """Whether `premise` makes `hypothesis` true, in the engine's judgement."""
    request = chat("entailment", ENTAILMENT, GREEDY, 8, role="critic", premise=premise, hypothesis=hypothesis)
    return await ask(engine, request, reading.verdict, rng)


async def contradicts(engine: Engine, sentence: str, traits: Sequence[str], rng: Random) -> bool:
    """Whether `sentence` cannot be true together with `traits`, in the engine's judgement."""
    request = chat("contradiction", CONTRADICTION, GREEDY, 8, role="critic", trait=sentence, traits=bullets(traits))
    return await ask(engine, request, reading.verdict, rng)


def query(text: str) -> str:
    """The question in a reply: its first line, at most 25 words, ending in a question mark."""
    line = reading.sentence(text)
    question = line[: line.rfind("?") + 1]
    if not question or not 2 <= len(words(question)) <= 25:
        raise ReadingError(f"expected one question of at most 25 words, got {line[:80]!r}", text)
    return question[0].upper() + question[1:]


_OPENING = re.compile(r"(?:I|My|I'm|I've|I'd|I'll)\b")
_END = re.compile(r"(?<!\bMr)(?<!\bMrs)(?<!\bMs)(?<!\bDr)(?<!\bSt)(?<!\bMt)[.!?](?=\s|$)")
_PLACEHOLDER = re.compile(r"[\[\]{}<>_]|\.\.\.")


def trait(text: str, question: str = "") -> str:
    """The attribute in a reply: one sentence that opens with I or My, 3 to 30 words, no slot, no echoed question."""
    line = reading.sentence(text).replace("’", "'")
    ends = _END.search(line)
    single = line[: ends.end()] if ends else f"{line}."
    faults = {
        "does not open with I or My": not _OPENING.match(single),
        "is not 3 to 30 words": not 3 <= len(words(single)) <= 30,
        "has a placeholder": bool(_PLACEHOLDER.search(single)),
        "is a question": single.endswith("?"),
        "echoes the question": bool(question) and words(question) == words(single),
    }
    found = [fault for fault, is_so in faults.items() if is_so]
    if found:
        raise ReadingError(f"not an attribute, it {found[0]}: {single[:80]!r}", text)
    return single
