"""Sends the room a note on which connection gave each answer."""

import asyncio
import json
import logging
from typing import Any

from livekit import rtc
from livekit.agents import AgentSession

from llm_router.integrations.livekit import ROUTE

_logger = logging.getLogger("agent")

REPLY_TOPIC = "patchbay.reply"
"""Text stream of the notes; a page shows them below the answers."""
_CLOSE_TIMEOUT = 1.0
"""Seconds that notes being sent may take at the end of the call."""


class RouteNotes:
    """Sends the room one note after each answer of the session, as JSON on `REPLY_TOPIC`.

    The notes name connections and models, and reach everybody in the room.
    """

    def __init__(self, session: AgentSession[None], room: rtc.Room) -> None:
        self._room = room
        self._sending: set[asyncio.Task[None]] = set()
        session.on("conversation_item_added", self._on_item)

    def _on_item(self, event: Any) -> None:
        route = getattr(event.item, "extra", {}).get(ROUTE)
        if route is None or event.item.role != "assistant":
            return
        task = asyncio.create_task(self._send(json.dumps(route)))
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    async def _send(self, note: str) -> None:
        try:
            await self._room.local_participant.send_text(note, topic=REPLY_TOPIC)
        except Exception as error:  # noqa: BLE001  the caller may have just left; a note is no loss
            _logger.debug("a note on the route was not sent: %s", type(error).__name__)

    async def aclose(self) -> None:
        """Waits up to 1 s for notes being sent, then cancels them."""
        if not self._sending:
            return
        _, late = await asyncio.wait(self._sending, timeout=_CLOSE_TIMEOUT)
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late)
