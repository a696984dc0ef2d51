"""Finds the address of a server's routes: as base_url says, else with or without `/v1`."""

import logging
import re
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import httpx2

from llm_router.classification import is_no_route
from llm_router.connections.record import Connection
from llm_router.errors import StatusError, UnreachableError, WrongAddressError
from llm_router.providers._wire.http import HttpClient, parse_url
from llm_router.providers._wire.redirects import shown_address

_logger = logging.getLogger("llm_router")

_VERSION = re.compile(r"/v\d+$")
_CHAT = "/chat/completions"


class ServerAddress:
    """The root of one server's routes. One that has answered is remembered."""

    def __init__(self, connection: Connection, root: str, query: str) -> None:
        self._connection = connection
        self._query = f"?{query}" if query else ""
        self._roots = (root, _other_root(root))
        self._root = root
        self.notice = ""
        """A correction of base_url, once another address than its own has answered."""
        self.chat = self._url(root, _CHAT)

    @property
    def models(self) -> httpx2.URL:
        return self._url(self._root, "/models")

    def of(self, route: str) -> httpx2.URL:
        """Returns the address of another route, such as `/embeddings`."""
        return self._url(self._root, route)

    @asynccontextmanager
    async def open_chat(
        self, http: HttpClient, body: Mapping[str, Any]
    ) -> AsyncIterator[AsyncGenerator[bytes, None]]:
        """Opens the chat route like `HttpClient.open_stream`.

        Raises WrongAddressError if the server has it neither with `/v1` nor without.
        """
        async with AsyncExitStack() as stack:
            try:
                pieces = await stack.enter_async_context(http.open_stream("POST", self.chat, body))
            except StatusError as error:
                if not is_no_route(error):
                    raise
                pieces = await self._open_other(stack, http, body, error)
            yield pieces

    async def _open_other(
        self, stack: AsyncExitStack, http: HttpClient, body: Mapping[str, Any], missing: StatusError
    ) -> AsyncGenerator[bytes, None]:
        other = next(root for root in self._roots if root != self._root)
        url = self._url(other, _CHAT)
        try:
            pieces = await stack.enter_async_context(http.open_stream("POST", url, body))
        except UnreachableError:
            raise self._wrong(missing, url) from missing
        except StatusError as error:
            if is_no_route(error):
                raise self._wrong(missing, url) from missing
            raise
        self._root, self.chat = other, url
        self.notice = f"put {shown_address(httpx2.URL(other))} into base_url: only it has {_CHAT}"
        _logger.warning("connection %s: %s", self._connection.name, self.notice)
        return pieces

    def _wrong(self, missing: StatusError, other: httpx2.URL) -> WrongAddressError:
        return WrongAddressError(
            missing.status,
            f"HTTP {missing.status} at {shown_address(self.chat)}; nor is there one at"
            f" {shown_address(other)}",
        )

    def _url(self, root: str, route: str) -> httpx2.URL:
        return parse_url(self._connection, f"{root}{route}{self._query}")


def _other_root(root: str) -> str:
    without = _VERSION.sub("", root)
    return without if without != root else f"{root}/v1"
