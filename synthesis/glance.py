"""Glance: what run.json says of the kept dialogues, from a sample of them, so that memory does not grow with a run."""

from __future__ import annotations

from pathlib import Path

SAMPLE = 1000


def glance(folder: Path, size: int = SAMPLE) -> dict[str, float]:
    """Cheap metrics of `size` of the dialogues that a run has kept, always the same ones; of all, if there are fewer.

    Their number is among them: distinct-n and its like compare between equal numbers of dialogues only. Nothing where
    none was kept.
    """
    from synthesis import outcomes
    from synthesis.dialogue import from_json
    from synthesis.metrics.compression import Compression
    from synthesis.metrics.lexical import Lexical
    from synthesis.metrics.persona import PersonaUse
    from synthesis.metrics.variety import Openings, Repetition
    from synthesis.sample import drawn
    from synthesis.spoken import counted, texts_of

    path = folder / "dialogues.jsonl"
    some = drawn((from_json(row, str(path)) for row in outcomes.read(path)), size, 0)
    counts = counted((Lexical(), Repetition(), Openings()), texts_of(some))
    return {**counts, **Compression()(some), **PersonaUse()(some)}
