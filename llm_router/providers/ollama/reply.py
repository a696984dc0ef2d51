"""Parses Ollama's replies: one JSON object a line."""

from collections.abc import Iterable, Iterator
from typing import Any

from llm_router.errors import BrokenStreamError
from llm_router.providers._wire import limits
from llm_router.providers._wire.characters import decode
from llm_router.providers._wire.errors import status_error
from llm_router.providers._wire.json_objects import DONE, read_objects
from llm_router.providers._wire.machine_text import MachineTextFilter
from llm_router.providers._wire.reply_parser import ReplyParser, nested_too_deep
from llm_router.providers._wire.tools import OfferedTools
from llm_router.types import Chunk, Usage


class JsonLines:
    """Parses lines of JSON objects from bytes that may be split anywhere, even in a character.

    A line may hold several. Raises BrokenStreamError for a line that is too long or not JSON.
    """

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, data: bytes) -> Iterator[dict[str, Any]]:
        """Yields the objects whose lines `data` completes."""
        lines = data.replace(b"\r", b"\n").split(b"\n")
        last = lines.pop()
        if lines:
            lines[0] = bytes(self._rest) + lines[0]
            self._rest.clear()
        self._rest += last
        if max((len(self._rest), *map(len, lines))) > limits.EVENT:
            raise BrokenStreamError(f"the answer holds a line of more than {limits.EVENT} bytes")
        return (one for line in lines if line for one in _objects(line))

    def close(self) -> Iterator[dict[str, Any]]:
        """Yields the objects whose line only the end of the reply completes."""
        line = bytes(self._rest)
        self._rest.clear()
        return _objects(line)


class OllamaReplyParser(ReplyParser):
    """Parses one reply of /api/chat or /api/generate."""

    def __init__(
        self,
        tools: OfferedTools,
        known_ids: Iterable[str] = (),
        machine_text: MachineTextFilter | None = None,
    ) -> None:
        super().__init__(tools, known_ids, machine_text=machine_text)
        self._lines = JsonLines()

    def feed(self, data: bytes) -> Iterator[Chunk]:
        return iter(()) if self.ending.is_done else self._chunks(self._lines.feed(data))

    def _flush(self) -> Iterator[Chunk]:
        return iter(()) if self.ending.is_done else self._chunks(self._lines.close())

    def _chunks(self, payloads: Iterable[dict[str, Any]]) -> Iterator[Chunk]:
        for payload in payloads:
            if self.ending.is_done:
                return
            try:
                chunk = self._chunk(payload)
            except RecursionError as error:
                raise nested_too_deep() from error
            if chunk is not None:
                yield chunk
        yield from self._announce_call()

    def _chunk(self, payload: dict[str, Any]) -> Chunk | None:
        if "error" in payload:
            raise status_error(0, payload)
        message = payload.get("message")
        if not isinstance(message, dict):  # /api/generate has no message around its words
            message = {"content": payload.get("response"), "thinking": payload.get("thinking")}
        if calls := message.get("tool_calls"):
            self._add_calls(calls)
        text, reasoning = message.get("content") or "", message.get("thinking") or ""
        if not (isinstance(text, str) and isinstance(reasoning, str)):
            raise BrokenStreamError("the answer holds words that are no text")
        reason = payload.get("done_reason")
        if text or reasoning:
            text, reasoning = self._joined(text, reasoning)
            text = self._said.add(text, is_last=bool(reason))
        if reason or self.ending.has_reason:
            self.ending.note(reason, has_words=bool(text or calls))
        if payload.get("done"):
            self.ending.is_done = True
            counts = (payload.get("prompt_eval_count"), payload.get("eval_count"))
            self._usage = Usage(*(n if isinstance(n, int) else 0 for n in counts))
        return Chunk(text, reasoning) if text or reasoning else None


def _objects(line: bytes) -> Iterator[dict[str, Any]]:
    for payload in read_objects(decode(line.replace(b"\0", b"")).strip()):
        if payload == DONE:
            continue
        if not isinstance(payload, dict):
            raise BrokenStreamError("the answer holds a line that is not a JSON object")
        yield payload
