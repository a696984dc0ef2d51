"""The store of connections, from plain settings: its database, and the keys that seal secrets."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from llm_router.clock import Clock
from llm_router.store.connections import SqlConnectionStore
from llm_router.store.crypto import Vault, load_vault
from llm_router.store.database import Database
from llm_router.store.migrations import migrate
from llm_router.store.sealing import holds_secrets


@asynccontextmanager
async def open_sealed_store(
    url: str, keys: Sequence[str], key_file: Path, clock: Clock | None = None
) -> AsyncIterator[SqlConnectionStore]:
    """A store over the database at `url`, opened as by `open_sealed_database`."""
    async with open_sealed_database(url, keys, key_file) as (database, vault):
        yield SqlConnectionStore(database, vault, clock)


@asynccontextmanager
async def open_sealed_database(
    url: str, keys: Sequence[str], key_file: Path
) -> AsyncIterator[tuple[Database, Vault]]:
    """The database at `url`, brought up to date, and what opens its secrets; closed at the end of
    the block.

    `keys`: master keys, the first of which seals. Where there is none they are read from
    `key_file`, which is made unless the database holds sealed values already. Raises
    ConfigurationError and StoreError.
    """
    database = Database(url)
    try:
        await migrate(database)
        may_make = not await holds_secrets(database)
        yield database, await asyncio.to_thread(load_vault, keys, key_file, may_make=may_make)
    finally:
        await database.aclose()
