"""What a faulty server does with one request: a script, and the events it makes of it."""

import json
from collections.abc import Iterator, Mapping, Sequence
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
    """Ways to fail a caller. The script's `after` says how many words come before some of them."""

    NONE = "none"
    REFUSE = "refuse"  # nobody listens; if only some requests refuse, these are reset at once
    HANG_BEFORE_HEADERS = "hang_before_headers"
    HEADERS_THEN_NOTHING = "headers_then_nothing"
    ROLE_ONLY = "role_only"
    KEEP_ALIVES_ONLY = "keep_alives_only"
    REASONING_ENDLESS = "reasoning_endless"
    STATUS = "status"  # answers `status`, with OpenAI's words for it
    RESET_BEFORE_WORD = "reset_before_word"
    RESET_AFTER = "reset_after"
    STALL_AFTER = "stall_after"
    DRIP = "drip"  # a word a second
    ERROR_EVENT = "error_event"  # after `after` words, inside the 200
    GARBAGE_LINE = "garbage_line"
    SPLIT_UTF8 = "split_utf8"  # no failure: every character is cut between two chunks
    NO_FINISH_REASON = "no_finish_reason"
    EMPTY = "empty"
    LENGTH_WITH_NOTHING = "length_with_nothing"
    HALF_TOOL_CALL = "half_tool_call"
    BROKEN_TOOL_JSON = "broken_tool_json"


_BREAK_CALLS = frozenset({Fault.HALF_TOOL_CALL, Fault.BROKEN_TOOL_JSON})


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """One reply. Times are in seconds; `first_token_after` counts from the request's arrival."""

    words: Sequence[str] = ("Hello", " there", ",", " how", " can", " I", " help", " you", "?")
    """Tokens, with their spaces."""
    reasoning: Sequence[str] = ()
    """Tokens thought aloud before the first word."""
    tool_calls: Sequence[ToolCall] = ()
    first_token_after: float = 0.0
    gap: float = 0.0
    """Between two tokens."""
    fault: Fault = Fault.NONE
    after: int = 3
    status: int = 503
    retry_after: str | None = None
    """The header as it is sent: seconds or an HTTP date."""
    continues: bool = False
    """A trailing assistant message is continued: only the words after it are said."""
    raw: Sequence[bytes] | None = None
    """Sent as it is, piece by piece, in place of all the above but the times; `reset_after` and
    `stall_after` strike when the last piece is sent."""
    content_type: str | None = None
    """In place of the one that the wire has."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Of an answer, besides the usual."""
    error_body: Mapping[str, Any] | None = None
    """What is sent with `status`, in place of the wire's own error."""

    def words_after(self, messages: Sequence[Mapping[str, Any]]) -> list[str]:
        """The words still to be said, where the last message may be the beginning of them."""
        if self.fault in {Fault.EMPTY, Fault.LENGTH_WITH_NOTHING}:
            return []
        last = messages[-1] if messages else {}
        said = last.get("content") if last.get("role") == "assistant" else None
        if not (self.continues and isinstance(said, str) and "".join(self.words).startswith(said)):
            return list(self.words)
        left, rest = len(said), []
        for word in self.words:
            rest.append(word[left:])
            left = max(0, left - len(word))
        return [word for word in rest if word]

    def error(self) -> dict[str, Any]:
        """The error object of `status`, as OpenAI writes it unless another was given."""
        if self.error_body is not None:
            return dict(self.error_body)
        code, kind, message = _ERRORS.get(self.status, _UNNAMED)
        return {"error": {"message": message, "type": kind, "param": None, "code": code}}

    def whole_calls(self) -> Sequence[ToolCall]:
        """The tool calls as they were meant."""
        return self.tool_calls or ([_LOOKUP] if self.fault in _BREAK_CALLS else [])

    def call_deltas(self) -> Iterator[dict[str, Any]]:
        """The tool calls in pieces, as vLLM sends them: the name first, then the arguments."""
        broken = self.fault in _BREAK_CALLS
        for index, call in enumerate(self.whole_calls()):
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
        return "tool_calls" if self.whole_calls() else "stop"


def _piece(index: int, call: dict[str, Any]) -> dict[str, Any]:
    return {"tool_calls": [{"index": index, **call}]}


def event(body: Mapping[str, Any] | str) -> bytes:
    """One server-sent event. Characters are not escaped, so that they can be cut in half."""
    text = body if isinstance(body, str) else json.dumps(body, ensure_ascii=False)
    return f"data: {text}\n\n".encode()


def chunk(delta: Mapping[str, Any], finish_reason: str | None = None) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    return {"id": "chatcmpl-0", "object": "chat.completion.chunk", "choices": [choice]}


def completion(
    script: Script, messages: Sequence[Mapping[str, Any]], words: Sequence[str]
) -> dict[str, Any]:
    """The whole reply in one object, for a client that asked for no stream."""
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
    """Tokens counted in words: honest enough for a server that has no tokenizer."""
    asked = sum(len(str(message.get("content") or "").split()) for message in messages)
    return {
        "prompt_tokens": asked,
        "completion_tokens": words,
        "total_tokens": asked + words,
        "prompt_tokens_details": {"cached_tokens": 0},
    }
