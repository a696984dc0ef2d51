"""Where the commands find the API: over HTTP, or in this process, over the database."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from config.settings import ClientSettings, StoreSettings, environment, load_section
from llm_router.api_client import ApiClient
from llm_router.cli.asgi_transport import InProcess
from llm_router.connections.access import SYSTEM
from llm_router.errors import ConfigurationError, StoreError
from llm_router.gateway.app import build_app
from llm_router.gateway.deps import Services, who_asks
from llm_router.gateway.errors import Problem
from llm_router.store.api_keys import ApiKey, ApiKeys
from llm_router.store.connections import SqlConnectionStore
from llm_router.store.crypto import Vault
from llm_router.store.database import Database
from llm_router.store.sealed_store import open_sealed_database
from llm_router.store.webhooks import Webhooks


@asynccontextmanager
async def open_api(url: str | None, key_file: Path | None) -> AsyncIterator[ApiClient]:
    """The API at `url` or where the settings say, else over the database."""
    settings = load_section(ClientSettings)
    if address := url or settings.patchbay_api_url:
        key = _read_key(key_file) if key_file else settings.api_key
        async with ApiClient(address, key) as api:
            yield api
        return
    async with open_database() as (database, vault):
        app = _build(database, vault)
        async with ApiClient("http://patchbay", transport=InProcess(app)) as api:
            yield api


@asynccontextmanager
async def open_database() -> AsyncIterator[tuple[Database, Vault]]:
    """The database of the settings, brought up to date, and what opens its secrets."""
    settings = load_section(StoreSettings)
    url = settings.database_url.get_secret_value()
    keys, key_file = settings.master_keys, settings.encryption_key_file
    async with open_sealed_database(url, keys, key_file) as opened:
        yield opened


def _build(database: Database, vault: Vault) -> FastAPI:
    settings = load_section(StoreSettings)
    served = Services(
        database=database,
        store=SqlConnectionStore(database, vault),
        keys=ApiKeys(database),
        webhooks=Webhooks(database, vault),
        allowed_addresses=settings.allowed_addresses,
        environ=environment(),
    )
    operator = ApiKey(
        id="", name=SYSTEM.name, last4="", role=SYSTEM.role, created_by=SYSTEM.name,
        created_at=datetime.now(UTC),
    )  # fmt: skip
    app = build_app(served)
    app.dependency_overrides[who_asks] = lambda: operator

    @app.exception_handler(StoreError)
    async def told(_: Request, error: StoreError) -> JSONResponse:
        # Whose machine it is may know which database, and why.
        return Problem(503, "The database does not answer", str(error)).response()

    return app


def _read_key(file: Path) -> str:
    try:
        return file.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"--api-key-file {file}: cannot be read ({error}); name a file with the key in it"
        ) from error
