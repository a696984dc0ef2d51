"""Provides a receiver of webhooks on a real socket, with scripted answers."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from llm_router.testing._http import Request, Wire


@dataclass
class Receiver:
    """A receiver that answers each request in turn with one of `answers`, then with the last.

    An answer is an HTTP status; 0 never answers.
    """

    answers: Sequence[int] = (204,)
    url: str = ""
    location: str = ""
    """The target of a redirect."""
    requests: list[Request] = field(default_factory=list)

    async def serve(self, wire: Wire) -> None:
        try:
            while request := await wire.request():
                status = self.answers[min(len(self.requests), len(self.answers) - 1)]
                self.requests.append(request)
                if not status:
                    await wire.client_closed.wait()
                    return
                headers = {"location": self.location} if self.location else {}
                await wire.send_json(status, {}, headers)
        finally:
            wire.close()


@asynccontextmanager
async def receiving(*answers: int) -> AsyncIterator[Receiver]:
    receiver, tasks = Receiver(answers or (204,)), set[asyncio.Task[None]]()

    def connected(wire: Wire) -> None:
        tasks.add(asyncio.create_task(receiver.serve(wire)))

    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Wire(connected), "127.0.0.1", 0)
    receiver.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook"
    try:
        yield receiver
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
