"""A model on its way into memory."""

import asyncio
from collections.abc import Awaitable, Callable


class Loading:
    """One task that has a model loaded: it goes on when those who wait for it leave, and what it
    failed with is told to whoever asks next.
    """

    def __init__(self, load: Callable[[], Awaitable[None]]) -> None:
        self._load = load
        self._task: asyncio.Task[None] | None = None

    def begin(self) -> "asyncio.Task[None]":
        """The one under way; a new one where the last has ended."""
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run(), name="load a model")
            self._task.add_done_callback(_heard)
        return self._task

    @property
    def has_ended(self) -> bool:
        return self._task is not None and self._task.done()

    async def outcome(self) -> None:
        """Once it has ended. Raises what it raised; nothing where it was given up."""
        if task := self._task:
            await asyncio.wait({task})
            if not task.cancelled() and (error := task.exception()):
                raise error.with_traceback(None)

    async def aclose(self) -> None:
        if self._task:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def _run(self) -> None:
        await self._load()


def _heard(task: "asyncio.Task[None]") -> None:
    if not task.cancelled():
        task.exception()
