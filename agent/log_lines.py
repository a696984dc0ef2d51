"""Bounds what the log of a process takes: lines of one kind, no words of callers, no numbers."""

import logging
import re
from dataclasses import dataclass
from typing import Any

_MOST = 20
_WINDOW = 60.0
_KINDS = 1_000
_COMPARED = 40
"""Characters of the text by which kinds differ: what follows may be names and numbers."""
_WORDS = "lk.pii."
_plain = logging.Formatter()
_CALLER = re.compile(r"\bsip_[\w+*#@%.:-]+")
"""Identity of a caller by telephone: livekit-sip makes it of their number."""


@dataclass(slots=True)
class _Kind:
    begins: float
    shown: int = 0
    left_out: int = 0


class RepeatFilter(logging.Filter):
    """Lets `most` lines of one kind pass in `window` seconds, and says how many were left out.

    Lines are of one kind if the same logger wrote them from the same text with other values.
    """

    def __init__(self, most: int = _MOST, window: float = _WINDOW) -> None:
        super().__init__()
        self._most = most
        self._window = window
        self._kinds: dict[tuple[str, int, str], _Kind] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        key = record.name, record.levelno, str(record.msg)[:_COMPARED]
        kind = self._kinds.get(key)
        if kind is None or record.created >= kind.begins + self._window:
            left_out = kind.left_out if kind else 0
            if kind is None and len(self._kinds) >= _KINDS:
                self._kinds.clear()
            kind = self._kinds[key] = _Kind(record.created)
            if left_out:
                record.msg = f"{record.getMessage()} ({left_out} lines like this were left out)"
                record.args = ()
        kind.shown += 1
        if kind.shown > self._most:
            kind.left_out += 1
            return False
        return True


class WordFilter(logging.Filter):
    """Takes out of each line the fields in which LiveKit puts callers' words, such as arguments."""

    def filter(self, record: logging.LogRecord) -> bool:
        for name in [name for name in record.__dict__ if name.startswith(_WORDS)]:
            del record.__dict__[name]
        return True


class NumberFilter(logging.Filter):
    """Masks the numbers in callers' identities, which LiveKit logs, also in the text of errors."""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.exc_info:  # formatters would write it anew, LiveKit's also beside the text
            record.exc_text = record.exc_text or _plain.formatException(record.exc_info)
            record.exc_info = None
        message = record.getMessage()
        if message != (masked := _masked(message)):
            record.msg = masked
            record.args = ()
        for name, value in record.__dict__.items():
            if name not in {"msg", "args"}:
                record.__dict__[name] = _masked(value)
        return True


def _masked(value: Any) -> Any:
    if isinstance(value, str):
        return _CALLER.sub("sip_...", value)
    if isinstance(value, dict):
        return {name: _masked(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset) and type(value).__module__ == "builtins":
        return type(value)(_masked(inner) for inner in value)
    return value


def hide_callers() -> None:
    """Keeps the words and the numbers of callers out of all that this process logs."""
    for handler in logging.getLogger().handlers:
        handler.addFilter(WordFilter())
        handler.addFilter(NumberFilter())
