"""Calls another agent to the callers of a call process that died."""

import asyncio
import logging
from typing import Any

from livekit.agents import AgentServer
from livekit.agents.ipc.job_executor import JobStatus

from agent.livekit_server import LiveKitError, LiveKitServer

_logger = logging.getLogger("agent")

_PER_ROOM = 3
"""Agents that may be called in place of dead ones in one room: what kills each of them, such as a
crash in an engine, would otherwise start processes for as long as the caller waits."""
_ROOMS = 1000
"""Rooms that are remembered for that, the latest ones."""


class Replacements:
    """Calls another agent whenever a call process of the worker ends in a failure.

    Use it in `async with`, once the worker is registered: the processes that are ended after the
    block are not replaced. Agents that are being called at the end of the block are waited for.
    """

    def __init__(self, server: AgentServer, livekit: LiveKitServer, agent_name: str) -> None:
        self._processes = server._proc_pool  # noqa: SLF001  LiveKit reports a dead process nowhere else
        self._livekit = livekit
        self._agent_name = agent_name
        self._replaced: dict[str, int] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> None:
        self._processes.on("process_closed", self._on_closed)

    async def __aexit__(self, *_: object) -> None:
        self._processes.off("process_closed", self._on_closed)
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _on_closed(self, process: Any) -> None:
        running = process.running_job
        if running is None or process.status != JobStatus.FAILED:
            return
        room = running.job.room.name
        if not self._may_replace(room):
            _logger.error(
                "the call process in room %s died as %d others did before it: no other is started",
                room,
                _PER_ROOM,
            )
            return
        task = asyncio.create_task(self._replace(running))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _may_replace(self, room: str) -> bool:
        count = self._replaced.pop(room, 0) + 1
        self._replaced[room] = count
        if len(self._replaced) > _ROOMS:
            del self._replaced[next(iter(self._replaced))]
        return count <= _PER_ROOM

    async def _replace(self, running: Any) -> None:
        room = running.job.room.name
        identity = running.accept_arguments.identity
        try:
            called = await self._livekit.replace_agent(running.job, self._agent_name, identity)
        except LiveKitError as error:
            _logger.error("no other agent could be called to room %s: %s", room, error)  # noqa: TRY400  a sentence for operators
            return
        if called:
            _logger.warning("the call process in room %s died: another agent was called", room)
