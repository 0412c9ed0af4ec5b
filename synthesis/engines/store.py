"""The journal's file: replies by key in SQLite, written in groups by one thread.

Durability. A reply is handed out after its commit, so whatever anybody saw is in the file. Against a killed process
any WAL commit holds, for the pages are with the kernel. Against a power cut only `synchronous=FULL` holds, which waits
for the disk at each commit; dialogues written from replies that the journal then lacks would not replay, so FULL it
is. Group commit makes it cheap: all replies that arrive while one commit waits for the disk share the next.

Sharing. Processes on one machine may use the same file at once: one writes at a time, the others wait up to
`BUSY_SECONDS`. The first reply under a key stays, and everybody gets that one. WAL needs a local disk: not NFS.

Layout: an ordinary table, appended to, plus the key's index (random keys in a clustered table would split its pages).
Nothing is scanned on opening. A value is zlib (level 1) over JSON in columns, one list for all token ids, one for all
texts and so on.
"""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import time
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

from synthesis.engine import Reply, Token
from synthesis.errors import JournalError, ParleyError, StorageError

APPLICATION = 0x5061724A  # "ParJ", in the file's header: tells our file from any other SQLite file
VERSION = 1
BUSY_SECONDS = 60.0
_ROWS = 100  # in a statement
_DISK = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN)

Rows = dict[str, tuple[Reply, bytes]]
"""Replies and their packed form, by key."""


class Group:
    """Replies by key, written together: all that arrive while one `work` runs in the thread go along in the next.

    `work` takes replies, and their packed form, by key, and returns those that are kept; what it raises, every caller
    of the group gets. A cancelled caller leaves its row in the group.
    """

    def __init__(self, thread: ThreadPoolExecutor, work: Callable[[Rows], dict[str, Reply]]) -> None:
        self._thread, self._work = thread, work
        self._rows: Rows = {}
        self._waiting: list[tuple[str, asyncio.Future[Reply]]] = []
        self._running: asyncio.Future[dict[str, Reply]] | None = None

    async def __call__(self, key: str, reply: Reply) -> Reply:
        done: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._rows[key] = (reply, pack(reply))  # here, not in the thread: the two would only wait for each other
        self._waiting.append((key, done))
        if self._running is None:
            self._start()
        return await done

    async def drained(self) -> None:
        """Returns when nothing is left to write."""
        while self._running is not None:
            await asyncio.wait([self._running])

    def _start(self) -> None:
        rows, waiting, self._rows, self._waiting = self._rows, self._waiting, {}, []
        self._running = asyncio.get_running_loop().run_in_executor(self._thread, self._work, rows)
        self._running.add_done_callback(lambda ended: self._over(ended, waiting))

    def _over(self, ended: asyncio.Future[dict[str, Reply]], waiting: list[tuple[str, asyncio.Future[Reply]]]) -> None:
        self._running = None
        if self._rows:
            self._start()
        error = ended.exception()
        for key, done in waiting:
            if done.done():  # its caller was cancelled
                continue
            if error is None:
                done.set_result(ended.result()[key])
            else:
                done.set_exception(error)


