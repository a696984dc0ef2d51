"""Sends the answer of a connection to the client of a request that was passed on."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, aclosing, suppress

from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from llm_router.errors import BrokenStreamError, ReplyFailedError
from llm_router.gateway.completions.disconnect import run_until_disconnect
from llm_router.gateway.completions.problems import failed
from llm_router.gateway.completions.response import identified, reply_headers
from llm_router.routing.forwarding import Forwarding

_logger = logging.getLogger("llm_router")

_JSON = "application/json"
_EVENTS = "text/event-stream"
_SHOWN = (_JSON, _EVENTS, "text/plain", "text/vtt", "application/x-subrip", "audio/")
_UNKNOWN = "application/octet-stream"
_TAKEN_WITHIN = 60.0
"""Seconds that a client may take to make room for the next piece."""


class ForwardedResponse(Response):
    """An answer that is sent on as it comes, from its first byte.

    Until then an error is an HTTP status. An answer that breaks off later ends without its end, so
    that the client's HTTP library reports it. When the client leaves, or takes no piece for a
    minute, the server's connection is closed, and no failure is counted for it.
    """

    def __init__(
        self, opening: Callable[[], Awaitable[Forwarding]], place: AbstractContextManager[None]
    ) -> None:
        """Calls `opening`, which reads the request, once it has taken its `place`."""
        super().__init__()
        self._opening = opening
        self._place = place

    async def __call__(self, _: Scope, receive: Receive, send: Send) -> None:
        with self._place, suppress(ClientDisconnect):
            forwarding = await self._opening()
            await run_until_disconnect(_answer(forwarding, send), receive)


async def _answer(forwarding: Forwarding, send: Send) -> None:
    request_id = f"req_{forwarding.id}"
    try:
        async with forwarding as answer:
            headers = {
                "content-type": shown_type(answer.content_type),
                "cache-control": "no-store",
                "x-request-id": request_id,
                **reply_headers(answer.event),
            }
            raw = [(name.encode(), value.encode()) for name, value in headers.items()]
            await send({"type": "http.response.start", "status": 200, "headers": raw})
            async with aclosing(answer.pieces()) as pieces:
                async for piece in pieces:
                    await _give(send, piece, more_body=True)
        await _give(send, b"", more_body=False)
    except ReplyFailedError:
        raise identified(failed(forwarding.event), request_id) from None
    except BrokenStreamError:
        _logger.warning("request %s: its answer broke off", request_id)
    except TimeoutError:
        _logger.info("request %s: its client did not read on", request_id)


async def _give(send: Send, piece: bytes, *, more_body: bool) -> None:
    """Sends a piece. Raises TimeoutError where the client makes no room for it."""
    async with asyncio.timeout(_TAKEN_WITHIN):
        await send({"type": "http.response.body", "body": piece, "more_body": more_body})


def shown_type(given: str) -> str:
    """Returns the content type to answer with: no server may have a browser run its answer."""
    kind = given.partition(";")[0].strip().lower()
    return given if kind.startswith(_SHOWN) else _UNKNOWN
