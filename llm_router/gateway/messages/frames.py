"""Writes a reply as a message of Anthropic's API: as events of a stream, or whole. Pure."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from llm_router.gateway.completions.call import Ending, Head, WholeReply
from llm_router.gateway.completions.frames import compact, finish_reason
from llm_router.gateway.errors import Problem
from llm_router.types import Chunk, ToolCall, Usage

_STOP_REASONS = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "refusal",
}
"""Why a message ends, by the reasons of chat completions. Where the server does not say that it met
a stop sequence, such a reply ends its turn."""
_MESSAGE_STOP = 'event: message_stop\ndata: {"type":"message_stop"}\n\n'


@dataclass(frozen=True, slots=True)
class MessageForm:
    """Writes replies as messages. `stops`: the stop sequences of the request."""

    stops: Collection[str] = ()
    id_headers = ("x-request-id", "request-id")

    def writer(self, head: Head) -> "MessageFrames":
        return MessageFrames(head, self.stops)

    def whole(self, head: Head, reply: WholeReply) -> dict[str, Any]:
        content: list[Mapping[str, Any]] = []
        if reply.text:
            content.append(_text_block(reply.text))
        content += [_call_block(call, _arguments(call)) for call in reply.calls]
        reason = finish_reason(reply.reason, has_calls=bool(reply.calls))
        stop = _stop(reason, reply.stop_sequence, self.stops)
        return {**_message(head, content, _usage(reply.ending.usage)), **stop}


class MessageFrames:
    """Writes the events of one streamed message.

    Each block of its content is opened, filled and closed before the next. That of a piece of text
    is a template filled with the text.
    """

    def __init__(self, head: Head, stops: Collection[str] = ()) -> None:
        self._head = head
        self._stops = stops
        self._blocks = 0
        """Blocks that were opened; the last one may still be open."""
        self._text_begin = ""
        """The event of a piece of text, up to that text, while a block of text is open."""
        self._has_calls = False
        self._reason = "stop"
        self._met = ""

    def opening(self) -> str:
        usage = _usage(Usage(prompt_tokens=self._head.prompt_tokens))
        return _event("message_start", message=_message(self._head, (), usage))

    def of(self, chunk: Chunk) -> str:
        """Returns the events of a chunk; none for one that holds only usage or reasoning."""
        events = ""
        if chunk.text:
            events += self._text(chunk.text)
        for call in chunk.tool_calls:
            events += self._close_text() + self._call(call)
        if chunk.finish_reason:
            self._reason = finish_reason(chunk.finish_reason, has_calls=self._has_calls)
            self._met = chunk.stop_sequence
        return events

    def ending(self, ending: Ending) -> str:
        delta = _stop(self._reason, self._met, self._stops)
        fields: dict[str, Any] = {"delta": delta, "usage": _usage(ending.usage)}
        if ending.receipt:
            fields["patchbay"] = ending.receipt
        return self._close_text() + _event("message_delta", **fields) + _MESSAGE_STOP

    def error(self, problem: Problem) -> str:
        return _event("error", **problem.anthropic_error)

    def _text(self, text: str) -> str:
        opened = ""
        if not self._text_begin:
            index = self._next_index()
            block = _text_block("")
            opened = _event("content_block_start", index=index, content_block=block)
            self._text_begin = (
                'event: content_block_delta\ndata: {"type":"content_block_delta",'
                f'"index":{index},"delta":{{"type":"text_delta","text":'
            )
        return f"{opened}{self._text_begin}{json.dumps(text)}}}}}\n\n"

    def _close_text(self) -> str:
        if not self._text_begin:
            return ""
        self._text_begin = ""
        return _event("content_block_stop", index=self._blocks - 1)

    def _call(self, call: ToolCall) -> str:
        self._has_calls = True
        index = self._next_index()
        delta = {"type": "input_json_delta", "partial_json": call.arguments}
        return (
            _event("content_block_start", index=index, content_block=_call_block(call, {}))
            + _event("content_block_delta", index=index, delta=delta)
            + _event("content_block_stop", index=index)
        )

    def _next_index(self) -> int:
        self._blocks += 1
        return self._blocks - 1


def _stop(reason: str, met: str, stops: Collection[str]) -> Mapping[str, Any]:
    """Returns why a message ended; `met` counts if it is one of the request's own sequences."""
    if reason == "stop" and met in stops:
        return {"stop_reason": "stop_sequence", "stop_sequence": met}
    return {"stop_reason": _STOP_REASONS[reason], "stop_sequence": None}


def _event(kind: str, **fields: Any) -> str:
    return f"event: {kind}\ndata: {compact({'type': kind, **fields})}\n\n"


def _message(
    head: Head,
    content: Sequence[Mapping[str, Any]],
    usage: Mapping[str, Any],
) -> dict[str, Any]:
    return {
        "id": f"msg_{head.id}",
        "type": "message",
        "role": "assistant",
        "model": head.model,
        "content": list(content),
        "stop_reason": None,
        "stop_sequence": None,
        "stop_details": None,
        "container": None,
        "usage": usage,
    }


def _text_block(text: str) -> Mapping[str, Any]:
    return {"type": "text", "text": text, "citations": None}


def _call_block(call: ToolCall, arguments: Any) -> Mapping[str, Any]:
    return {
        "type": "tool_use",
        "id": call.id,
        "name": call.name,
        "input": arguments,
        "caller": {"type": "direct"},
    }


def _arguments(call: ToolCall) -> Any:
    return json.loads(call.arguments or "{}")


def _usage(usage: Usage) -> dict[str, Any]:
    """Returns the tokens; those of the prompt are counted apart by how the cache served them."""
    fresh = usage.prompt_tokens - usage.cached_tokens - usage.cache_creation_tokens
    return {
        "input_tokens": max(0, fresh),
        "cache_creation_input_tokens": usage.cache_creation_tokens,
        "cache_read_input_tokens": usage.cached_tokens,
        "cache_creation": None,
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": {"thinking_tokens": usage.reasoning_tokens},
        "server_tool_use": None,
        "service_tier": None,
        "inference_geo": None,
    }
