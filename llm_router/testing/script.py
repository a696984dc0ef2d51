"""Scripts for the faulty server: the reply to one request, its timing and its fault."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from llm_router.types import ToolCall

_ERRORS: Mapping[int, tuple[str, str, str]] = {
    400: ("context_length_exceeded", "invalid_request_error", "maximum context length is 2048"),
    401: ("invalid_api_key", "invalid_request_error", "Incorrect API key provided"),
    402: ("insufficient_quota", "insufficient_quota", "You exceeded your current quota"),
    404: ("model_not_found", "invalid_request_error", "The model does not exist"),
    429: ("rate_limit_exceeded", "rate_limit_error", "Rate limit reached"),
    500: ("internal_error", "server_error", "The server had an error"),
    503: ("overloaded", "server_error", "The engine is overloaded"),
    529: ("overloaded", "overloaded_error", "Overloaded"),
}
_UNNAMED = ("error", "server_error", "Something went wrong")
_LOOKUP = ToolCall("call_0", "lookup", '{"query": "opening hours"}')


class Fault(StrEnum):
    """Ways in which a reply fails.

    `RESET_AFTER`, `STALL_AFTER`, `ERROR_EVENT` and `GARBAGE_LINE` strike after the script's
    `after` words.
    """

    NONE = "none"
    REFUSE = "refuse"  # the port is closed; where only some requests refuse, those are reset
    HANG_BEFORE_HEADERS = "hang_before_headers"
    HEADERS_THEN_NOTHING = "headers_then_nothing"
    ROLE_ONLY = "role_only"
    KEEP_ALIVES_ONLY = "keep_alives_only"
    REASONING_ENDLESS = "reasoning_endless"
    STATUS = "status"  # answers with the HTTP status `status` and OpenAI's error for it
    RESET_BEFORE_WORD = "reset_before_word"
    RESET_AFTER = "reset_after"
    STALL_AFTER = "stall_after"
    DRIP = "drip"  # sends one word a second
    ERROR_EVENT = "error_event"  # sends an error inside a stream whose status was 200
    GARBAGE_LINE = "garbage_line"
    SPLIT_UTF8 = "split_utf8"  # not a failure: cuts every multi-byte character between two chunks
    NO_FINISH_REASON = "no_finish_reason"  # ends in mid-reply as if it were whole
    EMPTY = "empty"
    LENGTH_WITH_NOTHING = "length_with_nothing"
    HALF_TOOL_CALL = "half_tool_call"
    BROKEN_TOOL_JSON = "broken_tool_json"


_BREAK_CALLS = frozenset({Fault.HALF_TOOL_CALL, Fault.BROKEN_TOOL_JSON})


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """A reply of a `FaultyServer`. Times are in seconds."""

    words: Sequence[str] = ("Hello", " there", ",", " how", " can", " I", " help", " you", "?")
    """Tokens of the text, with their spaces."""
    reasoning: Sequence[str] = ()
    """Tokens of reasoning, sent before the first word."""
    tool_calls: Sequence[ToolCall] = ()
    first_token_after: float = 0.0
    """Time from the request's arrival to the first token."""
    gap: float = 0.0
    """Time between two tokens."""
    fault: Fault = Fault.NONE
    after: int = 3
    """Number of words before the fault, for the faults that come in mid-reply."""
    status: int = 503
    """HTTP status of `Fault.STATUS`."""
    retry_after: str | None = None
    """Value of the Retry-After header sent with `status`: seconds or an HTTP date."""
    continues: bool = False
    """Continues a trailing assistant message: only the rest of the words is sent."""
    raw: Iterable[bytes] | None = None
    """Bytes to send unchanged, piece by piece, in place of all of the above but the times; without
    end where they have none, as `itertools.repeat`.
    `RESET_AFTER` and `STALL_AFTER` strike after the last piece."""
    content_type: str | None = None
    """Content type to send in place of the wire's own."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Headers to send in addition to the usual ones."""
    error_body: Mapping[str, Any] | None = None
    """Body to send with `status`, in place of the wire's own error."""

    def remaining_words(self, messages: Sequence[Mapping[str, Any]]) -> list[str]:
        """Returns the words to send; those already in a trailing assistant message are left out."""
        if self.fault in {Fault.EMPTY, Fault.LENGTH_WITH_NOTHING}:
            return []
        last = messages[-1] if messages else {}
        prefix = last.get("content") if last.get("role") == "assistant" else None
        text = "".join(self.words)
        if not (self.continues and isinstance(prefix, str) and text.startswith(prefix)):
            return list(self.words)
        left = len(prefix)
        rest: list[str] = []
        for word in self.words:
            rest.append(word[left:])
            left = max(0, left - len(word))
        return [word for word in rest if word]

    def error(self) -> dict[str, Any]:
        """Returns the body that goes with `status`: `error_body`, or OpenAI's error object."""
        if self.error_body is not None:
            return dict(self.error_body)
        code, kind, message = _ERRORS.get(self.status, _UNNAMED)
        return {"error": {"message": message, "type": kind, "param": None, "code": code}}

    def complete_calls(self) -> Sequence[ToolCall]:
        """Returns the tool calls before a fault breaks them."""
        return self.tool_calls or ([_LOOKUP] if self.fault in _BREAK_CALLS else [])

    def call_deltas(self) -> Iterator[dict[str, Any]]:
        """Yields the tool calls in pieces like vLLM's: the name first, then the arguments."""
        broken = self.fault in _BREAK_CALLS
        for index, call in enumerate(self.complete_calls()):
            function = {"name": call.name, "arguments": ""}
            yield _piece(index, {"id": call.id, "type": "function", "function": function})
            half = len(call.arguments) // 2
            yield _piece(index, {"function": {"arguments": call.arguments[:half]}})
            if not broken:
                yield _piece(index, {"function": {"arguments": call.arguments[half:]}})

    @property
    def finish_reason(self) -> str | None:
        if self.fault is Fault.NO_FINISH_REASON:
            return None
        if self.fault is Fault.LENGTH_WITH_NOTHING:
            return "length"
        return "tool_calls" if self.complete_calls() else "stop"


