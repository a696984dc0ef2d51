"""Has model servers pull and delete models; each pull is a task whose progress can be read."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from llm_router.clock import checkpoint, utc_now
from llm_router.connections.access import Actor
from llm_router.connections.record import Connection
from llm_router.errors import (
    BusyError,
    ConfigurationError,
    NotFoundError,
    StatusError,
    UpstreamError,
)
from llm_router.management.opening import ConnectionOpener
from llm_router.management.probe import open_provider
from llm_router.providers.base import ModelManager, Provider, PullProgress

log = logging.getLogger(__name__)

_MAX_PER_OWNER = 4
_MAX_RUNNING = 32
"""Bounds the work of this process; places of its own keep an owner from waiting for others."""
_PROGRESS_WITHIN = 300.0
_DONE_WITHIN = 6 * 3600.0
"""Seconds after which a pull is given up: without progress, and in any case."""
_MAX_FINISHED = 100
"""Finished pulls that can still be read."""
_RETRY_AFTER = 60.0
"""Seconds; a model has gigabytes."""
_NOT_FOUND = 404

_NOT_STARTED = PullProgress("")
PullState = Literal["pulling", "done", "failed", "stopped"]


@dataclass(slots=True, kw_only=True)
class Pull:
    """The pull of a model by a connection's server. `error`: in the server's own words."""

    model: str
    started_at: datetime
    finished_at: datetime | None = None
    state: PullState = "pulling"
    progress: PullProgress = _NOT_STARTED
    error: str = ""


class ModelPulls:
    """Owns the pulls that this process has started; close it with the application.

    A pull is given up after five minutes without progress, and after six hours.
    """

    def __init__(self) -> None:
        self._pulls: dict[tuple[str, str], Pull] = {}
        self._owners: dict[tuple[str, str], str] = {}
        """Owner of each pull that is running."""
        self._tasks: dict[tuple[str, str], asyncio.Task[None]] = {}

    def of(self, connection_id: str) -> Sequence[Pull]:
        """Returns the pulls of one connection, the latest first."""
        latest_first = reversed(self._pulls.items())
        return [pull for (owner, _), pull in latest_first if owner == connection_id]

    def running(self, connection_id: str, model: str) -> Pull | None:
        key = connection_id, model
        return self._pulls[key] if key in self._tasks else None

    async def start(
        self,
        owner: str,
        connection_id: str,
        model: str,
        steps: AsyncGenerator[PullProgress, None],
        now: Callable[[], datetime],
    ) -> Pull:
        """Starts a task that reads `steps` to their end.

        Raises BusyError if too many run, of the same owner or in all.
        """
        running = [*self._owners.values()].count(owner)
        if running >= _MAX_PER_OWNER or len(self._tasks) >= _MAX_RUNNING:
            raise BusyError(
                f"too many models are being pulled, {running} of them for you: wait until one is"
                " there, or stop one by deleting it",
                _RETRY_AFTER,
            )
        key = connection_id, model
        pull = Pull(model=model, started_at=now())
        self._pulls.pop(key, None)
        self._pulls[key] = pull
        while len(self._pulls) > _MAX_FINISHED + _MAX_RUNNING:
            del self._pulls[next(k for k in self._pulls if k not in self._tasks)]
        task = asyncio.create_task(_follow(pull, steps), name=f"pull {model}")
        self._tasks[key] = task
        self._owners[key] = owner

        def finish(_: "asyncio.Task[None]") -> None:
            pull.finished_at = now()
            del self._tasks[key], self._owners[key]

        task.add_done_callback(finish)
        await checkpoint()  # a task cancelled before its first step would not close `steps`
        return pull

    async def stop(self, connection_id: str, model: str) -> bool:
        """Cancels a running pull and waits for its end. Returns whether there was one."""
        task = self._tasks.get((connection_id, model))
        if task:
            task.cancel()
            await asyncio.wait({task})
        return task is not None

    async def aclose(self) -> None:
        """Cancels every running pull and waits for their end."""
        tasks = [*self._tasks.values()]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)


async def _follow(pull: Pull, steps: AsyncGenerator[PullProgress, None]) -> None:
    loop = asyncio.get_running_loop()
    try:
        async with (
            asyncio.timeout(_DONE_WITHIN),
            asyncio.timeout(_PROGRESS_WITHIN) as patience,
            aclosing(steps),
        ):
            async for progress in steps:
                if progress != pull.progress:
                    patience.reschedule(loop.time() + _PROGRESS_WITHIN)
                pull.progress = progress
        pull.state = "done"
    except TimeoutError:
        pull.state = "failed"
        pull.error = (
            f"given up: no progress for {_PROGRESS_WITHIN / 60:.0f} minutes, or not done in"
            f" {_DONE_WITHIN / 3600:.0f} hours; pull again to continue"
        )
    except UpstreamError as error:
        pull.state = "failed"
        pull.error = (error.detail if isinstance(error, StatusError) else "") or str(error)
    except asyncio.CancelledError:
        pull.state = "stopped"
        raise
    except Exception:
        log.exception("a bug while a model was pulled")  # no caller awaits this task
        pull.state = "failed"
        pull.error = "something broke here; the log says what"


class ServerModels:
    """Manages the models on a connection's server for one actor at a time.

    Every method raises what `ConnectionOpener.open` raises.
    """

    def __init__(self, opener: ConnectionOpener, pulls: ModelPulls) -> None:
        self._opener = opener
        self._pulls = pulls
        self._clock = opener.clock

    async def pull(self, actor: Actor, connection_id: str, model: str | None = None) -> Pull:
        """Starts to pull `model`, else the connection's own, or returns the pull that runs already.

        Raises ConfigurationError for a server that pulls no models, and BusyError.
        """
        connection, guard = await self._opener.open(
            actor, connection_id, "pull model", action="edit"
        )
        model = model or connection.model_name
        if not model:
            raise ConfigurationError(f"connection {connection.name!r}: name a model to pull")
        provider = await open_provider(connection, self._clock, guard)
        if running := self._pulls.running(connection_id, model):
            await provider.aclose()
            return running
        try:
            steps = _then_close(provider, _model_manager(provider, connection).pull(model))
            owner = actor.owner or actor.name
            return await self._pulls.start(owner, connection_id, model, steps, self._now)
        except BaseException:
            await provider.aclose()
            raise

    async def delete(self, actor: Actor, connection_id: str, model: str) -> None:
        """Deletes a model from the server; stops its pull first, if one runs.

        Raises NotFoundError for a model that is not there, UpstreamError for a server that fails,
        and ConfigurationError for a server that deletes no models.
        """
        connection, guard = await self._opener.open(
            actor, connection_id, "delete model", action="edit"
        )
        provider = await open_provider(connection, self._clock, guard)
        try:
            manager = _model_manager(provider, connection)
            was_stopped = await self._pulls.stop(connection_id, model)
            await manager.delete(model)
        except StatusError as error:
            if error.status != _NOT_FOUND:
                raise
            if not was_stopped:
                raise NotFoundError(f"the server has no model {model!r}") from error
        finally:
            await provider.aclose()

    async def pulls(self, actor: Actor, connection_id: str) -> Sequence[Pull]:
        """Returns the pulls that this process has started, the latest first."""
        await self._opener.store.get(actor, connection_id)
        return self._pulls.of(connection_id)

    def _now(self) -> datetime:
        return utc_now(self._clock)


def _model_manager(provider: Provider, connection: Connection) -> ModelManager:
    if isinstance(provider, ModelManager):
        return provider
    raise ConfigurationError(
        f"connection {connection.name!r}: its server pulls no models on request; an Ollama does,"
        ' with provider "ollama"'
    )


async def _then_close(
    provider: Provider, steps: AsyncGenerator[PullProgress, None]
) -> AsyncGenerator[PullProgress, None]:
    """Yields the steps, and closes the provider after the last one."""
    try:
        async with aclosing(steps):
            async for step in steps:
                yield step
    finally:
        await provider.aclose()
