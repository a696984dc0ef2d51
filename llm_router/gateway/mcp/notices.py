"""Notifies the clients of MCP that listen, when connections have changed."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager

from mcp.server.subscriptions import InMemorySubscriptionBus
from mcp.shared.subscriptions import ResourceUpdated, ServerEvent, ToolsListChanged

from llm_router.connections.store import ConnectionStore

BOARD = "patchbay://board"
MOST_LISTENERS = 100
"""Clients of one process that may listen: each holds a connection open."""


class ConnectionNotices:
    """The notices of one process, which follows the store only while a client listens.

    A notice says that the tools and the board may have changed, and no more: a client reads both
    again, with its own rights.
    """

    def __init__(self, store: ConnectionStore) -> None:
        self._store = store
        self._bus = InMemorySubscriptionBus()
        self._listeners = 0
        self._has_listener = asyncio.Event()

    async def publish(self, event: ServerEvent) -> None:
        await self._bus.publish(event)

    def subscribe(self, listener: Callable[[ServerEvent], None]) -> Callable[[], None]:
        """Implements `SubscriptionBus`."""
        unsubscribe = self._bus.subscribe(listener)
        is_subscribed = True
        self._listeners += 1
        self._has_listener.set()

        def end() -> None:
            nonlocal is_subscribed
            unsubscribe()
            self._listeners -= is_subscribed
            is_subscribed = False
            if not self._listeners:
                self._has_listener.clear()

        return end

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Publishes changes within the block."""
        publishing = asyncio.create_task(self._publish_changes(), name="notices of MCP")
        try:
            yield
        finally:
            publishing.cancel()
            await asyncio.wait([publishing])

    async def _publish_changes(self) -> None:
        while True:
            await self._has_listener.wait()
            async with aclosing(self._store.changes()) as revisions:
                await anext(revisions)  # what holds now is no change
                async for _ in revisions:
                    await self.publish(ToolsListChanged())
                    await self.publish(ResourceUpdated(uri=BOARD))
                    if not self._listeners:
                        break
