"""What is answered: chunks out of a chat-completions stream, in all the ways servers write it."""

import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from llm_router.errors import BrokenStreamError, StatusError
from llm_router.providers._wire.sse import LIMIT, Event, EventParser, TagSplitter
from llm_router.types import Chunk, Message, ToolCall, Usage

_DETAIL_LENGTH, _CODE_LENGTH = 500, 60
_decode = json.JSONDecoder().raw_decode
"""`json.loads` without its search for white space on both sides, a quarter of its time."""
_CUT_SHORT = frozenset({"length", "content_filter"})


class Reply:
    """One answer, from its bytes.

    Words and reasoning are given out as they come. Everything that is only true of the whole (the
    finish reason, the usage, the tool calls) is in the last chunk, which `close` gives: some
    servers write a finish reason into every event.
    Raises BrokenStreamError for what makes no sense, StatusError for an error told in the answer.
    """

    def __init__(self, taken_ids: Iterable[str] = ()) -> None:
        self.finish_reason = ""
        self.is_done = False
        """Whether the server has said that nothing more comes."""
        self._usage: Usage | None = None
        self._calls = ToolCalls(taken_ids)
        self._events = EventParser()
        self._thoughts = TagSplitter("think")
        self._body: bytearray | None = None  # of an answer that is no stream
        self._begun = False
        self._half = ""

    def feed(self, data: bytes) -> list[Chunk]:
        """What `data` brings to say or to think; often nothing."""
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
        """The rest, with the last chunk. Call it when the answer has ended."""
        if self._body is None:
            chunks = self._chunks(self._events.close())
        else:
            chunks = self._chunks([Event("", self._body.decode(errors="replace"))])
        if not self.finish_reason:
            raise BrokenStreamError("the answer ended without a finish reason")
        words, reasoning = self._thoughts.close()
        calls = self._calls.close(self.finish_reason)
        chunks.append(Chunk(words, reasoning, calls, self.finish_reason, self._usage))
        return chunks

    def _begin(self, data: bytes) -> None:
        """Tell a stream from a plain answer by its first byte: content types are not reliable."""
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
            said, end = _decode(data)
        except (ValueError, RecursionError) as error:
            raise BrokenStreamError("the answer holds an event that is not JSON") from error
        if isinstance(said, list) and len(said) == 1:
            said = said[0]
        if not isinstance(said, dict) or end < len(data):
            raise BrokenStreamError("the answer holds an event that is not a JSON object")
        if said.get("error") or said.get("object") == "error" or event.name == "error":
            raise status_error(0, said)
        if "usage" in said or "x_groq" in said:
            self._note_usage(said)
        choices = said.get("choices")
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
        text, thought = _parts(delta.get("content"))
        if "reasoning_content" in delta or "reasoning" in delta:
            thought += _text(delta.get("reasoning_content")) or _text(delta.get("reasoning"))
        if text:
            if self._half or _is_half(text[-1]):
                text = self._whole(text)
            text, more = self._thoughts.feed(text)
            thought += more
        return Chunk(text, thought) if text or thought else None

    def _whole(self, text: str) -> str:
        """Characters that a server cut in half (JSON escapes them as two) put together again."""
        text, self._half = self._half + text, ""
        if _is_half(text[-1]):
            text, self._half = text[:-1], text[-1]
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")

    def _note_usage(self, said: dict[str, Any]) -> None:
        usage = said.get("usage")
        if not usage and isinstance(groq := said.get("x_groq"), dict):
            usage = groq.get("usage")
        if isinstance(usage, dict):
            details = usage.get("prompt_tokens_details")
            cached = details.get("cached_tokens") if isinstance(details, dict) else None
            self._usage = Usage(
                _count(usage.get("prompt_tokens")),
                _count(usage.get("completion_tokens")),
                _count(cached or usage.get("prompt_cache_hit_tokens")),
            )


