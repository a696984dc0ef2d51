"""Loads models in the background, and reports their progress."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Literal

from llm_router.classification import classify
from llm_router.errors import BusyError, ConflictError, RouterError, UpstreamError


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


_MAX_RUNNING = 32
_MAX_REMEMBERED = 100
_RETRY_AFTER = 60.0
_DONE_WITHIN = 6 * 3600.0
"""Seconds after which a load is given up; it may include a pull."""


class ModelLoader:
    """Loads one model at a time for each owner, and remembers the latest of each connection.

    A load is given up after six hours. `aclose` cancels those that are running.
    """

    def __init__(self) -> None:
        self._latest: dict[str, ModelLoad] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        """Running loads by owner."""

    def latest_of(self, connection_id: str) -> ModelLoad | None:
        return self._latest.get(connection_id)

    def start(
        self,
        owner: str,
        connection_id: str,
        model: str,
        work: Callable[[Progress], Awaitable[None]],
    ) -> ModelLoad:
        """Starts `work` as a task.

        Raises ConflictError while another load of this owner or of this connection is running, and
        BusyError while too many are.
        """
        latest = self._latest.get(connection_id)
        if owner in self._tasks or (latest and latest.state == "loading"):
            running = latest.model if latest and latest.state == "loading" else "another model"
            raise ConflictError(f"{running!r} is being loaded; wait until that is done")
        if len(self._tasks) >= _MAX_RUNNING:
            raise BusyError(
                "too many models are being loaded; try again in a minute, or wait until one is"
                " done",
                _RETRY_AFTER,
            )
        load = self._latest[connection_id] = ModelLoad(connection_id, model)
        task = asyncio.create_task(self._run(connection_id, work), name=f"load {model[:100]}")
        self._tasks[owner] = task

        def finish(_: "asyncio.Task[None]") -> None:
            del self._tasks[owner]
            if self._latest[connection_id].state == "loading":  # cancelled, perhaps before it began
                self._update(connection_id, state="failed", detail="it was given up")

        task.add_done_callback(finish)
        self._forget_oldest()
        return load

    async def wait(self) -> None:
        """Returns when no load is running."""
        while self._tasks:
            await asyncio.wait([*self._tasks.values()])

    async def aclose(self) -> None:
        """Cancels the running loads and waits for their end."""
        for task in self._tasks.values():
            task.cancel()
        await self.wait()

    async def _run(self, connection_id: str, work: Callable[[Progress], Awaitable[None]]) -> None:
        def report(detail: str, progress: float | None) -> None:
            self._update(connection_id, detail=detail, progress=progress)

        try:
            async with asyncio.timeout(_DONE_WITHIN):
                await work(report)
        except UpstreamError as error:
            self._update(connection_id, state="failed", detail=str(classify(error, ())))
        except RouterError as error:
            self._update(connection_id, state="failed", detail=str(error))
        except TimeoutError:
            hours = _DONE_WITHIN / 3600
            self._update(
                connection_id,
                state="failed",
                detail=f"given up: it was not done in {hours:.0f} hours",
            )
        else:
            self._update(connection_id, state="ready", progress=1.0, detail="")

    def _update(self, connection_id: str, **changes: object) -> None:
        before = self._latest[connection_id]
        self._latest[connection_id] = replace(before, **changes)  # type: ignore[arg-type]  # by name

    def _forget_oldest(self) -> None:
        ended = [key for key, load in self._latest.items() if load.state != "loading"]
        for key in ended[: max(0, len(self._latest) - _MAX_REMEMBERED)]:
            del self._latest[key]
