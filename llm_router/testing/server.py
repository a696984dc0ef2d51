"""`FaultyServer`: a model server on a real socket that fails on request.

It speaks chat completions below /v1 and Ollama's native wire below /api, and has OpenAI's audio API
below /v1/audio. Use it to try an agent or a router offline, in tests or by hand:

    python -m llm_router.testing --first-token 0.15 --fault stall_after --after 5
"""

import asyncio
import socket
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Self

from llm_router.clock import Clock, SystemClock
from llm_router.testing import _http
from llm_router.testing._formats import format_for
from llm_router.testing._http import Reset, Wire
from llm_router.testing._ollama_models import OllamaModels, is_chat
from llm_router.testing._player import ReceivedRequest, ScriptPlayer
from llm_router.testing._speech import SpeechSide
from llm_router.testing.script import Fault, Script

__all__ = ["Behaviour", "Fault", "FaultyServer", "ReceivedRequest", "Script"]

Behaviour = Script | Callable[[int], Script]
"""The script for every request, or a function from a request's number (from 0) to its script."""


class FaultyServer:
    """A model server that runs while its `async with` block lasts; `base_url` is its address.

        async with FaultyServer(Script(fault=Fault.STALL_AFTER, after=5)) as server:
            ...  # send requests to server.base_url
        assert server.requests[0].messages[-1]["content"] == "Hello?"

    Lists of models are answered whatever the fault: a server may list its models and still fail to
    reply.

    `pages`: answers to other paths, as JSON or text, or None for a path to answer with 404.
    `chat_paths`: endings of further paths at which scripts are played;
    `llm_router.testing.vendor_replies` encodes the replies of other vendors for them.
    `on_request`: called with the path of each request as it arrives.
    """

    model = "faulty"
    """Name of the model it lists."""

    def __init__(
        self,
        behaviour: Behaviour | None = None,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        clock: Clock | None = None,
        pages: Mapping[str, Any] | None = None,
        chat_paths: tuple[str, ...] = (),
        on_request: Callable[[str], object] = lambda _: None,
    ) -> None:
        self.pages = dict(pages or {})
        self._behaviour = behaviour or Script()
        self._host = host
        self._port = port
        self._chat_paths = chat_paths
        self._on_request = on_request
        self._clock = clock or SystemClock()
        self._server: asyncio.Server | None = None
        self._reserved: socket.socket | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Condition()
        self.requests: list[ReceivedRequest] = []
        """The chat requests received so far."""
        self.other_requests: list[tuple[str, Mapping[str, str]]] = []
        """Path and headers of the other requests received so far; header names in lower case."""
        self.ollama = OllamaModels(self._clock, [f"{self.model}:latest"])
        """The models of its Ollama side, on disk and in memory."""
        self.speech = SpeechSide()
        """Its voice and its recogniser."""
        self.connections = 0
        """Number of connections accepted so far; a client with a warm pool opens few."""

    @property
    def base_url(self) -> str:
        return f"http://{self._host}:{self._port}/v1"

    @property
    def words_sent(self) -> int:
        """Number of words sent in all replies so far, those included that a client gave up."""
        return sum(request.words_sent for request in self.requests)

    async def behave(self, behaviour: Behaviour) -> None:
        """Changes the behaviour from the next request on. Replies in flight are not affected."""
        self._behaviour = behaviour
        await self._open_or_close_port()

    async def received(self, number: int = 0) -> ReceivedRequest:
        """Waits for the chat request of this number (from 0) and returns it."""
        async with self._changed:
            await self._changed.wait_for(lambda: len(self.requests) > number)
        return self.requests[number]

    async def disconnected(self, number: int = 0) -> float | None:
        """Waits for the end of reply `number` and returns when the client disconnected.

        The time is the clock's (s); None if the reply was sent to its end.
        """
        request = await self.received(number)
        async with self._changed:
            await self._changed.wait_for(
                lambda: request.is_finished or request.disconnected_at is not None
            )
        return request.disconnected_at

    async def __aenter__(self) -> Self:
        # A bound socket that does not listen reserves the port and refuses connections.
        self._reserved = self._bind()
        self._port = self._reserved.getsockname()[1]
        await self._open_or_close_port()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server:
            self._server.close()
        if self._reserved:
            self._reserved.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _bind(self) -> socket.socket:
        bound = socket.socket()
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((self._host, self._port))
        return bound

    async def _open_or_close_port(self) -> None:
        refuses = isinstance(self._behaviour, Script) and self._behaviour.fault is Fault.REFUSE
        if refuses and self._server:
            self._server.close()
            self._server = None
            self._reserved = self._bind()
        elif not refuses and self._reserved:
            self._server = await asyncio.get_running_loop().create_server(
                lambda: Wire(self._on_connect), sock=self._reserved
            )
            self._reserved = None  # the server owns it now

    def _on_connect(self, wire: Wire) -> None:
        self.connections += 1
        task = asyncio.create_task(self._serve(wire))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, wire: Wire) -> None:
        """Answers the requests of one connection, one after another."""
        try:
            while request := await wire.request():
                await self._answer(request, wire)
        except (Reset, ConnectionError):
            wire.reset()
        finally:
            wire.close()

    async def _answer(self, request: _http.Request, wire: Wire) -> None:
        path = request.path.partition("?")[0]
        self._on_request(path)
        wants_words = is_chat(request) or path.endswith(self._chat_paths)
        if not wants_words:
            self.other_requests.append((request.path, request.headers))
        if (page := self.pages.get(path)) is not None:
            await wire.send_page(page)
        elif path.endswith("/models") and path not in self.pages:
            model = {"id": self.model, "object": "model", "owned_by": "patchbay"}
            await wire.send_json(200, {"object": "list", "data": [model]})
        elif wants_words:
            await self._reply(request, wire)
        elif "/audio/" in path:
            await self.speech.answer(request, wire)
        elif "/api/" in request.path:
            await self.ollama.answer(request, wire)
        else:
            await wire.send_json(404, {"error": {"message": "no such route", "code": "not_found"}})

    async def _reply(self, request: _http.Request, wire: Wire) -> None:
        received = ReceivedRequest(
            number=len(self.requests),
            path=request.path,
            headers=request.headers,
            body=request.json(),
            at=self._clock.now(),
            content=request.body,
        )
        self.requests.append(received)
        await self._notify()
        behaviour = self._behaviour
        script = behaviour if isinstance(behaviour, Script) else behaviour(received.number)
        player = ScriptPlayer(script, received, wire, format_for(request.path), self._clock)
        await self._run_until_disconnect(player.run(), received, wire)

    async def _run_until_disconnect(
        self, reply: Coroutine[Any, Any, None], request: ReceivedRequest, wire: Wire
    ) -> None:
        """Runs a reply until it ends or the client disconnects, like a real engine."""
        replying = asyncio.create_task(reply)
        leaving = asyncio.create_task(wire.client_closed.wait())
        try:
            await asyncio.wait({replying, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if not replying.done():
                raise ConnectionResetError("the client is gone")
            replying.result()
            request.is_finished = True
        except Reset:
            request.is_finished = True
            raise
        except ConnectionError:
            request.disconnected_at = self._clock.now()
            raise
        finally:
            replying.cancel()
            leaving.cancel()
            await asyncio.gather(replying, leaving, return_exceptions=True)
            await self._notify()

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()


if __name__ == "__main__":  # where the program was before
    from llm_router.testing.__main__ import main

    main()
