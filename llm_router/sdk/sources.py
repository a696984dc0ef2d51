"""Reads and writes for the SDK: over the database, or over the API's HTTP."""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import asdict, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol, TypedDict

from pydantic import TypeAdapter

from llm_router.api_client import (
    ApiClient,
    find_connection,
    parse_connection,
    query_params,
    require_unique_name,
)
from llm_router.clock import SystemClock, utc_now
from llm_router.connections.access import SYSTEM
from llm_router.connections.record import Connection
from llm_router.connections.store import Query
from llm_router.errors import ForbiddenError, NotFoundError, RouterError
from llm_router.management.following import CallNews, follow
from llm_router.management.generate import (
    Generated,
    TextGenerator,
    open_single_router,
    text_request,
)
from llm_router.management.opening import ConnectionOpener
from llm_router.management.vetting import AddressRules
from llm_router.routing.router import Router
from llm_router.store.api_keys import ApiKeys
from llm_router.store.assistants import Assistants
from llm_router.store.calls import CallStore
from llm_router.store.connections import SqlConnectionStore
from llm_router.store.planned_calls import PlannedCalls
from llm_router.telemetry.usage import usage_logged
from llm_router.voice.assistant import AssistantRecord, parse_assistant
from llm_router.voice.assistant_secrets import plain
from llm_router.voice.calls import Call, CallFilters, CallItem
from llm_router.voice.phone.plan import CallPlan, PlannedCall
from llm_router.voice.rules import whole

if TYPE_CHECKING:
    from llm_router.integrations.livekit import RouterLLM

_OPERATOR = replace(SYSTEM, origin="sdk")
_GENERATED = TypeAdapter(Generated)
_PLANNED = TypeAdapter(PlannedCall)
_CALL = TypeAdapter(Call)
_ITEM = TypeAdapter(CallItem)
_HTTP_OVERHEAD = 10.0
"""Time that the HTTP process may take in addition to its connection's timeout (s)."""
_PAGE = 1_000


class GenerateOptions(TypedDict, total=False):
    """Options of one text. The connection's own values stand in for those left out."""

    system: str
    temperature: float | None
    top_p: float | None
    max_tokens: int | None


class Source(Protocol):
    async def find(self, query: Query) -> list[Connection]: ...

    async def get(self, name_or_id: str) -> Connection: ...

    async def assistants(self) -> list[AssistantRecord]: ...

    async def put_assistant(self, record: AssistantRecord) -> AssistantRecord: ...

    async def place_call(self, plan: CallPlan) -> PlannedCall: ...

    async def generate(
        self, record: Connection, prompt: str, options: GenerateOptions
    ) -> Generated: ...

    def create_llm(self, record: Connection, session_id: str, language: str) -> "RouterLLM": ...

    async def calls(self, filters: CallFilters, limit: int) -> list[Call]: ...

    async def call(self, call_id: str) -> Call: ...

    async def call_items(self, call_id: str) -> list[CallItem]: ...

    def call_news(self, call_id: str, after: int) -> AsyncGenerator[CallNews, None]: ...

    async def remove_call(self, call_id: str) -> None: ...


class DatabaseSource:
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
        self._calls = CallStore(store.database)
        self._clock = SystemClock()

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

    async def place_call(self, plan: CallPlan) -> PlannedCall:
        return (await PlannedCalls(self._store.database).plan(_OPERATOR, [plan]))[0]

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

    async def calls(self, filters: CallFilters, limit: int) -> list[Call]:
        found, _ = await self._calls.find(filters, limit=limit)
        return found

    async def call(self, call_id: str) -> Call:
        return await self._calls.get(call_id)

    async def call_items(self, call_id: str) -> list[CallItem]:
        _, items = await self._calls.read(call_id)
        return items

    async def call_news(self, call_id: str, after: int) -> AsyncGenerator[CallNews, None]:
        async with aclosing(follow(self._calls, call_id, self._clock, after=after)) as all_news:
            async for news in all_news:
                if news:
                    yield news

    async def remove_call(self, call_id: str) -> None:
        await self._calls.remove(call_id)
        entry = _OPERATOR.audit_entry("remove", ("call", call_id), utc_now(self._clock))
        await ApiKeys(self._store.database).note(entry)


class HttpSource:
    def __init__(self, api: ApiClient) -> None:
        self._api = api

    async def find(self, query: Query) -> list[Connection]:
        items = self._api.list_items("/connections", query_params(query))
        return [parse_connection(item) async for item in items]

    async def get(self, name_or_id: str) -> Connection:
        return parse_connection(await find_connection(self._api, name_or_id))

    async def assistants(self) -> list[AssistantRecord]:
        items = self._api.list_items("/assistants", {})
        return [_assistant(item) async for item in items if item["source"] == "stored"]

    async def put_assistant(self, record: AssistantRecord) -> AssistantRecord:
        body = whole(record)
        try:
            stored = await self._api.request("PATCH", f"/assistants/{record.name}", body)
        except NotFoundError:
            stored = await self._api.request("POST", "/assistants", plain(record))
        return _assistant(stored)

    async def place_call(self, plan: CallPlan) -> PlannedCall:
        body = plan.model_dump(mode="json")
        return _PLANNED.validate_python(await self._api.request("POST", "/calls", body))

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

    async def calls(self, filters: CallFilters, limit: int) -> list[Call]:
        found: list[Call] = []
        items = self._api.list_items("/calls", filter_params(filters))
        async with aclosing(items):
            async for item in items:
                if len(found) == limit:
                    break
                found.append(_CALL.validate_python(item))
        return found

    async def call(self, call_id: str) -> Call:
        answer = await self._api.request("GET", f"/calls/{call_id}", params={"limit": 1})
        return _CALL.validate_python(answer["call"])

    async def call_items(self, call_id: str) -> list[CallItem]:
        items: list[CallItem] = []
        while True:
            window = {"after": items[-1].number if items else 0, "limit": _PAGE}
            answer = await self._api.request("GET", f"/calls/{call_id}", params=window)
            items += [_ITEM.validate_python(item) for item in answer["items"]]
            if len(answer["items"]) < _PAGE:
                return items

    async def call_news(self, call_id: str, after: int) -> AsyncGenerator[CallNews, None]:
        """Yields the news of a call; the API ends its stream after a while, and is asked again."""
        call = await self.call(call_id)
        while True:
            last = str(after) if after else ""
            events = self._api.follow_events(f"/calls/{call_id}/stream", last)
            async with aclosing(events):
                async for _, name, data in events:
                    if name == "error":
                        raise RouterError(data["detail"])
                    if name == "item":
                        item = _ITEM.validate_python(data)
                        after = item.number
                        yield CallNews(kind="item", after=after, call=call, item=item)
                        continue
                    call = _CALL.validate_python(data)
                    yield CallNews(kind="end" if name == "end" else "call", after=after, call=call)
                    if name == "end":
                        return

    async def remove_call(self, call_id: str) -> None:
        await self._api.request("DELETE", f"/calls/{call_id}")


def filter_params(filters: CallFilters) -> Mapping[str, Any]:
    """Returns conditions on calls as parameters of the API."""
    given = asdict(filters)
    given |= given.pop("attempts")
    return {
        name: value.isoformat() if isinstance(value, datetime) else value
        for name, value in given.items()
        if value not in (None, "", False)
    }


def _assistant(item: Mapping[str, Any]) -> AssistantRecord:
    """Returns the record that a JSON object of the API stands for."""
    fields = {name: item[name] for name in AssistantRecord.model_fields if name in item}
    return parse_assistant({name: value for name, value in fields.items() if value is not None})
