"""Natural language inference by a cross-encoder: does a premise entail a hypothesis, or contradict it?"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from synthesis.errors import UserError

ENTAILMENT, CONTRADICTION = "entailment", "contradiction"
_OPENINGS = {"entail": ENTAILMENT, "contradict": CONTRADICTION}

_ONE_AT_A_TIME = threading.Lock()  # questions come side by side; the model is loaded once and used in turn


async def infer(model: str, pairs: Sequence[tuple[str, str]]) -> list[dict[str, float]]:
    """Probability of each class, by name, for each (premise, hypothesis).

    `model`: Hub id or folder of a cross-encoder. Raises UserError when it cannot be loaded, or lacks one of the
    classes "entailment" and "contradiction"; its other classes keep their own names.
    """
    return await asyncio.to_thread(_infer, model, pairs) if pairs else []


def likeliest(inference: Mapping[str, float]) -> str:
    """The class of highest probability."""
    return max(inference, key=inference.__getitem__)


@cache
def _cross_encoder(name: str) -> Any:
    try:
        from sentence_transformers import CrossEncoder
    except ImportError as error:
        raise UserError("an NLI model needs the extra `embed`: pip install -e '.[embed]'") from error
    try:
        return CrossEncoder(name)
    except (OSError, ValueError) as error:
        raise UserError(
            f"--nli {name!r}: cannot be loaded: {error}; give a Hub id or folder of a cross-encoder "
            "with the classes entailment and contradiction"
        ) from error


def _infer(name: str, pairs: Sequence[tuple[str, str]]) -> list[dict[str, float]]:
    with _ONE_AT_A_TIME:
        model = _cross_encoder(name)
        classes = [_class(text.lower()) for _, text in sorted(model.model.config.id2label.items())]
        for wanted in (ENTAILMENT, CONTRADICTION):
            if classes.count(wanted) != 1:
                raise UserError(f"--nli {name!r}: has classes {classes}, expected one {wanted!r}")
        scores = model.predict(list(pairs), apply_softmax=True, show_progress_bar=False)
    return [dict(zip(classes, row.tolist(), strict=True)) for row in scores]


def _class(text: str) -> str:
    return next((name for opening, name in _OPENINGS.items() if text.startswith(opening)), text)
