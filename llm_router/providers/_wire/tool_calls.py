"""Assembles the tool calls of a reply from the pieces in which servers send them."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from llm_router.errors import BrokenStreamError
from llm_router.providers._wire import limits
from llm_router.providers._wire.arguments import JsonScanner, object_text, unwrapped
from llm_router.providers._wire.characters import mend
from llm_router.providers._wire.extras import call_fields
from llm_router.providers._wire.machine_text import MachineTextFilter
from llm_router.providers._wire.tools import OfferedTools
from llm_router.providers._wire.written_calls import written_calls
from llm_router.types import Message, ToolCall

_CUT_SHORT = frozenset({"length", "content_filter"})
_ARGUMENTS = ("arguments", "parameters", "input", "args", "params")
_USUAL = frozenset({"index", "id", "type", "function"})
_PARALLEL = "multi_tool_use.parallel"


class ToolCallAssembler:
    """Assembles tool calls from their pieces; returns them only when all are complete.

    No single sign says which call a piece belongs to. Some servers give all calls one index or one
    id, others count the index up within a call, make up an id for every piece, repeat the name or
    split it, or send every call once more at the end. So index, id, name and whether the arguments
    are complete are judged together.
    """

    def __init__(self, tools: OfferedTools, known_ids: Iterable[str] = ()) -> None:
        self._tools = tools
        self._known_ids = set(known_ids)
        self._calls: list[_PartialCall] = []
        self._by_index: dict[int, _PartialCall] = {}
        self._by_id: dict[str, _PartialCall] = {}
        self._batch = 0
        self._size = 0

    @property
    def size(self) -> int:
        """Bytes of names, ids and arguments so far; a piece without any adds none."""
        return self._size

    def add(self, pieces: Any) -> None:
        """Adds the pieces of one event. Raises BrokenStreamError if they are none."""
        if isinstance(pieces, dict):
            pieces = [pieces]
        if not isinstance(pieces, list):
            raise BrokenStreamError("the answer's tool_calls is not a list")
        self._batch += 1
        for piece in pieces:
            if piece is None:
                continue
            if not isinstance(piece, dict):
                raise BrokenStreamError("the answer holds a tool call that is not an object")
            if not self._goes_on(piece):
                self._add(_piece(piece))

    def add_written(self, text: MachineTextFilter, finish_reason: str) -> None:
        """Adds the calls that the model has written into its words, if it has made none beside.

        Raises BrokenStreamError if the words hold something else than whole calls and words.
        """
        if self._calls:
            return
        for name, arguments in text.written(finish_reason):
            self._batch += 1
            piece = _Piece(None, "", name, arguments)
            self._take(self._begin(piece), piece)

    def close(self, finish_reason: str) -> tuple[ToolCall, ...]:
        calls = [call for call in self._calls if call.name or call.size]
        if any(call.name for call in calls):  # one without name and arguments beside it is none
            calls = [call for call in calls if call.name or not call.is_empty]
        if calls and finish_reason in _CUT_SHORT:
            raise BrokenStreamError(f"the answer ended inside a tool call ({finish_reason})")
        if finish_reason == "tool_calls" and not calls:
            raise BrokenStreamError("the answer ends in a tool call that it does not hold")
        return tuple(whole for call in calls for whole in self._wholes(call))

    def _goes_on(self, piece: dict[str, Any]) -> bool:
        """Takes a piece that holds nothing but more of the last call's arguments, as most do."""
        function, index = piece.get("function"), piece.get("index")
        if not (isinstance(function, dict) and isinstance(index, int) and index in self._by_index):
            return False
        call, arguments = self._by_index[index], function.get("arguments")
        if call is not self._calls[-1] or call.is_complete or not isinstance(arguments, str):
            return False
        if piece.get("id") or function.get("name") or not piece.keys() <= _USUAL:
            return False
        self._check(call.append(arguments, size := _size(arguments)), size)
        return True

    def _add(self, piece: "_Piece") -> None:
        if self._is_repeated(piece):
            return
        call = self._addressed(piece)
        if call is None or call.is_followed_by(piece, self._tools, self._batch):
            call = self._begin(piece)
        if piece.index is not None:
            self._by_index[piece.index] = call
        if piece.id:
            self._by_id[piece.id] = call
        self._take(call, piece)

    def _begin(self, piece: "_Piece") -> "_PartialCall":
        if len(self._calls) == limits.CALL_COUNT:
            raise BrokenStreamError(f"the answer holds more than {limits.CALL_COUNT} tool calls")
        name = piece.name
        if not name and self._calls and self._calls[-1].is_echoed:
            name = self._calls[-1].name
        self._calls.append(_PartialCall(piece.index, piece.id, name, self._batch))
        return self._calls[-1]

    def _take(self, call: "_PartialCall", piece: "_Piece") -> None:
        size = _size(piece.arguments)
        self._check(call.take(piece, self._tools, size), size + len(piece.name) + len(piece.id))

    def _check(self, call_size: int, added: int) -> None:
        self._size += added
        if call_size > limits.CALL or self._size > limits.CALLS:
            raise BrokenStreamError(f"the answer's tool calls have more than {limits.CALL} bytes")

    def _is_repeated(self, piece: "_Piece") -> bool:
        """Returns whether an earlier event has made the whole call that the piece makes."""
        if not piece.name or not piece.arguments:
            return False
        calls = (call for call in self._calls if call.batch < self._batch)
        return any(call.is_repeated_by(piece) for call in calls)

    def _addressed(self, piece: "_Piece") -> "_PartialCall | None":
        """Returns the call that the piece's id or index names, else the last one."""
        last = self._calls[-1] if self._calls else None
        at_index = last if piece.index is None else self._by_index.get(piece.index)
        if piece.id and not (at_index and at_index.id == piece.id) and piece.id in self._by_id:
            return self._by_id[piece.id]
        is_bare = not (piece.id or piece.name)
        if at_index is None or (is_bare and at_index.is_complete and last and not last.is_complete):
            return last
        return at_index

    def _wholes(self, call: "_PartialCall") -> Iterator[ToolCall]:
        """Yields the calls that a call is: several where it is OpenAI's wrapper for these."""
        is_wrapper = call.name.startswith(_PARALLEL)
        inner = written_calls("".join(call.arguments), self._tools) if is_wrapper else []
        for name, arguments in inner:
            one = _PartialCall(None, "", name, call.batch)
            one.append(arguments, _size(arguments))
            yield self._whole(one)
        if not inner:
            yield self._whole(call)

    def _whole(self, call: "_PartialCall") -> ToolCall:
        arguments = object_text("".join(call.arguments))
        if arguments is None and call.is_cumulative:
            arguments = object_text(call.arguments[-1])
        if not call.name or arguments is None:
            raise BrokenStreamError("the answer holds a tool call that is cut or not JSON")
        name = self._tools.resolve(mend(call.name))
        if name is None:
            raise BrokenStreamError("the answer calls a tool that was not offered")
        arguments = unwrapped(arguments, name, self._tools.parameters(name))
        extras = {"call": call.fields} if call.fields else None
        return ToolCall(self._unique(mend(call.id)), name, arguments, extras)

    def _unique(self, wanted: str) -> str:
        """Returns an id that is new in the conversation: some servers restart at call_0."""
        unique, number = wanted, 0
        while not unique or unique in self._known_ids:
            number += 1
            unique = f"{wanted or 'call'}_{number}"
        self._known_ids.add(unique)
        return unique


