"""AutoConv: a model that has seen a few human conversations about documents writes many more, about other documents.

Paper: "AutoConv: Automatically Generating Information-seeking Conversations with Large Language Models", ACL 2023,
arXiv 2308.06507. Neither code nor data are published as far as we know, and the body of the paper was not at hand:
what is said of it here is its abstract's, or second-hand where the table says so.

A language model is fine-tuned on few human conversations, each with its document. Given a document without any, it
writes both sides in turn: a question by nucleus sampling, its answer by greedy search. Conversations that repeat
themselves are filtered out by their diversity. On what is left a small student is pre-trained, before it is fine-tuned
on the human ones: that is `training`'s part, which also makes the teacher.

Deviations. What is unpublished is marked choice: p, lengths, number of turns, threshold, the text that the teacher
reads. Preset `paper` keeps the published structure; its documents are none of those that the human conversations are
about, nor of those in files given to --exclude (dev and test sets). Preset `improved` needs no training: an
instruction model is shown conversations and told what to ask for, kind and aim of each question are dealt, the best of
several is taken, unanswerable ones are as frequent as among people, and answers have to be borne out by the document,
by a critic's verdict, by another answer to the same question and by their own probability. Preset `laptop` is for a
small teacher made from the embedded model: short documents, and filters that ask nobody.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from string import Template
from typing import Any, ClassVar, Literal, Protocol

from synthesis.contents import named
from synthesis.dialogue import Dialogue, Turn
from synthesis.engine import Engine
from synthesis.errors import UserError
from synthesis.filter import Across, Filter
from synthesis.filters import diversity, grounded, round_trip
from synthesis.filters.confidence import Confidence
from synthesis.filters.diversity import Diversity
from synthesis.filters.grounded import Entailed, Grounded, Supported
from synthesis.filters.near_duplicates import NearDuplicates
from synthesis.filters.round_trip import RoundTrip
from synthesis.grounded import conversations, documents, questions, spans, writer
from synthesis.grounded.answers import NO_ANSWER, SYSTEM, USER
from synthesis.grounded.documents import Document
from synthesis.grounded.writer import AIM, GAP, KIND, Decoding, Writer
from synthesis.recipe import Dropped, Pool, Seed, at_least, fork
from synthesis.words import sentences, words

log = logging.getLogger(__name__)

HERE = Path(__file__).parent

IMPROVED: dict[str, Any] = {
    "mode": "prompt",
    "few_shots": 2,
    "candidates": 4,
    "kinds": True,
    "coverage": True,
    "unanswerable": "human",
    "repeat": 0.8,
    "grounded": "engine",
    "round_trip": 0.6,
    "confidence": -2.0,
    "duplicate": 0.6,
}

LAPTOP: dict[str, Any] = {
    "window_words": 160,
    "question_length": 28,
    "answer_length": 40,
    "candidates": 3,
    "repeat": 0.9,
    "least_diversity": 0.3,
    "grounded": "none",  # the embedded model, untaught, answers past the document; its cards tell how far
}

_LEAST = {
    **dict.fromkeys(("per_document", "question_length", "answer_length", "candidates", "window_words"), 1),
    **dict.fromkeys(("most_turns", "fewest_turns", "fewest"), 1),
    **dict.fromkeys(("temperature", "answer_temperature", "few_shots", "least_words", "least_diversity"), 0),
    **dict.fromkeys(("same", "repeat", "floor", "duplicate"), 0),
}


class Judge(Protocol):
    """A filter that says which answer it objects to: its index and the reason."""

    name: ClassVar[str]

    async def first(self, dialogue: Dialogue) -> tuple[int, str] | None: ...


@dataclass(frozen=True, slots=True)
class Autoconv:
    """Hyper-parameters. Marks: paper, second-hand (told by others of the paper), choice (ours, nothing is known).

    | arXiv 2308.06507                | value               | mark        | field                                  |
    |---------------------------------|---------------------|-------------|----------------------------------------|
    | a model fine-tuned on few       | yes                 | paper       | mode teacher                           |
    | human conversations             | 50 (of QuAC)        | second-hand | human, humans                          |
    | questions                       | nucleus sampling    | second-hand | top_p .95, temperature 1.0 (choice)    |
    | answers                         | greedy search       | second-hand | answer_temperature 0                   |
    | filter                          | diversity           | second-hand | diversity                              |
    | its threshold                   | unknown             | choice      | percentile 5 of people's; else .6      |
    | tokens a question, an answer    | unknown             | choice      | question_length 32, answer_length 64   |
    | turns                           | unknown             | choice      | as people's, or turns                  |
    | conversations a document        | unknown             | choice      | per_document 1                         |

    `floor`, `grounded`, `round_trip`, `confidence` judge answers: a conversation ends before the first that does not
    pass, and is dropped when fewer than `fewest_turns` questions are left.
    """

    name: ClassVar[str] = "autoconv"
    prompts: ClassVar[tuple[Template, ...]] = (*writer.PROMPTS, grounded.SUPPORTED, round_trip.AGAIN)
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {"paper": {}, "improved": IMPROVED, "laptop": LAPTOP}

    mode: Literal["teacher", "prompt"] = "teacher"
    # what is talked about
    documents: Path | str = HERE / "autoconv_documents.jsonl"
    column: str = "text"
    title_column: str = "title"
    window_words: int = 800
    least_words: int = 30
    same: float = 0.8  # documents from this similarity on are one
    per_document: int = 1
    # how people do it
    human: Path | str = HERE / "autoconv_dialogues.jsonl"
    humans: int | None = None  # the first so many of the file; None: all
    exclude: tuple[
        Path | str, ...
    ] = ()  # conversations whose documents are left alone, too; again for each further file
    few_shots: int = 0  # conversations shown in mode prompt
    # turns
    turns: int | None = None  # questions a conversation; None: as many as people's, drawn
    most_turns: int = 12
    fewest_turns: int = 2
    unanswerable: str | None = None  # share of the questions, or "human" for people's; None: whatever comes
    # questions
    top_p: float | None = 0.95
    temperature: float = 1.0
    question_length: int = 32
    candidates: int = 1
    kinds: bool = False
    coverage: bool = False
    repeat: float = 1.0  # word F1 with an earlier question from which one is a repetition
    # answers
    answer_top_p: float | None = None
    answer_temperature: float = 0.0
    answer_length: int = 64
    # filters
    diversity: float | None = 5.0  # percentile of people's; None: no filter
    fewest: int = 20  # people's conversations with that number of questions, below which there is no percentile
    least_diversity: float = 0.6  # where there is none
    grounded: Literal["none", "words", "nli", "engine"] = "none"
    floor: float = 0.5  # share of an answer's content words that one sentence has; for NLI the probability
    nli: str | None = None
    round_trip: float | None = None  # word F1 with the critic's answer
    confidence: float | None = None  # mean natural log-probability of an answer's tokens
    duplicate: float = 0.0  # similarity of conversations from which one goes; 0: no filter

    def __post_init__(self) -> None:
        at_least(self, _LEAST)
        for field in ("top_p", "answer_top_p"):
            value = getattr(self, field)
            if value is not None and not 0 < value < 1:
                raise UserError(f"recipe autoconv: {field} is {value}, expected more than 0 and less than 1, or none")
        for field in ("turns", "humans"):
            value = getattr(self, field)
            if value is not None and value < 1:
                raise UserError(f"recipe autoconv: {field} is {value}, expected at least 1, or none")
        if self.fewest_turns > (self.turns or self.most_turns):
            raise UserError(
                f"recipe autoconv: fewest_turns is {self.fewest_turns} and a conversation has at most "
                f"{self.turns or self.most_turns} questions, so that none could be kept"
            )
        if self.grounded == "nli" and self.nli is None:
            raise UserError("recipe autoconv: grounded nli needs --nli, the Hub id or folder of a cross-encoder")
        if self.diversity is not None and not 0 <= self.diversity <= 100:
            raise UserError(
                f"recipe autoconv: diversity is {self.diversity}, expected a percentile of 0 to 100, or none"
            )
        if self.unanswerable not in (None, "human"):
            self._share()

    @property
    def rounds(self) -> int:
        """One pass over the seeds; nothing is learned from it."""
        return 1

    def check(self) -> None:
        """Documents and human conversations, read once for their mistakes."""
        self._documents(self._people(), logging.DEBUG)

    # ---- seeds: a document, and how it is to be asked about ---------------------------------------------------------

    async def seeds(self, engine: Engine, rng: Random, n: int) -> AsyncIterator[Seed]:
        """Documents, each with the number of questions, what they should be, and the conversations to show.

        Each document comes once before any comes again. Fewer than `n` when the documents do not suffice.
        """
        people = self._people()
        given = self._documents(people, logging.INFO)
        rng.shuffle(given)
        wanted = [(document, number) for number in range(self.per_document) for document in given][:n]
        if len(wanted) < n:
            log.warning(
                "seeds: %d of %d wanted: %d documents, %d each; give more --documents or raise --per-document",
                *(len(wanted), n, len(given), self.per_document),
            )
        lengths = [min(self.most_turns, diversity.questions(each)) for each in people]
        rate = None if self.unanswerable is None else self._share(people)
        for document, number in wanted:
            count = self.turns or rng.choice(lengths)
            content = {
                "document": dataclasses.asdict(document),
                "questions": [
                    {
                        "kind": rng.choice(questions.KINDS) if self.kinds else None,
                        "unanswerable": None if rate is None else rng.random() < rate,
                    }
                    for _ in range(count)
                ],
                "few_shots": [shot.id for shot in rng.sample(people, min(self.few_shots, len(people)))],
            }
            yield Seed(f"autoconv-{self._digest(document, number)}", content)

    def _digest(self, document: Document, number: int) -> str:
        """Of the document, of which of its conversations this is, and of everything that shapes it."""
        settings = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        whole = json.dumps([dataclasses.asdict(document), number, settings], sort_keys=True, default=named)
        return hashlib.sha256(whole.encode()).hexdigest()[:12]

    def _people(self) -> list[Dialogue]:
        """The human conversations. Raises UserError for none, for fewer than asked for, and without a document."""
        found = _conversations(str(self.human))
        if not found:
            raise UserError(f"--human {self.human}: holds no conversation")
        if self.humans is not None and len(found) < self.humans:
            raise UserError(f"--human {self.human}: {len(found)} conversations, --humans asks for {self.humans}")
        return list(found[: self.humans])

    def _documents(self, people: Sequence[Dialogue], level: int) -> list[Document]:
        """What may be written about: windows that are long enough, none like another, none that people talked about.

        How many were left out is logged at `level`. Raises UserError when none is left, or one of many.
        """
        given = documents.read(str(self.documents), column=self.column, title=self.title_column)
        known = [*people, *(dialogue for source in self.exclude for dialogue in _conversations(str(source)))]
        strange = _not_about(given, known, self.same)
        cut = documents.windows(strange, self.window_words)
        long = [each for each in cut if len(words(each.text)) >= self.least_words]
        found = documents.distinct(long, self.same)
        log.log(
            level,
            "documents: %d read, %d left out that the %d conversations given are about, or nearly, %d windows of at "
            "most %d words, %d of them below %d words, %d like another; %d left",
            *(len(given), len(given) - len(strange), len(known), len(cut), self.window_words),
            *(len(cut) - len(long), self.least_words, len(long) - len(found), len(found)),
        )
        if not found:
            raise UserError(
                f"--documents {self.documents}: none is left of {len(given)}: {len(given) - len(strange)} are those "
                f"that the conversations given are about, and no window of the others has {self.least_words} words"
            )
        if len(found) == 1 < len(long):
            raise UserError(
                f"--documents {self.documents}: all {len(long)} are alike (similarity of at least {self.same:g}); "
                "give different ones, or raise --same"
            )
        return found

    def _share(self, people: Sequence[Dialogue] = ()) -> float:
        """The share of questions that should have no answer. Raises UserError for what is none."""
        if self.unanswerable == "human":
            told = [turn.text for each in people for turn in each.turns if turn.speaker == SYSTEM]
            return told.count(NO_ANSWER) / len(told) if told else 0.0
        try:
            share = float(str(self.unanswerable))
        except ValueError:
            share = -1.0
        if not 0 <= share <= 1:
            raise UserError(f"--unanswerable: got {self.unanswerable!r}, expected none, human, or a share of 0 to 1")
        return share

    # ---- a conversation ---------------------------------------------------------------------------------------------

    def pool(self, kept: Sequence[Dialogue]) -> Pool:
        """The human conversations that prompts may show."""
        return Pool(self._people() if self.few_shots else ())

    async def dialogue(self, seed: Seed, pool: Pool, engine: Engine, rng: Random) -> Dialogue:
        """A conversation about the seed's document, up to where it ends by itself or an answer is not to be trusted.

        Raises Dropped when too few questions are left, with the reason for which it ended.
        """
        document, wanted = seed.content["document"], set(seed.content["few_shots"])
        shots = [shot for shot in pool.exemplars if shot.id in wanted]
        asks = Writer(engine, self.mode, seed.id, document["title"], document["text"], shots)
        turns, faults = await self._written(asks, seed.content["questions"], fork(rng))
        made = Dialogue(
            seed.id,
            tuple(_placed(turn, document["text"]) for turn in turns),
            topic=document["title"] or None,
            document=document["text"],
            source=document["source"],
            exemplars=tuple(shot.id for shot in asks.shots),
            notes=(*(("document cut",) if asks.cut else ()), *(f"left out: {fault}" for fault in faults)),
        )
        if diversity.questions(made) < self.fewest_turns:
            reason = f"too few questions: {diversity.questions(made)} of {len(seed.content['questions'])}"
            raise Dropped("writing", f"{reason}; {', '.join(faults)}", made.text())
        return _scored(await self._trusted(made, engine))

    async def _written(
        self, asks: Writer, wanted: Sequence[Mapping[str, Any]], rng: Random
    ) -> tuple[list[Turn], list[str]]:
        """Questions and answers in turn, and what was wrong with those that were left out, each once.

        An empty or a repeated question ends the conversation.
        """
        turns: list[Turn] = []
        faults: dict[str, None] = {}
        for each in wanted:
            made = await self._exchange(asks, turns, each, rng)
            if not isinstance(made, str):
                turns += made
                continue
            faults[made] = None
            if made in (questions.EMPTY, questions.REPEATED):
                break
        return turns, list(faults)

    async def _exchange(
        self, asks: Writer, turns: Sequence[Turn], wanted: Mapping[str, Any], rng: Random
    ) -> tuple[Turn, Turn] | str:
        """A question and its answer, or what was wrong with the last that was tried.

        Candidates are answered one after another, the best first, until one has an answer, or none, as `wanted`.
        """
        told = [turn.text for turn in turns if turn.speaker == SYSTEM] if self.coverage else []
        used = {at for text in told if (at := _evidence(text, asks.shown)) is not None}
        how = Decoding(self.temperature or None, self.top_p if self.temperature else None, self.question_length)
        hint = self._hint(wanted, [each for each in sentences(asks.shown) if each not in used], rng)
        asked = await asks.questions(turns, how, self.candidates, hint, rng)
        wrong = [questions.of_question(each, turns, self.repeat) for each in asked]
        good = [each for each, fault in zip(asked, wrong, strict=True) if fault is None]
        fault, spare = next((each for each in wrong if each), ""), None
        unanswerable = wanted["unanswerable"]
        for best in questions.ranked(good, turns, asks.shown, used, wanted["kind"], bool(unanswerable)):
            made = await self._answered(asks, [*turns, Turn(USER, best.text)], rng)
            if isinstance(made, str):
                fault = made
            elif unanswerable in (None, made[1].text == NO_ANSWER):
                return made
            elif unanswerable:
                spare = spare or made
            else:
                fault = "unanswerable beyond the quota"
        return spare or fault

    async def _answered(self, asks: Writer, turns: Sequence[Turn], rng: Random) -> tuple[Turn, Turn] | str:
        how = Decoding(
            self.answer_temperature or None, self.answer_top_p if self.answer_temperature else None, self.answer_length
        )
        told = await asks.answer(turns, how, self.confidence is not None, rng)
        return questions.of_answer(told) or (turns[-1], Turn(SYSTEM, told.text, logprob=told.logprob))

    def _hint(self, wanted: Mapping[str, Any], unused: Sequence[str], rng: Random) -> str:
        """What an instruction model is told of the question: to have no answer, or else an aim; and its kind."""
        about = ""
        if wanted["unanswerable"]:
            about = GAP.substitute()
        elif self.coverage and unused:
            about = AIM.substitute(sentence=rng.choice(unused))
        return about + (KIND.substitute(kind=wanted["kind"]) if wanted["kind"] else "")

    # ---- filters ----------------------------------------------------------------------------------------------------

    async def _trusted(self, made: Dialogue, engine: Engine) -> Dialogue:
        """`made` up to the first answer that a judge objects to. Raises Dropped when too few questions are left."""
        for judge in (*self._cheap(), *self._asking(engine)):
            found = await judge.first(made)
            if found is None:
                continue
            at, reason = found
            if (at - 1) // 2 < self.fewest_turns:
                raise Dropped(judge.name, reason, made.text())
            made = dataclasses.replace(
                made, turns=made.turns[: at - 1], notes=(*made.notes, f"ends before an answer: {judge.name}")
            )
        return made

    def _cheap(self) -> Sequence[Grounded | Confidence]:
        """Judges of answers that ask nobody."""
        words_ = (Grounded(self.floor),) if self.grounded in ("words", "engine") else ()
        return (*words_, *((Confidence(self.confidence),) if self.confidence is not None else ()))

    def _asking(self, engine: Engine) -> Sequence[Judge]:
        """Judges of answers that ask a model; their verdicts are asked for once, when a conversation is written."""
        return (
            *((Entailed(self.nli, self.floor),) if self.grounded == "nli" and self.nli else ()),
            *((Supported(engine),) if self.grounded == "engine" else ()),
            *((RoundTrip(engine, self.round_trip, self.answer_length),) if self.round_trip is not None else ()),
        )

    def filters(self, engine: Engine) -> Sequence[Filter]:
        """What a finished conversation is held to."""
        if self.diversity is None:
            return self._cheap()
        floors = _floors(str(self.human), self.humans, self.diversity, self.fewest)
        return (Diversity(floors, self.least_diversity), *self._cheap())

    def across(self) -> Sequence[Across]:
        return (NearDuplicates(self.duplicate),) if self.duplicate else ()


@functools.cache
def _conversations(source: str) -> tuple[Dialogue, ...]:
    return conversations.read(source)


@functools.cache
def _floors(source: str, count: int | None, percentile: float, fewest: int) -> Mapping[int, tuple[float, float]]:
    """Of the first `count` human conversations; worked out once, for filters are made anew for every dialogue."""
    return diversity.floors(_conversations(source)[:count], percentile, fewest)


def _not_about(given: Sequence[Document], known: Sequence[Dialogue], same: float) -> list[Document]:
    """The documents that no conversation is about: none of the same title, none with a text that is like theirs."""
    titles = {_plain(dialogue.topic) for dialogue in known} - {""}
    strange = [each for each in given if _plain(each.title) not in titles]
    return documents.unlike(strange, (_plain(dialogue.document) for dialogue in known), same)


def _plain(text: str | None) -> str:
    return " ".join((text or "").casefold().split())


def _evidence(answer: str, document: str) -> str | None:
    """The sentence of the document that an answer stands in."""
    span = spans.locate(answer, document) if answer != NO_ANSWER else None
    return spans.sentence_at(document, span) if span else None


def _placed(turn: Turn, document: str) -> Turn:
    """An answer with its place in the document and the sentence there; both None where it is not found."""
    if turn.speaker == USER or turn.text == NO_ANSWER:
        return turn
    span = spans.locate(turn.text, document)
    return dataclasses.replace(turn, span=span, evidence=spans.sentence_at(document, span) if span else None)


def _scored(made: Dialogue) -> Dialogue:
    """`made` with the numbers that filters go by."""
    asked, told = diversity.of_dialogue(made)
    support = grounded.grounded(made)
    scores = {"div_questions": asked, "div_answers": told} | ({} if support is None else {"grounded": support})
    return dataclasses.replace(made, scores=scores)
