"""Provenance columns: with what a dialogue was made, the same in every recipe's `default` config."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath

from datasets import Value

from builders.dialogues import Column, Row
from synthesis.dialogue import Dialogue
from synthesis.errors import BuildError

_TEXT = Value("string")

COLUMNS: Mapping[str, Column] = {
    "round": Column(Value("int32"), "the round in which it was written, from 1"),
    "preset": Column(_TEXT, "preset of the recipe's settings"),
    "model": Column(_TEXT, "generator"),
    "model_revision": Column(_TEXT, "revision of the generator; null where the server names none"),
    "prompts": Column(_TEXT, "first 16 hex digits of the SHA-256 over the recipe's prompts"),
    "seed": Column(Value("int64"), "seed of the run"),
    "requests": Column(Value("int32"), "requests made for this conversation in the round that it comes from"),
    "tokens_in": Column(Value("int64"), "prompt tokens of those requests"),
    "tokens_out": Column(Value("int64"), "generated tokens of those requests"),
}


def cells(dialogue: Dialogue) -> Row:
    """The values of `COLUMNS`. Raises BuildError for a dialogue of which nobody knows how it was made."""
    origin = dialogue.origin
    if origin is None:
        raise BuildError(f"dialogue {dialogue.id} has no origin: the run that wrote it did not finish its round")
    return {
        "round": origin.round,
        "preset": origin.preset,
        "model": PurePath(origin.model).name if origin.model.startswith("/") else origin.model,
        "model_revision": origin.revision,
        "prompts": origin.prompts,
        "seed": origin.seed,
        "requests": sum(stage.requests for stage in origin.stages),
        "tokens_in": sum(stage.tokens_in for stage in origin.stages),
        "tokens_out": sum(stage.tokens_out for stage in origin.stages),
    }
