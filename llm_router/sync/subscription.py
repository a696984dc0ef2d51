"""Follows a store: puts its connections into an endpoint set, now and after each change."""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, field

from llm_router.clock import Clock
from llm_router.connections.access import Actor
from llm_router.connections.record import Connection
from llm_router.connections.store import ConnectionStore, Query
from llm_router.errors import ConfigurationError, RouterError, StoreError
from llm_router.net.guard import AddressGuard
from llm_router.periodic import OutageLog, log_bug
from llm_router.providers.base import PROVIDERS
from llm_router.sync.endpoints import EndpointSet
from llm_router.sync.names import disambiguate

_logger = logging.getLogger("llm_router")

_RETRY_AFTER = 1.0
"""Seconds between two attempts to read a store that fails."""
_START_WITHIN = 0.25
"""Seconds for which a router that has `last_known` connections waits for the store at its start: a
slower store is not worth a caller's time."""

ACTIVE = Query(is_active=True, limit=None)


@dataclass(frozen=True, slots=True)
class StoreSubscription:
    """The active connections in `store` that `actor` may use, followed as they change.

    A change takes effect with the next reply; a reply in progress ends on the endpoints it began
    with. While the store cannot be read, the connections read last stay in use.
    """

    store: ConnectionStore
    actor: Actor
    select: Callable[[Sequence[Connection]], Sequence[Connection]] = tuple
    """Selects the connections to route to. It gets the stored ones, whose names differ already, and
    may return others in their place, for example when none are stored."""
    last_known: Sequence[Connection] | None = field(default=None, repr=False)
    """Connections that were stored a while ago. With them the router starts although the store
    cannot be read, and within 0.25 s although it is slow."""
    guard: AddressGuard = field(default_factory=AddressGuard)
    """Limits the addresses that are dialled for connections whose `is_guarded` is set."""


class StoreFollower:
    """Keeps an endpoint set in step with a store, from `start` to `aclose`.

    It owns the task that follows the store and those that warm new endpoints.
    """

    def __init__(
        self, subscription: StoreSubscription, endpoints: EndpointSet, clock: Clock
    ) -> None:
        self._subscription = subscription
        self._endpoints = endpoints
        self._clock = clock
        self._unusable: Mapping[str, str] = {}
        self._outage = OutageLog(
            "connections stay as they are until the store answers again",
            "the connections follow the store again",
        )
        self._following: asyncio.Task[None] | None = None
        self._warming: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Puts the stored connections into the endpoint set and begins to follow the store.

        Raises StoreError if the store cannot be read and the subscription has no `last_known`.
        """
        last_known = self._subscription.last_known
        if last_known is None:
            await self._set(*await self._read())
        else:
            try:
                async with asyncio.timeout(_START_WITHIN):
                    found = await self._read()
            except (StoreError, TimeoutError) as error:
                self._outage.failed(error)
                found = last_known, {}
            await self._set(*found)
        self._following = asyncio.create_task(self._follow(), name="store subscription")
        self._following.add_done_callback(log_bug)

    async def aclose(self) -> None:
        """Cancels the tasks and waits for their end."""
        tasks = {*self._warming}
        if self._following:
            tasks.add(self._following)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _follow(self) -> None:
        async with aclosing(self._subscription.store.changes()) as changes:
            async for _ in changes:
                while not await self._update():
                    await self._clock.sleep(_RETRY_AFTER)

    async def _update(self) -> bool:
        """Reads the store and warms the endpoints that are new. Returns whether that succeeded."""
        before = {*self._endpoints.by_key.values()}
        try:
            found = await self._read()
        except RouterError as error:
            self._outage.failed(error)
            return False
        await self._set(*found)
        self._outage.succeeded()
        for endpoint in {*self._endpoints.by_key.values()} - before:
            task = asyncio.create_task(endpoint.provider.warm(), name=f"warming {endpoint.name}")
            self._warming.add(task)
            task.add_done_callback(self._warming.discard)
            task.add_done_callback(log_bug)
        return True

    async def _read(self) -> tuple[Sequence[Connection], Mapping[str, str]]:
        """Returns the active connections, and the reason for each that cannot be read."""
        subscription = self._subscription
        page = await subscription.store.find(subscription.actor, ACTIVE, secrets=True)
        by_key = self._endpoints.by_key
        unreadable = [by_key[key].connection for key in page.unreadable.keys() & by_key.keys()]
        active = [*page.items, *unreadable]  # what cannot be read any more stays as it was
        for provider in {connection.provider for connection in active}:
            with suppress(ConfigurationError):  # `set_connections` reports it
                await asyncio.to_thread(PROVIDERS.load, provider)  # an import may take a second
        return active, page.unreadable

    async def _set(self, active: Sequence[Connection], unreadable: Mapping[str, str]) -> None:
        refused = await self._set_selected(active)
        if refused:
            # A connection that cannot be used must not keep its substitutes out.
            await self._set_selected([c for c in active if _key(c) not in refused])
        unusable = {**unreadable, **{key: str(error) for key, error in refused.items()}}
        for key in unusable.keys() - self._unusable.keys():
            _logger.error("connection %s cannot be used: %s", key, unusable[key])
        self._unusable = unusable

    async def _set_selected(self, active: Iterable[Connection]) -> Mapping[str, RouterError]:
        selected = self._subscription.select(disambiguate(active))
        return await self._endpoints.set_connections(
            {_key(connection): connection for connection in selected}
        )


def _key(connection: Connection) -> str:
    """Returns what identifies the connection across changes: its id, or the name of one that is not
    stored, in a form that no id has.
    """
    return connection.id or f"not stored: {connection.name}"
