"""Reads the log of a service for people: without the JSON of our own services."""

import json
import re
from pathlib import Path

from deploy import console

_LEVELS = {"DEBUG": 10, "INFO": 20, "WARNING": 30, "ERROR": 40, "CRITICAL": 50}
_WARNING, _ERROR = 30, 40
_PLAIN = re.compile(r"(DEBUG|INFO|WARNING|ERROR|CRITICAL) (\S+) (.*)")
"""A line of the HTTP process."""


def summary(log: Path) -> list[str]:
    """Returns the end of the log: its errors and what is no log record; else warnings; else all."""
    lines = [_parse(line) for line in console.tail(log)]
    worst = max((level for level, _, _ in lines), default=0)
    least = _ERROR if worst >= _ERROR else _WARNING if worst >= _WARNING else 0
    return [line for level, _, text in lines if level >= least for line in text.splitlines()]


def warnings(log: Path, logger: str) -> list[str]:
    """Returns the messages of the warnings and errors that this logger has written, each once."""
    lines = [_parse(line) for line in console.tail(log, 1000)]
    found = [text for level, name, text in lines if level >= _WARNING and name == logger]
    return list(dict.fromkeys(found))


def beginning(log: Path, logger: str, start: str) -> list[str]:
    """Returns the messages of this logger that begin with `start`, each once."""
    lines = [_parse(line) for line in console.tail(log, 1000)]
    found = [text for _, name, text in lines if name == logger and text.startswith(start)]
    return list(dict.fromkeys(found))


def _parse(line: str) -> tuple[int, str, str]:
    """Returns a line's level, logger and text; a line that is no record counts as an error."""
    if plain := _PLAIN.fullmatch(line):
        return _LEVELS[plain[1]], plain[2], plain[3]
    try:
        record = json.loads(line)
        level, name, message = record["level"], record["name"], record["message"]
    except (ValueError, TypeError, KeyError):
        return _ERROR, "", line
    text = "\n".join(filter(None, (str(message), record.get("exc_info"))))
    return _LEVELS.get(level, _ERROR), str(name), text
