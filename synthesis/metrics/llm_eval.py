"""LLM-Eval: four marks from 0 to 100 in one reply."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from string import Template
from typing import Any, ClassVar

from synthesis import reading
from synthesis.asking import ask, needing
from synthesis.dialogue import Dialogue
from synthesis.engine import CRITIC, Engine, Grammar
from synthesis.errors import ReadingError
from synthesis.metric import Level
from synthesis.metrics.judging import shown
from synthesis.personas import GREEDY, chat
from synthesis.recipe import rng_for

ASPECTS = {
    "content": "what is said is worth saying: sound, specific and rich",
    "grammar": "sentences are well formed",
    "relevance": "what is said belongs to the subject and to what was said before",
    "appropriateness": "tone and manner suit the situation and the people",
}

PROMPT = Template("""$shown

Mark $subject from 0 (worst) to 100 (best) in four ways:
$aspects

Answer with one JSON object that has a whole number for each of $names.""")

SUBJECT = {"dialogue": "the conversation", "turn": "the reply"}

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {name: {"type": "integer", "minimum": 0, "maximum": 100} for name in ASPECTS},
    "required": list(ASPECTS),
    "additionalProperties": False,
}


@dataclass(frozen=True, slots=True)
class LlmEval:
    """Marks for content, grammar, relevance and appropriateness, by one question with a JSON answer.

    Formula: the marks as given, greedily. Range 0 to 100, higher is better. An answer that is not the four whole
    numbers is asked for again with other seeds, and is a ReadingError after three tries.

    Source: Lin and Chen 2023, arXiv 2305.13711; the prompt is in our own words and states what each mark is for.

    Known defects: saturates (82 to 97 for every dataset in table 14 of arXiv 2312.10007); marks cluster at multiples
    of five; the four hang together since one reply gives them all; one greedy reply says nothing of the judge's doubt.

    Example: the reply {"content": 80, "grammar": 95, "relevance": 90, "appropriateness": 85} is these four numbers.
    """

    about: ClassVar[Mapping[str, str]] = {
        f"llm_eval_{name}": f"mark: {aspect}; 0 to 100, higher is better" for name, aspect in ASPECTS.items()
    }
    engine: Engine
    level: Level = "dialogue"

    async def score(self, dialogue: Dialogue) -> dict[str, float]:
        """The four marks; none for a dialogue without turns."""
        if not dialogue.turns:
            return {}
        request = chat(
            "llm_eval",
            PROMPT,
            GREEDY,
            96,
            role=CRITIC,
            grammar=Grammar("json", SCHEMA),
            thread=dialogue.id,
            shown=shown(dialogue, self.level),
            subject=SUBJECT[self.level],
            aspects="\n".join(f"- {name}: {aspect}" for name, aspect in ASPECTS.items()),
            names=", ".join(ASPECTS),
        )
        with needing("llm_eval", "a JSON grammar"):
            found = await ask(self.engine, request, marks, rng_for(0, dialogue.id))
        return {f"llm_eval_{name}": float(found[name]) for name in ASPECTS}


def marks(text: str) -> dict[str, int]:
    """The marks by aspect. Raises ReadingError for anything but all four as whole numbers from 0 to 100."""
    value = reading.json_value(text)
    if (
        not isinstance(value, dict)
        or value.keys() != ASPECTS.keys()
        or not all(type(each) is int and 0 <= each <= 100 for each in value.values())
    ):
        raise ReadingError(f"expected whole numbers from 0 to 100 for {list(ASPECTS)}, got {text[:120]!r}", text)
    return value
