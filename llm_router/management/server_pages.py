"""Reads the metrics pages of the user's own model servers.

However many ask, servers and the database are asked once in five seconds. A page has a megabyte and
two seconds, so that no server holds up the others or fills the memory.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import httpx2

from llm_router.catalog.servers import PROVIDER, find_server
from llm_router.clock import Clock
from llm_router.connections.access import SYSTEM
from llm_router.connections.record import OWN_TYPES, Connection, bare_key
from llm_router.connections.store import ConnectionStore, Query
from llm_router.discovery.local_servers import server_root
from llm_router.errors import ConfigurationError, UnreachableError
from llm_router.management.vetting import AddressRules
from llm_router.net.environment import tls_context
from llm_router.net.pages import read_page
from llm_router.net.transports import EnvironmentTransport
from llm_router.sync.names import disambiguate
from llm_router.sync.queue_metrics import Queue, read_queue

_EVERY = 5.0
"""Seconds for which what was read is given again."""
_WITHIN = 2.0
_MOST_BYTES = 1 << 20
_MOST_PAGES = 50
_AT_ONCE = 10
_PATH = "/metrics"


@dataclass(frozen=True, slots=True)
class ServerPage:
    """An active connection, without its secrets and by the name that it has in a router.

    `text` is its server's page of metrics; None: it publishes none, or did not give it in time.
    `queue` is what it says of the requests there, if anything.
    """

    connection: Connection
    text: str | None = None
    queue: Queue | None = None


class ServerPages:
    """Reads the pages of all active connections; close it with the process."""

    def __init__(self, store: ConnectionStore, addresses: AddressRules, clock: Clock) -> None:
        self._store = store
        self._addresses = addresses
        self._clock = clock
        self._reading: asyncio.Task[Sequence[ServerPage]] | None = None
        self._read_again_at = 0.0

    async def read(self) -> Sequence[ServerPage]:
        """Returns the active connections with their pages, as they were at most 7 s ago.

        Raises StoreError. A reader that is cancelled leaves the others theirs.
        """
        now = self._clock.now()
        if self._reading is None or (self._reading.done() and now >= self._read_again_at):
            self._read_again_at = now + _EVERY
            self._reading = asyncio.create_task(self._read(), name="metrics of servers")
            self._reading.add_done_callback(_note_outcome)
        return await asyncio.shield(self._reading)

    async def aclose(self) -> None:
        if self._reading:
            self._reading.cancel()
            await asyncio.wait({self._reading})

    async def _read(self) -> Sequence[ServerPage]:
        page = await self._store.find(SYSTEM, Query(is_active=True, limit=None), secrets=True)
        connections = disambiguate(page.items)
        watched = [each for each in connections if _publishes(each)][:_MOST_PAGES]
        if any(each.base_url.startswith("https:") for each in watched):
            with suppress(UnreachableError):  # raised again by the requests that need it
                await asyncio.to_thread(tls_context)  # takes tens of milliseconds
        places = asyncio.Semaphore(_AT_ONCE)

        async def read(connection: Connection) -> ServerPage:
            async with places:
                text = await self._page(connection)
                queue = await asyncio.to_thread(read_queue, text) if text else None
            return ServerPage(connection.without_secrets(), text, queue)

        found = {each.connection.id: each for each in await asyncio.gather(*map(read, watched))}
        return [found.get(each.id) or ServerPage(each.without_secrets()) for each in connections]

    async def _page(self, connection: Connection) -> str | None:
        guard = self._addresses.for_connection(connection) if connection.is_guarded else None
        key = bare_key(connection.api_key or "")
        if not key.isascii():
            return None  # no header can carry it, and one connection hides no other
        async with httpx2.AsyncClient(
            timeout=_WITHIN, transport=EnvironmentTransport(guard), trust_env=False
        ) as client:
            return await read_page(
                client,
                server_root(connection.base_url) + _PATH,
                headers={"Authorization": f"Bearer {key}"} if key else {},
                most_bytes=_MOST_BYTES,
                within=_WITHIN,
            )


def _publishes(connection: Connection) -> bool:
    """Returns whether the connection's server, one of the user's own, may have such a page."""
    if connection.provider != PROVIDER or connection.connection_type not in OWN_TYPES:
        return False
    with suppress(ConfigurationError):
        return _PATH in find_server(connection).queue_paths
    return False


def _note_outcome(task: "asyncio.Task[Sequence[ServerPage]]") -> None:
    """Retrieves an error that no reader has waited for."""
    if not task.cancelled():
        task.exception()
