"""Any server that speaks OpenAI's chat completions; `catalog.py` says what is peculiar to each."""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from llm_router.catalog.servers import Server, adapt, api_root, find_server
from llm_router.clock import Clock
from llm_router.connections.record import Connection
from llm_router.errors import BrokenStreamError, StatusError, UpstreamError
from llm_router.net.guard import AddressGuard
from llm_router.providers._wire.http import Http, address_of, headers_of, one_more
from llm_router.providers._wire.reply import Reply, taken_call_ids
from llm_router.providers._wire.request import build_body
from llm_router.types import ChatRequest, Chunk

_ACCEPT = "text/event-stream, application/json"
_WARM = 3.0  # s
_LAST_WORDS = 0.5  # s between two pieces after the finish reason: only the usage is still to come
_LAST_BYTE = 0.05  # s after [DONE]: only the end of the HTTP body is

_NO_SUCH_ROUTE = frozenset({404, 405, 501})


def create(
    connection: Connection,
    clock: Clock,  # noqa: ARG001  part of every provider's `create`; deadlines are the router's
    guard: AddressGuard | None = None,
) -> "OpenAICompatible":
    """Raises ConfigurationError for a record that no request could be made from."""
    return OpenAICompatible(connection, guard)


class OpenAICompatible:
    """A Provider (see `base.py`): one pool of connections to one server."""

    def __init__(self, connection: Connection, guard: AddressGuard | None = None) -> None:
        self._server = find_server(connection)
        self._connection = connection = adapt(connection, self._server)
        self.continuation = connection.continuation or self._server.continuation
        self.last_resort = False
        root, query = api_root(connection.base_url, self._server)
        query = f"?{query}" if query else ""
        self._chat = address_of(connection, f"{root}/chat/completions{query}")
        self._models = address_of(connection, f"{root}/models{query}")
        headers = headers_of(connection, _ACCEPT, self._server.key_header, self._server.key_prefix)
        if not self._server.keeps_open:
            headers["Connection"] = "close"
        self._list_headers = _list_headers(connection, self._server)
        self._http = Http(connection, self._chat, headers, guard)

    async def warm(self) -> None:
        with suppress(UpstreamError, TimeoutError):
            async with asyncio.timeout(_WARM):
                await self.models()

    async def probe(self) -> None:
        """A server that answers but keeps no list of models is well, too."""
        try:
            await self.models()
        except StatusError as error:
            if error.status not in _NO_SUCH_ROUTE:
                raise

    async def models(self) -> Sequence[str]:
        """Raises UnreachableError when the list takes longer than the connection's timeout."""
        said = await self._http.ask_json(
            "GET", self._models, within=self._connection.timeout, headers=self._list_headers
        )
        return _model_names(said)

    async def stream(self, request: ChatRequest) -> AsyncGenerator[Chunk, None]:
        body = build_body(request, self._connection, self._server, self.continuation)
        reply = Reply(taken_call_ids(request.messages))
        async with self._http.ask_for_stream("POST", self._chat, body) as pieces:
            async for piece in pieces:
                for chunk in reply.feed(piece):
                    yield chunk
                if reply.finish_reason or reply.is_done:
                    break
            while piece := await one_more(pieces, _LAST_BYTE if reply.is_done else _LAST_WORDS):
                for chunk in reply.feed(piece):
                    yield chunk
        for chunk in reply.close():
            yield chunk

    async def aclose(self) -> None:
        await self._http.aclose()


def _list_headers(connection: Connection, server: Server) -> Mapping[str, str | None]:
    """What takes the place of the key's header where the list of models wants another."""
    if not server.list_headers:
        return {}
    key = (connection.api_key or "").strip()
    said = {name: template.format(key=key) for name, template in server.list_headers.items()}
    return {server.key_header: None, **said}


def _model_names(said: Any) -> Sequence[str]:
    rows = said.get("data", said.get("models")) if isinstance(said, Mapping) else said
    if not isinstance(rows, list):
        raise BrokenStreamError("the list of models is not a list")
    names = (row.get("id") or row.get("name") for row in rows if isinstance(row, Mapping))
    return [str(name) for name in names if name]
