"""GPTScore: the probability that a model says yes when asked whether a dialogue has a quality."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import exp
from statistics import fmean
from string import Template
from typing import Literal

from synthesis import likelihood
from synthesis.asking import together
from synthesis.dialogue import Dialogue
from synthesis.engine import CRITIC, Engine
from synthesis.errors import ReadingError, Unsupported
from synthesis.metric import Level
from synthesis.metrics.judging import enough, first_token, masses, shown
from synthesis.personas import GREEDY, chat

DIALOGUE = {
    "coherent": "Does every turn of the conversation follow from what was said before?",
    "diverse": "Do the speakers vary what they say instead of repeating it?",
    "flexible": "Do the speakers go along when the other one brings up something new?",
    "understanding": "Do the speakers understand what the other one means?",
    "inquisitive": "Do the speakers ask about each other?",
    "consistent": "Is the conversation free of statements that contradict each other?",
    "informative": "Does one learn something from the conversation?",
    "likeable": "Are the speakers pleasant people to talk with?",
    "depth": "Does the conversation go into its subject in depth?",
    "error_recovery": "Are misunderstandings, where there are any, cleared up?",
}
TURN = {
    "interesting": "Is the reply interesting?",
    "engaging": "Does the reply make one want to go on talking?",
    "specific": "Does the reply fit this conversation only, instead of nearly any?",
    "relevant": "Is the reply about what was being said?",
    "correct": "Is what the reply says true, as far as one can tell?",
    "semantically_appropriate": "Is the reply something that one would say at this point?",
    "understandable": "Is it clear what the reply means?",
    "fluent": "Is the reply good, natural language?",
}

PLAIN = Template("Question: $question Answer Yes or No.\n\n$shown\n\nAnswer:")
CHAT = Template("$shown\n\nQuestion: $question Answer with Yes or No alone.")


@dataclass(frozen=True, slots=True)
class GptScore:
    """Probability of Yes as the answer to a yes/no question about the dialogue, or about its last turn.

    Formula: form "normalised" (default) P(yes) / (P(yes) + P(no)); form "published" P(yes). Range 0 to 1, higher is
    better. `gptscore_share` is P(yes) + P(no), the mean over the questions: how much of a verdict there was.

    `how`: "tokens" asks in a chat message and reads the `top_n` likeliest first tokens of the reply, all casings and
    leading spaces of a word added; a word that is not among them counts as 0, and where both words together have less
    than `least_share` a ReadingError is raised. "prompt" sends question, dialogue and "Answer:" as plain text, as
    published, and reads the probabilities of " Yes" and " No" after it from the prompt's: exact however small, for
    three requests a question. "auto" is "tokens", and "prompt" where the endpoint has no `top_n_tokens`.

    Source: Fu et al. 2023, arXiv 2302.04166, as a yes/no question the way DiaSynth has it (arXiv 2409.19020); ten
    questions about dialogues, eight about turns, in our own words. "tokens" puts the dialogue first, so that a server
    reads it once for all questions.

    Known defects: the published form is mostly the model's habit of answering in this form at all (values of .01 to
    .06 in DiaSynth's table 3), and orders models by that habit; the normalised form keeps only which of the two words
    is likelier, and leans towards yes. The two ways to ask are different questions to a model and do not compare.

    Example: first tokens "Yes" .6, " yes" .15, "No" .2, "Well" .04: published .75, normalised .75 / .95, share .95.
    """

    engine: Engine
    level: Level = "dialogue"
    form: Literal["normalised", "published"] = "normalised"
    how: Literal["auto", "tokens", "prompt"] = "auto"
    top_n: int = 5
    least_share: float = 0.5

    @property
    def about(self) -> Mapping[str, str]:
        meaning = (
            "P(yes) / (P(yes) + P(no))" if self.form == "normalised" else "P(yes), mostly a habit of form (defect)"
        )
        each = {
            self._name(name): f"{meaning}: {question} 0 to 1, higher is better"
            for name, question in self._questions.items()
        }
        return each | {self._name("share"): "P(yes) + P(no), mean over the questions; 0 to 1, higher is surer reading"}

    async def score(self, dialogue: Dialogue) -> dict[str, float]:
        """A number for each question, and the share; none for a dialogue without turns."""
        if not dialogue.turns:
            return {}
        found = await together(self._answer(dialogue, question) for question in self._questions.values())
        scores = {
            self._name(name): yes / (yes + no) if self.form == "normalised" else yes
            for name, (yes, no) in zip(self._questions, found, strict=True)
        }
        return scores | {self._name("share"): fmean(yes + no for yes, no in found)}

    async def _answer(self, dialogue: Dialogue, question: str) -> tuple[float, float]:
        """P(yes) and P(no), not both 0."""
        if self.how == "prompt":
            return await self._by_prompt(dialogue, question)
        try:
            return await self._by_tokens(dialogue, question)
        except Unsupported:
            if self.how == "tokens":
                raise
            return await self._by_prompt(dialogue, question)

    async def _by_tokens(self, dialogue: Dialogue, question: str) -> tuple[float, float]:
        given = shown(dialogue, self.level)
        request = chat("gptscore", CHAT, GREEDY, 1, role=CRITIC, thread=dialogue.id, shown=given, question=question)
        tokens = await first_token(self.engine, request, self.top_n)
        found = masses(tokens, ("yes", "no"))
        enough(found.values(), self.least_share, "gptscore", tokens, "Raise top_n, or use how='prompt'")
        return found["yes"], found["no"]

    async def _by_prompt(self, dialogue: Dialogue, question: str) -> tuple[float, float]:
        text = PLAIN.substitute(shown=shown(dialogue, self.level), question=question)
        both = await likelihood.continuations(self.engine, text, (" Yes", " No"), "gptscore", dialogue.id)
        yes, no = (exp(each.logprob) for each in both)
        if not yes + no:
            raise ReadingError(f"gptscore: neither Yes nor No has any probability after {text[-40:]!r}", text)
        return yes, no

    @property
    def _questions(self) -> Mapping[str, str]:
        return DIALOGUE if self.level == "dialogue" else TURN

    def _name(self, quality: str) -> str:
        return f"gptscore_{quality}" if self.form == "normalised" else f"gptscore_published_{quality}"
