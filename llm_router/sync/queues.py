"""Reads the request queues of the user's own model servers, every few seconds beside the calls."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress

import httpx2

from llm_router.catalog.servers import PROVIDER, find_server
from llm_router.clock import Clock
from llm_router.discovery.local_servers import server_root
from llm_router.errors import UnreachableError
from llm_router.net.bodies import ASK_FOR_PLAIN, read_body
from llm_router.net.environment import tls_context
from llm_router.net.transports import EnvironmentTransport
from llm_router.periodic import PeriodicTask
from llm_router.routing.endpoint import Endpoint
from llm_router.sync.queue_metrics import Queue, read_queue

_OWN_TYPES = frozenset({"local", "remote", "aws_spot"})
"""Connection types of servers that are not shared with other customers of a vendor."""
_TIMEOUT = 1.0
"""Seconds for one request."""
_MAX_BYTES = 1 << 20
_SKIPPED_POLLS = 10
"""Polls that a server is left out of after it has published no queue."""
_OK = 200


class QueueMonitor:
    """Polls the servers of `endpoints` every `every` seconds, from `start` to `aclose`.

    A server that publishes no queue counts as having none, and is polled less often.
    """

    def __init__(
        self, endpoints: Callable[[], Sequence[Endpoint]], every: float, clock: Clock
    ) -> None:
        self._endpoints = endpoints
        self._skip: dict[str, int] = {}
        self._client: httpx2.AsyncClient | None = None
        self._task = PeriodicTask(self._poll, clock, every, name="queues")

    def start(self) -> None:
        self._task.start()

    async def aclose(self) -> None:
        await self._task.aclose()
        if self._client:
            await self._client.aclose()

    async def _poll(self) -> None:
        if self._client is None:
            with suppress(UnreachableError):  # raised again by the requests that need it
                await asyncio.to_thread(tls_context)  # takes tens of milliseconds
            self._client = httpx2.AsyncClient(
                timeout=_TIMEOUT,
                transport=EnvironmentTransport(),
                trust_env=False,
                headers=ASK_FOR_PLAIN,
            )
        client = self._client
        await asyncio.gather(*(self._poll_one(client, e) for e in self._endpoints()))

    async def _poll_one(self, client: httpx2.AsyncClient, endpoint: Endpoint) -> None:
        connection = endpoint.connection
        if connection.provider != PROVIDER or connection.connection_type not in _OWN_TYPES:
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
            queue = await _fetch(client, root + path, headers)
            if queue:
                break
        else:
            self._skip[key] = _SKIPPED_POLLS
        endpoint.set_queue_length(queue.waiting if queue else 0)


async def _fetch(client: httpx2.AsyncClient, url: str, headers: dict[str, str]) -> Queue | None:
    """Returns the queue that the page at `url` shows; None where it shows none or fails."""
    try:
        async with asyncio.timeout(_TIMEOUT), client.stream("GET", url, headers=headers) as answer:
            if answer.status_code != _OK:
                return None
            body = await read_body(answer, _MAX_BYTES)
            if len(body) > _MAX_BYTES:
                return None
    except (httpx2.HTTPError, OSError, TimeoutError):
        return None
    return read_queue(body.decode(errors="replace"))