class ToolCalls:
    """Calls put together from their pieces, and given out only when all of them are whole."""

    def __init__(self, taken_ids: Iterable[str]) -> None:
        self._taken = set(taken_ids)
        self._calls: list[_Call] = []
        self._at: dict[int, _Call] = {}
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
            call = self._at.get(index)
        else:
            call = self._calls[-1] if self._calls else None
        if call is None or call.is_followed_by(call_id, name, _text(arguments)):
            call = _Call()
            self._calls.append(call)
            if isinstance(index, int):
                self._at[index] = call
        call.id = call.id or call_id
        call.name = call.name or name
        call.arguments += _text(arguments)

    def close(self, finish_reason: str) -> tuple[ToolCall, ...]:
        if self._calls and finish_reason in _CUT_SHORT:
            raise BrokenStreamError(f"the answer ended inside a tool call ({finish_reason})")
        if finish_reason == "tool_calls" and not self._calls:
            raise BrokenStreamError("the answer ends in a tool call that it does not hold")
        return tuple(self._whole(call) for call in self._calls)

    def _whole(self, call: "_Call") -> ToolCall:
        arguments = call.arguments.strip()
        if arguments in {"", "null"}:
            arguments = "{}"
        if not call.name or not _is_object(arguments):
            raise BrokenStreamError("the answer holds a tool call that is cut or not JSON")
        return ToolCall(self._unique(call.id), call.name, arguments)

    def _unique(self, wanted: str) -> str:
        """An id no other call of the conversation has; some servers begin at call_0 every time."""
        unique, number = wanted, 0
        while not unique or unique in self._taken:
            number += 1
            unique = f"{wanted or 'call'}_{number}"
        self._taken.add(unique)
        return unique


class _Call:
    def __init__(self) -> None:
        self.id, self.name, self.arguments = "", "", ""

    def is_followed_by(self, call_id: str, name: str, arguments: str) -> bool:
        """Whether a piece that came to this call's place begins another one.

        Servers that send calls whole may give all of them one index, or none; others repeat the
        name, or invent a new id, for every piece of one call.
        """
        if not name or (call_id and call_id == self.id):
            return False
        if call_id and self.id:
            return True
        return arguments.lstrip().startswith("{") and _is_object(self.arguments)


def taken_call_ids(messages: Sequence[Message]) -> set[str]:
    """The ids that calls of this conversation already have."""
    calls = (call for message in messages for call in message.get("tool_calls") or ())
    return {str(call.get("id")) for call in calls}


def status_error(status: int, said: Any, headers: Mapping[str, str] | None = None) -> StatusError:
    """The error a server tells of, in any of the usual shapes; `said` is JSON or plain text."""
    if isinstance(said, list) and said:
        said = said[0]
    error = said.get("error", said) if isinstance(said, dict) else said
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
    """A code as it may be shown: one word, so that no sentence of anybody's is in an error."""
    text = str(value) if isinstance(value, str | int) else ""
    return text if len(text) <= _CODE_LENGTH and not any(c.isspace() for c in text) else ""


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds from now, by the server's own clock where it gives one."""
    value = headers.get("retry-after", "").strip()
    with suppress(ValueError):
        seconds = float(value)
        return seconds if 0 <= seconds < float("inf") else 0.0
    try:
        until = parsedate_to_datetime(value)
        now = parsedate_to_datetime(headers["date"]) if "date" in headers else datetime.now(UTC)
        return max(0.0, (until - now).total_seconds())
    except (ValueError, TypeError):
        return None


def _is_half(character: str) -> bool:
    return "\ud800" <= character <= "\udbff"


def _parts(content: Any) -> tuple[str, str]:
    """Text and thoughts of a content that may also be a list of typed parts (Mistral)."""
    if isinstance(content, str):
        return content, ""
    text, thought = "", ""
    for part in content if isinstance(content, list) else ():
        if isinstance(part, dict) and part.get("type") == "thinking":
            inner = part.get("thinking")
            thought += inner if isinstance(inner, str) else _parts(inner)[0]
        elif isinstance(part, dict):
            text += _text(part.get("text"))
    return text, thought


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _count(value: Any) -> int:
    return value if isinstance(value, int) else 0


def _is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False
