"""A database full of attempts, as a busy installation has it after so many days."""

import random
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from bench.report.table import Progress
from llm_router.connections.access import SYSTEM
from llm_router.connections.record import Connection
from llm_router.store.connections import SqlConnectionStore
from llm_router.store.crypto import Vault
from llm_router.store.database import Database
from llm_router.store.tables import usage
from llm_router.store.usage import UsageRecord, to_row

UNTIL = datetime(2026, 11, 1, tzinfo=UTC)
LASTED = timedelta(days=30)
VIEWER_TEAM = "red"
_CONNECTIONS, _USED = 100, 24
"""There are more than are asked."""
_KINDS = 20_000
"""Different attempts; the rest are like them at another time."""
_AT_ONCE = 50_000
_COLUMNS = tuple(column.name for column in usage.columns if column.name != "id")
_REST = tuple(name for name in _COLUMNS if name != "at")
_AT = "%Y-%m-%d %H:%M:%S.%f"
"""As SQLAlchemy has SQLite keep it."""


async def add_connections(database: Database, vault: Vault) -> SqlConnectionStore:
    store = SqlConnectionStore(database, vault)
    await store.add(SYSTEM, [_connection(place) for place in range(_CONNECTIONS)])
    return store


def _connection(place: int) -> Connection:
    return Connection(
        id=connection_id(place),
        name=f"connection {place}",
        base_url=f"http://10.0.0.{place}:8000/v1",
        model_name=f"model-{place % 7}",
        tags=("gpu",) if place % 3 else ("gpu", "spare"),
        pool="night" if place % 5 == 4 else "default",
        owner=f"owner {place % 9}",
        team=VIEWER_TEAM if place % 2 else "blue",
        visibility="team",
    )


def connection_id(place: int) -> str:
    return f"6f0c7ad4-8a5e-4a8e-9f53-{place:012}"


def kinds(seed: int) -> list[dict[str, Any]]:
    """Most are first tries that were heard; one in ten is a hedge, a failover or a failure."""
    rng = random.Random(seed)
    weights = [1 / (place + 1) for place in range(_USED)]
    return [to_row(_kind(rng, rng.choices(range(_USED), weights)[0])) for _ in range(_KINDS)]


def _kind(rng: random.Random, place: int) -> UsageRecord:
    role = rng.choices(["first", "hedge", "failover", "resume", "trial"], [90, 6, 2, 1, 1])[0]
    ended = ["won", "lost", "cancelled", "silent", "rate limited", "unreachable", "broken stream"]
    outcome = rng.choices(ended, [86, 5, 5, 1.5, 1, 1, 0.5])[0]
    spoke = outcome in {"won", "cancelled"}
    ttft = rng.lognormvariate(-1.3 + place / 40, 0.35) if spoke else None
    return UsageRecord(
        at=UNTIL,
        connection_id=connection_id(place),
        connection_name=f"connection {place}",
        model=f"model-{place % 7}",
        pool="night" if place % 5 == 4 else "default",
        integration=rng.choices(["livekit", "automation"], [9, 1])[0],
        session_id=f"{rng.getrandbits(128):032x}",
        reply_id=f"{rng.getrandbits(128):032x}",
        role=role,
        outcome=outcome,
        delivered=spoke,
        ttft=ttft,
        ttfc=ttft and ttft * rng.uniform(1.2, 2.0),
        duration=rng.uniform(0.5, 6.0),
        silence_avoided=rng.uniform(0, 4) if role == "failover" and spoke else None,
        tokens_in=rng.randrange(200, 4000),
        tokens_out=rng.randrange(10, 200),
        tokens_cached=rng.randrange(200),
        is_estimated=outcome != "won",
        cost=rng.uniform(0, 0.01),
    )


async def fill(
    database: Database, numbers: range, in_all: int, like: Sequence[dict[str, Any]], tell: Progress
) -> datetime:
    """The attempts of these numbers, of so many in all, in the order of time. When the last of them
    was made.

    Indexes are made anew at the end: kept up row by row, those of millions take an hour.
    """
    step = LASTED / in_all
    async with database.writing() as db:
        for index in usage.indexes:
            await db.run_sync(index.drop)
    rest = [tuple(kind[name] for name in _REST) for kind in like]
    for begin in range(numbers.start, numbers.stop, _AT_ONCE):
        tell(f"{database.dialect}: {begin:,} of {in_all:,} attempts")
        some = range(begin, min(begin + _AT_ONCE, numbers.stop))
        rows = ((UNTIL - LASTED + place * step, *rest[place % len(rest)]) for place in some)
        await (_fill_sqlite if database.dialect == "sqlite" else _copy)(database, rows)
    for index in usage.indexes:
        tell(f"{database.dialect}: {index.name}")
        async with database.writing() as db:
            await db.run_sync(index.create)
    if database.dialect == "postgresql":
        await _vacuum(database)
    return UNTIL - LASTED + numbers.stop * step


async def _fill_sqlite(database: Database, rows: Iterator[tuple[Any, ...]]) -> None:
    blanks = ", ".join("?" * len(_COLUMNS))
    names = ", ".join(("at", *_REST))
    statement = f"INSERT INTO {usage.name} ({names}) VALUES ({blanks})"
    async with database.writing() as db:
        texts = [(at.strftime(_AT), *rest) for at, *rest in rows]
        await db.exec_driver_sql(statement, texts)


async def _copy(database: Database, rows: Iterator[tuple[Any, ...]]) -> None:
    async with database.writing() as db:
        driver: Any = (await db.get_raw_connection()).driver_connection
        await driver.copy_records_to_table(usage.name, records=rows, columns=["at", *_REST])


async def _vacuum(database: Database) -> None:
    """As PostgreSQL does by itself after a while."""
    async with database.engine.connect() as db:
        alone = await db.execution_options(isolation_level="AUTOCOMMIT")
        await alone.exec_driver_sql("VACUUM ANALYZE")
