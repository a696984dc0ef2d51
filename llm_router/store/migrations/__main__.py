"""Writes the next migration from the changes in `tables.py`, for developers."""

import asyncio
import sys
import tempfile

from llm_router.store.database import Database
from llm_router.store.migrations import migrate, write_migration


async def _write(purpose: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        database = Database(f"sqlite:///{folder}/now.sqlite3")
        try:
            await migrate(database)
            await write_migration(database, purpose)
        finally:
            await database.aclose()


if len(sys.argv) != 2:  # noqa: PLR2004  the program and its one argument
    sys.exit('usage: python -m llm_router.store.migrations "its purpose"')
asyncio.run(_write(sys.argv[1]))
