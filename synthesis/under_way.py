"""Under way: lines of a file that is being made, kept so that a killed run goes on with them.

Two files stand beside the one that they will become. `.0-of-4.under-way.jsonl` has the lines in the order in which
they came; `.0-of-4.under-way.index` opens with 32 bytes that stand for what the lines are made of, then has 16 for
each line: its place, its kind, and where it ends, which is where the next one starts. A line is on the disk before the
index tells of it, so whatever a kill or a power cut leaves, a line that both files have is whole. All others are made
again. The process that works on the two has the index locked.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from synthesis.errors import UserError
from synthesis.storage import disk

FLUSH_SECONDS = 0.5
"""A kill costs the lines of so much time at most; a flush takes some milliseconds."""
_ENTRY = struct.Struct("<IIQ")  # place, kind, end


def files(path: Path) -> tuple[Path, Path]:
    """The lines under way to `path`, and their index."""
    return path.with_name(f".{path.stem}.under-way.jsonl"), path.with_name(f".{path.stem}.under-way.index")


class Lines:
    """The lines under way to `path`. They stay there until they are removed.

    `source`: what they are made of; those that were made of something else are thrown away. `settle`: called before
    lines are on the disk, for what must be there when they are.
    """

    def __init__(self, path: Path, source: bytes, settle: Callable[[], None] = lambda: None) -> None:
        self._path, self._source, self._settle = path, hashlib.sha256(source).digest(), settle
        self._names = files(path)
        self._end = 0
        self._untold = bytearray()
        self._flushed = time.monotonic()

    def open(self) -> Iterator[tuple[int, int, int]]:
        """Place, kind and start of each line that is there, in the order in which they came.

        Raises UserError when another process has the files, StorageError when the disk refuses.
        """
        with contextlib.ExitStack() as opened, disk(self._path):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._index: IO[bytes] = opened.enter_context(self._names[1].open("a+b"))
            self._lock()
            self._lines: IO[bytes] = opened.enter_context(self._names[0].open("a+b"))
            told = self._whole()
            self._opened = opened.pop_all()
        return _starts(told)

    def close(self) -> None:
        """Leaves the files to others."""
        with contextlib.suppress(OSError):  # closing writes what is buffered; of a full disk we know by now
            self._opened.close()

    def add(self, place: int, kind: int, line: bytes) -> int:
        """Takes a line with its line feed; tells where it starts. Raises StorageError when the disk refuses."""
        start = self._end
        with disk(self._names[0]):
            self._lines.write(line)
        self._end += len(line)
        self._untold += _ENTRY.pack(place, kind, self._end)
        if time.monotonic() - self._flushed >= FLUSH_SECONDS:
            self.flush()
        return start

    def flush(self) -> None:
        """Brings all lines to the disk, then tells of them in the index. Raises StorageError when the disk refuses."""
        self._settle()
        with disk(self._names[0]):
            self._lines.flush()
            os.fsync(self._lines.fileno())
        with disk(self._names[1]):
            self._index.write(self._untold)
            self._untold.clear()
            self._index.flush()
        self._flushed = time.monotonic()

    def read(self, start: int) -> bytes:
        """The line that starts there. Raises StorageError when the disk refuses."""
        with disk(self._names[0]):
            self._lines.seek(start)
            return self._lines.readline()

    def _lock(self) -> None:
        """Raises UserError when another process is at work here, or has just finished."""
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(self._index, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(self._index.fileno()).st_nlink and not self._path.exists():
                return
        raise _busy(self._path)

    def _whole(self) -> bytes:
        """The entries that can be trusted; both files end with these from here on."""
        self._index.seek(0)
        told = self._index.read()
        head, told = told[: len(self._source)], told[len(self._source) :]
        told = told[: _ENTRY.size * self._trusted(told)] if head == self._source else b""
        self._end = _end(told, len(told) // _ENTRY.size)
        _cut(self._index, len(self._source) + len(told) if told else 0)
        if not told:
            self._index.write(self._source)
            self._index.flush()
        os.fsync(self._index.fileno())  # what is cut off must not come back when other lines are in its place
        _cut(self._lines, self._end)
        return told

    def _trusted(self, told: bytes) -> int:
        """How many entries, from the first on, tell of lines that are there."""
        count = start = 0
        for _, _, end in _ENTRY.iter_unpack(told[: len(told) - len(told) % _ENTRY.size]):
            if end <= start:
                break
            count, start = count + 1, end
        while count and os.pread(self._lines.fileno(), 1, _end(told, count) - 1) != b"\n":
            count -= 1
        return count


def check_free(path: Path) -> None:
    """Raises UserError when a process is at work on `path`."""
    index = files(path)[1]
    if not index.exists():
        return
    with disk(index), index.open("rb") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise _busy(path) from None


def _busy(path: Path) -> UserError:
    return UserError(
        f"{path}: another process is at work on it; wait until it has ended, or stop it, and start the "
        "same command again"
    )


def remove(path: Path) -> None:
    """Takes away what is under way to `path`, if anything is. Raises StorageError when the disk refuses."""
    for name in files(path):
        with disk(name):
            name.unlink(missing_ok=True)


def _starts(told: bytes) -> Iterator[tuple[int, int, int]]:
    start = 0
    for place, kind, end in _ENTRY.iter_unpack(told):
        yield place, kind, start
        start = end


def _end(told: bytes, count: int) -> int:
    """Where the last of the first `count` entries says that its line ends."""
    end: int = _ENTRY.unpack_from(told, (count - 1) * _ENTRY.size)[2] if count else 0
    return end


def _cut(stream: IO[bytes], size: int) -> None:
    stream.truncate(size)
    stream.seek(0, os.SEEK_END)  # the stream does not see by itself that its end has moved
