"""The endpoints of one router: made, kept as far as their connections stay, closed when they go."""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, field, fields, replace

from llm_router.clock import Clock
from llm_router.connections.access import Actor
from llm_router.connections.record import STORE_MANAGED_FIELDS, Connection
from llm_router.connections.store import ConnectionStore, Query
from llm_router.errors import AddressRefusedError, ConfigurationError, RouterError, StoreError
from llm_router.net.guard import AddressGuard
from llm_router.options import BreakerOptions
from llm_router.providers.base import PROVIDERS
from llm_router.routing.endpoint import Endpoint
from llm_router.routing.limits import Limits
from llm_router.routing.pool import Pool
from llm_router.sync.scoreboard.base import key_of

_logger = logging.getLogger("llm_router")

_TRIED_AGAIN_AFTER = 1.0
"""Seconds, while the store is away."""
_START_WITHIN = 0.25
"""Seconds that a router which knows what was stored waits to hear what is: a store slower than that
is not worth a caller's time."""
_ROUTERS_OWN = frozenset(
    {
        "name", "description", "tags", "is_active", "use_in_livekit", "use_in_mcp",
        "use_in_automation", "pool", "priority", "weight", "hedge", "price_in", "price_out",
        "rate_limit_rpm", "rate_limit_tpm", "monthly_budget", "team", "visibility",
        *STORE_MANAGED_FIELDS,
    }
) - {"is_guarded"}  # fmt: skip
"""What no provider is told: an endpoint goes on as it is when only these change."""
_ASKED = [field.name for field in fields(Connection) if field.name not in _ROUTERS_OWN]


ACTIVE = Query(is_active=True, limit=None)


@dataclass(frozen=True, slots=True)
class StoreSubscription:
    """The active connections that `actor` may use in `store`, as they are at any time.

    A change holds from the next reply on; replies under way end on what they began with. While the
    store is away, what is known of it holds.

    `asked`: from those that are stored, told apart by name, to those that are asked, as where
    others stand in for none. `known`: those that were stored a while ago; with them a store that
    is away holds up nobody. `guard`: what is dialled for connections that are guarded.
    """

    store: ConnectionStore
    actor: Actor
    asked: Callable[[Sequence[Connection]], Sequence[Connection]] = tuple
    known: Sequence[Connection] | None = field(default=None, repr=False)
    guard: AddressGuard = field(default_factory=AddressGuard)


