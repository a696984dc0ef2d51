"""Writes a reply in the form of OpenAI's API: as frames of a stream, or whole. Pure."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from llm_router.catalog.prices import billable_usage, estimate_usage
from llm_router.gateway.errors import Problem
from llm_router.routing.events import AttemptEvent, ReplyEvent
from llm_router.types import Chunk, ToolCall, Usage

DONE = b"data: [DONE]\n\n"
_FINISH_REASONS = frozenset({"stop", "length", "tool_calls", "content_filter"})


@dataclass(frozen=True, slots=True)
class Head:
    """The fields that every frame of one reply repeats."""

    id: str
    created: int
    """Seconds since 1970."""
    model: str


class FrameWriter:
    """Writes the frames of one streamed reply.

    First comes the role, then text and tool calls as they arrive, then the finish reason in a frame
    with an empty delta, and with `include_usage` one without choices. A frame is a template filled
    with what changes: making an object for each word would take several times as long.
    """

    def __init__(self, head: Head, *, include_usage: bool) -> None:
        self._head = head
        shared = {
            "id": head.id,
            "object": "chat.completion.chunk",
            "created": head.created,
            "model": head.model,
        }
        self._begin = f"data: {_json(shared)[:-1]},"
        self._prefix = self._begin + '"choices":[{"index":0,"delta":'
        self._no_usage = ',"usage":null' if include_usage else ""
        self._calls = 0
        self._end = ""

    @property
    def head(self) -> Head:
        return self._head

    def opening(self) -> str:
        return self._frame('{"role":"assistant","content":""}')

    def of(self, chunk: Chunk) -> str:
        """Returns the frames of a chunk; none for one that holds only usage or reasoning."""
        frames = ""
        if chunk.text:
            frames += self._frame(f'{{"content":{json.dumps(chunk.text)}}}')
        for call in chunk.tool_calls:
            frames += self._call(call)
        if chunk.finish_reason:
            reason = finish_reason(chunk.finish_reason, has_calls=bool(self._calls))
            frames += self._frame("{}", json.dumps(reason))
        return frames

    def usage(self, usage: Mapping[str, Any], receipt: Mapping[str, Any] | None) -> str:
        more = f',"patchbay":{_json(receipt)}' if receipt else ""
        return f'{self._begin}"choices":[],"usage":{_json(usage)}{more}}}\n\n'

    @staticmethod
    def error(problem: Problem) -> str:
        """Returns the frame that ends a stream which broke off; no other follows it."""
        return f"data: {_json({'error': problem.error_object})}\n\n"

    def _frame(self, delta: str, reason: str = "null") -> str:
        end = f',"logprobs":null,"finish_reason":{reason}}}]{self._no_usage}}}\n\n'
        return self._prefix + delta + end

    def _call(self, call: ToolCall) -> str:
        """Returns a call in two frames, its name and its arguments, as clients join them."""
        index = self._calls
        self._calls += 1
        function = {"name": call.name, "arguments": ""}
        first = {"index": index, "id": call.id, "type": "function", "function": function}
        rest = {"index": index, "function": {"arguments": call.arguments}}
        return "".join(self._frame(_json({"tool_calls": [each]})) for each in (first, rest))


def whole(
    head: Head, text: str, calls: Sequence[ToolCall], reason: str, usage: Mapping[str, Any]
) -> dict[str, Any]:
    """Returns a reply in one piece."""
    message: dict[str, Any] = {
        "role": "assistant",
        "content": text or None,
        "refusal": None,
        "annotations": [],
    }
    if calls:
        message["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments},
            }
            for call in calls
        ]
    elif not text:
        message["content"] = ""
    choice = {
        "index": 0,
        "message": message,
        "logprobs": None,
        "finish_reason": finish_reason(reason, has_calls=bool(calls)),
    }
    return {
        "id": head.id,
        "object": "chat.completion",
        "created": head.created,
        "model": head.model,
        "choices": [choice],
        "usage": usage,
    }


def finish_reason(given: str, *, has_calls: bool) -> str:
    """Returns a reason that OpenAI's clients know: servers have words of their own."""
    if has_calls and given not in {"length", "content_filter"}:
        return "tool_calls"
    return given if given in _FINISH_REASONS else "stop"


def usage_of(event: ReplyEvent, counted: Usage | None) -> dict[str, Any]:
    """Returns the tokens of a reply that has ended.

    They are the server's own count. Where it has none, or counted only the end of a reply that
    another had begun, they are estimated from the characters.
    """
    usage = counted or Usage()
    estimate = estimate_usage(event.prompt_characters, event.characters)
    is_estimated = counted is None or bool(event.resumes)
    prompt = usage.prompt_tokens or estimate.prompt_tokens
    completion = estimate.completion_tokens if is_estimated else usage.completion_tokens
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": usage.reasoning_tokens,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def receipt_of(event: ReplyEvent) -> dict[str, Any]:
    """Returns the attempts behind a reply that has ended, with the reasons and costs."""
    tries = [_attempt(each, event.prompt_characters) for each in event.tries]
    costs = [each["cost"] for each in tries if each["cost"] is not None]
    return {
        "connection": event.connection,
        "attempts": tries,
        "hedges": sum(each.role == "hedge" for each in event.tries),
        "resumes": event.resumes,
        "cost": sum(costs) if costs else None,
    }


def _attempt(event: AttemptEvent, prompt_characters: int) -> dict[str, Any]:
    tokens = billable_usage(event.usage, event.failure, prompt_characters, event.characters)
    return {
        "connection": event.connection,
        "model": event.model,
        "role": event.role,
        "outcome": event.outcome,
        "first_word_ms": milliseconds(event.first_word),
        "duration_ms": milliseconds(event.duration),
        "cost": event.price.cost(tokens) if event.price else None,
    }


def milliseconds(seconds: float | None) -> int | None:
    return None if seconds is None else round(seconds * 1000)


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))
