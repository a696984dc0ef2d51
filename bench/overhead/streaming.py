"""The cost of the router in a reply, over the HTTP client alone at the same server.

All contenders get the same words from one server in another process. Work is the processor time of
this process: while one reply runs alone it is that reply's, and a busy machine does not blur it.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass, field
from time import perf_counter, process_time

from bench.overhead.deciding import measure_memory
from bench.peers.bare_stream import bare_stream
from bench.peers.runner import Ask, OpenContender
from bench.report.command import Progress
from bench.servers.model_server import ModelServer, model_server
from llm_router import ChatRequest, Connection, open_router
from llm_router.clock import SystemClock
from llm_router.net.network import Network, Transport
from llm_router.providers.openai_compatible import create

CROWD_SIZES = (1, 10, 50, 100, 200)
"""Replies that run side by side."""
TOKEN_RATE = 40.0
"""Words a second of each of those."""
_CROWD_WORDS = 60
_WORDS = 60
"""Words of a reply whose chunks are measured."""
_GAP = 0.002
"""Seconds between them, so that each arrives alone."""
_ALL_SENT = 1.0
"""Seconds after which all requests have surely been sent."""
_WARM_UP = 5
"""Replies that do not count, in which everything is imported and connected."""
_REQUEST = ChatRequest(
    messages=[
        {"role": "system", "content": "You answer the telephone of a small restaurant."},
        {"role": "user", "content": "I booked a table for tonight. Is all right with it?"},
    ],
    speech=True,
)


@dataclass(frozen=True, slots=True)
class Cost:
    """A contender's values, one for each reply: seconds to the first word, elapsed and of work;
    then seconds of work for a chunk.
    """

    name: str
    elapsed: list[float] = field(default_factory=list)
    worked: list[float] = field(default_factory=list)
    chunk: list[float] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Crowd:
    """Replies at the same time. `busy`: the share of one core that was used. `late`: seconds by
    which the slowest reply ended after its server's last word was due.
    """

    name: str
    replies: int
    busy: float
    chunk: float
    late: float


@asynccontextmanager
async def bare_on_our_network(base_urls: Sequence[str]) -> AsyncIterator[Ask]:
    """Opens httpx2 on the network that our provider uses."""
    transport = Transport(Network(), verify=False)
    async with bare_stream(base_urls, transport) as ask:
        yield ask


@asynccontextmanager
async def provider_alone(base_urls: Sequence[str]) -> AsyncIterator[Ask]:
    provider = create(_connection(base_urls[0]), SystemClock())

    async def ask() -> AsyncGenerator[str, None]:
        async with aclosing(provider.stream(_REQUEST)) as chunks:
            async for chunk in chunks:
                if chunk.text:
                    yield chunk.text

    yield ask
    await provider.aclose()


@asynccontextmanager
async def routed(base_urls: Sequence[str]) -> AsyncIterator[Ask]:
    async with open_router([_connection(url) for url in base_urls]) as router:

        async def ask() -> AsyncGenerator[str, None]:
            async with aclosing(router.stream(_REQUEST)) as chunks:
                async for chunk in chunks:
                    if chunk.text:
                        yield chunk.text

        yield ask


CONTENDERS: Mapping[str, OpenContender] = {
    "bare httpx2": bare_stream,
    "httpx2, our network": bare_on_our_network,
    "our provider": provider_alone,
    "router": routed,
}


async def measure_costs(rounds: int, progress: Progress) -> list[Cost]:
    """Asks all contenders in turn; the first one changes every round."""
    async with _contenders() as (server, asks):
        costs = [Cost(name) for name in asks]
        for what, reply, measure in (
            ("to the first word", {"words": ["Yes."]}, _measure_first_word),
            ("of each chunk", {"words": [" word"] * _WORDS, "gap": _GAP}, _measure_chunk),
        ):
            await server.behave(reply)
            replies = rounds if measure is _measure_first_word else max(rounds // 4, 5)
            for number in range(-_WARM_UP, replies):
                progress(f"cost {what}: {max(number, 0) + 1} of {replies}")
                for place in range(len(costs)):
                    cost = costs[(place + number) % len(costs)]
                    await measure(asks[cost.name], cost if number >= 0 else Cost(""))
    return costs


async def measure_crowds(progress: Progress) -> list[Crowd]:
    crowds = []
    async with _contenders() as (server, asks):
        await server.behave({"words": [" word"] * _CROWD_WORDS, "gap": 1 / TOKEN_RATE})
        for replies in CROWD_SIZES:
            for name in ("bare httpx2", "router"):
                progress(f"{replies} replies at once: {name}")
                await asyncio.gather(*(_read_all(asks[name]) for _ in range(replies)))
                crowds.append(await _measure_crowd(name, asks[name], replies))
    return crowds


async def bytes_of_a_reply(number: int = 100) -> dict[str, float]:
    """Returns the memory of a reply that waits for its first word, of the HTTP client alone and of
    the router.
    """
    sizes = {}
    async with _contenders() as (server, asks):
        for name in ("bare httpx2", "router"):
            await server.behave({"words": ["Yes."]})
            await asyncio.gather(*(_read_all(asks[name]) for _ in range(number)))
            await server.behave({"words": ["Yes."], "first_token_after": 2 * _ALL_SENT})
            with measure_memory() as grown:
                waiting = [asyncio.create_task(_read_all(asks[name])) for _ in range(number)]
                await asyncio.sleep(_ALL_SENT)
            sizes[name] = grown[0] / number
            await asyncio.gather(*waiting)
    return sizes


def _connection(url: str) -> Connection:
    return Connection(name=url, base_url=url, model_name="faulty")


@asynccontextmanager
async def _contenders() -> AsyncIterator[tuple[ModelServer, dict[str, Ask]]]:
    """Opens all contenders over one server."""
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(model_server(0.0))
        asks = {
            name: await stack.enter_async_context(open_contender([server.base_url]))
            for name, open_contender in CONTENDERS.items()
        }
        yield server, asks


async def _measure_first_word(ask: Ask, cost: Cost) -> None:
    start = perf_counter()
    worked = process_time()
    async with aclosing(ask()) as reply:
        await anext(reply)
        cost.elapsed.append(perf_counter() - start)
        cost.worked.append(process_time() - worked)
        async for _ in reply:
            pass  # to its end, so that its connection can be used again


async def _measure_chunk(ask: Ask, cost: Cost) -> None:
    async with aclosing(ask()) as reply:
        await anext(reply)
        worked = process_time()
        chunks = 0
        async for _ in reply:
            chunks += 1
            if chunks == _WORDS - 2:  # the cost of the reply's end belongs to no chunk
                cost.chunk.append((process_time() - worked) / chunks)


async def _read_all(ask: Ask) -> int:
    """Returns the number of pieces."""
    async with aclosing(ask()) as reply:
        return len([piece async for piece in reply])


async def _measure_crowd(name: str, ask: Ask, replies: int) -> Crowd:
    start = perf_counter()
    work_start = process_time()
    chunks = sum(await asyncio.gather(*(_read_all(ask) for _ in range(replies))))
    elapsed = perf_counter() - start
    work = process_time() - work_start
    due = (_CROWD_WORDS - 1) / TOKEN_RATE
    return Crowd(name, replies, work / elapsed, work / chunks, elapsed - due)
