"""Measures how soon a change of a connection takes effect for the calls of another process, on both
databases: from the moment it is stored until it would decide the next turn.

    python -m bench.live_change --rounds 50
"""

import asyncio
import json
import os
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from random import Random
from tempfile import TemporaryDirectory
from time import monotonic
from typing import Any

from cryptography.fernet import Fernet

from bench.live_change.follower import KEY, URL
from bench.live_change.page import delays_table, make_goals, make_page
from bench.report.command import BenchParser, Progress, finish, terminal_progress
from llm_router.connections.access import SYSTEM
from llm_router.connections.record import Connection
from llm_router.connections.store import ConnectionStore
from llm_router.store.connections import SqlConnectionStore
from llm_router.store.crypto import Vault
from llm_router.store.migrations import migrate
from tests.contracts.databases import opened, running_postgres
from tests.contracts.processes import ROOT, child

_TIMEOUT = 60.0
"""Seconds for a change to take effect at all."""
Connections = Mapping[str, Any]
"""Priority and key of each connection, by name."""
NextReport = Callable[[], Awaitable[tuple[float, Connections]]]
"""Waits for the follower's next report: the moment (s, monotonic) and its connections."""


@asynccontextmanager
async def start_follower(url: str, key: str) -> AsyncIterator[NextReport]:
    """Runs another process that follows the store while the block runs."""
    command = (sys.executable, "-m", "bench.live_change.follower")
    env = {**os.environ, URL: url, KEY: key}
    async with child(*command, cwd=ROOT, env=env, stdout=PIPE) as process:

        async def next_report() -> tuple[float, Connections]:
            assert process.stdout
            async with asyncio.timeout(_TIMEOUT):
                moment, connections = json.loads(await process.stdout.readline())
            return moment, connections

        yield next_report


async def measure(url: str, rounds: int, progress: Progress) -> dict[str, list[float]]:
    """Returns the delays in seconds, by kind of change."""
    key = Fernet.generate_key().decode()
    rng = Random(1)
    delays: dict[str, list[float]] = {}
    async with opened(url) as database:
        await migrate(database)
        store = SqlConnectionStore(database, Vault([key]))
        async with start_follower(url, key) as next_report:
            await next_report()
            for number in range(rounds):
                progress(f"{database.dialect}: {number} of {rounds} rounds")
                for kind, change, expected in _changes(store, number):
                    await asyncio.sleep(rng.random())  # at any moment between two polls
                    await change
                    stored = monotonic()
                    moment, connections = await next_report()
                    while connections != expected:
                        moment, connections = await next_report()
                    delays.setdefault(kind, []).append(max(0.0, moment - stored))
    progress("")
    return delays


def _changes(
    store: ConnectionStore, number: int
) -> Sequence[tuple[str, Awaitable[object], Connections]]:
    """Returns each kind of change, and the connections that calls use after it."""
    id_ = f"id-{number}"
    old = f"sk-old-{number:08}"
    new = f"sk-new-{number:08}"
    made = Connection(id=id_, name="desk", provider="offline", api_key=old)
    off = {"is_active": False}
    on = {"is_active": True}
    return (
        ("added", store.add(SYSTEM, [made]), {"desk": [0, old]}),
        ("priority", store.change(SYSTEM, id_, {"priority": 7}), {"desk": [7, old]}),
        ("key", store.change(SYSTEM, id_, {"api_key": new}), {"desk": [7, new]}),
        ("deactivated", store.change(SYSTEM, id_, off), {}),
        ("activated", store.change(SYSTEM, id_, on), {"desk": [7, new]}),
        ("deleted", store.remove(SYSTEM, id_), {}),
    )


def main() -> int:
    parser = BenchParser("bench.live_change", __doc__)
    parser.add_number("--rounds", 20, "changes of each kind; about 3 minutes")
    chosen = parser.parse_args()
    progress = terminal_progress()
    with TemporaryDirectory(prefix="patchbay-live-") as folder, running_postgres() as server:
        urls = {
            "SQLite": f"sqlite:///{folder}/store.sqlite3",
            "PostgreSQL": asyncio.run(server.new(migrated=False)),
        }
        by_database = {
            name: asyncio.run(measure(url, chosen.rounds, progress)) for name, url in urls.items()
        }
    for name, delays in by_database.items():
        print(f"{name}\n{delays_table(delays).text}\n")
    return finish(chosen, lambda: make_page(by_database, chosen.rounds), make_goals(by_database))


if __name__ == "__main__":
    sys.exit(main())
