"""Parses chat-completions replies, in the variants that servers write."""

import json
from collections.abc import Iterable
from typing import Any

from llm_router.errors import BrokenStreamError
from llm_router.providers._wire.errors import status_error
from llm_router.providers._wire.sse import LIMIT, Event, EventParser, TagSplitter
from llm_router.providers._wire.tool_calls import ToolCallAssembler
from llm_router.providers._wire.tools import OfferedTools
from llm_router.types import Chunk, Usage

_decode = json.JSONDecoder().raw_decode
"""Decodes like `json.loads`, without its search for white space, a quarter of its time."""


class ChatReplyParser:
    """Parses one reply, streamed or not, from its bytes.

    Text and reasoning are returned as they arrive. The finish reason, the usage and the tool calls
    hold for the whole reply and come in the last chunk, which `close` returns: some servers write
    a finish reason into every event.
    Raises BrokenStreamError for malformed data, StatusError for an error inside the reply.
    """

    def __init__(self, tools: OfferedTools, known_ids: Iterable[str] = ()) -> None:
        self.finish_reason = ""
        self.is_done = False
        """Whether the server has announced the end of the reply."""
        self._usage: Usage | None = None
        self._calls = ToolCallAssembler(tools, known_ids)
        self._events = EventParser()
        self._reasoning_tags = TagSplitter("think")
        self._body: bytearray | None = None  # of a reply that is not streamed
        self._begun = False
        self._high_surrogate = ""

    def feed(self, data: bytes) -> list[Chunk]:
        """Returns the chunks of text and reasoning that `data` completes; often none."""
        if not self._begun:
            data = data.lstrip()
            self._begin(data)
        if self._body is not None:
            self._body += data
            if len(self._body) > LIMIT:
                raise BrokenStreamError(f"the answer is JSON of more than {LIMIT} bytes")
            return []
        return self._chunks(self._events.feed(data))

    def close(self) -> list[Chunk]:
        """Returns the remaining chunks, with the last one. Call it when the reply has ended."""
        if self._body is None:
            chunks = self._chunks(self._events.close())
        else:
            chunks = self._chunks([Event("", self._body.decode(errors="replace"))])
        if not self.finish_reason:
            raise BrokenStreamError("the answer ended without a finish reason")
        text, reasoning = self._reasoning_tags.close()
        calls = self._calls.close(self.finish_reason)
        chunks.append(Chunk(text, reasoning, calls, self.finish_reason, self._usage))
        return chunks

    def _begin(self, data: bytes) -> None:
        """Tells a stream from plain JSON by the first byte: content types are not reliable."""
        self._begun = bool(data)
        if data.startswith(b"<"):
            raise BrokenStreamError("the answer is a web page; does base_url lead to the API?")
        if data.startswith((b"{", b"[")):
            self._body = bytearray()

    def _chunks(self, events: Iterable[Event]) -> list[Chunk]:
        return [chunk for event in events if (chunk := self._chunk(event)) is not None]

    def _chunk(self, event: Event) -> Chunk | None:
        data = event.data.strip()
        if data == "[DONE]":
            self.is_done = True
        if self.is_done or not data:
            return None
        try:
            payload, end = _decode(data)
        except (ValueError, RecursionError) as error:
            raise BrokenStreamError("the answer holds an event that is not JSON") from error
        if isinstance(payload, list) and len(payload) == 1:
            payload = payload[0]
        if not isinstance(payload, dict) or end < len(data):
            raise BrokenStreamError("the answer holds an event that is not a JSON object")
        if payload.get("error") or payload.get("object") == "error" or event.name == "error":
            raise status_error(0, payload)
        if "usage" in payload or "x_groq" in payload:
            self._note_usage(payload)
        choices = payload.get("choices")
        if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
            return None
        return self._choice(choices[0])

    def _choice(self, choice: dict[str, Any]) -> Chunk | None:
        if reason := choice.get("finish_reason"):
            self.finish_reason = str(reason)
        delta = choice.get("delta") or choice.get("message")
        if not isinstance(delta, dict):
            return None
        if calls := delta.get("tool_calls"):
            self._calls.add(calls)
        if call := delta.get("function_call"):  # how calls were written before tools
            self._calls.add({"function": call})
        text, reasoning = _parts(delta.get("content"))
        if "reasoning_content" in delta or "reasoning" in delta:
            reasoning += _text(delta.get("reasoning_content")) or _text(delta.get("reasoning"))
        if text:
            if self._high_surrogate or _is_high_surrogate(text[-1]):
                text = self._whole(text)
            text, more = self._reasoning_tags.feed(text)
            reasoning += more
        return Chunk(text, reasoning) if text or reasoning else None

    def _whole(self, text: str) -> str:
        """Joins characters that a server split into two surrogates, as JSON escapes them."""
        text, self._high_surrogate = self._high_surrogate + text, ""
        if _is_high_surrogate(text[-1]):
            text, self._high_surrogate = text[:-1], text[-1]
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")

    def _note_usage(self, payload: dict[str, Any]) -> None:
        usage = payload.get("usage")
        if not usage and isinstance(groq := payload.get("x_groq"), dict):
            usage = groq.get("usage")
        if isinstance(usage, dict):
            details = usage.get("prompt_tokens_details")
            cached = details.get("cached_tokens") if isinstance(details, dict) else None
            self._usage = Usage(
                _count(usage.get("prompt_tokens")),
                _count(usage.get("completion_tokens")),
                _count(cached or usage.get("prompt_cache_hit_tokens")),
            )


def _is_high_surrogate(character: str) -> bool:
    return "\ud800" <= character <= "\udbff"


def _parts(content: Any) -> tuple[str, str]:
    """Returns text and reasoning of a content, which may be a list of typed parts (Mistral)."""
    if isinstance(content, str):
        return content, ""
    text, reasoning = "", ""
    for part in content if isinstance(content, list) else ():
        if isinstance(part, dict) and part.get("type") == "thinking":
            inner = part.get("thinking")
            reasoning += inner if isinstance(inner, str) else _parts(inner)[0]
        elif isinstance(part, dict):
            text += _text(part.get("text"))
    return text, reasoning


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _count(value: Any) -> int:
    return value if isinstance(value, int) else 0
