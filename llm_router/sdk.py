"""Stored connections for scripts: one interface over the database and over HTTP.

    async with await get_connection("Local Ollama") as ollama:
        answer = await ollama.generate("A haiku about tea.", temperature=0.7)
        print(answer.text, answer.usage, answer.duration)

Without an address the settings decide: PATCHBAY_API_URL with PATCHBAY_API_KEY, else DATABASE_URL.
Over the database a script has the rights of an admin, since the machine holds the master key. Over
HTTP it has the role of its API key, and the keys of connections stay on the server: the HTTP
process carries out `generate`, and an LLM for LiveKit cannot be made.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self, TypedDict, Unpack

from pydantic import TypeAdapter

from llm_router.api_client import (
    ApiClient,
    find_connection,
    parse_connection,
    query_params,
    require_unique_name,
)
from llm_router.clock import SystemClock
from llm_router.connections.access import SYSTEM
from llm_router.connections.record import Connection, ConnectionType
from llm_router.connections.store import Query
from llm_router.errors import ForbiddenError, NotFoundError
from llm_router.management.generate import (
    Generated,
    TextGenerator,
    open_single_router,
    text_request,
)
from llm_router.management.opening import ConnectionOpener, require_flag
from llm_router.management.vetting import AddressRules
from llm_router.routing.router import Router
from llm_router.settings.loading import load_section
from llm_router.settings.store import ClientSettings, StoreSettings
from llm_router.store.api_keys import ApiKeys
from llm_router.store.assistants import Assistants
from llm_router.store.connections import SqlConnectionStore
from llm_router.store.sealed_store import open_sealed_store
from llm_router.telemetry.usage import usage_logged
from llm_router.types import Integration
from llm_router.voice.assistant import AssistantRecord, parse_assistant
from llm_router.voice.assistant_secrets import plain
from llm_router.voice.rules import whole

if TYPE_CHECKING:
    from llm_router.integrations.livekit import RouterLLM

__all__ = ["ConnectionManager", "Generated", "ManagedConnection", "get_connection"]

_OPERATOR = replace(SYSTEM, origin="sdk")
_INTEGRATIONS: tuple[Integration, ...] = ("livekit", "mcp", "automation")
_GENERATED = TypeAdapter(Generated)
_HTTP_OVERHEAD = 10.0
"""Time that the HTTP process may take in addition to its connection's timeout (s)."""


class UseFlags(TypedDict, total=False):
    """The uses that a connection must be meant for."""

    use_in_livekit: bool
    use_in_mcp: bool
    use_in_automation: bool


class ConnectionFilter(UseFlags, total=False):
    """Conditions on connections; see `connections.store.Query`."""

    connection_type: ConnectionType
    is_active: bool
    tags: Sequence[str]
    pool: str
    text: str


class GenerateOptions(TypedDict, total=False):
    """Options of one text. The connection's own values stand in for those left out."""

    system: str
    temperature: float | None
    top_p: float | None
    max_tokens: int | None


