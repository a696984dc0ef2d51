"""Migrates the database at a URL, as a process that halts before each statement.

It prints the statement on a line, and continues at a line on its standard input.
"""

import asyncio
import sys

from sqlalchemy import event

from llm_router.store.database import Database
from llm_router.store.migrations import migrate


def _halt(_: object, __: object, statement: str, *___: object) -> None:
    print(" ".join(statement.split()), flush=True)
    sys.stdin.readline()


async def main(url: str) -> None:
    database = Database(url, answer_within=None)
    event.listen(database.engine.sync_engine, "before_cursor_execute", _halt)
    await migrate(database)
    await database.aclose()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
