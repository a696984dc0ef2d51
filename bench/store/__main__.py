"""Measures whether a store full of attempts still answers at once: lists, filters, analytics and
the usage log on SQLite and PostgreSQL, at three sizes.

    python -m bench.store --attempts 1000000
"""

import asyncio
import sys
from itertools import pairwise
from pathlib import Path

from cryptography.fernet import Fernet
from sqlalchemy import func, select

from bench.full_store.databases import empty_databases
from bench.full_store.fill import CONNECTIONS, USED, add_connections, draw_attempts, fill
from bench.report.command import BenchParser, Progress, finish, terminal_progress
from bench.store.page import Stage, make_goals, make_page
from bench.store.plans import explain
from bench.store.queries import (
    count_waiting,
    make_queries,
    measure_queries,
    measure_recording,
    measure_summaries,
    measure_writing,
)
from llm_router.store.crypto import Vault
from llm_router.store.database import Database
from llm_router.store.migrations import migrate
from tests.contracts.databases import opened

_FEWEST = 100_000
_SHARES = (0.01, 0.1, 1.0)
_SEED = 2026
_BATCHES_WAITING = 2
"""Batches that are written, but not summed up, before the queries."""
_DATABASES = ("sqlite", "postgresql")


async def measure(
    url: str, attempts: int, used: int, rounds: int, progress: Progress
) -> list[Stage]:
    """Measures a database as it grows."""
    vault = Vault([Fernet.generate_key().decode()])
    samples = draw_attempts(_SEED, used)
    sizes = [0, *(int(attempts * share) for share in _SHARES)]
    stages = []
    async with opened(url) as database:
        await migrate(database)
        store = await add_connections(database, vault, max(used, CONNECTIONS))
        for before, size in pairwise(sizes):
            now = await fill(database, range(before, size), attempts, samples, progress)
            summaries = await measure_summaries(database, progress)
            await measure_writing(database, samples, now, _BATCHES_WAITING)
            queries = make_queries(store, now)
            stage = Stage(
                dialect=database.dialect,
                attempts=size,
                used=used,
                waiting=await count_waiting(database),
                timings=[
                    *await measure_queries(queries, rounds, progress),
                    *await measure_writing(database, samples, now, rounds),
                    summaries,
                    measure_recording(),
                ],
                plans=await explain(database, queries),
                megabytes=await _megabytes(database),
            )
            await measure_summaries(database, progress)
            stages.append(stage)
    return stages


async def _megabytes(database: Database) -> float:
    if database.dialect == "sqlite":
        path = Path(database.url.database or "")
        return sum(file.stat().st_size for file in path.parent.glob(f"{path.name}*")) / 1e6
    async with database.reading() as db:
        size = select(func.pg_database_size(func.current_database()))
        return float((await db.execute(size)).scalar_one()) / 1e6


def main() -> int:
    parser = BenchParser("bench.store", __doc__)
    parser.add_number(
        "--attempts", 200_000, "attempts in the largest of three sizes; the page is made of "
        "10000000, which take 12 GB of disk", least=_FEWEST,
    )  # fmt: skip
    parser.add_number("--used", USED, f"connections with attempts, of {CONNECTIONS} or as many")
    parser.add_number("--rounds", 20, "times that each query is run")
    parser.add_choice("--databases", _DATABASES)
    chosen = parser.parse_args()
    progress = terminal_progress()
    with empty_databases(chosen.databases) as urls:
        stages = [
            stage
            for url in urls
            for stage in asyncio.run(
                measure(url, chosen.attempts, chosen.used, chosen.rounds, progress)
            )
        ]
    progress("")
    print(make_page(stages).text)
    return finish(chosen, lambda: make_page(stages), make_goals(stages))


if __name__ == "__main__":
    sys.exit(main())
