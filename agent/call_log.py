"""Writes a call into the store while it goes on, beside it: no word waits for the database.

The call's own process writes, through the database that its router has open already. The worker
could write for all of its calls, but LiveKit's processes give it no way to hear of their words, and
its death would lose those of every call.
"""

import asyncio
import logging
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from livekit import rtc
from livekit.agents import (
    AgentSession,
    CloseEvent,
    ConversationItemAddedEvent,
    FunctionToolsExecutedEvent,
    SpeechCreatedEvent,
    ToolCallEnded,
    ToolCallStarted,
    ToolExecutionUpdatedEvent,
    io,
    llm,
)

from agent.call_items import reply_id_of, said_item, tool_in_flight, tools_item
from llm_router.clock import Clock, SystemClock
from llm_router.errors import NotFoundError, StoreError
from llm_router.periodic import OutageLog, PeriodicTask
from llm_router.routing.events import AttemptEvent, ReplyEvent
from llm_router.voice.calls import MAX_TEXT, Call, CallAgent, CallFacts, CallItem, CallPort
from llm_router.voice.redaction import redact, redact_all

_logger = logging.getLogger("agent")

WINDOW = 0.5
"""Seconds for which words wait to be written, and so what a killed process may lose."""
_BEAT = 10.0
"""Seconds from one sign of life to the next."""
_BATCH = 100
"""Items in one write."""
_BOUND = 2_000
"""Items that wait at most while the store cannot be written."""
_PHONE = rtc.ParticipantKind.PARTICIPANT_KIND_SIP
_RECEIPTS = 32
"""Replies whose facts wait for the end of their voice."""
_CLOSE_WITHIN = 5.0
_REASONS = {
    "participant_disconnected": "caller left",
    "user_initiated": "agent ended",
    "task_completed": "agent ended",
    "job_shutdown": "worker stopped",
    "error": "failed",
}
"""Reason of the end of a call by LiveKit's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedCall:
    """A call as its agent knows it when it begins."""

    room: str
    epoch: int
    agent: CallAgent
    facts: CallFacts
    redacts_cards: bool = True


class CallLog:
    """Claims a call and writes it, from `start` to `aclose`. An observer of the call's router.

    Each item of the conversation is written within `WINDOW` seconds. While the store does not
    answer, items wait in memory; the newest beyond `bound` are dropped, which is logged. When the
    call is another agent's, or was removed, nothing more is written: `is_superseded`.
    """

    def __init__(
        self,
        store: CallPort,
        logged: LoggedCall,
        clock: Clock | None = None,
        *,
        bound: int = _BOUND,
    ) -> None:
        self._store = store
        self._logged = logged
        self._clock = clock or SystemClock()
        self._bound = bound
        self._waiting: deque[CallItem] = deque()
        self._replies: OrderedDict[str, ReplyEvent] = OrderedDict()
        self._tools: dict[str, Mapping[str, Any]] = {}
        self._is_answered = False
        self._noted: tuple[Any, ...] = ("", (), False)
        self._noted_at = 0.0
        self._has_new_facts = False
        self._room: rtc.Room | None = None
        self._why: Callable[[], str] = str
        self._reason = "worker stopped"
        self.voiced = VoicedText()
        self.call: Call | None = None
        """The stored call, once it is claimed."""
        self.is_superseded = False
        self.dropped = 0
        self._outage = OutageLog(
            "what is said waits in memory until the store of calls answers again",
            "the call is written again",
        )
        self._task = PeriodicTask(
            self._write, self._clock, WINDOW, name="call log", outage=self._outage
        )

    def start(
        self, session: AgentSession[Any], room: rtc.Room, why: Callable[[], str] = str
    ) -> None:
        """Writes what the session says from now on.

        `why` returns why the agent itself has ended the call, empty if it has not.
        """
        self._why = why
        self._room = room
        self.voiced.speech_of = lambda: session.current_speech
        session.on("conversation_item_added", self._on_item)
        session.on("function_tools_executed", self._on_tools)
        session.on("tool_execution_updated", self._on_tool)
        session.on("agent_state_changed", self._on_agent_state)
        session.on("speech_created", self._on_speech)
        session.on("close", self._on_close)
        self._task.start()

    async def aclose(self) -> None:
        """Writes the rest and the end of the call, within 5 s. Logs what is lost."""
        await self._task.aclose()
        with suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_WITHIN):
                while not self.is_superseded and (self._waiting or self.call is None):
                    await self._task.step_once()
                    if self._outage.is_out:
                        await self._clock.sleep(WINDOW)
                await self._end()
        if self._waiting:
            _logger.error("%d items of a call are lost: they were not written", len(self._waiting))

    # ── Events ───────────────────────────────────────────────────────────────────────────────────

    def attempt_ended(self, event: AttemptEvent) -> None:
        """Does nothing: a reply brings its attempts."""

    def reply_ended(self, event: ReplyEvent) -> None:
        self._replies[event.reply_id] = event
        while len(self._replies) > _RECEIPTS:
            self._replies.popitem(last=False)

    def _on_item(self, event: ConversationItemAddedEvent) -> None:
        if isinstance(event.item, llm.ChatMessage):
            reply = self._replies.pop(reply_id_of(event.item), None)
            self._add(said_item(event.item, reply, self._logged.epoch))
            self._task.wake()  # another agent must know what was asked
            if event.item.role == "assistant":
                self.voiced.clear()

    def _on_tools(self, event: FunctionToolsExecutedEvent) -> None:
        for call in event.function_calls:
            self._tools.pop(call.call_id, None)
        self._add(tools_item(event, self._logged.epoch))

    def _on_tool(self, event: ToolExecutionUpdatedEvent) -> None:
        match event.update:
            case ToolCallStarted(function_call=call):
                self._tools[call.call_id] = tool_in_flight(call)
                self._task.wake()  # another agent must not run it again
            case ToolCallEnded(call_id=call_id, status="cancelled"):
                self._tools.pop(call_id, None)
            # Others stay until their results are items, which may be when a slower one has ended.

    def _on_agent_state(self, event: Any) -> None:
        if event.new_state == "speaking":
            self._is_answered = True

    def _on_speech(self, event: SpeechCreatedEvent) -> None:
        # Some phrases are no items. An agent that pauses for a noise still has the same speech.
        event.speech_handle.add_done_callback(self.voiced.end)

    def _on_close(self, event: CloseEvent) -> None:
        self._reason = _REASONS.get(event.reason.value, "agent ended")

    def _add(self, item: CallItem | None) -> None:
        if item is None or self.is_superseded:
            return
        if len(self._waiting) >= self._bound:
            if not self.dropped:
                _logger.error("the store of calls is too far behind: what is said now is dropped")
            self.dropped += 1
            return
        self._waiting.append(self._redacted(item))

    def _redacted(self, item: CallItem) -> CallItem:
        if not self._logged.redacts_cards:
            return item
        tools = redact_all(item.tool_calls)
        return replace(item, text=redact(item.text[:MAX_TEXT]), tool_calls=tools)

    # ── Writing ──────────────────────────────────────────────────────────────────────────────────

    async def _write(self) -> None:
        """Writes what is new. Raises StoreError."""
        if self.is_superseded:
            return
        self._learn_kind()
        if self.call is None or self._has_new_facts:
            await self._claim()
        if self.call is None:
            return
        batch = list(islice(self._waiting, _BATCH))
        if batch:
            try:
                await self._store.append(self.call.id, batch, self._now())
            except NotFoundError:
                self._stop()
                return
            for _ in batch:
                self._waiting.popleft()
        await self._note(self.call)

    def _learn_kind(self) -> None:
        """Takes note of a caller on the telephone, who comes after the agent."""
        people = self._room.remote_participants.values() if self._room else ()
        if self._logged.facts.kind is None and any(person.kind == _PHONE for person in people):
            facts = replace(self._logged.facts, kind="phone")
            self._logged = replace(self._logged, facts=facts)
            self._has_new_facts = True

    async def _claim(self) -> None:
        logged = self._logged
        self.call = await self._store.claim(
            logged.room, logged.epoch, logged.agent, self._now(), logged.facts
        )
        self._has_new_facts = logged is not self._logged
        if self.call is None:
            _logger.info("the call is another agent's: this one writes nothing of it")
            self._stop()

    async def _note(self, call: Call) -> None:
        voiced = self.voiced.text
        if self._logged.redacts_cards:
            voiced = redact(voiced)
        tools = tuple(self._tools.values())
        state = (voiced, tools, self._is_answered)
        if state == self._noted and self._clock.now() - self._noted_at < _BEAT:
            return
        is_own = await self._store.note(
            call.id,
            self._logged.epoch,
            self._now(),
            voiced=voiced,
            tools_in_flight=redact_all(tools) if self._logged.redacts_cards else tools,
            answered=self._is_answered,
        )
        self._noted, self._noted_at = state, self._clock.now()
        if not is_own:
            self._stop()

    async def _end(self) -> None:
        if self.call is None or self.is_superseded or self._outage.is_out:
            return
        with suppress(StoreError):  # it is ended as lost later
            await self._store.end(
                self.call.id, self._why() or self._reason, self._now(), epoch=self._logged.epoch
            )

    def _stop(self) -> None:
        self.is_superseded = True
        self._waiting.clear()

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock.wall(), UTC)


class VoicedText(io.TextOutput):
    """The words of the reply under way that the caller has received so far.

    It is the end of LiveKit's chain of transcripts, behind the part that keeps pace with the voice.
    """

    def __init__(self) -> None:
        super().__init__(label="voiced", next_in_chain=None)
        self.speech_of: Callable[[], object] = lambda: None
        """Returns the speech that is being voiced."""
        self._speech: object = None
        self._parts: list[str] = []
        self._length = 0

    @property
    def text(self) -> str:
        return "".join(self._parts)

    async def capture_text(self, text: str) -> None:
        speech = self.speech_of()
        if speech is not None and speech is not self._speech:
            self.clear()
            self._speech = speech
        if self._length < MAX_TEXT:
            self._parts.append(str(text))
            self._length += len(text)

    def flush(self) -> None:
        """Does nothing: a reply may have several segments."""

    def end(self, speech: object) -> None:
        """Forgets the words of a speech that has ended; those of another one stay."""
        if speech is self._speech:
            self.clear()

    def clear(self) -> None:
        self._parts.clear()
        self._length = 0
