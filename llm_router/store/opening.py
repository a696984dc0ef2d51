"""The store of connections, from plain settings: its database, and the keys that seal secrets."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from sqlalchemy import or_, select

from llm_router.clock import Clock
from llm_router.store.crypto import load_vault
from llm_router.store.database import Database
from llm_router.store.migrations import migrate
from llm_router.store.sql import SqlConnectionStore
from llm_router.store.tables import connections, webhooks


@asynccontextmanager
async def open_sealed_store(
    url: str, keys: Sequence[str], key_file: Path, clock: Clock | None = None
) -> AsyncIterator[SqlConnectionStore]:
    """A store over the database at `url`, brought up to date; closed at the end of the block.

    `keys`: master keys, the first of which seals. Where there is none they are read from
    `key_file`, which is made unless the database holds sealed values already. Raises
    ConfigurationError and StoreError.
    """
    database = Database(url)
    try:
        await migrate(database)
        may_make = not await _holds_secrets(database)
        vault = await asyncio.to_thread(load_vault, keys, key_file, may_make=may_make)
        yield SqlConnectionStore(database, vault, clock)
    finally:
        await database.aclose()


async def _holds_secrets(database: Database) -> bool:
    columns = connections.c
    sealed = or_(columns.api_key_sealed.is_not(None), columns.headers_sealed.is_not(None))
    async with database.reading() as db:
        return any(
            [
                (await db.execute(select(columns.id).where(sealed).limit(1))).first(),
                (await db.execute(select(webhooks.c.id).limit(1))).first(),
            ]
        )
