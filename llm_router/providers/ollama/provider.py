"""Speaks Ollama's own API.

Unlike its OpenAI-compatible API this one reports whether a model is in memory, and controls how
long it stays there, its context length and its reasoning.
"""

import asyncio
import math
import re
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
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
from llm_router.providers._wire.adaptation import Adaptation, Question
from llm_router.providers._wire.characters import mend
from llm_router.providers._wire.errors import status_error
from llm_router.providers._wire.http import HttpClient, parse_url, request_headers
from llm_router.providers._wire.lost_opening import LostOpening
from llm_router.providers._wire.model_load import ModelLoad
from llm_router.providers._wire.request import basic_continuation
from llm_router.providers._wire.tool_calls import known_call_ids
from llm_router.providers._wire.tools import offered_tools
from llm_router.providers.base import PullProgress
from llm_router.providers.ollama.reply import JsonLines, OllamaReplyParser
from llm_router.providers.ollama.request import chat_body, is_raw, load_body
from llm_router.types import ChatRequest, Chunk

_ACCEPT = "application/x-ndjson, application/json"
_WARM_TIMEOUT = 3.0  # s that `warm` waits for the model to be loaded; loading itself continues
_LOADED_TIMEOUT = 0.1  # s within which a load request returns if the model is in memory
_LOAD_TIMEOUT = 900.0  # s; a large model from a slow disk takes minutes
_ALIVE_TIMEOUT = 0.5  # s
_IN_MEMORY = 60.0  # s after a reply; by default Ollama keeps a model in memory for five minutes

_ROUTE = re.compile(r"(/api(/chat|/generate|/tags)?|/v1(/chat/completions|/models)?)?/*$")
"""Routes that people append to the server's address."""
_KNOWN_REGISTRIES = frozenset({"registry.ollama.ai", "ollama.com", "hf.co", "huggingface.co"})
_PARTS_WITH_HOST = 3


def create(connection: Connection, clock: Clock, guard: AddressGuard | None = None) -> "Ollama":
    """Raises ConfigurationError for a connection from which no request can be made."""
    return Ollama(connection, clock, guard)


