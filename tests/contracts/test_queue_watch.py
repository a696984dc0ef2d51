"""QueueMonitor: queues of the user's own servers, read over sockets and used for the order."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from llm_router.assembly import open_router
from llm_router.connections.record import Connection
from llm_router.options import RouterOptions
from llm_router.routing.router import Router
from llm_router.testing.server import FaultyServer
from llm_router.types import ChatRequest

BUSY = "vllm:num_requests_running 8\nvllm:num_requests_waiting {}\n"
HELLO = ChatRequest(messages=[{"role": "user", "content": "hello"}], session_id="")


def local(name: str, at: FaultyServer, **fields: Any) -> Connection:
    given = {"connection_type": "local", "server": "vllm", "model_name": "m", **fields}
    return Connection(name=name, base_url=at.base_url, **given)


@asynccontextmanager
async def routed(*connections: Connection, poll: float = 0.01) -> AsyncIterator[Router]:
    async with open_router(connections, options=RouterOptions(queue_poll=poll)) as router:
        yield router


async def polled(server: FaultyServer, times: int = 2) -> None:
    """Waits for so many more polls of the server; the last but one has taken effect then."""
    until = len(server.other_requests) + times
    while len(server.other_requests) < until:  # noqa: ASYNC110  the server's list signals no change
        await asyncio.sleep(0.001)


async def answered_by(router: Router) -> str:
    names = [chunk.connection async for chunk in router.stream(HELLO) if chunk.text]
    return names[0]


async def test_a_server_with_a_queue_ranks_lower() -> None:
    async with (
        FaultyServer(pages={"/metrics": BUSY.format(0)}) as one,
        FaultyServer() as two,
        routed(local("one", one), local("two", two, priority=1)) as router,
    ):
        first = router.pool.endpoints[0]
        assert await answered_by(router) == "one"
        first.latency.record_first_clause(0, 0.3, router.clock.now())
        alone = first.predicted(0)
        assert alone
        one.pages["/metrics"] = BUSY.format(9)
        await polled(one)
        assert (first.predicted(0) or 0) > 5 * alone
        assert await answered_by(router) == "two"
        one.pages["/metrics"] = BUSY.format(0)
        await polled(one)
        assert (first.predicted(0) or 0) <= alone


async def test_a_server_that_stops_publishing_has_no_queue() -> None:
    async with (
        FaultyServer(pages={"/metrics": BUSY.format(9)}) as one,
        routed(local("one", one)) as router,
    ):
        endpoint = router.pool.endpoints[0]
        endpoint.latency.record_first_clause(0, 0.3, router.clock.now())
        await polled(one)
        busy = endpoint.predicted(0)
        del one.pages["/metrics"]
        await polled(one)
        assert busy
        assert endpoint.predicted(0) == pytest.approx(busy / 10)


async def test_slots_of_llama_cpp_are_read_where_it_has_no_metrics() -> None:
    slots = [{"id": 0, "is_processing": True}]
    async with (
        FaultyServer(pages={"/slots": slots}) as one,
        routed(local("one", one, server="llama_cpp", api_key="k")) as router,
    ):
        await polled(one, 3)
        assert {path for path, _ in one.other_requests} >= {"/metrics", "/slots"}
        assert {headers.get("authorization") for _, headers in one.other_requests} == {"Bearer k"}
        assert router.pool.endpoints[0]._queue_length == 1


async def test_only_the_user_s_own_servers_are_polled_and_only_if_enabled() -> None:
    async with FaultyServer() as one, FaultyServer() as two, FaultyServer() as three:
        cloud = local("cloud", one, connection_type="openai")
        other = local("other", two, server="unknown")
        async with routed(cloud, other, local("own", three)):
            await polled(three, 1)
        assert one.other_requests == two.other_requests == []
        async with routed(local("own", one), poll=0.0) as router:
            await answered_by(router)
        assert one.other_requests == []


async def test_a_queue_is_not_read_at_an_address_that_its_owner_may_not_call() -> None:
    async with FaultyServer() as guarded, FaultyServer() as own:
        hers = local("hers", guarded, is_guarded=True)
        async with routed(hers, local("own", own)):
            await polled(own, 3)
        assert guarded.other_requests == []
