"""open_router: builds a router and everything it needs from plain values, and closes it all."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

from llm_router.clock import Clock, SystemClock
from llm_router.connections.record import Connection
from llm_router.errors import ConfigurationError
from llm_router.net.guard import AddressGuard
from llm_router.options import RouterOptions
from llm_router.plugins import Plugins
from llm_router.providers.base import Provider
from llm_router.routing.events import (
    EndpointObserver,
    LogObserver,
    Observer,
    Observers,
)
from llm_router.routing.limits import Counters
from llm_router.routing.phrases import Phrases
from llm_router.routing.policies.base import CreatePolicy
from llm_router.routing.pool import Pool
from llm_router.routing.router import Router
from llm_router.sync.endpoints import EndpointSet
from llm_router.sync.limits import LimitSync
from llm_router.sync.queues import QueueMonitor
from llm_router.sync.scoreboard.base import Scoreboard
from llm_router.sync.scoreboard.sync import ScoreboardSync
from llm_router.sync.subscription import StoreFollower, StoreSubscription
from llm_router.telemetry.endpoint_states import EndpointReporter

if TYPE_CHECKING:
    from livekit.agents.llm import LLM

__all__ = ["POLICIES", "open_router"]

POLICIES: Plugins[CreatePolicy] = Plugins("llm_router.routing.policies", "policy")


@asynccontextmanager
async def open_router(
    connections: "Sequence[Connection | LLM[Any]] | StoreSubscription",
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
    """Opens a router over `connections`.

    The end of the block closes it, with its streams, background tasks and HTTP clients. An LLM
    object of LiveKit's counts as a connection by the name of its model; its owner closes it.

    `policy` orders the endpoints: the name of one policy, or names by the pool that a request
    chooses, where `default` serves every other pool. With a `scoreboard`, the router starts from
    what other processes have measured and shares its own measurements; the caller closes the
    scoreboard. With `counters`, the connections' limits are counted together with other processes.
    With a `guard`, only addresses that it allows are dialled.

    Raises ConfigurationError, with nothing started, for an unknown policy or provider (the message
    lists the known ones) and for connections that share a name or an id. Stored connections that
    cannot be used are left out and logged. Raises StoreError if the store cannot be read at the
    start.
    """
    clock = clock or SystemClock()
    options = options or RouterOptions()
    names = {"default": policy} if isinstance(policy, str) else {"default": "latency", **policy}
    policies = {pool: POLICIES.load(name)() for pool, name in names.items()}
    async with AsyncExitStack() as stack:
        pool = Pool([], policies["default"], options.target, by_pool=policies)
        guarded = connections.guard if isinstance(connections, StoreSubscription) else None
        known, ready = _with_ready(connections)
        endpoints = EndpointSet(
            pool, clock, options.breaker, guard=guard, guarded=guarded, ready=ready
        )
        stack.push_async_callback(endpoints.aclose)
        if isinstance(connections, StoreSubscription):
            follower = StoreFollower(connections, endpoints, clock)
            stack.push_async_callback(follower.aclose)
            await follower.start()
        elif refused := await endpoints.set_connections(_by_key(known)):
            raise next(iter(refused.values()))
        async with asyncio.TaskGroup() as starting:  # side by side, since a caller may be waiting
            for sync in _syncs(pool, endpoints, scoreboard, counters, clock):
                stack.push_async_callback(sync.aclose)
                starting.create_task(sync.start())
        for watcher in _watchers(pool, options, observers, clock, guarded):
            stack.push_async_callback(watcher.aclose)
            watcher.start()
        observers = (LogObserver(), *observers)
        router = Router(pool, options, clock=clock, phrases=phrases, observers=observers)
        stack.push_async_callback(router.aclose)
        yield router


def _syncs(
    pool: Pool,
    endpoints: EndpointSet,
    scoreboard: Scoreboard | None,
    counters: Counters | None,
    clock: Clock,
) -> Iterator[ScoreboardSync | LimitSync]:
    """Makes what shares measurements and counts with other processes."""
    if scoreboard:
        yield ScoreboardSync(scoreboard, lambda: pool.endpoints, clock)
    if counters:
        yield LimitSync(counters, endpoints.limits, clock)


def _watchers(
    pool: Pool,
    options: RouterOptions,
    observers: Sequence[Observer],
    clock: Clock,
    guard: AddressGuard | None,
) -> Iterator[QueueMonitor | EndpointReporter]:
    """Makes what watches the endpoints over time."""
    if options.queue_poll:
        yield QueueMonitor(lambda: pool.endpoints, options.queue_poll, clock, guard)
    if any(isinstance(observer, EndpointObserver) for observer in observers):
        yield EndpointReporter(lambda: pool.endpoints, Observers(observers), clock)


def _with_ready(
    given: "Sequence[Connection | LLM[Any]] | StoreSubscription",
) -> tuple[Sequence[Connection], Mapping[str, Provider]]:
    """Returns a connection for each that is given, and by name the providers of ready LLMs.

    Both are empty for a store, whose connections are followed. Raises ConfigurationError for
    anything that is neither a connection nor an LLM.
    """
    if isinstance(given, StoreSubscription):
        return (), {}
    if all(isinstance(one, Connection) for one in given):
        return [one for one in given if isinstance(one, Connection)], {}
    from llm_router.providers.livekit_plugin.ready import from_ready  # noqa: PLC0415  takes seconds

    known = [one for one in given if isinstance(one, Connection)]
    taken = {connection.name for connection in known}
    connections: list[Connection] = []
    ready: dict[str, Provider] = {}
    for one in given:
        if isinstance(one, Connection):
            connections.append(one)
            continue
        connection, provider = from_ready(one, taken)
        taken.add(connection.name)
        connections.append(connection)
        ready[connection.name] = provider
    return connections, ready


def _by_key(connections: Sequence[Connection]) -> dict[str, Connection]:
    """Returns the connections by id, or by name where they have none.

    Raises ConfigurationError if two of them share a name or an id.
    """
    for field in ("name", "id"):
        given = [value for connection in connections if (value := getattr(connection, field))]
        if repeated := {value for value in given if given.count(value) > 1}:
            raise ConfigurationError(
                f"two connections have the {field} {min(repeated)!r}; {field}s must differ"
            )
    return {connection.id or connection.name: connection for connection in connections}
