"""Ollama by its own API, which says what its OpenAI-compatible one cannot: whether a model is in
memory, how long it stays there, how much context it gets, and that it is not to think aloud.
"""

import asyncio
import re
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import httpx2

from llm_router.clock import Clock
from llm_router.connections.record import Connection, Continuation
from llm_router.errors import (
    AddressRefusedError,
    BrokenStreamError,
    StatusError,
    UpstreamError,
)
from llm_router.net.guard import AddressGuard
from llm_router.providers._wire.http import Http, address_of, headers_of, one_more
from llm_router.providers._wire.loading import Loading
from llm_router.providers._wire.reply import status_error, taken_call_ids
from llm_router.providers._wire.request import trailing_or_words
from llm_router.providers.base import PullProgress
from llm_router.providers.ollama.reply import Lines, Reply
from llm_router.providers.ollama.request import chat_body, is_plain, load_body
from llm_router.types import ChatRequest, Chunk

_ACCEPT = "application/x-ndjson, application/json"
_WARM = 3.0  # s that a start is held up for a model to be loaded; it goes on being loaded
_AT_ONCE = 0.1  # s within which a model that is in memory says so
_SIGN_OF_LIFE = 0.5  # s
_IN_MEMORY = 60.0  # s after its last words, of the five minutes that Ollama keeps one by default
_LAST_BYTE = 0.05  # s after the last line: only the end of the HTTP body is still to come

_ROUTE = re.compile(r"(/api(/chat|/generate)?|/v1(/chat/completions)?)?/*$")
"""What people give after the address of the server itself."""
_KNOWN_REGISTRIES = frozenset({"registry.ollama.ai", "ollama.com", "hf.co", "huggingface.co"})
_PARTS_WITH_HOST = 3


def create(connection: Connection, clock: Clock, guard: AddressGuard | None = None) -> "Ollama":
    """Raises ConfigurationError for a record that no request could be made from."""
    return Ollama(connection, clock, guard)


