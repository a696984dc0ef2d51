"""Writes a call into the store while it goes on, beside it: no word waits for the database.

The call's own process writes, through the database that its router has open already. The worker
could write for all of its calls, but LiveKit's processes give it no way to hear of their words, and
its death would lose those of every call.
"""

import asyncio
import logging
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import islice
from typing import Any

from livekit import rtc
from livekit.agents import (
    AgentSession,
    CloseEvent,
    ConversationItemAddedEvent,
    FunctionToolsExecutedEvent,
    ToolCallStarted,
    ToolExecutionUpdatedEvent,
    UserStateChangedEvent,
    llm,
)

from agent.call_items import reply_id_of, said_item, tools_item
from agent.phone.line import find_phone
from agent.progress import Progress
from llm_router.clock import Clock, SystemClock, utc_now
from llm_router.errors import NotFoundError, StoreError
from llm_router.periodic import OutageLog, PeriodicTask
from llm_router.routing.events import AttemptEvent, ReplyEvent
from llm_router.voice.calls import (
    ENDS_OF_SESSIONS,
    LANGUAGE,
    MAX_TEXT,
    Call,
    CallAgent,
    CallFacts,
    CallItem,
    CallPort,
)
from llm_router.voice.redaction import redact, redact_tools

_logger = logging.getLogger("agent")

