"""For developers: write the next migration from what has changed in `tables.py`."""

import asyncio
import sys
import tempfile

from llm_router.store.database import Database
from llm_router.store.migrations import migrate, write_migration


async def _write(what_for: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        database = Database(f"sqlite:///{folder}/now.sqlite3")
        try:
            await migrate(database)
            await write_migration(database, what_for)
        finally:
            await database.aclose()


if len(sys.argv) != 2:  # noqa: PLR2004  the program and one word of its own
    sys.exit('usage: python -m llm_router.store.migrations "what it is for"')
asyncio.run(_write(sys.argv[1]))
