"""Makes, keeps and closes the endpoints of one router."""

import asyncio
from collections.abc import Mapping
from dataclasses import fields

from llm_router.clock import Clock, checkpoint
from llm_router.connections.record import STORE_MANAGED_FIELDS, Connection
from llm_router.errors import AddressRefusedError, ConfigurationError, RouterError
from llm_router.net.guard import AddressGuard
from llm_router.options import BreakerOptions
from llm_router.providers.base import PROVIDERS, Provider
from llm_router.routing.endpoint import Endpoint
from llm_router.routing.limits import Limits
from llm_router.routing.pool import Pool
from llm_router.sync.scoreboard.base import fingerprint

_ROUTER_FIELDS = frozenset(
    {
        "name", "description", "tags", "is_active", "use_in_livekit", "use_in_mcp",
        "use_in_automation", "pool", "priority", "weight", "hedge", "max_retries", "price_in",
        "price_out", "rate_limit_rpm", "rate_limit_tpm", "monthly_budget", "team", "visibility",
        *STORE_MANAGED_FIELDS,
    }
) - {"is_guarded"}  # fmt: skip
"""Fields that no provider sees: an endpoint stays in use when only these change."""
_PROVIDER_FIELDS = [field.name for field in fields(Connection) if field.name not in _ROUTER_FIELDS]


_AT_ONCE = 100
"""Endpoints that are made without giving way to other work, such as replies in progress."""


class EndpointSet:
    """Makes an endpoint for each connection, puts them into `pool`, and owns them until `aclose`.

    `guard` limits the addresses that are dialled for any connection; without it, `guarded` limits
    them for connections whose `is_guarded` is set. `ready`: providers made already, by key.
    """

    def __init__(
        self,
        pool: Pool,
        clock: Clock,
        breaker: BreakerOptions,
        *,
        guard: AddressGuard | None = None,
        guarded: AddressGuard | None = None,
        ready: Mapping[str, Provider] | None = None,
    ) -> None:
        self.by_key: Mapping[str, Endpoint] = {}
        self.limits: dict[str, Limits] = {}
        """By key, also of endpoints that were removed: a connection that returns within the month
        has not regained its budget."""
        self._pool = pool
        self._clock = clock
        self._breaker = breaker
        self._guard = guard
        self._guarded = guarded or AddressGuard()
        self._ready = ready or {}
        self._closing: dict[asyncio.Task[None], asyncio.Event] = {}

    async def set_connections(
        self, connections: Mapping[str, Connection]
    ) -> Mapping[str, RouterError]:
        """Replaces the endpoints, in this order, all at once and from the next reply on.

        An endpoint stays if its key is there before and after and nothing changed that its provider
        sees. One that is removed closes when its last attempt has ended. Only one call at a time;
        one that is cancelled changes nothing.

        Returns the connections for which no provider can be made, by key, each with the reason.
        """
        made, refused = await self._make_new(connections)
        now = self._clock.now()
        after = dict[str, Endpoint]()
        for key, connection in connections.items():
            old = self.by_key.get(key)
            if endpoint := made.get(key):
                if old:
                    _inherit(endpoint, old, now)
                after[key] = endpoint
            elif old and key not in refused:
                old.reconfigure(connection)
                after[key] = old
        removed = {*self.by_key.values()} - {*after.values()}
        self.by_key = after
        self._pool.set_endpoints([*after.values()])
        for endpoint in removed:
            self._remove(endpoint)
        return refused

    async def aclose(self) -> None:
        """Closes every provider at once, also where attempts are still in flight."""
        for idle in self._closing.values():
            idle.set()
        if self._closing:
            await asyncio.wait([*self._closing])
        for endpoint in self.by_key.values():
            await endpoint.provider.aclose()

    async def _make_new(
        self, connections: Mapping[str, Connection]
    ) -> tuple[Mapping[str, Endpoint], Mapping[str, RouterError]]:
        """Makes an endpoint for each connection that has none, or whose provider must be another.

        Returns also why some cannot be made. Those in use stay as they are.
        """
        made = dict[str, Endpoint]()
        refused: dict[str, RouterError] = {}
        try:
            for number, (key, connection) in enumerate(connections.items(), start=1):
                if number % _AT_ONCE == 0:
                    await checkpoint()
                old = self.by_key.get(key)
                if old and _provider_fields(old.connection) == _provider_fields(connection):
                    continue
                try:
                    made[key] = self._make(key, connection)
                except (ConfigurationError, AddressRefusedError) as error:
                    refused[key] = error
        except BaseException:
            for endpoint in made.values():
                await endpoint.provider.aclose()
            raise
        return made, refused

    def _make(self, key: str, connection: Connection) -> Endpoint:
        guard = self._guard or (self._guarded if connection.is_guarded else None)
        provider = self._ready.get(key) or PROVIDERS.load(connection.provider)(
            connection, self._clock, guard
        )
        start = self._clock.wall() - self._clock.now()
        limits = self.limits.get(key)
        if limits is None:
            limits = self.limits[key] = Limits(connection, start)
        return Endpoint(connection, provider, self._breaker, limits)

    def _remove(self, endpoint: Endpoint) -> None:
        idle = asyncio.Event()
        endpoint.withdraw(idle.set)
        task = asyncio.create_task(_close(endpoint, idle), name=f"closing {endpoint.name}")
        self._closing[task] = idle
        task.add_done_callback(self._closing.pop)


async def _close(endpoint: Endpoint, idle: asyncio.Event) -> None:
    await idle.wait()
    await endpoint.provider.aclose()


def _provider_fields(connection: Connection) -> list[object]:
    return [getattr(connection, name) for name in _PROVIDER_FIELDS]


def _inherit(endpoint: Endpoint, old: Endpoint, now: float) -> None:
    """Copies what is still true of a changed connection.

    Latency belongs to a server and its model, whatever the key; health belongs to everything that
    identifies the endpoint on the scoreboard.
    """
    if (endpoint.server, endpoint.connection.model_name) == (old.server, old.connection.model_name):
        endpoint.latency.add_weights(old.latency.weights(now), now)
    if fingerprint(endpoint.connection) == fingerprint(old.connection):
        endpoint.breaker.adopt(old.breaker.record())
