"""FaultyServer: a model server on a real socket that fails on request.

It speaks chat completions below /v1, and Ollama's own wire below /api.

For trying an agent or a router offline, in tests or by hand:

    python -m llm_router.testing.server --first-token 0.15 --fault stall_after --after 5
"""

import argparse
import asyncio
import re
import socket
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from typing import Any, Self

from llm_router.clock import Clock, SystemClock
from llm_router.testing import _http
from llm_router.testing._formats import format_of
from llm_router.testing._http import Reset, Wire
from llm_router.testing._ollama_models import Shelf, is_chat
from llm_router.testing._player import Play, Received, forever
from llm_router.testing.script import Fault, Script

__all__ = ["Behaviour", "Fault", "FaultyServer", "Received", "Script", "main"]

Behaviour = Script | Callable[[int], Script]
"""One script for all requests, or the script of the n-th (from 0)."""


class FaultyServer:
    """Serves on `host` while the `async with` block lasts; `base_url` is its address.

    Whatever the fault, its lists of models answer well: a server may list them and yet say nothing.
    `pages` are what else it answers, by path: JSON, text, or None for what is not there.
    `chats`: how other paths end at which scripts are played;
    `llm_router.testing.vendor_replies` writes what other vendors answer there.
    """

    model = "faulty"

    def __init__(
        self,
        behaviour: Behaviour | None = None,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        clock: Clock | None = None,
        pages: Mapping[str, Any] | None = None,
        chats: tuple[str, ...] = (),
    ) -> None:
        self._behaviour, self.pages = behaviour or Script(), dict(pages or {})
        self._host, self._port, self._chats = host, port, chats
        self._clock = clock or SystemClock()
        self._server: asyncio.Server | None = None
        self._reserved: socket.socket | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Condition()
        self.requests: list[Received] = []
        self.shelf = Shelf(self._clock, [f"{self.model}:latest"])
        """What its side of Ollama keeps."""
        self.visits: list[tuple[str, Mapping[str, str]]] = []
        """What else was asked for: path and headers, names in lower case."""
        self.connections = 0
        """Accepted so far: a client that keeps its pool warm opens few."""

    @property
    def base_url(self) -> str:
        return f"http://{self._host}:{self._port}/v1"

    @property
    def words_sent(self) -> int:
        """Words of all replies so far: what a fleet generated for what a caller heard."""
        return sum(request.words_sent for request in self.requests)

    async def behave(self, behaviour: Behaviour) -> None:
        """From the next request on. Replies that have begun go on as they were."""
        self._behaviour = behaviour
        await self._listen_or_not()

    async def received(self, number: int = 0) -> Received:
        """The chat request of that number, once it has come."""
        async with self._changed:
            await self._changed.wait_for(lambda: len(self.requests) > number)
        return self.requests[number]

    async def disconnected(self, number: int = 0) -> float | None:
        """When the client left request `number`; None if its reply was sent to the end."""
        request = await self.received(number)
        async with self._changed:
            await self._changed.wait_for(
                lambda: request.is_finished or request.disconnected_at is not None
            )
        return request.disconnected_at

    async def __aenter__(self) -> Self:
        # Bound but not listening, the port is ours and refuses whoever knocks.
        self._reserved = self._bound()
        self._port = self._reserved.getsockname()[1]
        await self._listen_or_not()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server:
            self._server.close()
        if self._reserved:
            self._reserved.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _bound(self) -> socket.socket:
        bound = socket.socket()
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((self._host, self._port))
        return bound

    async def _listen_or_not(self) -> None:
        refuses = isinstance(self._behaviour, Script) and self._behaviour.fault is Fault.REFUSE
        if refuses and self._server:
            self._server.close()
            self._server, self._reserved = None, self._bound()
        elif not refuses and self._reserved:
            self._server = await asyncio.get_running_loop().create_server(
                lambda: Wire(self._connected), sock=self._reserved
            )
            self._reserved = None  # it is the server's now

    def _connected(self, wire: Wire) -> None:
        self.connections += 1
        task = asyncio.create_task(self._serve(wire))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, wire: Wire) -> None:
        """One connection, request after request."""
        try:
            while asked := await wire.request():
                await self._answer(asked, wire)
        except (Reset, ConnectionError):
            wire.reset()
        finally:
            wire.close()

    async def _answer(self, asked: _http.Request, wire: Wire) -> None:
        path = asked.path.partition("?")[0]
        if not (is_chat(asked) or path.endswith(self._chats)):
            self.visits.append((asked.path, asked.headers))
        if (page := self.pages.get(path)) is not None:
            await wire.send_page(page)
        elif path.endswith("/models") and path not in self.pages:
            model = {"id": self.model, "object": "model", "owned_by": "patchbay"}
            await wire.send_json(200, {"object": "list", "data": [model]})
        elif is_chat(asked) or path.endswith(self._chats):
            number = len(self.requests)
            request = Received(number, asked.path, asked.headers, asked.json(), self._clock.now())
            self.requests.append(request)
            await self._tell()
            said = self._behaviour
            script = said if isinstance(said, Script) else said(number)
            play = Play(script, request, wire, format_of(asked.path), self._clock)
            await self._until_gone(play.run(), request, wire)
        elif "/api/" in asked.path:
            await self.shelf.answer(asked, wire)
        else:
            await wire.send_json(404, {"error": {"message": "no such route", "code": "not_found"}})

    async def _until_gone(
        self, reply: Coroutine[Any, Any, None], request: Received, wire: Wire
    ) -> None:
        """Reply for as long as somebody listens, as engines do."""
        replying = asyncio.create_task(reply)
        leaving = asyncio.create_task(wire.gone.wait())
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
            await self._tell()

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m llm_router.testing.server",
        description="A model server that fails on request: chat completions, and Ollama's wire."
        " Prints its base URL.",
        epilog=f"faults: {', '.join(Fault)}. The first letters of one are enough.",
    )
    seconds: dict[str, Any] = {"type": float, "default": 0.0, "metavar": "S"}
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0: any free one")
    parser.add_argument("--first-token", **seconds, help="seconds until the first word")
    parser.add_argument("--gap", **seconds, help="seconds between two words")
    parser.add_argument("--words", default="".join(Script().words), help="what it says")
    parser.add_argument("--fault", type=_fault, default=Fault.NONE, metavar="FAULT")
    parser.add_argument("--after", type=int, default=3, metavar="N", help="words before it fails")
    parser.add_argument("--one-in", type=int, default=1, metavar="N", help="fail only one in N")
    parser.add_argument("--status", type=int, metavar="CODE", help="answer this; implies a fault")
    parser.add_argument("--retry-after", metavar="VALUE", help="sent with --status")
    parser.add_argument("--continues", action="store_true", help="go on with a trailing message")
    return parser.parse_args()


