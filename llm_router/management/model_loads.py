"""Loads one model in the background, and reports its progress."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Literal

from llm_router.classification import classify
from llm_router.errors import ConflictError, RouterError, UpstreamError


@dataclass(frozen=True, slots=True)
class ModelLoad:
    """The load of a model, which runs or has ended.

    `progress` is from 0 to 1, or None if the server does not say; `detail` is the present step, or
    the reason of a failure.
    """

    connection_id: str
    model: str
    state: Literal["loading", "ready", "failed"] = "loading"
    progress: float | None = None
    detail: str = ""


Progress = Callable[[str, float | None], None]
"""Reports the present step and the share that is done."""


class ModelLoader:
    """Loads one model at a time, and remembers the latest; `aclose` cancels the load."""

    def __init__(self) -> None:
        self.latest: ModelLoad | None = None
        self._task: asyncio.Task[None] | None = None

    def start(
        self, connection_id: str, model: str, work: Callable[[Progress], Awaitable[None]]
    ) -> ModelLoad:
        """Starts `work` as a task. Raises ConflictError while another load is running."""
        if self._task and not self._task.done():
            running = self.latest.model if self.latest else ""
            raise ConflictError(f"{running!r} is being loaded; wait until that is done")
        self.latest = ModelLoad(connection_id, model)
        self._task = asyncio.create_task(self._run(work), name=f"load {model[:100]}")
        return self.latest

    async def wait(self) -> None:
        """Returns when no load is running."""
        if self._task:
            await asyncio.wait([self._task])

    async def aclose(self) -> None:
        """Cancels a running load and waits for its end."""
        if self._task:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def _run(self, work: Callable[[Progress], Awaitable[None]]) -> None:
        try:
            await work(self._report)
        except UpstreamError as error:
            self._update(state="failed", detail=str(classify(error, ())))
        except RouterError as error:
            self._update(state="failed", detail=str(error))
        except BaseException:
            self._update(state="failed", detail="it was given up")
            raise
        else:
            self._update(state="ready", progress=1.0, detail="")

    def _report(self, detail: str, progress: float | None) -> None:
        self._update(detail=detail, progress=progress)

    def _update(self, **changes: object) -> None:
        if self.latest:
            self.latest = replace(self.latest, **changes)  # type: ignore[arg-type]  # by name
