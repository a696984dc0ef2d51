"""The peers' algorithms, modelled on their sources: which server they ask next, after what, when.

All models leave out the peer's own work between the steps, the jitter of its pauses (the mean is
taken), and all differences between servers but their times and faults. A timeout is httpx's read
timeout, as all of them set it: the longest time without a byte.
"""

import asyncio
import random
from collections import deque
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from bench.outage.server import SimulatedServer
from bench.outage.simulation import OpenContender
from llm_router.clock import Clock
from llm_router.errors import RouterError, StatusError, UnreachableError
from llm_router.types import ChatRequest, Chunk

MODELLED = "livekit-agents 1.8.9, litellm 1.109.1 and pydantic-ai 2.68.0"
_FAILURES = (RouterError, TimeoutError)
Chunks = AsyncGenerator[Chunk, None]


async def _read(server: SimulatedServer, request: ChatRequest, timeout: float) -> Chunks:  # noqa: ASYNC109  a timeout between two chunks
    async with aclosing(server.stream(request)) as stream:
        while True:
            async with asyncio.timeout(timeout):
                chunk = await anext(stream, None)
            if chunk is None:
                return
            yield chunk


class _Peer:
    def __init__(self, servers: Sequence[SimulatedServer], clock: Clock) -> None:
        self._servers = servers
        self._clock = clock

    async def aclose(self) -> None:
        """Does nothing, because most peers have nothing to close."""


class OneProvider(_Peer):
    """No router: LiveKit's plugin asks the first server, and again after a failure.

    livekit/agents/llm/llm.py `LLMStream._main_task`, types.py `APIConnectOptions`: a timeout of
    10 s, and three more tries, after 0.1 s, then every 2 s; none after the first word.
    """

    async def reply(self, request: ChatRequest) -> Chunks:
        for pause in (0.1, 2.0, 2.0, None):
            started = False
            try:
                async with aclosing(self._attempt(request)) as chunks:
                    async for chunk in chunks:
                        started = started or chunk.useful
                        yield chunk
            except _FAILURES:
                if started or pause is None:
                    raise
            else:
                return
            await self._clock.sleep(pause)

    def _attempt(self, request: ChatRequest) -> Chunks:
        return _read(self._servers[0], request, 10.0)


class FallbackAdapter(OneProvider):
    """LiveKit's FallbackAdapter (livekit/agents/llm/fallback_adapter.py).

    Asks the servers in order, each for `timeout` seconds. A failed server is left out until a
    second request, with the same messages in the background, was answered whole. The session
    retries the adapter like any model (see `OneProvider`).
    """

    def __init__(
        self,
        servers: Sequence[SimulatedServer],
        clock: Clock,
        timeout: float,
    ) -> None:
        super().__init__(servers, clock)
        self._timeout = timeout
        self._available = dict.fromkeys(servers, True)
        self._recovering: dict[SimulatedServer, asyncio.Task[None]] = {}

    async def _attempt(self, request: ChatRequest) -> Chunks:
        all_failed = not any(self._available.values())
        for server in self._servers:
            if self._available[server] or all_failed:
                started = False
                try:
                    async with aclosing(_read(server, request, self._timeout)) as chunks:
                        async for chunk in chunks:
                            started = started or chunk.useful
                            yield chunk
                except _FAILURES:
                    self._available[server] = False
                    if started:
                        raise
                else:
                    return
            self._try_recovery(server, request)
        raise UnreachableError("all failed")

    def _try_recovery(self, server: SimulatedServer, request: ChatRequest) -> None:
        if server not in self._recovering:
            task = asyncio.create_task(self._recover(server, request))
            self._recovering[server] = task
            task.add_done_callback(lambda _: self._recovering.pop(server))

    async def _recover(self, server: SimulatedServer, request: ChatRequest) -> None:
        try:
            async with aclosing(_read(server, request, self._timeout)) as chunks:
                async for _ in chunks:
                    pass
        except _FAILURES:
            return
        self._available[server] = True

    async def aclose(self) -> None:
        for task in list(self._recovering.values()):
            task.cancel()
        await asyncio.gather(*self._recovering.values(), return_exceptions=True)


