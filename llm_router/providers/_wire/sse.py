"""Parses server-sent events.

The parser is incremental: it takes the bytes that have arrived and returns what these complete. How
the network splits a stream therefore never changes the result.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from llm_router.errors import BrokenStreamError
from llm_router.providers._wire import limits
from llm_router.providers._wire.characters import decode
from llm_router.providers._wire.json_objects import DONE, is_object

_DATA = b"data: "
_NEXT = b"\n\n" + _DATA
_ERROR = b"error"
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class Event(NamedTuple):
    """One server-sent event; `name` is empty where the server gave none."""

    name: str
    data: str


class EventParser:
    """Parses server-sent events from bytes that may be split anywhere, even inside a character.

    Follows https://html.spec.whatwg.org/multipage/server-sent-events.html with exceptions for what
    servers write. Some omit blank lines: a line of data that is a whole JSON object, or `[DONE]`,
    is an event by itself, and the end of the stream completes an event too. Some report an error in
    a line that is nothing but a JSON object, in a field `error`, or by the name of an event without
    data: those are events as well. Field names may have capitals and blanks around them. NUL bytes
    are ignored.
    Raises BrokenStreamError for a line or event above `limit` bytes.
    """

    def __init__(self, limit: int = limits.EVENT) -> None:
        self._limit = limit
        self._line = bytearray()  # a line whose end has not arrived yet
        self._data: list[bytes] = []
        self._size = 0
        self._name = b""
        self._after_cr = False

    def feed(self, data: bytes) -> Iterable[Event]:
        """Returns the events that `data` completes. Take them all before the next call."""
        if self._after_cr or b"\r" in data:
            data = self._without_cr(data)
        if data.startswith(_DATA) and not (self._line or self._data or self._name):
            # Whole events of one line are the usual case, read at less than half the cost.
            if data.find(b"\n") == len(data) - 2 and data.endswith(b"\n"):
                self._check(len(data))
                return [Event("", decode(data[len(_DATA) : -2]))]
            lines = data[len(_DATA) : -2].split(_NEXT)
            if data.endswith(b"\n\n") and data.count(b"\n") == 2 * len(lines):
                self._check(max(map(len, lines)))
                return [Event("", decode(line)) for line in lines]
        return self._parse_lines(data.replace(b"\0", b""))

    def _parse_lines(self, data: bytes) -> Iterator[Event]:
        lines = data.split(b"\n")
        rest = lines.pop()
        if lines and self._line:
            lines[0] = bytes(self._line) + lines[0]
            self._line.clear()
        for line, following in zip(lines, [*lines[1:], b"?"], strict=False):
            if event := self._parse(line, following):
                yield event
        if rest:
            self._buffer(rest)

    def _parse(self, line: bytes, following: bytes) -> Event | None:
        """Parses a line; returns the event that it completes, if any."""
        if line:
            # Before a blank line there is no need to know: that completes the event anyway.
            return self._event() if self._read(line) and following and self._is_whole() else None
        if self._data or self._name == _ERROR:
            return self._event()
        self._name = b""
        return None

    def close(self) -> list[Event]:
        """Returns the event, if any, that only the end of the stream completes."""
        if self._line:
            self._read(bytes(self._line))
            self._line.clear()
        return [self._event()] if self._data or self._name == _ERROR else []

    def _without_cr(self, data: bytes) -> bytes:
        """Replaces every line end by LF; the LF of a CRLF may arrive with the next piece."""
        if self._after_cr and data.startswith(b"\n"):
            data = data[1:]
            if not data:
                self._after_cr = False
                return data
        self._after_cr = data.endswith(b"\r")
        return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    def _buffer(self, data: bytes) -> None:
        self._line += data
        self._check(len(self._line))

    def _read(self, line: bytes) -> bool:
        """Reads a line; returns whether it holds data."""
        line = line.removeprefix(_BYTE_ORDER_MARK)
        field, _, value = line.partition(b":")
        if field != b"data":
            field = field.strip().lower()
        if field == _ERROR:  # llama.cpp's own field
            self._name = field
            field = b"data"
        if field == b"data":
            data = value.removeprefix(b" ")
        elif line.startswith(b"{") and not self._data and is_object(decode(line).rstrip()):
            data = line
        else:
            if field == b"event":
                self._name = value.removeprefix(b" ")
            return False
        self._size += len(line)
        self._check(self._size)
        self._data.append(data)
        return True

    def _is_whole(self) -> bool:
        """Returns whether the data is one line that is a whole JSON object, or ends the stream."""
        if len(self._data) != 1:
            return False
        data = self._data[0].strip()
        return data == DONE.encode() or (
            data.startswith(b"{") and data.endswith(b"}") and is_object(decode(data))
        )

    def _event(self) -> Event:
        data = self._data[0] if len(self._data) == 1 else b"\n".join(self._data)
        name = self._name
        self._name = b""
        self._size = 0
        self._data.clear()
        return Event(decode(name), decode(data))

    def _check(self, size: int) -> None:
        if size > self._limit:
            raise BrokenStreamError(f"the stream holds an event of more than {self._limit} bytes")
