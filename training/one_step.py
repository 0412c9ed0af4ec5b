"""Training data of SOLID-RL: `python -m training.one_step SOURCE... --out FILE.jsonl [--pairs OWN]`.

SOURCE is a run folder of solid, or a file of its dialogues. Each dialogue becomes a row for training.sft: seed and
numbered plan are read, the lines of the dialogue are learned, with the weight and under the tag that its length gives
it (see quality.py). With --pairs it becomes a row for training.dpo instead: the same prompt, with solid's dialogue and
the one that the model itself wrote for it in the run OWN (`python -m synthesis solid_rl --like ...`), either of which
may be the chosen one.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter, defaultdict, deque
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from synthesis.dialogue import Dialogue, from_json
from synthesis.errors import ReadingError, UserError
from synthesis.flag_types import share, whole
from synthesis.intents import one_step
from synthesis.intents.plans import Plan
from synthesis.storage import dump, read_jsonl, write_json, write_jsonl
from training.command import told
from training.conversations import Parted, named
from training.quality import DIRECTIONS, METHODS, Rule, human_mean, quality
from training.rows import digest

Row = dict[str, Any]
TASK = "dialogues in one step"
"""What a model card says a model is meant for that learned from these rows."""


def read(source: str, left_out: Counter[str]) -> list[Dialogue]:
    """The dialogues of a run folder or .jsonl file that can be written in one step and read back.

    Raises UserError for what cannot be read, and for dialogues of another recipe.
    """
    path = Path(source) / "dialogues.jsonl" if Path(source).is_dir() else Path(source)
    found = []
    for where, row in read_jsonl(path, "dialogues"):
        dialogue = from_json(row, where)
        one_step.seed_of(dialogue)
        try:
            one_step.parse(one_step.render(dialogue.turns), Plan.of(dialogue.turns))
        except ReadingError:
            left_out["dialogues with an empty utterance or one without intents, left out"] += 1
            continue
        found.append(dialogue)
    return found


def prompt(dialogue: Dialogue, tag: str) -> list[Row]:
    """What the recipe solid_rl asks for such a dialogue, as chat."""
    text = one_step.prompt(one_step.seed_of(dialogue), Plan.of(dialogue.turns), tag)
    return [{"role": "user", "content": text}]


def completion(dialogue: Dialogue) -> list[Row]:
    """The dialogue as the model's reply."""
    return [{"role": "assistant", "content": one_step.render(dialogue.turns)}]


def weighed(dialogues: Sequence[Dialogue], rule: Rule, source: str) -> list[Row]:
    """Rows for training.sft; their weights have a mean of 1."""
    return [
        {
            "prompt": prompt(dialogue, found.tag),
            "completion": completion(dialogue),
            "weight": found.weight,
            "task": TASK,
            "source": source,
        }
        for dialogue, found in zip(dialogues, quality(dialogues, rule), strict=True)
    ]


def preferences(
    solids: Sequence[Dialogue], own: Sequence[Dialogue], chosen: str, left_out: Counter[str]
) -> Iterator[Row]:
    """Rows for training.dpo: of each seed and plan that both have, the two dialogues, if they are not the same.

    Where several of solid's have one seed and plan, the own ones are set against them in turn.
    `chosen`: whose dialogue is to be preferred, "solid" or "own". The tag is the one that the model was asked with.
    """
    by_prompt: dict[str, deque[Dialogue]] = defaultdict(deque)
    for dialogue in solids:
        by_prompt[dump(prompt(dialogue, ""))].append(dialogue)
    for dialogue in own:
        others = by_prompt.get(dump(prompt(dialogue, "")))
        if others is None:
            left_out["dialogues without a counterpart of the same seed and plan"] += 1
            continue
        other = others[0]
        others.rotate(-1)
        texts = {"solid": completion(other), "own": completion(dialogue)}
        if texts["solid"] == texts["own"]:
            left_out["pairs of equal texts"] += 1
            continue
        rejected = "own" if chosen == "solid" else "solid"
        tag = str((dialogue.goal or {}).get("quality", ""))
        yield {"prompt": prompt(dialogue, tag), "chosen": texts[chosen], "rejected": texts[rejected], "task": TASK}


