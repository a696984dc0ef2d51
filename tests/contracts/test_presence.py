"""A worker that takes calls is known to the HTTP processes, and no longer than it does."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from agent.presence import (
    are_workers_full,
    calls_if_another_dies,
    is_worker_present,
    worker_present,
)
from llm_router.clock import SystemClock, utc_now
from llm_router.store.database import Database
from llm_router.store.workers import Workers
from llm_router.voice.workers import WorkerLoad, WorkerReport
from tests.contracts.databases import Files, opened

CLOCK = SystemClock()
HOUR = timedelta(hours=1)


async def is_present(database: Database, agent_name: str = "desk") -> bool:
    return await is_worker_present(database, agent_name, CLOCK)


async def test_a_worker_is_present_while_it_runs(database: Database) -> None:
    assert not await is_present(database)
    async with worker_present(database, "desk", CLOCK, lambda: True):
        assert await is_present(database)
        assert not await is_present(database, "another agent")
    assert not await is_present(database)


@pytest.fixture
async def file(files: Files) -> AsyncIterator[Database]:
    async with opened(await files.new()) as database:
        yield database


async def test_a_worker_that_takes_no_calls_is_not_present(file: Database) -> None:
    async with worker_present(file, "desk", CLOCK, lambda: False):
        assert not await is_present(file)


async def test_the_second_of_two_workers_does_not_disturb_the_first(file: Database) -> None:
    async with worker_present(file, "desk", CLOCK, lambda: True):
        async with worker_present(file, "desk", CLOCK, lambda: True):
            assert await is_present(file)
        assert await is_present(file)


async def test_the_fleet_is_full_when_no_worker_has_a_place(file: Database) -> None:
    async def is_full(agent_name: str = "desk") -> bool:
        return await are_workers_full(file, agent_name, CLOCK)

    loads = {True: WorkerLoad(load=0.5, limit=0.7), False: WorkerLoad(load=0.7, limit=0.7)}

    def present(worker: str, has_place: bool, agent_name: str = "desk") -> Any:
        return worker_present(
            file, agent_name, CLOCK, lambda: True, worker=worker, load=lambda: loads[has_place]
        )

    assert not await is_full()  # no worker is known: LiveKit may know one
    async with present("one", False), present("a", True, "desk%"), present("b", True, "desk 2"):
        assert await is_full()
        async with present("two", True):
            assert not await is_full()
        assert await is_full()


async def test_a_worker_goes_on_without_tables(
    files: Files, caplog: pytest.LogCaptureFixture
) -> None:
    async with opened(await files.new(migrated=False)) as database:
        for _ in range(2):
            async with worker_present(database, "desk", CLOCK, lambda: True):
                assert "/readyz does not count this worker until the database" in caplog.text


async def test_a_worker_says_how_busy_it_is_as_long_as_it_runs(database: Database) -> None:
    busy = WorkerLoad(calls=2, load=0.4, limit=0.7, ready=1)

    async def all_of_them() -> dict[str, WorkerLoad]:
        return {one.name: one.load for one in await Workers(database).all(utc_now(CLOCK) - HOUR)}

    async with worker_present(
        database, "desk", CLOCK, lambda: True, worker="w1", load=lambda: busy
    ):
        assert await all_of_them() == {"w1": busy}
        long_ago = WorkerReport(
            name="dead",
            agent_name="desk",
            takes_calls=True,
            load=busy,
            started_at=utc_now(CLOCK) - 3 * HOUR,
            seen_at=utc_now(CLOCK) - 2 * HOUR,
        )
        await Workers(database).report(long_ago)
        assert await all_of_them() == {"w1": busy}
        await Workers(database).report(replace(long_ago, name="w2", seen_at=utc_now(CLOCK)))
        assert len(await Workers(database).all(utc_now(CLOCK) - 3 * HOUR)) == 2  # none is dead
    assert {*await all_of_them()} == {"w2"}


def test_places_are_estimated_from_the_calls_that_a_worker_has() -> None:
    assert WorkerLoad(calls=2, load=0.4, limit=0.7).places == 1
    assert WorkerLoad(calls=2, load=0.7, limit=0.7).places == 0
    assert WorkerLoad(load=0.1, limit=0.7).places is None
    assert WorkerLoad(calls=3, load=0.0).places is None


async def test_the_calls_of_a_worker_that_dies_are_shared_by_those_that_are_left(
    file: Database,
) -> None:
    async def calls_for(worker: str) -> int:
        return await calls_if_another_dies(file, "desk", worker, CLOCK)

    def present(worker: str, calls: int, agent_name: str = "desk") -> Any:
        load = WorkerLoad(calls=calls)
        return worker_present(
            file, agent_name, CLOCK, lambda: True, worker=worker, load=lambda: load
        )

    async with present("one", 5):
        assert await calls_for("one") == 0
        async with present("two", 0), present("other", 99, "another agent"):
            assert [await calls_for(worker) for worker in ("one", "two")] == [0, 5]
            async with present("three", 1):
                assert [await calls_for(worker) for worker in ("one", "three")] == [1, 3]
