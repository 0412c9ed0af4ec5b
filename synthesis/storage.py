"""Files on disk: written whole or not at all, read line by line with the place named in every complaint."""

from __future__ import annotations

import codecs
import contextlib
import csv
import errno
import hashlib
import io
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import orjson

from synthesis.errors import StorageError, UserError


@contextlib.contextmanager
def disk(path: Path) -> Iterator[None]:
    """Turns whatever the operating system says about `path` into a StorageError that names it."""
    try:
        yield
    except OSError as error:
        gone = "it was removed meanwhile: start the same command again"
        advice = gone if error.errno == errno.ENOENT else "free space or choose another folder"
        raise StorageError(f"{path}: cannot write: {error.strerror or error}; {advice}") from error


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[io.TextIOWrapper]:
    """An open text file that becomes `path` by rename when the block ends well and vanishes when it does not."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    with disk(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with disk(path), partial.open("w", encoding="utf-8", newline="\n") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        with disk(path):
            partial.replace(path)
    finally:
        with contextlib.suppress(OSError):  # a disk that refuses this as well has been reported
            partial.unlink()


def dump(value: Any) -> str:
    """`value` as one line of JSON, the same bytes for the same value."""
    return json.dumps(value, ensure_ascii=False, separators=(", ", ": "))


def write_json(path: Path, value: Any) -> None:
    """`value` as an indented JSON file, atomically."""
    with replacing(path) as stream:
        stream.write(json.dumps(value, ensure_ascii=False, indent=2) + "\n")


def write_jsonl(path: Path, rows: Iterable[Any]) -> None:
    """One JSON value a line, atomically."""
    with replacing(path) as stream:
        stream.writelines(dump(row) + "\n" for row in rows)


@contextlib.contextmanager
def readable(path: Path, what: str) -> Iterator[None]:
    """Turns whatever the operating system says about reading `path` into a UserError that names it."""
    try:
        yield
    except FileNotFoundError as error:
        raise UserError(f"{what} {path}: no such file") from error
    except OSError as error:
        raise UserError(f"{what} {path}: cannot read: {error.strerror or error}") from error


def sha256(path: Path, what: str) -> str:
    """Digest of a file, in hexadecimal. Raises UserError where it cannot be read."""
    with readable(path, what), path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def read_text(path: Path, what: str) -> str:
    """A user's text file, decoded. Raises UserError for a missing, unreadable, empty or wrongly encoded file."""
    try:
        with readable(path, what):
            text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(
            f"{what} {path}: not UTF-8 (byte {error.start}); convert it, for example with iconv"
        ) from error
    if not text.strip():
        raise UserError(f"{what} {path}: the file is empty; fill it or give another")
    return text


def read_jsonl(path: Path, what: str) -> Iterator[tuple[str, Any]]:
    """Each line's place ("file:3") and value, one line in memory at a time. Raises UserError for what is not JSON."""
    empty, start = True, 0
    with readable(path, what), path.open("rb") as lines:  # bytes: U+2028 and its like, which end text, may stand here
        for number, line in enumerate(lines, 1):
            text = line.removeprefix(codecs.BOM_UTF8) if number == 1 else line
            if text.strip():
                empty = False
                where = f"{path}:{number}"
                yield where, _value(text, where, f"{what} {path}", start)
            start += len(line)
    if empty:
        raise UserError(f"{what} {path}: the file is empty; fill it or give another")


def _value(line: bytes, where: str, file: str, start: int) -> Any:
    try:
        return orjson.loads(line)
    except ValueError:
        pass  # the standard library takes more, and says more of what it does not take
    try:
        text = line.decode()
    except UnicodeDecodeError as error:
        raise UserError(
            f"{file}: not UTF-8 (byte {start + error.start}); convert it, for example with iconv"
        ) from error
    return parse(text.rstrip("\r\n"), where)


def parse(line: str, where: str) -> Any:
    """One JSON value. Raises UserError naming the place."""
    try:
        return json.loads(line)
    except json.JSONDecodeError as error:
        raise UserError(f"{where}: not JSON: {error.msg} at column {error.colno}") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{where}: JSON beyond what can be read: {error}") from error


def read_rows(path: Path, what: str) -> Iterator[tuple[str, Any]]:
    """Place and value of each row of a .jsonl, .json (one list) or .csv file. Raises UserError for any other."""
    suffix = path.suffix.lower()
    if suffix == ".jsonl":
        return read_jsonl(path, what)
    if suffix == ".csv":
        return read_csv(path, what)
    if suffix != ".json":
        raise UserError(f"{what} {path}: expected a .jsonl, .json or .csv file")
    rows = parse(read_text(path, what), str(path))
    if not isinstance(rows, list):
        raise UserError(f"{what} {path}: got {type(rows).__name__}, expected a list of rows; JSON lines are .jsonl")
    return ((f"{path}[{number}]", row) for number, row in enumerate(rows))


def read_csv(path: Path, what: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Place ("file:3", the row's last line) and cells of each row below the header, line breaks in cells included.

    Raises UserError for what is not CSV, for a row with more cells than the header, and when there is no row.
    """
    rows = 0
    with readable(path, what), path.open(encoding="utf-8-sig", newline="") as stream:
        reader = csv.DictReader(stream, strict=True)
        try:
            for row in reader:
                rows += 1
                where = f"{path}:{reader.line_num}"
                if None in row:
                    raise UserError(f"{where}: more cells than the header has columns; quote cells that hold a comma")
                yield where, {str(key): value or "" for key, value in row.items()}
        except csv.Error as error:
            raise UserError(f"{path}:{reader.reader.line_num}: not CSV: {error}") from error
        except UnicodeDecodeError:
            read_text(path, what)  # says where
            raise
    if not rows:
        read_text(path, what)  # says if there is nothing at all
        raise UserError(f"{what} {path}: no rows below the header {reader.fieldnames}")
