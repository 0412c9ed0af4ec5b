"""The dialogues that the embedded model never learned from: as they were said, and as parts with two profiles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from synthesis.dialogue import Dialogue, Persona, Turn
from synthesis.errors import UserError
from synthesis.reading import USERS
from training.embedded import persona_chat
from training.embedded.corpus import CASUAL
from training.embedded.row import held_out
from training.embedded.spc import shipped
from training.embedded.talks import Told, frequent, talks, told


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a held-out talk of two, and what is true of each: `profiles` of User 1, who opens, and User 2."""

    id: str
    source: str
    profiles: tuple[tuple[str, ...], tuple[str, ...]]
    turns: tuple[str, ...]

    def dialogue(self, turns: Sequence[Turn] | None = None) -> Dialogue:
        """The talk as people had it, or other `turns` under the same profiles."""
        said = [Turn(USERS[at % 2], text) for at, text in enumerate(self.turns)] if turns is None else turns
        users = tuple(Persona(f"{self.id}-{at}", traits) for at, traits in enumerate(self.profiles, 1))
        return Dialogue(self.id, tuple(said), users)


@dataclass(frozen=True, slots=True)
class HeldOut:
    """`told`: all dialogues, as the corpus has them; `parts`: the casual ones that profiles could be found for."""

    told: tuple[Told, ...]
    parts: tuple[Part, ...]


def read(corpus: Path, seed: int) -> HeldOut:
    """What is held out of a corpus file, by the rule that training goes by; chance of each part by `seed` and its id.

    Of talks with given profiles, one of the two profiles is in nothing learned; the other may be, and single traits.

    Raises UserError for a file of another kind, and for one in which nothing is held out.
    """
    found = tuple(each for each in told(corpus) if held_out(each.id))
    casual = list(talks(found, CASUAL, shipped("spc_names.txt")))
    spare, common = [fact for talk in casual for side in talk.facts for fact in side], frequent(casual)
    parts = []
    for talk in casual:
        kept = persona_chat.kept(talk, spare, common, Random(f"{seed}:{talk.id}"))
        if kept:
            (first, second), turns = kept
            parts.append(Part(talk.id, talk.source, (tuple(first), tuple(second)), turns))
    if not parts:
        raise UserError(
            f"--corpus {corpus}: none of its {len(found)} held-out dialogues is a talk of two with profiles; give the "
            "corpus that the model was trained on"
        )
    return HeldOut(found, tuple(parts))


def drawn(parts: Sequence[Part], most: int, seed: int) -> list[Part]:
    """At most so many parts, from every source alike as far as there are enough, by chance but always the same."""
    rng = Random(f"parts:{seed}")
    by_source: dict[str, list[Part]] = {}
    for part in parts:
        by_source.setdefault(part.source, []).append(part)
    queues = [rng.sample(found, len(found)) for _, found in sorted(by_source.items())]
    chosen: list[Part] = []
    while len(chosen) < most and any(queues):
        chosen += [queue.pop() for queue in queues if queue][: most - len(chosen)]
    return chosen
