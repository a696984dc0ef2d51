"""The worker's log holds no words of callers, which LiveKit marks as such, and no numbers."""

import json
import logging

import pytest
from livekit.agents.cli.log import JsonFormatter

from agent.log_lines import NumberFilter, WordFilter


def test_fields_with_callers_words_are_taken_out_of_a_line() -> None:
    facts = {"function": "take_message", "lk.pii.arguments": '{"message": "call Ann"}'}
    record = logging.makeLogRecord({"msg": "invalid arguments", **facts})
    assert WordFilter().filter(record)
    assert record.__dict__["function"] == "take_message"
    assert "Ann" not in str(record.__dict__)


@pytest.mark.parametrize("number", ["+4915112345678", "015112345678", "anna.miller@10.0.0.5"])
def test_the_number_of_a_caller_is_in_no_line(number: str) -> None:
    identity = f"sip_{number}"
    facts = {
        "msg": "closing agent session of %s",
        "args": (identity,),
        "participant": identity,
        "people": {"all": [identity]},
        "exc_text": f"ValueError: no participant {identity!r}",
        "reason": "CLIENT_INITIATED",
    }
    record = logging.makeLogRecord(facts)
    assert NumberFilter().filter(record)
    line = JsonFormatter().format(record)
    assert number not in line
    assert number.partition("@")[0] not in line
    fields = json.loads(line)
    assert fields["message"] == "closing agent session of sip_..."
    assert (fields["participant"], fields["reason"]) == ("sip_...", "CLIENT_INITIATED")


def test_other_lines_stay_as_they_are() -> None:
    record = logging.makeLogRecord({"msg": "%d calls of %s", "args": (2, "gossip_x"), "seconds": 1})
    assert NumberFilter().filter(record)
    assert (record.getMessage(), record.args) == ("2 calls of gossip_x", (2, "gossip_x"))
    assert record.__dict__["seconds"] == 1
