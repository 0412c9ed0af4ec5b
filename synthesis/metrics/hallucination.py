"""Hallucination: SelfCheck sees whether the engine would say it again, ChainPoll polls its verdicts."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from string import Template
from typing import TYPE_CHECKING, ClassVar

from synthesis import reading
from synthesis.asking import ask, together
from synthesis.dialogue import Dialogue, transcript
from synthesis.encoder import OFFLINE, encode
from synthesis.engine import Engine, Grammar
from synthesis.errors import ReadingError, UserError
from synthesis.metric import Level, judged
from synthesis.metrics.judging import before, given
from synthesis.personas import Sampling, chat
from synthesis.recipe import fork, rng_for
from synthesis.words import ngrams, sentences, words

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

NEXT_TURN = Template("""${given}Conversation:
$conversation

Write what $speaker says next: one turn on one line, without a name in front.""")

POLL = Template("""${given}Conversation:
$conversation

Next turn:
$turn

Does the next turn hallucinate? It does when it states something that $against. First think step by step: name each \
thing that it states, look for it in what is given above, and say whether it holds. Then decide.
Answer with JSON: {"reasoning": "your steps", "hallucination": "yes" or "no"}.""")

_THOUGHT = 600  # characters of reasoning; a token is rarely less than one, and the frame around it takes few
POLLED = {
    "type": "object",
    "properties": {
        "reasoning": {"type": "string", "maxLength": _THOUGHT},
        "hallucination": {"enum": ["yes", "no"]},
    },
    "required": ["reasoning", "hallucination"],
    "additionalProperties": False,
}


@dataclass(frozen=True, slots=True)
class SelfCheck:
    """Whether the engine, asked for the judged turn again, says the same: what it makes up differs each time.

    For each judged turn `k` alternatives are sampled, given the document, the profiles and the turns before. N-gram
    form: p(t|h) = c(h t)/c(h), where the counts c are over the alternatives and the turn itself, h the n - 1 words
    before t within its sentence; for each sentence of the turn the mean and the maximum of -ln p. Embedding form: for
    each sentence r one minus the mean over alternatives of the highest cosine of r with any of its sentences. All are
    means over sentences, then over judged turns. Judged are the last turn or all, and of these `speaker`'s where one
    is named; a turn with nothing before it and no document is left out. `encoder` None leaves the embedding form out.

    Source: Manakul et al. 2023 (arXiv 2303.08896): 20 samples at temperature 1.0, unigrams with the maximum best
    of the n-gram forms. Sentence cosine stands in for its BERTScore, and our words for its tokenizer's. Known defects:
    the samples come from the engine at hand, which need not be the model that wrote the turn; in open talk many good
    answers exist, so that an original turn scores like a false one; what a model always gets wrong passes; longer
    turns and alternatives raise the n-gram form; values compare only for the same `k`, `n`, engine and encoder.

    Example: "Red fox" and the alternatives "Red cat", "Red dog", n = 1: p(red) = 3/6, p(fox) = 1/6, so the mean is
    (0.693 + 1.792)/2 = 1.242 and the maximum 1.792; n = 2: p(red|start) = 3/3, p(fox|red) = 1/3, 0.549 and 1.099.
    """

    about: ClassVar[Mapping[str, str]] = {
        "selfcheck_ngram_mean": "-ln p of a word under the alternatives, mean; from 0, lower is better",
        "selfcheck_ngram_max": "-ln p of a sentence's least likely word, mean; from 0, lower is better",
        "selfcheck_embedding": "1 - cosine with the nearest sentence of an alternative, mean; 0 to 2, lower is better",
    }
    engine: Engine
    k: int = 20
    temperature: float = 1.0
    n: int = 1
    encoder: str | None = OFFLINE
    length: int = 120
    level: Level = "turn"
    speaker: str | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.k < 1 or self.n < 1:
            raise UserError(f"SelfCheck needs at least 1 alternative and 1-grams, got k={self.k}, n={self.n}")

    async def score(self, dialogue: Dialogue) -> dict[str, float]:
        """Raises ReadingError, EngineError."""
        rng = rng_for(self.seed, dialogue.id)
        places = [
            at
            for at in judged(dialogue, self.level, self.speaker)
            if (at or dialogue.document) and words(dialogue.turns[at].text)
        ]
        sampled = await together(self._alternatives(dialogue, at, fork(rng)) for at in places)
        found = [
            self._numbers(dialogue.turns[at].text, alternatives)
            for at, alternatives in zip(places, sampled, strict=True)
        ]
        return {name: sum(each[name] for each in found) / len(found) for name in (found[0] if found else ())}

    async def _alternatives(self, dialogue: Dialogue, at: int, rng: Random) -> list[str]:
        speaker = dialogue.turns[at].speaker
        request = chat(
            "selfcheck",
            NEXT_TURN,
            Sampling(self.temperature),
            self.length,
            thread=dialogue.id,
            given=given(dialogue),
            conversation=before(dialogue, at),
            speaker=speaker,
        )
        return await together(
            ask(self.engine, request, lambda text: utterance(text, speaker), fork(rng)) for _ in range(self.k)
        )

    def _numbers(self, text: str, alternatives: Sequence[str]) -> dict[str, float]:
        said = sentences(text)
        surprises = surprise(said, [sentence for each in alternatives for sentence in sentences(each)], self.n)
        found = {
            "selfcheck_ngram_mean": _mean([_mean(each) for each in surprises]),
            "selfcheck_ngram_max": _mean([max(each) for each in surprises]),
        }
        if self.encoder is None:
            return found
        apart = drift(encode(said, self.encoder), [encode(sentences(each), self.encoder) for each in alternatives])
        return found | {"selfcheck_embedding": apart}


def utterance(text: str, speaker: str) -> str:
    """The turn in a reply: its first line that says something, `speaker`'s label taken off."""
    for line in text.splitlines():
        said = re.sub(rf"^\W*{re.escape(speaker)}\W*:[\s*_]*", "", line).strip().strip('"“”').strip()
        if words(said):
            return said
    raise ReadingError(f"expected a turn of {speaker}, got {text[:60]!r}", text)