class Ollama:
    """Implements Provider and ModelManager (`base.py`).

    A model that is not in memory is loaded by a separate request, which continues when the reply
    that needed it is cancelled: Ollama stops loading when the client that requested it leaves.
    """

    continuation: Continuation
    last_resort = False

    def __init__(
        self, connection: Connection, clock: Clock, guard: AddressGuard | None = None
    ) -> None:
        self._connection = connection
        self._clock = clock
        self._guard = guard
        self.continuation = basic_continuation(connection)
        parts = urlsplit(connection.base_url)
        path = _ROUTE.sub("", parts.path)
        self._root = f"{parts.scheme}://{parts.netloc}{path}/api"
        self._query = f"?{parts.query}" if parts.query else ""
        self._chat = self._url("generate" if is_raw(connection) else "chat")
        self._http = HttpClient(connection, request_headers(connection, _ACCEPT), guard)
        self._adaptation = Adaptation(connection.name)
        self._lost_opening = LostOpening()
        self._in_memory_until = 0.0
        self._model_load = ModelLoad(self._request_load)

    async def warm(self) -> None:
        """Requests that the model be loaded, and waits for it up to `_WARM_TIMEOUT`."""
        await asyncio.wait({self._model_load.start()}, timeout=_WARM_TIMEOUT)

    async def probe(self) -> None:
        await self.models()

    async def models(self) -> Sequence[str]:
        return await self._names("tags", self._connection.timeout)

    async def loaded(self, within: float | None = None) -> Sequence[str]:
        """Returns the models in memory, including those being loaded; `within` in seconds."""
        return await self._names("ps", within or self._connection.timeout)

    async def stream(self, request: ChatRequest) -> AsyncGenerator[Chunk, None]:
        if self._clock.now() >= self._in_memory_until:
            load = self._model_load.start()
            if await self._takes_time(load):
                yield Chunk(loading=True)
            await self._model_load.wait()
        prefix = request.prefix.rstrip() if self.continuation == "trailing" else ""
        body = chat_body(request, self._connection, prefix)
        question = self._adaptation.question(body, continues=bool(prefix))
        tools, known_ids = offered_tools(request), known_call_ids(request.messages)
        while True:
            with self._lost_opening.filter(request) as text:
                reply = OllamaReplyParser(tools, known_ids, text)
                try:
                    async with aclosing(self._answer(question, reply)) as chunks:
                        async for chunk in chunks:
                            yield chunk
                except UpstreamError as error:
                    if reply.has_begun or not question.may_ask_again(error):
                        raise
                else:
                    return

    async def _answer(
        self, question: Question, reply: OllamaReplyParser
    ) -> AsyncGenerator[Chunk, None]:
        self._in_memory_until = 0.0  # unknown until the model answers
        try:
            async with (
                self._http.open_stream("POST", self._chat, question.body) as pieces,
                aclosing(reply.read(pieces)) as chunks,
            ):
                async for chunk in chunks:
                    self._in_memory_until = self._clock.now() + _IN_MEMORY
                    yield chunk
        except UpstreamError as error:
            reply.forgive(error)
        for chunk in reply.close():
            if question.is_changed:
                self._learn(question)
            yield chunk

    def _learn(self, question: Question) -> None:
        """Remembers how a request had to be changed, now that it was answered."""
        question.answered()
        if self._adaptation.continues_in_words:
            self.continuation = "words"

    @property
    def notice(self) -> str:
        """Implements `base.Noticing`."""
        return self._adaptation.notice

    def pull(self, model: str) -> AsyncGenerator[PullProgress, None]:
        """Implements `base.ModelManager`; a name with `http://` is downloaded without TLS."""
        self._check_registry(model)
        return self._pull(model)

    async def _pull(self, model: str) -> AsyncGenerator[PullProgress, None]:
        body = {"model": model, "stream": True, "insecure": model.startswith("http://")}
        lines = JsonLines()
        done = False
        url = self._url("pull")
        # No limit: it reports its progress for as long as a download takes.
        async with self._http.open_stream("POST", url, body, limit=math.inf) as pieces:
            async for piece in pieces:
                for payload in lines.feed(piece):
                    progress = _progress(payload)
                    done = progress.status == "success"
                    yield progress
        if not done:
            raise BrokenStreamError("the server stopped pulling and did not say why")

    async def delete(self, model: str) -> None:
        within = self._connection.timeout
        try:
            await self._http.request_json(
                "DELETE", self._url("delete"), {"model": model}, within=within
            )
        finally:
            self._in_memory_until = 0.0

    async def aclose(self) -> None:
        await self._model_load.aclose()
        await self._http.aclose()

    # ── Loading ──────────────────────────────────────────────────────────────────────────────────

    async def _request_load(self) -> None:
        await self._http.request_json(
            "POST", self._url("chat"), load_body(self._connection), within=_LOAD_TIMEOUT
        )
        self._in_memory_until = self._clock.now() + _IN_MEMORY

    async def _takes_time(self, load: "asyncio.Task[None]") -> bool:
        """Returns whether the model is still being loaded after `_LOADED_TIMEOUT`.

        If the server answers no other request either, the load is cancelled: a hanging server must
        not pass for one that is loading.
        """
        await asyncio.wait({load}, timeout=_LOADED_TIMEOUT)
        if not load.done() and not await self._is_alive():
            load.cancel()
            return False
        return not load.done()

    async def _is_alive(self) -> bool:
        try:
            await self.loaded(_ALIVE_TIMEOUT)
        except StatusError:  # an error is an answer, too
            return True
        except UpstreamError:
            return False
        return True

    # ── Addresses ────────────────────────────────────────────────────────────────────────────────

    def _url(self, route: str) -> httpx2.URL:
        return parse_url(self._connection, f"{self._root}/{route}{self._query}")

    async def _names(self, route: str, within: float) -> Sequence[str]:
        payload = await self._http.request_json("GET", self._url(route), within=within)
        rows = payload.get("models") if isinstance(payload, Mapping) else None
        if not isinstance(rows, list):
            raise BrokenStreamError("the list of models is not a list")
        names = (row.get("name") for row in rows if isinstance(row, Mapping))
        return [mend(str(name)) for name in names if name]

    def _check_registry(self, model: str) -> None:
        """Raises AddressRefusedError for a registry that Ollama may not contact.

        Ollama connects to the registry itself, where this process's guard cannot check addresses.
        """
        _, has_scheme, rest = model.rpartition("://")
        *path, _ = rest.split("/")
        names_host = has_scheme or len(path) + 1 >= _PARTS_WITH_HOST or ":" in "".join(path)
        is_known = not has_scheme and path[:1] and path[0] in _KNOWN_REGISTRIES
        if names_host and not is_known and self._guard and not self._guard.allow_private:
            raise AddressRefusedError(
                f"{model[:100]}: the model server connects to a private registry itself, so this"
                " router cannot check where its address leads; an administrator can pull from it"
            )


def _progress(payload: Mapping[str, Any]) -> PullProgress:
    if "error" in payload:
        raise status_error(0, payload)
    total, completed = (payload.get(name) for name in ("total", "completed"))
    return PullProgress(
        status=mend(str(payload.get("status") or "")),
        digest=mend(str(payload.get("digest") or "")),
        total=total if isinstance(total, int) else None,
        completed=completed if isinstance(completed, int) else None,
    )
