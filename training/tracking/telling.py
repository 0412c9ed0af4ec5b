"""What the reports of experiments with trackers have in common: tables, numbers, sentences, what is said of a run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from training.coverage import Spread
from training.tracking.results import Gap
from training.tracking.scorers import SCORERS

KINDS = {
    "write": "generating dialogues",
    "examples": "making examples",
    "replace": "replacing the domain",
    "train": "training",
    "predict": "predicting",
    "score": "scoring",
}
UNLIKE_THE_PAPER = (
    "What differs from the paper (arXiv 2405.13037), whose trackers are Llama-2 of 7B parameters and whose dialogues "
    "GPT-4 wrote: the student has some million parameters; it reads its own last state and two turns and writes what "
    "changes, where the paper's reads the dialogue and writes the state; the words of the generated dialogues are put "
    "together of phrases that ship with the recipe; their goals are drawn from schema and database, where the "
    "published ones are those of real training dialogues; there are fewer dialogues; seeds and intervals are told. "
    "Numbers here are no reproduction of the paper's and cannot be held against them."
)


def points(spread: Spread) -> str:
    """Mean and deviation of a share, in points of 100."""
    return f"{100 * spread.mean:.1f}" + (f" ± {100 * spread.sd:.1f}" if spread.sd is not None else "")


def ends(low: float, high: float, sign: str = "") -> str:
    """Of an interval, in points of 100."""
    return f"{100 * low:{sign}.1f} to {100 * high:{sign}.1f}"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """As Markdown."""
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    yield from (f"| {' | '.join(row)} |" for row in rows)


def gap_row(gap: Gap) -> list[str]:
    """Difference, interval, p, seeds won."""
    by = gap.by_turns
    return [f"{100 * by.value:+.1f}", ends(by.low, by.high, "+"), f"{by.p:.3f}", f"{gap.won} of {gap.seeds}"]


GAP_HEAD = ("difference", "95 % interval", "p", "seeds won")


def verdict(gap: Gap) -> str:
    """What the interval lets one say of a difference."""
    by = gap.by_turns
    words = f"{100 * by.value:+.1f} points of joint goal accuracy by {gap.first.scorer}, "
    if by.low > 0 or by.high < 0:
        return words + f"{'better' if by.value > 0 else 'worse'}; the interval leaves out 0."
    return words + "no difference that these test dialogues could show: the interval holds 0."


def sourced(plan: Mapping[str, Any]) -> Iterator[str]:
    """Where the dialogues come from that stand for people's."""
    if plan["human"] is None:
        yield (
            "**No dialogue of people is in this.** There was none at hand: other dialogues of the recipe itself stand "
            "for people's (another seed, more references, vague openers and vain wishes). It shows that everything "
            "works; it says nothing about trackers of what people say.\n"
        )
        return
    name = Path(plan["human"])
    known = "MultiWOZ 2.1's validation split (Eric et al. 2020, arXiv 1907.01669), " if _multiwoz(name) else ""
    yield f"Real dialogues: {known}`{name.name}`. No dialogue is in two parts.\n"


def _multiwoz(path: Path) -> bool:
    return path.name == "val.json.zip" and path.parent.name == "multiwoz"


def scored(scorers: Sequence[str]) -> str:
    """What the scorers' names mean."""
    return "Scorers: " + "; ".join(f"`{name}`, {SCORERS[name].about}" for name in scorers) + "."


def student(plan: Mapping[str, Any]) -> str:
    """What learns."""
    if plan["student"] == "embedded":
        return "the model of 5.9M parameters that ships with Parley, which knows dialogue but no states"
    return "a model of 1.3M parameters with random weights"


def epochs(count: int) -> str:
    """How often examples were read, in words."""
    return f"{count} epoch" + ("s" if count != 1 else "")


def costs(seconds: Mapping[str, float]) -> str:
    """How long it took, by kind of step."""
    told = ", ".join(f"{KINDS.get(kind, kind)} {spent / 60:.0f}" for kind, spent in seconds.items())
    return f"All steps together took {sum(seconds.values()) / 60:.0f} minutes of one thread: {told}."


def cautions(plan: Mapping[str, Any]) -> Iterator[str]:
    """What a reader must know before the first number."""
    if plan["quick"]:
        yield "**A quick run: it shows that everything works, its numbers mean nothing.**\n"
    if len(plan["seeds"]) == 1:
        yield "One seed: there is no deviation, and nothing here tells what another seed would bring.\n"
