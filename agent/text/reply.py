"""Writes one reply: asks the router, runs the tools that the model calls, and asks again."""

import asyncio
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, aclosing
from dataclasses import dataclass, replace
from typing import Any, Protocol
from uuid import uuid4

from agent.receipts import receipt_of
from agent.text.history import PHRASE, calling
from agent.tool_set import ToolSet, distinct
from agent.toolbox.errors import NoReplyError, ToolError
from agent.toolbox.tool import DeclaredTool
from llm_router.clock import Clock, utc_now
from llm_router.errors import ReplyFailedError
from llm_router.routing.events import ReplyEvent
from llm_router.routing.router import Router
from llm_router.types import ChatRequest, ToolCall
from llm_router.voice.calls import Call, CallItem
from llm_router.voice.tools import McpServer

_logger = logging.getLogger("agent")

_MOST_STEPS = 3
"""Times that a reply may call tools, as in a call."""
_MOST_CALLS = 10
"""Tools that are called in one step."""
_TOOL_WITHIN = 70.0
"""Seconds for a tool; those over HTTP have their own, lower bound."""
_SERVERS_WITHIN = 3.0
"""Seconds that a reply waits for MCP servers before it begins without their tools."""


class ReplyDraft(Protocol):
    """Takes a reply as it is written: `agent.text.draft` stores it, a trial shows it alone."""

    call: Call
    items: list[CallItem]
    is_last: bool
    tools: Callable[[], Sequence[Mapping[str, Any]]]

    @property
    def said(self) -> str: ...

    def writing(self) -> AbstractAsyncContextManager[None]: ...

    def add(self, text: str) -> None: ...

    async def save(self) -> None: ...

    async def add_item(self, item: CallItem) -> None: ...

    async def finish(self, item: CallItem | None, reason: str) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyTask:
    """The parts of a reply. `request` has the conversation, and everything but the tools."""

    draft: ReplyDraft
    router: Router
    request: ChatRequest
    tools: ToolSet
    servers: Sequence[McpServer]
    phrase: Callable[[str], str]
    """Returns the words for an occasion."""
    clock: Clock


