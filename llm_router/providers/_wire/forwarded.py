"""Reads an answer that is passed on as it is, and the tokens that its server counts in it."""

import json
import re
from collections.abc import AsyncGenerator
from contextlib import aclosing

import httpx2

from llm_router.net.bodies import body_pieces
from llm_router.providers._wire.reply import usage_of
from llm_router.providers._wire.transport_errors import broken
from llm_router.providers.base import ForwardedAnswer
from llm_router.types import Usage

_LIMIT = 1 << 27
"""Bytes of an answer: two thousand embeddings of three thousand dimensions, as JSON."""
_WINDOW = 1 << 11
"""Bytes at the beginning and at the end of an answer in which its usage is looked for: what lies
between is not parsed, which would hold up other requests."""
_USAGE = re.compile(r'"usage"\s*:\s*(\{[^{}]*(?:\{[^{}]*\}[^{}]*)*\})')


def forwarded(response: httpx2.Response) -> ForwardedAnswer:
    """Returns the response as an answer to pass on."""
    content_type = response.headers.get("content-type", "")
    answer = ForwardedAnswer(content_type, _none())
    answer.pieces = _pieces(response, answer)
    return answer


async def _none() -> AsyncGenerator[bytes, None]:
    return
    yield b""


async def _pieces(
    response: httpx2.Response, answer: ForwardedAnswer
) -> AsyncGenerator[bytes, None]:
    start = end = b""
    try:
        async with aclosing(body_pieces(response, _LIMIT)) as pieces:
            async for piece in pieces:
                if len(start) < _WINDOW:
                    start += piece[:_WINDOW]
                end = (end + piece)[-_WINDOW:]
                yield piece
    except (httpx2.HTTPError, OSError) as error:
        raise broken(error) from error
    if "json" in answer.content_type or "event-stream" in answer.content_type:
        answer.usage = counted_in(end) or counted_in(start)


def counted_in(part: bytes) -> Usage | None:
    """Returns the token counts that a part of an answer holds, under any of OpenAI's names."""
    found = _USAGE.findall(part.decode(errors="replace"))
    if not found:
        return None
    try:
        usage = json.loads(found[-1])
    except ValueError:
        return None
    names = {"input_tokens": "prompt_tokens", "output_tokens": "completion_tokens"}
    counted = usage_of({names.get(name, name): value for name, value in usage.items()})
    return counted if counted.prompt_tokens or counted.completion_tokens else None