class Ollama:
    """A Provider and a ModelManager (see `base.py`).

    A model that is not in memory is loaded by a request of its own, which goes on when the reply
    that wanted it has long been given by somebody else: Ollama gives up loading with whoever asked
    for it.
    """

    continuation: Continuation
    last_resort = False

    def __init__(
        self, connection: Connection, clock: Clock, guard: AddressGuard | None = None
    ) -> None:
        self._connection, self._clock, self._guard = connection, clock, guard
        self.continuation = trailing_or_words(connection)
        parts = urlsplit(connection.base_url)
        path = _ROUTE.sub("", parts.path)
        self._root = f"{parts.scheme}://{parts.netloc}{path}/api"
        self._query = f"?{parts.query}" if parts.query else ""
        self._chat = self._url("generate" if is_plain(connection) else "chat")
        self._http = Http(connection, self._chat, headers_of(connection, _ACCEPT), guard)
        self._in_memory_until = 0.0
        self._loading = Loading(self._ask_to_load)

    async def warm(self) -> None:
        """Has the model loaded."""
        await asyncio.wait({self._loading.begin()}, timeout=_WARM)

    async def probe(self) -> None:
        await self.models()

    async def models(self) -> Sequence[str]:
        return await self._names("tags", self._connection.timeout)

    async def loaded(self, within: float | None = None) -> Sequence[str]:
        """The models in memory, and those on their way there."""
        return await self._names("ps", within or self._connection.timeout)

    async def stream(self, request: ChatRequest) -> AsyncGenerator[Chunk, None]:
        if self._clock.now() >= self._in_memory_until:
            load = self._loading.begin()
            if await self._is_slow(load):
                yield Chunk(loading=True)
            await self._loading.outcome()
        prefix = request.prefix.rstrip() if self.continuation == "trailing" else ""
        body = chat_body(request, self._connection, prefix)
        self._in_memory_until = 0.0  # until it is seen to answer
        reply = Reply(taken_call_ids(request.messages))
        async with self._http.ask_for_stream("POST", self._chat, body) as pieces:
            async for piece in pieces:
                self._in_memory_until = self._clock.now() + _IN_MEMORY
                for chunk in reply.feed(piece):
                    yield chunk
                if reply.is_done:
                    break
            while await one_more(pieces, _LAST_BYTE):
                pass
        for chunk in reply.close():
            yield chunk

    def pull(self, model: str) -> AsyncGenerator[PullProgress, None]:
        """See `base.ModelManager`. A name that begins with `http://` is pulled without TLS."""
        self._check_registry(model)
        return self._pull(model)

    async def _pull(self, model: str) -> AsyncGenerator[PullProgress, None]:
        body = {"model": model, "stream": True, "insecure": model.startswith("http://")}
        lines = Lines()
        done = False
        async with self._http.ask_for_stream("POST", self._url("pull"), body) as pieces:
            async for piece in pieces:
                for said in lines.feed(piece):
                    progress = _progress(said)
                    done = progress.status == "success"
                    yield progress
        if not done:
            raise BrokenStreamError("the server stopped pulling and did not say why")

    async def delete(self, model: str) -> None:
        within = self._connection.timeout
        try:
            await self._http.ask_json(
                "DELETE", self._url("delete"), {"model": model}, within=within
            )
        finally:
            self._in_memory_until = 0.0

    async def aclose(self) -> None:
        await self._loading.aclose()
        await self._http.aclose()

    # ── Loading ──────────────────────────────────────────────────────────────────────────────────

    async def _ask_to_load(self) -> None:
        await self._http.ask_json("POST", self._url("chat"), load_body(self._connection))
        self._in_memory_until = self._clock.now() + _IN_MEMORY

    async def _is_slow(self, load: "asyncio.Task[None]") -> bool:
        """Whether it is still under way a moment later, at a server that is well.

        At one that is not, it is given up: what hangs must not pass for loading.
        """
        await asyncio.wait({load}, timeout=_AT_ONCE)
        if not load.done() and not await self._lives():
            load.cancel()
            return False
        return not load.done()

    async def _lives(self) -> bool:
        try:
            await self.loaded(_SIGN_OF_LIFE)
        except StatusError:  # an answer all the same
            return True
        except UpstreamError:
            return False
        return True

    # ── Addresses ────────────────────────────────────────────────────────────────────────────────

    def _url(self, route: str) -> httpx2.URL:
        return address_of(self._connection, f"{self._root}/{route}{self._query}")

    async def _names(self, route: str, within: float) -> Sequence[str]:
        said = await self._http.ask_json("GET", self._url(route), within=within)
        rows = said.get("models") if isinstance(said, Mapping) else None
        if not isinstance(rows, list):
            raise BrokenStreamError("the list of models is not a list")
        names = (row.get("name") for row in rows if isinstance(row, Mapping))
        return [str(name) for name in names if name]

    def _check_registry(self, model: str) -> None:
        """Ollama dials a registry by itself, where no guard of ours looks."""
        _, has_scheme, rest = model.rpartition("://")
        *path, _ = rest.split("/")
        names_host = has_scheme or len(path) + 1 >= _PARTS_WITH_HOST or ":" in "".join(path)
        is_known = not has_scheme and path[:1] and path[0] in _KNOWN_REGISTRIES
        if names_host and not is_known and self._guard and not self._guard.allow_private:
            raise AddressRefusedError(
                f"{model[:100]}: a registry of one's own is dialled by the model server, past any"
                " check of where that leads; an administrator can pull from it"
            )


def _progress(said: Mapping[str, Any]) -> PullProgress:
    if "error" in said:
        raise status_error(0, said)
    total, completed = (said.get(name) for name in ("total", "completed"))
    return PullProgress(
        status=str(said.get("status") or ""),
        digest=str(said.get("digest") or ""),
        total=total if isinstance(total, int) else None,
        completed=completed if isinstance(completed, int) else None,
    )
