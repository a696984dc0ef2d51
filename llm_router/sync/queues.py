"""Looks at the queues of servers that serve nobody else, every few seconds and beside the calls."""

import asyncio
import ssl
from collections.abc import Callable, Sequence

import httpx2

from llm_router.catalog.servers import PROVIDER, find_server
from llm_router.clock import Clock
from llm_router.discovery.local_servers import server_root
from llm_router.routing.endpoint import Endpoint
from llm_router.sync.queue_metrics import Queue, read_queue

_OWN_TYPES = frozenset({"local", "remote", "aws_spot"})
_WITHIN = 1.0
"""Seconds that a look may take."""
_LONGEST = 1 << 20  # bytes of metrics
_SELDOM = 10
"""Looks that a server which has told nothing is spared."""
_OK = 200


class QueueWatch:
    """Made and closed by `open_router`. A server that tells nothing counts as having no queue, and
    is looked at more seldom.
    """

    def __init__(
        self, endpoints: Callable[[], Sequence[Endpoint]], every: float, clock: Clock
    ) -> None:
        self._endpoints, self._every, self._clock = endpoints, every, clock
        self._spared: dict[str, int] = {}
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="queues")

    async def aclose(self) -> None:
        if self._task:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _run(self) -> None:
        async with httpx2.AsyncClient(
            timeout=_WITHIN,
            follow_redirects=False,
            verify=await asyncio.to_thread(ssl.create_default_context),
        ) as client:
            while True:
                await asyncio.gather(*(self._look(client, e) for e in self._endpoints()))
                await self._clock.sleep(self._every)

    async def _look(self, client: httpx2.AsyncClient, endpoint: Endpoint) -> None:
        connection = endpoint.connection
        if connection.provider != PROVIDER or connection.connection_type not in _OWN_TYPES:
            return
        key, paths = connection.id or connection.name, find_server(connection).queue_paths
        if not paths or (spared := self._spared.get(key, 0)):
            self._spared[key] = spared - 1 if paths else 0
            return
        headers = {"Authorization": f"Bearer {connection.api_key}"} if connection.api_key else {}
        root = server_root(connection.base_url)
        queue: Queue | None = None
        for path in paths:
            queue = await _asked(client, root + path, headers)
            if queue:
                break
        else:
            self._spared[key] = _SELDOM
        endpoint.set_queue_length(queue.waiting if queue else 0)


async def _asked(client: httpx2.AsyncClient, url: str, headers: dict[str, str]) -> Queue | None:
    try:
        async with asyncio.timeout(_WITHIN), client.stream("GET", url, headers=headers) as answer:
            if answer.status_code != _OK:
                return None
            body = bytearray()
            async for piece in answer.aiter_bytes():
                body += piece
                if len(body) > _LONGEST:
                    return None
    except (httpx2.HTTPError, OSError, TimeoutError):
        return None
    return read_queue(body.decode(errors="replace"))
