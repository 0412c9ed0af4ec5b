"""Profile identification: can a sentence encoder tell from a speaker's turns which profile is theirs?"""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, ClassVar

from synthesis.dialogue import Dialogue
from synthesis.encoder import OFFLINE, encode
from synthesis.errors import UserError
from synthesis.metrics.persona import sides

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Profile = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Speaker:
    """Whose profile is looked for: a key that chance hangs on, what they say, and what they say it of."""

    key: str
    turns: tuple[str, ...]
    profile: Profile


@dataclass(frozen=True, slots=True)
class ProfileIdentification:
    """A speaker's own profile among `k`, the others drawn from the same dialogues, picked by the sentence encoder.

    A profile fits a speaker by the mean over its attributes of the highest cosine with any turn; the own profile's
    rank is one plus the number of others that fit at least as well (a tie counts against it). Accuracy is the share of
    speakers whose own profile is first, reciprocal rank the mean of 1/rank. Distractors share no attribute with the
    own profile and are fewer than `k` - 1 where there are no more; a speaker without any is left out. Chance is the
    mean of 1/n and of (1 + 1/2 + … + 1/n)/n for n candidates. `sample`: speakers measured, drawn by `seed` and id.

    Source: after the profile extraction of arXiv 2312.10007 (table 13) and its choice among 20 candidates; 25
    attributes there, whole profiles here, and the fit is ours. Known defects: recital is the easiest way to be
    recognised, so read it beside `persona_verbatim`; it compares only under one encoder and one `k`.

    Example: of two speakers with cosines of own and other profile (0.9, 0.4) and (0.3, 0.5), one is first and one
    second: accuracy 1/2 and reciprocal rank (1 + 1/2)/2 = 3/4, by chance 1/2 and 3/4.
    """

    about: ClassVar[Mapping[str, str]] = {
        "profile_speakers": "speakers whose profile was looked for",
        "profile_accuracy": "speakers whose own profile fits best of 20; 0 to 1, higher is better",
        "profile_accuracy_chance": "the same for a blind choice",
        "profile_reciprocal_rank": "mean of 1/rank of the own profile; above 0 to 1, higher is better",
        "profile_reciprocal_rank_chance": "the same for a blind order",
    }
    k: int = 20
    sample: int = 200
    encoder: str = OFFLINE
    seed: int = 0

    def __post_init__(self) -> None:
        if self.k < 2 or self.sample < 1:
            raise UserError(
                f"profile identification needs at least 2 candidates and 1 speaker, got k={self.k}, "
                f"sample={self.sample}"
            )

    def __call__(self, dialogues: Iterable[Dialogue]) -> dict[str, float]:
        profiles: set[Profile] = set()
        chosen = heapq.nsmallest(self.sample, self._speakers(dialogues, profiles), key=lambda speaker: speaker.key)
        ordered = sorted(profiles)
        tasks = [(speaker, others) for speaker in chosen if (others := self._distractors(speaker, ordered))]
        vectors = self._vectors(tasks)
        return _numbers([(_rank(speaker, others, vectors), 1 + len(others)) for speaker, others in tasks])

    def _speakers(self, dialogues: Iterable[Dialogue], profiles: set[Profile]) -> Iterator[_Speaker]:
        """Every speaker with a profile; `profiles` collects all of them on the way."""
        for dialogue in dialogues:
            for side in sides(dialogue):
                profile = tuple(sorted(set(side.persona.traits)))
                if profile:
                    profiles.add(profile)
                    key = hashlib.sha256(f"{self.seed}:{dialogue.id}:{side.speaker}".encode()).hexdigest()
                    yield _Speaker(key, side.own, profile)

    def _distractors(self, speaker: _Speaker, profiles: Sequence[Profile]) -> list[Profile]:
        others = [profile for profile in profiles if set(profile).isdisjoint(speaker.profile)]
        return Random(speaker.key).sample(others, min(self.k - 1, len(others)))

    def _vectors(self, tasks: Sequence[tuple[_Speaker, Sequence[Profile]]]) -> dict[str, NDArray[np.float32]]:
        texts: set[str] = set()
        for speaker, others in tasks:
            texts.update(speaker.turns, speaker.profile, *others)
        ordered = sorted(texts)
        return dict(zip(ordered, encode(ordered, self.encoder), strict=True))


def _rank(speaker: _Speaker, others: Iterable[Profile], vectors: Mapping[str, NDArray[np.float32]]) -> int:
    """The place of the own profile, from 1."""
    import numpy as np

    said = np.stack([vectors[turn] for turn in speaker.turns])

    def fit(profile: Profile) -> float:
        return float((np.stack([vectors[trait] for trait in profile]) @ said.T).max(axis=1).mean())

    own = fit(speaker.profile)
    return 1 + sum(fit(other) >= own for other in others)


def _numbers(placed: Sequence[tuple[int, int]]) -> dict[str, float]:
    """The metric's numbers from (rank of the own profile, candidates) of each speaker."""
    if not placed:
        return {}
    count = len(placed)
    return {
        "profile_speakers": count,
        "profile_accuracy": sum(rank == 1 for rank, _ in placed) / count,
        "profile_accuracy_chance": sum(1 / among for _, among in placed) / count,
        "profile_reciprocal_rank": sum(1 / rank for rank, _ in placed) / count,
        "profile_reciprocal_rank_chance": sum(
            sum(1 / rank for rank in range(1, among + 1)) / among for _, among in placed
        )
        / count,
    }
