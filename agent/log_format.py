"""Decides how the lines of a process's log are written: for people, or for programs."""

import json
import logging
import sys
from datetime import UTC, datetime
from typing import TextIO

LOG_FORMAT = "LOG_FORMAT"
"""Variable with the setting, for a process that reads no settings."""
TEXT = "%(levelname)s %(name)s %(message)s"
_OF_EVERY_RECORD = logging.makeLogRecord({}).__dict__.keys() | {"message", "asctime", "taskName"}
_REPEATED = {"color_message"}
"""uvicorn's message again, with colours."""


class JsonLines(logging.Formatter):
    """Writes a record as a line of JSON, with the names that LiveKit's formatter gives its fields.

    What a line was given as `extra` becomes fields of the object.
    """

    def format(self, record: logging.LogRecord) -> str:
        fields = {
            "timestamp": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname,
            "name": record.name,
            "message": record.getMessage(),
            "pid": record.process,
        }
        if record.exc_text or record.exc_info:
            fields["exc_info"] = record.exc_text or self.formatException(record.exc_info)  # type: ignore[arg-type]  # one of them is there
        if record.stack_info:
            fields["stack_info"] = self.formatStack(record.stack_info)
        for name, value in record.__dict__.items():
            if name not in _OF_EVERY_RECORD and name not in _REPEATED:
                fields.setdefault(name, value)
        return json.dumps(fields, default=str, skipkeys=True, ensure_ascii=False)


def writes_json(log_format: str, output: TextIO) -> bool:
    """Returns whether lines are JSON: with `auto`, they are unless they go to a terminal."""
    chosen = log_format.strip().lower()  # as it stands in the environment
    return chosen == "json" or (chosen != "text" and not output.isatty())


def log_to_stderr(level: str, log_format: str, text: str = TEXT) -> None:
    """Logs what is at least of this level to standard error. `text`: the format for people."""
    handler = logging.StreamHandler()
    is_json = writes_json(log_format, sys.stderr)
    handler.setFormatter(JsonLines() if is_json else logging.Formatter(text))
    logging.basicConfig(level=level, handlers=[handler])
