"""Writes a reply as a response: as typed events of a stream, or whole. Pure."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from llm_router.gateway.completions.call import Ending, Head, WholeReply
from llm_router.gateway.completions.frames import DONE, compact, finish_reason
from llm_router.gateway.errors import Problem
from llm_router.gateway.responses.resource import (
    Item,
    Resource,
    call_item,
    is_cut,
    message_item,
    repeated_options,
    text_content,
)
from llm_router.gateway.schemas.responses import ResponseCreate
from llm_router.types import Chunk, ToolCall


class ResponseForm:
    """Writes replies as responses to one request, whose options each response repeats."""

    id_headers = ("x-request-id",)

    def __init__(self, fields: ResponseCreate) -> None:
        self._options = repeated_options(fields)
        self._include_logprobs = fields.wants_logprobs

    def writer(self, head: Head) -> "ResponseFrames":
        return ResponseFrames(head, self._options, include_logprobs=self._include_logprobs)

    def whole(self, head: Head, reply: WholeReply) -> dict[str, Any]:
        reason = finish_reason(reply.reason, has_calls=bool(reply.calls))
        output: list[Item] = []
        if reply.text or not reply.calls:
            status = "incomplete" if is_cut(reason) and not reply.calls else "completed"
            logprobs = reply.logprobs if self._include_logprobs else ()
            content = text_content(reply.text, logprobs)
            output.append(message_item(_id("msg", head, 0), status, [content]))
        for number, call in enumerate(reply.calls, len(output)):
            output.append(call_item(_id("fc", head, number), "completed", call, call.arguments))
        return Resource(head, self._options).ended(output, reason, reply.ending)


@dataclass
class _Message:
    """A message that is open: its place in the output, and the pieces of its text so far."""

    id: str
    place: Mapping[str, Any]
    begin: str
    """The event of a piece of text without probabilities, up to that text."""
    pieces: list[str] = field(default_factory=list)
    logprobs: list[Mapping[str, Any]] = field(default_factory=list)
    is_known: bool = True
    """Whether all of its tokens came with their probabilities."""


class ResponseFrames:
    """Writes the events of one streamed response.

    Each item of the output is opened, filled and closed before the next; the last event has the
    whole response. Events are numbered. That of a piece of text is a template filled with the text.
    """

    def __init__(
        self, head: Head, options: Mapping[str, Any], *, include_logprobs: bool = False
    ) -> None:
        self._head = head
        self._include_logprobs = include_logprobs
        self._resource = Resource(head, options)
        self._numbers = count()
        self._output: list[Item] = []
        """The items that are closed."""
        self._open: _Message | None = None
        self._calls = 0
        self._reason = "stop"

    def opening(self) -> str:
        begun = self._resource.begun()
        kinds = ("response.created", "response.in_progress")
        return "".join(self._event(kind, response=begun) for kind in kinds)

    def of(self, chunk: Chunk) -> str:
        """Returns the events of a chunk; none for one that holds only usage or reasoning."""
        events = ""
        if chunk.text:
            events += self._text(chunk.text, chunk.logprobs if self._include_logprobs else ())
        for call in chunk.tool_calls:
            events += self._close("completed") + self._call(call)
        if chunk.finish_reason:
            self._reason = finish_reason(chunk.finish_reason, has_calls=bool(self._calls))
        return events

    def ending(self, ending: Ending) -> str:
        is_empty = not (self._open or self._output)
        events = self._text("") if is_empty else ""
        events += self._close("incomplete" if is_cut(self._reason) else "completed")
        response = self._resource.ended(self._output, self._reason, ending)
        if ending.receipt:
            response["patchbay"] = ending.receipt
        return events + self._event(f"response.{response['status']}", response=response) + DONE

    def error(self, problem: Problem) -> str:
        """Returns the error, and the response that failed with the words it has given."""
        events = self._close("incomplete") + self._event("error", error=problem.error_object)
        failed = self._resource.failed(self._output, problem)
        return events + self._event("response.failed", response=failed)

    def _event(self, kind: str, **fields: Any) -> str:
        event = {"type": kind, "sequence_number": next(self._numbers), **fields}
        return f"event: {kind}\ndata: {compact(event)}\n\n"

    def _text(self, text: str, logprobs: Sequence[Mapping[str, Any]] = ()) -> str:
        opened = ""
        if self._open is None:
            opened, self._open = self._opened_message()
        self._open.pieces.append(text)
        self._open.logprobs += logprobs
        self._open.is_known = self._open.is_known and bool(logprobs)
        if logprobs:
            kind, place = "response.output_text.delta", self._open.place
            return opened + self._event(kind, **place, logprobs=[*logprobs], delta=text)
        end = f',"sequence_number":{next(self._numbers)}}}\n\n'
        return opened + self._open.begin + json.dumps(text) + end

    def _opened_message(self) -> tuple[str, _Message]:
        index = len(self._output)
        item_id = _id("msg", self._head, index)
        place = {"item_id": item_id, "output_index": index, "content_index": 0}
        kind = "response.output_text.delta"
        delta = compact({"type": kind, **place, "logprobs": []})[:-1]
        item = message_item(item_id, "in_progress", ())
        events = self._event("response.output_item.added", output_index=index, item=item)
        events += self._event("response.content_part.added", **place, part=text_content(""))
        return events, _Message(item_id, place, f'event: {kind}\ndata: {delta},"delta":')

    def _close(self, status: str) -> str:
        """Returns the events that close the message that is open, if there is one."""
        message, self._open = self._open, None
        if message is None:
            return ""
        text = "".join(message.pieces)
        logprobs = message.logprobs if message.is_known else []
        content = text_content(text, logprobs)
        events = self._event(
            "response.output_text.done", **message.place, text=text, logprobs=logprobs
        )
        events += self._event("response.content_part.done", **message.place, part=content)
        return events + self._done(message_item(message.id, status, [content]))

    def _call(self, call: ToolCall) -> str:
        self._calls += 1
        index = len(self._output)
        item_id = _id("fc", self._head, index)
        place = {"item_id": item_id, "output_index": index}
        begun = call_item(item_id, "in_progress", call, "")
        kind = "response.function_call_arguments"
        events = self._event("response.output_item.added", output_index=index, item=begun)
        events += self._event(f"{kind}.delta", **place, delta=call.arguments)
        events += self._event(f"{kind}.done", **place, name=call.name, arguments=call.arguments)
        return events + self._done(call_item(item_id, "completed", call, call.arguments))

    def _done(self, item: Item) -> str:
        index = len(self._output)
        self._output.append(item)
        return self._event("response.output_item.done", output_index=index, item=item)


def _id(kind: str, head: Head, number: int) -> str:
    return f"{kind}_{head.id}{number:02}"
