"""Fills a database with attempts, like that of a busy installation after 30 days."""

import random
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from bench.report.command import Progress
from llm_router.connections.access import SYSTEM
from llm_router.connections.record import Connection
from llm_router.routing.attempt import Role
from llm_router.store.connections import SqlConnectionStore
from llm_router.store.crypto import Vault
from llm_router.store.database import Database
from llm_router.store.tables import usage
from llm_router.store.usage import UsageRecord, to_row

UNTIL = datetime(2026, 11, 1, tzinfo=UTC)
PERIOD = timedelta(days=30)
VIEWER_TEAM = "red"
_CONNECTIONS = 100
_USED = 24
"""Connections that have attempts."""
_SAMPLES = 20_000
"""Different attempts; the others repeat them at another time."""
_BATCH = 50_000
_COLUMNS = tuple(column.name for column in usage.columns if column.name != "id")
_REST = tuple(name for name in _COLUMNS if name != "at")
_ROLES: Mapping[Role, float] = {
    "first": 90, "hedge": 6, "failover": 2, "retry": 0.5, "resume": 1, "trial": 0.5,
}  # fmt: skip
"""Shares of the attempts (%)."""
_OUTCOMES = (
    "won", "lost", "cancelled", "silent", "rate limited", "unreachable", "broken stream",
)  # fmt: skip
_AT = "%Y-%m-%d %H:%M:%S.%f"
"""The format in which SQLAlchemy stores times in SQLite."""


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


def draw_attempts(seed: int) -> list[dict[str, Any]]:
    """Draws attempts: most are first attempts that won; one in ten is a hedge, a failover, another
    further attempt, or a failure.
    """
    rng = random.Random(seed)
    weights = [1 / (place + 1) for place in range(_USED)]
    return [
        to_row(_draw_attempt(rng, rng.choices(range(_USED), weights)[0])) for _ in range(_SAMPLES)
    ]


def _draw_attempt(rng: random.Random, place: int) -> UsageRecord:
    role = rng.choices([*_ROLES], [*_ROLES.values()])[0]
    outcome = rng.choices(_OUTCOMES, [86, 5, 5, 1.5, 1, 1, 0.5])[0]
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
    database: Database,
    numbers: range,
    total: int,
    samples: Sequence[dict[str, Any]],
    progress: Progress,
) -> datetime:
    """Writes the attempts of these numbers, of `total` in the whole period, in order of time.
    Returns the time of the last one.

    Indexes are created again at the end: updated row by row, those of millions take an hour.
    """
    step = PERIOD / total
    async with database.writing() as db:
        for index in usage.indexes:
            await db.run_sync(index.drop)
    rest = [tuple(sample[name] for name in _REST) for sample in samples]
    for begin in range(numbers.start, numbers.stop, _BATCH):
        progress(f"{database.dialect}: {begin:,} of {total:,} attempts")
        batch = range(begin, min(begin + _BATCH, numbers.stop))
        rows = ((UNTIL - PERIOD + place * step, *rest[place % len(rest)]) for place in batch)
        await (_fill_sqlite if database.dialect == "sqlite" else _copy)(database, rows)
    for index in usage.indexes:
        progress(f"{database.dialect}: {index.name}")
        async with database.writing() as db:
            await db.run_sync(index.create)
    if database.dialect == "postgresql":
        await _vacuum(database)
    return UNTIL - PERIOD + numbers.stop * step


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
    """Does at once what PostgreSQL does by itself after a while."""
    async with database.engine.connect() as db:
        autocommit = await db.execution_options(isolation_level="AUTOCOMMIT")
        await autocommit.exec_driver_sql("VACUUM ANALYZE")
