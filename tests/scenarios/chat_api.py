"""The routes below /v1 over a router of scripted providers, on a socket, on a clock that jumps."""

import asyncio
import functools
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import httpx2
import openai
from fastapi import FastAPI
from openai.types.chat import ChatCompletion

from agent.http_process import listen
from agent.http_server import Bounds, make_server
from llm_router.connections.access import SYSTEM
from llm_router.gateway.app import build_local_app
from llm_router.gateway.deps import Services
from llm_router.routing.router import Router
from llm_router.testing import InMemoryConnectionStore, ManualClock, Step, say
from llm_router.types import Chunk, ToolCall
from tests.scenarios.acts import AMID
from tests.scenarios.stage import Stage

HELLO: dict[str, Any] = {"model": "auto", "messages": [{"role": "user", "content": "hi"}]}
ANSWER = "We open at nine in the morning, Monday to Friday, and we close at six."
HEAD = "We open at nine in the morning, Monday to"
SPARE = say(ANSWER, first=0.2)
BROKEN: Mapping[str, Sequence[Step]] = {
    name: [*say(HEAD, finish=None), *steps]
    for name, steps in AMID.items()
    if name != "cut by length"
}
CALLS = (ToolCall("call_1", "lookup", '{"query": "hours"}'), ToolCall("call_2", "clock", "{}"))
TOOLS: list[dict[str, Any]] = [
    {"type": "function", "function": {"name": name, "parameters": {"type": "object"}}}
    for name in ("lookup", "clock")
]
CALLING = [Step(0.1, Chunk(tool_calls=CALLS)), Step(0.0, Chunk(finish_reason="tool_calls"))]
_BOUNDS = Bounds(connections=100, per_address=100)


@dataclass
class ChatApi:
    """The API that one test asks, and the client that asks it."""

    stage: Stage
    port: int
    client: openai.AsyncOpenAI
    router: Router

    @property
    def clock(self) -> ManualClock:
        return self.stage.clock

    @property
    def open_streams(self) -> int:
        return sum(provider.open for provider in self.stage.providers)

    async def streamed(self, **fields: Any) -> ChatCompletion:
        """Returns what openai-python's own accumulator makes of a stream."""
        asked: Any = {**HELLO, **fields}
        async with self.client.chat.completions.stream(**asked) as stream:
            async for _ in stream:
                """The accumulator does the work."""
            return cast(ChatCompletion, await stream.get_final_completion())

    async def whole(self, **fields: Any) -> ChatCompletion:
        asked: Any = {**HELLO, **fields}
        return cast(ChatCompletion, await self.client.chat.completions.create(**asked))


@dataclass
class Asked:
    """The stage of a test of the API; `run` plays it."""

    stage: Stage = field(default_factory=Stage)

    def run(self, test: Callable[[ChatApi], Awaitable[None]]) -> None:
        """Runs a test against the API; no stream of it is open at the end."""

        async def main() -> None:
            async with serving(self.stage) as api:
                await test(api)

        self.stage.clock.run(main())
        assert not any(provider.open for provider in self.stage.providers)


def over(*scripts: Sequence[Step]) -> Asked:
    """Puts each script on a server of another kind, which may accept another's bad request."""
    stage = Stage(*([script] for script in scripts))
    stage.clock.socket_wait = 0.001
    stage.be_of_different_kinds()
    return Asked(stage)


@functools.cache
def _app() -> tuple[FastAPI, list[Router]]:
    """Returns the application, which takes long to build, and a list whose last router it asks."""
    routers: list[Router] = []

    @asynccontextmanager
    async def opened() -> AsyncIterator[Router]:
        yield routers[-1]
        await routers.pop().aclose()

    services = Services(
        database=cast(Any, None),  # an operator needs no key, and these routers no store
        store=InMemoryConnectionStore(),
        keys=cast(Any, None),
        webhooks=cast(Any, None),
        vault=cast(Any, None),
        open_chat_router=opened,
    )
    return build_local_app(services, SYSTEM), routers


@asynccontextmanager
async def serving(stage: Stage, router: Router | None = None) -> AsyncIterator[ChatApi]:
    """Serves the API of this machine's operator in this loop, as the HTTP process does.

    It asks `router`, or one over the providers of the stage.
    """
    app, routers = _app()
    routers.append(router or stage.open_router())
    with listen("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        server = make_server(app, bounds=_BOUNDS)
        running = asyncio.create_task(server.serve([listener]))
        url = f"http://127.0.0.1:{port}/v1"
        try:
            async with openai.AsyncOpenAI(
                api_key="pb_",
                base_url=url,
                max_retries=0,
                http_client=httpx2.AsyncClient(verify=False),  # loading certificates takes long
            ) as client:
                yield ChatApi(stage, port, client, routers[-1])
        finally:
            server.should_exit = True
            await running


async def left(api: ChatApi, path: str, fields: Mapping[str, Any], *, after: float) -> float:
    """Asks on a socket that closes so many seconds after the first stream behind it has opened;
    returns the seconds until every one is closed.
    """
    body = json.dumps(fields).encode()
    _, writer = await asyncio.open_connection("127.0.0.1", api.port)
    writer.write(
        f"POST {path} HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n".encode()
        + body
    )
    while not api.open_streams:  # sockets take real time, of which the clock knows nothing
        await api.clock.sleep(0.001)
    await api.clock.sleep(after)
    assert api.open_streams
    writer.close()
    gone_at = api.clock.now()
    while api.open_streams and api.clock.now() < gone_at + 5:
        await api.clock.sleep(0.01)
    return api.clock.now() - gone_at
