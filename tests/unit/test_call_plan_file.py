"""Tests files of calls to plan: CSV and JSON Lines, and how a fault in one is named."""

from contextlib import suppress
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_router.errors import ConfigurationError
from llm_router.voice.phone.plan import CallPlan
from llm_router.voice.phone.plan_file import read_plans

CSV = """\
number,assistant,variables.name,earliest,timezone,hours,retry_after_minutes,detect_machine
+15550123456,reminders,"Lee, Ann",2026-12-01T09:00,Europe/Berlin,09:00-18:00,10 60,false
+15550123457,,,,,,,
"""
JSON_LINES = """\
{"number": "+15550123456", "variables": {"name": "Ann"}, "retry_after_minutes": [10]}

{"number": "+1 555 0123 457"}
"""


@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_a_csv_file_has_one_call_a_line(mark: str) -> None:
    first, second = read_plans(mark + CSV, "calls.csv")
    assert (first.number, first.assistant) == ("+15550123456", "reminders")
    assert first.variables == {"name": "Lee, Ann"}
    assert (first.timezone, first.hours) == ("Europe/Berlin", "09:00-18:00")
    assert (first.retry_after_minutes, first.detect_machine) == ((10, 60), False)
    assert second == CallPlan(number="+15550123457")


def test_a_file_of_json_lines_has_one_object_a_line() -> None:
    first, second = read_plans(JSON_LINES, "calls.jsonl")
    assert (first.variables, first.retry_after_minutes) == ({"name": "Ann"}, (10,))
    assert second.number == "+15550123457"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "f: has no calls"),
        ("number\n", "f: has no calls"),
        ("number\n0555123456\n", "f, line 2: number: has no country code"),
        (
            "number,assistent\n+15550123456,3\n",
            "f, line 1: 'assistent': there is no such column; did you mean assistant?",
        ),
        ("Number\n+15550123456\n", "f, line 1: 'Number': there is no such column; did you mean n"),
        ("number,xyz\n1,3\n", "f, line 1: 'xyz': there is no such column; the columns are"),
        ("number,number\n+15550123456,\n", "f, line 1: 'number': is there twice"),
        ("assistant\ndesk\n", "f, line 2: number: Field required"),
        ("number,hours\n+15550123456,0\u0669:00-18:00\n", "f, line 2: hours: "),
        ("number,earliest\n+15550123456,tomorrow\n", "f, line 2: earliest: "),
        ("number,earliest\n+15550123456,46357\n", "f, line 2: earliest: must be in a year from"),
        (
            "number,earliest,latest\n+15550123456,2026-12-01T09:00,2026-12-01T08:00\n",
            "f, line 2: latest: must be later than earliest",
        ),
        ("number\n+15550123456,extra\n", "f, line 2: has more values"),
        ('number\n"+1555', "f, line 1: unexpected end of data"),
        ('{"number": ', "f, line 1: is no JSON object"),
        ("{}\n[]", "f, line 1: number: Field required"),
        ('{"number": "+15550123456"}\n[]', "f, line 2: is no JSON object"),
    ],
)
def test_a_fault_is_named_with_its_line(text: str, fault: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        read_plans(text, "f")
    assert str(raised.value).startswith(fault)


def test_a_call_too_far_ahead_is_named_with_its_line() -> None:
    text = "number,earliest\n+15550123456,2027-12-01\n+15550123457,2027-12-03\n"
    assert len(read_plans(text, "f")) == 2
    with pytest.raises(ConfigurationError, match="f, line 3: earliest: is more than a year ahead"):
        read_plans(text, "f", datetime(2026, 12, 1, tzinfo=UTC))


@pytest.mark.parametrize("sign", [";", "\t"])
@pytest.mark.parametrize("end", ["\r\n", "\r", "\n"])
def test_a_file_of_any_spreadsheet_is_read(sign: str, end: str) -> None:
    rows = [
        ["number", "variables.name", "retry_after_minutes"],
        ["+15550123456", f'"Lee{sign} Ann"', "10,60"],
    ]
    (plan,) = read_plans("\ufeff" + end.join(map(sign.join, rows)) + end, "f")
    assert plan.variables == {"name": f"Lee{sign} Ann"}
    assert plan.retry_after_minutes == (10, 60)


def test_a_line_end_inside_of_a_json_text_ends_no_line() -> None:
    line = '{"number": "+15550123456", "variables": {"name": "Ann\u2028Lee"}}'
    assert read_plans(f"{line}\n{line}", "f")[1].variables == {"name": "Ann\u2028Lee"}


def test_thousands_of_rows_are_read_and_the_last_fault_named() -> None:
    rows = "".join(f"+1555{number:07}\n" for number in range(5_000))
    assert len(read_plans(f"number\n{rows}", "f")) == 5_000
    with pytest.raises(ConfigurationError, match="f, line 5002: number"):
        read_plans(f"number\n{rows}0\u0661\n", "f")


def test_a_time_that_the_clocks_skip_or_have_twice_has_one_meaning() -> None:
    zone = "number,timezone,earliest\n+15550123456,Europe/Berlin,"
    (skipped,) = read_plans(f"{zone}2027-03-28T02:30\n", "f")
    (twice,) = read_plans(f"{zone}2026-10-25T02:30\n", "f")
    for plan, utc in ((skipped, "2027-03-28T01:30"), (twice, "2026-10-25T00:30")):
        assert plan.earliest
        assert plan.local(plan.earliest).isoformat().startswith(utc)


@given(st.text(max_size=500))
def test_any_text_is_read_or_refused(text: str) -> None:
    with suppress(ConfigurationError):
        assert read_plans(text, "f")
