"""What the scheduler asks of a model, in whichever way it computes: `model`, and by transformers `general`, `alone`.

A model reads prompts into slots of a room of its own making, and steps the sequences in them. Logits come as float32
on the CPU. The same sequence gives the same bits alone, in any company, and after a reused beginning.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, TypeVar

from synthesis.server.model import Part

if TYPE_CHECKING:
    from torch import Tensor


class Room(Protocol):
    """What running sequences have left behind, in slots 0, 1, ...; a new one takes the first free slot."""

    def fit(self, longest: int, used: int) -> None:
        """Make room for `longest` tokens a slot, keeping the first `used` slots."""

    def open(self, slot: int, length: int) -> None:
        """Clear a slot for a prompt of `length` tokens."""

    def move(self, source: int, target: int) -> None:
        """Put the sequence of one slot into another."""

    def close(self, slot: int) -> None:
        """Leave a slot empty."""

    def keep(self, slot: int, start: int, stop: int) -> Tensor:
        """A copy of what a slot holds at positions `start` to `stop`; asked only of models that reuse."""

    def put(self, slot: int, blocks: Sequence[Tensor]) -> None:
        """Begin a slot with what `keep` gave, one after the other."""


RoomT = TypeVar("RoomT")


class Model(Protocol[RoomT]):
    """A loaded model. `path` is how it computes; `reuses`: whether a read prompt can be the beginning of another."""

    path: str
    reuses: bool

    def room(self, slots: int) -> RoomT:
        """A room for so many running sequences."""

    def prefill(self, parts: Sequence[Part], cache: RoomT) -> list[Tensor]:
        """Read prompts into their slots; logits of each part's last position, or of all its positions."""

    def ahead(self, place: int) -> int:
        """How many guessed tokens a step may read behind the newest one, which is at `place`."""

    def decode(
        self, tokens: Sequence[Sequence[int]], positions: Sequence[int], cache: RoomT, adapters: Sequence[int] = ()
    ) -> Tensor:
        """One step for the sequences in slots 0, 1, ...: logits [rows, vocabulary], a row for each of their tokens.

        `tokens`: the newest of each, at its position, and guesses at what follows it.
        """
