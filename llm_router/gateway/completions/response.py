"""Sends a reply of the router to a client: as a stream, or whole."""

import logging
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from llm_router.catalog.prices import estimate_usage
from llm_router.clock import Clock
from llm_router.errors import ReplyFailedError
from llm_router.gateway.completions.accounts import milliseconds, receipt_of, usage_of
from llm_router.gateway.completions.call import Call, Ending, Head, WholeReply
from llm_router.gateway.completions.disconnect import run_until_disconnect
from llm_router.gateway.completions.places import ReplyPlaces
from llm_router.gateway.completions.problems import broken_off, failed
from llm_router.gateway.errors import Problem, internal_error
from llm_router.routing.events import ReplyEvent
from llm_router.routing.reply import Reply
from llm_router.routing.router import Router
from llm_router.types import Chunk, Usage

_logger = logging.getLogger("llm_router")

REPLY_HEADERS = (
    "x-request-id",
    "x-patchbay-connection",
    "x-patchbay-model",
    "x-patchbay-attempts",
    "x-patchbay-first-word-ms",
)
"""Headers of an answer that say who gave it; pages of other sites may read them (CORS)."""
STREAM_HEADERS = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-cache",
    "X-Accel-Buffering": "no",
}


class ReplyResponse(Response):
    """A reply as an answer to an HTTP request, in the form that its call asks for.

    The answer begins when the first word is here, so that a reply without one is an HTTP status;
    one that breaks off later ends in an error frame. When the client leaves, whichever form it
    asked for, the reply is closed at once, and with it every stream behind it.
    """

    def __init__(
        self,
        call: Call,
        router: Router,
        *,
        places: ReplyPlaces,
        key_id: str,
        size: int,
        clock: Clock,
    ) -> None:
        super().__init__()
        self._call = call
        self._router = router
        self._places = places
        self._key_id = key_id
        self._size = size
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def answer() -> None:
            await self._answer(scope, receive, send)

        with self._places.taken(self._key_id, self._size), suppress(ClientDisconnect):
            await run_until_disconnect(answer(), receive)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        reply = self._router.stream(self._call.request)
        request_id = f"req_{reply.id}"
        async with aclosing(reply):
            try:
                chunks = aiter(reply)
                answered = _Answered(reply, chunks, await anext(chunks), request_id)
                begun = answered.event_at_start
                _logger.info("reply %s comes from %s", request_id, begun.connection)
                if self._call.is_streamed:
                    await self._send_stream(answered, send)
                    return
                body = await self._whole(answered)
            except ReplyFailedError:
                raise identified(failed(reply.event), request_id) from None
            except Problem as problem:
                raise identified(problem, request_id) from None
        headers = self._reply_headers(answered)
        await JSONResponse(body, headers=headers)(scope, receive, send)

    def _head(self, answered: "_Answered") -> Head:
        event = answered.event_at_start
        return Head(
            id=answered.reply.id,
            created=int(self._clock.wall()),
            model=event.model or event.connection,
            prompt_tokens=estimate_usage(event.prompt_characters, 0).prompt_tokens,
        )

    def _reply_headers(self, answered: "_Answered") -> dict[str, str]:
        names = dict.fromkeys(self._call.form.id_headers, answered.request_id)
        return {**names, **reply_headers(answered.event_at_start)}

    def _ending(self, answered: "_Answered") -> Ending:
        event = answered.reply.event
        return Ending(
            ended=int(self._clock.wall()),
            usage=usage_of(event, answered.usage),
            receipt=receipt_of(event) if self._call.include_receipt else None,
        )

    async def _send_stream(self, answered: "_Answered", send: Send) -> None:
        headers = {**STREAM_HEADERS, **self._reply_headers(answered)}
        raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": 200, "headers": raw})
        async with aclosing(self._frames(answered)) as frames:
            async for data in frames:
                await send({"type": "http.response.body", "body": data, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _frames(self, answered: "_Answered") -> AsyncGenerator[bytes, None]:
        """Yields the frames of the chunks that are here together. Raises nothing once begun.

        Chunks that one read of the server brought are one write to the client.
        """
        writer = self._call.form.writer(self._head(answered))
        yield (writer.opening() + writer.of(answered.first)).encode()
        data = ""
        try:
            async for chunk in answered.rest():
                data += writer.of(chunk)
                if data and not answered.reply.has_more:
                    yield data.encode()
                    data = ""
            last = writer.ending(self._ending(answered))
        except Problem as problem:
            last = writer.error(identified(problem, answered.request_id))
        except Exception:  # the edge: a client must learn of any fault, also of one of our own
            _logger.exception("a bug in reply %s", answered.request_id)
            last = writer.error(identified(internal_error(), answered.request_id))
        yield (data + last).encode()

    async def _whole(self, answered: "_Answered") -> Mapping[str, Any]:
        chunks = [answered.first, *[chunk async for chunk in answered.rest()]]
        ending = self._ending(answered)
        is_known = all(chunk.logprobs or not chunk.text for chunk in chunks)
        reply = WholeReply(
            text="".join(chunk.text for chunk in chunks),
            calls=[call for chunk in chunks for call in chunk.tool_calls],
            reason=next((c.finish_reason for c in chunks if c.finish_reason), "stop"),
            ending=ending,
            logprobs=[one for chunk in chunks for one in chunk.logprobs] if is_known else (),
            stop_sequence=next((c.stop_sequence for c in chunks if c.stop_sequence), ""),
        )
        body = self._call.form.whole(self._head(answered), reply)
        return {**body, "patchbay": ending.receipt} if ending.receipt else body


@dataclass
class _Answered:
    """A reply whose first useful chunk is here."""

    reply: Reply
    chunks: AsyncIterator[Chunk]
    first: Chunk
    request_id: str
    usage: Usage | None = None
    event_at_start: ReplyEvent = field(init=False)

    def __post_init__(self) -> None:
        self.event_at_start = self.reply.event
        self.usage = self.first.usage

    async def rest(self) -> AsyncIterator[Chunk]:
        """Yields the chunks after the first. Raises ChatProblem for a reply that broke off.

        The router ends such a reply with a phrase of its own, for a voice; a text must not have it.
        """
        async for chunk in self.chunks:
            if chunk.finish_reason and not chunk.connection:
                raise broken_off(self.reply.event)
            self.usage = chunk.usage or self.usage
            yield chunk


def reply_headers(event: ReplyEvent) -> dict[str, str]:
    """Returns the headers that say who answered, as it was known at the first word."""
    headers = {
        "x-patchbay-connection": quote(event.connection, safe=_SHOWN),
        "x-patchbay-attempts": str(event.attempts),
    }
    if event.model:
        headers["x-patchbay-model"] = quote(event.model, safe=_SHOWN)
    if event.first_word is not None:
        headers["x-patchbay-first-word-ms"] = str(milliseconds(event.first_word))
    return headers


_SHOWN = " !#$&'()*+,/:;=?@[]"
"""Characters of a name that a header shows as they are; others are percent-encoded."""


def identified(problem: Problem, request_id: str) -> Problem:
    """Logs the code alone, as the router has logged each connection with its failure."""
    _logger.warning("reply %s failed: %s", request_id, problem.kind)
    problem.headers = {**(problem.headers or {}), "x-request-id": request_id}
    return problem