def surprise(said: Sequence[str], others: Sequence[str], n: int) -> list[list[float]]:
    """-ln p of each word of each sentence of `said` that has words, under an n-gram model of `said` and `others`."""
    own = [list(ngrams([""] * (n - 1) + tokens, n)) for tokens in map(words, said) if tokens]
    rest = [ngrams([""] * (n - 1) + words(sentence), n) for sentence in others]
    counts = Counter(gram for grams in [*own, *rest] for gram in grams)
    histories: Counter[tuple[str, ...]] = Counter()
    for gram, count in counts.items():
        histories[gram[:-1]] += count
    return [[math.log(histories[gram[:-1]] / counts[gram]) for gram in grams] for grams in own]


def drift(said: NDArray[np.float32], alternatives: Sequence[NDArray[np.float32]]) -> float:
    """One minus the highest cosine with a sentence of an alternative, mean over alternatives and sentences.

    `said`: unit vectors of a turn's sentences, (sentences, d); `alternatives`: the same of each alternative.
    """
    return _mean([1 - float((said @ other.T).max(axis=1).mean()) for other in alternatives])


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


@dataclass(frozen=True, slots=True)
class ChainPoll:
    """How many of `k` sampled verdicts, each reasoned step by step, call the judged turn a hallucination.

    A verdict is JSON by grammar, its reasoning first; one that cannot be read after three tries raises. The number is
    the share of yes, mean over judged turns (the last or all, and of these `speaker`'s where one is named). With a
    document, a hallucination is what neither it nor the conversation bears out; without, what is false, made up or
    at odds with what was said.

    Source: Friel and Sanyal 2023 (arXiv 2310.18344), which polls 5 times; its prompt is not published, this is ours,
    and the temperature is a choice. Known defects: in steps of 1/k, so that ties are many; a judge's errors repeat
    over polls, which average chance and no bias; it knows no more than the judge.

    Example: yes, no, no, yes, no of five polls: 2/5.
    """

    about: ClassVar[Mapping[str, str]] = {
        "chainpoll": "verdicts that call a turn a hallucination; 0 to 1, lower is better"
    }
    engine: Engine
    k: int = 5
    temperature: float = 1.0
    level: Level = "turn"
    speaker: str | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.k < 1:
            raise UserError(f"ChainPoll needs at least 1 verdict, got k={self.k}")

    async def score(self, dialogue: Dialogue) -> dict[str, float]:
        """Raises ReadingError, EngineError."""
        rng = rng_for(self.seed, dialogue.id)
        places = judged(dialogue, self.level, self.speaker)
        polls = await together(self._verdict(dialogue, at, fork(rng)) for at in places for _ in range(self.k))
        return {"chainpoll": sum(polls) / len(polls)} if polls else {}

    async def _verdict(self, dialogue: Dialogue, at: int, rng: Random) -> bool:
        against = (
            "neither the document nor the conversation bears out"
            if dialogue.document
            else "is false, made up, or at odds with what is given above"
        )
        request = chat(
            "chainpoll",
            POLL,
            Sampling(self.temperature),
            _THOUGHT + 40,
            role="critic",
            grammar=Grammar("json", POLLED),
            thread=dialogue.id,
            given=given(dialogue),
            conversation=before(dialogue, at),
            turn=transcript(dialogue.turns[at : at + 1]),
            against=against,
        )
        return await ask(self.engine, request, lambda text: reading.json_verdict(text, "hallucination"), rng)
