"""Measures a real PostgreSQL under simulated workers, and a real Redis under counters."""

import asyncio
import json
import math
import os
import random
import sys
from asyncio.subprocess import PIPE, Process
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic
from typing import Any

import asyncpg  # type: ignore[import-untyped]  # ships no types
from cryptography.fernet import Fernet
from limits import parse
from redis.asyncio import Redis

from bench.capacity.figures import CounterFigures, StoreFigures
from bench.capacity.fleet_worker import KEY, READY, URL
from bench.report.command import Progress
from bench.report.processes import work_of
from llm_router.connections.access import SYSTEM
from llm_router.connections.record import Connection
from llm_router.store.connections import SqlConnectionStore
from llm_router.store.crypto import Vault
from tests.contracts.databases import Postgres, opened
from tests.contracts.processes import ROOT, child
from tests.contracts.redis_server import opened_counters, running_redis

MOST_CONNECTIONS = 1_000
"""Connections that PostgreSQL accepts in this bench: by default it accepts a hundred."""
_HOSTS = 2
"""Processes that hold the simulated workers."""
_START_WITHIN = 120.0
_SEEN_WITHIN = 30.0
_CHANGED = "changed"
_CLIENTS = 10
"""Clients that count at the same time in Redis."""
_COUNTS = (
    "SELECT xact_commit + xact_rollback, tup_inserted + tup_updated + tup_deleted"
    " FROM pg_stat_database WHERE datname = current_database()"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """So many workers, each with so many calls, for about so many seconds with so many changes."""

    workers: int
    calls: int
    seconds: float
    changes: int

    @property
    def all_calls(self) -> int:
        return self.workers * self.calls


@dataclass
class _Sightings:
    """The moments at which calls have noticed each change, by its number."""

    at: dict[int, list[float]] = field(default_factory=lambda: defaultdict(list))
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    def add(self, change: int, moment: float) -> None:
        self.at[change].append(moment)
        self._news.set()

    async def of(self, change: int, calls: int) -> Sequence[float]:
        """Waits until so many calls have noticed a change. Raises TimeoutError after 30 s."""
        async with asyncio.timeout(_SEEN_WITHIN):
            while len(self.at[change]) < calls:
                self._news.clear()
                await self._news.wait()
        return self.at[change]


async def measure_store(server: Postgres, plan: Plan, progress: Progress) -> StoreFigures:
    """Measures the store as planned, in a database of its own."""
    url, key = await server.new(), Fernet.generate_key().decode()
    async with opened(url) as database, AsyncExitStack() as stack:
        store = SqlConnectionStore(database, Vault([key]))
        connection = Connection(id=_CHANGED, name="desk", provider="offline", priority=1)
        await store.add(SYSTEM, [connection])
        sightings = _Sightings()
        progress(f"{plan.workers} workers start")
        await _start(stack, {**os.environ, URL: url, KEY: key}, plan, sightings)
        progress(f"{plan.workers} workers with {plan.calls} calls each")
        spent = await stack.enter_async_context(_Spent.opened(url))
        await asyncio.sleep(1)  # their statistics come once a second
        before = await spent.read()
        delays: list[Sequence[float]] = []
        rng = random.Random(1)
        for number in range(plan.changes):
            await asyncio.sleep(rng.uniform(0.5, 1.5) * plan.seconds / plan.changes)
            await store.change(SYSTEM, _CHANGED, {"priority": number + 2})
            stored = monotonic()
            seen = await sightings.of(number + 2, plan.all_calls)
            delays.append([max(0.0, moment - stored) for moment in seen])
        await asyncio.sleep(1)
        after = await spent.read()
    lasted = after.at - before.at
    return StoreFigures(
        workers=plan.workers,
        calls=plan.all_calls,
        transactions=(after.transactions - before.transactions) / lasted,
        writes=(after.writes - before.writes) / lasted,
        cores=(after.work - before.work) / lasted,
        connections=after.connections,
        delays=delays,
    )


async def _start(
    stack: AsyncExitStack, environ: Mapping[str, str], plan: Plan, sightings: _Sightings
) -> None:
    """Starts the processes with the workers, and returns once all calls go on."""
    edges = [plan.workers * number // _HOSTS for number in range(_HOSTS + 1)]
    hosts = [
        await _start_host(stack, environ, (first, last - first, plan.calls))
        for first, last in pairwise(edges)
        if first < last
    ]
    async with asyncio.timeout(_START_WITHIN):
        for host in hosts:
            await _next_line(host)
    for host in hosts:
        reading = asyncio.create_task(_read(host, sightings))
        stack.push_async_callback(_cancel, reading)


async def _start_host(
    stack: AsyncExitStack, environ: Mapping[str, str], numbers: Sequence[int]
) -> Process:
    """Starts a process with workers: the number of its first, how many, and the calls of each."""
    folder = stack.enter_context(TemporaryDirectory(prefix="capacity-fleet-"))
    command = (sys.executable, "-m", "bench.capacity.fleet_worker", *map(str, numbers))
    own = {**environ, "PYTHONPATH": str(ROOT)}
    return await stack.enter_async_context(
        child(*command, cwd=folder, env=own, stdin=PIPE, stdout=PIPE, start_new_session=True)
    )


async def _next_line(host: Process) -> Any:
    assert host.stdout
    line = await host.stdout.readline()
    if not line:
        raise RuntimeError("a process with simulated workers has ended early; see its errors above")
    return json.loads(line)


async def _read(host: Process, sightings: _Sightings) -> None:
    while True:
        line = await _next_line(host)
        if line != READY:
            sightings.add(*line)


async def _cancel(task: "asyncio.Task[None]") -> None:
    task.cancel()
    await asyncio.wait({task})


@dataclass(frozen=True, slots=True)
class _Reading:
    at: float
    transactions: int
    writes: int
    work: float
    connections: int


@dataclass(frozen=True, slots=True)
class _Spent:
    """Reads what a PostgreSQL has done so far, over a connection of its own."""

    connection: asyncpg.Connection

    @staticmethod
    @asynccontextmanager
    async def opened(url: str) -> AsyncIterator["_Spent"]:
        connection = await asyncpg.connect(url)
        try:
            yield _Spent(connection)
        finally:
            await connection.close()

    async def read(self) -> _Reading:
        transactions, writes = await self.connection.fetchrow(_COUNTS)
        pids = [row[0] for row in await self.connection.fetch("SELECT pid FROM pg_stat_activity")]
        held = await self.connection.fetchval(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'patchbay'"
        )
        return _Reading(monotonic(), transactions, writes, sum(map(_work, pids)), held)


def _work(process: int) -> float:
    try:
        return work_of(process)
    except OSError:  # it has just ended
        return 0.0


async def measure_counters(seconds: float, progress: Progress) -> CounterFigures:
    """Measures the counters in Redis that the doors share, with so many clients at once."""
    progress("counters in Redis")
    with TemporaryDirectory(prefix="capacity-redis-") as folder:
        async with running_redis(Path(folder)) as port:
            url = f"redis://127.0.0.1:{port}/0"
            async with opened_counters(url) as counters, Redis(port=port) as redis:
                limit, waits = parse("1000000/minute"), list[float]()
                server = int((await redis.info("server"))["process_id"])
                begin, work = monotonic(), work_of(server)

                async def count(client: str) -> None:
                    while monotonic() < begin + seconds:
                        asked = monotonic()
                        await counters.hit(limit, client)
                        waits.append(monotonic() - asked)

                await asyncio.gather(*(count(f"client {n}") for n in range(_CLIENTS)))
                lasted = monotonic() - begin
                return CounterFigures(
                    hits=len(waits) / lasted,
                    cores=(work_of(server) - work) / lasted,
                    waits=waits or [math.inf],
                )
