"""Connects the commands to the API: over HTTP, or in this process over the database."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from llm_router.api_client import ApiClient
from llm_router.cli.asgi_transport import StreamingASGITransport
from llm_router.connections.access import SYSTEM
from llm_router.errors import ConfigurationError
from llm_router.gateway.app import build_local_app
from llm_router.gateway.deps import Services
from llm_router.gateway.rates import RateLimit
from llm_router.settings.loading import environment, load_section
from llm_router.settings.store import ClientSettings, StoreSettings
from llm_router.store.api_keys import ApiKeys
from llm_router.store.connections import SqlConnectionStore
from llm_router.store.crypto import Vault
from llm_router.store.database import Database
from llm_router.store.sealed_store import open_sealed_database
from llm_router.store.webhooks import Webhooks
from llm_router.voice.assistant_file import read_file

_UNLIMITED = "1000000/second"
"""Requests of the operator of this machine, whose own process answers them."""


@asynccontextmanager
async def open_api(url: str | None, key_file: Path | None) -> AsyncIterator[ApiClient]:
    """Opens a client of the API at `url`, else at PATCHBAY_API_URL, else over the database.

    Raises ConfigurationError for a `key_file` that cannot be read, and the errors of
    `open_database`.
    """
    if address := api_address(url):
        async with ApiClient(address, api_key(key_file)) as api:
            yield api
        return
    async with open_database() as (database, vault):
        app = build_local_app(build_services(database, vault), SYSTEM)
        async with (
            app.router.lifespan_context(app),
            ApiClient("http://patchbay", transport=StreamingASGITransport(app)) as api,
        ):
            yield api


@asynccontextmanager
async def open_database() -> AsyncIterator[tuple[Database, Vault]]:
    """Opens the database that the settings name, migrated, and the vault for its secrets."""
    settings = load_section(StoreSettings)
    url = settings.database_url.get_secret_value()
    async with open_sealed_database(
        url, settings.master_keys, settings.encryption_key_file
    ) as opened:
        yield opened


def build_services(database: Database, vault: Vault) -> Services:
    """Builds the services of a process that works on the database itself."""
    settings, environ = load_section(StoreSettings), environment()
    return Services(
        database=database,
        store=SqlConnectionStore(
            database,
            vault,
            quota=settings.quota,
        ),
        keys=ApiKeys(database),
        webhooks=Webhooks(database, vault),
        vault=vault,
        allowed_addresses=settings.allowed_addresses,
        environ=environ,
        assistants_in_file=partial(read_file, settings.assistants_file, environ),
        request_limit=RateLimit(_UNLIMITED),
    )


def api_address(url: str | None) -> str | None:
    """Returns the address of the HTTP process to use: `url`, else PATCHBAY_API_URL, if any."""
    return url or load_section(ClientSettings).patchbay_api_url


def api_key(key_file: Path | None) -> str:
    """Returns the API key in the file, else in PATCHBAY_API_KEY. Raises ConfigurationError."""
    return _read_key(key_file) if key_file else load_section(ClientSettings).api_key


def _read_key(file: Path) -> str:
    try:
        return file.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"--api-key-file {file}: cannot be read ({error}); name a file with the key in it"
        ) from error
