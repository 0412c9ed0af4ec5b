"""Contents: what a user gives by a path, as run.json tells it: by name and digest, so that it may lie elsewhere."""

from __future__ import annotations

import hashlib
from pathlib import Path

from synthesis.storage import sha256

_DIGITS = 16  # of the SHA-256, in hexadecimal


def is_local(source: str) -> bool:
    """Whether there is such a file or folder; a folder may go on with config and split, `name:config:split`."""
    return Path(source).exists() or Path(source.partition(":")[0]).is_dir()


def named(source: Path) -> str:
    """What the source is called without the folders that lead there."""
    return source.absolute().name


def digested(source: Path) -> str:
    """Name and digest of a file, or of the names and contents of all files in a folder.

    Raises UserError for what is not there or cannot be read.
    """
    folder = source if source.is_dir() else Path(str(source).partition(":")[0])
    if not source.is_file() and folder.is_dir():
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        lines = (f"{path.relative_to(folder).as_posix()}\0{sha256(path, 'file')}\n" for path in files)
        digest = hashlib.sha256("".join(lines).encode()).hexdigest()
    else:
        digest = sha256(source, "file")
    return f"{named(source)} sha256:{digest[:_DIGITS]}"
