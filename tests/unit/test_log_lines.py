"""The worker's log holds no words of callers, which LiveKit marks as such."""

import logging

from agent.log_lines import WordFilter


def test_fields_with_callers_words_are_taken_out_of_a_line() -> None:
    facts = {"function": "take_message", "lk.pii.arguments": '{"message": "call Ann"}'}
    record = logging.makeLogRecord({"msg": "invalid arguments", **facts})
    assert WordFilter().filter(record)
    assert record.__dict__["function"] == "take_message"
    assert "Ann" not in str(record.__dict__)
