"""Tests when planned calls are dialed: inside their window, as often as they say, in any zone."""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from llm_router.voice.phone.plan import (
    CallPlan,
    PlannedCall,
    after_outcome,
    fill,
    is_open,
    next_time,
    planned,
    taken_back,
)

NOW = datetime(2026, 5, 4, 9, 30, tzinfo=UTC)
ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia")


def call(now: datetime = NOW, **fields: Any) -> PlannedCall:
    plan = CallPlan(**{"number": "+15550123456", **fields})
    return planned(plan, call_id="c1", author="anna", now=now)


def local(at: datetime | None, zone: str) -> str:
    assert at
    return f"{at.astimezone(ZoneInfo(zone)):%Y-%m-%d %H:%M}"


clocks = st.times().map(lambda at: f"{at:%H:%M}")
hours = st.tuples(clocks, clocks).filter(lambda pair: pair[0] < pair[1]).map("-".join)
times = st.integers(0, 2 * 365 * 86_400).map(lambda seconds: NOW + timedelta(seconds=seconds))


@given(times, st.sampled_from(ZONES), hours | st.just(""), st.integers(0, 10**6))
def test_a_call_is_never_dialed_outside_its_window(
    now: datetime, zone: str, daily: str, later: int
) -> None:
    latest = now + timedelta(days=5)
    one = call(now, timezone=zone, hours=daily, latest=latest)
    at = next_time(one, now + timedelta(seconds=later))
    if at is None:
        return
    assert now + timedelta(seconds=later) <= at < latest
    assert is_open(one, at)
    clock = local(at, zone)[11:]
    assert not daily or daily[:5] <= clock < daily[6:]


@given(times, st.sampled_from(ZONES), hours)
def test_a_window_of_some_days_has_a_time_unless_the_clocks_skip_it(
    now: datetime, zone: str, daily: str
) -> None:
    one = call(now, timezone=zone, hours=daily, latest=now + timedelta(days=4))
    assert one.status == "waiting"
    assert one.next_at
    assert one.next_at - now <= timedelta(days=2, hours=2)


@given(times, st.lists(st.integers(1, 10_080), max_size=5), hours | st.just(""))
def test_a_call_is_dialed_once_more_for_each_pause_and_never_too_early(
    now: datetime, pauses: list[int], daily: str
) -> None:
    one = call(now, retry_after_minutes=pauses, hours=daily, latest=now + timedelta(days=30))
    dialed = []
    while one.next_at:
        dialed.append(one.next_at)
        one = PlannedCall(**{**vars_of(one), "attempt": one.attempt + 1, "status": "dialing"})
        one = after_outcome(one, "busy", dialed[-1], may_retry=True)
    assert len(dialed) <= 1 + len(pauses)
    assert (one.status, one.outcome) == ("done", "busy")
    for before, after, pause in zip(dialed, dialed[1:], pauses, strict=False):
        assert after - before >= timedelta(minutes=pause)


def vars_of(one: PlannedCall) -> dict[str, Any]:
    return {name: getattr(one, name) for name in PlannedCall.__slots__}


@pytest.mark.parametrize(
    ("zone", "now", "daily", "expected"),
    [
        ("Europe/Berlin", "2026-05-04T20:00Z", "09:00-18:00", "2026-05-05 09:00"),
        ("Europe/Berlin", "2026-05-04T07:30Z", "09:00-18:00", "2026-05-04 09:30"),
        # Clocks go from 2:00 to 3:00: half past two does not occur, and an hour later is within.
        ("Europe/Berlin", "2026-03-29T00:00Z", "02:30-04:00", "2026-03-29 03:30"),
        # The whole of the hours does not occur on that day.
        ("Europe/Berlin", "2026-03-29T00:00Z", "02:10-02:50", "2026-03-30 02:10"),
        # Clocks go from 3:00 back to 2:00: at the second 2:10 it waits for the second 2:30.
        ("Europe/Berlin", "2026-10-25T01:10Z", "02:30-04:00", "2026-10-25 02:30"),
        ("Asia/Kathmandu", "2026-05-04T00:00Z", "09:00-24:00", "2026-05-04 09:00"),
    ],
)  # fmt: skip
def test_hours_are_those_of_the_clock_on_the_wall(
    zone: str, now: str, daily: str, expected: str
) -> None:
    at = datetime.fromisoformat(now)
    one = call(at, timezone=zone, hours=daily, latest=at + timedelta(days=3))
    assert local(one.next_at, zone) == expected
    assert one.next_at
    assert one.next_at >= at


def test_times_without_an_offset_are_local() -> None:
    one = call(timezone="Europe/Berlin", earliest="2026-05-05T09:00", latest="2026-05-05T10:00Z")
    assert (one.earliest.isoformat(), one.latest.isoformat()) == (
        "2026-05-05T07:00:00+00:00",
        "2026-05-05T10:00:00+00:00",
    )


def test_a_window_that_is_over_has_expired() -> None:
    one = call(earliest="2026-05-03T09:00Z", latest="2026-05-03T10:00Z")
    assert (one.status, one.outcome, one.next_at) == ("done", "expired", None)


def test_a_pause_that_leaves_the_window_ends_the_call_with_its_outcome() -> None:
    one = call(latest=NOW + timedelta(minutes=20), retry_after_minutes=[30])
    begun = PlannedCall(**{**vars_of(one), "attempt": 1})
    ended = after_outcome(begun, "no_answer", NOW, reason="rang out", may_retry=True)
    assert (ended.status, ended.outcome, ended.reason) == ("done", "no_answer", "rang out")


def test_a_person_who_declined_is_left_alone() -> None:
    begun = PlannedCall(**{**vars_of(call(retry_after_minutes=[5])), "attempt": 1})
    assert after_outcome(begun, "declined", NOW).status == "done"


def test_an_attempt_that_did_not_dial_does_not_count() -> None:
    begun = PlannedCall(**{**vars_of(call(retry_after_minutes=[5])), "attempt": 1})
    back = taken_back(begun, NOW + timedelta(minutes=1))
    assert (back.status, back.attempt, back.next_at) == ("waiting", 0, NOW + timedelta(minutes=1))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("number", "0555123456"),
        ("number", "112"),
        ("number", "sip:desk@10.0.0.5"),
        ("timezone", "Mars/Olympus"),
        ("hours", "18:00-09:00"),
        ("hours", "9-18"),
        ("latest", "2026-05-05T08:00"),
        ("earliest", "0001-01-01T00:00"),
        ("variables", {"Not A Name": "x"}),
        ("variables", {f"v{number}": "x" for number in range(21)}),
        ("retry_after_minutes", [0]),
        ("idempotency_key", "ä"),
    ],
)
def test_a_plan_that_cannot_work_is_refused(field: str, value: Any) -> None:
    fields = {"number": "+15550123456", "earliest": "2026-05-05T09:00", field: value}
    with pytest.raises(ValidationError):
        CallPlan(**fields)


def test_variables_fill_the_words_and_unknown_names_stay() -> None:
    words = "Hello {{ name }}, {{time}}? {{other}} {name}"
    assert fill(words, {"name": "Ann {{time}}", "time": "ten"}) == (
        "Hello Ann {{time}}, ten? {{other}} {name}"
    )


def test_a_record_shows_no_number_and_no_name() -> None:
    assert "555" not in repr(call(variables={"name": "Ann"}))
