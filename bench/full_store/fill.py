"""Fills a database with attempts, calls and what was said, like that of a busy installation."""

import random
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from bench.report.command import Progress
from llm_router.connections.access import SYSTEM
from llm_router.connections.record import Connection
from llm_router.options import Quota
from llm_router.routing.attempt import Role
from llm_router.store.call_rows import CALL_COLUMNS
from llm_router.store.call_tables import calls
from llm_router.store.connections import SqlConnectionStore
from llm_router.store.crypto import Vault
from llm_router.store.database import Database
from llm_router.store.tables import usage
from llm_router.store.usage import UsageRecord, to_row
from llm_router.voice.calls import Call

UNTIL = datetime(2026, 11, 1, tzinfo=UTC)
PERIOD = timedelta(days=30)
VIEWER_TEAM = "red"
CONNECTIONS = 100
USED = 24
"""Of these, the connections that have attempts, unless a run asks for more."""
ATTEMPTS_A_CALL = 20
_CALLS_BATCH = 5_000
_ASSISTANTS = ("default", "shop", "support", "night desk", "survey")
_REASONS = ("caller left", "agent ended", "silence", "transferred", "failed")
_SAMPLES = 20_000
"""Different attempts; the others repeat them at another time."""
_BATCH = 50_000
_ADDED_AT_ONCE = 500
_COLUMNS = tuple(column.name for column in usage.columns if column.name != "id")
_FIRST = ("at", "session_id")
"""Columns whose values are not those of the sample."""
_REST = tuple(name for name in _COLUMNS if name not in _FIRST)
_ROLES: Mapping[Role, float] = {
    "first": 90, "hedge": 6, "failover": 2, "retry": 0.5, "resume": 1, "trial": 0.5,
}  # fmt: skip
"""Shares of the attempts (%)."""
_OUTCOMES = (
    "won", "lost", "cancelled", "silent", "rate limited", "unreachable", "broken stream",
)  # fmt: skip
_AT = "%Y-%m-%d %H:%M:%S.%f"
"""The format in which SQLAlchemy stores times in SQLite."""


async def add_connections(
    database: Database, vault: Vault, number: int, server: str = ""
) -> SqlConnectionStore:
    """Adds so many connections: all of them on `server`, or each at a private address."""
    store = SqlConnectionStore(database, vault, quota=Quota(in_all=number + 1))
    for begin in range(0, number, _ADDED_AT_ONCE):
        places = range(begin, min(begin + _ADDED_AT_ONCE, number))
        await store.add(SYSTEM, [_connection(place, server) for place in places])
    return store


def _connection(place: int, server: str) -> Connection:
    return Connection(
        id=connection_id(place),
        name=f"connection {place}",
        base_url=server or f"http://10.0.0.{place % 250}:8000/v1",
        model_name=f"model-{place % 7}",
        tags=("gpu",) if place % 3 else ("gpu", "spare"),
        pool="night" if place % 5 == 4 else "default",
        owner=f"owner {place % 9}",
        team=VIEWER_TEAM if place % 2 else "blue",
        visibility="team",
    )


def connection_id(place: int) -> str:
    return f"6f0c7ad4-8a5e-4a8e-9f53-{place:012}"


def draw_attempts(seed: int, used: int = USED) -> list[dict[str, Any]]:
    """Draws attempts: most are first attempts that won; one in ten is a hedge, a failover, another
    further attempt, or a failure. A connection has half as many as the one of half its number.
    """
    rng = random.Random(seed)
    weights = [1 / (place + 1) for place in range(used)]
    places = rng.choices(range(used), weights, k=_SAMPLES)
    return [to_row(_draw_attempt(rng, place)) for place in places]


