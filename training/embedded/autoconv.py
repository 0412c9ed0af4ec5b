"""The calls of the recipe autoconv: the teacher's plain text, and questions, answers and verdicts by instruction."""

from __future__ import annotations

import dataclasses
import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from random import Random

from synthesis.dialogue import Dialogue, Turn, transcript
from synthesis.filters.grounded import SUPPORTED
from synthesis.filters.round_trip import AGAIN
from synthesis.grounded import questions, spans, teacher_form
from synthesis.grounded.answers import NO_ANSWER, SYSTEM, USER, word_f1
from synthesis.grounded.writer import AIM, GAP, KIND, Decoding, Writer
from synthesis.words import content_words, sentences
from training.embedded.friends import Minutes
from training.embedded.knowing import Knowing, Runs
from training.embedded.row import Row, asked, held_out
from training.embedded.statements import clean
from training.embedded.talks import Told

HOW = Decoding(1.0, 0.95, 48)
SHOTS = 0.1
"""Share of instructions that show a conversation about another document."""


def rows(dialogues: Sequence[tuple[str, Dialogue]], rng: Random, dropped: Counter[str]) -> Iterator[Row]:
    """Examples of all the recipe's calls, of conversations about documents with their sources."""
    learned = [dialogue for _, dialogue in dialogues if not held_out(dialogue.id)]
    with Runs() as runs:
        for source, dialogue in dialogues:
            head = teacher_form.head(dialogue.topic or "", dialogue.document or "")
            yield Row("autoconv.teacher", source, dialogue.id, head, teacher_form.body(dialogue.turns))
            for at in rng.sample(range(0, len(dialogue.turns) - 1, 2), min(2, len(dialogue.turns) // 2)):
                shots = [rng.choice(learned)] if rng.random() < SHOTS else []
                yield from runs.done(_exchange(source, dialogue, at, shots, rng)) or ()
            yield from _verdicts(source, dialogue, rng)
        dropped.update(runs.dropped)


async def _exchange(source: str, dialogue: Dialogue, at: int, shots: list[Dialogue], rng: Random) -> list[Row]:
    """The instructions to ask a question and to answer it, after the turns before."""
    question, answer = dialogue.turns[at : at + 2]
    engine = Knowing({"question": lambda request: question.text, "answer": lambda request: answer.text})
    writer = Writer(engine, "prompt", dialogue.id, dialogue.topic or "", dialogue.document or "", shots)
    hint = _hint(question, answer, rng) if rng.random() < 0.6 else ""
    before = dialogue.turns[:at]
    await writer.questions(before, HOW, 1, hint, rng)
    await writer.answer([*before, question], HOW, False, rng)
    return engine.rows("autoconv", source, dialogue.id)


def _hint(question: Turn, answer: Turn, rng: Random) -> str:
    """What the recipe tells of the question: that it has no answer, or its aim; and its kind."""
    gap = answer.text == NO_ANSWER
    about = GAP.substitute() if gap else AIM.substitute(sentence=answer.evidence) if answer.evidence else ""
    kind = questions.kind(question.text)
    return about + (KIND.substitute(kind=kind) if kind and rng.random() < 0.7 else "")


def _verdicts(source: str, dialogue: Dialogue, rng: Random) -> Iterator[Row]:
    """Whether an answer is right, and the same question answered anew. Wrong is an answer to another question."""
    turns, document = dialogue.turns, dialogue.document or ""
    places = [at for at in range(1, len(turns), 2) if turns[at].text != NO_ANSWER]
    if len(places) < 2:
        return
    at, other = rng.sample(places, 2)
    right = rng.random() < 0.5
    said = turns[at if right else other].text
    told = {"document": document, "conversation": transcript(turns[: at - 1]) or "(none so far)"}
    if right or word_f1(said, turns[at].text) < 0.4:
        prompt = SUPPORTED.substitute(told, question=turns[at - 1].text, answer=said)
        yield asked("autoconv.support", source, dialogue.id, prompt, "Yes" if right else "No")
    at = rng.randrange(1, len(turns), 2)
    told = {"document": document, "conversation": transcript(turns[: at - 1]) or "(none so far)"}
    prompt = AGAIN.substitute(told, question=turns[at - 1].text, no_answer=NO_ANSWER)
    yield asked("autoconv.round_trip", source, dialogue.id, prompt, turns[at].text)


# ---- conversations about documents, out of other material -----------------------------------------------------------


def of_minutes(given: Sequence[Minutes]) -> Iterator[Dialogue]:
    """The questions about a meeting, and as its document all answers one after another."""
    meetings: dict[str, list[Minutes]] = {}
    for each in given:
        meetings.setdefault(each.id, []).append(each)
    for name, parts in meetings.items():
        document = " ".join(part.answer for part in parts[:5])
        turns = []
        for part in parts[:5]:
            turns += _pair(part.question, sentences(part.answer)[0], document)
        if len(turns) >= 4:
            yield Dialogue(f"{name}#minutes", tuple(turns), topic="A meeting", document=document)


def of_talk(given: Told) -> Dialogue | None:
    """A casual talk about facts: what is told is the document, in its order; what was asked for is asked again.

    None where fewer than two questions have an answer.
    """
    cleaned = [clean(text) for _, text in given.messages]
    said = [text for text in cleaned if text]
    if len(said) < len(cleaned):
        return None
    facts = [
        part for text in said for part in sentences(text) if not part.endswith("?") and 7 <= len(part.split()) <= 40
    ]
    document = " ".join(dict.fromkeys(facts))
    turns: list[Turn] = []
    for text, after in itertools.pairwise(said):
        question = next((part for part in sentences(text) if part.endswith("?") and len(part.split()) > 3), None)
        answer = next((part for part in sentences(after) if part in facts), None)
        fits = question and answer and content_words(question) & content_words(answer)
        if question and answer and fits and len(turns) < 10:
            turns += _pair(question, answer, document)
    if len(turns) < 4 or len(document.split()) > 350:
        return None
    first = next((each for each in given.messages), ("", ""))
    return Dialogue(given.id, tuple(turns), topic=" ".join(first[1].split()[:6]).rstrip(".,?!"), document=document)


def _pair(question: str, answer: str, document: str) -> list[Turn]:
    span = spans.locate(answer, document)
    evidence = spans.sentence_at(document, span) if span else None
    return [Turn(USER, question), Turn(SYSTEM, answer, evidence=evidence, span=span)]


def shifted(dialogue: Dialogue, other: Dialogue, rng: Random) -> Dialogue:
    """The conversation with a question of another one put in, which this document does not answer."""
    asks = [turn.text for turn in other.turns[::2] if (other.topic or "-").casefold() not in turn.text.casefold()]
    if not asks:
        return dialogue
    at = 2 * rng.randint(1, len(dialogue.turns) // 2)
    put = [Turn(USER, rng.choice(asks)), Turn(SYSTEM, NO_ANSWER)]
    return dataclasses.replace(dialogue, turns=(*dialogue.turns[:at], *put, *dialogue.turns[at:]))