class ConnectionManager:
    """The connections at `url`: of a database, or of the management API with an `api_key`.

    It opens when first used. Close it, or use it within `async with`; the connections it returned
    are closed with it. `master_keys` or `key_file` open the secrets of a database; without them the
    settings name both. Raises the errors of `llm_router.errors`: ConfigurationError for an address
    that is neither a database nor HTTP.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        api_key: str | None = None,
        master_keys: Sequence[str] = (),
        key_file: Path | None = None,
    ) -> None:
        self._url = url
        self._api_key = api_key
        self._master_keys = tuple(master_keys)
        self._key_file = key_file
        self._stack = AsyncExitStack()
        self._opening = asyncio.Lock()
        self._source: _Source | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        self._source = None
        await self._stack.aclose()

    async def get_connections(
        self, **conditions: Unpack[ConnectionFilter]
    ) -> "list[ManagedConnection]":
        """Returns the connections that meet all conditions, by priority."""
        source = await self._opened()
        found = await source.find(Query(**conditions, limit=None))
        return [ManagedConnection(record, source, self) for record in found]

    async def get_connection(self, name: str, **flags: Unpack[UseFlags]) -> "ManagedConnection":
        """Returns the connection of this name or id.

        Raises NotFoundError where there is none, ConflictError where several have the name, and
        ForbiddenError, naming the flag, for a connection that is not meant for a required use.
        """
        source = await self._opened()
        record = await source.get(name)
        for integration in _INTEGRATIONS:
            if flags.get(f"use_in_{integration}"):
                require_flag(record, integration)
        return ManagedConnection(record, source, self)

    async def get_assistants(self) -> list[AssistantRecord]:
        """Returns the stored assistants by name; masks stand for headers of their tools."""
        return await (await self._opened()).assistants()

    async def put_assistant(self, record: AssistantRecord) -> AssistantRecord:
        """Stores an assistant whole, as a new one or as a new version of the one of its name.

        A mask leaves a header as it is. Raises ForbiddenError where the API key may not.
        """
        return await (await self._opened()).put_assistant(record)

    async def _opened(self) -> "_Source":
        async with self._opening:
            if self._source is None:
                self._source = await self._open()
            return self._source

    async def _open(self) -> "_Source":
        url = self._url
        key = self._api_key
        if url is None:
            client = load_section(ClientSettings)
            url = client.patchbay_api_url
            key = key or client.api_key
        if url is None or not url.startswith(("http://", "https://")):
            return await self._open_database(url)
        api = ApiClient(url, key if key is not None else load_section(ClientSettings).api_key)
        return _HttpSource(await self._stack.enter_async_context(api))

    async def _open_database(self, url: str | None) -> "_Source":
        settings = load_section(StoreSettings)
        store = await self._stack.enter_async_context(
            open_sealed_store(
                url or settings.database_url.get_secret_value(),
                self._master_keys or (() if self._key_file else settings.master_keys),
                self._key_file or settings.encryption_key_file,
                quota=settings.quota,
            )
        )
        return await self._stack.enter_async_context(aclosing(_DatabaseSource(store)))


class ManagedConnection:
    """A stored connection to generate texts or run a call with. `record` holds all but its secrets.

    Closing it closes the manager that returned it.
    """

    def __init__(self, record: Connection, source: "_Source", manager: ConnectionManager) -> None:
        self.record = record
        self._source = source
        self._manager = manager

    @property
    def id(self) -> str:
        return self.record.id

    @property
    def name(self) -> str:
        return self.record.name

    async def generate(self, prompt: str, **options: Unpack[GenerateOptions]) -> Generated:
        """Generates a text and returns it whole. Its use counts against limits and budget.

        Raises ForbiddenError without the flag use_in_automation, ConflictError where the connection
        is switched off, at a limit or out of budget, and ReplyFailedError, with the reason, where
        its server failed to answer.
        """
        return await self._source.generate(self.record, prompt, options)

    def create_llm_instance(self, *, session_id: str = "", language: str = "en") -> "RouterLLM":
        """Makes a `livekit.agents.llm.LLM` over this connection, for an AgentSession. Close it.

        Raises ForbiddenError without the flag use_in_livekit, and always over HTTP, where the
        connection's key stays on the server.
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
    name: str, url: str | None = None, *, api_key: str | None = None, **flags: Unpack[UseFlags]
) -> ManagedConnection:
    """Returns one connection from a manager of its own; close the connection after use.

    Arguments and errors are those of `ConnectionManager` and `ConnectionManager.get_connection`.
    """
    manager = ConnectionManager(url, api_key=api_key)
    try:
        return await manager.get_connection(name, **flags)
    except BaseException:
        await manager.aclose()
        raise


# ── Sources: the database, or the API over HTTP ──────────────────────────────────────────────────


class _Source(Protocol):
    async def find(self, query: Query) -> list[Connection]: ...

    async def get(self, name_or_id: str) -> Connection: ...

    async def assistants(self) -> list[AssistantRecord]: ...

    async def put_assistant(self, record: AssistantRecord) -> AssistantRecord: ...

    async def generate(
        self, record: Connection, prompt: str, options: GenerateOptions
    ) -> Generated: ...

    def create_llm(self, record: Connection, session_id: str, language: str) -> "RouterLLM": ...