def _draw_attempt(rng: random.Random, place: int) -> UsageRecord:
    role = rng.choices([*_ROLES], [*_ROLES.values()])[0]
    outcome = rng.choices(_OUTCOMES, [86, 5, 5, 1.5, 1, 1, 0.5])[0]
    spoke = outcome in {"won", "cancelled"}
    ttft = rng.lognormvariate(-1.3 + place % USED / 40, 0.35) if spoke else None
    return UsageRecord(
        at=UNTIL,
        connection_id=connection_id(place),
        connection_name=f"connection {place}",
        model=f"model-{place % 7}",
        pool="night" if place % 5 == 4 else "default",
        integration=rng.choices(["livekit", "automation"], [9, 1])[0],
        assistant=rng.choice(_ASSISTANTS),
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
    *,
    until: datetime = UNTIL,
    period: timedelta = PERIOD,
) -> datetime:
    """Writes the attempts of these numbers, of `total` in the period that ends then, in order of
    time, and their calls. Returns the time of the last attempt.

    Indexes are created again at the end: updated row by row, those of millions take an hour.
    """
    step, begins = period / total, until - period
    async with database.writing() as db:
        for index in usage.indexes:
            await db.run_sync(index.drop)
    rest = [tuple(sample[name] for name in _REST) for sample in samples]
    for begin in range(numbers.start, numbers.stop, _BATCH):
        progress(f"{database.dialect}: {begin:,} of {total:,} attempts")
        batch = range(begin, min(begin + _BATCH, numbers.stop))
        rows = ((begins + place * step, room(place), *rest[place % len(rest)]) for place in batch)
        await (_fill_sqlite if database.dialect == "sqlite" else _copy)(database, rows)
    for index in usage.indexes:
        progress(f"{database.dialect}: {index.name}")
        async with database.writing() as db:
            await db.run_sync(index.create)
    await _fill_calls(database, numbers, begins, step, progress)
    if database.dialect == "postgresql":
        await _vacuum(database)
    return begins + numbers.stop * step


def room(place: int) -> str:
    """Returns the room of the call of an attempt."""
    return f"room-{place // ATTEMPTS_A_CALL:08}"


def call_id(number: int) -> str:
    return f"7f0c7ad4-8a5e-4a8e-9f53-{number:012}"


async def _fill_calls(
    database: Database, numbers: range, begins: datetime, step: timedelta, progress: Progress
) -> None:
    """Writes the calls whose first attempt is among these numbers."""
    firsts = [place for place in numbers if place % ATTEMPTS_A_CALL == 0]
    for begin in range(0, len(firsts), _CALLS_BATCH):
        progress(f"{database.dialect}: {begin:,} of {len(firsts):,} calls")
        rows = [
            _call_row(place, begins + place * step)
            for place in firsts[begin : begin + _CALLS_BATCH]
        ]
        async with database.writing() as db:
            await db.execute(calls.insert(), rows)


def _call_row(place: int, began: datetime) -> dict[str, Any]:
    number = place // ATTEMPTS_A_CALL
    ended = began + timedelta(seconds=30 + number * 37 % 600)
    call = Call(
        id=call_id(number),
        room=room(place),
        assistant=_ASSISTANTS[number % len(_ASSISTANTS)],
        kind="phone" if number % 3 else "web",
        state="ended",
        reason=_REASONS[number % 7 % len(_REASONS)],
        last_beat=ended,
        started_at=began,
        answered_at=began + timedelta(seconds=1),
        ended_at=ended,
        updated_at=ended,
        items=ATTEMPTS_A_CALL * 2,
    )
    return {name: getattr(call, name) for name in CALL_COLUMNS} | {"tools_in_flight": []}


async def _fill_sqlite(database: Database, rows: Iterator[tuple[Any, ...]]) -> None:
    blanks = ", ".join("?" * len(_COLUMNS))
    names = ", ".join((*_FIRST, *_REST))
    statement = f"INSERT INTO {usage.name} ({names}) VALUES ({blanks})"
    async with database.writing() as db:
        texts = [(at.strftime(_AT), *others) for at, *others in rows]
        await db.exec_driver_sql(statement, texts)


async def _copy(database: Database, rows: Iterator[tuple[Any, ...]]) -> None:
    async with database.writing() as db:
        driver: Any = (await db.get_raw_connection()).driver_connection
        await driver.copy_records_to_table(usage.name, records=rows, columns=[*_FIRST, *_REST])


async def _vacuum(database: Database) -> None:
    """Does at once what PostgreSQL does by itself after a while."""
    async with database.engine.connect() as db:
        autocommit = await db.execution_options(isolation_level="AUTOCOMMIT")
        await autocommit.exec_driver_sql("VACUUM ANALYZE")
