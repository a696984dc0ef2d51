"""Stored connections for scripts, over the database or over HTTP, with one face.

    async with await get_connection("Local Ollama") as ollama:
        answer = await ollama.generate("A haiku about tea.", temperature=0.7)
        print(answer.text, answer.usage, answer.duration)

Without an address it goes by the settings: PATCHBAY_API_URL with PATCHBAY_API_KEY, else
DATABASE_URL. Over the database whoever runs the script is an admin: the machine is theirs. Over
HTTP the role of the API key holds, and no key of a connection comes out: there the HTTP process
does what `generate` asks for, and a LLM for LiveKit cannot be made.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, Self, TypedDict, Unpack

from pydantic import TypeAdapter

from config.settings import ClientSettings, StoreSettings, load_section
from llm_router.api_client import (
    ApiClient,
    connection_of,
    find_connection,
    params_of,
    refuse_several,
)
from llm_router.clock import SystemClock
from llm_router.connections.access import SYSTEM
from llm_router.connections.record import Connection, ConnectionType
from llm_router.connections.store import Query
from llm_router.errors import ForbiddenError
from llm_router.management.generate import (
    Generated,
    generate,
    open_alone,
    text_request,
)
from llm_router.management.opening import ConnectionOpener, require_flag
from llm_router.management.vetting import AddressRules
from llm_router.routing.router import Router
from llm_router.store.api_keys import ApiKeys
from llm_router.store.connections import SqlConnectionStore
from llm_router.store.sealed_store import open_sealed_store
from llm_router.types import Integration

if TYPE_CHECKING:
    from llm_router.integrations.livekit import RouterLLM

__all__ = ["ConnectionManager", "Generated", "ManagedConnection", "get_connection"]

_OPERATOR = replace(SYSTEM, origin="sdk")
_INTEGRATIONS: tuple[Integration, ...] = ("livekit", "mcp", "automation")
_GENERATED = TypeAdapter(Generated)
_SLACK = 10.0
"""Seconds the HTTP process may take beyond what its connection may."""


class Flags(TypedDict, total=False):
    """What a connection must be meant for."""

    use_in_livekit: bool
    use_in_mcp: bool
    use_in_automation: bool


class Wanted(Flags, total=False):
    """As in `connections.Query`; what is left out asks nothing."""

    connection_type: ConnectionType
    is_active: bool
    tags: Sequence[str]
    pool: str
    text: str


class Asked(TypedDict, total=False):
    """Whatever is left out is as the connection has it."""

    system: str
    temperature: float | None
    top_p: float | None
    max_tokens: int | None


class ConnectionManager:
    """The connections at `url`: that of a database, or of the management API with an `api_key`.

    Opened when first used. Close it, or use it within `async with`; what came out of it ends then.
    `master_keys` or `key_file` open what a database has sealed; else the settings say where they
    are. Raises what `llm_router.errors` lists; ConfigurationError for an address that is neither.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        api_key: str | None = None,
        master_keys: Sequence[str] = (),
        key_file: Path | None = None,
    ) -> None:
        self._url, self._api_key = url, api_key
        self._master_keys, self._key_file = tuple(master_keys), key_file
        self._stack, self._turn = AsyncExitStack(), asyncio.Lock()
        self._source: _Source | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        self._source = None
        await self._stack.aclose()

    async def get_connections(self, **wanted: Unpack[Wanted]) -> "list[ManagedConnection]":
        """Those that are as wanted, by priority."""
        source = await self._opened()
        found = await source.find(Query(**wanted, limit=None))
        return [ManagedConnection(record, source, self) for record in found]

    async def get_connection(self, name: str, **flags: Unpack[Flags]) -> "ManagedConnection":
        """The one of that name, or of that id. Raises NotFoundError, and ForbiddenError for one
        without a flag that is asked for, which it names.
        """
        source = await self._opened()
        record = await source.get(name)
        for integration in _INTEGRATIONS:
            if flags.get(f"use_in_{integration}"):
                require_flag(record, integration)
        return ManagedConnection(record, source, self)

    async def _opened(self) -> "_Source":
        async with self._turn:
            if self._source is None:
                self._source = await self._open()
            return self._source

    async def _open(self) -> "_Source":
        url, key = self._url, self._api_key
        if url is None:
            client = load_section(ClientSettings)
            url, key = client.patchbay_api_url, key or client.api_key
        if url is None or not url.startswith(("http://", "https://")):
            return await self._open_database(url)
        api = ApiClient(url, key if key is not None else load_section(ClientSettings).api_key)
        return _OverHttp(await self._stack.enter_async_context(api))

    async def _open_database(self, url: str | None) -> "_Source":
        settings = load_section(StoreSettings)
        store = await self._stack.enter_async_context(
            open_sealed_store(
                url or settings.database_url.get_secret_value(),
                self._master_keys or (() if self._key_file else settings.master_keys),
                self._key_file or settings.encryption_key_file,
            )
        )
        return _InDatabase(store)


