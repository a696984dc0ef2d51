"""The usage log, written by a process that ends and by one that is killed."""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from pathlib import Path

import pytest
from sqlalchemy import select, text

from llm_router.store.database import Database
from llm_router.store.tables import usage
from llm_router.store.usage import UsageLog
from llm_router.telemetry.usage import UsageObserver
from tests.contracts import usage_writer
from tests.contracts.databases import Postgres, Server, opened
from tests.contracts.observed import COUNTED, SPARE, Scene


async def start(url: str) -> Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", usage_writer.__name__, url),
        stdin=PIPE, stdout=PIPE, cwd=Path(__file__).parents[2],
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )  # fmt: skip


async def logged(database: Database) -> list[int]:
    """Returns the numbers of the replies whose attempts are in the log, in its order."""
    async with database.reading() as db:
        found = await db.execute(select(usage.c.session_id).order_by(usage.c.id))
    return [int(number) for number in found.scalars()]


async def test_a_kill_loses_only_what_was_recorded_since_the_last_write(server: Server) -> None:
    url = await server.new()
    writer = await start(url)
    assert writer.stdout is not None
    for _ in range(2):
        printed = int(await writer.stdout.readline())
    writer.send_signal(signal.SIGKILL)
    printed = max([printed, *map(int, (await writer.stdout.read()).split())])
    assert await writer.wait() == -signal.SIGKILL
    async with opened(url) as database:
        numbers = await logged(database)
    assert len(numbers) >= printed  # one more batch may be there than was printed
    assert numbers == [*range(1, len(numbers) + 1)]


async def test_a_process_that_stops_writes_all_that_it_recorded(server: Server) -> None:
    url = await server.new()
    writer = await start(url)
    assert writer.stdout is not None
    await writer.stdout.readline()
    printed, _ = await writer.communicate(b"stop\n")
    assert writer.returncode == 0
    recorded = int(printed.split()[-1])
    async with opened(url) as database:
        assert await logged(database) == [*range(1, recorded + 1)]


@pytest.mark.timeout(300)
async def test_a_server_that_ends_all_connections_loses_no_attempt(postgres: Postgres) -> None:
    url = await postgres.new()
    writer = await start(url)
    assert writer.stdout is not None
    async with opened(url) as database:
        for _ in range(3):
            await writer.stdout.readline()
            async with database.reading() as db:
                others = "datname = current_database() AND pid <> pg_backend_pid()"
                cut = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {others}"
                await db.execute(text(cut))
        printed, _ = await writer.communicate(b"stop\n")
        assert await logged(database) == [*range(1, int(printed.split()[-1]) + 1)]


async def test_a_reply_of_the_router_is_in_the_log_with_every_attempt(database: Database) -> None:
    recorder = await asyncio.to_thread(Scene(COUNTED, SPARE).ask)
    observer = UsageObserver(UsageLog(database))
    for reply in recorder.replies:
        observer.reply_ended(reply)
    await observer.aclose()
    async with database.reading() as db:
        rows = (await db.execute(usage.select())).mappings().all()
    assert [(row["connection_name"], row["outcome"]) for row in rows] == [
        (attempt.connection, attempt.outcome) for attempt in recorder.attempts
    ]
    won = next(row for row in rows if row["outcome"] == "won")
    assert (won["tokens_in"], won["tokens_out"], won["tokens_cached"]) == (7, 12, 3)
    assert (won["session_id"], won["pool"], won["is_estimated"]) == ("call-1", "default", False)
