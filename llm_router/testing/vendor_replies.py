"""Replies of Anthropic and Amazon Bedrock, byte for byte, for a `FaultyServer` to send.

Sources: platform.claude.com/docs, build-with-claude/streaming; docs.aws.amazon.com,
ConverseStream; smithy.io, aws/amazon-eventstream for Bedrock's frames.
"""

import json
import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from llm_router.types import ToolCall

MESSAGES, CONVERSE = "/v1/messages", "/converse-stream"
"""Path endings of their chat routes, for `FaultyServer(chat_paths=...)`."""
FRAMES = "application/vnd.amazon.eventstream"
"""Content type of Bedrock's answers."""
_STRING = 7
"""Type code of a string header in a frame."""


def anthropic(
    words: Sequence[str] = (), calls: Sequence[ToolCall] = (), *, stop: str | None = "end_turn"
) -> list[bytes]:
    """Encodes a reply as events of the Messages API.

    `stop` is the stop reason; None leaves out the events that end a reply.
    """
    return list(_anthropic(words, calls, stop))


def _anthropic(
    words: Sequence[str], calls: Sequence[ToolCall], stop: str | None
) -> Iterator[bytes]:
    usage = {"input_tokens": 12, "output_tokens": 0}
    message: dict[str, Any] = {
        "id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": [],
        "stop_reason": None, "stop_sequence": None, "usage": usage,
    }  # fmt: skip
    yield anthropic_event("message_start", message=message)
    yield anthropic_event("ping")
    blocks: list[tuple[dict[str, Any], list[dict[str, Any]]]] = []
    if words:
        texts = [{"type": "text_delta", "text": word} for word in words]
        blocks.append(({"type": "text", "text": ""}, texts))
    for call in calls:
        half = len(call.arguments) // 2
        pieces = [call.arguments[:half], call.arguments[half:]]
        block = {"type": "tool_use", "id": call.id, "name": call.name, "input": {}}
        blocks.append((block, [{"type": "input_json_delta", "partial_json": p} for p in pieces]))
    for index, (content, deltas) in enumerate(blocks):
        yield anthropic_event("content_block_start", index=index, content_block=content)
        for delta in deltas:
            yield anthropic_event("content_block_delta", index=index, delta=delta)
        yield anthropic_event("content_block_stop", index=index)
    if stop:
        delta = {"stop_reason": stop, "stop_sequence": None}
        yield anthropic_event("message_delta", delta=delta, usage={"output_tokens": len(words)})
        yield anthropic_event("message_stop")


def anthropic_event(kind: str, **fields: Any) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n".encode()


def anthropic_error(kind: str, message: str) -> dict[str, Any]:
    return {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_1"}


def bedrock(
    words: Sequence[str] = (), calls: Sequence[ToolCall] = (), *, stop: str | None = "end_turn"
) -> list[bytes]:
    """Encodes a reply as frames of ConverseStream.

    `stop` is the stop reason; None leaves out the frames that end a reply.
    """
    return list(_bedrock(words, calls, stop))


def _bedrock(words: Sequence[str], calls: Sequence[ToolCall], stop: str | None) -> Iterator[bytes]:
    yield frame("messageStart", {"role": "assistant"})
    for word in words:
        yield frame("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": word}})
    if words:
        yield frame("contentBlockStop", {"contentBlockIndex": 0})
    for index, call in enumerate(calls, start=1):
        tool_use = {"toolUseId": call.id, "name": call.name}
        start = {"contentBlockIndex": index, "start": {"toolUse": tool_use}}
        yield frame("contentBlockStart", start)
        half = len(call.arguments) // 2
        for piece in (call.arguments[:half], call.arguments[half:]):
            delta = {"contentBlockIndex": index, "delta": {"toolUse": {"input": piece}}}
            yield frame("contentBlockDelta", delta)
        yield frame("contentBlockStop", {"contentBlockIndex": index})
    if stop:
        yield frame("messageStop", {"stopReason": stop})
        used = {"inputTokens": 12, "outputTokens": len(words), "totalTokens": 12 + len(words)}
        yield frame("metadata", {"usage": used, "metrics": {"latencyMs": 1}})


def frame(kind: str, payload: Mapping[str, Any], *, exception: bool = False) -> bytes:
    """Encodes one message of an event stream: lengths, checksum, headers, payload, checksum."""
    message_type = "exception" if exception else "event"
    headers = b"".join(
        _header(name, value)
        for name, value in (
            (f":{message_type}-type", kind),
            (":content-type", "application/json"),
            (":message-type", message_type),
        )
    )
    body = json.dumps(payload).encode()
    prelude = struct.pack("!II", 16 + len(headers) + len(body), len(headers))
    message = prelude + struct.pack("!I", zlib.crc32(prelude)) + headers + body
    return message + struct.pack("!I", zlib.crc32(message))


def _header(name: str, value: str) -> bytes:
    key = name.encode()
    data = value.encode()
    return struct.pack("!B", len(key)) + key + struct.pack("!BH", _STRING, len(data)) + data
