"""Every fault of `llm_router.testing.server` as bytes on a socket, which a scripted provider cannot
show. Servers and router share one loop whose time jumps: no deadline can pass because the machine
was busy.
"""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager

import pytest

from llm_router import ChatRequest, Connection, open_router
from llm_router.routing.router import Router
from llm_router.testing import ManualClock
from llm_router.testing.server import Fault, FaultyServer, Script
from llm_router.types import Chunk

WORDS = ("Grüß", " Gott", ",", " wir", " öffnen", " um", " neun", " Uhr", ".")
ANSWER = "".join(WORDS)
WIRES = ("openai_compatible", "ollama")
STATUSES = (400, 401, 402, 404, 429, 500, 503)
FAULTS = [
    *(Script(words=WORDS, fault=fault) for fault in Fault if fault is not Fault.STATUS),
    *(Script(words=WORDS, fault=Fault.STATUS, status=status) for status in STATUSES),
    Script(words=WORDS, fault=Fault.STATUS, status=429, retry_after="7"),
]


def name(script: Script) -> str:
    status = f" {script.status}" if script.fault is Fault.STATUS else ""
    return f"{script.fault}{status}{' retry after' if script.retry_after else ''}"


@asynccontextmanager
async def routed(wire: str, *scripts: Script) -> AsyncIterator[Router]:
    async with AsyncExitStack() as stack:
        servers = [await stack.enter_async_context(FaultyServer(script)) for script in scripts]
        connections = [
            Connection(
                name=f"server {place}",
                provider=wire,
                base_url=one.base_url,
                model_name="m",
                priority=place,
            )
            for place, one in enumerate(servers)
        ]
        yield await stack.enter_async_context(open_router(connections))


def ask(wire: str, *scripts: Script) -> list[Chunk]:
    """Asks a router over one server for each script; nothing is left in flight at any of them."""

    async def main() -> list[Chunk]:
        request = ChatRequest(messages=[{"role": "user", "content": "hi"}], speech=True)
        async with routed(wire, *scripts) as router, aclosing(router.stream(request)) as reply:
            chunks = [chunk async for chunk in reply]
        assert not any(endpoint.in_flight for endpoint in router.pool.endpoints)
        return chunks

    return ManualClock(socket_wait=0.001).run(main())


@pytest.fixture(params=WIRES)
def wire(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize("script", FAULTS, ids=name)
def test_one_healthy_spare_is_enough(script: Script, wire: str) -> None:
    chunks = ask(wire, script, Script(words=WORDS))
    assert "".join(chunk.text for chunk in chunks) == ANSWER
    assert [c.finish_reason for c in chunks if c.finish_reason] == ["stop"]
    assert not any(chunk.tool_calls for chunk in chunks)


@pytest.mark.parametrize("script", FAULTS, ids=name)
def test_with_a_spare_that_fails_the_same_way_it_still_ends_in_words(
    script: Script, wire: str
) -> None:
    chunks = ask(wire, script, script)
    said = "".join(chunk.text for chunk in chunks)
    assert [c.finish_reason for c in chunks if c.finish_reason] == ["stop"]
    begun = said.partition("…")[0]
    assert ANSWER.startswith(begun) or said.startswith(ANSWER) or "sorry" in said
    assert said.count("Grüß") <= 1
