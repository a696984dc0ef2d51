"""A router over scripted providers, for tests without a network."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

from llm_router.clock import Clock
from llm_router.connections.record import Connection
from llm_router.options import RouterOptions
from llm_router.providers.base import Provider
from llm_router.routing.endpoint import Endpoint
from llm_router.routing.events import Observer
from llm_router.routing.phrases import Phrases
from llm_router.routing.policies.priority import Priority
from llm_router.routing.pool import Pool
from llm_router.routing.router import Router


@asynccontextmanager
async def open_scripted_router(
    providers: Mapping[str, Provider],
    clock: Clock,
    *,
    options: RouterOptions | None = None,
    phrases: Phrases | None = None,
    observers: Sequence[Observer] = (),
) -> AsyncIterator[Router]:
    """Opens a router over `providers`, by the names of their connections, and closes it at the end.

    The first provider is the primary and the rest are spares, in this order. Give the providers
    the same `clock`. They stay open.
    """
    options = options or RouterOptions()
    endpoints = [
        Endpoint(Connection(name=name, priority=priority), provider, options.breaker)
        for priority, (name, provider) in enumerate(providers.items())
    ]
    pool = Pool(endpoints, Priority(), options.target)
    router = Router(pool, options, clock=clock, phrases=phrases, observers=observers)
    try:
        yield router
    finally:
        await router.aclose()