@dataclass(frozen=True, slots=True)
class _Piece:
    index: int | None
    id: str
    name: str
    arguments: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    """Fields that only its vendor understands."""

    @property
    def begins_object(self) -> bool:
        return self.arguments.lstrip().startswith(("{", '"{'))


class _PartialCall:
    def __init__(self, index: int | None, call_id: str, name: str, batch: int) -> None:
        self.index = index
        self.id = call_id
        self.name = name
        self.batch = batch
        """The number of the event that began it."""
        self.arguments: list[str] = []
        self.size = 0  # bytes
        self.fields: dict[str, Any] = {}
        self.is_cumulative = True
        """Whether each piece of the arguments is the whole so far."""
        self.is_echoed = False
        """Whether its name has come once more, without arguments, after it was complete."""
        self._scanner = JsonScanner()

    @property
    def is_empty(self) -> bool:
        """Whether its arguments are none."""
        return object_text("".join(self.arguments)) == "{}"

    @property
    def is_complete(self) -> bool:
        return self._scanner.is_complete

    def take(self, piece: _Piece, tools: OfferedTools, size: int) -> int:
        """Adds a piece of this call; returns its size so far, in bytes."""
        self.id = self.id or piece.id
        self.fields |= piece.fields
        if self.is_complete and piece.name:
            self.is_echoed = not piece.arguments
        if piece.name:
            self.name = _joined(self.name, piece.name, tools)
            if len(self.name) > limits.CALL_NAME:
                most = f"{limits.CALL_NAME} characters"
                raise BrokenStreamError(f"the answer names a tool by more than {most}")
        return self.append(piece.arguments, size)

    def append(self, arguments: str, size: int) -> int:
        """Adds to the arguments; returns the call's size so far, in bytes."""
        if arguments:
            if self.arguments:
                self.is_cumulative &= arguments.startswith(self.arguments[-1])
            self.arguments.append(arguments)
            self._scanner.feed(arguments)
        self.size += size
        return self.size

    def is_repeated_by(self, piece: _Piece) -> bool:
        """Returns whether a piece makes this whole call once more."""
        if not self.is_complete or piece.name != self.name:
            return False
        is_same_id = not (piece.id and self.id) or piece.id == self.id
        is_same_index = None in {piece.index, self.index} or piece.index == self.index
        is_same = is_same_index and (is_same_id or piece.index is not None)
        return is_same and piece.arguments == "".join(self.arguments)

    def is_followed_by(self, piece: _Piece, tools: OfferedTools, batch: int) -> bool:
        """Returns whether a piece that this call's index or id names begins another call."""
        has_new_id = bool(piece.id and self.id) and piece.id != self.id
        has_new_index = None not in {piece.index, self.index} and piece.index != self.index
        if not piece.name:
            is_announced = has_new_id or self.is_echoed
            return self.is_complete and is_announced and piece.begins_object
        if self.is_complete:
            is_echo = piece.name == self.name and not piece.arguments and batch != self.batch
            return has_new_id or has_new_index or not is_echo
        if has_new_index and has_new_id:
            return True
        if self.arguments:
            if not _continues(self.name, piece.name, tools):
                return True
            is_other = has_new_id or has_new_index or batch == self.batch
            return is_other and piece.begins_object
        if not self.name:
            return False
        if piece.name == self.name:
            return batch == self.batch or has_new_index
        return not _continues(self.name, piece.name, tools)


