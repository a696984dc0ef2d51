"""open_router: plain options in, the object graph out, closed together."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace

from llm_router.clock import Clock, SystemClock
from llm_router.connections.record import Connection
from llm_router.errors import ConfigurationError
from llm_router.net.guard import AddressGuard
from llm_router.options import RouterOptions
from llm_router.plugins import Plugins
from llm_router.routing.events import (
    EndpointObserver,
    EndpointState,
    LogObserver,
    Observer,
    Observers,
)
from llm_router.routing.limits import Counters
from llm_router.routing.phrases import Phrases
from llm_router.routing.policies.base import CreatePolicy
from llm_router.routing.pool import Pool
from llm_router.routing.router import Router
from llm_router.sync.connections import EndpointSet, StoreSubscription
from llm_router.sync.limits import Tally
from llm_router.sync.queues import QueueWatch
from llm_router.sync.scoreboard.base import Scoreboard
from llm_router.sync.scoreboard.keeper import Keeper

__all__ = ["POLICIES", "open_router"]

POLICIES: Plugins[CreatePolicy] = Plugins("llm_router.routing.policies", "policy")
_WATCH_EVERY = 1.0
"""Seconds between two looks at the endpoints for those who draw them."""


@asynccontextmanager
async def open_router(
    connections: Sequence[Connection] | StoreSubscription,
    *,
    policy: str | Mapping[str, str] = "latency",
    options: RouterOptions | None = None,
    phrases: Phrases | None = None,
    observers: Sequence[Observer] = (),
    scoreboard: Scoreboard | None = None,
    counters: Counters | None = None,
    guard: AddressGuard | None = None,
    clock: Clock | None = None,
) -> AsyncIterator[Router]:
    """A router over `connections`; the end of the block closes it, its streams and HTTP clients.

    `policy` orders them: a name, or names by the pool that a request asks for, of which `default`
    serves the rest.
    With a `scoreboard`, which stays open, it starts from what other processes have learnt and tells
    them what it learns; with `counters`, their limits are kept together with other processes; with
    a `guard`, nothing is dialled that it refuses.

    Raises ConfigurationError, with nothing started, for an unknown policy or provider (listing the
    known) and for connections that share a name or an id. Of stored ones, those that cannot be
    used are left out and logged; StoreError if the store cannot be read to begin with.
    """
    clock, options = clock or SystemClock(), options or RouterOptions()
    named = {"default": policy} if isinstance(policy, str) else {"default": "latency", **policy}
    policies = {pool: POLICIES.load(name)() for pool, name in named.items()}
    async with AsyncExitStack() as stack:
        pool = Pool([], policies["default"], options.target, by_pool=policies)
        live = EndpointSet(pool, clock, options.breaker, guard)
        stack.push_async_callback(live.aclose)
        if isinstance(connections, StoreSubscription):
            await live.follow(connections)
        elif refused := live.put(_by_key(connections)):
            raise next(iter(refused.values()))
        router = Router(
            pool,
            options,
            clock=clock,
            phrases=phrases,
            observers=(LogObserver(), *observers),
        )
        async with asyncio.TaskGroup() as starting:  # side by side: a caller waits
            if scoreboard:
                keeper = Keeper(scoreboard, lambda: router.pool.endpoints, clock)
                stack.push_async_callback(keeper.aclose)
                starting.create_task(keeper.start())
            if counters:
                tally = Tally(counters, live.limits, clock)
                stack.push_async_callback(tally.aclose)
                starting.create_task(tally.start())
            if options.queue_poll:
                queues = QueueWatch(lambda: router.pool.endpoints, options.queue_poll, clock)
                stack.push_async_callback(queues.aclose)
                starting.create_task(queues.start())
        if any(isinstance(observer, EndpointObserver) for observer in observers):
            watching = asyncio.create_task(_watch(router, Observers(observers)))
            stack.push_async_callback(_end, watching)
        stack.push_async_callback(router.aclose)
        yield router


def _by_key(connections: Sequence[Connection]) -> dict[str, Connection]:
    for what in ("name", "id"):
        given = [value for connection in connections if (value := getattr(connection, what))]
        if twice := {value for value in given if given.count(value) > 1}:
            raise ConfigurationError(
                f"two connections have the {what} {min(twice)!r}; {what}s must differ"
            )
    return {connection.id or connection.name: connection for connection in connections}


async def _watch(router: Router, observers: Observers) -> None:
    names: set[str] = set()
    try:
        while True:
            now = router.clock.now()
            states = [e.state(now) for e in router.pool.endpoints]
            gone = names - {state.connection for state in states}
            observers.endpoints_sampled([*states, *map(_idle, sorted(gone))])
            names = {state.connection for state in states}
            await router.clock.sleep(_WATCH_EVERY)
    finally:
        states = [e.state(router.clock.now()) for e in router.pool.endpoints]
        observers.endpoints_sampled([replace(state, in_flight=0) for state in states])


def _idle(name: str) -> EndpointState:
    """What is drawn last of one that was removed."""
    return EndpointState(connection=name, breaker="closed", in_flight=0)


async def _end(task: "asyncio.Task[None]") -> None:
    task.cancel()
    await asyncio.wait([task])
