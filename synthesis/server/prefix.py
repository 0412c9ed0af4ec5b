"""Prompts already read: their keys and values in blocks, reused by prompts that begin alike.

Critics ask many questions about one conversation; every such prompt shares all but its end. A block holds 16 tokens
and is found by the block before it and its own tokens, so equal beginnings are stored once; what an adapter read is
known to that adapter alone. In a conversation a turn finds the history of the last one, all but its newest reply: only
prefilled blocks are kept, never generated ones, since a token stepped alone differs in its last bits from the same
token read in a tile, and a reply would then depend on who had asked before. So a block has the same bits whoever
computed it. Least recently used blocks go first.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

BLOCK = 16
Key = tuple[int, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class Block:
    """`number`, from 1, names this block as a parent; `data` is what the cache keeps of BLOCK positions."""

    number: int
    data: Tensor


class PrefixCache:
    """Blocks of prompts, at most `limit` bytes of them; 0 turns reuse off."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._blocks: OrderedDict[Key, Block] = OrderedDict()
        self._bytes = 0
        self._last = 0

    def __len__(self) -> int:
        return len(self._blocks)

    def find(self, prompt: Sequence[int], adapter: int = 0) -> tuple[list[Block], Key | None]:
        """The known blocks that `prompt` begins with, and the key of the first block missing (None: no whole block).

        At least the last token is left to compute, since its logits are wanted.
        """
        keys: list[Key] = []
        found: list[Block] = []
        parent = -adapter
        missing: Key | None = None
        if self._limit:
            for start in range(0, len(prompt) - BLOCK, BLOCK):
                key = (parent, tuple(prompt[start : start + BLOCK]))
                block = self._blocks.get(key)
                if block is None:
                    missing = key
                    break
                keys.append(key)
                found.append(block)
                parent = block.number
        self._touch(keys)
        return found, missing

    def _touch(self, keys: list[Key]) -> None:
        """Mark as used, the beginning last: a block must not go before those that build on it."""
        for key in reversed(keys):
            self._blocks.move_to_end(key)

    def store(self, prompt: Sequence[int], keep: Callable[[int, int], Tensor], adapter: int = 0) -> None:
        """Keep a prompt's whole blocks; `keep` copies what its slot holds from a position to another."""
        if not self._limit:
            return
        keys: list[Key] = []
        parent = -adapter
        for start in range(0, len(prompt) - BLOCK + 1, BLOCK):
            key = (parent, tuple(prompt[start : start + BLOCK]))
            block = self._blocks.get(key)
            if block is None:
                self._last += 1
                block = Block(self._last, keep(start, start + BLOCK))
                self._blocks[key] = block
                self._bytes += block.data.nbytes
            keys.append(key)
            parent = block.number
        self._touch(keys)
        while self._bytes > self._limit:
            _, oldest = self._blocks.popitem(last=False)
            self._bytes -= oldest.data.nbytes