class LiteLLM(_Peer):
    """LiteLLM's Router.

    litellm/router_python_core.py `async_function_with_retries`: asks a server that is not cooling
    down, and two more at once after failures; fails while all cool down.
    router_utils/cooldown_handlers.py: a server cools down after a 429 for its Retry-After, else for
    5 s when more than half of at least five requests in this minute failed; refused connections do
    not count.
    """

    def __init__(
        self,
        servers: Sequence[SimulatedServer],
        clock: Clock,
        number: int,
        timeout: float,
        *,
        by_latency: bool = False,
    ) -> None:
        super().__init__(servers, clock)
        self._timeout = timeout
        self._by_latency = by_latency
        self._chance = random.Random(number)
        self._cools_down_until = dict.fromkeys(servers, 0.0)
        self._minutes: dict[SimulatedServer, tuple[int, int, int]] = {}
        self._waits = {server: deque[float](maxlen=10) for server in servers}

    async def reply(self, request: ChatRequest) -> Chunks:
        for tries_left in (2, 1, 0):
            asked_at = self._clock.now()
            available = [s for s in self._servers if self._cools_down_until[s] <= asked_at]
            if not available:
                raise UnreachableError("all cool down")
            server = self._choose(available)
            first_word = None
            try:
                async with aclosing(_read(server, request, self._timeout)) as chunks:
                    async for chunk in chunks:
                        first_word = first_word or self._clock.now() - asked_at
                        yield chunk
            except _FAILURES as failure:
                self._count(server, failed=not isinstance(failure, UnreachableError))
                self._cool_down(server, failure)
                if first_word or not tries_left:
                    raise
            else:
                self._count(server, failed=False)
                self._waits[server].append(first_word or 0.0)
                return

    def _choose(self, available: Sequence[SimulatedServer]) -> SimulatedServer:
        """Chooses at random (router_strategy/simple_shuffle.py), or by the lowest mean of the last
        ten times to the first token (lowest_latency.py). Timeouts are recorded in another list,
        which does not affect the choice for streams.
        """
        if not self._by_latency:
            return self._chance.choice(available)
        mean = {s: sum(self._waits[s]) / (len(self._waits[s]) or 1) for s in available}
        return self._chance.choice([s for s in available if mean[s] == min(mean.values())])

    def _count(self, server: SimulatedServer, *, failed: bool) -> None:
        minute = int(self._clock.now() / 60)
        of, requests, failures = self._minutes.get(server, (minute, 0, 0))
        if of != minute:
            requests = failures = 0
        self._minutes[server] = minute, requests + 1, failures + failed

    def _cool_down(self, server: SimulatedServer, failure: Exception) -> None:
        now = self._clock.now()
        _, requests, failures = self._minutes[server]
        if isinstance(failure, StatusError) and failure.status == 429:
            self._cools_down_until[server] = now + (failure.retry_after or 5.0)
        elif requests >= 5 and failures / requests > 0.5:
            self._cools_down_until[server] = now + 5.0


class FallbackModel(_Peer):
    """pydantic-ai's FallbackModel.

    pydantic_ai/models/fallback.py, _fallback.py `request_stream_until_first_event`: asks the
    servers in order, the next one after an error before the first event; `timeout` is
    `first_event_timeout`. Below it, openai/_base_client.py asks each server twice more: after 0.5 s
    and 1 s, less up to a quarter, or as Retry-After says.
    """

    def __init__(
        self, servers: Sequence[SimulatedServer], clock: Clock, timeout: float | None
    ) -> None:
        super().__init__(servers, clock)
        self._timeout = timeout

    async def reply(self, request: ChatRequest) -> Chunks:
        for server in self._servers:
            async with aclosing(self._ask(server, request)) as chunks:
                try:
                    async with asyncio.timeout(self._timeout):
                        chunk = await anext(chunks, None)
                except _FAILURES:
                    continue
                while chunk is not None:
                    yield chunk
                    chunk = await anext(chunks, None)
                return
        raise UnreachableError("all failed")

    async def _ask(self, server: SimulatedServer, request: ChatRequest) -> Chunks:
        for pause in (0.5, 1.0, None):
            try:
                async with aclosing(_read(server, request, 600.0)) as chunks:
                    async for chunk in chunks:
                        yield chunk
            except (StatusError, UnreachableError) as failure:
                if pause is None:
                    raise
                retry_after = failure.retry_after if isinstance(failure, StatusError) else None
                await self._clock.sleep(retry_after or pause * 0.875)
            else:
                return


PEERS: dict[str, OpenContender] = {
    "FallbackAdapter": lambda servers, clock, _: FallbackAdapter(servers, clock, 5.0),
    "FallbackAdapter, 1 s": lambda servers, clock, _: FallbackAdapter(servers, clock, 1.0),
    "LiteLLM": lambda servers, clock, number: LiteLLM(servers, clock, number, 600.0),
    "LiteLLM, 1 s": lambda servers, clock, number: LiteLLM(servers, clock, number, 1.0),
    "LiteLLM by latency, 1 s": lambda servers, clock, number: LiteLLM(
        servers, clock, number, 1.0, by_latency=True
    ),
    "pydantic-ai": lambda servers, clock, _: FallbackModel(servers, clock, None),
    "pydantic-ai, 1 s": lambda servers, clock, _: FallbackModel(servers, clock, 1.0),
    "one provider": lambda servers, clock, _: OneProvider(servers, clock),
}
"""Each peer with its defaults, and with the setting that limits the wait for a silent server to
1 s."""
