"""Follows how far the conversation of a call is, and leaves that in its black box."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from livekit.agents import (
    AgentSession,
    ToolCallEnded,
    ToolCallStarted,
    ToolExecutionUpdatedEvent,
    llm,
)
from livekit.agents.voice.io import TextOutput

from agent.survival.black_box import MAX_ITEMS, BlackBox, Note
from llm_router.clock import Clock

_EVERY = 0.25
"""Seconds between beats of the event loop."""
_REST = 1.5
"""Seconds after a caller's last sound in which their words may still become a turn."""


class Journal(TextOutput):
    """A text output of a call: it receives each word as a voice says it, and passes it on.

    `redact` removes from every text what must not be stored.
    """

    def __init__(
        self,
        box: BlackBox,
        clock: Clock,
        after: TextOutput | None = None,
        redact: Callable[[str], str] = str,
    ) -> None:
        super().__init__(label="journal", next_in_chain=after)
        self._redact = redact
        self._box = box
        self._clock = clock
        self._voiced = ""
        self._tools: dict[str, dict[str, Any]] = {}
        self._items: deque[dict[str, Any]] = deque(maxlen=MAX_ITEMS)
        self._session: AgentSession[Any] | None = None
        self._caller_at = 0.0

    def follow(self, session: AgentSession[Any]) -> None:
        self._session = session
        session.on("conversation_item_added", self._on_item)
        session.on("function_tools_executed", self._on_tools)
        session.on("tool_execution_updated", self._on_tool)
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
            and not self._tools
            and self._clock.now() - self._caller_at > _REST
        )

    # ── Words and tools ──────────────────────────────────────────────────────────────────────────

    async def capture_text(self, text: str) -> None:
        self._voiced += text
        self._write()
        if self.next_in_chain:
            await self.next_in_chain.capture_text(text)

    def flush(self) -> None:
        if self.next_in_chain:
            self.next_in_chain.flush()

    def _on_item(self, event: Any) -> None:
        item = event.item
        if not isinstance(item, llm.ChatMessage) or item.role not in {"user", "assistant"}:
            return
        text = self._redact(item.text_content or "")
        self._items.append({"id": item.id, "role": item.role, "text": text, "at": item.created_at})
        if item.role == "assistant":
            self._voiced = ""
        self._write()

    def _on_tools(self, event: Any) -> None:
        for call in event.function_calls:
            self._tools.pop(call.call_id, None)
        self._write()

    def _on_tool(self, event: ToolExecutionUpdatedEvent) -> None:
        """Notes a tool before it runs: one that dies with the process may have had its effect."""
        match event.update:
            case ToolCallStarted(function_call=call):
                self._tools[call.call_id] = {
                    "call_id": call.call_id,
                    "name": call.name,
                    "arguments": self._redact(call.arguments),
                }
            case ToolCallEnded(call_id=call_id, status="cancelled"):
                self._tools.pop(call_id, None)
        self._write()

    def _on_caller(self, event: Any) -> None:  # noqa: ARG002  both ends of their speech count
        self._caller_at = self._clock.now()

    def _write(self) -> None:
        self._box.write(
            Note(
                voiced=self._redact(self._voiced),
                tools=list(self._tools.values()),
                items=list(self._items),
            )
        )
