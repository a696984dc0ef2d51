"""Whether a store full of attempts still answers at once: lists, filters, analytics and the usage
log on SQLite and PostgreSQL, at three sizes.

    python -m bench.store --attempts 1000000
"""

import argparse
import asyncio
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

from cryptography.fernet import Fernet
from sqlalchemy import func, select

from bench.report.table import Progress, progress
from bench.store.fill import add_connections, fill, kinds
from bench.store.page import Stage, goals, tables, write
from bench.store.questions import answers, noting, plans, questions, summing_up, waiting, writing
from llm_router.store.crypto import Vault
from llm_router.store.database import Database
from llm_router.store.migrations import migrate
from tests.contracts.databases import opened, running_postgres

PAGE = Path(__file__).parents[2] / "docs" / "bench" / "store.md"
_FEWEST = 100_000
_SHARES = (0.01, 0.1, 1.0)
_SEED = 2026
_BATCHES_WAITING = 2
"""Written, and not summed up, when the questions are asked."""


async def measure(url: str, attempts: int, rounds: int, tell: Progress) -> list[Stage]:
    """One database as it grows."""
    vault, like = Vault([Fernet.generate_key().decode()]), kinds(_SEED)
    sizes = [0, *(int(attempts * share) for share in _SHARES)]
    async with opened(url) as database:
        await migrate(database)
        store = await add_connections(database, vault)
        stages = []
        for before, size in pairwise(sizes):
            now = await fill(database, range(before, size), attempts, like, tell)
            summed = await summing_up(database, tell)
            await writing(database, like, now, _BATCHES_WAITING)
            asked = questions(store, now)
            stage = Stage(
                dialect=database.dialect,
                attempts=size,
                waiting=await waiting(database),
                answers=[
                    *await answers(asked, rounds, tell),
                    *await writing(database, like, now, rounds),
                    summed,
                    noting(),
                ],
                plans=await plans(database, asked),
                megabytes=await _megabytes(database),
            )
            await summing_up(database, tell)
            stages.append(stage)
    return stages


async def _megabytes(database: Database) -> float:
    if database.dialect == "sqlite":
        path = Path(database.url.database or "")
        return sum(file.stat().st_size for file in path.parent.glob(f"{path.name}*")) / 1e6
    async with database.reading() as db:
        size = select(func.pg_database_size(func.current_database()))
        return float((await db.execute(size)).scalar_one()) / 1e6


@contextmanager
def _urls(kinds_of: Sequence[str]) -> Iterator[list[str]]:
    """Of empty databases, one of each kind."""
    with TemporaryDirectory(prefix="patchbay-store-") as folder:
        urls = [f"sqlite:///{folder}/store.sqlite3"] if "sqlite" in kinds_of else []
        if "postgresql" not in kinds_of:
            yield urls
            return
        with running_postgres() as server:
            yield [*urls, asyncio.run(server.new(migrated=False))]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--attempts", type=int, default=200_000, metavar="N",
        help="in the largest of three sizes (default: %(default)s; the page is made of 10000000, "
        "which takes 12 GB of disk)",
    )  # fmt: skip
    parser.add_argument(
        "--rounds", type=int, default=20, metavar="N",
        help="times each question is asked (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--databases", nargs="+", choices=("sqlite", "postgresql"),
        default=["sqlite", "postgresql"], help="(default: both)",
    )  # fmt: skip
    parser.add_argument("--write", action="store_true", help=f"write {PAGE.name} and its picture")
    parser.add_argument("--check", action="store_true", help="exit with 1 if a goal was missed")
    chosen = parser.parse_args()
    if chosen.attempts < _FEWEST or chosen.rounds < 1:
        parser.error(f"--attempts must be at least {_FEWEST:,}, and --rounds 1")
    return chosen


def main() -> int:
    chosen = _arguments()
    tell = progress()
    with _urls(chosen.databases) as urls:
        stages = [
            stage
            for url in urls
            for stage in asyncio.run(measure(url, chosen.attempts, chosen.rounds, tell))
        ]
    tell("")
    print(tables(stages))
    if chosen.write:
        write(PAGE, stages)
        print(f"written: {PAGE} and its picture")
    missed = [goal for goal in goals(stages) if not goal.is_met]
    for goal in missed:
        print(f"MISSED: {goal.says}: {goal.measured:.2f} ms, not {goal.limit:g} ms")
    return 1 if missed and chosen.check else 0


if __name__ == "__main__":
    sys.exit(main())
