"""Work on the database as a whole: its schema, its migrations, the key that seals its secrets."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from llm_router.cli.connect import open_database
from llm_router.clock import utc_now
from llm_router.connections.access import SYSTEM
from llm_router.errors import ConfigurationError
from llm_router.settings.loading import load_section
from llm_router.settings.store import StoreSettings
from llm_router.store import key_file
from llm_router.store.database import Database
from llm_router.store.migrations import migrate, read_revisions, schema_sql
from llm_router.store.sealing import ResealResult, preview_reseal, reseal

_OPERATOR = replace(SYSTEM, origin="cli")


def schema() -> str:
    """Returns the whole schema as SQL, in the dialect of the database that the settings name."""
    return schema_sql(_database().dialect)


async def bring_up_to_date() -> tuple[str, str | None, str | None]:
    """Migrates the database to the newest version.

    Returns its URL without the password, and the versions before and after.
    """
    database = _database()
    try:
        before, _ = await read_revisions(database)
        await migrate(database)
        after, _ = await read_revisions(database)
    finally:
        await database.aclose()
    return database.display_url, before, after


async def rotate(on_progress: Callable[[int, int], object]) -> ResealResult:
    """Seals every stored secret with the first master key; see `reseal`."""
    async with open_database() as (database, vault):
        return await reseal(database, vault, _OPERATOR, utc_now(), on_progress)


def add_master_key() -> tuple[Path, int]:
    """Adds a new master key to the file, above the others; returns the file and their number.

    Raises ConfigurationError where the keys are not in a file, or it cannot be changed.
    """
    file = _key_file()
    with _file_errors(file):
        return file, key_file.add_key(file)


async def retire_master_keys() -> tuple[Path, int]:
    """Removes all master keys but the first, and returns the file and how many were removed.

    Raises ConfigurationError where anything is sealed with an old one, or the file cannot be
    changed.
    """
    file = _key_file()
    async with open_database() as (database, vault):
        preview = await preview_reseal(database, vault)
    if preview.rows or preview.broken:
        raise ConfigurationError(
            f"{preview.rows} rows are not sealed with the first key of {file}, and"
            f" {len(preview.broken)} cannot be opened; run `llm-router keys rotate` first"
        )
    with _file_errors(file):
        return file, key_file.retire_keys(file)


def _key_file() -> Path:
    settings = load_section(StoreSettings)
    if settings.master_keys:
        raise ConfigurationError(
            "the master keys are in ENCRYPTION_KEYS: change them there, the newest first"
        )
    return settings.encryption_key_file


@contextmanager
def _file_errors(file: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"the master key {file} cannot be changed ({error}); a first start makes it, and its"
            " owner may write it"
        ) from error


def _database() -> Database:
    return Database(load_section(StoreSettings).database_url.get_secret_value())
