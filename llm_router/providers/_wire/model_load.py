"""Loads a model in the background, independently of the requests that wait for it."""

import asyncio
from collections.abc import Awaitable, Callable


class ModelLoad:
    """Owns the task that loads a model.

    The task continues when the requests that wait for it are cancelled. Its error is raised by the
    next call of `wait`.
    """

    def __init__(self, load: Callable[[], Awaitable[None]]) -> None:
        self._load = load
        self._task: asyncio.Task[None] | None = None

    def start(self) -> "asyncio.Task[None]":
        """Returns the running task, or starts a new one where the last has ended."""
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run(), name="load a model")
            self._task.add_done_callback(_retrieve_error)
        return self._task

    @property
    def has_ended(self) -> bool:
        return self._task is not None and self._task.done()

    async def wait(self) -> None:
        """Waits for the task to end and raises its error; returns if it was cancelled.

        Cancelling the wait does not cancel the task.
        """
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


def _retrieve_error(task: "asyncio.Task[None]") -> None:
    """Keeps asyncio from logging an error that no `wait` has raised yet."""
    if not task.cancelled():
        task.exception()
