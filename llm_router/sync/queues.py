"""Reads the request queues of the user's own model servers, every few seconds beside the calls."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress

import httpx2

from llm_router.catalog.servers import PROVIDER, find_server
from llm_router.clock import Clock
from llm_router.connections.record import OWN_TYPES
from llm_router.discovery.local_servers import server_root
from llm_router.errors import UnreachableError
from llm_router.net.environment import tls_context
from llm_router.net.guard import AddressGuard
from llm_router.net.pages import read_page
from llm_router.net.transports import EnvironmentTransport
from llm_router.periodic import PeriodicTask
from llm_router.routing.endpoint import Endpoint
from llm_router.sync.queue_metrics import Queue, read_queue

_TIMEOUT = 1.0
"""Seconds for one request."""
_MAX_BYTES = 1 << 20
_SKIPPED_POLLS = 10
"""Polls that a server is left out of after it has published no queue."""


class QueueMonitor:
    """Polls the servers of `endpoints` every `every` seconds, from `start` to `aclose`.

    A server that publishes no queue counts as having none, and is polled less often. `guard` limits
    the addresses that are dialled for connections whose `is_guarded` is set.
    """

    def __init__(
        self,
        endpoints: Callable[[], Sequence[Endpoint]],
        every: float,
        clock: Clock,
        guard: AddressGuard | None = None,
    ) -> None:
        self._endpoints = endpoints
        self._guard = guard or AddressGuard()
        self._skip: dict[str, int] = {}
        self._clients: dict[bool, httpx2.AsyncClient] = {}
        """Clients by whether they are guarded."""
        self._task = PeriodicTask(self._poll, clock, every, name="queues")

    def start(self) -> None:
        self._task.start()

    async def aclose(self) -> None:
        await self._task.aclose()
        for client in self._clients.values():
            await client.aclose()

    async def _poll(self) -> None:
        if not self._clients:
            with suppress(UnreachableError):  # raised again by the requests that need it
                await asyncio.to_thread(tls_context)  # takes tens of milliseconds
            for is_guarded in (False, True):
                transport = EnvironmentTransport(self._guard if is_guarded else None)
                self._clients[is_guarded] = httpx2.AsyncClient(
                    timeout=_TIMEOUT, transport=transport, trust_env=False
                )
        polls = (self._poll_one(self._clients[e.connection.is_guarded], e)
                 for e in self._endpoints())  # fmt: skip
        await asyncio.gather(*polls)

    async def _poll_one(self, client: httpx2.AsyncClient, endpoint: Endpoint) -> None:
        connection = endpoint.connection
        if connection.provider != PROVIDER or connection.connection_type not in OWN_TYPES:
            return
        paths = find_server(connection).queue_paths
        if not paths:
            return
        key = connection.id or connection.name
        if skip := self._skip.get(key, 0):
            self._skip[key] = skip - 1
            return
        headers = {"Authorization": f"Bearer {connection.api_key}"} if connection.api_key else {}
        root = server_root(connection.base_url)
        queue: Queue | None = None
        for path in paths:
            page = await read_page(
                client, root + path, headers=headers, most_bytes=_MAX_BYTES, within=_TIMEOUT
            )
            queue = read_queue(page) if page else None
            if queue:
                break
        else:
            self._skip[key] = _SKIPPED_POLLS
        endpoint.set_queue_length(queue.waiting if queue else 0)
