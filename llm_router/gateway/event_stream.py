"""Sends server-sent events that can be resumed, as they come."""

import json
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from typing import Any

from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from llm_router.errors import RouterError
from llm_router.gateway.completions.disconnect import run_until_disconnect
from llm_router.gateway.completions.response import STREAM_HEADERS
from llm_router.gateway.errors import problem_of

END = "end"
"""The id of the last event of a stream that has an end."""
Events = AsyncGenerator[str, None]


class EventStream(Response):
    """Events as they come. A client that leaves ends them, and their `source` if they have one."""

    def __init__(self, events: Events, source: AsyncGenerator[Any, None] | None = None) -> None:
        super().__init__()
        self._events = events
        self._source = source or events

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002  ASGI's own arguments
        with suppress(ClientDisconnect):
            await run_until_disconnect(self._answer(send), receive)

    async def _answer(self, send: Send) -> None:
        raw = [(name.lower().encode(), value.encode()) for name, value in STREAM_HEADERS.items()]
        await send({"type": "http.response.start", "status": 200, "headers": raw})
        async with aclosing(self._source), aclosing(self._events) as events:
            async for event in events:
                body = event.encode()
                await send({"type": "http.response.body", "body": body, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def make_event(event_id: str, name: str, data: str) -> str:
    """Returns an event whose data is this JSON."""
    return f"id: {event_id}\nevent: {name}\ndata: {data}\n\n"


def make_problem(error: RouterError) -> str:
    """Returns the event that says why a stream breaks off."""
    return f"event: error\ndata: {json.dumps({'detail': problem_of(error).detail})}\n\n"
