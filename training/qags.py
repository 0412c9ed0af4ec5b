"""QAGS: does a summary answer what can be asked about its dialogue as the dialogue itself does?

Wang et al. 2020 (arXiv 2004.04228) in the form of arXiv 2409.19020: the questions come from the dialogue. An engine
asks and answers; a journal around it makes questions and the dialogue's own answers a matter of the first model that
is evaluated.
"""

from __future__ import annotations

import hashlib
import re
import string
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from string import Template
from typing import ClassVar

from synthesis import reading
from synthesis.asking import ask, together
from synthesis.engine import CRITIC, Engine, Grammar, Request
from synthesis.errors import Quarantined, ReadingError, RequestRefused

QUESTIONS = Template("""Text:
$text

Write $count questions about what the text tells, one a line and nothing else. Each has one right answer of a few \
words that stands in the text, and no two have the same.""")

ANSWERS = Template("""Text:
$text

Questions:
$questions

Answer each question from the text alone, in at most $words words. Where the text does not tell, the answer is \
"$none". Reply with a JSON object: the numbers of the questions and their answers.""")

NONE = "No answer"
WORDS = 10


@dataclass(frozen=True, slots=True)
class Qags:
    """Agreement of the answers that a summary gives with those of its dialogue, over questions about the dialogue.

    Formula: mean over questions of the token F1 between the answer from the dialogue and the answer from the summary,
    as `token_f1`; a question that the dialogue does not answer counts for nothing, one that only the summary does not
    answer counts 0.
    Range: 0 to 1, higher is better. Source: arXiv 2004.04228; questions from the dialogue, three of them, after arXiv
    2409.19020, whose code compared answers by BERTScore and paired them by position in chunks that could shift: here
    an answer carries its question's number, and every number must be there.
    Defects: with questions from the dialogue it asks for coverage as much as for faithfulness, what a summary makes
    up goes unasked; answers and questions are as good as the engine; words are compared, not meanings.
    Example: answers "in Riga" and "Riga, Latvia" share 1 of 2 and 2 words: F1 .5; "No answer" from the summary: 0;
    "No answer" from the dialogue: left out; the mean is .25.
    """

    about: ClassVar[Mapping[str, str]] = {
        "qags": "agreement of answers from summary and dialogue, token F1; 0 to 1, higher is better"
    }

    engine: Engine
    questions: int = 3

    async def score(self, document: str, summary: str) -> dict[str, float]:
        """The number of one summary; none when the dialogue answers none of its questions.

        Raises ReadingError for replies that cannot be read, EngineError for those that cannot be had.
        """
        rng = Random(document)
        request = _request("qags questions", QUESTIONS.substitute(text=document, count=self.questions), 200, document)
        asked = await ask(self.engine, request, self._questions, rng)
        truth = await self._answers(document, asked, document)
        found = await self._answers(summary, asked, document)
        scores = [token_f1(found[number], truth[number]) for number in asked if said(truth[number])]
        return {"qags": sum(scores) / len(scores)} if scores else {}

    def _questions(self, text: str) -> dict[str, str]:
        """Questions by number. Raises ReadingError for fewer different ones than asked for."""
        found = list(dict.fromkeys(line for line in reading.items(text) if line.endswith("?")))
        if len(found) < self.questions:
            raise ReadingError(f"expected {self.questions} questions, one a line, got {len(found)}", text)
        return {str(number): line for number, line in enumerate(found[: self.questions], 1)}

    async def _answers(self, text: str, asked: Mapping[str, str], document: str) -> dict[str, str]:
        listed = "\n".join(f"{number}. {question}" for number, question in asked.items())
        prompt = ANSWERS.substitute(text=text, questions=listed, words=WORDS, none=NONE)
        schema = {
            "type": "object",
            "properties": {number: {"type": "string", "maxLength": 120} for number in asked},
            "required": list(asked),
            "additionalProperties": False,
        }
        request = _request("qags answers", prompt, 40 * len(asked) + 20, document, Grammar("json", schema))
        return await ask(self.engine, request, lambda reply: answers(reply, asked), Random(prompt))


def _request(stage: str, prompt: str, length: int, document: str, grammar: Grammar | None = None) -> Request:
    name = hashlib.sha256(document.encode()).hexdigest()[:16]
    return Request(stage, length, messages=(("user", prompt),), role=CRITIC, grammar=grammar, conversation=name)


def answers(text: str, asked: Mapping[str, str]) -> dict[str, str]:
    """Answers by question number. Raises ReadingError unless every number, and no other, has one that is short."""
    value = reading.json_value(text)
    if not isinstance(value, dict) or sorted(value) != sorted(asked):
        raise ReadingError(f"expected answers to the questions {', '.join(asked)}, got {text[:80]!r}", text)
    for number, answer in value.items():
        if not isinstance(answer, str) or len(answer.split()) > WORDS:
            raise ReadingError(f"answer {number}: expected at most {WORDS} words, got {str(answer)[:80]!r}", text)
    return {number: value[number] for number in asked}


def tokens(answer: str) -> list[str]:
    """Lower-case words of an answer without punctuation and articles, as SQuAD counts them (arXiv 1606.05250)."""
    plain = answer.lower().translate(str.maketrans("", "", string.punctuation))
    return re.sub(r"\b(?:a|an|the)\b", " ", plain).split()


def said(answer: str) -> bool:
    """Whether it is an answer, and not the word for none."""
    return tokens(answer) not in ([], tokens(NONE))


def token_f1(answer: str, truth: str) -> float:
    """Harmonic mean of the shares of tokens that two answers have in common; 0 where one says nothing."""
    if not said(answer) or not said(truth):
        return 0.0
    one, other = tokens(answer), tokens(truth)
    shared = sum((Counter(one) & Counter(other)).values())
    return 2 * shared / (len(one) + len(other))


async def scored(
    qags: Qags, documents: Sequence[str], summaries: Sequence[str], at_a_time: int = 32
) -> tuple[list[dict[str, float]], dict[int, str]]:
    """The number of each summary, and by index why some have none: their replies could not be read or had."""
    failed: dict[int, str] = {}

    async def held(index: int) -> dict[str, float]:
        try:
            return await qags.score(documents[index], summaries[index])
        except (ReadingError, RequestRefused, Quarantined) as error:
            failed[index] = str(error)
            return {}

    found: list[dict[str, float]] = []
    for start in range(0, len(documents), at_a_time):
        found += await together(held(index) for index in range(start, min(start + at_a_time, len(documents))))
    return found, dict(sorted(failed.items()))
