"""A scoreboard in the store's database, for processes of many machines."""

import zlib
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager

from sqlalchemy import func, select
from sqlalchemy.engine import RowMapping
from sqlalchemy.ext.asyncio import AsyncConnection

from llm_router.errors import ScoreboardError, StoreError
from llm_router.routing.breaker import BreakerRecord
from llm_router.store.database import Database
from llm_router.store.dialects import insert
from llm_router.store.tables import scoreboard
from llm_router.sync.scoreboard.base import (
    RETENTION,
    BreakerChanges,
    Entry,
    Report,
    merge,
    weights_from_json,
    weights_to_json,
)

_C = scoreboard.c
_BREAKER = tuple(BreakerRecord.__slots__)
_WRITE_LOCK = zlib.crc32(b"patchbay scoreboard")
"""The advisory lock that a writer holds on PostgreSQL, so that versions are committed in rising
order."""


class SqlScoreboard:
    """A board in a migrated database, which stays open when the board is closed."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def read(self, keys: Collection[str]) -> Mapping[str, Entry]:
        async with self._translated_errors(), self._database.reading() as db:
            return await _read(db, keys)

    async def write(self, reports: Sequence[Report]) -> None:
        if not reports:
            return
        async with self._translated_errors(), self._database.writing() as db:
            if self._database.dialect == "postgresql":  # SQLite has one writer in any case
                await db.execute(select(func.pg_advisory_xact_lock(_WRITE_LOCK)))
            known = await _read(db, {report.key for report in reports})
            version = int((await db.execute(select(func.max(_C.version)))).scalar() or 0)
            for report in reports:
                known[report.key] = merge(known.get(report.key), report, version)
                version = max(version, known[report.key].version)
            row = insert(scoreboard, self._database.dialect)
            new = {column.name: row.excluded[column.name] for column in _C}
            row = row.on_conflict_do_update(index_elements=["key"], set_=new)
            await db.execute(row, [_row(key, entry) for key, entry in sorted(known.items())])
            old = max(report.at for report in reports) - RETENTION
            await db.execute(scoreboard.delete().where(_C.at < old))

    async def breaker_changes(self, since: int) -> BreakerChanges:
        columns = _C.key, _C.version, *(_C[name] for name in _BREAKER)
        async with self._translated_errors(), self._database.reading() as db:
            found = await db.execute(select(*columns).where(_C.version > since))
            rows = found.mappings().all()
        breakers = {row["key"]: _breaker(row) for row in rows}
        return BreakerChanges(breakers, max((row["version"] for row in rows), default=since))

    async def aclose(self) -> None:
        """Does nothing: the database belongs to the caller."""

    @asynccontextmanager
    async def _translated_errors(self) -> AsyncIterator[None]:
        try:
            yield
        except StoreError as error:
            raise ScoreboardError(f"scoreboard: {error}") from error
        except (ValueError, TypeError) as error:
            raise ScoreboardError(
                f"scoreboard in {self._database.display_url}: {error}; if this lasts, empty the "
                f"table {scoreboard.name}: it fills again"
            ) from error


async def _read(db: AsyncConnection, keys: Collection[str]) -> dict[str, Entry]:
    rows = await db.execute(select(scoreboard).where(_C.key.in_(keys)))
    return {row["key"]: _entry(row) for row in rows.mappings()}


def _row(key: str, entry: Entry) -> dict[str, object]:
    breaker = {name: getattr(entry.breaker, name) for name in _BREAKER}
    weights = weights_to_json(entry.weights)
    known = {"name": entry.name, "at": entry.at, "version": entry.version}
    return {"key": key, "weights": weights, **known, **breaker}


def _entry(row: RowMapping) -> Entry:
    return Entry(
        name=row["name"],
        at=row["at"],
        weights=weights_from_json(row["weights"]),
        breaker=_breaker(row),
        version=row["version"],
    )


def _breaker(row: RowMapping) -> BreakerRecord:
    return BreakerRecord(**{name: row[name] for name in _BREAKER})