WINDOW = 0.5
"""Seconds for which words wait to be written, and so what a killed process may lose."""
_BEAT = 10.0
"""Seconds from one sign of life to the next."""
_BATCH = 100
"""Items in one write."""
_BOUND = 2_000
"""Items that wait at most while the store cannot be written."""
_RECEIPTS = 32
"""Replies whose facts wait for the end of their voice."""
_CLOSE_WITHIN = 5.0


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
        progress: Progress | None = None,
        bound: int = _BOUND,
    ) -> None:
        self._store = store
        self._logged = logged
        self._clock = clock or SystemClock()
        self._bound = bound
        self._waiting: deque[CallItem] = deque()
        self._replies: OrderedDict[str, ReplyEvent] = OrderedDict()
        self._is_answered = False
        self._noted: tuple[Any, ...] = ("", [], False)
        self._noted_at = 0.0
        self._has_new_facts = False
        self._room: rtc.Room | None = None
        self._why: Callable[[], str] = str
        self._reason = "worker stopped"
        self.progress = progress or Progress()
        self.language = ""
        """Language of the call by now, which its receipts name; empty: it has only one."""
        self._is_caller_speaking = False
        self._caller_spoke = False
        self.call: Call | None = None
        """The stored call, once it is claimed."""
        self.is_superseded = False
        self.on_superseded: Callable[[], object] = lambda: None
        """Called once when a later agent turns out to have the call."""
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
        session.on("conversation_item_added", self._on_item)
        session.on("function_tools_executed", self._on_tools)
        session.on("tool_execution_updated", self._on_tool)
        session.on("agent_state_changed", self._on_agent_state)
        session.on("user_state_changed", self._on_caller)
        session.on("close", self._on_close)
        self._task.start()

    def learn(self, **facts: Any) -> None:
        """Adds facts about the call, by the names of CallFacts, which come after its agent."""
        self._logged = replace(self._logged, facts=replace(self._logged.facts, **facts))
        self._has_new_facts = True

    @property
    def _is_behind(self) -> bool:
        return bool(self._waiting) or self.call is None or self._has_new_facts

    async def leave(self, store: CallPort) -> None:
        """Writes through another store how far the call is, and that it needs another agent: this
        process ends, and its loop stands.

        Raises StoreError.
        """
        if self.call is None or self.is_superseded:
            return
        if self._waiting:
            await store.append(self.call.id, list(self._waiting), self._now())
        await self._write_note(self.call, store, gone=True)

    async def hand_over(self) -> None:
        """Notes that a person answers from now on; returns once that is stored.

        Until then the agent must stay: another one would be called in its place.
        """
        while not self.is_superseded:
            await self._task.step_once()
            with suppress(StoreError):
                if self.call and await self._store.hand_over(
                    self.call.id, self._logged.epoch, self._now(), to="person"
                ):
                    return
            await self._clock.sleep(WINDOW)

    async def aclose(self) -> None:
        """Writes the rest and the end of the call, within 5 s. Logs what is lost."""
        await self._task.aclose()
        with suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_WITHIN):
                while not self.is_superseded and self._is_behind:
                    await self._task.step_once()
                    if self._outage.is_out:
                        await self._clock.sleep(WINDOW)
                await self._end()
        if self._waiting:
            _logger.error(
                "%d items of a call are lost, since the database did not take them within %.0f s;"
                " `llm-router doctor` checks it",
                len(self._waiting),
                _CLOSE_WITHIN,
            )

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
            by_caller = event.item.interrupted and self._caller_spoke
            item = said_item(event.item, reply, self._logged.epoch, by_caller=by_caller)
            if item and self.language:
                item = replace(item, receipt={**item.receipt, LANGUAGE: self.language})
            self._add(item)
            self._task.wake()  # another agent must know what was asked

    def _on_tools(self, event: FunctionToolsExecutedEvent) -> None:
        self._add(tools_item(event, self._logged.epoch))

    def _on_tool(self, event: ToolExecutionUpdatedEvent) -> None:
        if isinstance(event.update, ToolCallStarted):
            self._task.wake()  # another agent must not run it again

    def _on_agent_state(self, event: Any) -> None:
        if event.new_state == "speaking":
            self._is_answered = True
            self._caller_spoke = self._is_caller_speaking  # since this reply began

    def _on_caller(self, event: UserStateChangedEvent) -> None:
        self._is_caller_speaking = event.new_state == "speaking"
        self._caller_spoke = self._caller_spoke or self._is_caller_speaking

    def _on_close(self, event: CloseEvent) -> None:
        self._reason = ENDS_OF_SESSIONS.get(event.reason.value, "agent ended")

    def _add(self, item: CallItem | None) -> None:
        if item is None or self.is_superseded:
            return
        if len(self._waiting) >= self._bound:
            if not self.dropped:
                _logger.error(
                    "the database takes the words of this call too slowly: %d items wait, and what"
                    " is said now is not stored",
                    len(self._waiting),
                )
            self.dropped += 1
            return
        self._waiting.append(self._redacted(item))

    def _redacted(self, item: CallItem) -> CallItem:
        if not self._logged.redacts_cards:
            return item
        tools = redact_tools(item.tool_calls)
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
                await self._stop()
                return
            for _ in batch:
                self._waiting.popleft()
        await self._note(self.call)

    def _learn_kind(self) -> None:
        """Takes note of a caller on the telephone, who comes after the agent."""
        is_unknown = self._logged.facts.kind is None
        if is_unknown and self._room and find_phone(self._room):
            self.learn(kind="phone")

    async def _claim(self) -> None:
        logged = self._logged
        # A call that it has written may be over by now, removed, or moved on to an agent that never
        # came: what is learned then begins no second one.
        self.call = await self._store.claim(
            logged.room,
            logged.epoch,
            logged.agent,
            self._now(),
            logged.facts,
            may_begin=self.call is None,
        )
        self._has_new_facts = logged is not self._logged
        if self.call is None:
            _logger.info("the call is another agent's: this one writes nothing of it")
            await self._stop()

    async def _note(self, call: Call) -> None:
        state = self._state
        if state == self._noted and self._clock.now() - self._noted_at < _BEAT:
            return
        is_own = await self._write_note(call, self._store)
        self._noted, self._noted_at = state, self._clock.now()
        if not is_own:
            await self._stop()

    @property
    def _state(self) -> tuple[str, Sequence[Mapping[str, Any]], bool]:
        voiced, tools = self.progress.voiced.text, self.progress.tools
        if self._logged.redacts_cards:
            voiced, tools = redact(voiced), redact_tools(tools)
        return voiced, tools, self._is_answered

    async def _write_note(self, call: Call, store: CallPort, *, gone: bool = False) -> bool:
        voiced, tools, answered = self._state
        return await store.note(
            call.id,
            self._logged.epoch,
            self._now(),
            voiced=voiced,
            tools_in_flight=tools,
            answered=answered,
            gone=gone,
        )

    async def _end(self) -> None:
        if self.call is None or self.is_superseded or self._outage.is_out:
            return
        with suppress(StoreError):  # it is ended as lost later
            await self._store.end(
                self.call.id, self._why() or self._reason, self._now(), epoch=self._logged.epoch
            )

    async def _stop(self) -> None:
        self.is_superseded = True
        self._waiting.clear()
        call = await self._store.going_on(self._logged.room)
        if call is not None and call.epoch > self._logged.epoch:
            self.on_superseded()

    def _now(self) -> datetime:
        return utc_now(self._clock)
