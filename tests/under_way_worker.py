"""A process that adds lines to what is under way to a file, and prints how many are safe; made to be killed.

`python -m tests.under_way_worker PATH`: goes on from the line after the last that it finds.
"""

from __future__ import annotations

import itertools
import os
import sys
from pathlib import Path

from synthesis.under_way import Lines


def line(place: int) -> bytes:
    """The line of a place: some more than a kilobyte, so that buffers are written in the midst of it."""
    return f"line {place} ".encode() + b"x" * (1000 + place % 500) + b"\n"


def main(path: Path) -> None:
    """Never ends."""
    lines = Lines(path, b"worker")
    there = [place for place, _, _ in lines.open()]
    for place in itertools.count(len(there)):
        lines.add(place, 1, line(place))
        if place % 10 == 0:
            lines.flush()
            os.write(1, f"{place + 1}\n".encode())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
