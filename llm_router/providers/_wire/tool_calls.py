"""Assembles the tool calls of a reply from the pieces in which servers send them."""

import json
from collections.abc import Iterable, Sequence
from typing import Any

from llm_router.errors import BrokenStreamError
from llm_router.providers._wire.sse import LIMIT
from llm_router.types import Message, ToolCall

_CUT_SHORT = frozenset({"length", "content_filter"})


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


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False