def _piece(index: int, call: dict[str, Any]) -> dict[str, Any]:
    return {"tool_calls": [{"index": index, **call}]}


def event(body: Mapping[str, Any] | str) -> bytes:
    """Encodes one server-sent event. Characters stay unescaped, so that they can be cut in half."""
    text = body if isinstance(body, str) else json.dumps(body, ensure_ascii=False)
    return f"data: {text}\n\n".encode()


def chunk(delta: Mapping[str, Any], finish_reason: str | None = None) -> dict[str, Any]:
    """Returns one chunk of a streamed chat completion."""
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    return {"id": "chatcmpl-0", "object": "chat.completion.chunk", "choices": [choice]}


def completion(
    script: Script, messages: Sequence[Mapping[str, Any]], words: Sequence[str]
) -> dict[str, Any]:
    """Returns the whole reply as one object, for a client that did not ask for a stream."""
    calls: dict[int, dict[str, Any]] = {}
    for delta in script.call_deltas():
        piece = delta["tool_calls"][0]
        function = calls.setdefault(piece["index"], piece)["function"]
        if function is not piece["function"]:
            function["arguments"] += piece["function"]["arguments"]
    message: dict[str, Any] = {"role": "assistant", "content": "".join(words) or None}
    if calls:
        message["tool_calls"] = list(calls.values())
    choice = {"index": 0, "message": message, "finish_reason": script.finish_reason}
    return {
        "id": "chatcmpl-0",
        "object": "chat.completion",
        "choices": [choice],
        "usage": usage(messages, len(words)),
    }


def usage(messages: Sequence[Mapping[str, Any]], words: int) -> dict[str, Any]:
    """Returns token counts that count each word as a token: this server has no tokenizer."""
    prompt = sum(len(str(message.get("content") or "").split()) for message in messages)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": words,
        "total_tokens": prompt + words,
        "prompt_tokens_details": {"cached_tokens": 0},
    }