class ManagedConnection:
    """A stored connection that can be asked. `record` is all that is known of it, but its secrets.

    Closing it closes the manager it came from.
    """

    def __init__(self, record: Connection, source: "_Source", manager: ConnectionManager) -> None:
        self.record = record
        self._source, self._manager = source, manager

    @property
    def id(self) -> str:
        return self.record.id

    @property
    def name(self) -> str:
        return self.record.name

    async def generate(self, prompt: str, **asked: Unpack[Asked]) -> Generated:
        """The whole answer. What it used counts against the connection's limits and its budget.

        Raises ForbiddenError without the flag use_in_automation, ConflictError where it is switched
        off, at a limit or out of budget, and ReplyFailedError, with the reason, where it gave no
        answer.
        """
        require_flag(self.record, "automation")
        return await self._source.generate(self.record, prompt, asked)

    def create_llm_instance(self, *, session_id: str = "", language: str = "en") -> "RouterLLM":
        """A `livekit.agents.llm.LLM` for an AgentSession, with this connection behind it. Close it.

        Raises ForbiddenError without the flag use_in_livekit, and over HTTP, where the key that it
        needs stays on the server.
        """
        require_flag(self.record, "livekit")
        return self._source.create_llm(self.record, session_id, language)

    async def aclose(self) -> None:
        await self._manager.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"<ManagedConnection {self.name!r}: {self.record.model_name or 'its own model'}>"


async def get_connection(
    name: str, url: str | None = None, *, api_key: str | None = None, **flags: Unpack[Flags]
) -> ManagedConnection:
    """As `ConnectionManager.get_connection`, with a manager of its own: close what you get."""
    manager = ConnectionManager(url, api_key=api_key)
    try:
        return await manager.get_connection(name, **flags)
    except BaseException:
        await manager.aclose()
        raise


# ── Where they are ───────────────────────────────────────────────────────────────────────────────


class _Source(Protocol):
    async def find(self, query: Query) -> list[Connection]: ...

    async def get(self, name_or_id: str) -> Connection: ...

    async def generate(self, record: Connection, prompt: str, asked: Asked) -> Generated: ...

    def create_llm(self, record: Connection, session_id: str, language: str) -> "RouterLLM": ...


class _InDatabase:
    def __init__(self, store: SqlConnectionStore) -> None:
        self._store = store

    async def find(self, query: Query) -> list[Connection]:
        return [*(await self._store.find(_OPERATOR, query)).items]

    async def get(self, name_or_id: str) -> Connection:
        found = await self.find(Query(name=name_or_id))
        refuse_several(name_or_id, [(c.id, c.owner) for c in found])
        return found[0] if found else await self._store.get(_OPERATOR, name_or_id)

    async def generate(self, record: Connection, prompt: str, asked: Asked) -> Generated:
        async with open_alone(await self._used(record), self._store.database) as router:
            return await generate(router, text_request(prompt, **asked))

    def create_llm(self, record: Connection, session_id: str, language: str) -> "RouterLLM":
        from llm_router.integrations.livekit import RouterLLM  # noqa: PLC0415  it takes seconds

        return RouterLLM(self._router(record), session_id=session_id, language=language)

    @asynccontextmanager
    async def _router(self, record: Connection) -> AsyncIterator[Router]:
        async with open_alone(await self._used(record), self._store.database) as router:
            yield router

    async def _used(self, record: Connection) -> Connection:
        """With its key, whose use is written down."""
        opener = ConnectionOpener(
            store=self._store,
            audit=ApiKeys(self._store.database),
            addresses=AddressRules(),
            clock=SystemClock(),
        )
        connection, _ = await opener.open(_OPERATOR, record.id, "use", action="use")
        return connection


class _OverHttp:
    def __init__(self, api: ApiClient) -> None:
        self._api = api

    async def find(self, query: Query) -> list[Connection]:
        items = self._api.pages("/connections", params_of(query))
        return [connection_of(item) async for item in items]

    async def get(self, name_or_id: str) -> Connection:
        return connection_of(await find_connection(self._api, name_or_id))

    async def generate(self, record: Connection, prompt: str, asked: Asked) -> Generated:
        path, body = f"/connections/{record.id}/generate", {"prompt": prompt, **asked}
        said = await self._api.ask("POST", path, body, within=record.timeout + _SLACK)
        return _GENERATED.validate_python(said)

    def create_llm(self, record: Connection, session_id: str, language: str) -> "RouterLLM":  # noqa: ARG002  there is none
        raise ForbiddenError(
            f"connection {record.name!r} was found over HTTP, and its key does not leave the"
            " server; open ConnectionManager with the URL of the database, or use generate()"
        )
