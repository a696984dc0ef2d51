"""Follows how far the conversation of a call is, and leaves that in its black box."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from livekit.agents import AgentSession, SpeechCreatedEvent, llm
from livekit.agents.voice import SpeechHandle
from livekit.agents.voice.io import TextOutput

from agent.progress import Progress
from agent.survival.black_box import MAX_ITEMS, BlackBox, Note
from llm_router.clock import Clock
from llm_router.voice.redaction import redact, redact_tools

_EVERY = 0.25
"""Seconds between beats of the event loop."""
_REST = 1.5
"""Seconds after a caller's last sound in which their words may still become a turn."""


class Journal(TextOutput):
    """A text output of a call: it receives each word as a voice says it, and passes it on.

    `progress` is to follow the same session before it.
    """

    def __init__(
        self,
        box: BlackBox,
        clock: Clock,
        progress: Progress,
        *,
        redacts_cards: bool = True,
    ) -> None:
        super().__init__(label="journal", next_in_chain=progress.voiced)
        self._progress = progress
        self._redacts_cards = redacts_cards
        self._box = box
        self._clock = clock
        self._items: deque[dict[str, Any]] = deque(maxlen=MAX_ITEMS)
        self._session: AgentSession[Any] | None = None
        self._may_rest: Callable[[], bool] = lambda: True
        self._caller_at = 0.0

    def follow(
        self, session: AgentSession[Any], *, may_rest: Callable[[], bool] = lambda: True
    ) -> None:
        """Follows a session, which is never at rest while `may_rest` returns False."""
        self._session = session
        self._may_rest = may_rest
        session.on("conversation_item_added", self._on_item)
        session.on("function_tools_executed", self._on_tools)
        session.on("tool_execution_updated", self._on_tools)
        session.on("speech_created", self._on_speech)
        session.on("user_state_changed", self._on_caller)

    @asynccontextmanager
    async def beating(self) -> AsyncIterator[None]:
        """Beats during the block, from this event loop: a loop that hangs does not."""
        task = asyncio.create_task(self._beat(), name="beats of a call")
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait({task})

    async def _beat(self) -> None:
        while True:
            self._box.beat(self._clock.now(), at_rest=self._is_at_rest)
            await self._clock.sleep(_EVERY)

    @property
    def _is_at_rest(self) -> bool:
        session = self._session
        return (
            session is not None
            and session.agent_state in {"listening", "idle"}
            and session.user_state != "speaking"
            and not self._progress.runs_tools
            and self._may_rest()
            and self._clock.now() - self._caller_at > _REST
        )

    # ── Words and tools ──────────────────────────────────────────────────────────────────────────

    async def capture_text(self, text: str) -> None:
        await self._progress.voiced.capture_text(text)
        self._write()

    def flush(self) -> None:
        self._progress.voiced.flush()

    def _on_item(self, event: Any) -> None:
        item = event.item
        if not isinstance(item, llm.ChatMessage) or item.role not in {"user", "assistant"}:
            return
        text = item.text_content or ""
        text = redact(text) if self._redacts_cards else text
        self._items.append({"id": item.id, "role": item.role, "text": text, "at": item.created_at})
        self._write()

    def _on_tools(self, event: Any) -> None:  # noqa: ARG002  the progress has taken note of it
        self._write()

    def _on_speech(self, event: SpeechCreatedEvent) -> None:
        event.speech_handle.add_done_callback(self._on_speech_end)

    def _on_speech_end(self, speech: SpeechHandle) -> None:
        self._progress.voiced.end(speech)  # LiveKit calls back in no certain order
        self._write()

    def _on_caller(self, event: Any) -> None:  # noqa: ARG002  both ends of their speech count
        self._caller_at = self._clock.now()

    def _write(self) -> None:
        voiced, tools = self._progress.voiced.text, self._progress.tools
        if self._redacts_cards:
            voiced, tools = redact(voiced), redact_tools(tools)
        self._box.write(Note(voiced=voiced, tools=tools, items=list(self._items)))
