"""Parses Ollama's replies: one JSON object a line."""

import json
from collections.abc import Iterable
from typing import Any

from llm_router.errors import BrokenStreamError
from llm_router.providers._wire.errors import status_error
from llm_router.providers._wire.sse import LIMIT, TagSplitter
from llm_router.providers._wire.tool_calls import ToolCallAssembler
from llm_router.providers._wire.tools import OfferedTools
from llm_router.types import Chunk, Usage


class JsonLines:
    """Parses lines of JSON objects from bytes that may be split anywhere, even in a character.

    Raises BrokenStreamError for a line that is too long or holds no JSON object.
    """

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[dict[str, Any]]:
        """Returns the objects whose lines `data` completes."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > LIMIT:
            raise BrokenStreamError(f"the answer holds a line of more than {LIMIT} bytes")
        return [_object(line) for line in lines if line.strip()]

    def close(self) -> list[dict[str, Any]]:
        """Returns the object, if any, whose line only the end of the reply completes."""
        line, self._rest = self._rest, b""
        return [_object(line)] if line.strip() else []


class OllamaReplyParser:
    """Parses one reply of /api/chat or /api/generate from its bytes.

    Text and reasoning are returned as they arrive; the tool calls, the finish reason and the usage
    come in the last chunk, which `close` returns. Raises BrokenStreamError for malformed data,
    StatusError for an error inside the reply.
    """

    def __init__(self, tools: OfferedTools, known_ids: Iterable[str] = ()) -> None:
        self.is_done = False
        """Whether the server has announced the end of the reply."""
        self._finish_reason = ""
        self._usage: Usage | None = None
        self._lines = JsonLines()
        self._calls = ToolCallAssembler(tools, known_ids)
        self._reasoning_tags = TagSplitter("think")

    def feed(self, data: bytes) -> list[Chunk]:
        """Returns the chunks of text and reasoning that `data` completes; often none."""
        return self._chunks(self._lines.feed(data))

    def close(self) -> list[Chunk]:
        """Returns the remaining chunks, with the last one. Call it when the reply has ended."""
        chunks = self._chunks(self._lines.close())
        if not self._finish_reason:
            raise BrokenStreamError("the answer ended without a finish reason")
        text, reasoning = self._reasoning_tags.close()
        calls = self._calls.close(self._finish_reason)
        reason = "tool_calls" if calls else self._finish_reason
        chunks.append(Chunk(text, reasoning, calls, reason, self._usage))
        return chunks

    def _chunks(self, payload: Iterable[dict[str, Any]]) -> list[Chunk]:
        return [chunk for line in payload if not self.is_done and (chunk := self._chunk(line))]

    def _chunk(self, payload: dict[str, Any]) -> Chunk | None:
        if "error" in payload:
            raise status_error(0, payload)
        if payload.get("done"):
            self.is_done = True
            self._finish_reason = str(payload.get("done_reason") or "")
            counts = (payload.get("prompt_eval_count"), payload.get("eval_count"))
            self._usage = Usage(*(n if isinstance(n, int) else 0 for n in counts))
        message = payload.get("message")
        if not isinstance(message, dict):  # /api/generate has no message around its words
            message = {"content": payload.get("response"), "thinking": payload.get("thinking")}
        if calls := message.get("tool_calls"):
            self._calls.add(calls)
        text, reasoning = message.get("content") or "", message.get("thinking") or ""
        if not (isinstance(text, str) and isinstance(reasoning, str)):
            raise BrokenStreamError("the answer holds words that are no text")
        if text:
            text, more = self._reasoning_tags.feed(text)
            reasoning += more
        return Chunk(text, reasoning) if text or reasoning else None


def _object(line: bytes) -> dict[str, Any]:
    try:
        payload = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise BrokenStreamError("the answer holds a line that is not JSON") from error
    if not isinstance(payload, dict):
        raise BrokenStreamError("the answer holds a line that is not a JSON object")
    return payload
