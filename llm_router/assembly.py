"""open_router: plain options in, the object graph out, closed together."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from llm_router.clock import Clock, SystemClock
from llm_router.connections import Connection
from llm_router.endpoint import Endpoint
from llm_router.errors import ConfigurationError
from llm_router.observe import LogObserver, Observer
from llm_router.options import RouterOptions
from llm_router.phrases import Phrases
from llm_router.plugins import Plugins
from llm_router.policies.base import Policy
from llm_router.pool import Pool
from llm_router.providers.base import Provider
from llm_router.router import Router

PROVIDERS = Plugins("llm_router.providers", "provider")
POLICIES = Plugins("llm_router.policies", "policy")


@asynccontextmanager
async def open_router(
    connections: Sequence[Connection],
    *,
    policy: str = "latency",
    options: RouterOptions | None = None,
    phrases: Phrases | None = None,
    observers: Sequence[Observer] = (),
    clock: Clock | None = None,
) -> AsyncIterator[Router]:
    """A router over `connections`; the end of the block closes it, its streams and HTTP clients.

    Raises ConfigurationError, with nothing started, for an unknown policy or provider (listing the
    known) and for connections that share a name.
    """
    clock, options = clock or SystemClock(), options or RouterOptions()
    names = [connection.name for connection in connections]
    if twice := {name for name in names if names.count(name) > 1}:
        raise ConfigurationError(f"two connections are named {min(twice)!r}; names must differ")
    chosen: Policy = POLICIES.load(policy).create()
    async with AsyncExitStack() as stack:
        endpoints = []
        for connection in connections:
            provider: Provider = PROVIDERS.load(connection.provider).create(connection, clock)
            stack.push_async_callback(provider.aclose)
            endpoints.append(Endpoint(connection, provider, options.breaker))
        router = Router(
            Pool(endpoints, chosen, options.target),
            options,
            clock=clock,
            phrases=phrases,
            observers=(LogObserver(), *observers),
        )
        stack.push_async_callback(router.aclose)
        yield router
