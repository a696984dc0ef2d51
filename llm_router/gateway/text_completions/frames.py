"""Writes a reply as the completion of a text: as frames of a stream, or whole. Pure."""

import json
from dataclasses import dataclass
from typing import Any

from llm_router.gateway.completions.call import Ending, Head, WholeReply
from llm_router.gateway.completions.frames import (
    compact,
    error_frame,
    finish_reason,
    last_frames,
    shared_fields,
    usage_object,
)
from llm_router.gateway.errors import Problem
from llm_router.types import Chunk


@dataclass(frozen=True, slots=True)
class CompletionForm:
    """Writes replies as completions; with `include_usage` a stream ends with the tokens."""

    include_usage: bool
    id_headers = ("x-request-id",)

    def writer(self, head: Head) -> "CompletionFrames":
        return CompletionFrames(head, include_usage=self.include_usage)

    def whole(self, head: Head, reply: WholeReply) -> dict[str, Any]:
        choice = {
            "index": 0,
            "text": reply.text,
            "logprobs": None,
            "finish_reason": finish_reason(reply.reason, has_calls=False),
        }
        return {
            **_shared(head),
            "choices": [choice],
            "usage": usage_object(reply.ending.usage),
        }


class CompletionFrames:
    """Writes the frames of one streamed completion: text as it arrives, then the finish reason."""

    def __init__(self, head: Head, *, include_usage: bool) -> None:
        self._begin = f"data: {compact(_shared(head))[:-1]},"
        self._prefix = self._begin + '"choices":[{"index":0,"text":'
        self._include_usage = include_usage
        self._no_usage = ',"usage":null' if include_usage else ""

    def opening(self) -> str:
        return ""

    def of(self, chunk: Chunk) -> str:
        """Returns the frames of a chunk; none for one that holds only usage or reasoning."""
        frames = self._frame(json.dumps(chunk.text)) if chunk.text else ""
        if chunk.finish_reason:
            reason = finish_reason(chunk.finish_reason, has_calls=False)
            frames += self._frame('""', json.dumps(reason))
        return frames

    def ending(self, ending: Ending) -> str:
        return last_frames(self._begin, ending, include_usage=self._include_usage)

    def error(self, problem: Problem) -> str:
        return error_frame(problem)

    def _frame(self, text: str, reason: str = "null") -> str:
        end = f',"logprobs":null,"finish_reason":{reason}}}]{self._no_usage}}}\n\n'
        return self._prefix + text + end


def _shared(head: Head) -> dict[str, Any]:
    return shared_fields(head, "text_completion", prefix="cmpl")
