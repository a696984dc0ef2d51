"""Writes a reply in the form of chat completions: as frames of a stream, or whole. Pure."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from llm_router.gateway.completions.call import Ending, Head, WholeReply
from llm_router.gateway.errors import Problem
from llm_router.types import Chunk, ToolCall, Usage

DONE = "data: [DONE]\n\n"
_CUT = frozenset({"length", "content_filter"})
"""Reasons for which a reply ends before its end."""


@dataclass(frozen=True, slots=True)
class ChatForm:
    """Writes replies as chat completions; with `include_usage` a stream ends with the tokens.

    `include_logprobs`: where it is known, each token comes with how likely it was.
    """

    include_usage: bool
    include_logprobs: bool = False
    id_headers = ("x-request-id",)

    def writer(self, head: Head) -> "ChatFrames":
        return ChatFrames(
            head, include_usage=self.include_usage, include_logprobs=self.include_logprobs
        )

    def whole(self, head: Head, reply: WholeReply) -> dict[str, Any]:
        message: dict[str, Any] = {
            "role": "assistant",
            "content": reply.text or None,
            "refusal": None,
            "annotations": [],
        }
        if reply.calls:
            message["tool_calls"] = [_whole_call(call) for call in reply.calls]
        elif not reply.text:
            message["content"] = ""
        choice = {
            "index": 0,
            "message": message,
            "logprobs": _logprobs(reply.logprobs) if self.include_logprobs else None,
            "finish_reason": finish_reason(reply.reason, has_calls=bool(reply.calls)),
        }
        return {
            **shared_fields(head, "chat.completion"),
            "choices": [choice],
            "usage": usage_object(reply.ending.usage),
        }


class ChatFrames:
    """Writes the frames of one streamed chat completion.

    First comes the role, then text and tool calls as they arrive, then the finish reason in a frame
    with an empty delta, and with `include_usage` one without choices. A frame is a template filled
    with what changes: making an object for each word would take several times as long.
    """

    def __init__(self, head: Head, *, include_usage: bool, include_logprobs: bool = False) -> None:
        self._begin = f"data: {compact(shared_fields(head, 'chat.completion.chunk'))[:-1]},"
        self._prefix = self._begin + '"choices":[{"index":0,"delta":'
        self._include_usage = include_usage
        self._include_logprobs = include_logprobs
        self._no_usage = ',"usage":null' if include_usage else ""
        self._calls = 0

    def opening(self) -> str:
        return self._frame('{"role":"assistant","content":""}')

    def of(self, chunk: Chunk) -> str:
        """Returns the frames of a chunk; none for one that holds only usage or reasoning."""
        frames = ""
        if chunk.text:
            logprobs = "null"
            if chunk.logprobs and self._include_logprobs:
                logprobs = compact(_logprobs(chunk.logprobs))
            frames += self._frame(f'{{"content":{json.dumps(chunk.text)}}}', logprobs=logprobs)
        for call in chunk.tool_calls:
            frames += self._call(call)
        if chunk.finish_reason:
            reason = finish_reason(chunk.finish_reason, has_calls=bool(self._calls))
            frames += self._frame("{}", json.dumps(reason))
        return frames

    def ending(self, ending: Ending) -> str:
        return last_frames(self._begin, ending, include_usage=self._include_usage)

    def error(self, problem: Problem) -> str:
        return error_frame(problem)

    def _frame(self, delta: str, reason: str = "null", logprobs: str = "null") -> str:
        end = f',"logprobs":{logprobs},"finish_reason":{reason}}}]{self._no_usage}}}\n\n'
        return self._prefix + delta + end

    def _call(self, call: ToolCall) -> str:
        """Returns a call in two frames, its name and its arguments, as clients join them."""
        index = self._calls
        self._calls += 1
        function = {"name": call.name, "arguments": ""}
        first = {"index": index, "id": call.id, "type": "function", "function": function}
        rest = {"index": index, "function": {"arguments": call.arguments}}
        return "".join(self._frame(compact({"tool_calls": [each]})) for each in (first, rest))


def shared_fields(head: Head, kind: str, prefix: str = "chatcmpl") -> dict[str, Any]:
    """Returns the fields that every frame of one reply repeats."""
    return {
        "id": f"{prefix}-{head.id}",
        "object": kind,
        "created": head.created,
        "model": head.model,
    }


def last_frames(begin: str, ending: Ending, *, include_usage: bool) -> str:
    """Returns the frame with the tokens, if it was asked for, and the mark of the end."""
    if not (include_usage or ending.receipt):
        return DONE
    more = f',"patchbay":{compact(ending.receipt)}' if ending.receipt else ""
    return f'{begin}"choices":[],"usage":{compact(usage_object(ending.usage))}{more}}}\n\n{DONE}'


def error_frame(problem: Problem) -> str:
    return f"data: {compact({'error': problem.error_object})}\n\n"


def finish_reason(given: str, *, has_calls: bool) -> str:
    """Returns a reason that OpenAI's clients know: servers have words of their own."""
    if given in _CUT:
        return given
    return "tool_calls" if has_calls else "stop"


def usage_object(usage: Usage) -> dict[str, Any]:
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": usage.reasoning_tokens,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def compact(value: Any) -> str:
    """Returns JSON without spaces."""
    return json.dumps(value, separators=(",", ":"))


def _logprobs(tokens: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    return {"content": tokens, "refusal": None} if tokens else None


def _whole_call(call: ToolCall) -> Mapping[str, Any]:
    function = {"name": call.name, "arguments": call.arguments}
    return {"id": call.id, "type": "function", "function": function}
