"""What the router costs on the way of a reply, over the HTTP client alone at the same server.

Everyone gets the same words from one server in another process. Work is the processor time of this
process: while one reply runs alone it is that reply's, and a busy machine does not blur it.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass, field
from time import perf_counter, process_time

import httpx2

from bench.first_word.contenders import Opens, Speaker, bare_stream
from bench.first_word.servers import ModelServer, model_server
from bench.overhead.deciding import memory
from llm_router import ChatRequest, Connection, open_router
from llm_router.clock import SystemClock
from llm_router.net.network import Network, Transport
from llm_router.providers.openai_compatible import create

AT_ONCE = (1, 10, 50, 100, 200)
"""Replies that run side by side."""
TOKEN_RATE = 40.0
"""Words in a second of each of those."""
_WORDS_AT_ONCE = 60
_WORDS, _APART = 60, 0.002  # of a reply whose chunks are counted; s, so that each arrives alone
_ALL_WAIT = 1.0  # s until all requests have surely been sent
_UNCOUNTED = 5
"""Replies at first, in which everything is imported and connected."""
_REQUEST = ChatRequest(
    messages=[
        {"role": "system", "content": "You answer the telephone of a small restaurant."},
        {"role": "user", "content": "I booked a table for tonight. Is all right with it?"},
    ],
    speech=True,
)


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one contender, a value for each reply: seconds to the first word, passed and worked; then
    seconds of work for a chunk.
    """

    name: str
    passed: list[float] = field(default_factory=list)
    worked: list[float] = field(default_factory=list)
    chunk: list[float] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Crowd:
    """So many replies at once. `busy`: the share of one core that was used. `late`: seconds by
    which the slowest reply ended after its server's last word was due.
    """

    name: str
    replies: int
    busy: float
    chunk: float
    late: float


@asynccontextmanager
async def bare_on_our_network(base_urls: Sequence[str]) -> AsyncIterator[Speaker]:
    """The same client as ours, down to the socket."""
    transport = Transport(Network(), False, httpx2.Limits())
    async with bare_stream(base_urls, transport) as speaker:
        yield speaker


@asynccontextmanager
async def provider_alone(base_urls: Sequence[str]) -> AsyncIterator[Speaker]:
    provider = create(_connection(base_urls[0]), SystemClock())

    async def speak() -> AsyncGenerator[str, None]:
        async with aclosing(provider.stream(_REQUEST)) as chunks:
            async for chunk in chunks:
                if chunk.text:
                    yield chunk.text

    yield speak
    await provider.aclose()


@asynccontextmanager
async def routed(base_urls: Sequence[str]) -> AsyncIterator[Speaker]:
    async with open_router([_connection(url) for url in base_urls]) as router:

        async def speak() -> AsyncGenerator[str, None]:
            async with aclosing(router.stream(_REQUEST)) as chunks:
                async for chunk in chunks:
                    if chunk.text:
                        yield chunk.text

        yield speak


CONTENDERS: Mapping[str, Opens] = {
    "bare httpx2": bare_stream,
    "httpx2, our network": bare_on_our_network,
    "our provider": provider_alone,
    "router": routed,
}


async def costs(rounds: int, tell: Callable[[str], None]) -> list[Cost]:
    """All of them in turn; who begins changes from round to round."""
    async with _speaking() as (server, speakers):
        found = [Cost(name) for name in speakers]
        for what, saying, measured in (
            ("to the first word", {"words": ["Yes."]}, _first_word),
            ("of each chunk", {"words": [" word"] * _WORDS, "gap": _APART}, _chunk),
        ):
            await server.behave(saying)
            replies = rounds if measured is _first_word else max(rounds // 4, 5)
            for number in range(-_UNCOUNTED, replies):
                tell(f"cost {what}: {max(number, 0) + 1} of {replies}")
                for place in range(len(found)):
                    cost = found[(place + number) % len(found)]
                    await measured(speakers[cost.name], cost if number >= 0 else Cost(""))
    return found


async def crowds(tell: Callable[[str], None]) -> list[Crowd]:
    found = []
    async with _speaking() as (server, speakers):
        await server.behave({"words": [" word"] * _WORDS_AT_ONCE, "gap": 1 / TOKEN_RATE})
        for replies in AT_ONCE:
            for name in ("bare httpx2", "router"):
                tell(f"{replies} replies at once: {name}")
                await asyncio.gather(*(_all_of(speakers[name]) for _ in range(replies)))
                found.append(await _crowd(name, speakers[name], replies))
    return found


async def bytes_of_a_reply(number: int = 100) -> dict[str, float]:
    """Memory of a reply that waits for its first word, of the HTTP client alone and of ours."""
    found = {}
    async with _speaking() as (server, speakers):
        for name in ("bare httpx2", "router"):
            await server.behave({"words": ["Yes."]})
            await asyncio.gather(*(_all_of(speakers[name]) for _ in range(number)))
            await server.behave({"words": ["Yes."], "first_token_after": 2 * _ALL_WAIT})
            with memory() as grown:
                waiting = [asyncio.create_task(_all_of(speakers[name])) for _ in range(number)]
                await asyncio.sleep(_ALL_WAIT)
            found[name] = grown[0] / number
            await asyncio.gather(*waiting)
    return found


def _connection(url: str) -> Connection:
    return Connection(name=url, base_url=url, model_name="faulty")


@asynccontextmanager
async def _speaking() -> AsyncIterator[tuple[ModelServer, dict[str, Speaker]]]:
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(model_server(0.0))
        yield (
            server,
            {
                name: await stack.enter_async_context(opens([server.base_url]))
                for name, opens in CONTENDERS.items()
            },
        )


async def _first_word(speaker: Speaker, cost: Cost) -> None:
    start, worked = perf_counter(), process_time()
    async with aclosing(speaker()) as reply:
        await anext(reply)
        cost.passed.append(perf_counter() - start)
        cost.worked.append(process_time() - worked)
        async for _ in reply:
            pass  # to its end, so that its connection can be used again


async def _chunk(speaker: Speaker, cost: Cost) -> None:
    async with aclosing(speaker()) as reply:
        await anext(reply)
        worked, chunks = process_time(), 0
        async for _ in reply:
            chunks += 1
            if chunks == _WORDS - 2:  # what its end costs belongs to no chunk
                cost.chunk.append((process_time() - worked) / chunks)


async def _all_of(speaker: Speaker) -> int:
    async with aclosing(speaker()) as reply:
        return len([piece async for piece in reply])


async def _crowd(name: str, speaker: Speaker, replies: int) -> Crowd:
    start, worked = perf_counter(), process_time()
    chunks = sum(await asyncio.gather(*(_all_of(speaker) for _ in range(replies))))
    passed, work = perf_counter() - start, process_time() - worked
    due = (_WORDS_AT_ONCE - 1) / TOKEN_RATE
    return Crowd(name, replies, work / passed, work / chunks, passed - due)
