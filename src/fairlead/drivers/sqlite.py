"""The log of a cluster's writes in one SQLite file: every acknowledged entry survives a kill -9.

One writer thread, one transaction for all appends that wait (group commit), WAL with synchronous=FULL. Each value is
stored once, in `event`; `current` points at the newest entry of each object. Nothing here understands an object.
"""

from __future__ import annotations

import contextlib
import queue
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import NamedTuple

from fairlead.keep.entries import Entry, EntryType, Storage, Stored, revive

FORMAT = 1
"""The version of the tables; a file with a higher one was written by a newer program and is left alone."""

OTHERS: Storage = ("", "")
_TYPES: tuple[EntryType, ...] = ("ADDED", "MODIFIED", "DELETED")
_CODES = {name: code for code, name in enumerate(_TYPES)}
_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta(key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS event(
    rv INTEGER PRIMARY KEY,
    type INTEGER NOT NULL,
    grp TEXT NOT NULL,
    plural TEXT NOT NULL,
    namespace TEXT NOT NULL,
    name TEXT NOT NULL,
    previous INTEGER NOT NULL,
    body BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS current(
    grp TEXT NOT NULL,
    plural TEXT NOT NULL,
    namespace TEXT NOT NULL,
    name TEXT NOT NULL,
    rv INTEGER NOT NULL,
    PRIMARY KEY(grp, plural, namespace, name)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS current_rv ON current(rv);
CREATE TABLE IF NOT EXISTS floor(
    grp TEXT NOT NULL,
    plural TEXT NOT NULL,
    rv INTEGER NOT NULL,
    PRIMARY KEY(grp, plural)
) WITHOUT ROWID;
"""
_COLUMNS = "rv, type, grp, plural, namespace, name, previous, body"
_PLACES = "(?,?,?,?,?,?,?,?)"
_POINT = (
    "INSERT INTO current(grp, plural, namespace, name, rv)"
    " SELECT grp, plural, namespace, name, rv FROM event WHERE rv BETWEEN ? AND ? ORDER BY rv"
    " ON CONFLICT DO UPDATE SET rv = excluded.rv"
)
"""Lets each object point at its newest entry."""
_UNPOINT = "DELETE FROM current WHERE rv IN (SELECT rv FROM event WHERE rv >= ? AND type = ?)"
"""Forgets the objects whose newest entry is a deletion."""
_BATCHES = (64, 16, 4, 1)
"""Rows of one statement: few sizes, so that each is prepared once."""
_CHUNK = 1_000
"""Rows that one compaction step removes at most, so that writers never wait long."""


class LogError(Exception):
    """The log cannot be opened or written. The text names the file and a way forward."""

    def __init__(self, path: Path, problem: str) -> None:
        super().__init__(f"{path}: {problem}")
        self.path = path


class LogLocked(LogError):
    """Another process has the file open."""


class LogDenied(LogError):
    """The file or its directory may not be read or written."""


class LogCorrupt(LogError):
    """The file is not a database, or a damaged one."""


class LogFull(LogError):
    """The disk is full."""


class LogTooNew(LogError):
    """A newer version of the program wrote the file."""


class Loaded(NamedTuple):
    """What a log holds: the newest entry of each object, the recent entries, the last resourceVersion, the floors."""

    current: Sequence[Entry]
    window: Sequence[Entry]
    rv: int
    floors: Mapping[Storage, int]


class _Compaction(NamedTuple):
    floors: Mapping[Storage, int]


_Job = tuple[Sequence[Entry] | _Compaction, "Future[None]"]


class Log:
    """The log at a path; created if missing. Raises a LogError that says what is wrong."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._closed = False
        self._connection = self._open()
        self._thread = threading.Thread(target=self._work, name="log-writer", daemon=True)
        self._thread.start()

    def _open(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = None
        try:
            connection = sqlite3.connect(self.path, timeout=0, isolation_level=None, check_same_thread=False)
            connection.execute("PRAGMA page_size=8192")
            connection.execute("PRAGMA locking_mode=EXCLUSIVE")
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute("PRAGMA wal_autocheckpoint=4000")
            connection.execute("BEGIN EXCLUSIVE")
            found = int(connection.execute("PRAGMA user_version").fetchone()[0])
            if found > FORMAT:
                raise LogTooNew(
                    self.path, f"written in format {found} by a newer fairlead; this one reads {FORMAT}"
                )
            for statement in _SCHEMA.split(";"):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version={FORMAT}")
            connection.execute("COMMIT")
        except (sqlite3.Error, OSError) as error:
            if connection is not None:
                connection.close()
            raise self._explained(error) from error
        except LogError:
            if connection is not None:
                connection.close()
            raise
        return connection

    def _explained(self, error: Exception) -> LogError:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
            return LogLocked(
                self.path, "another process has this store open; stop it first (`fairlead down`)"
            )
        if code in {sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT}:
            return LogCorrupt(
                self.path,
                f"this is not an intact store ({error}); restore it from a copy, or move it away to begin anew",
            )
        if code == sqlite3.SQLITE_FULL:
            return LogFull(self.path, "the disk is full: nothing was written; make room and try again")
        if code in {
            sqlite3.SQLITE_CANTOPEN,
            sqlite3.SQLITE_READONLY,
            sqlite3.SQLITE_PERM,
            sqlite3.SQLITE_AUTH,
        }:
            return LogDenied(
                self.path,
                f"cannot be opened for writing ({error}); check that its directory exists and is yours",
            )
        return LogError(self.path, f"{error}")

    # Reading

    def load(self) -> Loaded:
        """Return everything, before the first append. Raises LogError."""
        try:
            return self._load()
        except sqlite3.Error as error:
            raise self._explained(error) from error

    def _load(self) -> Loaded:
        run = self._connection.execute
        floors: dict[Storage, int] = {
            (group, plural): rv for group, plural, rv in run("SELECT grp, plural, rv FROM floor")
        }
        lowest = floors.get(OTHERS, 0)
        current = [
            _entry(row)
            for row in run(
                f"SELECT {_COLUMNS} FROM event WHERE rv IN (SELECT rv FROM current) ORDER BY rv"  # noqa: S608
            )
        ]
        states: dict[int, Stored] = {entry.rv: entry.stored for entry in current if entry.stored is not None}
        window: list[Entry] = []
        needed = "rv IN (SELECT previous FROM event WHERE rv > ?) AND rv NOT IN (SELECT rv FROM current)"
        recent_rows = f"SELECT {_COLUMNS} FROM event WHERE rv > ? OR ({needed}) ORDER BY rv"  # noqa: S608
        for row in run(recent_rows, (lowest, lowest)):
            rv, previous = row[0], row[6]
            storage = (row[2], row[3])
            recent = rv > floors.get(storage, lowest)
            if not recent and rv in states:
                continue
            entry = _entry(row, states.get(rv), states.get(previous) if previous else None)
            if entry.stored is not None:
                states[rv] = entry.stored
            if recent:
                window.append(entry)
        kept = run("SELECT value FROM meta WHERE key = 'rv'").fetchone()
        last = run("SELECT max(rv) FROM event").fetchone()[0]
        return Loaded(current, window, max(kept[0] if kept else 0, last or 0), floors)

    # Writing

    def append(self, entries: Sequence[Entry]) -> Future[None]:
        """Queue entries; the future is done when the disk has them, or raises a LogError: then none of them is there."""
        return self._queue(entries)

    def compact(self, floors: Mapping[Storage, int]) -> Future[None]:
        """Queue the removal of entries up to the floors (of each storage; ("", "") for the others) that are not current."""
        return self._queue(_Compaction(dict(floors)))

    def close(self) -> None:
        """Write what is queued and close the file."""
        if not self._closed:
            self._closed = True
            self._jobs.put(None)
            self._thread.join()

    def _queue(self, what: Sequence[Entry] | _Compaction) -> Future[None]:
        future: Future[None] = Future()
        if self._closed:
            future.set_exception(LogError(self.path, "the store is closed"))
        else:
            self._jobs.put((what, future))
        return future

    def _work(self) -> None:
        while True:
            jobs, stop = self._take()
            appends = [job for job in jobs if not isinstance(job[0], _Compaction)]
            if appends:
                self._write(appends)
            for what, future in jobs:
                if isinstance(what, _Compaction):
                    self._compact(what.floors, future)
            if stop:
                break
        with contextlib.suppress(sqlite3.Error):  # if it fails, the WAL is replayed at the next opening
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self._connection.close()

    def _take(self) -> tuple[list[_Job], bool]:
        """Wait for a job, then take all that wait; whether it is time to stop."""
        jobs: list[_Job] = []
        job = self._jobs.get()
        while job is not None:
            jobs.append(job)
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                return jobs, False
        return jobs, True

    def _write(self, jobs: Iterable[_Job]) -> None:
        futures = [future for _, future in jobs]
        entries = [entry for what, _ in jobs if not isinstance(what, _Compaction) for entry in what]
        try:
            self._insert(entries)
        except Exception as error:  # noqa: BLE001  # whatever it is, the callers must hear of it and the thread go on
            self._undo()
            explained = self._explained(error)
            for future in futures:
                future.set_exception(explained)
            return
        for future in futures:
            future.set_result(None)

    def _insert(self, entries: Sequence[Entry]) -> None:
        """Write the entries, whose resourceVersions follow all others, in one transaction.

        Few statements with many rows each: every step of SQLite lets go of the interpreter and must get it back.
        """
        run = self._connection.execute
        run("BEGIN IMMEDIATE")
        start = 0
        for count in _batches(len(entries)):
            values = [value for entry in entries[start : start + count] for value in _row(entry)]
            run(f"INSERT INTO event({_COLUMNS}) VALUES {','.join([_PLACES] * count)}", values)  # noqa: S608
            start += count
        if entries:
            run(_POINT, (entries[0].rv, entries[-1].rv))
        if any(entry.type == "DELETED" for entry in entries):
            run(_UNPOINT, (entries[0].rv, _CODES["DELETED"]))
        run("COMMIT")

    def _undo(self) -> None:
        with contextlib.suppress(sqlite3.Error):  # SQLite may have rolled back by itself
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")

    def _compact(self, floors: Mapping[Storage, int], future: Future[None]) -> None:
        try:
            more = self._trim(floors)
        except Exception as error:  # noqa: BLE001  # see _write
            self._undo()
            future.set_exception(self._explained(error))
            return
        if more and not self._closed:
            self._jobs.put((_Compaction(floors), future))  # behind the writers that wait
        else:
            future.set_result(None)

    def _trim(self, floors: Mapping[Storage, int]) -> bool:
        """Note the floors and remove some rows below them; whether there may be more."""
        run = self._connection.execute
        run("BEGIN IMMEDIATE")
        run(
            "INSERT INTO meta VALUES ('rv', (SELECT coalesce(max(rv), 0) FROM event))"
            " ON CONFLICT DO UPDATE SET value = max(value, excluded.value)"
        )
        own = [(storage, rv) for storage, rv in floors.items() if storage != OTHERS]
        lowest = floors.get(OTHERS, 0)
        run("DELETE FROM floor")
        self._connection.executemany(
            "INSERT INTO floor VALUES (?,?,?)", [(*storage, rv) for storage, rv in floors.items()]
        )
        run("COMMIT")
        unneeded = (
            "rv NOT IN (SELECT rv FROM current) AND rv NOT IN (SELECT previous FROM event WHERE rv > ?)"
        )
        for where, values in [
            ("rv <= ?", (lowest,)),
            *(("rv <= ? AND grp = ? AND plural = ?", (rv, *storage)) for storage, rv in own),
        ]:
            statement = (
                f"DELETE FROM event WHERE rv IN (SELECT rv FROM event WHERE {where} AND {unneeded} "  # noqa: S608
                f"LIMIT {_CHUNK})"
            )
            if run(statement, (*values, values[0])).rowcount == _CHUNK:
                return True
        return False


def _batches(count: int) -> Iterator[int]:
    """Split so many rows into the sizes that are prepared."""
    for size in _BATCHES:
        while count >= size:
            yield size
            count -= size


def _row(entry: Entry) -> tuple[int, int, str, str, str, str, int, bytes]:
    return (
        entry.rv,
        _CODES[entry.type],
        *entry.storage,
        entry.namespace,
        entry.name,
        entry.previous,
        entry.body,
    )


def _entry(
    row: tuple[int, int, str, str, str, str, int, bytes],
    stored: Stored | None = None,
    before: Stored | None = None,
) -> Entry:
    rv, code, group, plural, namespace, name, previous, body = row
    return revive(Entry(rv, _TYPES[code], (group, plural), namespace, name, body, previous, stored, before))
