"""The journal's file: replies by key in SQLite, written in groups.

Durability. A reply is handed out after its commit. Against a killed process any WAL commit holds, for the pages are
with the kernel. Against a power cut nothing holds but what the disk has confirmed, which takes as long as a dozen
commits; so it is asked every `SYNC_SECONDS`, in a thread, and by whoever is about to write what rests on the replies
(`settle`). A power cut thus costs the replies of the last tenth of a second, like those that were under way, and no
dialogue is on disk whose replies are not.

Commits run in the event loop itself, and whatever arrives while one runs shares the next. In a thread they would take
longer: a commit takes some tenths of a millisecond, and each way to a thread and back waits for the interpreter's
lock, which a busy loop holds for milliseconds.

Sharing. Processes on one machine may use the same file at once: one writes at a time, the others wait up to
`BUSY_SECONDS`. The first reply under a key stays, and everybody gets that one. WAL needs a local disk: not NFS.

Layout: an ordinary table, appended to, plus the key's index (random keys in a clustered table would split its pages).
Nothing is scanned on opening.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import time
import zlib
from pathlib import Path
from urllib.parse import quote

from synthesis.engine import Reply
from synthesis.engines.packing import pack, unpack
from synthesis.errors import JournalError, ParleyError, StorageError
from synthesis.storage import disk

APPLICATION = 0x5061724A  # "ParJ", in the file's header: tells our file from any other SQLite file
VERSION = 2
BUSY_SECONDS = 60.0
SYNC_SECONDS = 0.1
_BUSY_STEP = 0.01
_DISK = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN)

Rows = dict[str, tuple[Reply, bytes]]
"""Replies and their packed form, by key."""


class Store:
    """Replies by key (64 hexadecimal digits). `read_only`: the file must exist and is not written."""

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self.path, self._read_only = path, read_only
        self._database: sqlite3.Connection | None = None
        self._rows: Rows = {}
        self._waiting: list[tuple[str, asyncio.Future[Reply]]] = []
        self._alarm: asyncio.Handle | None = None
        self._busy_since: float | None = None
        self._commits = self._settled = 0  # the first so many commits are on the disk
        self._syncing: asyncio.Task[None] | None = None
        self._trouble: StorageError | None = None

    async def open(self) -> None:
        """Raises JournalError for a file that is no journal, StorageError for a folder that cannot be used."""
        patience = time.monotonic() + BUSY_SECONDS
        while self._database is None:
            try:
                self._database = _opened(self.path, self._read_only)
            except sqlite3.Error as error:
                # The switch to WAL does not wait for other processes by itself.
                if _code(error) != sqlite3.SQLITE_BUSY or time.monotonic() > patience:
                    raise _told(self.path, error) from error
                await asyncio.sleep(_BUSY_STEP)

    async def close(self) -> None:
        """Commits what has come, and closes the file, which then is on the disk. Raises as `settle`."""
        while self._rows:
            self._write()
            if self._rows:
                await asyncio.sleep(_BUSY_STEP)
        if self._syncing is not None:
            self._syncing.cancel()
        try:
            self.settle()
        finally:
            if self._database is not None:
                self._database.close()
            self._database = None

    def find(self, key: str) -> Reply | None:
        """The reply under `key`. Raises JournalError when it is damaged, or when the file is."""
        if self._database is None:
            raise _closed(self.path)
        try:
            return _read(self._database, self.path, key)
        except sqlite3.Error as error:
            raise _told(self.path, error) from error

    async def keep(self, key: str, reply: Reply) -> Reply:
        """Returns once the reply is in the file, or another one that was there before: then that.

        Raises StorageError or JournalError when it cannot be written, and for all that share its commit. When the
        caller is cancelled the reply is written all the same.
        """
        if self._database is None:
            raise _closed(self.path)
        if self._trouble is not None:
            raise self._trouble
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Reply] = loop.create_future()
        self._rows[key] = (reply, pack(reply))
        self._waiting.append((key, done))
        if self._alarm is None:
            self._alarm = loop.call_soon(self._write)
        return await done

    def _write(self) -> None:
        """Commits all that has come since the last time; later, while another process is writing."""
        if self._alarm is not None:
            self._alarm.cancel()
        rows, waiting, self._rows, self._waiting, self._alarm = self._rows, self._waiting, {}, [], None
        try:
            kept = self._keep(rows)
        except (sqlite3.Error, ParleyError) as error:
            if _code(error) == sqlite3.SQLITE_BUSY and self._patient():
                self._rows, self._waiting = rows, waiting
                self._alarm = asyncio.get_running_loop().call_later(_BUSY_STEP, self._write)
                return
            told = _told(self.path, error) if isinstance(error, sqlite3.Error) else error
            for _, done in waiting:
                if not done.done():  # else its caller was cancelled
                    done.set_exception(told)
            return
        for key, done in waiting:
            if not done.done():
                done.set_result(kept[key])
        self._busy_since = None
        self._commits += 1
        if self._syncing is None:
            self._syncing = asyncio.create_task(self._sync())

    async def _sync(self) -> None:
        """Sees to it that the disk has what was committed, until nothing more is."""
        while self._settled < self._commits and self._trouble is None:
            await asyncio.sleep(SYNC_SECONDS)
            commits = self._commits
            try:
                await asyncio.to_thread(_synced, self.path)
            except StorageError as error:
                self._trouble = error  # for whoever comes next
            else:
                self._settled = max(self._settled, commits)
        self._syncing = None

    def settle(self) -> None:
        """Returns when the disk has all replies that were handed out. Raises StorageError when it refuses."""
        if self._trouble is not None:
            raise self._trouble
        if self._settled < self._commits:
            _synced(self.path)
            self._settled = self._commits

    def _patient(self) -> bool:
        now = time.monotonic()
        self._busy_since = now if self._busy_since is None else self._busy_since
        return now - self._busy_since < BUSY_SECONDS

    def _keep(self, rows: Rows) -> dict[str, Reply]:
        """Writes the rows; the replies that are in the file then. Raises sqlite3.Error, and nothing is written."""
        database = self._database
        assert database is not None
        packed = [(bytes.fromhex(key), value) for key, (_, value) in rows.items()]
        try:
            database.execute("BEGIN IMMEDIATE")
            new = database.executemany("INSERT OR IGNORE INTO replies VALUES (?, ?)", packed).rowcount
            database.execute("COMMIT")
        except sqlite3.Error:
            if database.in_transaction:
                database.execute("ROLLBACK")
            raise
        if new == len(packed):
            return {key: reply for key, (reply, _) in rows.items()}
        return {key: _read(database, self.path, key) or reply for key, (reply, _) in rows.items()}


def _synced(path: Path) -> None:
    """Waits for the disk to have the log. Not a locked file: SQLite loses no lock when it is closed again."""
    with disk(path):
        log = os.open(f"{path}-wal", os.O_RDONLY)
        try:
            os.fsync(log)
        finally:
            os.close(log)


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
        connection.execute("PRAGMA busy_timeout=0")  # from now on the event loop waits, not this thread
        connection.execute("PRAGMA query_only=ON" if read_only else "PRAGMA synchronous=NORMAL")
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
    row = database.execute("SELECT reply FROM replies WHERE key = ?", (bytes.fromhex(key),)).fetchone()
    if row is None:
        return None
    try:
        return unpack(row[0])
    except (zlib.error, ValueError, TypeError) as error:
        raise JournalError(f"journal {path}: the reply under {key} is damaged ({error}). {_ANEW}") from error


_ANEW = "Move the file away and run again: all replies are then asked for anew. `sqlite3 FILE .recover` may save some"


def _code(error: Exception) -> int:
    """SQLite's primary error code; the upper bits say more than is needed here."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def _told(path: Path, error: sqlite3.Error) -> ParleyError:
    code = _code(error)
    if code in _DISK:
        return StorageError(f"journal {path}: {error}; the folder must exist, be writable and have room on its disk")
    if code == sqlite3.SQLITE_BUSY:
        return JournalError(f"journal {path}: another process kept it locked for {BUSY_SECONDS:.0f} s; stop that one")
    return JournalError(f"journal {path}: {error}. {_ANEW}")
