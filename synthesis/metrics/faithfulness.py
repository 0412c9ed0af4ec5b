"""Faithfulness to a profile: attributes that a speaker's turns support or contradict, by an NLI model or an engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from synthesis.asking import together
from synthesis.critics import faithfulness
from synthesis.dialogue import Dialogue
from synthesis.engine import Engine
from synthesis.metric import Level, judged
from synthesis.metrics.persona import Side, sides
from synthesis.nli import CONTRADICTION, ENTAILMENT, infer, likeliest
from synthesis.recipe import fork, rng_for


@dataclass(frozen=True, slots=True)
class FaithfulnessByNli:
    """Attributes that what their speaker says contradicts, and those it supports, in the judgement of an NLI model.

    Each turn of a speaker is a premise, each of their attributes a hypothesis. An attribute is contradicted when the
    likeliest class of any pair is contradiction, else supported when that of any is entailment. The numbers are shares
    of all attributes of the dialogue; at level "turn" of those of the last speaker, by the last turn alone. `nli`: Hub
    id or folder of a cross-encoder.

    Source: dialogue NLI, Welleck et al. 2019 (arXiv 1811.00671). Known defects: NLI models are trained on captions and
    essays and call neutral small talk a contradiction now and then, the more often the more turns there are; turns
    are read without those around them; a turn that quotes or asks counts as said.

    Example: of "I ski." and "I hate snow." against "I ski every winter.", labelled entailment and contradiction, half
    is supported and half is contradicted.
    """

    about: ClassVar[Mapping[str, str]] = {
        "persona_contradicted_nli": "attributes that a turn of their speaker contradicts; 0 to 1, lower is better",
        "persona_supported_nli": "attributes that a turn of their speaker entails; 0 to 1, higher shows more",
    }
    nli: str
    level: Level = "dialogue"

    async def score(self, dialogue: Dialogue) -> dict[str, float]:
        """Raises UserError for a model that cannot be loaded."""
        held = [(side, trait) for side in sides(dialogue, self.level) for trait in side.persona.traits]
        found = iter(await infer(self.nli, [(turn, trait) for side, trait in held for turn in side.own]))
        classes = [{likeliest(next(found)) for _ in side.own} for side, _ in held]
        return _shares([_label(each) for each in classes], "nli")


@dataclass(frozen=True, slots=True)
class FaithfulnessByEngine:
    """Attributes that what their speaker says contradicts, and those it supports, in the judgement of an engine.

    One greedy request a speaker asks for a label of each attribute (supported, contradicted, unmentioned) as JSON; a
    verdict that cannot be read after three tries raises. The numbers are shares of all attributes of the dialogue; at
    level "turn" of those of the last speaker, by the last turn alone. `seed` steers only the second and third try.

    Source: the faithfulness critic of arXiv 2312.10007, section 3.3, asked for each speaker and attribute, for the
    published one passes conversations in which the speakers swap profiles. Known defects: a small judge says
    "supported" to most; judges of the family that wrote the dialogue are lenient with it.

    Example: labels supported and contradicted for one speaker, unmentioned and supported for the other: 1/4 is
    contradicted, 2/4 is supported.
    """

    about: ClassVar[Mapping[str, str]] = {
        "persona_contradicted_engine": "attributes that their speaker contradicts; 0 to 1, lower is better",
        "persona_supported_engine": "attributes that follow from what their speaker says; 0 to 1, higher shows more",
    }
    engine: Engine
    level: Level = "dialogue"
    seed: int = 0

    async def score(self, dialogue: Dialogue) -> dict[str, float]:
        """Raises ReadingError, EngineError."""
        rng = rng_for(self.seed, dialogue.id)
        shown = replace(dialogue, turns=tuple(dialogue.turns[at] for at in judged(dialogue, self.level)))
        found = await together(
            faithfulness(self.engine, shown, side.speaker, side.persona.traits, fork(rng))
            for side in _with_traits(sides(dialogue, self.level))
        )
        return _shares([label for labels in found for label in labels], "engine")


def _with_traits(found: Sequence[Side]) -> list[Side]:
    return [side for side in found if side.persona.traits]


def _label(classes: set[str]) -> str:
    """What becomes of an attribute whose pairs fell into `classes`."""
    if CONTRADICTION in classes:
        return "contradicted"
    return "supported" if ENTAILMENT in classes else "unmentioned"


def _shares(labels: Sequence[str], by: str) -> dict[str, float]:
    if not labels:
        return {}
    return {f"persona_{name}_{by}": labels.count(name) / len(labels) for name in ("contradicted", "supported")}
