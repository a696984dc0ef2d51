"""Carries out a warm transfer: one loop that spends what `steps.py` decides."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

from agent.phone.transfer.steps import End, Event, Step, WarmTransfer
from llm_router.clock import Clock

_logger = logging.getLogger("agent")


class Stage(Protocol):
    """The room and the telephone line of a warm transfer."""

    def observed(self, post: Callable[[Event], None]) -> AbstractAsyncContextManager[None]:
        """Reports during the block who leaves, and what the person decides."""

    async def hold(self) -> None:
        """Plays music to the caller, whom neither agent nor person hears now."""

    async def dial(self) -> Event:
        """Calls the person; returns what became of it. Neither hears the other."""

    async def brief(self) -> None:
        """Tells the person alone whom the call is from."""

    async def connect(self) -> None:
        """Lets caller and person hear each other, and ends the music. Raises if it cannot."""

    async def part(self) -> None:
        """Hangs up on the person, and gives the caller back to the agent. Raises nothing."""


async def transfer_warm(stage: Stage, clock: Clock, ways: int = 1) -> End:
    """Returns the one end of a transfer. After any but CONNECTED the agent has the caller again.

    `ways`: the number of trunks by which the person may be called, one after the other. Cancelling
    it hangs up on the person as well.
    """
    inbox = _Inbox()
    course = WarmTransfer(clock.now(), ways=ways)
    work = _Work(inbox)
    try:
        async with stage.observed(inbox.post):
            await stage.hold()
            work.start(stage.dial(), Event.UNREACHABLE)
            while course.end is None:
                event = await inbox.next(course.until - clock.now())
                if event is None:
                    course.on_time(clock.now())
                    continue
                step = course.on(event, clock.now())
                if step is Step.BRIEF:
                    work.start(_then(stage.brief(), Event.BRIEFED), Event.BRIEFED)
                elif step is Step.CONNECT:
                    work.start(_then(stage.connect(), Event.CONNECTED), Event.NOT_CONNECTED)
        return course.end
    finally:
        await work.aclose()
        if course.end is not End.CONNECTED:
            await stage.part()


async def _then(work: Awaitable[None], event: Event) -> Event:
    await work
    return event


class _Inbox:
    """The events that wait, each once: a person who hammers at the keys posts one."""

    def __init__(self) -> None:
        self._events: dict[Event, None] = {}
        self._changed = asyncio.Event()

    def post(self, event: Event) -> None:
        self._events.setdefault(event)
        self._changed.set()

    async def next(self, within: float) -> Event | None:
        """Returns the event that has waited longest, or None if none comes in time."""
        try:
            async with asyncio.timeout(max(0.0, within)):
                await self._changed.wait()
        except TimeoutError:
            return None
        event = next(iter(self._events))
        del self._events[event]
        if not self._events:
            self._changed.clear()
        return event


class _Work:
    """Tasks of a transfer, each of which posts an event at its end."""

    def __init__(self, inbox: _Inbox) -> None:
        self._inbox = inbox
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, work: Coroutine[Any, Any, Event], otherwise: Event) -> None:
        """Starts some work; `otherwise` is the event if it fails."""
        self._tasks.add(asyncio.create_task(self._run(work, otherwise), name="transfer"))

    async def _run(self, work: Coroutine[Any, Any, Event], otherwise: Event) -> None:
        try:
            event = await work
        except Exception:  # whatever failed, the caller must not wait for it
            _logger.exception("a step of a transfer failed")
            event = otherwise
        self._inbox.post(event)

    async def aclose(self) -> None:
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
