"""Sizes, distinct-n, repetition and openings in straightforward Python: what the fast ones are held against.

`python -m tests.plain_counts FILE` prints them for a file of ours, as JSON, with seconds and the peak of memory, MiB.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from synthesis.dialogue import Dialogue, from_json
from synthesis.words import ngrams, words


def plain_counts(dialogues: Iterable[Dialogue]) -> dict[str, float]:
    """What `Lexical`, `Repetition` and `Openings` say, by lists, sets and counters."""
    turns: list[int] = []
    turn_words: list[int] = []
    dialogue_words: list[int] = []
    different: dict[int, set[tuple[str, ...]]] = {1: set(), 2: set(), 3: set()}
    all_ = Counter[int]()
    shares: list[float] = []
    again = long = 0
    openings, closings = Counter[tuple[str, ...]](), Counter[tuple[str, ...]]()
    for dialogue in dialogues:
        spoken = [words(turn.text) for turn in dialogue.turns]
        if not spoken:
            continue
        turns.append(len(spoken))
        turn_words += map(len, spoken)
        dialogue_words.append(sum(map(len, spoken)))
        for n in (1, 2, 3):
            grams = [gram for each in spoken for gram in ngrams(each, n)]
            different[n].update(grams)
            all_[n] += len(grams)
            if n == 3 and grams:
                shares.append(1 - len(set(grams)) / len(grams))
        said = [tuple(each) for each in spoken if len(each) >= 4]
        long += len(said)
        again += len(said) - len(set(said))
        openings[tuple(spoken[0])] += 1
        closings[tuple(spoken[-1])] += 1
    if not turns:
        return {}
    found = {"dialogues": len(turns), "turns": len(turn_words), "words": all_[1], "vocabulary": len(different[1])}
    for name, counts in (
        ("turns_per_dialogue", turns),
        ("words_per_turn", turn_words),
        ("words_per_dialogue", dialogue_words),
    ):
        spread = (statistics.mean(counts), statistics.median(counts), min(counts), max(counts))
        found |= {
            f"{name}_{each}": value for each, value in zip(("mean", "median", "min", "max"), spread, strict=True)
        }
    found |= {f"distinct_{n}": len(different[n]) / all_[n] for n in (1, 2, 3) if all_[n]}
    found |= {"repeated_3grams": statistics.mean(shares)} if shares else {}
    found |= {"repeated_turns": again / long} if long else {}
    for name, ends in (("opening", openings), ("closing", closings)):
        found |= {f"{name}_variety": len(ends) / len(turns), f"{name}_commonest": max(ends.values()) / len(turns)}
    return found


def peak() -> float:
    """Peak resident memory of this process in MiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:"))


if __name__ == "__main__":
    begun = time.perf_counter()
    with open(sys.argv[1], encoding="utf-8") as lines:
        numbers = plain_counts(from_json(json.loads(line)) for line in lines)
    print(json.dumps({"numbers": numbers, "seconds": time.perf_counter() - begun, "peak": peak()}))