class _DatabaseSource:
    def __init__(self, store: SqlConnectionStore) -> None:
        self._store = store
        self._opener = ConnectionOpener(
            store=store,
            audit=ApiKeys(store.database),
            addresses=AddressRules(),
            clock=SystemClock(),
        )
        self._texts = TextGenerator(self._opener, store.database)
        self._assistants = Assistants(store.database, store.vault)

    async def aclose(self) -> None:
        await self._texts.aclose()

    async def find(self, query: Query) -> list[Connection]:
        return [*(await self._store.find(_OPERATOR, query)).items]

    async def get(self, name_or_id: str) -> Connection:
        found = await self.find(Query(name=name_or_id))
        require_unique_name(name_or_id, [(c.id, c.owner) for c in found])
        return found[0] if found else await self._store.get(_OPERATOR, name_or_id)

    async def assistants(self) -> list[AssistantRecord]:
        found, _ = await self._assistants.find(_OPERATOR, limit=None)
        return [stored.record for stored in found]

    async def put_assistant(self, record: AssistantRecord) -> AssistantRecord:
        try:
            stored = await self._assistants.change(_OPERATOR, record.name, whole(record))
        except NotFoundError:
            stored = await self._assistants.add(_OPERATOR, record)
        return stored.record

    async def generate(
        self, record: Connection, prompt: str, options: GenerateOptions
    ) -> Generated:
        return await self._texts.generate(_OPERATOR, record.id, text_request(prompt, **options))

    def create_llm(self, record: Connection, session_id: str, language: str) -> "RouterLLM":
        from llm_router.integrations.livekit import RouterLLM  # noqa: PLC0415  it takes seconds

        return RouterLLM(self._router(record), session_id=session_id, language=language)

    @asynccontextmanager
    async def _router(self, record: Connection) -> AsyncIterator[Router]:
        """Opens the connection with its key, notes the use in the audit log, routes to it alone."""
        connection, _ = await self._opener.open(_OPERATOR, record.id, "use", action="use")
        database = self._store.database
        async with (
            usage_logged(database) as usage,
            open_single_router(connection, database, observers=[usage]) as router,
        ):
            yield router


class _HttpSource:
    def __init__(self, api: ApiClient) -> None:
        self._api = api

    async def find(self, query: Query) -> list[Connection]:
        items = self._api.list_items("/connections", query_params(query))
        return [parse_connection(item) async for item in items]

    async def get(self, name_or_id: str) -> Connection:
        return parse_connection(await find_connection(self._api, name_or_id))

    async def assistants(self) -> list[AssistantRecord]:
        return [_assistant(item) async for item in self._api.list_items("/assistants", {})]

    async def put_assistant(self, record: AssistantRecord) -> AssistantRecord:
        body = whole(record)
        try:
            stored = await self._api.request("PATCH", f"/assistants/{record.name}", body)
        except NotFoundError:
            stored = await self._api.request("POST", "/assistants", plain(record))
        return _assistant(stored)

    async def generate(
        self, record: Connection, prompt: str, options: GenerateOptions
    ) -> Generated:
        path = f"/connections/{record.id}/generate"
        body = {"prompt": prompt, **options}
        timeout = record.timeout + _HTTP_OVERHEAD
        answer = await self._api.request("POST", path, body, timeout=timeout)
        return _GENERATED.validate_python(answer)

    def create_llm(self, record: Connection, session_id: str, language: str) -> "RouterLLM":  # noqa: ARG002  it always refuses
        raise ForbiddenError(
            f"connection {record.name!r} was found over HTTP, and its key stays on the server;"
            " open ConnectionManager with the URL of the database, or use generate()"
        )


def _assistant(item: Mapping[str, Any]) -> AssistantRecord:
    """Returns the record that a JSON object of the API stands for."""
    fields = {name: item[name] for name in AssistantRecord.model_fields if name in item}
    return parse_assistant({name: value for name, value in fields.items() if value is not None})
