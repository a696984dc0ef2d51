"""Speaks while a tool is running and the line is silent, so that a slow tool is no dead air."""

import asyncio
from collections.abc import Mapping
from typing import Any

from livekit.agents import AgentSession

from agent.filler import FillerRule
from llm_router.clock import Clock, SystemClock

_INTERVAL = 5.0
"""Seconds of silence from one phrase to the next, while a tool goes on running."""


class ToolCover:
    """Says a phrase once a tool has left the line silent for `after` seconds, and again later.

    `says` are phrases for single tools, by their names; the others get the next one of `rule`. One
    with an empty phrase waits for the caller, or plays them music: nothing is said while it runs,
    whatever else does. The phrases are part of no history. Close it at the end of the call.
    """

    def __init__(
        self, rule: FillerRule, says: Mapping[str, str], after: float, clock: Clock | None = None
    ) -> None:
        self._rule = rule
        self._says = says
        self._after = after
        self._clock = clock or SystemClock()
        self._session: AgentSession[Any] | None = None
        self._running: dict[str, str] = {}
        """Tools that run, by the ids of their calls."""
        self._silent_since = 0.0
        self._task: asyncio.Task[None] | None = None

    def attach(self, session: AgentSession[Any]) -> None:
        """Covers the tools of this session from now on."""
        self._session = session
        session.on("tool_execution_updated", self._on_tool)
        session.on("user_state_changed", self._on_state)
        session.on("agent_state_changed", self._on_state)
        session.on("close", self._on_close)

    async def aclose(self) -> None:
        if self._session:
            self._session.off("tool_execution_updated", self._on_tool)
            self._session.off("user_state_changed", self._on_state)
            self._session.off("agent_state_changed", self._on_state)
            self._session.off("close", self._on_close)
            self._session = None
        if self._task:
            self._task.cancel()
            await asyncio.wait([self._task])

    def _on_state(self, event: Any) -> None:
        if event.old_state == "speaking":
            self._silent_since = self._clock.now()

    def _on_close(self, _: Any) -> None:
        if self._task:
            self._task.cancel()

    def _on_tool(self, event: Any) -> None:
        update = event.update
        if update.type == "tool_call_started":
            call = update.function_call
            self._running[call.call_id] = call.name
            if self._task is None or self._task.done():
                # A question that was typed, or that another tool has answered, is not waiting yet.
                silent = self._clock.now() - self._silent_since
                if silent >= self._after:
                    self._silent_since = self._clock.now()
                self._task = asyncio.create_task(self._cover(), name="tool cover")
        elif update.type == "tool_call_ended":
            self._running.pop(update.call_id, None)
            if not self._running and self._task:
                self._task.cancel()

    async def _cover(self) -> None:
        phrases = 0
        after = self._after
        while self._session:
            if "speaking" in {self._session.agent_state, self._session.user_state}:
                await self._clock.sleep(after)
                continue
            due = self._silent_since + after - self._clock.now()
            if due > 0:
                await self._clock.sleep(due)
                continue
            phrase = self._phrase(phrases)
            phrases += 1
            after = _INTERVAL
            self._silent_since = self._clock.now()
            if phrase:
                await self._say(self._session, phrase)

    def _phrase(self, number: int) -> str:
        running = self._running.values()
        if any(self._says.get(name) == "" for name in running):
            return ""
        own = [says for name in running if (says := self._says.get(name))]
        return own[0] if own and number == 0 else self._rule.phrase(number)

    @staticmethod
    async def _say(session: AgentSession[Any], phrase: str) -> None:
        try:
            speech = session.say(phrase, add_to_chat_ctx=False)
        except RuntimeError:  # the session is being closed
            return
        await speech.wait_for_playout()
