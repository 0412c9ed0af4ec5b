"""Speed: what a run of solid or solid-rl cost for each dialogue that it kept, out of what the run folder says."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from synthesis.dialogue import from_json
from synthesis.errors import UserError
from synthesis.storage import parse, read_jsonl, read_text
from synthesis.words import words

ONE_STEP = "one step"
"""The stage of solid-rl's one call."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one run. Requests and tokens are of all stages, seeds and dropped dialogues included; seconds are wall time.

    `one_step`: replies of solid-rl that were to be whole dialogues; `unread`: those of them that could not be read;
    `given_up`: dialogues dropped because none of their tries could be. `turns` and `words` (an utterance): means over
    kept dialogues.
    """

    seeds: int
    kept: int
    failed: int
    requests: int
    tokens_in: int
    tokens_out: int
    seconds: float
    one_step: int
    unread: int
    given_up: int
    turns: float
    words: float

    def each(self, what: str) -> float | None:
        """Requests, tokens_in, tokens_out or seconds for a kept dialogue; None where none was kept."""
        return float(getattr(self, what)) / self.kept if self.kept else None

    @property
    def failure_rate(self) -> float | None:
        """Share of the one-step replies that could not be read; None where there is none."""
        return self.unread / self.one_step if self.one_step else None


def cost(folder: Path) -> Cost:
    """Of a finished run. Raises UserError for one that is not finished.

    A run that was stopped or took replies from an earlier journal tells nothing of speed; who measures starts anew.
    """
    facts = parse(read_text(folder / "run.json", "run"), str(folder / "run.json"))
    if facts["status"] != "complete":
        raise UserError(f"{folder}: the run is {facts['status']}; finish it with the command that run.json has")
    account = folder / "seeds.stages.json"
    stages = [*facts["stages"], *parse(read_text(account, "account"), str(account))]
    dialogues = [from_json(row) for row in _rows(folder, "dialogues", facts["counts"]["kept"])]
    dropped, failed = (_rows(folder, name, facts["counts"][name]) for name in ("dropped", "failed"))
    asked = sum(stage["requests"] for stage in stages if stage["name"] == ONE_STEP)
    given_up = [row for row in dropped if row["stage"] == ONE_STEP and row["reason"].startswith("unreadable")]
    read = len(dialogues) + sum(row["stage"] not in ("seed", ONE_STEP) for row in dropped)
    # one reply was read of each that failed at its critic, and one was not had of each that failed before
    others = len(failed) + sum(row["reason"].startswith("context:") for row in dropped)
    return Cost(
        facts["counts"]["seeds"],
        len(dialogues),
        len(failed),
        sum(stage["requests"] for stage in stages),
        sum(stage["tokens_in"] for stage in stages),
        sum(stage["tokens_out"] for stage in stages),
        facts["seconds"],
        asked,
        asked - others - read if asked else 0,
        len(given_up),
        fmean(len(dialogue.turns) for dialogue in dialogues) if dialogues else 0.0,
        fmean(len(words(turn.text)) for dialogue in dialogues for turn in dialogue.turns) if dialogues else 0.0,
    )


def _rows(folder: Path, name: str, count: int) -> list[dict[str, Any]]:
    """Of a ledger, which is an empty file where nothing of its kind came to pass."""
    return [row for _, row in read_jsonl(folder / f"{name}.jsonl", name)] if count else []
