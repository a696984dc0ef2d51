"""Lets an agent say its first word: once the caller can hear it, and nothing else speaks for it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from livekit.agents import AgentSession

from agent.phone.line import wait_for_first_word

Wait = Callable[[AgentSession[Any]], Awaitable[bool] | None]
"""Returns what waits until an agent may speak, and returns whether it may; None: it may now."""


def wait_in_room(session: AgentSession[Any]) -> Awaitable[bool] | None:
    """Waits for the caller, and until receptionist and earlier agents have left the room."""
    try:
        _ = session.room_io
    except RuntimeError:  # a session without a room
        return None
    return wait_for_first_word(session)


class Floor:
    """Waits for an agent's first word. `close` ends the wait.

    LiveKit's end of a session waits for the agent's `on_enter`, whose caller may have gone.
    """

    def __init__(self, wait: Wait = wait_in_room) -> None:
        self._wait = wait
        self._is_closed = asyncio.Event()

    async def take(self, session: AgentSession[Any]) -> bool:
        """Returns whether the agent may speak; False also if the session ends before."""
        waits = self._wait(session)
        if waits is None:
            return True
        waiting = asyncio.ensure_future(waits)
        closed = asyncio.ensure_future(self._is_closed.wait())
        either: set[asyncio.Future[Any]] = {waiting, closed}
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            return not self._is_closed.is_set() and await waiting
        finally:
            waiting.cancel()
            closed.cancel()
            await asyncio.wait(either)

    def close(self) -> None:
        self._is_closed.set()
