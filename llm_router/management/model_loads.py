"""One model loaded in the background, and how far that is."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Literal

from llm_router.errors import ConflictError, RouterError, UpstreamError
from llm_router.failures import classify


@dataclass(frozen=True, slots=True)
class Loading:
    """`progress`: from 0 to 1, where the server says; `detail`: what is going on, or went wrong."""

    connection_id: str
    model: str
    state: Literal["loading", "ready", "failed"] = "loading"
    progress: float | None = None
    detail: str = ""


Told = Callable[[str, float | None], None]
"""What is going on, and how far it is."""


class Loader:
    """Does one thing at a time, and remembers the last. `aclose` gives it up."""

    def __init__(self) -> None:
        self.latest: Loading | None = None
        self._task: asyncio.Task[None] | None = None

    def start(
        self, connection_id: str, model: str, work: Callable[[Told], Awaitable[None]]
    ) -> Loading:
        """Raises ConflictError while another is on its way."""
        if self._task and not self._task.done():
            on_its_way = self.latest.model if self.latest else ""
            raise ConflictError(f"{on_its_way!r} is being loaded; wait until that is done")
        self.latest = Loading(connection_id, model)
        self._task = asyncio.create_task(self._run(work), name=f"load {model[:100]}")
        return self.latest

    async def wait(self) -> None:
        """Until nothing is on its way."""
        if self._task:
            await asyncio.wait([self._task])

    async def aclose(self) -> None:
        if self._task:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def _run(self, work: Callable[[Told], Awaitable[None]]) -> None:
        try:
            await work(self._tell)
        except UpstreamError as error:
            self._put(state="failed", detail=str(classify(error)))
        except RouterError as error:
            self._put(state="failed", detail=str(error))
        except BaseException:
            self._put(state="failed", detail="it was given up")
            raise
        else:
            self._put(state="ready", progress=1.0, detail="")

    def _tell(self, detail: str, progress: float | None) -> None:
        self._put(detail=detail, progress=progress)

    def _put(self, **changes: object) -> None:
        if self.latest:
            self.latest = replace(self.latest, **changes)  # type: ignore[arg-type]  # by name
