"""Row: one example to learn from, the source it comes from, and whether it is held out."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from synthesis.engine import Message

HELD_OUT = 50
"""One in so many dialogues, by id, is held out: 2 %."""

SAME = "#"
"""Stands in an id before what tells apart those that are held out together."""

LONGEST = 4300
"""Characters of an example: about the 1,024 tokens of the context; training leaves out what is longer."""


@dataclass(frozen=True, slots=True)
class Row:
    """`prompt`: chat, raw text, or empty for text of which all is learned; `answer`: what is to be said.

    `key` names the dialogue that the example comes from; all of a dialogue's examples are held out, or none, and so
    are all whose keys are alike up to `SAME`.
    """

    task: str
    source: str
    key: str
    prompt: tuple[Message, ...] | str
    answer: str

    @property
    def held_out(self) -> bool:
        """Whether it is for evaluation alone."""
        return held_out(self.key)

    @property
    def said(self) -> tuple[str, ...]:
        """The prompt's messages and the answer."""
        prompt = (self.prompt,) if isinstance(self.prompt, str) else tuple(text for _, text in self.prompt)
        return (*prompt, self.answer)

    @property
    def length(self) -> int:
        """Characters of prompt and answer."""
        return sum(map(len, self.said))

    def json(self) -> dict[str, Any]:
        """The row as training reads it."""
        about = {"task": self.task, "source": self.source}
        if not self.prompt:
            return {**about, "text": self.answer}
        if isinstance(self.prompt, str):
            return {**about, "prompt": self.prompt, "completion": self.answer}
        asked = [{"role": role, "content": text} for role, text in self.prompt]
        return {**about, "prompt": asked, "completion": [{"role": "assistant", "content": self.answer}]}


def held_out(key: str) -> bool:
    """Whether what comes from the dialogue of this id is for evaluation alone."""
    return share(key.partition(SAME)[0]) == 0


def share(name: str) -> int:
    """The fiftieth, from 0, that a name falls into by chance; the first is held out."""
    return zlib.crc32(name.encode()) % HELD_OUT


def asked(task: str, source: str, key: str, prompt: str, answer: str) -> Row:
    """A row of one message of the user's and the answer to it."""
    return Row(task, source, key, (("user", prompt),), answer)


def fitting(rows: Sequence[Row]) -> list[Row]:
    """Those that are not too long."""
    return [row for row in rows if row.length <= LONGEST]


def several(count: int, make: Callable[[], Row | None]) -> Iterator[Row]:
    """`count` rows out of at most eight times as many tries."""
    made = 0
    for _ in range(8 * count):
        if made == count:
            return
        row = make()
        if row and row.length <= LONGEST:
            made += 1
            yield row