class Store:
    """Replies by key (64 hexadecimal digits). `read_only`: the file must exist and is not written."""

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self.path, self._read_only = path, read_only
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="journal")
        self._writer: sqlite3.Connection | None = None
        self._reader: sqlite3.Connection | None = None
        self.keep = Group(self._thread, self._keep)

    async def open(self) -> None:
        """Raises JournalError for a file that is no journal, StorageError for a folder that cannot be used."""
        try:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._open)
        except ParleyError:
            self._thread.shutdown(wait=False)
            raise

    async def close(self) -> None:
        """Commits what is under way, and closes the file."""
        await self.keep.drained()
        await asyncio.get_running_loop().run_in_executor(self._thread, self._close)
        self._thread.shutdown()

    def find(self, key: str) -> Reply | None:
        """The reply under `key`. Raises JournalError when it is damaged, or when the file is.

        Read where it is asked for, on a connection of its own: a look into the index takes some microseconds, less
        than the way to a thread and back, and in WAL mode no writer stands in its way.
        """
        if self._reader is None:
            raise _closed(self.path)
        try:
            return _read(self._reader, self.path, key)
        except sqlite3.Error as error:
            raise _told(self.path, error) from error

    def _open(self) -> None:
        patience = time.monotonic() + BUSY_SECONDS
        while self._reader is None:
            try:
                if not self._read_only and self._writer is None:
                    self._writer = _opened(self.path, read_only=False)
                self._reader = _opened(self.path, read_only=True)
            except sqlite3.Error as error:
                # The switch to WAL does not wait for other processes by itself.
                if _code(error) != sqlite3.SQLITE_BUSY or time.monotonic() > patience:
                    self._close()
                    raise _told(self.path, error) from error
                time.sleep(0.01)

    def _close(self) -> None:
        for connection in (self._reader, self._writer):
            if connection is not None:
                connection.close()
        self._reader = self._writer = None

    def _keep(self, rows: Rows) -> dict[str, Reply]:
        database = self._writer
        if database is None:
            raise _closed(self.path)
        packed = [(bytes.fromhex(key), value) for key, (_, value) in rows.items()]
        try:
            if _insert(database, packed) == len(packed):
                return {key: reply for key, (reply, _) in rows.items()}
            return {key: _read(database, self.path, key) or reply for key, (reply, _) in rows.items()}
        except sqlite3.Error as error:
            if database.in_transaction:
                database.execute("ROLLBACK")
            raise _told(self.path, error) from error


def _insert(database: sqlite3.Connection, packed: list[tuple[bytes, bytes]]) -> int:
    """How many of the rows were new; all of them are there once this returns.

    Many rows go into one statement: the interpreter's lock is given away and won back once a statement, and beside an
    event loop that has work to do winning it takes milliseconds.
    """
    database.execute("BEGIN IMMEDIATE")
    new = 0
    for at in range(0, len(packed), _ROWS):
        some = packed[at : at + _ROWS]
        places = ", ".join(["(?, ?)"] * len(some))
        values = [value for row in some for value in row]
        new += database.execute(f"INSERT OR IGNORE INTO replies VALUES {places}", values).rowcount
    database.execute("COMMIT")
    return new


def _closed(path: Path) -> JournalError:
    return JournalError(f"journal {path}: asked while closed; use it inside `async with`")


def _opened(path: Path, read_only: bool) -> sqlite3.Connection:
    if read_only and not path.is_file():
        raise JournalError(f"journal {path}: no such file; a replay needs the journal of an earlier run")
    connection = sqlite3.connect(
        _address(path, read_only), uri=True, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
    )
    try:
        _check(connection, path, read_only)
        connection.execute("PRAGMA query_only=ON" if read_only else "PRAGMA synchronous=FULL")
    except BaseException:
        connection.close()
        raise
    return connection


def _address(path: Path, read_only: bool) -> str:
    """SQLite's URI for the file.

    A replay, too, opens it for writing where it can, to bring in what a killed run left in the WAL; where it cannot, a
    journal that was closed in order is read as it lies.
    """
    address = f"file:{quote(str(path.absolute()))}"
    if not read_only:
        return address
    if os.access(path, os.W_OK) and os.access(path.absolute().parent, os.W_OK):
        return f"{address}?mode=rw"
    wal = Path(f"{path}-wal")
    return f"{address}?mode=ro" if wal.exists() and wal.stat().st_size else f"{address}?mode=ro&immutable=1"


def _check(connection: sqlite3.Connection, path: Path, read_only: bool) -> None:
    """Makes a new file a journal, and refuses any other that is not one of this version."""
    application, version, tables = _identity(connection)
    if not (application or version or tables or read_only):
        _begin(connection, path)
        application, version, tables = _identity(connection)
    if application != APPLICATION:
        raise JournalError(f"journal {path}: an SQLite file, but not a journal of Parley; name another file")
    if version != VERSION:
        raise JournalError(
            f"journal {path}: of version {version}, this Parley reads {VERSION}; use the Parley that wrote it, or "
            "move the file away to begin anew"
        )


