"""Opens connections, assistants and calls for scripts."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, aclosing
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Self, TypedDict, Unpack

from llm_router.api_client import ApiClient
from llm_router.connections.record import Connection, ConnectionType
from llm_router.connections.store import Query
from llm_router.management.following import CallNews
from llm_router.management.generate import Generated
from llm_router.management.opening import require_flag
from llm_router.sdk.sources import DatabaseSource, GenerateOptions, HttpSource, Source
from llm_router.settings.loading import load_section
from llm_router.settings.store import ClientSettings, StoreSettings
from llm_router.store.sealed_store import open_sealed_store
from llm_router.types import Integration
from llm_router.voice.assistant import AssistantRecord
from llm_router.voice.calls import Call, CallFilters, CallItem, CallKind, CallState
from llm_router.voice.phone.plan import CallPlan, PlannedCall

if TYPE_CHECKING:
    from llm_router.integrations.livekit import RouterLLM

_INTEGRATIONS: tuple[Integration, ...] = ("livekit", "mcp", "automation")


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


class CallConditions(TypedDict, total=False):
    """Conditions on calls; see `voice.calls.CallFilters`. `text`: occurs in what was said."""

    state: CallState
    kind: CallKind
    assistant: str
    room: str
    caller: str
    worker: str
    text: str
    started_from: datetime
    started_to: datetime


class ConnectionManager:
    """The connections, assistants and calls at `url`: a database, or the API with an `api_key`.

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
        self._source: Source | None = None

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

    async def place_call(self, plan: CallPlan) -> PlannedCall:
        """Plans a call to a number, which an HTTP process dials when it is due.

        The same plan again, with its idempotency key, returns how far that call is.
        """
        return await (await self._opened()).place_call(plan)

    async def get_calls(
        self, *, limit: int = 50, **conditions: Unpack[CallConditions]
    ) -> list[Call]:
        """Returns the stored calls that meet all conditions, the latest first.

        Over HTTP, this and the methods below need an admin's key: they are what callers have said.
        """
        return await (await self._opened()).calls(CallFilters(**conditions), limit)

    async def get_call(self, call_id: str) -> Call:
        """Returns a call without what was said. Raises NotFoundError."""
        return await (await self._opened()).call(call_id)

    async def get_call_items(self, call_id: str) -> list[CallItem]:
        """Returns what was said and done in a call, in order. Raises NotFoundError."""
        return await (await self._opened()).call_items(call_id)

    async def follow_call(self, call_id: str, *, after: int = 0) -> AsyncGenerator[CallNews, None]:
        """Yields what was said after the item of this number, then the news of the call as they
        come, to its end. Use it within `contextlib.aclosing`. Raises NotFoundError.
        """
        source = await self._opened()
        async with aclosing(source.call_news(call_id, after)) as all_news:
            async for news in all_news:
                yield news

    async def delete_call(self, call_id: str) -> None:
        """Deletes a call with all that was said, which the audit log notes. Raises NotFoundError.

        A call that goes on is not stored any more.
        """
        await (await self._opened()).remove_call(call_id)

    async def _opened(self) -> Source:
        async with self._opening:
            if self._source is None:
                self._source = await self._open()
            return self._source

    async def _open(self) -> Source:
        url = self._url
        key = self._api_key
        if url is None:
            client = load_section(ClientSettings)
            url = client.patchbay_api_url
            key = key or client.api_key
        if url is None or not url.startswith(("http://", "https://")):
            return await self._open_database(url)
        api = ApiClient(url, key if key is not None else load_section(ClientSettings).api_key)
        return HttpSource(await self._stack.enter_async_context(api))

    async def _open_database(self, url: str | None) -> Source:
        settings = load_section(StoreSettings)
        store = await self._stack.enter_async_context(
            open_sealed_store(
                url or settings.database_url.get_secret_value(),
                self._master_keys or (() if self._key_file else settings.master_keys),
                self._key_file or settings.encryption_key_file,
                quota=settings.quota,
            )
        )
        return await self._stack.enter_async_context(aclosing(DatabaseSource(store)))


class ManagedConnection:
    """A stored connection to generate texts or run a call with. `record` holds all but its secrets.

    Closing it closes the manager that returned it.
    """

    def __init__(self, record: Connection, source: Source, manager: ConnectionManager) -> None:
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
