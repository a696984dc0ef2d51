"""Shares one router among all requests of a process."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack

from llm_router.routing.router import Router


class SharedRouter:
    """A router that opens with its first use and stays open until `aclose`.

    So a process without such requests neither measures servers nor has their keys in memory.
    """

    def __init__(self, opening: Callable[[], AbstractAsyncContextManager[Router]]) -> None:
        self._opening = opening
        self._stack = AsyncExitStack()
        self._lock = asyncio.Lock()
        self._router: Router | None = None

    async def get(self) -> Router:
        """Returns the router, and opens it before. Raises StoreError; the next use tries again."""
        if self._router is None:
            async with self._lock:
                if self._router is None:
                    self._router = await self._stack.enter_async_context(self._opening())
        return self._router

    async def aclose(self) -> None:
        self._router = None
        await self._stack.aclose()
