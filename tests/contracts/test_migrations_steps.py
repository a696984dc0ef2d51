"""Tests that a database of an older version is migrated with all of its data."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from alembic import command
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncConnection

from llm_router.store.database import Database
from llm_router.store.migrations import migrate, steps
from llm_router.store.summary_tables import (
    times_daily,
    total_times_daily,
    total_usage_hourly,
    usage_hourly,
)
from llm_router.store.tables import api_keys
from tests.contracts.databases import Server, opened

CONNECTION = """INSERT INTO llm_connections VALUES (
    'a', 'a', '', '[]', 'local', 'offline', '', '', '', '', '', '', '', 60, 0, '{}', NULL, NULL,
    NULL, NULL, true, false, true, NULL, true, true, true, true, 'default', 0, 1, 'allowed', 0, 0,
    NULL, NULL, NULL, 'anna', '', 'private', 'untested', '', NULL, '[]', '2026-05-04 09:30:00',
    '2026-05-04 09:30:00', NULL, 1, NULL, NULL, 'a')"""
CHECK = (
    "INSERT INTO llm_connection_health_checks (connection_id, at, outcome, detail)"
    " VALUES ('a', '2026-05-04 09:30:00', 'ok', '')"
)


async def go_to(database: Database, revision: str) -> None:
    """Migrates an empty database to a revision."""

    def upgrade(connection: Connection) -> None:
        command.upgrade(steps.config(connection=connection), revision)

    async with database.writing() as db:
        await db.run_sync(upgrade)


@asynccontextmanager
async def brought_up_to_date(
    server: Server, revision: str, *statements: str
) -> AsyncIterator[AsyncConnection]:
    """Makes a database of that revision, fills it by the statements, and migrates it."""
    async with opened(await server.new(migrated=False)) as database:
        await go_to(database, revision)
        async with database.writing() as db:
            for statement in statements:
                await db.execute(text(statement))
        await migrate(database)
        async with database.reading() as db:
            yield db


async def test_old_checks_count_as_probes(server: Server) -> None:
    async with brought_up_to_date(server, "0001", CONNECTION, CHECK) as db:
        rows = await db.execute(text("SELECT kind, outcome FROM llm_connection_health_checks"))
        assert [tuple(row) for row in rows] == [("probe", "ok")]


SUMMED = """INSERT INTO llm_connection_usage_hourly
    (at, connection_id, pool, integration, model, role, outcome, connection_name, attempts, heard,
    duration, silence_avoided, tokens_in, tokens_out, tokens_cached, estimated, cost)
    VALUES ('2026-05-04 09:00:00', 'a', 'day', 'mcp', 'm', 'first', 'won', 'desk', 7, 6, 1.5, 2.5,
    30, 40, 50, 60, 0.25)"""
TIMED = """INSERT INTO llm_connection_times_daily
    (at, connection_id, pool, integration, measure, bucket, attempts)
    VALUES ('2026-05-04 00:00:00', 'a', 'day', 'mcp', 'ttft', 12, 7)"""


async def test_summaries_are_unchanged_in_their_new_order(server: Server) -> None:
    async with brought_up_to_date(server, "0004", SUMMED, TIMED) as db:
        (summed,) = (await db.execute(usage_hourly.select())).mappings()
        (timed,) = (await db.execute(times_daily.select())).mappings()
    facts = [summed[c.name] for c in usage_hourly.columns if c.name != "at"]
    assert facts == [
        *("first", "won", "a", "day", "mcp", "m", "desk", 7, 6, 1.5, 2.5, 30, 40, 50, 60, 0.25)
    ]
    assert (timed["measure"], timed["bucket"], timed["attempts"]) == ("ttft", 12, 7)


ANOTHER = SUMMED.replace("'a', 'day'", "'b', 'day'")
"""The same sum of another connection."""


async def test_what_was_summed_up_is_in_the_totals_of_no_assistant(server: Server) -> None:
    async with brought_up_to_date(server, "0018", SUMMED, ANOTHER, TIMED) as db:
        (summed,) = (await db.execute(total_usage_hourly.select())).mappings()
        (timed,) = (await db.execute(total_times_daily.select())).mappings()
    facts = [summed[c.name] for c in total_usage_hourly.columns if c.name != "at"]
    assert facts == [*("first", "won", "day", "mcp", "", 14, 12, 3.0, 5.0, 60, 80, 100, 120, 0.5)]
    assert (timed["bucket"], timed["pool"], timed["assistant"], timed["attempts"]) == (
        12, "day", "", 7,
    )  # fmt: skip


OLD_KEY = """INSERT INTO api_keys
    (id, name, hash, last4, role, owner, team, may_serve_calls, created_by, created_at)
    VALUES ('0123456789ab', 'anna', 'x', 'wxyz', 'editor', 'anna', 'red', false, 'system',
    '2026-05-04 09:30:00')"""


async def test_old_api_keys_have_no_limits(server: Server) -> None:
    async with brought_up_to_date(server, "0007", OLD_KEY) as db:
        (row,) = (await db.execute(api_keys.select())).mappings()
    assert (row["routes"], row["pools"], row["integration"]) == (None, None, "automation")
    assert [row[name] for name in ("rate_limit_rpm", "rate_limit_tpm", "monthly_budget")] == [
        None
    ] * 3
