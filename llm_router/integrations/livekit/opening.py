"""Opens a router on its first use, however often that takes."""

import asyncio
import logging
from contextlib import AbstractAsyncContextManager, AsyncContextDecorator, AsyncExitStack, suppress

from llm_router.routing.router import Router

_logger = logging.getLogger("llm_router")

Opener = AbstractAsyncContextManager[Router]


class LazyRouter:
    """A router that is open, and stays so; or one that is opened on first use and closed here.

    An opening runs in a task of its own: a turn that is cancelled meanwhile does not stop it. One
    that fails is tried again on the next use.
    """

    def __init__(self, router: Router | Opener) -> None:
        self._opener = None if isinstance(router, Router) else router
        self._router = router if isinstance(router, Router) else None
        self._task: asyncio.Task[Router] | None = None
        self._stack = AsyncExitStack()

    @property
    def router(self) -> Router:
        if self._router is None:
            raise RuntimeError("this router opens on its first request; await opened()")
        return self._router

    async def opened(self) -> Router:
        """Returns the router, and opens it first where that is still to do.

        Raises what the opening raised, which is logged with its traceback.
        """
        if self._router is not None or self._opener is None:
            return self.router
        if self._task is None or self._task.done():
            opening = self._open(self._opener)
            self._task = asyncio.create_task(opening, name="opening the router")
            self._task.add_done_callback(_log_failure)
        return await asyncio.shield(self._task)

    async def aclose(self) -> None:
        """Closes a router that was opened here; the next use opens it again."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        if self._opener is not None:
            self._router = None
        await self._stack.aclose()

    async def _open(self, opener: Opener) -> Router:
        self._router = await self._stack.enter_async_context(_fresh(opener))
        return self._router


def _fresh(opener: Opener) -> Opener:
    """Returns a context manager that was not entered.

    One made by `asynccontextmanager` can be entered once only; the standard library makes new ones
    of it in the same way, for its use as a decorator.
    """
    if isinstance(opener, AsyncContextDecorator):
        recreated: Opener = opener._recreate_cm()  # noqa: SLF001  see above
        return recreated
    return opener


def _log_failure(task: "asyncio.Task[Router]") -> None:
    with suppress(asyncio.CancelledError):
        if error := task.exception():
            _logger.error("the router could not be opened", exc_info=error)
