"""Sends the reply of a stored chat: as server-sent events that can be resumed, or whole.

The id of an event is the number of characters sent until then, so a client that comes back with
`Last-Event-ID` gets what comes after them.
"""

import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing, suppress
from typing import Any

from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from llm_router.errors import RouterError
from llm_router.gateway.completions.disconnect import run_until_disconnect
from llm_router.gateway.event_stream import END, Events, EventStream, make_event, make_problem
from llm_router.gateway.schemas.chats import ChatMessageRead
from llm_router.management.chat_replies import TextStep
from llm_router.store.chat_tree import ChatMessage
from llm_router.store.chats import ReplyTask

Steps = AsyncGenerator[TextStep | ChatMessage, None]


def reply_events(steps: Steps, task: ReplyTask | None = None) -> EventStream:
    """Returns a reply as events: `question`, where there is one, `text` as it comes, `end`.

    A client that leaves ends this answer, not the reply.
    """
    return EventStream(_events(steps, task), steps)


async def _events(steps: Steps, task: ReplyTask | None) -> Events:
    if task:
        yield _event("0", "question", _begun(task))
    try:
        async for step in steps:
            if isinstance(step, TextStep):
                yield _event(str(step.read), "text", {"text": step.text})
            else:
                reply = ChatMessageRead.of(step).model_dump(mode="json")
                left_out = {"content", "siblings"}
                yield _event(END, END, {n: v for n, v in reply.items() if n not in left_out})
    except RouterError as error:
        yield make_problem(error)


class WholeReply(Response):
    """A reply in one piece, with the message that it answers."""

    def __init__(self, steps: Steps, task: ReplyTask) -> None:
        super().__init__()
        self._steps = steps
        self._task = task

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with suppress(ClientDisconnect):
            body = await run_until_disconnect(self._whole(), receive)
            await JSONResponse(body, 201)(scope, receive, send)

    async def _whole(self) -> Mapping[str, Any]:
        reply = self._task.reply
        async with aclosing(self._steps):
            async for step in self._steps:
                if isinstance(step, ChatMessage):
                    reply = step
        return {
            "message": ChatMessageRead.of(self._task.question).model_dump(mode="json"),
            "reply": ChatMessageRead.of(reply).model_dump(mode="json"),
        }


def _begun(task: ReplyTask) -> Mapping[str, Any]:
    return {
        "message": task.question.number,
        "parent": task.question.parent,
        "reply": task.reply.number,
        "title": task.chat.title,
    }


def _event(event_id: str, name: str, data: Mapping[str, Any]) -> str:
    return make_event(event_id, name, json.dumps(data))
