"""What Ollama answers: one JSON object a line."""

import json
from collections.abc import Iterable
from typing import Any

from llm_router.errors import BrokenStreamError
from llm_router.providers._wire.reply import ToolCalls, status_error
from llm_router.providers._wire.sse import LIMIT, TagSplitter
from llm_router.types import Chunk, Usage


class Lines:
    """JSON objects out of bytes that may be cut anywhere, characters included.

    Raises BrokenStreamError for a line that is too long or holds no JSON object.
    """

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[dict[str, Any]]:
        """The objects whose lines `data` completes."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > LIMIT:
            raise BrokenStreamError(f"the answer holds a line of more than {LIMIT} bytes")
        return [_object(line) for line in lines if line.strip()]

    def close(self) -> list[dict[str, Any]]:
        """The object, if any, whose line only the end of the answer completes."""
        line, self._rest = self._rest, b""
        return [_object(line)] if line.strip() else []


class Reply:
    """One answer of /api/chat or /api/generate, from its bytes.

    Words and thoughts are given out as they come; the tool calls, the finish reason and the usage
    are in the last chunk, which `close` gives. Raises BrokenStreamError for what makes no sense,
    StatusError for an error told in the answer.
    """

    def __init__(self, taken_ids: Iterable[str] = ()) -> None:
        self.is_done = False
        """Whether the server has said that nothing more comes."""
        self._finish_reason = ""
        self._usage: Usage | None = None
        self._lines = Lines()
        self._calls = ToolCalls(taken_ids)
        self._thoughts = TagSplitter("think")

    def feed(self, data: bytes) -> list[Chunk]:
        """What `data` brings to say or to think; often nothing."""
        return self._chunks(self._lines.feed(data))

    def close(self) -> list[Chunk]:
        """The rest, with the last chunk. Call it when the answer has ended."""
        chunks = self._chunks(self._lines.close())
        if not self._finish_reason:
            raise BrokenStreamError("the answer ended without a finish reason")
        words, thought = self._thoughts.close()
        calls = self._calls.close(self._finish_reason)
        reason = "tool_calls" if calls else self._finish_reason
        chunks.append(Chunk(words, thought, calls, reason, self._usage))
        return chunks

    def _chunks(self, said: Iterable[dict[str, Any]]) -> list[Chunk]:
        return [chunk for one in said if not self.is_done and (chunk := self._chunk(one))]

    def _chunk(self, said: dict[str, Any]) -> Chunk | None:
        if "error" in said:
            raise status_error(0, said)
        if said.get("done"):
            self.is_done = True
            self._finish_reason = str(said.get("done_reason") or "")
            counts = (said.get("prompt_eval_count"), said.get("eval_count"))
            self._usage = Usage(*(n if isinstance(n, int) else 0 for n in counts))
        message = said.get("message")
        if not isinstance(message, dict):  # /api/generate has no message around its words
            message = {"content": said.get("response"), "thinking": said.get("thinking")}
        if calls := message.get("tool_calls"):
            self._calls.add(calls)
        text, thought = message.get("content") or "", message.get("thinking") or ""
        if not (isinstance(text, str) and isinstance(thought, str)):
            raise BrokenStreamError("the answer holds words that are no text")
        if text:
            text, more = self._thoughts.feed(text)
            thought += more
        return Chunk(text, thought) if text or thought else None


def _object(line: bytes) -> dict[str, Any]:
    try:
        said = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise BrokenStreamError("the answer holds a line that is not JSON") from error
    if not isinstance(said, dict):
        raise BrokenStreamError("the answer holds a line that is not a JSON object")
    return said
