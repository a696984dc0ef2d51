"""Speaks OpenAI's chat completions; `catalog/servers.py` lists where each server differs."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from typing import Any

from llm_router.catalog.servers import Server, adapt, api_root, find_server
from llm_router.clock import Clock
from llm_router.connections.record import Connection
from llm_router.errors import BrokenStreamError, StatusError, UpstreamError
from llm_router.net.guard import AddressGuard
from llm_router.providers._wire.adaptation import Adaptation, Question
from llm_router.providers._wire.addresses import ServerAddress
from llm_router.providers._wire.characters import mend
from llm_router.providers._wire.extras import origin_of
from llm_router.providers._wire.forwarded import forwarded
from llm_router.providers._wire.http import HttpClient, request_headers
from llm_router.providers._wire.lost_opening import LostOpening
from llm_router.providers._wire.reply import ChatReplyParser
from llm_router.providers._wire.request import build_body
from llm_router.providers._wire.tool_calls import known_call_ids
from llm_router.providers._wire.tools import offered_tools
from llm_router.providers.base import Body, ForwardedAnswer
from llm_router.types import ChatRequest, Chunk

_ACCEPT = "text/event-stream, application/json"
_WARM_TIMEOUT = 3.0  # s

_NO_SUCH_ROUTE = frozenset({404, 405, 501})


def create(
    connection: Connection,
    clock: Clock,  # noqa: ARG001  part of every provider's `create`; deadlines are the router's
    guard: AddressGuard | None = None,
) -> "OpenAICompatible":
    """Raises ConfigurationError for a connection from which no request can be made."""
    return OpenAICompatible(connection, guard)


class OpenAICompatible:
    """Implements Provider (`base.py`) over one pool of connections to one server."""

    def __init__(self, connection: Connection, guard: AddressGuard | None = None) -> None:
        self._server = find_server(connection)
        self._connection = connection = adapt(connection, self._server)
        self._origin = origin_of(connection.model_name, connection.base_url)
        self.continuation = connection.continuation or self._server.continuation
        self.last_resort = False
        self._adaptation = Adaptation(connection.name)
        self._lost_opening = LostOpening()
        root, query = api_root(connection.base_url, self._server)
        self._address = ServerAddress(connection, root, query)
        headers = request_headers(
            connection, _ACCEPT, self._server.key_header, self._server.key_prefix
        )
        if not self._server.keep_alive:
            headers["Connection"] = "close"
        self._list_headers = _list_headers(connection, self._server)
        self._http = HttpClient(connection, headers, guard)

    @property
    def notice(self) -> str:
        """Implements `base.Noticing`."""
        return self._address.notice or self._http.notice or self._adaptation.notice

    async def warm(self) -> None:
        with suppress(UpstreamError, TimeoutError):
            async with asyncio.timeout(_WARM_TIMEOUT):
                await self.models()

    async def probe(self) -> None:
        """Asks for the list of models; a server that answers but has no such list passes, too."""
        try:
            await self.models()
        except StatusError as error:
            if error.status not in _NO_SUCH_ROUTE:
                raise

    async def models(self) -> Sequence[str]:
        """Returns the server's list of models.

        Raises UnreachableError when the list takes longer than the connection's timeout.
        """
        payload = await self._http.request_json(
            "GET", self._address.models, within=self._connection.timeout, headers=self._list_headers
        )
        return _model_names(payload)

    async def stream(self, request: ChatRequest) -> AsyncGenerator[Chunk, None]:
        body = build_body(request, self._connection, self._server, self.continuation)
        continues = bool(request.prefix.strip()) and self.continuation != "words"
        question = self._adaptation.question(body, continues=continues)
        tools, known_ids = offered_tools(request), known_call_ids(request.messages)
        while True:
            with self._lost_opening.filter(request) as text:
                parser = ChatReplyParser(tools, known_ids, self._origin, text)
                try:
                    async with aclosing(self._answer(question, parser)) as chunks:
                        async for chunk in chunks:
                            yield chunk
                except UpstreamError as error:
                    if parser.has_begun or not question.may_ask_again(error):
                        raise
                else:
                    return

    @asynccontextmanager
    async def forward(self, route: str, body: Body) -> AsyncIterator[ForwardedAnswer]:
        """Implements `base.Forwards`."""
        async with self._http.open_response(
            "POST", self._address.of(route), body, {"Accept": "*/*"}
        ) as response:
            answer = forwarded(response)
            async with aclosing(answer.pieces):
                yield answer

    async def _answer(
        self, question: Question, parser: ChatReplyParser
    ) -> AsyncGenerator[Chunk, None]:
        try:
            async with (
                self._address.open_chat(self._http, question.body) as pieces,
                aclosing(parser.read(pieces)) as chunks,
            ):
                async for chunk in chunks:
                    yield chunk
        except UpstreamError as error:
            parser.forgive(error)
        for chunk in parser.close():
            if question.is_changed:
                self._learn(question)
            yield chunk

    def _learn(self, question: Question) -> None:
        """Remembers how a request had to be changed, now that it was answered."""
        question.answered()
        if self._adaptation.continues_in_words:
            self.continuation = "words"

    async def aclose(self) -> None:
        await self._http.aclose()


def _list_headers(connection: Connection, server: Server) -> Mapping[str, str | None]:
    """Returns the headers that replace the key's header in requests for the list of models."""
    if not server.list_headers:
        return {}
    key = connection.api_key or ""
    headers = {name: template.format(key=key) for name, template in server.list_headers.items()}
    return {server.key_header: None, **headers}


def _model_names(payload: Any) -> Sequence[str]:
    rows = payload.get("data", payload.get("models")) if isinstance(payload, Mapping) else payload
    if not isinstance(rows, list):
        raise BrokenStreamError("the list of models is not a list")
    names = (row.get("id") or row.get("name") for row in rows if isinstance(row, Mapping))
    return [mend(str(name)) for name in names if name]
