"""How soon a change of a connection holds for the calls of another process, on both databases:
from the moment it is kept until the next turn would go by it.

    python -m bench.live_change --rounds 50
"""

import argparse
import asyncio
import json
import os
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from statistics import median
from tempfile import TemporaryDirectory
from time import monotonic
from typing import Any

from cryptography.fernet import Fernet

from bench.live_change.follower import KEY, URL
from bench.report.table import Progress, machine, markdown_table, progress, seconds, text_table
from llm_router.connections.access import SYSTEM
from llm_router.connections.record import Connection
from llm_router.connections.store import ConnectionStore
from llm_router.store.connections import SqlConnectionStore
from llm_router.store.crypto import Vault
from llm_router.store.migrations import migrate
from tests.contracts.databases import opened, running_postgres
from tests.contracts.processes import ROOT, child

PAGE = Path(__file__).parents[2] / "docs" / "bench" / "live_change.md"
GOAL = 2.0
"""Seconds, at most."""
HEAD = ("", "p50, s", "longest, s", "")
_WITHIN = 60.0
"""Seconds for a change to be seen at all."""
Asked = Mapping[str, Any]
Told = Callable[[], Awaitable[tuple[float, Asked]]]


@asynccontextmanager
async def following(url: str, key: str) -> AsyncIterator[Told]:
    """Another process that follows the store; what it tells, one change after the other."""
    command, env = (
        (sys.executable, "-m", "bench.live_change.follower"),
        {**os.environ, URL: url, KEY: key},
    )
    async with child(*command, cwd=ROOT, env=env, stdout=PIPE) as process:

        async def told() -> tuple[float, Asked]:
            assert process.stdout
            async with asyncio.timeout(_WITHIN):
                moment, asked = json.loads(await process.stdout.readline())
            return moment, asked

        yield told


async def measure(url: str, rounds: int, tell: Progress) -> dict[str, list[float]]:
    """Seconds for each kind of change."""
    key, rng = Fernet.generate_key().decode(), Random(1)
    async with opened(url) as database:
        await migrate(database)
        store = SqlConnectionStore(database, Vault([key]))
        async with following(url, key) as told:
            await told()
            took: dict[str, list[float]] = {}
            for number in range(rounds):
                tell(f"{database.dialect}: {number} of {rounds} rounds")
                for kind, change, expected in _changes(store, number):
                    await asyncio.sleep(rng.random())  # at any moment between two looks
                    await change
                    kept = monotonic()
                    seen, asked = await told()
                    while asked != expected:
                        seen, asked = await told()
                    took.setdefault(kind, []).append(max(0.0, seen - kept))
    tell("")
    return took


def _changes(store: ConnectionStore, number: int) -> Sequence[tuple[str, Awaitable[object], Asked]]:
    """What is done, and what is asked after it."""
    id_, old, new = f"id-{number}", f"sk-old-{number:08}", f"sk-new-{number:08}"
    made = Connection(id=id_, name="desk", provider="offline", api_key=old)
    off, on = {"is_active": False}, {"is_active": True}
    return (
        ("added", store.add(SYSTEM, [made]), {"desk": [0, old]}),
        ("priority", store.change(SYSTEM, id_, {"priority": 7}), {"desk": [7, old]}),
        ("key", store.change(SYSTEM, id_, {"api_key": new}), {"desk": [7, new]}),
        ("deactivated", store.change(SYSTEM, id_, off), {}),
        ("activated", store.change(SYSTEM, id_, on), {"desk": [7, new]}),
        ("deleted", store.remove(SYSTEM, id_), {}),
    )


def rows(took: Mapping[str, Sequence[float]]) -> list[list[str]]:
    return [[kind, seconds(median(times)), seconds(max(times)), ""] for kind, times in took.items()]


def write(found: Mapping[str, Mapping[str, Sequence[float]]], rounds: int) -> None:
    tables = [f"## {name}\n\n{markdown_table(HEAD, rows(took))}" for name, took in found.items()]
    intro = _INTRO.format(goal=GOAL, where=machine(), rounds=rounds)
    PAGE.write_text("\n\n".join([intro, *tables]) + "\n", encoding="utf-8")


_INTRO = """\
# A change while calls go on

From the moment a change is kept to the moment the next turn of a call in another process goes by
it. PostgreSQL tells the process at once; SQLite cannot, and is asked twice a second. Promised are
{goal:g} seconds. Written by `python -m bench.live_change --write`.

Measured on {where}; {rounds} changes of each kind, at any moment."""


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--rounds", type=int, default=20, metavar="N",
        help="changes of each kind (default: %(default)s, about 3 minutes)",
    )  # fmt: skip
    parser.add_argument("--write", action="store_true", help=f"write {PAGE.name}")
    parser.add_argument("--check", action="store_true", help=f"exit with 1 if one took {GOAL:g} s")
    chosen = parser.parse_args()
    if chosen.rounds < 1:
        parser.error("--rounds must be at least 1")
    return chosen


def main() -> int:
    chosen, tell = _arguments(), progress()
    with TemporaryDirectory(prefix="patchbay-live-") as folder, running_postgres() as server:
        urls = {
            "SQLite": f"sqlite:///{folder}/store.sqlite3",
            "PostgreSQL": asyncio.run(server.new(migrated=False)),
        }
        found = {name: asyncio.run(measure(url, chosen.rounds, tell)) for name, url in urls.items()}
    for name, took in found.items():
        print(f"{name}\n{text_table(HEAD, rows(took))}\n")
    if chosen.write:
        write(found, chosen.rounds)
        print(f"written: {PAGE}")
    slowest = max(time for took in found.values() for times in took.values() for time in times)
    return 1 if chosen.check and slowest > GOAL else 0


if __name__ == "__main__":
    sys.exit(main())
