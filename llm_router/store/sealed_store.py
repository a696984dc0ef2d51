"""Opens the store of connections, with its database and master keys, from plain settings."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from llm_router.options import Quota
from llm_router.store.connections import SqlConnectionStore
from llm_router.store.crypto import Vault, load_vault
from llm_router.store.database import PATIENCE, Database
from llm_router.store.migrations import migrate
from llm_router.store.sealing import holds_secrets


@asynccontextmanager
async def open_sealed_store(
    url: str,
    keys: Sequence[str],
    key_file: Path,
    *,
    patience: float = PATIENCE,
    quota: Quota | None = None,
) -> AsyncIterator[SqlConnectionStore]:
    """Opens a store over the database at `url`, as `open_sealed_database` does."""
    async with open_sealed_database(url, keys, key_file, patience=patience) as (database, vault):
        yield SqlConnectionStore(database, vault, quota=quota)


@asynccontextmanager
async def open_sealed_database(
    url: str, keys: Sequence[str], key_file: Path, *, patience: float = PATIENCE
) -> AsyncIterator[tuple[Database, Vault]]:
    """Opens the database at `url`, migrated, with its vault; closes it after the block.

    `keys`: master keys, of which the first seals. Without any they are read from `key_file`, which
    is made unless the database already has sealed values. `patience` is that of `Database`. Raises
    ConfigurationError and StoreError.
    """
    database = Database(url, patience=patience)
    try:
        await migrate(database)
        may_create = not await holds_secrets(database)
        yield database, await asyncio.to_thread(load_vault, keys, key_file, may_create=may_create)
    finally:
        await database.aclose()
