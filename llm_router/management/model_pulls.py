"""Models that servers are fetching for us: a task for each, and how far it is."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from llm_router.errors import StatusError, UpstreamError
from llm_router.gateway.errors import Problem
from llm_router.providers.base import PullProgress

log = logging.getLogger(__name__)

_AT_ONCE, _KEPT = 4, 100
_COME_AGAIN = 60
"""Seconds; a model has gigabytes."""

_NOT_BEGUN = PullProgress("")
State = Literal["pulling", "done", "failed", "stopped"]


@dataclass(slots=True, kw_only=True)
class Pull:
    """One model at one connection, as far as it has come. `error`: in the server's own words."""

    model: str
    started_at: datetime
    finished_at: datetime | None = None
    state: State = "pulling"
    progress: PullProgress = _NOT_BEGUN
    error: str = ""


class Pulls:
    """Those that this process has begun; whoever closes the application closes them."""

    def __init__(self) -> None:
        self._pulls: dict[tuple[str, str], Pull] = {}
        self._tasks: dict[tuple[str, str], asyncio.Task[None]] = {}

    def of(self, connection_id: str) -> Sequence[Pull]:
        """The latest first."""
        latest_first = reversed(self._pulls.items())
        return [pull for (owner, _), pull in latest_first if owner == connection_id]

    def under_way(self, connection_id: str, model: str) -> Pull | None:
        key = connection_id, model
        return self._pulls[key] if key in self._tasks else None

    async def start(
        self,
        connection_id: str,
        model: str,
        steps: AsyncGenerator[PullProgress, None],
        now: Callable[[], datetime],
    ) -> Pull:
        """Raises Problem (429) where too many are under way."""
        if len(self._tasks) >= _AT_ONCE:
            raise Problem(
                429,
                "Too many models are being pulled",
                f"Wait until one of these {_AT_ONCE} is there, or stop one by deleting it.",
                {"Retry-After": str(_COME_AGAIN)},
            )
        key = connection_id, model
        pull = Pull(model=model, started_at=now())
        self._pulls.pop(key, None)
        self._pulls[key] = pull
        while len(self._pulls) > _KEPT + _AT_ONCE:
            del self._pulls[next(k for k in self._pulls if k not in self._tasks)]
        task = asyncio.create_task(_follow(pull, steps), name=f"pull {model}")
        self._tasks[key] = task

        def ended(_: "asyncio.Task[None]") -> None:
            pull.finished_at = now()
            del self._tasks[key]

        task.add_done_callback(ended)
        await asyncio.sleep(0)  # one that is cancelled before its first step would close nothing
        return pull

    async def stop(self, connection_id: str, model: str) -> bool:
        """Whether there was one to stop."""
        task = self._tasks.get((connection_id, model))
        if task:
            task.cancel()
            await asyncio.wait({task})
        return task is not None

    async def aclose(self) -> None:
        tasks = [*self._tasks.values()]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)


async def _follow(pull: Pull, steps: AsyncGenerator[PullProgress, None]) -> None:
    try:
        async with aclosing(steps):
            async for progress in steps:
                pull.progress = progress
        pull.state = "done"
    except UpstreamError as error:
        pull.state = "failed"
        pull.error = (error.detail if isinstance(error, StatusError) else "") or str(error)
    except asyncio.CancelledError:
        pull.state = "stopped"
        raise
    except Exception:
        log.exception("a bug while a model was pulled")  # the task is nobody's to await
        pull.state, pull.error = "failed", "something broke here; the log says what"