def _begin(connection: sqlite3.Connection, path: Path) -> None:
    """Makes an empty file a journal, unless another process did so in the meantime."""
    mode = connection.execute("PRAGMA journal_mode=WAL").fetchone()[0]
    if mode != "wal":
        raise JournalError(f"journal {path}: this file system has no shared memory for WAL; use a local disk")
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("CREATE TABLE IF NOT EXISTS replies (key BLOB PRIMARY KEY, reply BLOB NOT NULL)")
    connection.execute(f"PRAGMA application_id={APPLICATION}")
    connection.execute(f"PRAGMA user_version={VERSION}")
    connection.execute("COMMIT")


def _identity(connection: sqlite3.Connection) -> tuple[int, int, int]:
    """Application id, version and number of tables, as they stood at one moment."""
    connection.execute("BEGIN")
    try:
        application = connection.execute("PRAGMA application_id").fetchone()[0]
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        return application, version, connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    finally:
        if connection.in_transaction:
            connection.execute("COMMIT")


def _read(database: sqlite3.Connection, path: Path, key: str) -> Reply | None:
    with closing(database.execute("SELECT reply FROM replies WHERE key = ?", (bytes.fromhex(key),))) as rows:
        row = rows.fetchone()
    if row is None:
        return None
    try:
        return unpack(row[0])
    except (zlib.error, ValueError, TypeError) as error:
        raise JournalError(f"journal {path}: the reply under {key} is damaged ({error}). {_ANEW}") from error


_ANEW = "Move the file away and run again: all replies are then asked for anew. `sqlite3 FILE .recover` may save some"


def _code(error: sqlite3.Error) -> int:
    """SQLite's primary error code; the upper bits say more than is needed here."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def _told(path: Path, error: sqlite3.Error) -> ParleyError:
    code = _code(error)
    if code in _DISK:
        return StorageError(f"journal {path}: {error}; the folder must exist, be writable and have room on its disk")
    if code == sqlite3.SQLITE_BUSY:
        return JournalError(f"journal {path}: another process kept it locked for {BUSY_SECONDS:.0f} s; stop that one")
    return JournalError(f"journal {path}: {error}. {_ANEW}")


def pack(reply: Reply) -> bytes:
    """`reply` as the journal holds it. Floats and texts survive exactly."""
    row = [reply.text, reply.finish_reason, reply.tokens_in, reply.tokens_out]
    row += [_columns(reply.tokens), _columns(reply.prefill), [_columns(step) for step in reply.top_tokens]]
    # A window of 8 KB: the usual one takes longer to lay out in memory than a reply takes to be compressed.
    squeeze = zlib.compressobj(1, zlib.DEFLATED, 13, 5)
    return squeeze.compress(json.dumps(row, separators=(",", ":")).encode()) + squeeze.flush()


def unpack(value: bytes) -> Reply:
    """The reply that `pack` was given. Raises zlib.error, ValueError or TypeError for anything else."""
    text, reason, tokens_in, tokens_out, tokens, prefill, top_tokens = json.loads(zlib.decompress(value))
    steps = tuple(_rows(step) for step in top_tokens)
    return Reply(text, reason, tokens_in, tokens_out, _rows(tokens), _rows(prefill), steps)


def _columns(tokens: tuple[Token, ...]) -> list[list[Any]]:
    """Ids, texts and log-probabilities side by side, and the places of the special tokens."""
    return [
        [token.id for token in tokens],
        [token.text for token in tokens],
        [token.logprob for token in tokens],
        [place for place, token in enumerate(tokens) if token.special],
    ]


def _rows(columns: list[list[Any]]) -> tuple[Token, ...]:
    ids, texts, logprobs, special = columns
    marked = set(special)
    triples = zip(ids, texts, logprobs, strict=True)
    return tuple(Token(number, text, logprob, at in marked) for at, (number, text, logprob) in enumerate(triples))