class EndpointSet:
    """Puts endpoints into `pool`, and owns them. `limits`: of all that ever were, by key. `guard`:
    what is dialled for whichever of them.
    """

    def __init__(
        self,
        pool: Pool,
        clock: Clock,
        breaker: BreakerOptions,
        guard: AddressGuard | None = None,
    ) -> None:
        self.limits: dict[str, Limits] = {}
        self._for_all, self._for_guarded = guard, AddressGuard()
        self._pool, self._clock, self._breaker = pool, clock, breaker
        self._endpoints: dict[str, Endpoint] = {}
        self._leaving: dict[asyncio.Task[None], asyncio.Event] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._told: dict[str, str] = {}
        self._is_away = False

    def put(self, wanted: Mapping[str, Connection]) -> Mapping[str, RouterError]:
        """These, in their order, from the next reply on; a key says which stays the same.

        Whom no provider can be made for is left out, and the reason given.
        """
        before, after = self._endpoints, dict[str, Endpoint]()
        refused: dict[str, RouterError] = {}
        for key, connection in wanted.items():
            try:
                after[key] = self._endpoint(key, connection, before.get(key))
            except (ConfigurationError, AddressRefusedError) as error:
                refused[key] = error
        self._endpoints = after
        self._pool.set_endpoints([*after.values()])
        for gone in {*before.values()} - {*after.values()}:
            self._let_go(gone)
        return refused

    async def follow(self, stored: StoreSubscription) -> None:
        """Put what is stored, now and after each change. Raises StoreError if it cannot begin: the
        store is away, and nothing is known of it.
        """
        self._for_guarded = stored.guard
        if stored.known is None:
            await self._read(stored)
        else:
            try:
                async with asyncio.timeout(_START_WITHIN):
                    await self._read(stored)
            except (StoreError, TimeoutError) as error:
                self._went_away(error)
                self._put_stored(stored, stored.known, {})
        self._start(self._follow(stored))

    async def aclose(self) -> None:
        """At once, whatever is still in flight."""
        for idle in self._leaving.values():
            idle.set()
        for task in self._tasks:
            task.cancel()
        if tasks := [*self._tasks, *self._leaving]:
            await asyncio.wait(tasks)
        for endpoint in self._endpoints.values():
            await endpoint.provider.aclose()

    # ── Making and closing ───────────────────────────────────────────────────────────────────────

    def _endpoint(self, key: str, connection: Connection, old: Endpoint | None) -> Endpoint:
        if old and _asked(old.connection) == _asked(connection):
            old.reconfigure(connection)
            return old
        guard = self._for_all or (self._for_guarded if connection.is_guarded else None)
        provider = PROVIDERS.load(connection.provider)(connection, self._clock, guard)
        now = self._clock.now()
        limits = self.limits.setdefault(key, Limits(connection, self._clock.wall() - now))
        endpoint = Endpoint(connection, provider, self._breaker, limits)
        if old:
            _inherit(endpoint, old, now)
        return endpoint

    def _let_go(self, endpoint: Endpoint) -> None:
        idle = asyncio.Event()
        endpoint.withdraw(idle.set)
        task = asyncio.create_task(_close(endpoint, idle), name=f"leaving {endpoint.name}")
        self._leaving[task] = idle
        task.add_done_callback(self._leaving.pop)

    def _start(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # ── Following a store ────────────────────────────────────────────────────────────────────────

    async def _follow(self, stored: StoreSubscription) -> None:
        async with aclosing(stored.store.changes()) as changes:
            async for _ in changes:
                while not await self._heard(stored):
                    await self._clock.sleep(_TRIED_AGAIN_AFTER)

    async def _heard(self, stored: StoreSubscription) -> bool:
        known = {*self._endpoints.values()}
        try:
            await self._read(stored)
        except RouterError as error:
            self._went_away(error)
            return False
        self._is_away = False
        for endpoint in {*self._endpoints.values()} - known:
            self._start(endpoint.provider.warm())
        return True

    def _went_away(self, error: Exception) -> None:
        if not self._is_away:
            why = str(error) or "it gave no answer in time"
            _logger.warning("connections stay as they are until the store is back: %s", why)
        self._is_away = True

    async def _read(self, stored: StoreSubscription) -> None:
        page = await stored.store.find(stored.actor, ACTIVE, secrets=True)
        as_known = page.unreadable.keys() & self._endpoints.keys()
        active = [*page.items, *(self._endpoints[key].connection for key in as_known)]
        for provider in {connection.provider for connection in active}:
            with suppress(ConfigurationError):  # `put` tells
                await asyncio.to_thread(PROVIDERS.load, provider)  # an import may take a second
        self._put_stored(stored, active, page.unreadable)

    def _put_stored(
        self, stored: StoreSubscription, active: Sequence[Connection], unreadable: Mapping[str, str]
    ) -> None:
        refused = self.put(_keyed(stored.asked(told_apart(active))))
        if refused:
            # Whoever cannot be asked must not keep others from standing in.
            usable = [connection for connection in active if _key(connection) not in refused]
            self.put(_keyed(stored.asked(told_apart(usable))))
        unusable = {**unreadable, **{key: str(error) for key, error in refused.items()}}
        for key in unusable.keys() - self._told.keys():
            _logger.error("connection %s cannot be used: %s", key, unusable[key])
        self._told = unusable


def _keyed(connections: Iterable[Connection]) -> dict[str, Connection]:
    return {_key(connection): connection for connection in connections}


def _key(connection: Connection) -> str:
    """What stays the same of it; of one that is not stored the name, which looks like no id."""
    return connection.id or f"not stored: {connection.name}"


def told_apart(connections: Iterable[Connection]) -> list[Connection]:
    """The same, with the owner beside each name that several owners have given."""
    connections = list(connections)
    times = Counter(connection.name for connection in connections)
    taken = {name for name in times if times[name] == 1}
    apart = []
    for connection in connections:
        name = connection.name
        if times[name] > 1:
            name = f"{name[:_HALF_A_NAME]} ({connection.owner[:_HALF_A_NAME] or 'of nobody'})"
            if name in taken:
                name = f"{connection.name[:_HALF_A_NAME]} ({connection.id})"
            taken.add(name)
        apart.append(replace(connection, name=name))
    return apart


_HALF_A_NAME = 95
"""So that with its owner or its id it is no longer than a name may be."""


async def _close(endpoint: Endpoint, idle: asyncio.Event) -> None:
    await idle.wait()
    await endpoint.provider.aclose()


def _asked(connection: Connection) -> list[object]:
    return [getattr(connection, name) for name in _ASKED]


def _inherit(endpoint: Endpoint, old: Endpoint, now: float) -> None:
    """What is still true: times belong to a server and its model, whatever key it is asked with;
    health to the whole of what it is asked with.
    """
    if (endpoint.server, endpoint.connection.model_name) == (old.server, old.connection.model_name):
        endpoint.latency.add_weights(old.latency.weights(now), now)
    if key_of(endpoint.connection) == key_of(old.connection):
        endpoint.breaker.adopt(old.breaker.record())
