"""Lines of a log: an object each for programs, text for people."""

import io
import json
import logging
import subprocess
import sys
from datetime import UTC, datetime

import pytest
from livekit.agents.cli import log as livekit_log

from agent.log_format import JsonLines, writes_json


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("log_format", "output", "expected"),
    [
        ("auto", Terminal(), False),
        ("auto", io.StringIO(), True),
        ("text", io.StringIO(), False),
        ("json", Terminal(), True),
        ("", io.StringIO(), True),
    ],
)
def test_lines_are_json_unless_they_go_to_a_terminal(
    log_format: str, output: io.StringIO, expected: bool
) -> None:
    assert writes_json(log_format, output) is expected


def test_a_line_has_the_fields_of_livekits_and_what_it_was_given() -> None:
    facts = {"name": "agent", "levelname": "INFO", "msg": "%s is\nhere", "args": ("Zoë",)}
    record = logging.makeLogRecord(
        {**facts, "room": "call-1", "since": datetime(2026, 12, 1, tzinfo=UTC)}
    )
    line = JsonLines().format(record)
    assert "\n" not in line
    assert "Zoë" in line
    fields = json.loads(line)
    assert (fields["level"], fields["name"], fields["message"]) == ("INFO", "agent", "Zoë is\nhere")
    assert (fields["room"], fields["pid"]) == ("call-1", record.process)
    theirs = json.loads(livekit_log.JsonFormatter().format(record))
    assert fields.keys() <= theirs.keys()
    assert datetime.fromisoformat(fields["timestamp"]) == datetime.fromisoformat(
        theirs["timestamp"]
    )


def test_an_exception_is_in_the_line_of_its_record() -> None:
    try:
        int("no number")
    except ValueError:
        record = logging.makeLogRecord({"msg": "a bug", "exc_info": sys.exc_info()})
    fields = json.loads(JsonLines().format(record))
    assert fields["exc_info"].endswith("'no number'")
    assert fields["message"] == "a bug"


def test_no_field_takes_the_place_of_the_lines_own() -> None:
    record = logging.makeLogRecord({"msg": "said", "level": "made up", "color_message": "said"})
    fields = json.loads(JsonLines().format(record))
    assert (fields["level"], fields["message"]) == (record.levelname, "said")
    assert "color_message" not in fields


_OF_A_WORKER = """
import logging, sys
from agent.worker_log import prepare_log
prepare_log("INFO", sys.argv[1])
logging.getLogger("agent").info("sip_+4915112345678 calls", extra={"lk.pii.text": "hello", "n": 1})
"""


@pytest.mark.parametrize("log_format", ["auto", "text"])
def test_a_worker_names_no_caller_in_either_form(log_format: str) -> None:
    command = [sys.executable, "-c", _OF_A_WORKER, log_format]
    [line] = subprocess.run(command, capture_output=True, check=True, text=True).stdout.splitlines()
    if log_format == "text":
        assert line == "INFO agent sip_... calls"
    else:
        fields = json.loads(line)
        assert (fields["message"], fields["n"]) == ("sip_... calls", 1)
        assert "hello" not in line
