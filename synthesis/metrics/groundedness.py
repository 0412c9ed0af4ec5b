"""Groundedness: how much of what is said the dialogue's document bears out, by words, by NLI, or by an engine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from string import Template
from typing import ClassVar

from synthesis import reading
from synthesis.asking import ask, together
from synthesis.dialogue import Dialogue, transcript
from synthesis.engine import Engine, Grammar
from synthesis.metric import Level, judged
from synthesis.metrics.judging import before
from synthesis.nli import ENTAILMENT, infer
from synthesis.personas import GREEDY, chat
from synthesis.recipe import fork, rng_for
from synthesis.words import content_words, sentences

GROUNDED = Template("""Document:
$document

Conversation:
$conversation

Next turn:
$turn

Does the document, or what was said before, support everything that the next turn states? A turn that states nothing, \
such as a greeting or a question, counts as supported.
Answer with JSON: {"supported": "yes"} or {"supported": "no"}.""")

VERDICT = {
    "type": "object",
    "properties": {"supported": {"enum": ["yes", "no"]}},
    "required": ["supported"],
    "additionalProperties": False,
}


@dataclass(frozen=True, slots=True)
class DocumentOverlap:
    """Content words of the judged turns that stand in the document.

    Overlap of a turn with the content words T, in a document with the content words D: |T∩D|/|T|; the mean and the
    lowest over the judged turns, which are the last or all, and of these `speaker`'s where one is named. Unsupported:
    the share of all content words of the judged turns that stand neither in the document nor in any turn before.
    Turns without content words are left out; without a document there is no number.

    Source: knowledge F1 and its precision (Shuster et al. 2021, arXiv 2104.07567), here over sets of stems without
    stop words. Known defects: words, not meaning: a turn that negates or mixes up its document scores as well as a
    true one, a paraphrase scores low; small talk counts as ungrounded; it rises with the length of the document.

    Example: document "The tower opens at nine.", turns "Does the tower open early?" and "The tower opens at ten.":
    {tower, open, earl} has 2/3, {tower, open, ten} 2/3, mean 2/3; earl and ten are unsupported, 2 of 6.
    """

    about: ClassVar[Mapping[str, str]] = {
        "document_overlap": "content words of a turn that the document has, mean; 0 to 1, higher is more grounded",
        "document_overlap_lowest": "the same of the turn that has least of it; 0 to 1, higher is more grounded",
        "unsupported_words": "content words found neither in the document nor before; 0 to 1, lower is better",
    }
    level: Level = "dialogue"
    speaker: str | None = None

    async def score(self, dialogue: Dialogue) -> dict[str, float]:
        """No error."""
        if dialogue.document is None:
            return {}
        document = content_words(dialogue.document)
        carried = [content_words(turn.text) for turn in dialogue.turns]
        places = [at for at in judged(dialogue, self.level, self.speaker) if carried[at]]
        if not places:
            return {}
        overlaps = [len(carried[at] & document) / len(carried[at]) for at in places]
        unsupported = sum(len(carried[at].difference(document, *carried[:at])) for at in places)
        return {
            "document_overlap": sum(overlaps) / len(overlaps),
            "document_overlap_lowest": min(overlaps),
            "unsupported_words": unsupported / sum(len(carried[at]) for at in places),
        }


@dataclass(frozen=True, slots=True)
class GroundednessByNli:
    """How surely sentences of the document entail those of the judged turns.

    For each sentence of a judged turn, but questions and those without content words, the highest probability of
    entailment by any sentence of the document; the mean over all such sentences. Judged turns as in `DocumentOverlap`.
    `nli`: Hub id or folder of a cross-encoder. Without a document, or a sentence to judge, there is no number.

    Source: the zero-shot form of SummaC (Laban et al. 2022, arXiv 2111.09525). Known defects: pronouns are read
    without the turns that explain them; what follows from two sentences together is entailed by neither; the cost is
    the product of the sentences of both.

    Example: probabilities of entailment 0.2 and 0.9 by the two sentences of a document for the first sentence of a
    turn, 0.1 and 0.3 for the second: (0.9 + 0.3)/2 = 0.6.
    """

    about: ClassVar[Mapping[str, str]] = {
        "grounded_nli": "probability that the document entails a sentence, mean; 0 to 1, higher is more grounded"
    }
    nli: str
    level: Level = "dialogue"
    speaker: str | None = None

    async def score(self, dialogue: Dialogue) -> dict[str, float]:
        """Raises UserError for a model that cannot be loaded."""
        premises = sentences(dialogue.document or "")
        claims = [
            sentence
            for at in judged(dialogue, self.level, self.speaker)
            for sentence in sentences(dialogue.turns[at].text)
            if not sentence.endswith("?") and content_words(sentence)
        ]
        if not premises or not claims:
            return {}
        found = iter(await infer(self.nli, [(premise, claim) for claim in claims for premise in premises]))
        best = [max(next(found)[ENTAILMENT] for _ in premises) for _ in claims]
        return {"grounded_nli": sum(best) / len(best)}


@dataclass(frozen=True, slots=True)
class GroundednessByEngine:
    """Judged turns that state nothing but what the document, or the conversation before, supports, by an engine.

    One greedy request a judged turn (those of `DocumentOverlap`), whose verdict is held to JSON; the share of yes. A
    verdict that cannot be read after three tries raises. Without a document there is no number. `seed` steers only
    the second and third try.

    Source: attribution to a source as a yes or no question (Rashkin et al. 2021, arXiv 2112.12870). Known defects: a
    judge that knows the subject forgives what the document lacks; small judges say yes to most; a document beyond the
    endpoint's context is refused, not cut.

    Example: verdicts yes, no, yes, yes for four turns: 3/4.
    """

    about: ClassVar[Mapping[str, str]] = {
        "grounded_engine": "turns whose statements are all supported; 0 to 1, higher is more grounded"
    }
    engine: Engine
    level: Level = "dialogue"
    speaker: str | None = None
    seed: int = 0

    async def score(self, dialogue: Dialogue) -> dict[str, float]:
        """Raises ReadingError, EngineError."""
        places = judged(dialogue, self.level, self.speaker)
        if dialogue.document is None or not places:
            return {}
        rng = rng_for(self.seed, dialogue.id)
        verdicts = await together(self._verdict(dialogue, at, fork(rng)) for at in places)
        return {"grounded_engine": sum(verdicts) / len(verdicts)}

    async def _verdict(self, dialogue: Dialogue, at: int, rng: Random) -> bool:
        request = chat(
            "groundedness",
            GROUNDED,
            GREEDY,
            24,
            role="critic",
            grammar=Grammar("json", VERDICT),
            thread=dialogue.id,
            document=dialogue.document,
            conversation=before(dialogue, at),
            turn=transcript(dialogue.turns[at : at + 1]),
        )
        return await ask(self.engine, request, lambda text: reading.json_verdict(text, "supported"), rng)
