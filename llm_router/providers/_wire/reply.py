"""Parses chat-completions replies, in the variants that servers write, and error bodies."""

import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from email.utils import parsedate_to_datetime
from typing import Any

from llm_router.clock import utc_now
from llm_router.errors import BrokenStreamError, StatusError
from llm_router.providers._wire.sse import LIMIT, Event, EventParser, TagSplitter
from llm_router.types import Chunk, Message, ToolCall, Usage

_DETAIL_LENGTH = 500  # characters
_CODE_LENGTH = 60  # characters
_decode = json.JSONDecoder().raw_decode
"""Decodes like `json.loads`, without its search for white space, a quarter of its time."""
_CUT_SHORT = frozenset({"length", "content_filter"})


class ChatReplyParser:
    """Parses one reply, streamed or not, from its bytes.

    Text and reasoning are returned as they arrive. The finish reason, the usage and the tool calls
    hold for the whole reply and come in the last chunk, which `close` returns: some servers write
    a finish reason into every event.
    Raises BrokenStreamError for malformed data, StatusError for an error inside the reply.
    """

    def __init__(self, known_ids: Iterable[str] = ()) -> None:
        self.finish_reason = ""
        self.is_done = False
        """Whether the server has announced the end of the reply."""
        self._usage: Usage | None = None
        self._calls = ToolCallAssembler(known_ids)
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


class ToolCallAssembler:
    """Assembles tool calls from their pieces; returns them only when all are complete."""

    def __init__(self, known_ids: Iterable[str]) -> None:
        self._known_ids = set(known_ids)
        self._calls: list[_PartialCall] = []
        self._by_index: dict[int, _PartialCall] = {}
        self._size = 0

    def add(self, pieces: Any) -> None:
        if not isinstance(pieces, list):
            raise BrokenStreamError("the answer's tool_calls is not a list")
        self._size += len(str(pieces))
        if self._size > LIMIT:
            raise BrokenStreamError(f"the answer's tool calls have more than {LIMIT} bytes")
        for piece in pieces:
            function = piece.get("function") if isinstance(piece, dict) else None
            if not isinstance(function, dict):
                raise BrokenStreamError("the answer holds a tool call without a function")
            self._add(piece, function)

    def _add(self, piece: dict[str, Any], function: dict[str, Any]) -> None:
        call_id, name = _text(piece.get("id")), _text(function.get("name"))
        arguments = function.get("arguments")
        if isinstance(arguments, dict):
            arguments = json.dumps(arguments)
        index = piece.get("index")
        if isinstance(index, int):
            call = self._by_index.get(index)
        else:
            call = self._calls[-1] if self._calls else None
        if call is None or call.is_followed_by(call_id, name, _text(arguments)):
            call = _PartialCall()
            self._calls.append(call)
            if isinstance(index, int):
                self._by_index[index] = call
        call.id = call.id or call_id
        call.name = call.name or name
        call.arguments += _text(arguments)

    def close(self, finish_reason: str) -> tuple[ToolCall, ...]:
        if self._calls and finish_reason in _CUT_SHORT:
            raise BrokenStreamError(f"the answer ended inside a tool call ({finish_reason})")
        if finish_reason == "tool_calls" and not self._calls:
            raise BrokenStreamError("the answer ends in a tool call that it does not hold")
        return tuple(self._whole(call) for call in self._calls)

    def _whole(self, call: "_PartialCall") -> ToolCall:
        arguments = call.arguments.strip()
        if arguments in {"", "null"}:
            arguments = "{}"
        if not call.name or not _is_object(arguments):
            raise BrokenStreamError("the answer holds a tool call that is cut or not JSON")
        return ToolCall(self._unique(call.id), call.name, arguments)

    def _unique(self, wanted: str) -> str:
        """Returns an id that is new in the conversation: some servers restart at call_0."""
        unique, number = wanted, 0
        while not unique or unique in self._known_ids:
            number += 1
            unique = f"{wanted or 'call'}_{number}"
        self._known_ids.add(unique)
        return unique


class _PartialCall:
    def __init__(self) -> None:
        self.id = ""
        self.name = ""
        self.arguments = ""

    def is_followed_by(self, call_id: str, name: str, arguments: str) -> bool:
        """Returns whether a piece with this call's index begins another call.

        Servers that send complete calls may give all of them the same index, or none; others
        repeat the name, or make up a new id, for every piece of one call.
        """
        if not name or (call_id and call_id == self.id):
            return False
        if call_id and self.id:
            return True
        return arguments.lstrip().startswith("{") and _is_object(self.arguments)


def known_call_ids(messages: Sequence[Message]) -> set[str]:
    """Returns the ids of the tool calls in the conversation."""
    calls = (call for message in messages for call in message.get("tool_calls") or ())
    return {str(call.get("id")) for call in calls}


def status_error(
    status: int, payload: Any, headers: Mapping[str, str] | None = None
) -> StatusError:
    """Builds the error from a body in any of the usual shapes; `payload` is JSON or plain text."""
    if isinstance(payload, list) and payload:
        payload = payload[0]
    error = payload.get("error", payload) if isinstance(payload, dict) else payload
    if not isinstance(error, dict):
        error = {"message": error}
    detail = error.get("message") or error.get("detail") or ""
    return StatusError(
        status,
        code=_label(error.get("code")),
        kind=_label(error.get("type")),
        detail=(detail if isinstance(detail, str) else json.dumps(detail))[:_DETAIL_LENGTH],
        retry_after=_retry_after(headers or {}),
    )


def _label(value: Any) -> str:
    """Returns a code only if it is one short word, so that no one's sentence is in an error."""
    text = str(value) if isinstance(value, str | int) else ""
    return text if len(text) <= _CODE_LENGTH and not any(c.isspace() for c in text) else ""


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Returns the seconds to wait, by the server's own clock where the reply has a date."""
    value = headers.get("retry-after", "").strip()
    with suppress(ValueError):
        seconds = float(value)
        return seconds if 0 <= seconds < float("inf") else 0.0
    try:
        until = parsedate_to_datetime(value)
        now = parsedate_to_datetime(headers["date"]) if "date" in headers else utc_now()
        return max(0.0, (until - now).total_seconds())
    except (ValueError, TypeError):
        return None


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


def _is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False
