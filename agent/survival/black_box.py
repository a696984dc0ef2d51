"""The black box of a call: what its process leaves behind when it dies.

A small file in the worker's folder, mapped into memory, so that a note costs no system call and
outlives the process that wrote it. The worker reads it: while the process lives, for the beat of
its event loop; afterwards, for the words that the caller had received.
"""

import json
import mmap
import struct
import zlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

_SLOT = 32 * 1024
_SIZE = 16 + 2 * _SLOT
_BEAT = struct.Struct("<d?")
_HEAD = struct.Struct("<QII")
"""Number of the note, its length and its checksum."""
_MAX_TOOLS = 100
_MAX_NAME = 64
_LIMITS = (
    (2_000, 24_000, 8_000),
    (400, 24_000, 8_000),
    (400, 2_000, 8_000),
    (100, 400, 2_000),
    (20, 0, 1_000),
)
"""Characters of an item, of one tool's arguments, and of the reply under way (the last ones) that
are noted: of the first row with which the note fits."""
MAX_ITEMS = 4
TOO_LONG = '{"": "too long to be noted"}'
"""Arguments in a note in place of those that do not fit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """How far a conversation was.

    `voiced`: words of the reply under way that the caller has received. `tools`: calls of tools
    that have begun and have no outcome yet, with `call_id`, `name` and `arguments`. `items`: the
    last messages, which may not be stored yet, with `id`, `role`, `text` and `at` (s since 1970).
    """

    voiced: str = ""
    tools: Sequence[Mapping[str, Any]] = ()
    items: Sequence[dict[str, Any]] = ()


class BlackBox:
    """The writer's end. A disk that is full is ignored: it must not end a call."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._map: mmap.mmap | None = None
        self._number = 0

    def __enter__(self) -> Self:
        with suppress(OSError):
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with self._file.open("w+b") as opened:
                opened.truncate(_SIZE)
                self._map = mmap.mmap(opened.fileno(), _SIZE)
        return self

    def __exit__(self, *_: object) -> None:
        """Removes the file: a process that ends by itself leaves nothing to be restored."""
        if self._map is not None:
            self._map.close()
            self._map = None
        with suppress(OSError):
            self._file.unlink()

    def beat(self, now: float, *, at_rest: bool = False) -> None:
        """Notes that the event loop runs; `now` is the machine's monotonic time.

        `at_rest`: neither side speaks or is about to.
        """
        if self._map is not None:
            _BEAT.pack_into(self._map, 0, now, at_rest)

    def stop(self) -> None:
        """Notes that this process voices nothing more: its last beat need not grow old."""
        self.beat(0.0)

    def write(self, note: Note) -> None:
        """Writes a note beside the one before it, which counts until this one is whole."""
        if self._map is None:
            return
        bodies = (_body(note, *limits) for limits in _LIMITS)
        body = next((body for body in bodies if len(body) <= _SLOT - _HEAD.size), None)
        if body is None:
            return
        self._number += 1
        start = _start(self._number % 2)
        self._map[start + _HEAD.size : start + _HEAD.size + len(body)] = body
        _HEAD.pack_into(self._map, start, self._number, len(body), zlib.crc32(body))


@dataclass(frozen=True, slots=True)
class Left:
    """The contents of a black box. `beat`: the last beat of the event loop, 0 if there is none."""

    beat: float
    at_rest: bool
    note: Note


def read_box(file: Path) -> Left | None:
    """Returns what a black box holds; None if there is none."""
    try:
        raw = file.read_bytes()
    except OSError:
        return None
    if len(raw) != _SIZE:
        return None
    beat, at_rest = _BEAT.unpack_from(raw)
    notes = [_note(raw, _start(slot)) for slot in (0, 1)]
    latest = max(notes, key=lambda found: found[0])
    return Left(beat, at_rest, latest[1])


def _body(note: Note, text: int, arguments: int, voiced: int) -> bytes:
    """Returns a note cut to these sizes. Arguments that are too long are left out as a whole."""
    tools = [
        {
            "call_id": tool["call_id"][:_MAX_NAME],
            "name": tool["name"][:_MAX_NAME],
            "arguments": given if len(given := tool["arguments"]) <= arguments else TOO_LONG,
        }
        for tool in note.tools[-_MAX_TOOLS:]
    ]
    items = [item | {"text": item["text"][:text]} for item in note.items[-MAX_ITEMS:]]
    short = Note(voiced=note.voiced[-voiced:], tools=tools, items=items)
    return json.dumps(asdict(short), ensure_ascii=False).encode(errors="replace")


def _start(slot: int) -> int:
    return 16 + slot * _SLOT


def _note(raw: bytes, start: int) -> tuple[int, Note]:
    """Returns a slot's note and its number, 0 for one that is empty or was not finished."""
    number, length, checksum = _HEAD.unpack_from(raw, start)
    body = raw[start + _HEAD.size : start + _HEAD.size + min(length, _SLOT)]
    if not number or zlib.crc32(body) != checksum:
        return 0, Note()
    fields = json.loads(body)
    return number, Note(**fields)
