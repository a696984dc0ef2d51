"""Runs an async context beside a test that is not asynchronous: in a thread with its own loop."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Future
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import uvicorn

from agent.http_process import listen
from llm_router.store.migrations import migrate
from tests.contracts.databases import opened
from tests.contracts.gateway import Gateway, gateway_on

T = TypeVar("T")


@contextmanager
def in_a_thread(opening: AbstractAsyncContextManager[T]) -> Iterator[T]:
    """Enters the context in a thread, and leaves it at the end of the block."""
    opened: Future[tuple[T, asyncio.AbstractEventLoop, asyncio.Event]] = Future()

    async def hold() -> None:
        async with opening as value:
            end = asyncio.Event()
            opened.set_result((value, asyncio.get_running_loop(), end))
            await end.wait()

    def run() -> None:
        try:
            asyncio.run(hold())
        except BaseException as error:
            if opened.done():
                raise
            opened.set_exception(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        value, loop, end = opened.result()
        try:
            yield value
        finally:
            loop.call_soon_threadsafe(end.set)
    finally:
        thread.join()


@dataclass
class Api:
    """The management API on a real socket."""

    url: str
    gateway: Gateway

    @property
    def keys(self) -> dict[str, str]:
        return self.gateway.keys


@asynccontextmanager
async def api_on_a_socket(url: str, **options: Any) -> AsyncIterator[Api]:
    """Serves the API over the database at `url`, with these options of Services."""
    async with opened(url) as database:
        await migrate(database)
    listener = listen("127.0.0.1", 0)
    async with gateway_on(url, **options) as gateway:
        config = uvicorn.Config(gateway.app, log_config=None, ws="none", lifespan="off")
        server = uvicorn.Server(config)
        running = asyncio.create_task(server.serve([listener]))
        try:
            yield Api(f"http://127.0.0.1:{listener.getsockname()[1]}", gateway)
        finally:
            server.should_exit = True
            await running
