"""Sorting: rows in any order go in, sorted rows come out, and memory does not grow with their number.

Sorted runs of `CHUNK` rows lie in one unnamed file, and are merged while they are read.
"""

from __future__ import annotations

import heapq
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

from synthesis.storage import disk, dump

CHUNK = 4096
_BLOCK = 1 << 15


class Sorting:
    """Rows with a text under `key`; used as a context manager, inside which it is filled and then iterated."""

    def __init__(self, folder: Path, key: str = "id", chunk: int = CHUNK) -> None:
        self._folder, self._key, self._chunk = folder, key, chunk
        self._rows: list[tuple[str, bytes]] = []
        self._runs: list[tuple[int, int]] = []  # where in the file each begins and ends

    def __enter__(self) -> Sorting:
        with disk(self._folder):
            self._folder.mkdir(parents=True, exist_ok=True)
            self._file = tempfile.TemporaryFile(dir=self._folder)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._file.close()

    def add(self, row: dict[str, Any]) -> None:
        """Takes a row. Raises StorageError when the disk refuses."""
        self._rows.append((row[self._key], dump(row).encode() + b"\n"))
        if len(self._rows) >= self._chunk:
            self._spill()

    def _spill(self) -> None:
        self._rows.sort()
        with disk(self._folder):
            begin = self._file.seek(0, os.SEEK_END)
            self._file.write(b"".join(line for _, line in self._rows))
            self._file.flush()
            self._runs.append((begin, self._file.tell()))
        self._rows = []

    def __iter__(self) -> Iterator[dict[str, Any]]:
        self._spill()
        runs = [self._run(begin, end) for begin, end in self._runs]
        return heapq.merge(*runs, key=lambda row: str(row[self._key]))

    def _run(self, begin: int, end: int) -> Iterator[dict[str, Any]]:
        rest = b""
        while begin < end:
            block = os.pread(self._file.fileno(), min(_BLOCK, end - begin), begin)
            begin += len(block)
            *lines, rest = (rest + block).split(b"\n")
            yield from map(json.loads, lines)