class TextReply:
    """The reply to one message. `write` it once."""

    def __init__(self, task: ReplyTask) -> None:
        self._task = task
        self._draft = task.draft
        self._draft.tools = self._in_flight
        self._effects = task.tools.context.effects
        self._running: list[Mapping[str, Any]] = []
        self._event: ReplyEvent | None = None
        self._phrase = ""

    async def write(self) -> None:
        """Writes the reply to its end. Raises SupersededError and StoreError."""
        async with self._draft.writing():
            tools = await self._connected()
            request = self._task.request
            for step in range(_MOST_STEPS + 1):
                may_call = step < _MOST_STEPS
                calls, extras = await self._say(request, tools, may_call=may_call)
                if not (calls and may_call) or self._draft.is_last:
                    self._break_silence(is_unfinished=bool(calls))
                    break
                said = self._draft.said
                if said:
                    await self._draft.add_item(self._item(said))
                outputs = await self._run(tools, calls)
                messages = [*request.messages, *calling(said, calls, outputs, extras)]
                request = replace(request, messages=messages, voiced="")
                if self._draft.is_last:
                    break
        last = self._item(self._draft.said) if self._draft.said else None
        await self._draft.finish(last, "agent ended" if self._draft.is_last else "")

    # ── Words ────────────────────────────────────────────────────────────────────────────────────

    async def _say(
        self, request: ChatRequest, tools: Mapping[str, DeclaredTool], *, may_call: bool
    ) -> tuple[Sequence[ToolCall], Mapping[str, Any] | None]:
        """Passes on what the model says; returns the tools that it calls, and their extras."""
        calls: list[ToolCall] = []
        extras: Mapping[str, Any] | None = None
        reply = self._task.router.stream(_offering(request, tools, may_call=may_call))
        try:
            async with aclosing(reply):
                async for chunk in reply:
                    calls += chunk.tool_calls
                    extras = chunk.extras or extras
                    if chunk.text:
                        self._draft.add(chunk.text)
                    if chunk.finish_reason and not chunk.connection:
                        self._phrase = chunk.text
        except ReplyFailedError as error:
            _logger.warning("a message in writing cannot be answered: %s", error)
            self._apologise()
        except Exception:  # a bug must not leave a visitor without an answer
            _logger.exception("a bug in a reply in writing")
            self._apologise()
        self._event = reply.event
        return ([] if self._phrase else calls[:_MOST_CALLS]), extras

    def _break_silence(self, *, is_unfinished: bool) -> None:
        """Apologises where the last step said nothing, and no earlier one did that was the end.

        `is_unfinished`: the model wants more tools, which it may not call.
        """
        has_spoken = any(item.role == "assistant" for item in self._draft.items)
        is_answered = self._draft.said or self._draft.is_last
        if not is_answered and (is_unfinished or not has_spoken):
            self._apologise()

    def _apologise(self) -> None:
        self._phrase = self._task.phrase("closing" if self._draft.said else "sorry")
        self._draft.add(f" {self._phrase}" if self._draft.said else self._phrase)

    def _item(self, text: str) -> CallItem:
        receipt = dict(receipt_of(self._event)) if self._event else {}
        if self._phrase:
            receipt[PHRASE] = self._phrase
        return self._made("assistant", text=text, receipt=receipt)

    def _made(self, role: Any, **fields: Any) -> CallItem:
        return CallItem(
            id=uuid4().hex,
            role=role,
            epoch=self._draft.call.epoch,
            created_at=utc_now(self._task.clock),
            **fields,
        )

    # ── Tools ────────────────────────────────────────────────────────────────────────────────────

    async def _connected(self) -> Mapping[str, DeclaredTool]:
        """Returns the tools by name, with those of the MCP servers that answer in time."""
        found: list[Any] = [*self._task.tools.tools]
        if self._task.servers:
            connecting = map(self._task.tools.connect, self._task.servers)
            tasks = [asyncio.create_task(each, name="tools of a server") for each in connecting]
            try:
                await asyncio.wait(tasks, timeout=_SERVERS_WITHIN)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.wait(tasks)
            for task in tasks:
                found += [] if task.cancelled() else task.result()
        plain = [tool for tool in found if isinstance(tool, DeclaredTool)]
        return {tool.id: tool for tool in distinct(plain)}

    def _in_flight(self) -> Sequence[Mapping[str, Any]]:
        """Returns the tools that may have had an effect which the conversation does not hold."""
        return [each for each in self._running if self._effects.may_change(each["name"])]

    async def _run(
        self, tools: Mapping[str, DeclaredTool], calls: Sequence[ToolCall]
    ) -> Sequence[Mapping[str, Any]]:
        """Runs the tools of one step side by side, and stores them with their outcomes."""
        # By position: some servers use the id of a call again, even in one step.
        self._running = [_asked(call) for call in calls]
        if self._in_flight():
            await self._draft.save()  # no process after this one may run them again
        outputs = await asyncio.gather(*(self._outcome(tools, call) for call in calls))
        await self._draft.add_item(self._made("tool", tool_calls=outputs))
        self._running.clear()
        return outputs

    async def _outcome(
        self, tools: Mapping[str, DeclaredTool], call: ToolCall
    ) -> Mapping[str, Any]:
        asked = _asked(call)
        try:
            async with asyncio.timeout(_TOOL_WITHIN):
                output = await _found(tools, call.name).run(json.loads(call.arguments))
        except ToolError as error:
            return {**asked, "output": error.message, "is_error": True}
        except NoReplyError:
            return {**asked, "output": "Done.", "is_error": False}
        except TimeoutError:
            return {**asked, "output": "it gave no answer in time", "is_error": True}
        except Exception as error:  # noqa: BLE001  a tool's own bug must not end the conversation
            _logger.error("tool %s failed (%s)", call.name[:64], type(error).__name__)  # noqa: TRY400  its text may hold a visitor's words
            return {**asked, "output": "it failed", "is_error": True}
        return {**asked, "output": str(output), "is_error": False}


def apology(draft: ReplyDraft, words: str, clock: Clock) -> CallItem:
    """Returns the last item of a reply that a bug has cut short: its words, and these."""
    return CallItem(
        id=uuid4().hex,
        role="assistant",
        text=f"{draft.said} {words}".strip(),
        receipt={PHRASE: words},
        epoch=draft.call.epoch,
        created_at=utc_now(clock),
    )


def _asked(call: ToolCall) -> Mapping[str, Any]:
    return {"call_id": call.id, "name": call.name, "arguments": call.arguments}


def _found(tools: Mapping[str, DeclaredTool], name: str) -> DeclaredTool:
    """Returns the tool of that name. Raises ToolError without one."""
    if name not in tools:
        raise ToolError(f"there is no tool {name[:64]!r}")
    return tools[name]


def _offering(
    request: ChatRequest, tools: Mapping[str, DeclaredTool], *, may_call: bool
) -> ChatRequest:
    """Returns the request with the tools that the model may call."""
    if not tools:
        return request
    schemas = [
        {
            "type": "function",
            "function": {
                "name": tool.id,
                "description": tool.description,
                "parameters": dict(tool.parameters),
            },
        }
        for tool in tools.values()
    ]
    return replace(request, tools=schemas, tool_choice=None if may_call else "none")