def _fault(name: str) -> Fault:
    name = name.replace("-", "_")
    meant = [fault for fault in Fault if fault == name or fault.startswith(name)]
    if name not in meant and len(meant) != 1:
        raise argparse.ArgumentTypeError(f"{name!r} is not one of: {', '.join(Fault)}")
    return Fault(name) if name in meant else meant[0]


def _behaviour(args: argparse.Namespace) -> Behaviour:
    def script(fault: Fault) -> Script:
        return Script(
            words=re.findall(r"\s*\S+", args.words),
            first_token_after=args.first_token,
            gap=args.gap,
            fault=fault,
            after=args.after,
            status=args.status or Script().status,
            retry_after=args.retry_after,
            continues=args.continues,
        )

    fault = Fault.STATUS if args.status else args.fault
    if args.one_in <= 1:
        return script(fault)
    return lambda number: script(Fault.NONE if (number + 1) % args.one_in else fault)


async def _serve_forever(args: argparse.Namespace) -> None:
    async with FaultyServer(_behaviour(args), host=args.host, port=args.port) as server:
        print(server.base_url, flush=True)  # noqa: T201  what whoever started it waits for
        await forever()


def main() -> None:
    with suppress(KeyboardInterrupt):
        asyncio.run(_serve_forever(_arguments()))


if __name__ == "__main__":
    main()