def known_call_ids(messages: Sequence[Message]) -> set[str]:
    """Returns the ids of the tool calls in the conversation."""
    calls = (call for message in messages for call in message.get("tool_calls") or ())
    return {str(call.get("id")) for call in calls}


def _piece(piece: dict[str, Any]) -> _Piece:
    function = piece.get("function")
    if not isinstance(function, dict):
        function = piece
    arguments = next((function[key] for key in _ARGUMENTS if key in function), None)
    if isinstance(arguments, dict):
        arguments = json.dumps(arguments)
    elif isinstance(arguments, list):
        arguments = "" if not arguments else json.dumps(arguments)
    index = piece.get("index", function.get("index"))  # Ollama writes it inside
    if isinstance(index, str) and index.isdecimal():
        index = int(index)
    is_index = isinstance(index, int) and not isinstance(index, bool)
    return _Piece(
        index if is_index else None,
        _id(piece.get("id")),
        _text(function.get("name") or piece.get("name")),
        _text(arguments),
        call_fields(piece),
    )


def _size(text: str) -> int:
    """Returns the length of a text in bytes."""
    return len(text) if text.isascii() else len(text.encode(errors="surrogatepass"))


def _id(value: Any) -> str:
    is_number = isinstance(value, int) and not isinstance(value, bool)
    return str(value) if is_number else _text(value)


def _continues(name: str, more: str, tools: OfferedTools) -> bool:
    """Returns whether `more` is a piece of the name that `name` begins, or the name again."""
    if not name or more == name or tools.begins(name + more) or tools.resolve(name + more):
        return True
    return more.startswith(name) and name not in tools.names


def _joined(name: str, more: str, tools: OfferedTools) -> str:
    """Returns the name that two pieces of it make: split, repeated, or the whole so far."""
    if more == name or tools.begins(name + more):
        return name if more == name else name + more
    if more.startswith(name):
        return more
    return name if tools.resolve(name) and not tools.resolve(name + more) else name + more


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