def parser() -> argparse.ArgumentParser:
    """The flags."""
    made = argparse.ArgumentParser("python -m training.one_step", description=__doc__, allow_abbrev=False)
    add = made.add_argument
    add("sources", nargs="+", metavar="SOURCE", help="run folder of solid, or .jsonl of its dialogues")
    add("--out", type=Path, required=True, metavar="FILE", help="JSONL to write")
    add("--facts", type=Path, metavar="FILE", help="what went in, for the card (default: beside --out)")
    weights = made.add_argument_group("weights and tags")
    add = weights.add_argument
    add("--quality", choices=METHODS, help="how they go by length (default: bucket)")
    add("--direction", choices=DIRECTIONS, help="which length is good (default: human)")
    add(
        "--human", metavar="SOURCE", help="dialogues of people or MSDialog-Intent, whose words an utterance are wanted"
    )
    add("--human-words", type=float, metavar="X", help="the same as a number")
    add("--poor", type=share, default=0.1, metavar="W", help="bucket: weight of the poor (default: 0.1, good is 1)")
    add("--rate", type=float, default=1.0, metavar="R", help="exp: how fast the weight falls (default: 1)")
    add("--held-out", type=share, default=0.0, metavar="X", help="share of the documents to put aside for --eval-out")
    add("--eval-out", type=Path, metavar="FILE", help="JSONL with the examples about these documents")
    add("--seed", type=whole, default=0, metavar="S", help="of that draw (default: 0)")
    pairs = made.add_argument_group("preferences")
    pairs.add_argument("--pairs", metavar="OWN", help="run folder or .jsonl of what the model itself wrote")
    pairs.add_argument("--chosen", choices=("solid", "own"), help="whose is preferred (default: solid)")
    return made


def main(argv: Sequence[str] | None = None) -> None:
    flags = parser().parse_args(argv)
    _check(flags)
    left_out: Counter[str] = Counter()
    dialogues = [dialogue for source in flags.sources for dialogue in read(source, left_out)]
    aside: list[Row] = []
    about: Row
    if flags.pairs:
        chosen = flags.chosen or "solid"
        made = list(preferences(dialogues, read(flags.pairs, left_out), chosen, left_out))
        about = {"chosen": chosen, "own": named(flags.pairs)}
    else:
        human = human_mean(flags.human) if flags.human else flags.human_words
        rule = Rule(flags.quality or "bucket", flags.direction or "human", human, flags.poor, flags.rate)
        held_out = flags.held_out
        parted = Parted.of([dialogues], held_out, 0.0, flags.seed) if held_out else Parted([dialogues], [], [])
        (kept,), put_aside = parted.learned, parted.held_out
        source = "+".join(map(named, flags.sources))
        made, aside = weighed(kept, rule, source), weighed(put_aside, rule, source)
        tags = Counter(found.tag or "none" for found in quality(kept, rule))
        about = {"quality": asdict(rule), "tags": dict(tags), "held_out": len(put_aside)}
    _write(flags, made, aside, left_out)
    data = {"source": "+".join(map(named, flags.sources)), "dialogues": len(dialogues), "examples": len(made)}
    facts = {"data": [data | {"sha256": digest(map(dump, made))}], **about, "left_out": dict(left_out)}
    write_json(flags.facts or flags.out.with_suffix(".facts.json"), facts)


def _check(flags: argparse.Namespace) -> None:
    """Raises UserError for flags that say nothing together."""
    if flags.pairs and (flags.quality or flags.direction or flags.human or flags.human_words or flags.held_out):
        raise UserError(
            "--pairs makes preferences, which have no weights: leave out --quality and its kin, --held-out"
        )
    if flags.chosen and not flags.pairs:
        raise UserError("--chosen says whose dialogue of a pair is preferred: give the model's own with --pairs OWN")
    if bool(flags.held_out) != bool(flags.eval_out):
        raise UserError("--held-out X goes with --eval-out FILE: what is put aside has to be written somewhere")
    if flags.human and flags.human_words:
        raise UserError("--human counts the words of people's dialogues and --human-words gives them: give one")


def _write(flags: argparse.Namespace, made: Sequence[Row], aside: Sequence[Row], left_out: Counter[str]) -> None:
    words = ", ".join(f"{number} {what}" for what, number in left_out.items()) or "nothing was left out"
    what = "pairs" if flags.pairs else "examples"
    if not made:
        raise UserError(f"{flags.out}: no {what} came of {', '.join(flags.sources)}: {words}")
    write_jsonl(flags.out, made)
    if flags.eval_out:
        write_jsonl(flags.eval_out, aside)
    print(f"{flags.out}: {len(made)} {what}; {words}")


if __name__ == "__main__":
    sys.exit(told(main))
