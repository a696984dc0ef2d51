"""open_router: plain options in, the object graph out, closed together."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace

from llm_router.clock import Clock, SystemClock
from llm_router.connections import Connection
from llm_router.endpoint import Endpoint
from llm_router.errors import ConfigurationError
from llm_router.observe import LogObserver, Observer, Observers, Watcher
from llm_router.options import RouterOptions
from llm_router.phrases import Phrases
from llm_router.plugins import Plugins
from llm_router.pool import Pool
from llm_router.providers.base import Provider
from llm_router.router import Router
from llm_router.scoreboard.base import Scoreboard
from llm_router.scoreboard.keeper import Keeper

PROVIDERS = Plugins("llm_router.providers", "provider")
POLICIES = Plugins("llm_router.policies", "policy")
_WATCH_EVERY = 1.0
"""Seconds between two looks at the endpoints for those who draw them."""


@asynccontextmanager
async def open_router(
    connections: Sequence[Connection],
    *,
    policy: str | Mapping[str, str] = "latency",
    options: RouterOptions | None = None,
    phrases: Phrases | None = None,
    observers: Sequence[Observer] = (),
    scoreboard: Scoreboard | None = None,
    clock: Clock | None = None,
) -> AsyncIterator[Router]:
    """A router over `connections`; the end of the block closes it, its streams and HTTP clients.

    `policy` orders them: a name, or names by the pool that a request asks for, of which `default`
    serves the rest.
    With a `scoreboard`, which stays open, it starts from what other processes have learnt and tells
    them what it learns.

    Raises ConfigurationError, with nothing started, for an unknown policy or provider (listing the
    known) and for connections that share a name.
    """
    clock, options = clock or SystemClock(), options or RouterOptions()
    names = [connection.name for connection in connections]
    if twice := {name for name in names if names.count(name) > 1}:
        raise ConfigurationError(f"two connections are named {min(twice)!r}; names must differ")
    named = {"default": policy} if isinstance(policy, str) else {"default": "latency", **policy}
    policies = {pool: POLICIES.load(name).create() for pool, name in named.items()}
    async with AsyncExitStack() as stack:
        endpoints = []
        for connection in connections:
            provider: Provider = PROVIDERS.load(connection.provider).create(connection, clock)
            stack.push_async_callback(provider.aclose)
            endpoints.append(Endpoint(connection, provider, options.breaker))
        router = Router(
            Pool(endpoints, policies["default"], options.target, by_pool=policies),
            options,
            clock=clock,
            phrases=phrases,
            observers=(LogObserver(), *observers),
        )
        if scoreboard:
            keeper = Keeper(scoreboard, lambda: router.pool.endpoints, clock)
            stack.push_async_callback(keeper.aclose)
            await keeper.start()
        if any(isinstance(observer, Watcher) for observer in observers):
            watching = asyncio.create_task(_watch(router, Observers(observers)))
            stack.push_async_callback(_end, watching)
        stack.push_async_callback(router.aclose)
        yield router


async def _watch(router: Router, observers: Observers) -> None:
    try:
        while True:
            now = router.clock.now()
            observers.endpoints_are([e.state(now) for e in router.pool.endpoints])
            await router.clock.sleep(_WATCH_EVERY)
    finally:
        states = [e.state(router.clock.now()) for e in router.pool.endpoints]
        observers.endpoints_are([replace(state, in_flight=0) for state in states])


async def _end(task: "asyncio.Task[None]") -> None:
    task.cancel()
    await asyncio.wait([task])
