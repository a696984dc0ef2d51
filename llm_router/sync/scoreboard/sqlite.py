"""A scoreboard in a file, for the processes of one machine."""

import asyncio
import json
import os
import sqlite3
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from llm_router.errors import ScoreboardError
from llm_router.routing.breaker import BreakerRecord
from llm_router.sync.scoreboard.base import (
    RETENTION,
    BreakerChanges,
    Entry,
    Report,
    merge,
    weights_from_json,
    weights_to_json,
)

_T = TypeVar("_T")

_SCHEMA = """
CREATE TABLE IF NOT EXISTS endpoints (
    key TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    at REAL NOT NULL,
    weights TEXT NOT NULL,
    is_open INTEGER NOT NULL,
    open_until REAL NOT NULL,
    openings INTEGER NOT NULL,
    reason TEXT NOT NULL,
    version INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS endpoints_by_version ON endpoints (version);
"""
_COLUMNS = "name, at, weights, is_open, open_until, openings, reason, version"
_LOAD = f"SELECT {_COLUMNS} FROM endpoints WHERE key = ?"  # noqa: S608  names of our own
_SAVE = f"INSERT OR REPLACE INTO endpoints (key, {_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608  names of our own
_RETRY_OPEN_AFTER = 0.02
"""Seconds between two attempts to open the file while another process sets it up, for which SQLite
does not wait."""


class SqliteScoreboard:
    """A board in the file `path`. Any number of processes may have it open; any may be killed.

    The folder is made if needed, and only its owner can read the file. All work is done in one
    thread that this object owns. `patience`: seconds to wait for another process's write. A file
    that was deleted is made again.
    """

    def __init__(self, path: Path, *, patience: float = 1.0) -> None:
        self._path = path
        self._patience = patience
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="scoreboard")
        self._db: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None

    async def read(self, keys: Collection[str]) -> Mapping[str, Entry]:
        wanted = frozenset(keys)
        return await self._in_thread(lambda db: _read(db, wanted))

    async def write(self, reports: Sequence[Report]) -> None:
        await self._in_thread(lambda db: _write(db, reports))

    async def breaker_changes(self, since: int) -> BreakerChanges:
        return await self._in_thread(lambda db: _breaker_changes(db, since))

    async def aclose(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            await loop.run_in_executor(self._thread, self._close)
        finally:
            self._thread.shutdown(wait=False)

    async def _in_thread(self, work: Callable[[sqlite3.Connection], _T]) -> _T:
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._thread, self._do, work)
        except (sqlite3.Error, OSError, ValueError, TypeError) as error:
            raise ScoreboardError(
                f"scoreboard {self._path}: {error}; if this lasts, delete the file: it is "
                "made again"
            ) from error

    # ── In the thread ────────────────────────────────────────────────────────────────────────────

    def _do(self, work: Callable[[sqlite3.Connection], _T]) -> _T:
        if self._db is None or _identity(self._path) != self._file:
            self._close()
            self._db = self._open()
            self._file = _identity(self._path)
        try:
            return work(self._db)
        except BaseException:
            self._close()  # the next call opens it afresh, which may help
            raise

    def _open(self) -> sqlite3.Connection:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with suppress(FileExistsError):
            os.close(os.open(self._path, os.O_CREAT | os.O_EXCL, 0o600))
        db = sqlite3.connect(
            self._path, timeout=self._patience, isolation_level=None, check_same_thread=False
        )
        try:
            self._set_up(db)
        except BaseException:
            db.close()
            raise
        return db

    def _set_up(self, db: sqlite3.Connection) -> None:
        tries = int(self._patience / _RETRY_OPEN_AFTER)
        for left in range(tries, -1, -1):
            try:
                db.execute("PRAGMA journal_mode = WAL")  # readers and a writer, side by side
                db.execute("PRAGMA synchronous = NORMAL")
                db.executescript(_SCHEMA)
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or not left:
                    raise
                threading.Event().wait(_RETRY_OPEN_AFTER)
            else:
                return

    def _close(self) -> None:
        if self._db is not None:
            self._db.close()
            self._db = None


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def _read(db: sqlite3.Connection, keys: Collection[str]) -> dict[str, Entry]:
    found = {}
    for key in keys:
        if row := db.execute(_LOAD, (key,)).fetchone():
            found[key] = _entry(row)
    return found


def _write(db: sqlite3.Connection, reports: Sequence[Report]) -> None:
    db.execute("BEGIN IMMEDIATE")
    try:
        known = _read(db, {report.key for report in reports})
        version = _version(db)
        for report in reports:
            entry = known[report.key] = merge(known.get(report.key), report, version)
            version = max(version, entry.version)
            db.execute(_SAVE, (report.key, *_row(entry)))
            db.execute("DELETE FROM endpoints WHERE at < ?", (report.at - RETENTION,))
        db.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):
            db.execute("ROLLBACK")
        raise


def _breaker_changes(db: sqlite3.Connection, since: int) -> BreakerChanges:
    rows = db.execute(
        "SELECT key, is_open, open_until, openings, reason, version FROM endpoints"
        " WHERE version > ?",
        (since,),
    )
    breakers, version = {}, since
    for key, *breaker, its_version in rows:
        breakers[key] = _breaker(breaker)
        version = max(version, its_version)
    return BreakerChanges(breakers, version)


def _version(db: sqlite3.Connection) -> int:
    (version,) = db.execute("SELECT coalesce(max(version), 0) FROM endpoints").fetchone()
    return int(version)


def _row(entry: Entry) -> tuple[Any, ...]:
    weights = json.dumps(weights_to_json(entry.weights))
    found = entry.breaker
    return (
        entry.name, entry.at, weights, found.is_open, found.open_until, found.openings,
        found.reason, entry.version,
    )  # fmt: skip


def _entry(row: Sequence[Any]) -> Entry:
    name, at, weights, *breaker, version = row
    return Entry(
        name=str(name),
        at=float(at),
        weights=weights_from_json(json.loads(weights)),
        breaker=_breaker(breaker),
        version=int(version),
    )


def _breaker(row: Sequence[Any]) -> BreakerRecord:
    is_open, open_until, openings, reason = row
    return BreakerRecord(bool(is_open), float(open_until), int(openings), str(reason))
